"""Which source gives sample n: exact splits along a Huffman tree, in closed form.

At a node of weight w whose left child weighs v, the first R samples split into left(R) = round(R * v / w) and R - left(R). A
sample's path down the tree names its source, and the rank it arrives with is how many samples of that source came before it.
Each sample advances one source by one, and after n samples every source is within 1.68 of its share: the roundings add up to half
of the sum of w_leaf / w_ancestor along the path, and ancestors in a Huffman tree grow at least like Fibonacci numbers.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import gcd, lcm
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from megadata.errors import ConfigError
from megadata.indexed.order import I64

LARGEST_SUM = 1 << 31
"""Sums of weights stay below this, so that products of two fit int64."""
SCALED_SUM = 1 << 30
ENDLESS = 1 << 62
"""Stands for "no end" among sample numbers."""


def integer_weights(weights: Sequence[Fraction]) -> list[int]:
    """The same ratios in the smallest integers; scaled to a sum of 2**30, each at least 1, where that sum is 2**31 or more."""
    denominator = reduce(lcm, (weight.denominator for weight in weights), 1)
    whole = [weight.numerator * (denominator // weight.denominator) for weight in weights]
    common = reduce(gcd, whole, 0) or 1
    whole = [weight // common for weight in whole]
    total = sum(whole)
    if total < LARGEST_SUM:
        return whole
    return [max(1, (2 * weight * SCALED_SUM + total) // (2 * total)) if weight else 0 for weight in whole]


@dataclass(frozen=True, slots=True)
class Tree:
    """A Huffman tree over the sources that take part; node 0 is the root. Letter: K nodes."""

    weight: I64
    """Weight under each node, shape (K,)."""
    left: I64
    """Left child, -1 at a leaf."""
    right: I64
    """Right child, -1 at a leaf."""
    source: I64
    """The source of a leaf, -1 elsewhere."""

    @staticmethod
    def build(weights: Sequence[int], ties: Sequence[str]) -> Tree:
        """The tree of the sources with a weight above 0; equal weights are ordered by `ties`, never by position."""
        heap: list[tuple[int, str, int]] = []
        nodes: list[tuple[int, int, int, int]] = []
        for source, (weight, tie) in enumerate(zip(weights, ties, strict=True)):
            if weight > 0:
                heap.append((weight, tie, len(nodes)))
                nodes.append((weight, -1, -1, source))
        heapq.heapify(heap)
        while len(heap) > 1:
            first, second = heapq.heappop(heap), heapq.heappop(heap)
            heapq.heappush(heap, (first[0] + second[0], min(first[1], second[1]), len(nodes)))
            nodes.append((first[0] + second[0], first[2], second[2], -1))
        last = len(nodes) - 1
        table = np.array(nodes[::-1], np.int64).reshape(-1, 4)
        children = np.where(table[:, 1:3] >= 0, last - table[:, 1:3], -1)
        return Tree(table[:, 0].copy(), children[:, 0].copy(), children[:, 1].copy(), table[:, 3].copy())

    def descend(self, ranks: I64) -> tuple[I64, I64]:
        """Source of each sample, and its rank among the samples of that source; `ranks` has shape (N,)."""
        node = np.zeros(ranks.shape, np.int64)
        rank = ranks.astype(np.int64)
        active = np.arange(ranks.size) if self.left[0] >= 0 else np.empty(0, np.int64)
        while active.size:
            here, r = node[active], rank[active]
            weight, part = self.weight[here], self.weight[self.left[here]]
            rounds, rest = np.divmod(r, weight)
            whole, twice = rounds * part, 2 * weight
            before = whole + (2 * rest * part + weight) // twice
            goes_left = whole + (2 * (rest + 1) * part + weight) // twice > before
            here = np.where(goes_left, self.left[here], self.right[here])
            node[active], rank[active] = here, np.where(goes_left, before, r - before)
            active = active[self.left[here] >= 0]
        return self.source[node], rank

    def counts(self, samples: int, sources: int) -> list[int]:
        """How many of the first `samples` samples each of `sources` sources gives."""
        out = [0] * sources
        lefts, rights, weights, named = (a.tolist() for a in (self.left, self.right, self.weight, self.source))
        stack = [(0, samples)]
        while stack:
            node, count = stack.pop()
            left = lefts[node]
            if left < 0:
                out[named[node]] = count
                continue
            weight, part = weights[node], weights[left]
            first = (count // weight) * part + (2 * (count % weight) * part + weight) // (2 * weight)
            stack += [(left, first), (rights[node], count - first)]
        return out


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of samples drawn with constant weights."""

    start: int
    """First sample."""
    stop: int
    """One past the last sample; `ENDLESS` where nothing ends it."""
    weights: tuple[int, ...]
    """Weight of each source; 0: takes no part."""
    base: tuple[int, ...]
    """Samples each source gave before `start`."""
    tree: Tree

    def counts(self, samples: int) -> list[int]:
        """Samples of each source among the first `samples` of the whole run, for start <= samples <= stop."""
        inside = self.tree.counts(samples - self.start, len(self.base))
        return [before + now for before, now in zip(self.base, inside, strict=True)]


class Weighing(Protocol):
    """The weights of a phase."""

    def without(self, spent: Collection[int]) -> Sequence[int]:
        """Integer weight of each source where the sources in `spent` give nothing; all 0 where none is left."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """From which sample on which weights hold, and how much each source may give."""

    phases: tuple[tuple[int, Weighing], ...]
    limits: tuple[int | None, ...]
    ties: tuple[str, ...]

    def segments(self, start: int = 0, base: Sequence[int] | None = None) -> list[Segment]:
        """The run from sample `start` on, when each source has given `base` samples before; see `compile_segments`."""
        return compile_segments(self.phases, self.limits, self.ties, start, base)


def compile_segments(
    phases: Sequence[tuple[int, Weighing]],
    limits: Sequence[int | None],
    ties: Sequence[str],
    first: int = 0,
    given: Sequence[int] | None = None,
) -> list[Segment]:
    """Cut a run into segments of constant weights: at each phase, and wherever a source reaches its limit.

    Parameters
    ----------
    phases : sequence of (sample, weights)
        From which sample on which weights hold; the first starts at 0.
    limits : sequence of int or None
        Most samples each source may give in all.
    ties : sequence of str
        What orders sources of equal weight.
    first : int
        The sample to begin with.
    given : sequence of int, optional
        Samples of each source before the first.

    Returns
    -------
    list of Segment
        Contiguous from `first`; the last ends at `ENDLESS`, or where all sources have reached their limits.

    Raises
    ------
    ConfigError
        If all sources of a phase reach their limits before the next phase starts.
    """
    base = list(given) if given is not None else [0] * len(limits)
    spent: set[int] = set()
    segments: list[Segment] = []
    for number, (begin, phase) in enumerate(phases):
        start = max(begin, first)
        stop = phases[number + 1][0] if number + 1 < len(phases) else ENDLESS
        while start < stop:
            weights = phase.without(spent)
            if not any(weights):
                if stop == ENDLESS and segments:
                    return segments
                raise ConfigError(
                    f"blend: from sample {start} on no source may give any more, and the next phase starts at {stop}; "
                    "raise max_epochs or give another source a weight"
                )
            tree = Tree.build(weights, ties)
            room = [None if limit is None or weights[i] == 0 else limit - base[i] for i, limit in enumerate(limits)]
            length, full = _longest(tree, room, stop - start)
            if length:
                segments.append(Segment(start, start + length, tuple(weights), tuple(base), tree))
                base = segments[-1].counts(start + length)
                start += length
            spent |= full
    return segments


def _longest(tree: Tree, room: Sequence[int | None], longest: int) -> tuple[int, set[int]]:
    """The most samples, up to `longest`, with which no source exceeds its room; and the sources that stop it there."""

    def over(samples: int) -> set[int]:
        counts = tree.counts(samples, len(room))
        return {i for i, most in enumerate(room) if most is not None and counts[i] > most}

    if not over(longest):
        return longest, set()
    total, weights = int(tree.weight[0]), dict(zip(tree.source.tolist(), tree.weight.tolist(), strict=True))
    rooms = [(most, weights[i]) for i, most in enumerate(room) if most is not None]
    # Every source is within two samples of its share, so the first to exceed its room does so between these.
    low = max(0, min((most - 2) * total // weight for most, weight in rooms))
    high = max(1, min(longest, *((most + 3) * total // weight + 1 for most, weight in rooms)))
    while high - low > 1:
        middle = (low + high) // 2
        if over(middle):
            high = middle
        else:
            low = middle
    return low, over(high)


def segment_of(segments: Sequence[Segment], samples: NDArray[np.int64]) -> I64:
    """The segment each sample lies in, shape (N,)."""
    starts = np.array([segment.start for segment in segments], np.int64)
    return np.searchsorted(starts, samples, side="right").astype(np.int64) - 1
