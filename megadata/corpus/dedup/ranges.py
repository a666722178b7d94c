"""Tasks on key ranges: exact copies among equal digests, edges among equal band values, stars among components.

Each leaves one file of arrays, named by its range, and is passed over where that exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megadata.corpus.dedup import components, ranks, records, stars
from megadata.corpus.dedup.config import MinHashConfig
from megadata.corpus.dedup.records import BANDS, COPIES, SETS, Numbering
from megadata.corpus.dedup.signatures import Sets
from megadata.kernels.base import I64, U8
from megadata.runtime.exchange import Exchange, KeyRange, Partition
from megadata.runtime.executor import Executor
from megadata.runtime.progress import Reporter
from megadata.runtime.step import map_ranges

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Saved:
    """The arrays of one finished range, read from disk each time they are looked at."""

    path: Path

    def __getitem__(self, name: str) -> NDArray[Any]:
        with np.load(self.path) as arrays:
            found: NDArray[Any] = arrays[name]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeTask:
    """Reads one range of an exchange and leaves arrays."""

    source: Path
    """Folder of the exchange."""
    target: Path
    """Folder of the results."""
    numbering: Numbering
    memory: int
    """Bytes a range may have in memory; a single key that has more is put on disk."""
    also: tuple[Path, ...] = ()
    """More folders of the same exchange: what an index adds to it."""

    @property
    def exchange(self) -> Exchange:
        """Where the records come from."""
        raise TypeError(f"{type(self).__name__} has no exchange")

    def work(self, part: Partition) -> Arrays:
        """What is found in one range."""
        raise TypeError(f"{type(self).__name__} has no work")

    def __call__(self, key_range: KeyRange) -> Path:
        """Do one range, unless it is done; where the result is."""
        path = self.target / f"{key_range.start:017x}-{key_range.stop:017x}.npz"
        if not path.exists():
            scratch = self.target / "scratch" if key_range.bytes > self.memory else None
            records.save_arrays(path, **self.work(self.exchange.read(key_range, scratch)))
        return path


@dataclass(frozen=True, slots=True, kw_only=True)
class FindCopies(RangeTask):
    """Exact copies: ``removed`` and ``kept`` documents, their weights, and the names of the kept ones."""

    @property
    def exchange(self) -> Exchange:
        """Digests of all documents."""
        return Exchange(self.source, COPIES, self.also)

    def work(self, part: Partition) -> Arrays:
        """Elect a keeper for each digest."""
        rows = part.records
        digests = np.stack([rows["key"], rows["rest"]], axis=1)
        # copies are aligned, even of a single row
        priority, rank, tie = (rows[name].copy() for name in ("priority", "rank", "tie"))
        keeper = ranks.keepers(digests, priority, rank, tie, part.payload, part.offsets)
        removed = np.flatnonzero(keeper != np.arange(rows.size))
        return _found(self.numbering.numbers(rows["unit"], rows["index"]), removed, keeper[removed], part)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindEdges(RangeTask):
    """Pairs of documents, ``left`` and ``right``, that are neighbours among those with one band value."""

    @property
    def exchange(self) -> Exchange:
        """Band values of all documents."""
        return Exchange(self.source, BANDS, self.also)

    def work(self, part: Partition) -> Arrays:
        """Join neighbours."""
        rows = part.records
        numbers = self.numbering.numbers(rows["unit"], rows["index"])
        left, right = components.edges(np.ascontiguousarray(rows["key"]), numbers)
        pairs = np.unique((left.astype(np.uint64) << np.uint64(32)) | right)
        return {"left": (pairs >> np.uint64(32)).astype(np.uint32), "right": pairs.astype(np.uint32)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FindStars(RangeTask):
    """Near copies: as `FindCopies`, and ``shared`` and ``total`` shingles of each pair, and a ``tally``."""

    config: MinHashConfig

    @property
    def exchange(self) -> Exchange:
        """Shingle sets of all candidates."""
        return Exchange(self.source, SETS, self.also)

    def work(self, part: Partition) -> Arrays:
        """Choose who stays, in rank order inside each component."""
        rows = part.records
        words = part.payload.view(np.uint64)
        bands = self.config.shape[0]
        first = part.offsets[:-1] // 8
        starts = first + bands
        stops = starts + rows["hashes"]
        values = words[first[:, None] + np.arange(bands)] if rows.size else np.zeros((0, bands), np.uint64)
        saved = (rows["priority"] == ranks.SAVED).astype(np.uint8)
        found = stars.choose(values, Sets(words, starts, stops), self.config, saved)
        removed = found.removed
        numbers = self.numbering.numbers(rows["unit"], rows["index"])
        offsets = np.stack([stops * 8, stops * 8 + rows["name"]], axis=1).ravel()
        names, bounds = records.pick(part.payload, offsets, np.arange(rows.size) * 2)
        result = _found(numbers, removed, found.keeper[removed], Partition(rows, names, bounds))
        result["shared"] = found.shared[removed].astype(np.uint32)
        result["total"] = found.total[removed].astype(np.uint32)
        result["tally"] = np.array([found.comparisons, found.saturated], np.int64)
        return result


def _found(numbers: NDArray[np.uint32], removed: I64, kept: I64, part: Partition) -> Arrays:
    keepers = np.unique(kept)
    names: U8
    names, bounds = records.pick(part.payload, part.offsets, keepers)
    return {
        "removed": numbers[removed],
        "weight": part.records["weight"][removed],
        "kept": numbers[kept],
        "keepers": numbers[keepers],
        "own": part.records["weight"][keepers],
        "names": names,
        "bounds": bounds,
    }


_HELD = 6
"""Times its bytes that a range, what is made of it, and the mapped files behind it take, with some room."""


def range_bytes(memory: int, workers: int) -> int:
    """Bytes of a range such that all workers together stay within `memory`."""
    return memory // (_HELD * workers)


_RANGES_EACH = 2
"""Ranges for each worker that there are at the least, so that all have work until the end."""


def run_ranges(executor: Executor, task: RangeTask, memory: int, progress: Reporter, name: str) -> list[Saved]:
    """Run a task on all ranges of its exchange; the results in key order."""
    budget = 4 * range_bytes(memory, executor.workers) * executor.workers  # of which the exchange takes a quarter
    ranges = task.exchange.ranges(budget, executor.workers, _RANGES_EACH * executor.workers)
    return [Saved(path) for path in map_ranges(executor, task, ranges, progress, name)]
