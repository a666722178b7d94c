"""The lines of one unit on their way to an output: unique ids, the place of each, and what could not be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from megadata.documents.batch import DocBatch
from megadata.documents.ids import NOTE, STREAMS, IdNotes, qualified
from megadata.documents.publish import stream
from megadata.documents.repeats import repeats_of
from megadata.documents.shards import unreadable_lines
from megadata.documents.source import Problems
from megadata.runtime.exchange import Exchange
from megadata.runtime.receipts import Lines, Receipt, UnitWriter, receipt_path
from megadata.runtime.units import Unit

LEVEL = 1
"""Compression of the shards: two and a half times as fast as the usual level, for shards that are an eighth larger."""


def writer_of(unit: Unit, folder: Path, labels: Sequence[str], surveyed: Path) -> UnitWriter:
    """The writer of a unit's lines; what the unit reads has been digested in the first read, whose folder is `surveyed`."""
    levels = {stream(label, kind): LEVEL for label in labels or ("",) for kind in STREAMS}
    return UnitWriter(folder, unit, levels, Receipt.load(receipt_path(surveyed, unit.ordinal)))


class UniqueIds:
    """Ids of the documents of a unit, in order; those that others have as well are qualified."""

    def __init__(self, repeats: Path, unit: int) -> None:
        self._qualify = {index: number for (_, index), number in repeats_of(repeats, unit).items()}
        self._index = 0

    def of(self, docs: DocBatch, paths: list[str]) -> list[str]:
        """Ids of the next documents."""
        start = self._index
        self._index += len(docs)
        if not self._qualify:
            return docs.ids
        return [
            qualified(own, path, self._qualify.get(start + row))
            for row, (own, path) in enumerate(zip(docs.ids, paths, strict=True))
        ]

    @property
    def any(self) -> bool:
        """Whether any document of the unit has an id that others have as well."""
        return bool(self._qualify)


class UnitLines:
    """Writes the lines of one unit and notes their ids; `labels` are the inputs that are kept apart, if any."""

    def __init__(
        self, folder: Path, unit: Unit, writer: UnitWriter, labels: Sequence[str], repeats: Path, removed: str
    ) -> None:
        self._folder, self._unit, self._writer, self._removed = folder, unit, writer, removed
        self._unique = UniqueIds(repeats, unit.ordinal)
        self._notes: dict[str, IdNotes] = {label: IdNotes(unit.ordinal) for label in labels or ("",)}
        self.counts: Counter[str] = Counter()

    def label_number(self, label: str) -> int:
        """Place of an output among all of them."""
        return list(self._notes).index(label)

    def with_unique_ids(self, docs: DocBatch, paths: list[str]) -> DocBatch:
        """The next documents of the unit, with ids qualified that others have as well."""
        return docs.replace(id=self._unique.of(docs, paths)) if self._unique.any else docs

    def put(self, kind: str, label: str, docs: DocBatch, paths: list[str], lines: Lines) -> None:
        """Write the lines of documents."""
        self._writer.write(stream(label, kind), self._notes[label].take_all(kind, docs.ids, paths, lines))

    def unreadable(self, problems: Problems, label: str, source: str) -> None:
        """Records that could not be read: counted, and set aside with the removed documents."""
        self.counts.update(problems.tally(source))
        if problems.items and self._removed != "none":
            lines = unreadable_lines(problems.items, source, self._removed == "text")
            self._writer.write(stream(label, "removed"), self._notes[label].skip("removed", lines))

    def finish(self) -> None:
        """Write the notes of ids."""
        for label, notes in self._notes.items():
            Exchange(self._folder / "ids" / label, NOTE).write(self._unit.ordinal, notes.records())


def chosen(values: Sequence[str], mask: NDArray[np.bool_]) -> list[str]:
    """The values where the mask is set."""
    return [value for value, wanted in zip(values, mask.tolist(), strict=True) if wanted]


def with_metadata(docs: DocBatch, added: dict[int, dict[str, Any]]) -> DocBatch:
    """The documents with some keys added to the metadata of some rows."""
    if not added:
        return docs
    metadata = docs.column("metadata")
    for row, keys in added.items():
        metadata[row] = orjson.dumps({**orjson.loads(metadata[row] or "{}"), **keys}).decode()
    return docs.replace(metadata=metadata)
