"""The merges of byte-pair encoding from counted words: the driver of `megadata.kernels.merges`.

Memory grows with the number of different words: some hundred bytes for each. Counts have 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from megadata.errors import ConfigError
from megadata.kernels import merges as kernels
from megadata.kernels.base import I32, I64, U8

T = TypeVar("T", bound=np.generic)

MOST_WORDS = (1 << 31) - 2
_AT_ONCE = 512
"""Merges between two reports of progress."""


@dataclass(frozen=True, slots=True)
class Words:
    """Different words and how often each occurs: word w is symbols[starts[w]:starts[w + 1]]. Merging uses the symbols up."""

    symbols: I32
    """Ids of tokens there are before anything is merged."""
    starts: I64
    counts: I64


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its bytes, and whether it stands only behind others (WordPiece's ``##``)."""

    piece: bytes
    inner: bool = False


@dataclass(frozen=True, slots=True)
class Merged:
    """What was merged."""

    tokens: list[Token]
    """All tokens by id, those given first."""
    merges: list[tuple[int, int]]
    """Ids of the two halves, in the order of their ranks."""
    used: I64
    """How often each token stands in the corpus when all merges are done."""


def find_merges(
    words: Words, tokens: Sequence[Token], limit: int, advance: Callable[[int], None] = lambda _: None
) -> Merged:
    """Merge the most frequent pair of neighbours again and again, until there are `limit` tokens or nothing is left to merge.

    Ties, and merges that make a token that is there already, are as in `tokenizers`. `advance` is told how many tokens were made.

    Raises
    ------
    ConfigError
        When there are more words than the trainer can number.
    """
    if words.counts.size > MOST_WORDS:
        raise ConfigError(
            f"the corpus has {words.counts.size} different words, at most {MOST_WORDS} can be merged; set min_count=2 or more"
        )
    run = _Run(words, tokens, limit)
    made = len(tokens)
    while run.merge():
        now = int(run.state[kernels.TOKENS])
        advance(now - made)
        made = now
    advance(int(run.state[kernels.TOKENS]) - made)
    return run.result()


class _Run:
    """The arrays of a run; those that are full are exchanged for larger ones."""

    def __init__(self, words: Words, tokens: Sequence[Token], limit: int) -> None:
        self.limit = limit
        self.state = np.zeros(kernels.STATES, np.int64)
        self.symbols, self.starts, self.counts = words.symbols, words.starts, words.counts
        self.sizes = np.diff(words.starts).astype(np.int32)
        self._enter(tokens)
        room = max(limit, len(tokens)) + 1
        self.changes = np.zeros((room, 4), np.int64)
        self.marks = np.zeros((room, 4), np.int32)
        self.merges = np.empty((room, 2), np.int32)
        self._count(len(tokens))

    def _enter(self, tokens: Sequence[Token]) -> None:
        room = max(self.limit, len(tokens)) + 1
        pieces = b"".join(token.piece for token in tokens)
        self.bytes: U8 = np.zeros(len(pieces) + 16 * room, np.uint8)
        self.bytes[: len(pieces)] = np.frombuffer(pieces, np.uint8)
        self.ends = np.zeros(room + 1, np.int64)
        np.cumsum([len(token.piece) for token in tokens], out=self.ends[1 : len(tokens) + 1])
        self.inner = np.zeros(room, np.uint8)
        self.inner[: len(tokens)] = [token.inner for token in tokens]
        self.slots = np.full(_power(2 * room), -1, np.int32)
        kernels.enter_tokens(self.bytes, self.ends, self.inner, len(tokens), self.slots)
        self.state[kernels.TOKENS] = len(tokens)

    def _count(self, tokens: int) -> None:
        size = _power(4 * min(max(self.symbols.size, 1), tokens * tokens))
        self.keys, self.totals, held = np.zeros(size, np.uint64), np.zeros(size, np.int64), np.zeros(size, np.int64)
        places = kernels.count_pairs(self.symbols, self.starts, self.counts, self.keys, self.totals, held, self.state)
        entries = int(self.state[kernels.PAIRS])
        self.entries = np.empty((2 * entries + 1024, 4), np.int64)
        self.queue = np.empty(2 * entries + 1024, np.int32)
        self.places = np.empty(2 * places + 1024, np.int32)
        kernels.queue_pairs(
            self.symbols, self.starts, self.keys, self.totals, held, self.entries, self.queue, self.places, self.state
        )

    def merge(self) -> bool:
        """Make some merges; whether there may be more."""
        said = kernels.merge(
            self.limit, _AT_ONCE, self.symbols, self.starts, self.sizes, self.counts, self.keys, self.totals,
            self.entries, self.queue, self.places, self.bytes, self.ends, self.inner, self.slots, self.merges,
            self.changes, self.marks, self.state,
        )  # fmt: skip
        if said == kernels.LACK_PAIRS:
            self._more_pairs()
        elif said == kernels.LACK_ENTRIES:
            self.entries, self.queue = _larger(self.entries), _larger(self.queue)
        elif said == kernels.LACK_PLACES:
            self.places = _larger(self.places)
        elif said == kernels.LACK_MERGES:
            self.merges = _larger(self.merges)
        elif said == kernels.LACK_BYTES:
            self.bytes = _larger(self.bytes)
        return bool(said != kernels.DONE)

    def _more_pairs(self) -> None:
        keys, totals = np.zeros(2 * self.keys.size, np.uint64), np.zeros(2 * self.keys.size, np.int64)
        kernels.move_pairs(self.keys, self.totals, keys, totals, self.state)
        self.keys, self.totals = keys, totals

    def result(self) -> Merged:
        """The tokens, and the merges by their ranks: one that was made twice has the rank of the second time."""
        count = int(self.state[kernels.TOKENS])
        data, ends = self.bytes.tobytes(), self.ends.tolist()
        tokens = [Token(data[ends[t] : ends[t + 1]], bool(self.inner[t])) for t in range(count)]
        made = [(int(left), int(right)) for left, right in self.merges[: self.state[kernels.MERGES]].tolist()]
        last = {pair: rank for rank, pair in enumerate(made)}
        return Merged(tokens, sorted(last, key=last.__getitem__), self._used(count))

    def _used(self, tokens: int) -> I64:
        sizes = self.sizes.astype(np.int64)
        places = np.arange(int(sizes.sum())) + np.repeat(self.starts[:-1] - (np.cumsum(sizes) - sizes), sizes)
        used = np.zeros(tokens, np.int64)
        np.add.at(used, self.symbols[places], np.repeat(self.counts, sizes))
        return used


def _power(least: int) -> int:
    """The smallest power of two that is not smaller."""
    return 1 << max(least - 1, 1).bit_length()


def _larger(array: NDArray[T]) -> NDArray[T]:
    """The same with half as much room again; pages that are not written to take no memory."""
    grown = np.empty((array.shape[0] + array.shape[0] // 2 + 1, *array.shape[1:]), array.dtype)
    grown[: array.shape[0]] = array
    return grown
