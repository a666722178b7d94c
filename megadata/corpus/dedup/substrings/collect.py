"""The second read: the bytes of every stretch whose anchor occurs elsewhere, one of each kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from megadata.corpus.dedup import ranks, records
from megadata.corpus.dedup.output import UniqueIds, writer_of
from megadata.corpus.dedup.substrings.config import SubstringConfig
from megadata.corpus.dedup.substrings.stretches import STRETCH, Stretches, stretches
from megadata.corpus.dedup.substrings.survey import are_among
from megadata.corpus.dedup.survey import numbered
from megadata.documents.batch import DocBatch, flat_column
from megadata.documents.ids import file_paths
from megadata.kernels import ragged
from megadata.kernels import substrings as kernels
from megadata.kernels.base import I64, U8, U64, Bool
from megadata.runtime.exchange import Exchange
from megadata.runtime.receipts import Receipt
from megadata.runtime.units import Unit

MEMBER = np.dtype([("document", "<u4"), ("start", "<u8"), ("windows", "<u4"), ("times", "<u4"), ("head", "<u4")])
"""A stretch of a unit, `times` times in a row: its document's place, its own place there, the number of the head it equals."""

HEAD = np.dtype([("document", "<u4"), ("start", "<u8")])
"""The first in rank of the stretches of some text that have the same bytes: place of its document, and its place there."""


@dataclass(frozen=True, slots=True)
class Members:
    """What a unit has of stretches whose anchors occur elsewhere."""

    members: np.ndarray[tuple[int], np.dtype[np.void]]
    heads: np.ndarray[tuple[int], np.dtype[np.void]]
    names: U8
    bounds: I64
    """int64[D + 1]: the id of document d is names[bounds[d]:bounds[d + 1]]."""

    @staticmethod
    def path(folder: Path, unit: int) -> Path:
        """Where those of a unit lie."""
        return folder / "members" / f"{unit:06d}.npz"

    @classmethod
    def load(cls, folder: Path, unit: int) -> Members:
        """Those of a unit."""
        with np.load(cls.path(folder, unit)) as held:
            return cls(held["members"], held["heads"], held["names"], held["bounds"])


@dataclass(frozen=True, slots=True)
class Collect:
    """Task of the second read: leaves a run of stretches, and which stretches of the unit have the bytes of each."""

    folder: Path
    config: SubstringConfig
    repeated: Path
    """uint64[A]: the anchors that occur more than once, sorted."""
    repeats: Path
    surveyed: Path
    """Folder of the first read."""

    def __call__(self, unit: Unit) -> Receipt:
        """Read one unit."""
        work = _Unit(self, unit)
        with writer_of(unit, self.folder, (), self.surveyed) as writer:
            for file, _, docs in numbered(unit, self.config.read):
                work.batch(docs, file.source)
            work.write()
            return writer.finish({})


class _Unit:
    """One unit whose stretches are collected."""

    def __init__(self, task: Collect, unit: Unit) -> None:
        self._task, self._unit = task, unit
        self._table: U64 = np.load(task.repeated, mmap_mode="r")
        self._unique = UniqueIds(task.repeats, unit.ordinal)
        self._run = records.Run(STRETCH)
        self._members = [np.empty(0, MEMBER)]
        self._heads = [np.empty(0, HEAD)]
        self._names: list[bytes] = []
        self._number = 0  # of heads so far

    def batch(self, docs: DocBatch, source: str) -> None:
        """Take the stretches of one batch."""
        config, first = self._task.config, len(self._names)
        paths = file_paths(docs)
        names = records.names_of(docs, paths)
        rank = (
            ranks.priorities(config.prefer, source, docs),
            records.hash_strings(names, 0),
            records.hash_strings(names, 1),
        )
        self._names += [own.encode() for own in self._unique.of(docs, paths)]
        flat, bounds = flat_column(pa.array([name.decode() for name in self._names[first:]], pa.string()))
        text, offsets = docs.text, docs.offsets
        order = np.empty(len(docs), np.int64)
        order[np.lexsort(rank[::-1])] = np.arange(len(docs))
        for some in stretches(text, offsets, config):
            chosen = _select(some, are_among(some.hashes, self._table))
            if not chosen.starts.size:
                continue
            stops = chosen.stops(config.length)
            document = np.searchsorted(offsets, chosen.starts, side="right") - 1
            head = _heads(text, chosen, stops, order[document])
            is_head = head == np.arange(head.size)
            self._add_members(chosen, document + first, chosen.starts - offsets[document], head, is_head)
            owner, starts = document[is_head], chosen.starts[is_head]
            payload, lengths = _interleaved(text, starts, stops[is_head], flat, bounds[owner], bounds[owner + 1])
            self._run.add(
                payload,
                lengths,
                key=chosen.hashes[is_head],
                priority=rank[0][owner],
                high=rank[1][owner],
                low=rank[2][owner],
                unit=self._unit.ordinal,
                index=owner + first,
                start=starts - offsets[owner],
                head=np.arange(self._number - starts.size, self._number),
                windows=chosen.windows[is_head],
                lead=chosen.leads[is_head],
            )

    def _add_members(self, some: Stretches, document: I64, start: I64, head: I64, is_head: Bool) -> None:
        """Note stretches and their heads; stretches in a row that have the same head become one."""
        heads = np.empty(int(is_head.sum()), HEAD)
        heads["document"], heads["start"] = document[is_head], start[is_head]
        self._heads.append(heads)
        number = (np.cumsum(is_head) - 1)[head] + self._number
        self._number += heads.size
        again = np.zeros(head.size, np.bool_)
        again[1:] = (number[1:] == number[:-1]) & (document[1:] == document[:-1])
        again[1:] &= start[1:] - start[:-1] == some.windows[1:]
        first = np.flatnonzero(~again)
        members = np.empty(first.size, MEMBER)
        members["document"], members["start"] = document[first], start[first]
        members["windows"], members["head"] = some.windows[first], number[first]
        members["times"] = np.diff(np.append(first, head.size))
        self._members.append(members)

    def write(self) -> None:
        """Leave everything for the phases that follow."""
        folder, unit = self._task.folder, self._unit.ordinal
        self._run.write(Exchange(folder / "stretches", STRETCH), unit, with_payload=True)
        records.save_arrays(
            Members.path(folder, unit),
            members=np.concatenate(self._members),
            heads=np.concatenate(self._heads),
            names=np.frombuffer(b"".join(self._names), np.uint8),
            bounds=np.cumsum([0, *map(len, self._names)], dtype=np.int64),
        )


def _select(some: Stretches, mask: Bool) -> Stretches:
    return Stretches(some.hashes[mask], some.starts[mask], some.windows[mask], some.leads[mask])


def _heads(text: U8, some: Stretches, stops: I64, rank: I64) -> I64:
    """int64[M]: for each stretch the first in rank of those with the same bytes, which have the same windows."""
    hashes = np.empty(stops.size, np.uint64)
    kernels.hash_ranges(text, some.starts, stops, hashes)
    order = np.lexsort((some.starts, rank, hashes)).astype(np.int64)
    head = np.empty(stops.size, np.int64)
    kernels.first_equal(text, some.starts, stops, order, hashes, head)
    return head


def _interleaved(left: U8, starts: I64, stops: I64, right: U8, begins: I64, ends: I64) -> tuple[U8, I64]:
    """Ranges of `left`, each followed by one of `right`, and the bytes of each pair."""
    sizes, more = stops - starts, ends - begins
    lengths = sizes + more
    to = np.cumsum(lengths) - lengths
    out = np.empty(int(lengths.sum()), np.uint8)
    ragged.place(left, starts, stops, to, out)
    ragged.place(right, begins, ends, to + sizes, out)
    return out, lengths
