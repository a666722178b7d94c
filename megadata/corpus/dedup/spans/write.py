"""The second read: documents without the spans that go, documents of which nothing is left, and a record of each span."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from megadata.corpus.dedup.output import UnitLines, writer_of
from megadata.corpus.dedup.spans.config import SpanConfig
from megadata.corpus.dedup.spans.cut import Spans, cut, seen
from megadata.corpus.dedup.spans.survey import is_frequent
from megadata.corpus.dedup.spans.takeout import TakeOut, write_record
from megadata.documents.batch import DocBatch
from megadata.documents.ids import file_paths
from megadata.documents.inputs import read_span
from megadata.documents.source import Problems, ReadOptions
from megadata.kernels.base import I64
from megadata.runtime.receipts import Receipt
from megadata.runtime.units import Unit

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
    surveyed: Path
    """Folder of the first read."""

    def __call__(self, unit: Unit) -> Receipt:
        """Write one unit."""
        with writer_of(unit, self.folder, self.labels, self.surveyed) as writer:
            lines = UnitLines(self.folder, unit, writer, self.labels, self.repeats, self.config.removed)
            work = _UnitOutput(self, lines)
            for span in unit.spans:
                label = span.file.source if self.labels else ""
                problems = Problems(self.options.max_set_aside)
                for docs in read_span(span, self.options, problems):
                    work.batch(docs, label, span.file.source)
                lines.unreadable(problems, label, span.file.source)
            lines.finish()
            write_record(self.folder, unit.ordinal, RECORD, work.records)
            return writer.finish(dict(lines.counts))


class _UnitOutput:
    """One unit on its way out."""

    def __init__(self, task: Write, lines: UnitLines) -> None:
        self._config, self._lines = task.config, lines
        self._out = TakeOut(lines, task.config.mode, task.config.removed)
        self._table = np.load(task.table, mmap_mode="r")
        self.records: list[pa.RecordBatch] = []

    def batch(self, docs: DocBatch, label: str, source: str) -> None:
        """Take the spans that occur too often out of one batch."""
        paths = file_paths(docs)
        spans = cut(docs, self._config)
        occurrences = is_frequent(self._table, seen(spans, docs, paths, source, self._config), self._config.keep_first)
        gone = spans.members(occurrences > 0)
        docs = self._lines.with_unique_ids(docs, paths)
        self._record(docs, spans, occurrences, gone)
        self._out.take(docs, spans.starts, spans.bounds, gone, paths, label)

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
