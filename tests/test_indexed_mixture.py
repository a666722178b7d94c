"""Exact splits, segments, limits."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import oracles_indexed as oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megadata.errors import ConfigError
from megadata.indexed.mixture import ENDLESS, Tree, compile_segments, integer_weights

WEIGHTS = st.lists(st.integers(1, 2**25), min_size=1, max_size=30)
SMALL = st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(any)


def ties(count: int) -> list[str]:
    return [f"{oracles.mix(i):016x}" for i in range(count)]


class Fixed:
    """Weights of a phase that do not depend on what is spent."""

    def __init__(self, weights: list[int]) -> None:
        self.weights = weights

    def without(self, spent) -> list[int]:
        return [0 if i in spent else weight for i, weight in enumerate(self.weights)]


def draw(tree: Tree, count: int, start: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return tree.descend(np.arange(start, start + count, dtype=np.int64))


@given(WEIGHTS, st.integers(0, 2**40))
@settings(max_examples=150)
def test_every_source_is_within_two_samples_of_its_share_at_any_moment(weights, start):
    tree = Tree.build(weights, ties(len(weights)))
    total = sum(weights)
    moments = np.arange(start, start + 300)
    for moment in moments[::29].tolist():
        counts = tree.counts(moment, len(weights))
        assert sum(counts) == moment
        for count, weight in zip(counts, weights, strict=True):
            assert abs(Fraction(moment * weight, total) - count) < Fraction(168, 100)


@given(SMALL, st.integers(1, 400))
@settings(max_examples=150)
def test_ranks_count_the_samples_of_their_source(weights, count):
    tree = Tree.build(weights, ties(len(weights)))
    source, rank = draw(tree, count)
    for i, weight in enumerate(weights):
        assert rank[source == i].tolist() == list(range(int((source == i).sum())))
        assert weight or not (source == i).any()
    assert np.bincount(source, minlength=len(weights)).tolist() == tree.counts(count, len(weights))


@given(WEIGHTS, st.integers(0, 2**61))
@settings(max_examples=100)
def test_any_rank_far_out_continues_the_counts(weights, start):
    tree = Tree.build(weights, ties(len(weights)))
    source, rank = draw(tree, 5, start)
    for k in range(5):
        counts = tree.counts(start + k, len(weights))
        assert counts[int(source[k])] == int(rank[k])


@given(SMALL, st.randoms(use_true_random=False))
def test_the_order_in_which_sources_are_named_changes_nothing(weights, random):
    names = ties(len(weights))
    shuffled = list(range(len(weights)))
    random.shuffle(shuffled)
    one, _ = draw(Tree.build(weights, names), 100)
    other, _ = draw(Tree.build([weights[i] for i in shuffled], [names[i] for i in shuffled]), 100)
    assert one.tolist() == [shuffled[i] for i in other.tolist()]


def test_a_tree_equals_its_recursive_definition():
    weights = [5, 2, 1, 7]
    tree = Tree.build(weights, ties(4))

    def walk(node: int, rank: int) -> tuple[int, int]:
        if tree.left[node] < 0:
            return int(tree.source[node]), rank
        weight, part = int(tree.weight[node]), int(tree.weight[tree.left[node]])
        before = oracles.left_share(rank, weight, part)
        if oracles.left_share(rank + 1, weight, part) > before:
            return walk(int(tree.left[node]), before)
        return walk(int(tree.right[node]), rank - before)

    source, rank = draw(tree, 500)
    assert list(zip(source.tolist(), rank.tolist(), strict=True)) == [walk(0, k) for k in range(500)]
    assert tree.weight[0] == 15
    assert sorted(tree.weight.tolist()) == [1, 2, 3, 5, 7, 8, 15]


@given(st.lists(st.fractions(min_value=0, max_value=10**9), min_size=1, max_size=10).filter(any))
def test_weights_become_integers_of_the_same_ratio_with_a_bounded_sum(weights):
    whole = integer_weights(weights)
    assert sum(whole) < 2**31
    assert [weight > 0 for weight in whole] == [weight > 0 for weight in weights]
    total, sum_whole = sum(weights), sum(whole)
    for exact, found in zip(weights, whole, strict=True):
        assert abs(exact / total - Fraction(found, sum_whole)) < Fraction(len(weights) + 1, 2**30)


@given(
    st.lists(st.tuples(st.integers(1, 60), SMALL), min_size=1, max_size=4),
    st.lists(st.one_of(st.none(), st.integers(0, 50)), min_size=8, max_size=8),
)
@settings(max_examples=200)
def test_segments_are_contiguous_and_keep_every_limit(steps, limits):
    sources = min(len(weights) for _, weights in steps)
    phases, start = [], 0
    for length, weights in steps:
        if not any(weights[:sources]):
            return
        phases.append((start, weights[:sources]))
        start += length
    try:
        segments = compile_segments([(at, Fixed(weights)) for at, weights in phases], limits[:sources], ties(sources))
    except ConfigError:
        return
    position, counts = 0, [0] * sources
    for segment in segments:
        assert (segment.start, list(segment.base)) == (position, counts)
        position = segment.stop
        if position < ENDLESS:
            counts = segment.counts(position)
            assert all(limit is None or count <= limit for count, limit in zip(counts, limits, strict=False))
    for segment in segments:
        given = {at for at, _ in phases}
        if segment.stop < ENDLESS and segment.stop not in given:  # it ends because one sample more would be too many
            over = segment.tree.counts(segment.stop - segment.start + 1, sources)
            assert any(
                w and limit is not None and base + more > limit
                for w, limit, base, more in zip(segment.weights, limits, segment.base, over, strict=False)
            )
    assert len(segments) <= len(phases) + sum(limit is not None for limit in limits[:sources])
    if position < ENDLESS:
        last = phases[-1][1]
        assert all(
            limit == count for count, limit, w in zip(counts, limits, last, strict=False) if w and limit is not None
        )


@given(SMALL, st.lists(st.one_of(st.none(), st.integers(1, 40)), min_size=8, max_size=8), st.integers(1, 200))
def test_a_source_at_its_limit_leaves_its_share_to_the_others(weights, limits, count):
    limits = limits[: len(weights)]
    segments = compile_segments([(0, Fixed(weights))], limits, ties(len(weights)))
    stop = segments[-1].stop
    assert stop == ENDLESS or stop == sum(n for n, w in zip(limits, weights, strict=True) if w and n is not None)


def test_a_phase_without_any_source_left_is_refused():
    with pytest.raises(
        ConfigError, match=r"from sample 5 on no source may give any more, and the next phase starts at 10"
    ):
        compile_segments([(0, Fixed([1, 0])), (10, Fixed([0, 1]))], [5, None], ties(2))
