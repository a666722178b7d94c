"""Ids that several documents have: which documents those are, found within the memory budget however many they are.

The notes of all ids lie in an exchange. Each key range is a task that leaves what it finds in a file; these are put in the
order of the units, in a file that every later task looks into without loading it.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from megadata.documents.ids import STREAMS
from megadata.runtime.exchange import Exchange, KeyRange
from megadata.runtime.executor import Executor
from megadata.runtime.files import atomic_write, temporary_name

REPEAT = np.dtype([("unit", "<u4"), ("stream", "<u4"), ("offset", "<u8"), ("occurrence", "<u8")])
"""A document whose id must be qualified: where its line is, and its number among equals of the same file."""
_PIECE = 1 << 20


def find_repeats(executor: Executor, exchange: Exchange, target: Path, memory: int) -> int:
    """Write the documents whose ids occur more than once, as an array of `REPEAT` sorted by unit; how many there are."""
    folder = target.with_name(f"{target.stem}-found")
    folder.mkdir(parents=True, exist_ok=True)
    task = _Find(exchange, folder, memory // (4 * executor.workers))
    paths: dict[int, Path] = {}
    for key_range, path in executor.run(task, exchange.ranges(memory, executor.workers)):
        paths[key_range.ordinal] = path
    number = _in_order_of_units([paths[ordinal] for ordinal in sorted(paths)], target)
    shutil.rmtree(folder, ignore_errors=True)
    return number


def repeats_of(path: Path, unit: int) -> dict[tuple[str, int], int]:
    """Occurrence numbers of the repeated ids of one unit, by (stream, offset of the line)."""
    repeats = np.load(path, mmap_mode="r")
    low, high = np.searchsorted(repeats["unit"], [unit, unit + 1])
    return {(STREAMS[stream], offset): number for _, stream, offset, number in repeats[low:high].tolist()}


@dataclass(frozen=True, slots=True)
class _Find:
    """Task of one key range: leave the repeats among its notes in a file."""

    exchange: Exchange
    folder: Path
    budget: int
    """Bytes of notes that are read at once; only the notes of a single key can be more."""

    def __call__(self, key_range: KeyRange) -> Path:
        target = self.folder / f"{key_range.ordinal:06d}.repeats"
        with atomic_write(target, sync=False) as file:
            if key_range.bytes <= self.budget or key_range.stop - key_range.start > 1:
                file.write(_among(self.exchange.read(key_range).records).tobytes())
            else:
                for some in _of_one_key(self.exchange, key_range):
                    file.write(some.tobytes())
        return target


def _among(notes: NDArray[np.void]) -> NDArray[np.void]:
    """The repeats among sorted notes, which hold all notes of each key or none."""
    new_id = _differ(notes, "key", "check")
    alone = new_id & np.append(new_id[1:], True)
    begins = np.flatnonzero(new_id | _differ(notes, "path"))
    rows = np.flatnonzero(~alone)
    return _repeats(notes[rows], rows - begins[np.searchsorted(begins, rows, side="right") - 1])


def _of_one_key(exchange: Exchange, key_range: KeyRange) -> Iterator[NDArray[np.void]]:
    """The repeats of one key, piece by piece: runs are in the order of units, and so each document counts those before it."""
    checks = Counter[int]()
    for notes in exchange.pieces(key_range, _PIECE):
        checks.update(dict(zip(*(a.tolist() for a in np.unique(notes["check"], return_counts=True)), strict=True)))
    seen = Counter[tuple[int, int]]()
    for notes in exchange.pieces(key_range, _PIECE):
        begins = np.flatnonzero(_differ(notes, "check", "path"))
        numbers = np.arange(notes.size)
        for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), notes.size], strict=True):
            of = (int(notes["check"][begin]), int(notes["path"][begin]))
            numbers[begin:end] += seen[of] - begin
            seen[of] += end - begin
        several = np.array([number > 1 for number in map(checks.__getitem__, notes["check"][begins].tolist())])
        rows = np.repeat(several, np.diff(np.append(begins, notes.size)))
        yield _repeats(notes[rows], numbers[rows])


def _differ(notes: NDArray[np.void], *names: str) -> NDArray[np.bool_]:
    """Where notes differ from the one before in any of these fields; the first does."""
    first = np.ones(min(notes.size, 1), np.bool_)
    later = np.zeros(max(notes.size - 1, 0), np.bool_)
    for name in names:
        later |= notes[name][1:] != notes[name][:-1]
    return np.concatenate([first, later])


def _repeats(notes: NDArray[np.void], occurrence: NDArray[np.int64]) -> NDArray[np.void]:
    found = np.empty(notes.size, REPEAT)
    for name in ("unit", "stream", "offset"):
        found[name] = notes[name]
    found["occurrence"] = occurrence
    return found


def _in_order_of_units(paths: list[Path], target: Path) -> int:
    """Put the repeats of all files into one array, by unit and then by place; how many there are."""
    sizes = np.zeros(0, np.int64)
    for some in _pieces(paths):
        more = np.bincount(some["unit"])
        sizes = np.pad(sizes, (0, max(more.size - sizes.size, 0)))
        sizes[: more.size] += more
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    if not bounds[-1]:
        with atomic_write(target, sync=False) as file:
            np.save(file, np.empty(0, REPEAT))
        return 0
    temporary = temporary_name(target)
    out = npy.open_memmap(temporary, "w+", REPEAT, (int(bounds[-1]),))
    free = bounds[:-1].copy()
    for some in _pieces(paths):
        ordered = some[np.argsort(some["unit"], kind="stable")]
        units, counts = np.unique(ordered["unit"], return_counts=True)
        at = 0
        for unit, count in zip(units.tolist(), counts.tolist(), strict=True):
            out[free[unit] : free[unit] + count] = ordered[at : at + count]
            free[unit], at = free[unit] + count, at + count
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        if stop - start > 1:
            out[start:stop] = np.sort(out[start:stop])
    out.flush()
    temporary.replace(target)
    return int(bounds[-1])


def _pieces(paths: list[Path]) -> Iterator[NDArray[np.void]]:
    for path in paths:
        with path.open("rb") as file:
            while (some := np.frombuffer(file.read(_PIECE * REPEAT.itemsize), REPEAT)).size:
                yield some
