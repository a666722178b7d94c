"""From documents to what deduplication compares: digests, shingles, sets, signatures and band values.

Letters: D documents, S shingles of all documents, P permutations, B bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from megadata.corpus.dedup import normaliser
from megadata.corpus.dedup.config import MinHashConfig
from megadata.errors import CorpusError
from megadata.kernels import minhash as minhash_kernels
from megadata.kernels import shingles as shingle_kernels
from megadata.kernels.base import I64, U8, U32, U64


@dataclass(frozen=True, slots=True)
class Shingles:
    """Shingle hashes of documents: d has hashes[bounds[d]:bounds[d + 1]], at least one, in text order with repeats."""

    hashes: U64
    bounds: I64
    digests: U64
    """uint64[D, 2]: 128-bit hash of each normalised text."""


@dataclass(frozen=True, slots=True)
class Sets:
    """Sorted, distinct shingle hashes: document d has hashes[starts[d]:stops[d]]."""

    hashes: U64
    starts: I64
    stops: I64


def _check(offsets: I64, size: int, what: str) -> None:
    if offsets.size == 0 or offsets[0] < 0 or offsets[-1] > size or (np.diff(offsets) < 0).any():
        first, last = (int(offsets[0]), int(offsets[-1])) if offsets.size else (0, 0)
        raise CorpusError(f"offsets: expected to rise from 0 to {size} {what}, found first={first} last={last}")


def shingle(text: U8, offsets: I64, config: MinHashConfig) -> Shingles:
    """Normalise documents and hash each window of words, or of characters.

    Parameters
    ----------
    text : uint8 array of UTF-8.
    offsets : int64 array, shape (D + 1,)
        Document d is text[offsets[d]:offsets[d + 1]], in bytes.

    Raises
    ------
    CorpusError
        If offsets do not rise, or reach past the end of the text.

    Notes
    -----
    A text of fewer words than a window has one hash, of all of it. The normal form is that of `normaliser`, the digest covers
    all of it: equal digests mean equal normalised texts, up to the chance of a collision in 128 bits.
    """
    _check(offsets, text.size, "bytes")
    sizes = np.diff(offsets)
    largest = int(sizes.max(initial=0))
    by_character = config.shingle == "characters"
    tokens = np.maximum(sizes, 1) if by_character else sizes // 2 + 1  # most there can be
    hashes = np.empty(int(tokens.sum()), np.uint64)
    bounds = np.empty(offsets.size, np.int64)
    digests = np.empty((offsets.size - 1, 2), np.uint64)
    lanes = np.empty((2, int(tokens.max(initial=1))), np.uint64)
    normal = np.empty(2 * largest + 2 * shingle_kernels.PADDING, np.uint8)
    table = normaliser.table()
    shingle_kernels.shingle(
        text, offsets, table, config.width, by_character, normal, lanes[0], lanes[1], hashes, bounds, digests
    )
    return Shingles(hashes[: bounds[-1]], bounds, digests)


def distinct(shingles: Shingles, chosen: I64 | None = None) -> Sets:
    """Shingle sets of the chosen documents (of all of them when None), in the order given."""
    rows = np.arange(shingles.bounds.size - 1) if chosen is None else chosen
    sizes = np.diff(shingles.bounds)[rows]
    largest = int(sizes.max(initial=0))
    table = np.empty(2 * largest + largest // 2 + 8, np.uint64)
    hashes = np.empty(int(sizes.sum()), np.uint64)
    bounds = np.empty(rows.size + 1, np.int64)
    shingle_kernels.distinct(shingles.hashes, shingles.bounds, rows, table, hashes, bounds)
    return Sets(hashes[: bounds[-1]], bounds[:-1], bounds[1:])


@lru_cache(maxsize=8)
def permutations(count: int, seed: int) -> tuple[U32, U32]:
    """Odd multipliers and addends of ``affine32``, uint32[P] each, as datasketch 2 draws them from the seed."""
    generator = np.random.RandomState(seed)
    mul = generator.randint(0, 1 << 31, count, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    add = generator.randint(0, 1 << 32, count, dtype=np.uint32)
    return mul, add


def signatures(hashes: U64, bounds: I64, count: int, seed: int = 1) -> U32:
    """MinHash signatures, uint32[D, P], equal to those of ``datasketch.MinHash(num_perm=count, seed=seed)``.

    The hash function is the low 32 bits of `hashes`; a document without hashes gets the signature of an empty set.

    Notes
    -----
    datasketch's scheme ``affine32``: odd multiplier, addend, modulo 2**32, after a MurmurHash3 finaliser.
    """
    _check(bounds, hashes.size, "shingles")
    out = np.empty((bounds.size - 1, count), np.uint32)
    minhash_kernels.signatures(hashes, bounds, *permutations(count, seed), out)
    return out


def band_values(signatures_DP: U32, bands: int, rows: int) -> U64:
    """64-bit hashes, uint64[D, B], of the bands of each signature: equal where all slots of a band are equal."""
    if bands * rows > signatures_DP.shape[1]:
        raise CorpusError(
            f"signatures: expected at least {bands} x {rows} slots, found {signatures_DP.shape[1]}; sign with more permutations"
        )
    out = np.empty((signatures_DP.shape[0], bands), np.uint64)
    minhash_kernels.band_values(signatures_DP, rows, out)
    return out


def sign(shingles: Shingles, config: MinHashConfig) -> U64:
    """Band values, uint64[D, B], of documents under a configuration."""
    bands, rows = config.shape
    return band_values(signatures(shingles.hashes, shingles.bounds, bands * rows, config.seed), bands, rows)
