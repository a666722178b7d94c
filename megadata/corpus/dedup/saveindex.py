"""`dedup --save-index`: a part of an index from what a deduplication keeps.

Units note, as they write, the digest, band values and place of every kept document; the exchange sorts the notes, and the part is
written from them a range of keys at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megadata.corpus.dedup import indexfile, ranks, records, signatures
from megadata.corpus.dedup.config import DedupConfig
from megadata.corpus.dedup.indexfile import Column
from megadata.corpus.dedup.records import Run
from megadata.documents.batch import DocBatch, flat_column
from megadata.kernels.base import U32
from megadata.runtime.exchange import Exchange
from megadata.runtime.receipts import Receipt
from megadata.runtime.shards import Shard, ShardPlan

KEPT = np.dtype(
    [
        ("key", "<u8"),
        ("rest", "<u8"),
        ("short", "<u4"),
        ("weight", "<u4"),
        ("label", "<u2"),
        ("unit", "<u4"),
        ("row", "<u4"),
    ]
)
"""A kept document: digest, rank, weight, and its place among the kept documents of one output in one unit. Payload: its id."""

KEPT_BANDS = np.dtype([("key", "<u8"), ("label", "<u2"), ("unit", "<u4"), ("row", "<u4")])
"""One band value of a kept document."""

KEPT_SETS = np.dtype([("key", "<u8"), ("rest", "<u8")])
"""A kept document by its digest. Payload: its shingle set."""


class KeptNotes:
    """What one unit notes of the documents it keeps."""

    def __init__(self, folder: Path, unit: int, config: DedupConfig) -> None:
        self._folder, self._unit, self._config = folder, unit, config
        self._documents, self._bands = Run(KEPT), Run(KEPT_BANDS)
        self._sets = Run(KEPT_SETS) if config.index_with_sets else None
        self._rows: dict[int, int] = {}

    def add(self, label: int, docs: DocBatch) -> None:
        """Note documents in the order in which their lines are written to the output `label`."""
        if len(docs) == 0:
            return
        first = self._rows.get(label, 0)
        self._rows[label] = first + len(docs)
        rows = np.arange(first, first + len(docs))
        shingles = signatures.shingle(docs.text, docs.offsets, self._config)
        names, bounds = flat_column(docs.records.column("id"))
        place: dict[str, Any] = {"label": label, "unit": self._unit}
        digest: dict[str, Any] = {"key": shingles.digests[:, 0], "rest": shingles.digests[:, 1]}
        self._documents.add(
            names[int(bounds[0]) : int(bounds[-1])],
            np.diff(bounds),
            **digest,
            **place,
            short=ranks.shortness(docs.sizes),
            weight=records.Facts.of(docs).weights,
            row=rows,
        )
        values = signatures.sign(shingles, self._config)
        self._bands.add(key=values.ravel(), row=np.repeat(rows, values.shape[1]), **place)
        if self._sets is not None:
            sets = signatures.distinct(shingles)
            self._sets.add(sets.hashes.view(np.uint8), (sets.stops - sets.starts) * 8, **digest)

    def write(self) -> None:
        """Hand the notes to the exchange."""
        self._documents.write(Exchange(self._folder / "documents", KEPT), self._unit, with_payload=True)
        self._bands.write(Exchange(self._folder / "bands", KEPT_BANDS), self._unit)
        if self._sets is not None:
            self._sets.write(Exchange(self._folder / "sets", KEPT_SETS), self._unit, with_payload=True)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the kept documents of each (output, unit) lie: their numbers in a row, their shard, and their rows in it."""

    base: NDArray[np.int64]
    """int64[L, U]: number of the first, counted through all outputs and units."""
    shard: NDArray[np.uint32]
    row: NDArray[np.int64]
    documents: int

    @classmethod
    def of(cls, streams: Sequence[str], receipts: list[Receipt], plans: list[ShardPlan], order: list[str]) -> _Places:
        """From what the units wrote; `order` names the shards as the part lists them, `stream/ordinal`."""
        units = 1 + max((r.unit for r in receipts), default=-1)
        counts = np.zeros((len(streams), units), np.int64)
        for receipt in receipts:
            for at, stream in enumerate(streams):
                if stream in receipt.parts:
                    counts[at, receipt.unit] = receipt.parts[stream].documents
        flat = np.cumsum(counts.ravel())
        base = (flat - counts.ravel()).reshape(counts.shape)
        shard, row = np.zeros(counts.shape, np.uint32), np.zeros(counts.shape, np.int64)
        number_of = {name: number for number, name in enumerate(order)}
        for plan in plans:
            if plan.stream in streams:
                at, held = streams.index(plan.stream), 0
                number = number_of[f"{plan.stream}/{plan.ordinal}"]
                for unit in plan.units:
                    shard[at, unit], row[at, unit] = number, held
                    held += int(counts[at, unit])
        return cls(base, shard, row, int(counts.sum()))


def save_part(
    notes: Path,
    index: Path,
    output: Path,
    config: DedupConfig,
    receipts: list[Receipt],
    shards: list[tuple[str, Shard, ShardPlan]],
    streams: Sequence[str],
    memory: int,
    workers: int,
) -> str:
    """Write the part of everything that was noted below `notes` into the folder `index`; the part's name.

    `shards` are the finished shards of kept documents, with their paths below `output` and the plans they were made from.
    """
    order = [f"{plan.stream}/{plan.ordinal}" for _, _, plan in shards]
    places = _Places.of(streams, receipts, [plan for _, _, plan in shards], order)
    listed = [{"name": name, "documents": s.documents, "size": s.size, "sha256": s.sha256} for name, s, _ in shards]
    scheme = indexfile.scheme(config)
    name = hashlib.sha256(repr((scheme, [(s["name"], s["sha256"]) for s in listed])).encode()).hexdigest()[:16] + ".idx"
    header = {
        "scheme": scheme,
        "documents": places.documents,
        "shards": listed,
        "folder": indexfile.folder_of(output, index),
    }
    documents = Exchange(notes / "documents", KEPT)
    sets = Exchange(notes / "sets", KEPT_SETS) if config.index_with_sets else None
    doc_ranges, set_ranges = documents.ranges(memory, workers), sets.ranges(memory, workers) if sets else []
    count, bands = places.documents, places.documents * config.shape[0]
    columns = [Column(name, dtype, count) for name, dtype in (("key", "<u8"), ("rest", "<u8"))]
    columns += [Column(name, "<u4", count) for name in ("short", "weight", "shard", "row")]
    columns += [Column("name_bounds", "<i8", count + 1), Column("names", "|u1", sum(r.payload for r in doc_ranges))]
    columns += [Column("values", "<u8", bands), Column("holders", "<u4", bands)]
    if sets:
        columns += [
            Column("set_bounds", "<i8", count + 1),
            Column("sets", "<u8", sum(r.payload for r in set_ranges) // 8),
        ]
    with indexfile.write_part(index / name, header, columns) as part:
        numbers = _write_documents(part, documents, doc_ranges, places)
        band_notes = Exchange(notes / "bands", KEPT_BANDS)
        for key_range in band_notes.ranges(memory, workers):
            rows = band_notes.read(key_range).records
            holders = numbers[places.base[rows["label"], rows["unit"]] + rows["row"]]
            by_holder = np.lexsort((holders, rows["key"]))
            part.add("values", rows["key"][by_holder])
            part.add("holders", holders[by_holder])
        if sets:
            _write_ragged(part, sets, set_ranges, "set_bounds", "sets", 8)
    return name


def _write_documents(part: indexfile.PartWriter, documents: Exchange, ranges: list[Any], places: _Places) -> U32:
    """The columns of documents, by digest; the number in that order of each document in the order of writing."""
    numbers = np.zeros(places.documents, np.uint32)
    at = 0
    for key_range in ranges:
        rows = documents.records(key_range)
        place = (rows["label"], rows["unit"])
        for name in ("key", "rest", "short", "weight"):
            part.add(name, rows[name])
        part.add("shard", places.shard[place])
        part.add("row", places.row[place] + rows["row"])
        numbers[places.base[place] + rows["row"]] = np.arange(at, at + rows.size)
        at += rows.size
    _write_ragged(part, documents, ranges, "name_bounds", "names", 1)
    return numbers


def _write_ragged(
    part: indexfile.PartWriter, exchange: Exchange, ranges: list[Any], bounds: str, data: str, width: int
) -> None:
    end = 0
    part.add(bounds, np.zeros(1, np.int64))
    for key_range in ranges:
        found = exchange.read(key_range)
        part.add(bounds, end + found.offsets[1:] // width)
        part.add(data, found.payload.view(np.uint64) if width == 8 else found.payload)
        end += found.payload.size // width
