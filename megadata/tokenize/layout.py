"""Between the passes: how much of each dataset every key range holds, and from that where each piece is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from megadata.runtime.exchange import Exchange, KeyRange
from megadata.runtime.files import atomic_write
from megadata.runtime.settings import RunSettings
from megadata.tokenize.records import RECORD

RANGE_BYTES = 64 << 20
"""Most bytes a key range holds; what a worker needs in the second pass is about three times this."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Documents, tokens and sequences."""

    documents: int = 0
    tokens: int = 0
    sequences: int = 0

    def plus(self, other: Totals) -> Totals:
        """The sum."""
        return Totals(self.documents + other.documents, self.tokens + other.tokens, self.sequences + other.sequences)


@dataclass(frozen=True, slots=True)
class Piece:
    """Documents `first` to `last` (of those of its dataset) of a key range, and where in a file they go."""

    prefix: str
    group: int
    first: int
    last: int
    at: Totals
    """Documents, tokens and sequences before them in the file."""
    size: Totals


@dataclass(frozen=True, slots=True)
class Placed:
    """One key range of the second pass."""

    key_range: KeyRange
    pieces: tuple[Piece, ...]

    @property
    def label(self) -> str:
        """How messages name it."""
        return self.key_range.label


Sums = Callable[[KeyRange, int], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class CountRange:
    """Task: count what a key range holds of each dataset; with `sums`, keep running sums for `read_sums` as well."""

    folder: Path
    sums: bool

    def __call__(self, key_range: KeyRange) -> dict[int, Totals]:
        """Group -> totals. Only the records of the range are read, not their payload."""
        records = Exchange(self.folder / "runs", RECORD).records(key_range)
        groups: dict[int, Totals] = {}
        for group in np.unique(records["group"]).tolist():
            own = records[records["group"] == group]
            tokens = own["tokens"].astype(np.int64)
            sequences = own["sequences"].astype(np.int64)
            groups[group] = Totals(own.size, int(tokens.sum()), int(sequences.sum()))
            if self.sums:
                sums = np.zeros((own.size + 1, 2), np.int64)
                np.cumsum(np.stack([tokens, sequences], axis=1), axis=0, out=sums[1:])
                with atomic_write(_sums_path(self.folder, key_range, group), sync=False) as file:
                    np.save(file, sums)
        return groups


def _sums_path(folder: Path, key_range: KeyRange, group: int) -> Path:
    return folder / "sums" / f"{key_range.ordinal:06d}-{group:016x}.npy"


def read_sums(folder: Path) -> Sums:
    """How to get, for a range and a dataset, the running sums of (tokens, sequences) over its documents: int64[D + 1, 2]."""
    return lambda key_range, group: np.load(_sums_path(folder, key_range, group))


def cut_ranges(folder: Path, settings: RunSettings) -> list[KeyRange]:
    """Key ranges that fit the memory, and at least two for every worker where there is enough for that."""
    exchange = Exchange(folder / "runs", RECORD)
    stored = sum(path.stat().st_size for path in (folder / "runs").glob("*.run"))
    fair = max(stored // (2 * settings.workers) + 1, 1 << 20)
    budget = min(fair, RANGE_BYTES, settings.memory // (4 * settings.workers))
    return exchange.ranges(4 * settings.workers * budget, settings.workers)


@dataclass(slots=True)
class _Open:
    """The file of a dataset that documents are being added to."""

    number: int = 0
    totals: Totals = field(default_factory=Totals)


def place(
    ranges: list[KeyRange],
    counted: Mapping[int, Mapping[int, Totals]],
    prefixes: Mapping[int, str],
    max_tokens: int | None = None,
    sums: Sums | None = None,
) -> tuple[list[Placed], dict[str, Totals]]:
    """Give every document its place.

    Parameters
    ----------
    ranges : key ranges, in order.
    counted : range ordinal -> group -> totals.
    prefixes : group -> prefix of its dataset.
    max_tokens : tokens a file may hold, or None for one file a dataset.
    sums : the running sums of a range's dataset, needed with `max_tokens`.

    Returns
    -------
    placed : what each range writes where
    files : prefix -> totals
    """
    opened: dict[int, _Open] = {}
    placed: list[Placed] = []
    files: dict[str, Totals] = {}
    for key_range in ranges:
        pieces: list[Piece] = []
        for group, total in sorted(counted[key_range.ordinal].items()):
            state = opened.setdefault(group, _Open())
            whole = np.array([[0, 0], [total.tokens, total.sequences]])
            running = sums(key_range, group) if sums is not None and max_tokens is not None else whole
            for first, last in _cut(running[:, 0], state, max_tokens):
                tokens, sequences = (running[last] - running[first]).tolist()
                documents = last - first if running is not whole else total.documents
                size = Totals(documents, tokens, sequences)
                prefix = prefixes[group] + (f"-{state.number:05d}" if max_tokens is not None else "")
                pieces.append(Piece(prefix, group, first, first + documents, state.totals, size))
                state.totals = files[prefix] = state.totals.plus(size)
        placed.append(Placed(key_range, tuple(pieces)))
    return placed, dict(sorted(files.items()))


def _cut(tokens: NDArray[np.int64], state: _Open, max_tokens: int | None) -> Iterator[tuple[int, int]]:
    """Stretches of documents for one file after another; the caller adds each to `state.totals`.

    A file is full when the next document would take it over `max_tokens`; one without tokens takes any document.
    """
    end = tokens.size - 1
    if max_tokens is None:
        yield 0, end
        return
    first = 0
    while first < end:
        limit = tokens[first] + max(max_tokens - state.totals.tokens, 0)  # documents without tokens always fit
        last = int(np.searchsorted(tokens, limit, side="right")) - 1
        if last <= first and state.totals.tokens:
            state.number, state.totals = state.number + 1, Totals()
            continue
        last = max(last, first + 1)
        yield first, last
        first = last
