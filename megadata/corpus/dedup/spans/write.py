"""The second read: documents without the spans that go, documents of which nothing is left, and a record of each span."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from megadata.corpus.dedup import records
from megadata.corpus.dedup.output import UnitLines, chosen, with_metadata
from megadata.corpus.dedup.spans.config import SpanConfig
from megadata.corpus.dedup.spans.cut import Spans, cut, seen
from megadata.corpus.dedup.spans.survey import is_frequent
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import read_span
from megadata.documents.shards import encode_lines
from megadata.documents.source import Problems, ReadOptions
from megadata.kernels import ragged
from megadata.kernels.base import I64
from megadata.runtime.files import atomic_write
from megadata.runtime.receipts import Receipt, UnitWriter
from megadata.runtime.units import Unit

REMOVED = "spans_removed"
"""Metadata of a document: how many of its spans went."""
RECORD = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("stop", pa.int64(), nullable=False),
        pa.field("occurrences", pa.int64(), nullable=False),
        pa.field("text", pa.string()),
    ]
)
"""A span that went: its document, its bytes in the text as it was, and how often the window it belongs to occurs in all."""


@dataclass(frozen=True, slots=True)
class Write:
    """Task of the second read: leaves parts, notes of ids and records of spans."""

    folder: Path
    config: SpanConfig
    options: ReadOptions
    table: Path
    """Windows that occur too often, records of `SEEN`, sorted."""
    repeats: Path
    labels: tuple[str, ...]

    def __call__(self, unit: Unit) -> Receipt:
        """Write one unit."""
        with UnitWriter(self.folder, unit) as writer:
            lines = UnitLines(self.folder, unit, writer, self.labels, self.repeats, self.config.removed)
            work = _UnitOutput(self, lines)
            for span in unit.spans:
                label = span.file.source if self.labels else ""
                problems = Problems(self.options.max_set_aside)
                for docs in read_span(span, self.options, problems):
                    work.batch(docs, label, span.file.source)
                lines.unreadable(problems, label, span.file.source)
            lines.finish()
            path = record_path(self.folder, unit.ordinal)
            with atomic_write(path, sync=False) as file, pa.ipc.new_file(file, RECORD) as table:
                for batch in work.records:
                    table.write_batch(batch)
            return writer.finish(dict(lines.counts))


def record_path(folder: Path, unit: int) -> Path:
    """Where a unit's records of spans lie."""
    return folder / "spans" / f"{unit:06d}.arrow"


class _UnitOutput:
    """One unit on its way out."""

    def __init__(self, task: Write, lines: UnitLines) -> None:
        self._config, self._lines = task.config, lines
        self._table = np.load(task.table, mmap_mode="r")
        self.records: list[pa.RecordBatch] = []

    def batch(self, docs: DocBatch, label: str, source: str) -> None:
        """Take the spans that occur too often out of one batch."""
        paths = records.paths_of(docs)
        spans = cut(docs, self._config)
        occurrences = is_frequent(self._table, seen(spans, docs, paths, source, self._config), self._config.keep_first)
        gone = spans.members(occurrences > 0)
        docs = self._lines.with_unique_ids(docs, paths)
        self._record(docs, spans, occurrences, gone)
        without = without_spans(docs, spans, gone)
        lost = np.add.reduceat(np.append(gone, False).astype(np.int64), np.minimum(spans.bounds[:-1], gone.size))
        lost[np.diff(spans.bounds) == 0] = 0
        stays = (without.sizes > 0) | (lost == 0)
        self._count(docs, without, spans, lost, stays, label)
        changed = {row: {REMOVED: int(lost[row])} for row in np.flatnonzero(lost).tolist()}
        kept = with_metadata(without, changed).select(stays)
        self._lines.put("kept", label, kept, chosen(paths, stays), encode_lines(kept))
        if not stays.all():
            empty = docs.select(~stays)
            shown = empty if self._config.removed == "text" else empty.replace(text=[""] * len(empty))
            reasons = [f"dedup.{self._config.mode}"] * len(empty)
            written = encode_lines(shown, reasons, lost[~stays].astype(float).tolist())
            if self._config.removed != "none":
                self._lines.put("removed", label, empty, chosen(paths, ~stays), written)

    def _record(self, docs: DocBatch, spans: Spans, occurrences: I64, gone: NDArray[np.bool_]) -> None:
        if self._config.removed == "none" or not gone.any():
            return
        most = np.zeros(gone.size, np.int64)
        for step in range(spans.window):
            members = spans.told[spans.windows + step]
            np.maximum.at(most, members, occurrences)
        at = np.flatnonzero(gone)
        owner = np.searchsorted(spans.bounds, at, side="right") - 1
        first = docs.offsets[owner]
        start, stop = spans.starts[at], spans.starts[at + 1]
        text = docs.text
        with_text = self._config.removed == "text"
        texts = [
            bytes(text[a:b]).decode("utf-8", "replace") if with_text else None for a, b in zip(start, stop, strict=True)
        ]
        ids = docs.records.column("id").take(pa.array(owner))
        columns = [ids, start - first, stop - first, most[at], pa.array(texts, pa.string())]
        self.records.append(pa.RecordBatch.from_arrays([pa.array(c) for c in columns], schema=RECORD))

    def _count(
        self, docs: DocBatch, without: DocBatch, spans: Spans, lost: I64, stays: NDArray[np.bool_], label: str
    ) -> None:
        counts: Counter[str] = self._lines.counts
        sources = np.array([label] * len(docs) if label else docs.column("source"), dtype=object)
        for source in dict.fromkeys(sources.tolist()):
            mine = sources == source
            for name, value in (
                ("documents_in", mine.sum()),
                ("documents_kept", (mine & stays).sum()),
                ("documents_changed", (mine & stays & (lost > 0)).sum()),
                ("spans_in", np.diff(spans.bounds)[mine].sum()),
                ("spans_removed", lost[mine].sum()),
                ("bytes_in", docs.sizes[mine].sum()),
                ("bytes_kept", without.sizes[mine & stays].sum()),
            ):
                counts[f"{name}|{source}"] += int(value)


def without_spans(docs: DocBatch, spans: Spans, gone: NDArray[np.bool_]) -> DocBatch:
    """The documents without some spans; blanks at the borders of a changed text go as well."""
    touched = np.zeros(len(docs), np.bool_)
    touched[np.searchsorted(spans.bounds, np.flatnonzero(gone), side="right") - 1] = True
    if not touched.any():
        return docs
    stays = np.flatnonzero(~gone)
    out = np.empty(int(np.diff(spans.starts)[stays].sum()), np.uint8)
    ragged.gather(docs.text, spans.starts, stays, out)
    sizes = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.where(gone, 0, np.diff(spans.starts)))])
    offsets = sizes[spans.bounds]
    return _trimmed(docs.with_flat_text(out, offsets), touched)


def _trimmed(docs: DocBatch, touched: NDArray[np.bool_]) -> DocBatch:
    texts = docs.column("text")
    for row in np.flatnonzero(touched).tolist():
        texts[row] = (texts[row] or "").strip()
    return docs.replace(text=texts)
