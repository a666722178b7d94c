"""The order of windows: bijections, coverage, uniformity."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import oracles_indexed as oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megadata.indexed.order import Windows, mix64, mix64_of, permute, permute_locally

U64 = st.integers(0, 2**64 - 1)


def column(value: int, like: np.ndarray) -> np.ndarray:
    return np.full(like.shape, value, np.uint64)


@given(st.lists(U64, min_size=1, max_size=4))
def test_mix64_equals_the_oracle_for_arrays_and_integers(values):
    expected = oracles.mix(*values)
    assert mix64_of(*values) == expected
    assert mix64(*(np.array([value], np.uint64) for value in values)).tolist() == [expected]


@given(size=st.integers(1, 4000), key=U64, block=st.integers(1, 90))
@settings(max_examples=120)
def test_every_key_gives_a_bijection(size, key, block):
    places = np.arange(size, dtype=np.uint64)
    sizes, keys = column(size, places), column(key, places)
    assert np.sort(permute(places, sizes, keys)).tolist() == list(range(size))
    local = permute_locally(places, sizes, keys, column(block, places))
    assert np.sort(local).tolist() == list(range(size))


@given(st.lists(st.tuples(st.integers(1, 2**40), U64), min_size=1, max_size=30), st.data())
def test_elements_of_one_call_do_not_meet(pairs, data):
    places = np.array([data.draw(st.integers(0, size - 1)) for size, _ in pairs], np.uint64)
    sizes = np.array([size for size, _ in pairs], np.uint64)
    keys = np.array([key for _, key in pairs], np.uint64)
    together = permute(places, sizes, keys)
    alone = [int(permute(places[i : i + 1], sizes[i : i + 1], keys[i : i + 1])[0]) for i in range(len(pairs))]
    assert together.tolist() == alone
    assert (together < sizes).all()


def chi_square(counts: np.ndarray) -> float:
    """The statistic of equal frequencies, in standard deviations from its mean."""
    expected = counts.sum() / counts.size
    statistic = float(((counts - expected) ** 2 / expected).sum())
    freedom = counts.size - 1
    return (statistic - freedom) / np.sqrt(2 * freedom)


@pytest.mark.parametrize("size", [2, 3, 5, 7, 16, 60, 255, 256, 1000])
def test_positions_are_uniform_over_keys(size):
    keys = mix64(np.arange(20_000, dtype=np.uint64))
    sizes = column(size, keys)
    for place in {0, 1, size // 2, size - 1}:
        counts = np.bincount(permute(column(place, keys), sizes, keys).astype(np.int64), minlength=size)
        assert abs(chi_square(counts)) < 4.5


@pytest.mark.parametrize("size", [3, 4, 6])
def test_all_orders_of_few_windows_are_equally_likely(size):
    keys = mix64(np.arange(30_000, dtype=np.uint64))
    orders = np.stack([permute(column(i, keys), column(size, keys), keys) for i in range(size)], axis=1)
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert counts.size == np.prod(np.arange(1, size + 1))
    assert abs(chi_square(counts)) < 4.5


@pytest.mark.parametrize("size", [256, 10_007])
def test_neighbours_in_time_are_strangers_in_place(size):
    places = np.arange(size, dtype=np.uint64)
    for key in range(20):
        order = permute(places, column(size, places), column(oracles.mix(key), places)).astype(np.float64)
        correlation = np.corrcoef(order[:-1], order[1:])[0, 1]
        assert abs(correlation) < 4.5 / np.sqrt(size)


def windows(tokens: list[int], length: int, blocks: int | None = None) -> Windows:
    keys = mix64(np.arange(len(tokens), dtype=np.uint64))
    sizes = np.array(tokens, np.uint64)
    return Windows(length, sizes, keys, None if blocks is None else column(blocks, sizes))


@given(st.integers(1, 40), st.integers(0, 3000), st.integers(0, 5), st.one_of(st.none(), st.integers(1, 9)))
@settings(max_examples=120)
def test_an_epoch_sees_every_token_once_but_for_the_tail(length, more, epoch, blocks):
    tokens = length + more
    source = windows([tokens], length, blocks)
    per_epoch = tokens // length
    ranks = np.arange(epoch * per_epoch, (epoch + 1) * per_epoch)
    starts = source.starts(np.zeros_like(ranks), ranks)
    seen = np.bincount(((starts[:, None] + np.arange(length)) % tokens).ravel(), minlength=tokens)
    assert seen.max() == 1
    assert (seen == 0).sum() == tokens % length


def test_epochs_have_other_orders_and_other_edges():
    source = windows([100_000], 100)
    starts = [source.starts(np.zeros(1000, np.int64), np.arange(e * 1000, (e + 1) * 1000)) for e in range(3)]
    assert len({int(epoch[0] % 100) for epoch in starts}) == 3
    orders = [np.argsort(epoch) for epoch in starts]
    assert all((a == b).mean() < 0.02 for a, b in pairwise(orders))


def test_locality_keeps_a_group_of_blocks_together_in_time():
    source = windows([64 * 4 * 5 * 10 + 33], 10, blocks=4)
    per_epoch = int(source.per_epoch[0])
    starts = source.starts(np.zeros(per_epoch, np.int64), np.arange(per_epoch))
    phase = min(starts % 10) if len(set(starts % 10)) == 1 else None
    numbers = starts // 10 if phase is None else (starts - phase) // 10
    for group in range(5):
        blocks = set((numbers[group * 256 : (group + 1) * 256] // 4).tolist())
        assert len(blocks) <= 64 + 2
    assert (np.diff(numbers[:256]) == 1).mean() < 0.1


def test_a_sample_may_start_anywhere_alike_over_seeds():
    """Chi-square over seeds of where samples start, phases and permutation together."""
    tokens, length, seeds = 640, 64, 40_000
    keys = mix64(np.arange(seeds, dtype=np.uint64))
    source = Windows(length, np.full(seeds, tokens, np.uint64), keys)
    numbers = np.arange(seeds)
    for rank in (0, 1, 9, 10, 57):
        starts = source.starts(numbers, np.full(seeds, rank))
        assert abs(chi_square(np.bincount(starts, minlength=tokens))) < 4.5
        assert abs(chi_square(np.bincount(starts % length, minlength=length))) < 4.5


def test_pairs_of_samples_are_uniform_over_seeds():
    """Two samples of an epoch: every ordered pair of windows alike."""
    size = 12
    keys = mix64(np.arange(60_000, dtype=np.uint64))
    for one, other in ((0, 1), (0, 11), (4, 5)):
        first, second = (permute(column(at, keys), column(size, keys), keys).astype(np.int64) for at in (one, other))
        counts = np.bincount(first * size + second, minlength=size * size).reshape(size, size)
        assert np.trace(counts) == 0
        assert abs(chi_square(counts[~np.eye(size, dtype=bool)])) < 4.5


@pytest.mark.parametrize("blocks", [None, 16])
def test_samples_near_in_time_and_epochs_are_not_correlated(blocks):
    size = 20_000
    source = windows([size * 10], 10, blocks)
    at = np.arange(size)
    epochs = [source.starts(np.zeros_like(at), at + e * size).astype(float) for e in range(2)]
    if blocks is None:
        for lag in (1, 2, 3, 10, 100):
            assert abs(np.corrcoef(epochs[0][:-lag], epochs[0][lag:])[0, 1]) < 4.5 / np.sqrt(size)
    else:  # a group holds 1,024 windows of blocks from everywhere: the order inside it is as free
        inside = epochs[0][:1024]
        assert abs(np.corrcoef(inside[:-1], inside[1:])[0, 1]) < 4.5 / np.sqrt(1024)
    assert abs(np.corrcoef(*epochs)[0, 1]) < 4.5 / np.sqrt(size) * (1 if blocks is None else 8)
