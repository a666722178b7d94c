"""The n-grams of evaluation texts as arrays that workers share, and the search for them in documents.

Letters: R evaluation texts, G n-grams, P (n-gram, text) pairs, H matches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from megadata.corpus.decontaminate.config import DecontaminateConfig
from megadata.corpus.dedup import normaliser
from megadata.documents.batch import DocBatch
from megadata.kernels import ngrams
from megadata.kernels.base import I32, I64, U8, U64, Bool
from megadata.kernels.shingles import PADDING
from megadata.runtime.files import atomic_write

_FILTER_BITS = 16
"""Bits of the filter for each n-gram, at least."""
_LEAST_PLACES = 1 << 10
_ROOM = 1 << 12


@dataclass(frozen=True, slots=True)
class Index:
    """The n-grams of evaluation texts; see `megadata.kernels.ngrams`."""

    normal: U8
    """Normal forms of all texts that are looked for."""
    bounds: I64
    """int64[G, 2]: n-gram g is normal[bounds[g, 0]:bounds[g, 1]], words and zero bytes."""
    hashes: U64
    slots: I32
    filter: U64
    lengths: I64
    """Lengths in tokens of texts that are n-grams as a whole."""
    texts: I64
    """int64[P]: evaluation texts of n-grams; n-gram g stands in texts[first[g]:first[g + 1]]."""
    first: I64
    shared: I64
    """int64[G]: in how many texts each n-gram stands, those that `texts` leaves out included."""
    sizes: I64
    """int64[R]: distinct n-grams of each text that are told of it; 0 for texts that are too short."""

    def ngram(self, number: int) -> str:
        """The words of an n-gram, in normal form."""
        start, stop = self.bounds[number].tolist()
        return self.normal[start : stop - 1].tobytes().replace(b"\0", b" ").decode()

    def texts_of(self, number: int) -> list[int]:
        """Numbers of the evaluation texts of an n-gram."""
        found: list[int] = self.texts[self.first[number] : self.first[number + 1]].tolist()
        return found

    def save(self, folder: Path) -> None:
        """Write the arrays, each to a file of its own, for `load`."""
        folder.mkdir(parents=True, exist_ok=True)
        for field in fields(self):
            with atomic_write(folder / f"{field.name}.npy", sync=False) as file:
                np.save(file, getattr(self, field.name))

    @classmethod
    def load(cls, folder: Path) -> Index:
        """The index in a folder, mapped into memory, so that workers share one copy."""
        mapped = {f.name: np.asarray(np.load(folder / f"{f.name}.npy", mmap_mode="r")) for f in fields(cls)}
        return cls(**mapped)


@dataclass(frozen=True, slots=True)
class _Space:
    """Room for one normalised text."""

    normal: U8
    hashes: U64
    ends: I64
    weights: I64

    @classmethod
    def of(cls, largest: int) -> _Space:
        """Room for texts of up to `largest` bytes."""
        tokens = largest // 2 + 3
        return cls(
            np.empty(2 * largest + 2 * PADDING, np.uint8),
            np.empty(tokens, np.uint64),
            np.empty(tokens, np.int64),
            np.empty(tokens, np.int64),
        )

    @property
    def arrays(self) -> tuple[Any, ...]:
        """In the order of kernels' arguments."""
        return self.normal, self.hashes, self.ends, self.weights


@lru_cache(maxsize=1)
def _powers() -> U64:
    return ngrams.powers()


def _weights(config: DecontaminateConfig) -> tuple[int, int]:
    return ngrams.WORD * config.shortest, ngrams.WORD * config.words


def _power_of_two(least: int) -> int:
    return 1 << max(least - 1, 1).bit_length()


def build(texts: Sequence[str], config: DecontaminateConfig) -> Index:
    """Index the n-grams of evaluation texts."""
    docs = DocBatch.of([""] * len(texts), texts)
    text, offsets = docs.text, docs.offsets
    space = _Space.of(int(docs.sizes.max(initial=0)))
    head = (text, offsets, normaliser.table(), *_weights(config), _powers(), *space.arrays)
    weights = np.empty(len(texts), np.int64)
    short = np.zeros(ngrams.LONGEST, np.bool_)
    sizes = np.zeros(2, np.int64)

    def run(held: int, pairs: int, places: int, words: int) -> tuple[Any, ...]:
        made = (
            np.empty(held, np.uint8),
            np.empty((pairs, 2), np.int64),
            np.empty(pairs, np.uint64),
            np.zeros(places, np.int32),
            np.zeros(words, np.uint64),
        )
        found = np.empty((pairs, 2), np.int64)
        return (*made, found, ngrams.index(*head, *made, short, found, weights, sizes))

    run(0, 0, 1, 1)
    pairs, held = sizes.tolist()
    places = _power_of_two(max(2 * pairs, _LEAST_PLACES))
    words = _power_of_two(max(pairs * _FILTER_BITS, 64 * _LEAST_PLACES) // 64)
    normal, bounds, hashes, slots, bits, found, grams = run(held, pairs, places, words)
    shared, first, attributed = _attribute(found, grams, config.most_items)
    told = np.bincount(attributed, minlength=len(texts)).astype(np.int64)
    lengths = np.flatnonzero(short).astype(np.int64)
    bounds, hashes = (np.ascontiguousarray(one[:grams]) for one in (bounds, hashes))
    return Index(normal, bounds, hashes, slots, bits, lengths, attributed, first, shared, told)


def _attribute(pairs: I64, grams: int, most: int) -> tuple[I64, I64, I64]:
    """How many texts each n-gram stands in, and which of them it is told of, as first[G + 1] into texts[P].

    Pairs come in the order of the texts.
    """
    ordered = pairs[np.argsort(pairs[:, 0], kind="stable")]
    new = np.ones(len(ordered), np.bool_)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    ordered = ordered[new]
    shared = np.bincount(ordered[:, 0], minlength=grams).astype(np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(shared)])
    leading = np.zeros(len(ordered), np.bool_)
    leading[starts[:-1]] = True
    ordered = ordered[(shared[ordered[:, 0]] <= most) | leading]
    first = np.searchsorted(ordered[:, 0], np.arange(grams + 1)).astype(np.int64)
    return shared, first, np.ascontiguousarray(ordered[:, 1])


def search(docs: DocBatch, index: Index, config: DecontaminateConfig, ignored: Bool | None = None) -> I64:
    """All n-grams of the index in documents, as int64[H, 4]: document, first token, token after the last, n-gram.

    Parameters
    ----------
    ignored : bool[G], n-grams that are not looked for.
    """
    space = _Space.of(int(docs.sizes.max(initial=0)))
    skip = np.zeros(index.hashes.size, np.bool_) if ignored is None else ignored
    room = _ROOM
    anchors, starts = np.empty(space.hashes.size, np.uint64), np.empty(space.hashes.size, np.int64)
    while True:
        out = np.empty((room, 4), np.int64)
        found: int = ngrams.search(
            docs.text,
            docs.offsets,
            normaliser.table(),
            *_weights(config),
            _powers(),
            *space.arrays,
            anchors,
            starts,
            index.normal,
            index.bounds,
            index.hashes,
            index.slots,
            index.filter,
            index.lengths,
            skip,
            out,
        )
        if found <= room:
            matches: I64 = out[:found]
            return matches
        room = found


def by_document(matches: I64) -> Iterator[tuple[int, I64]]:
    """(document, its matches) for each document that has any, in order."""
    borders = [*np.flatnonzero(np.diff(matches[:, 0], prepend=-1)).tolist(), len(matches)]
    for start, stop in pairwise(borders):
        yield int(matches[start, 0]), matches[start:stop]


def places(docs: DocBatch, row: int) -> I64:
    """int64[T, 2]: bytes of one document's text, from its first on, from which each of its tokens was made."""
    start, stop = docs.offsets[row : row + 2].tolist()
    out = np.empty((stop - start + 1, 2), np.int64)
    count: int = ngrams.places(docs.text, start, stop, normaliser.table(), out)
    found: I64 = out[:count] - start
    return found
