"""The exchange: records written by many tasks, read back in key order, a range of keys at a time, within a memory budget.

Map tasks each write one *run*: fixed-size records with a uint64 ``key``, sorted, and optionally a payload of bytes for each
record. Reduce tasks each read one *key range* of all runs. The order, by key and then by the other fields, depends on the
records alone, never on runs, ranges, memory or workers.

Used for the document shuffle, MinHash bands, line counts and pre-token counts.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from megadata.errors import CorpusError
from megadata.formats import VERSIONS
from megadata.kernels import ragged
from megadata.runtime.files import atomic_write

_MAGIC = b"MDXCHG"
_HEADER = struct.Struct("<6sHQQ")  # magic, version, records, payload bytes
_KEYS = 1 << 64
MIN_RANGE_BYTES = 1 << 16
_WORTH_CUTTING = 4 << 20
"""Bytes of a range below which another one would cost more than it saves."""
MAX_RUNS = 1000
"""More runs than this are merged in groups first, so that a range never opens more files."""


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Keys start <= key < stop, and how many bytes of records and payload they have."""

    ordinal: int
    start: int
    stop: int
    bytes: int
    records: int
    payload: int

    @property
    def label(self) -> str:
        """How messages name the range."""
        return f"key range {self.ordinal} ({self.records} records)"


@dataclass(frozen=True, slots=True)
class Partition:
    """The records of one key range, sorted; record i owns payload[offsets[i]:offsets[i + 1]]."""

    records: NDArray[np.void]
    payload: NDArray[np.uint8]
    offsets: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Run:
    """One sorted run on disk, mapped into memory column by column."""

    columns: dict[str, NDArray[np.generic]]
    offsets: NDArray[np.int64] | None
    payload: NDArray[np.uint8]

    def bounds(self, start: int, stop: int) -> tuple[int, int]:
        keys = self.columns["key"]
        low = int(np.searchsorted(keys, np.uint64(start)))
        high = len(keys) if stop >= _KEYS else int(np.searchsorted(keys, np.uint64(stop)))
        return low, high

    def payload_bounds(self, low: int, high: int) -> tuple[int, int]:
        return (0, 0) if self.offsets is None else (int(self.offsets[low]), int(self.offsets[high]))


def sort_order(records: NDArray[np.void]) -> NDArray[np.int64]:
    """Positions that sort records by ``key`` and then by the remaining fields, in the order of the dtype."""
    keys = np.ascontiguousarray(records["key"])
    order = np.argsort(keys).astype(np.int64)
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    if same.any():
        tied = np.flatnonzero(np.concatenate([same, [False]]) | np.concatenate([[False], same]))
        members = order[tied]
        names = [n for n in records.dtype.names or () if n != "key"]
        by = [members, *(records[n][members] for n in reversed(names)), keys[members]]
        order[tied] = members[np.lexsort(by)]
    return order


def _space(size: int, scratch: Path | None) -> NDArray[np.uint8]:
    """Room for a payload: memory, or a file in `scratch` that has no name and goes when the array does."""
    if scratch is None or size == 0:
        return np.empty(size, np.uint8)
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=scratch) as file:
        file.truncate(size)
        return np.asarray(np.memmap(file, np.uint8, "r+", shape=(size,)))


def _rearrange(
    payload: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    order: NDArray[np.int64],
    scratch: Path | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if payload.size == 0:  # nothing to move, so no kernel is loaded for it
        return payload, np.zeros(order.size + 1, np.int64)
    lengths = np.diff(offsets)[order]
    out = _space(int(lengths.sum()), scratch)
    ragged.gather(payload, offsets, order, out)
    return out, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


@dataclass(frozen=True, slots=True)
class Exchange:
    """A folder of runs of records with dtype `fields`, which has a uint64 field ``key``."""

    folder: Path
    fields: np.dtype[np.void]
    also: tuple[Path, ...] = ()
    """Folders with more runs, which are read with the others; none is written or merged there."""

    def _path(self, run: int) -> Path:
        return self.folder / f"{run:06d}.run"

    def has(self, run: int) -> bool:
        """Whether a run of this number was written."""
        return self._path(run).exists()

    def write(
        self,
        run: int,
        records: NDArray[np.void],
        payload: NDArray[np.uint8] | None = None,
        lengths: NDArray[np.int64] | None = None,
    ) -> None:
        """Sort and store one run, replacing an earlier one of the same number.

        `payload` holds the bytes of all records one after another, `lengths` how many each record has.
        """
        order = sort_order(records)
        with atomic_write(self._path(run), sync=False) as file:
            held = 0
            if payload is not None and lengths is not None:
                offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
                if not np.array_equal(order, np.arange(order.size)):
                    payload, offsets = _rearrange(payload, offsets, order)
                held = payload.size
            file.write(_HEADER.pack(_MAGIC, VERSIONS["exchange"], records.size, held))
            for name in self.fields.names or ():
                file.write(np.ascontiguousarray(records[name][order]).view(np.uint8).data)
            if payload is not None and lengths is not None:
                file.write(offsets.view(np.uint8).data)
                file.write(payload.data)

    def _open(self, path: Path) -> _Run:
        data = (
            np.memmap(path, np.uint8, "r") if path.stat().st_size >= _HEADER.size else np.zeros(_HEADER.size, np.uint8)
        )
        magic, version, count, held = _HEADER.unpack(data[: _HEADER.size].tobytes())
        rows = count * self.fields.itemsize
        with_payload = data.size > _HEADER.size + rows
        expected = _HEADER.size + rows + (8 * (count + 1) + held if with_payload else 0)
        if magic != _MAGIC or version != VERSIONS["exchange"] or data.size != expected:
            raise CorpusError(f"{path}: expected a whole run of {count} records, found damage; delete it and run again")
        columns: dict[str, NDArray[np.generic]] = {}
        at = _HEADER.size
        for name in self.fields.names or ():
            dtype = self.fields[name]
            columns[name] = data[at : at + count * dtype.itemsize].view(dtype.base).reshape(count, *dtype.shape)
            at += count * dtype.itemsize
        if not with_payload:
            return _Run(columns, None, np.zeros(0, np.uint8))
        offsets = data[at : at + 8 * (count + 1)].view(np.int64)
        return _Run(columns, offsets, data[at + 8 * (count + 1) :])

    def _paths(self) -> list[Path]:
        """Files of the runs in order; those that a merged run (``first-last.run``) already holds are left out."""
        return [path for folder in (self.folder, *self.also) for path in self._paths_in(folder)]

    @staticmethod
    def _paths_in(folder: Path) -> list[Path]:
        spans = {path: _span(path) for path in folder.glob("*.run")}
        widest = sorted(spans, key=lambda path: (spans[path][0], -spans[path][1]))
        chosen: list[Path] = []
        for path in widest:
            if not chosen or spans[path][0] > spans[chosen[-1]][1]:
                chosen.append(path)
        return chosen

    def _runs(self) -> Iterator[_Run]:
        for path in self._paths():
            yield self._open(path)

    def ranges(self, memory: int, workers: int, least: int = 1) -> list[KeyRange]:
        """Cut the keys so that each range's bytes fit ``memory / (4 * workers)``, unless a single key alone is larger.

        Where there is enough to cut, about `least` ranges come of it, or more.

        Call it when all runs are written.
        """
        while len(paths := self._paths_in(self.folder)) > MAX_RUNS:
            for first in range(0, len(paths), MAX_RUNS):
                self._merge(paths[first : first + MAX_RUNS], memory)
        return self._cut(list(self._runs()), memory, workers, least)

    def _cut(self, runs: list[_Run], memory: int, workers: int, least: int = 1) -> list[KeyRange]:
        total = sum(r.columns["key"].size * self.fields.itemsize + r.payload.size for r in runs)
        budget = max(min(memory // (4 * workers), max(total // least, _WORTH_CUTTING)), MIN_RANGE_BYTES)
        count = 1
        while count * budget < total:
            count *= 2
        borders = [i * (_KEYS // count) for i in range(count)] + [_KEYS]
        found: list[KeyRange] = []
        pending = list(reversed(list(pairwise(borders))))
        while pending:
            start, stop = pending.pop()
            bounds = [r.bounds(start, stop) for r in runs]
            records = sum(high - low for low, high in bounds)
            held = 0
            for run, (low, high) in zip(runs, bounds, strict=True):
                first, last = run.payload_bounds(low, high)
                held += last - first
            size = records * self.fields.itemsize + held
            if size > budget and stop - start > 1:
                middle = (start + stop) // 2
                pending += [(middle, stop), (start, middle)]
            elif records:
                found.append(KeyRange(len(found), start, stop, size, records, held))
        return found

    def key(self, key: int) -> KeyRange:
        """The range of one key alone."""
        records = size = 0
        for run in self._runs():
            low, high = run.bounds(key, key + 1)
            first, last = run.payload_bounds(low, high)
            records, size = records + high - low, size + last - first
        return KeyRange(0, key, key + 1, records * self.fields.itemsize + size, records, size)

    def read(self, key_range: KeyRange, scratch: Path | None = None) -> Partition:
        """The records of one range, from all runs, in order.

        With `scratch` the payload lies in files there and not in memory: for a single key that is larger than the budget.
        """
        return self._read(self._runs(), key_range, scratch)

    def records(self, key_range: KeyRange) -> NDArray[np.void]:
        """The records of one range, in order, without reading their payload."""
        records = np.empty(key_range.records, self.fields)
        at = 0
        for run in self._runs():
            low, high = run.bounds(key_range.start, key_range.stop)
            for name, column in run.columns.items():
                records[name][at : at + high - low] = column[low:high]
            at += high - low
        return records[sort_order(records)]

    def pieces(self, key_range: KeyRange, most: int) -> Iterator[NDArray[np.void]]:
        """The records of one range without their payload, at most so many at a time: run after run, each in order."""
        for run in self._runs():
            low, high = run.bounds(key_range.start, key_range.stop)
            for start in range(low, high, most):
                stop = min(start + most, high)
                records = np.empty(stop - start, self.fields)
                for name, column in run.columns.items():
                    records[name] = column[start:stop]
                yield records

    def _read(self, runs: Iterable[_Run], key_range: KeyRange, scratch: Path | None = None) -> Partition:
        size = key_range.records
        records = np.empty(size, self.fields)
        payload = _space(key_range.payload, scratch)
        lengths = np.zeros(size, np.int64)
        at = written = 0
        for run in runs:
            low, high = run.bounds(key_range.start, key_range.stop)
            for name, column in run.columns.items():
                records[name][at : at + high - low] = column[low:high]
            if run.offsets is not None:
                first, last = run.payload_bounds(low, high)
                lengths[at : at + high - low] = np.diff(run.offsets[low : high + 1])
                payload[written : written + last - first] = run.payload[first:last]
                written += last - first
            at += high - low
        order = sort_order(records)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        payload, offsets = _rearrange(payload, offsets, order, scratch)
        return Partition(records[order], payload, offsets)

    def _merge(self, paths: list[Path], memory: int) -> None:
        """Merge runs into one file, a range at a time; the runs it holds are deleted after it is complete."""
        runs = [self._open(path) for path in paths]
        count = sum(r.columns["key"].size for r in runs)
        held = sum(r.payload.size for r in runs)
        with_payload = any(r.offsets is not None for r in runs)
        target = self.folder / f"{_span(paths[0])[0]:06d}-{_span(paths[-1])[1]:06d}.run"
        size = _HEADER.size + count * self.fields.itemsize + (8 * (count + 1) + held if with_payload else 0)
        with atomic_write(target, sync=False) as file:
            file.truncate(size)
            file.write(_HEADER.pack(_MAGIC, VERSIONS["exchange"], count, held))
            at = written = 0
            payload_at = size - held
            for key_range in self._cut(runs, memory, 1):
                part = self._read(runs, key_range)
                column_at = _HEADER.size
                for name in self.fields.names or ():
                    width = self.fields[name].itemsize
                    file.seek(column_at + at * width)
                    file.write(np.ascontiguousarray(part.records[name]).view(np.uint8).data)
                    column_at += count * width
                if with_payload:
                    file.seek(column_at + 8 * at)
                    file.write((part.offsets + written).view(np.uint8).data)
                    file.seek(payload_at + written)
                    file.write(part.payload.data)
                at += part.records.size
                written += part.payload.size
        for path in paths:
            if path != target:
                path.unlink()


def _span(path: Path) -> tuple[int, int]:
    """First and last run that a file holds."""
    first, _, last = path.stem.partition("-")
    return int(first), int(last or first)
