"""``contamination.parquet``: which document holds which n-grams of which evaluation item."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from megadata.corpus.decontaminate.evaluation import Evaluation
from megadata.corpus.decontaminate.index import Index
from megadata.kernels.base import I64
from megadata.runtime.exchange import Exchange
from megadata.runtime.files import atomic_write

FILE = "contamination.parquet"
SCHEMA = pa.schema(
    [
        pa.field("eval_set", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("field", pa.string(), nullable=False),
        pa.field("document", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("found", pa.uint32(), nullable=False),
        pa.field("of", pa.uint32(), nullable=False),
        pa.field("ngram", pa.string(), nullable=False),
        pa.field("start", pa.uint64(), nullable=False),
        pa.field("end", pa.uint64(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
    ]
)
"""One row for each text of an evaluation item and each document that holds any of it: `found` of its `of` distinct n-grams, and
the one that comes first in the document, with the characters from `start` to `end` that it was made from."""

RECORD = np.dtype(
    [
        ("key", "<u8"),
        ("unit", "<u4"),
        ("index", "<u4"),
        ("found", "<u4"),
        ("outcome", "u1"),
        ("ngram", "<u8"),
        ("start", "<u8"),
        ("stop", "<u8"),
        ("offset", "<i8"),
        ("id", "<u4"),
        ("path", "<u4"),
    ]
)
"""A finding on its way; the payload is the document's id, path and source, of which the first two have their lengths told."""

_SHIFT = 32
"""Keys are the texts' numbers in the high bits, so that key ranges cut them evenly."""
_ROW_GROUP = 1 << 16


@dataclass(frozen=True, slots=True)
class Finding:
    """One evaluation text of which one document holds n-grams."""

    text: int
    unit: int
    index: int
    """The document, by its place in the unit."""
    found: int
    """Distinct n-grams of the text that the document holds."""
    ngram: int
    """The one that comes first in the document."""
    start: int
    stop: int
    """Characters of the document that it was made from."""
    outcome: int
    names: tuple[str, str, str]
    """The document's id, path and source."""
    offset: int = -1
    """Where its line begins in the unit's part of removed documents; -1 without one."""

    def at(self, offset: int) -> Finding:
        """The same finding with the place of the document's line."""
        return replace(self, offset=offset)


@dataclass(frozen=True, slots=True)
class Groups:
    """Evaluation texts of one document's matches: text `texts[i]` has `found[i]` of them, the first being match `first[i]`."""

    texts: I64
    found: I64
    first: I64

    def rows(self) -> Iterator[tuple[int, int, int]]:
        """(text, n-grams found, first match)."""
        return zip(self.texts.tolist(), self.found.tolist(), self.first.tolist(), strict=True)


def by_text(grams: I64, index: Index) -> Groups:
    """Group the n-grams of a document's matches, in order, by the texts they stand in."""
    distinct, lead = np.unique(grams, return_index=True)
    sizes = index.first[distinct + 1] - index.first[distinct]
    total = int(sizes.sum())
    ends = np.cumsum(sizes)
    inside = np.arange(total) - np.repeat(ends - sizes, sizes)
    texts = index.texts[np.repeat(index.first[distinct], sizes) + inside]
    leads = np.repeat(lead, sizes)
    order = np.lexsort((leads, texts))
    texts, leads = texts[order], leads[order]
    starts = np.flatnonzero(np.diff(texts, prepend=-1))
    return Groups(texts[starts], np.diff(starts, append=total), leads[starts])


def _exchange(folder: Path) -> Exchange:
    return Exchange(folder / "evidence", RECORD)


def write(folder: Path, ordinal: int, findings: list[Finding]) -> None:
    """Leave the findings of one unit."""
    rows = np.empty(len(findings), RECORD)
    payload: list[bytes] = []
    for row, one in zip(rows, findings, strict=True):
        own, path, source = (name.encode() for name in one.names)
        row["key"], row["unit"], row["index"], row["found"] = one.text << _SHIFT, one.unit, one.index, one.found
        row["outcome"], row["ngram"], row["start"], row["stop"] = one.outcome, one.ngram, one.start, one.stop
        row["offset"], row["id"], row["path"] = one.offset, len(own), len(path)
        payload.append(own + path + source)
    lengths = np.array([len(one) for one in payload], np.int64)
    _exchange(folder).write(ordinal, rows, np.frombuffer(b"".join(payload), np.uint8), lengths)


Name = Callable[[int, int, str, str], str]
"""The id under which a document was written, from its unit, the place of its line, its own id and its path."""


@dataclass(slots=True)
class Table:
    """Writes ``contamination.parquet``, and notes which texts were found."""

    index: Index
    evaluation: Evaluation
    outcomes: tuple[str, ...]
    memory: int
    found: set[int]

    def write(self, target: Path, outputs: list[tuple[Path, Name]]) -> int:
        """Write the findings of all outputs, each sorted by text, then by document; how many there are."""
        written = 0
        held: list[dict[str, Any]] = []
        with atomic_write(target) as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
            for folder, name in outputs:
                for row in self._rows(folder, name):
                    held.append(row)
                    written += 1
                    if len(held) == _ROW_GROUP:
                        writer.write_table(pa.Table.from_pylist(held, SCHEMA))
                        held = []
            if held:
                writer.write_table(pa.Table.from_pylist(held, SCHEMA))
        return written

    def _rows(self, folder: Path, name: Name) -> Iterator[dict[str, Any]]:
        exchange = _exchange(folder)
        for key_range in exchange.ranges(self.memory, 1):
            part = exchange.read(key_range)
            for row, start, stop in zip(part.records, part.offsets[:-1], part.offsets[1:], strict=True):
                yield self._row(row, part.payload[start:stop].tobytes(), name)

    def _row(self, row: NDArray[np.void], payload: bytes, name: Name) -> dict[str, Any]:
        text = int(row["key"]) >> _SHIFT
        self.found.add(text)
        eval_set, item, field = self.evaluation.item_of(text)
        middle = int(row["id"])
        end = middle + int(row["path"])
        own, path, source = payload[:middle].decode(), payload[middle:end].decode(), payload[end:].decode()
        return {
            "eval_set": eval_set,
            "item": item,
            "field": field,
            "document": name(int(row["unit"]), int(row["offset"]), own, path),
            "source": source,
            "found": int(row["found"]),
            "of": int(self.index.sizes[text]),
            "ngram": self.index.ngram(int(row["ngram"])),
            "start": int(row["start"]),
            "end": int(row["stop"]),
            "outcome": self.outcomes[int(row["outcome"])],
        }
