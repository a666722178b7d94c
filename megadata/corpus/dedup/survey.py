"""The first and second read: band values and digests of all documents, then the shingle sets of those that could be copies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from megadata.corpus.dedup import ranks, records, signatures
from megadata.corpus.dedup.config import DedupConfig
from megadata.corpus.dedup.records import BANDS, COPIES, SETS, Numbering, Run
from megadata.documents.batch import DocBatch, flat_column
from megadata.documents.ids import NOTE
from megadata.documents.inputs import read_span
from megadata.documents.source import Problems, ReadOptions
from megadata.kernels.base import I64, U8, U64
from megadata.runtime.exchange import Exchange
from megadata.runtime.receipts import Receipt, UnitWriter, receipt_path
from megadata.runtime.units import InputFile, Unit

_WORD = 8


def numbered(unit: Unit, options: ReadOptions) -> Iterator[tuple[InputFile, int, DocBatch]]:
    """Batches of a unit with their file and the place of their first document in the unit."""
    index = 0
    for span in unit.spans:
        for docs in read_span(span, options, Problems()):
            yield span.file, index, docs
            index += len(docs)


@dataclass(frozen=True, slots=True)
class Survey:
    """Task of the first read: leaves runs of digests, of band values and of ids."""

    folder: Path
    config: DedupConfig
    options: ReadOptions

    def __call__(self, unit: Unit) -> Receipt:
        """Read one unit."""
        copies, bands, ids = Run(COPIES), Run(BANDS), Run(NOTE)
        documents = 0
        with UnitWriter(self.folder, unit) as writer:
            for file, start, docs in numbered(unit, self.options):
                places = np.arange(start, start + len(docs))
                facts = records.Facts.of(docs, self.config.quality)
                note_ids(docs, facts.paths, unit, places, ids)
                shingles = signatures.shingle(docs.text, docs.offsets, self.config)
                names, bounds = flat_column(records.names_of(docs, facts.paths))
                rank, tie = ranks.measures(docs.sizes, facts.quality, self.config.quality_first)
                copies.add(
                    names[int(bounds[0]) : int(bounds[-1])],
                    np.diff(bounds),
                    key=shingles.digests[:, 0],
                    rest=shingles.digests[:, 1],
                    priority=ranks.priorities(self.config.prefer, file.source, docs),
                    rank=rank,
                    tie=tie,
                    unit=unit.ordinal,
                    index=places,
                    weight=facts.weights,
                )
                if not self.config.exact_only:
                    values = signatures.sign(shingles, self.config)
                    bands.add(key=values.ravel(), unit=unit.ordinal, index=np.repeat(places, values.shape[1]))
                documents += len(docs)
            ids.write(Exchange(self.folder / "ids", NOTE), unit.ordinal)
            copies.write(Exchange(self.folder / "copies", COPIES), unit.ordinal, with_payload=True)
            if not self.config.exact_only:
                bands.write(Exchange(self.folder / "bands", BANDS), unit.ordinal)
            return writer.finish({"documents": documents})


def note_ids(docs: DocBatch, paths: list[str], unit: Unit, places: I64, ids: Run) -> None:
    """Append a note of every document's id, by which repeated ones are found."""
    column = docs.records.column("id")
    ids.add(
        key=records.hash_strings(column, 0),
        check=records.hash_strings(column, 1),
        path=records.hash_strings(pa.array(paths, pa.string())),
        unit=unit.ordinal,
        stream=0,
        offset=places,
    )


@dataclass(frozen=True, slots=True)
class Collect:
    """Task of the second read: leaves a run of the shingle sets of the candidates, keyed by their component."""

    folder: Path
    config: DedupConfig
    options: ReadOptions
    numbering: Numbering
    components: Path
    """uint32[N]: the component of every document, see `components`."""
    company: Path
    """bool[N]: which documents share theirs with others."""
    surveyed: Path
    """Folder of the first read."""

    def __call__(self, unit: Unit) -> Receipt:
        """Read one unit."""
        first, last = self.numbering.span(unit.ordinal)
        company = np.load(self.company, mmap_mode="r")[first:last]
        component = np.load(self.components, mmap_mode="r")[first:last]
        sets = Run(SETS)
        known = Receipt.load(receipt_path(self.surveyed, unit.ordinal))
        with UnitWriter(self.folder, unit, known=known) as writer:
            for file, start, docs in numbered(unit, self.options):
                mask = np.array(company[start : start + len(docs)])
                if mask.any():
                    self._add(docs.select(mask), file, unit.ordinal, start + np.flatnonzero(mask), component, sets)
            sets.write(Exchange(self.folder / "sets", SETS), unit.ordinal, with_payload=True)
            return writer.finish({"candidates": int(company.sum())})

    def _add(
        self, docs: DocBatch, file: InputFile, unit: int, places: I64, component: NDArray[np.uint32], sets: Run
    ) -> None:
        shingles = signatures.shingle(docs.text, docs.offsets, self.config)
        facts = records.Facts.of(docs, self.config.quality)
        rank, tie = ranks.measures(docs.sizes, facts.quality, self.config.quality_first)
        add_candidates(
            sets,
            signatures.sign(shingles, self.config),
            signatures.distinct(shingles),
            flat_column(records.names_of(docs, facts.paths)),
            key=records.spread(component[places]),
            priority=ranks.priorities(self.config.prefer, file.source, docs),
            rank=rank,
            tie=tie,
            high=shingles.digests[:, 0],
            low=shingles.digests[:, 1],
            unit=unit,
            index=places,
            weight=facts.weights,
        )


def add_candidates(
    run: Run, values: U64, sets: signatures.Sets, names: tuple[U8, I64], **columns: NDArray[np.generic] | int
) -> None:
    """Append candidates to a run of `SETS`: their band values, shingle sets and names go to the payload."""
    sizes = sets.stops - sets.starts
    payload, lengths = _interleave(
        [
            (values.view(np.uint8).reshape(-1), np.full(len(values), values.shape[1] * _WORD)),
            (sets.hashes.view(np.uint8), sizes * _WORD),
            _filled(*names),
        ]
    )
    run.add(payload, lengths, hashes=sizes, name=np.diff(names[1]), **columns)


def _filled(data: U8, bounds: I64) -> tuple[U8, I64]:
    """Rows of bytes, each filled up with zeros to whole words, and their lengths."""
    lengths = np.diff(bounds)
    whole = -(-lengths // _WORD) * _WORD
    starts = np.cumsum(whole) - whole
    out = np.zeros(int(whole.sum()), np.uint8)
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    out[np.repeat(starts, lengths) + within] = data[int(bounds[0]) : int(bounds[-1])]
    return out, whole


def _interleave(parts: list[tuple[U8, I64]]) -> tuple[U8, I64]:
    """Row by row, the bytes of several ragged arrays after one another; also the length of each row."""
    lengths = np.stack([length for _, length in parts])
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths.ravel(), dtype=np.int64)])
    order = np.arange(lengths.size).reshape(lengths.shape).T.ravel()
    data, _ = records.pick(np.concatenate([part for part, _ in parts]), offsets, order)
    return data, lengths.sum(axis=0)
