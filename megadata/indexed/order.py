"""Which window of a token stream is sample q: a pure function, with no array of the size of the data.

An epoch of a source of T tokens has W = T // L windows of L tokens (a sample reads one token more, its last label). The windows
start at a phase in [0, L) that is drawn anew for each epoch, so that their edges differ, and are visited in the order of a keyed
bijection of [0, W). Every token is seen once an epoch, but for the T mod L < L tokens between the last window and the first. The
windows of packed rows are the rows: their phase is 0.

The bijection is a generalised Feistel network on Z_a x Z_b with a * b just above W, walked until the value lies below W
(Black and Rogaway 2002, doi:10.1007/3-540-45760-7_9). All functions work on arrays, with a key and a size for each element.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

ROUNDS = 8
ROUNDS_SMALL = 24
SMALL = 256
"""Below this size 8 rounds fail a chi-square test of uniformity."""

LOCAL_BLOCK_BYTES = 8 << 20
"""With locality: windows of this many bytes are read together."""
LOCAL_GROUP_BLOCKS = 64
"""With locality: blocks whose windows are permuted jointly, 512 MiB."""

_MASK = (1 << 64) - 1
_STEP: Final = 0x9E3779B97F4A7C15
_MULTIPLY_1: Final = 0xBF58476D1CE4E5B9
_MULTIPLY_2: Final = 0x94D049BB133111EB
_U_STEP = np.uint64(_STEP)
_U_MULTIPLY_1 = np.uint64(_MULTIPLY_1)
_U_MULTIPLY_2 = np.uint64(_MULTIPLY_2)
_S27, _S30, _S31 = np.uint64(27), np.uint64(30), np.uint64(31)

PHASE_KEY = np.uint64(1)
GROUP_KEY = np.uint64(2)
BLOCK_KEY = np.uint64(3)


def avalanche(values: U64) -> U64:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195): a bijection of 64 bits."""
    mixed = values ^ (values >> _S30)
    mixed *= _U_MULTIPLY_1
    mixed ^= mixed >> _S27
    mixed *= _U_MULTIPLY_2
    mixed ^= mixed >> _S31
    return mixed


def mix64(*values: U64 | np.uint64) -> U64:
    """A 64-bit hash of the values in order, elementwise; at least one of them is an array."""
    state: Any = np.zeros(np.broadcast_shapes(*(np.shape(value) for value in values)) or (1,), np.uint64)
    for value in values:
        state = avalanche((state ^ value) + _U_STEP)
    return np.asarray(state, np.uint64)


def mix64_of(*values: int) -> int:
    """`mix64` of plain integers, each taken modulo 2**64."""
    state = 0
    for value in values:
        state = ((state ^ (value & _MASK)) + _STEP) & _MASK
        state = ((state ^ (state >> 30)) * _MULTIPLY_1) & _MASK
        state = ((state ^ (state >> 27)) * _MULTIPLY_2) & _MASK
        state ^= state >> 31
    return state


def seed64(seed: int) -> np.uint64:
    """A seed of any size, modulo 2**64."""
    return np.uint64(seed & _MASK)


def chance(draws: U64) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) of 53 bits."""
    return (draws >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(draws: U64, size: int | I64) -> I64:
    """Uniform integers below `size`, which is below 2**32."""
    bound = np.asarray(size).astype(np.uint64)
    return (((draws >> np.uint64(32)) * bound) >> np.uint64(32)).astype(np.int64)


def permute(positions: U64, sizes: U64, keys: U64) -> U64:
    """A keyed bijection of [0, size), elementwise.

    Parameters
    ----------
    positions, sizes, keys : uint64 arrays, shape (N,)
        Element i is moved within [0, sizes[i]) by the bijection of keys[i]; positions[i] < sizes[i] < 2**62.

    Returns
    -------
    uint64 array, shape (N,)
    """
    return _by_size(_feistel, positions, sizes, keys)


def unpermute(places: U64, sizes: U64, keys: U64) -> U64:
    """The inverse of `permute`: the position that each place was given to, elementwise."""
    return _by_size(_feistel_back, places, sizes, keys)


Network = Callable[[U64, U64, U64, U64, int], U64]


def _by_size(network: Network, values: U64, sizes: U64, keys: U64) -> U64:
    """Walk with the rounds that each size needs."""
    small = sizes < SMALL
    if not small.any():
        return _walk(network, values, sizes, keys, ROUNDS)
    out = np.empty_like(values)
    out[small] = _walk(network, values[small], sizes[small], keys[small], ROUNDS_SMALL)
    large = ~small
    if large.any():
        out[large] = _walk(network, values[large], sizes[large], keys[large], ROUNDS)
    return out


def _walk(network: Network, values: U64, sizes: U64, keys: U64, rounds: int) -> U64:
    """Apply the network until each value lies below its size: less than 1 + 1 / sqrt(size) times, on average."""
    one = np.uint64(1)
    side_a = np.ceil(np.sqrt(sizes.astype(np.float64))).astype(np.uint64)
    side_b = (sizes + side_a - one) // side_a
    out = network(values, side_a, side_b, keys, rounds)
    outside = np.flatnonzero(out >= sizes)
    while outside.size:
        out[outside] = network(out[outside], side_a[outside], side_b[outside], keys[outside], rounds)
        outside = outside[out[outside] >= sizes[outside]]
    return out


def _feistel(values: U64, side_a: U64, side_b: U64, keys: U64, rounds: int) -> U64:
    y, x = np.divmod(values, side_a)
    key = keys.copy()
    for r in range(rounds):
        key += _U_STEP
        if r % 2 == 0:
            x += avalanche(key + y) % side_a
            x -= side_a * (x >= side_a)
        else:
            y += avalanche(key + x) % side_b
            y -= side_b * (y >= side_b)
    return y * side_a + x


def _feistel_back(values: U64, side_a: U64, side_b: U64, keys: U64, rounds: int) -> U64:
    y, x = np.divmod(values, side_a)
    key = keys + np.uint64((_STEP * (rounds + 1)) & _MASK)
    for r in reversed(range(rounds)):
        key -= _U_STEP
        if r % 2 == 0:
            x += side_a - avalanche(key + y) % side_a
            x -= side_a * (x >= side_a)
        else:
            y += side_b - avalanche(key + x) % side_b
            y -= side_b * (y >= side_b)
    return y * side_a + x


def permute_locally(positions: U64, sizes: U64, keys: U64, blocks_of: U64) -> U64:
    """A keyed bijection of [0, size) that keeps neighbours near each other in time, for storage that is slow to seek.

    Windows lie in blocks of `blocks_of`; the blocks are permuted; groups of 64 of them, in that order, are permuted jointly.
    The windows after the last whole block join the last group.

    Parameters
    ----------
    positions, sizes, keys : uint64 arrays, shape (N,)
        As for `permute`.
    blocks_of : uint64 array, shape (N,)
        Windows in a block.

    Returns
    -------
    uint64 array, shape (N,)
    """
    one, per_group = np.uint64(1), np.uint64(LOCAL_GROUP_BLOCKS)
    blocks: U64 = sizes // blocks_of
    last_group: U64 = np.maximum(blocks // per_group, one) - one
    group: U64 = np.minimum(positions // (per_group * blocks_of), last_group)
    first_block: U64 = group * per_group
    first: U64 = first_block * blocks_of
    is_last = group == last_group
    group_blocks: U64 = np.where(is_last, blocks - first_block, per_group)
    group_size: U64 = np.where(is_last, sizes - first, per_group * blocks_of)
    inside = permute(positions - first, group_size, mix64(keys, GROUP_KEY, group))
    place: U64 = inside // blocks_of
    out: U64 = (blocks - group_blocks) * blocks_of + inside
    whole = np.flatnonzero(place < group_blocks)
    moved = permute(first_block[whole] + place[whole], blocks[whole], mix64(keys[whole], BLOCK_KEY))
    out[whole] = moved * blocks_of[whole] + inside[whole] % blocks_of[whole]
    return out


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of several sources, to look samples of any of them up at once. Letter: S sources."""

    sequence_length: int
    """Tokens a window advances."""
    tokens: U64
    """Tokens of each source, shape (S,)."""
    keys: U64
    """Hash of seed and source, shape (S,)."""
    blocks_of: U64 | None = None
    """With locality: windows in a block, shape (S,)."""
    in_rows: NDArray[np.bool_] | None = None
    """Sources of packed rows, whose windows are the rows in every epoch; shape (S,)."""

    @property
    def per_epoch(self) -> U64:
        """Windows in an epoch of each source, shape (S,)."""
        return self.tokens // np.uint64(self.sequence_length)

    def starts(self, source: I64, ranks: I64) -> I64:
        """Where in its source's stream each sample starts.

        Parameters
        ----------
        source : int64 array, shape (N,)
            The source of each sample.
        ranks : int64 array, shape (N,)
            The how-manieth sample of that source it is, counted over all epochs.

        Returns
        -------
        int64 array, shape (N,)
            The window is the tokens start, ..., start + sequence_length, modulo the tokens of the source.
        """
        length = np.uint64(self.sequence_length)
        sizes = self.per_epoch[source]
        epochs, slots = np.divmod(ranks.astype(np.uint64), sizes)
        keys, phases = self.epoch_keys(source, epochs)
        if self.blocks_of is None:
            order = permute(slots, sizes, keys)
        else:
            order = permute_locally(slots, sizes, keys, self.blocks_of[source])
        return ((phases + order * length) % self.tokens[source]).astype(np.int64)

    def epoch_keys(self, source: I64, epochs: U64) -> tuple[U64, U64]:
        """Key of the order of each epoch, and where its first window starts; two arrays of shape (N,)."""
        keys = mix64(self.keys[source], epochs)
        phases: U64 = mix64(keys, PHASE_KEY) % np.uint64(self.sequence_length)
        return keys, phases if self.in_rows is None else np.where(self.in_rows[source], np.uint64(0), phases)
