"""Documents without some of their spans, on their way to an output, and the record of what went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from megadata.corpus.dedup.output import UnitLines, chosen, with_metadata
from megadata.documents.batch import DocBatch
from megadata.documents.job import Job
from megadata.documents.publish import Beside, Written
from megadata.documents.shards import encode
from megadata.kernels import ragged
from megadata.kernels.base import I64
from megadata.runtime.files import atomic_write

FILE = "spans.parquet"
"""Every span that went, in the order of the input."""
REMOVED = "spans_removed"
"""Metadata of a document: how many of its spans went."""


class TakeOut:
    """Writes the documents of one unit without what goes, and those of which nothing is left as removed ones.

    `starts` (int64[S + 1]) is where the spans of a batch begin in its text, which they cover; document d has the spans bounds[d]
    to bounds[d + 1], and those where `gone` is set are taken out of it.
    """

    def __init__(self, lines: UnitLines, mode: str, removed: str) -> None:
        self._lines, self._mode, self._removed = lines, mode, removed

    def take(
        self, docs: DocBatch, starts: I64, bounds: I64, gone: NDArray[np.bool_], paths: list[str], label: str
    ) -> None:
        """Write the documents of one batch."""
        without = without_spans(docs, starts, bounds, gone)
        lost = np.add.reduceat(np.append(gone, False).astype(np.int64), np.minimum(bounds[:-1], gone.size))
        lost[np.diff(bounds) == 0] = 0
        stays = (without.sizes > 0) | (lost == 0)
        self._count(docs, without, np.diff(bounds), lost, stays, label)
        changed = {row: {REMOVED: int(lost[row])} for row in np.flatnonzero(lost).tolist()}
        kept = with_metadata(without, changed).select(stays)
        self._lines.put("kept", label, kept, chosen(paths, stays), encode(kept))
        if not stays.all():
            empty = docs.select(~stays)
            shown = empty if self._removed == "text" else empty.replace(text=[""] * len(empty))
            reasons = [f"dedup.{self._mode}"] * len(empty)
            written = encode(shown, reasons, lost[~stays].astype(float).tolist())
            if self._removed != "none":
                self._lines.put("removed", label, empty, chosen(paths, ~stays), written)

    def _count(
        self, docs: DocBatch, without: DocBatch, spans: I64, lost: I64, stays: NDArray[np.bool_], label: str
    ) -> None:
        counts: Counter[str] = self._lines.counts
        sources = np.array([label] * len(docs) if label else docs.column("source"), dtype=object)
        for source in dict.fromkeys(sources.tolist()):
            mine = sources == source
            for name, value in (
                ("documents_in", mine.sum()),
                ("documents_kept", (mine & stays).sum()),
                ("documents_changed", (mine & stays & (lost > 0)).sum()),
                ("spans_in", spans[mine].sum()),
                ("spans_removed", lost[mine].sum()),
                ("bytes_in", docs.sizes[mine].sum()),
                ("bytes_kept", without.sizes[mine & stays].sum()),
            ):
                counts[f"{name}|{source}"] += int(value)


def without_spans(docs: DocBatch, starts: I64, bounds: I64, gone: NDArray[np.bool_]) -> DocBatch:
    """The documents without some spans; blanks at the borders of a changed text go as well."""
    touched = np.zeros(len(docs), np.bool_)
    touched[np.searchsorted(bounds, np.flatnonzero(gone), side="right") - 1] = True
    if not touched.any():
        return docs
    stays = np.flatnonzero(~gone)
    out = np.empty(int(np.diff(starts)[stays].sum()), np.uint8)
    ragged.gather(docs.text, starts, stays, out)
    sizes = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.where(gone, 0, np.diff(starts)))])
    return _trimmed(docs.with_flat_text(out, sizes[bounds]), touched)


def _trimmed(docs: DocBatch, touched: NDArray[np.bool_]) -> DocBatch:
    texts = docs.column("text")
    for row in np.flatnonzero(touched).tolist():
        texts[row] = (texts[row] or "").strip()
    return docs.replace(text=texts)


def _record_path(folder: Path, unit: int) -> Path:
    return folder / "spans" / f"{unit:06d}.arrow"


def write_record(folder: Path, unit: int, schema: pa.Schema, batches: Sequence[pa.RecordBatch]) -> None:
    """Leave what a unit lost."""
    with atomic_write(_record_path(folder, unit), sync=False) as file, pa.ipc.new_file(file, schema) as table:
        for batch in batches:
            table.write_batch(batch)


def record_of(job: Job, written: Sequence[Written], schema: pa.Schema) -> Beside:
    """Write what all units lost, a row group for each that lost any; no file where nothing of it is kept."""
    if job.spec.config["removed"] == "none":
        return Beside([], {})
    target = job.output / FILE
    with atomic_write(target) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for receipt in written[0].receipts:
            with pa.ipc.open_file(_record_path(written[0].folder, receipt.unit)) as table:
                rows = table.read_all()
            if rows.num_rows:
                writer.write_table(rows.combine_chunks())
    return Beside([(target, None)], {})
