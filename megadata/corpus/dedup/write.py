"""The third read: kept documents with their cluster's size, removed ones with their reason, and the evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from megadata.corpus.dedup import records
from megadata.corpus.dedup.config import DedupConfig
from megadata.corpus.dedup.output import UnitLines, chosen, with_metadata, writer_of
from megadata.corpus.dedup.records import CLUSTER_SIZE, EVIDENCE
from megadata.corpus.dedup.saveindex import KeptNotes
from megadata.corpus.dedup.verdicts import EXACT, NEAR, RULES, Fates, Verdicts
from megadata.documents.batch import DocBatch
from megadata.documents.ids import file_paths
from megadata.documents.inputs import read_span
from megadata.documents.settle import DUPLICATE_OF
from megadata.documents.shards import encode
from megadata.documents.source import Problems, ReadOptions
from megadata.runtime.exchange import Exchange
from megadata.runtime.receipts import Receipt
from megadata.runtime.units import Unit


@dataclass(frozen=True, slots=True)
class Write:
    """Task of the third read: leaves parts, notes of ids and a run of evidence."""

    folder: Path
    config: DedupConfig
    options: ReadOptions
    verdicts: Verdicts
    repeats: Path
    labels: tuple[str, ...]
    """Names of the inputs that are kept apart; without any, all documents go to one output."""
    surveyed: Path
    """Folder of the first read."""
    for_index: bool = False
    """Whether to note what an index saves of the documents that are kept."""

    def __call__(self, unit: Unit) -> Receipt:
        """Write one unit."""
        with writer_of(unit, self.folder, self.labels, self.surveyed) as writer:
            lines = UnitLines(self.folder, unit, writer, self.labels, self.repeats, self.config.removed)
            work = _UnitOutput(self, unit, lines)
            for span in unit.spans:
                label = span.file.source if self.labels else ""
                problems = Problems(self.options.max_set_aside)
                for docs in read_span(span, self.options, problems):
                    work.batch(docs, label)
                lines.unreadable(problems, label, span.file.source)
            lines.finish()
            work.finish()
            return writer.finish(dict(lines.counts))


class _UnitOutput:
    """One unit on its way out."""

    def __init__(self, task: Write, unit: Unit, lines: UnitLines) -> None:
        self._task, self._unit, self._lines = task, unit, lines
        self._fates: Fates = task.verdicts.of(unit.ordinal)
        self._evidence: list[tuple[NDArray[np.void], bytes, list[int]]] = []
        self._kept = KeptNotes(task.folder / "index", unit.ordinal, task.config) if task.for_index else None
        self._index = 0

    def batch(self, docs: DocBatch, label: str) -> None:
        """Part the documents of one batch."""
        places = np.arange(self._index, self._index + len(docs))
        self._index += len(docs)
        paths = file_paths(docs)
        docs = self._lines.with_unique_ids(docs, paths)
        stays = self._fates.keeper[places] == len(self._fates.kept_ids)
        self._count(docs, stays, places, label)
        kept, kept_at = docs.select(stays), places[stays]
        kept = with_metadata(kept, {row: {CLUSTER_SIZE: n} for row, n in _leaders(self._fates.size[kept_at])})
        self._lines.put("kept", label, kept, chosen(paths, stays), encode(kept))
        if self._kept is not None:
            self._kept.add(self._lines.label_number(label), kept)
        if not stays.all():
            self._remove(docs.select(~stays), places[~stays], chosen(paths, ~stays), label)

    def _remove(self, docs: DocBatch, places: NDArray[np.int64], paths: list[str], label: str) -> None:
        fates, mode = self._fates, self._task.config.removed
        kept_ids = [fates.kept_ids[row] for row in fates.keeper[places].tolist()]
        self._add_evidence(docs.ids, kept_ids, places)
        if mode == "none":
            return
        shown = docs if mode == "text" else docs.replace(text=[""] * len(docs))
        shown = with_metadata(shown, {row: {DUPLICATE_OF: kept} for row, kept in enumerate(kept_ids)})
        reasons = [f"dedup.{RULES[rule]}" for rule in fates.rule[places].tolist()]
        lines = encode(shown, reasons, fates.similarity[places].tolist())
        self._lines.put("removed", label, docs, paths, lines)

    def _add_evidence(self, ids: list[str], kept_ids: list[str], places: NDArray[np.int64]) -> None:
        fates = self._fates
        rows = np.empty(len(ids), EVIDENCE)
        rows["key"] = records.hash_strings(pa.array(kept_ids, pa.string()))
        rows["unit"], rows["index"] = self._unit.ordinal, places
        rows["similarity"], rows["rule"] = fates.similarity[places], fates.rule[places]
        rows["cluster"] = fates.kept_sizes[fates.keeper[places]]
        encoded = [(kept.encode(), own.encode()) for kept, own in zip(kept_ids, ids, strict=True)]
        rows["kept"] = [len(kept) for kept, _ in encoded]
        payload = b"".join(part for pair in encoded for part in pair)
        self._evidence.append((rows, payload, [len(kept) + len(own) for kept, own in encoded]))

    def _count(self, docs: DocBatch, stays: NDArray[np.bool_], places: NDArray[np.int64], label: str) -> None:
        sizes, near = docs.sizes, self._fates.rule[places] != RULES.index(EXACT)
        sources, which = ([label], np.zeros(len(docs), np.int64)) if label else docs.different("source")
        for at, source in enumerate(sources):
            mine = which == at
            for name, mask in (
                ("in", mine),
                ("kept", mine & stays),
                (EXACT, mine & ~stays & ~near),
                (NEAR, mine & ~stays & near),
            ):
                self._lines.counts[f"documents_{name}|{source}"] += int(mask.sum())
                self._lines.counts[f"bytes_{name}|{source}"] += int(sizes[mask].sum())

    def finish(self) -> None:
        """Write the evidence, and what an index takes of the kept documents."""
        if self._kept is not None:
            self._kept.write()
        rows = np.concatenate([np.empty(0, EVIDENCE), *(rows for rows, _, _ in self._evidence)])
        payload = np.frombuffer(b"".join(data for _, data, _ in self._evidence), np.uint8)
        lengths = np.array([n for _, _, lengths in self._evidence for n in lengths], np.int64)
        Exchange(self._task.folder / "evidence", EVIDENCE).write(self._unit.ordinal, rows, payload, lengths)


def _leaders(sizes: NDArray[np.uint32]) -> Iterator[tuple[int, int]]:
    for row in np.flatnonzero(sizes).tolist():
        yield row, int(sizes[row])
