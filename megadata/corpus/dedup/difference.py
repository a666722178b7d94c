"""Where two near copies differ, word by word, in a time that grows with the texts and not with their square.

Runs of words that occur once in each text, and in the same order, are matched first (Cohen's patience diff, on windows of words,
so that other line breaks change nothing); ever shorter windows are tried between them. What is left is compared by difflib where
it is short, up to a bounded number of pairs of words, and shown as replaced where it is not.
"""

from __future__ import annotations

import difflib
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_WORDS = re.compile(r"\S+")
_WIDTHS = (16, 4, 1)
"""Words of the windows that are matched, one width after another."""
_SMALL = 250_000
"""Pairs of words that difflib compares at once."""
_BUDGET = 4_000_000
"""Pairs of words that difflib compares in all."""
_CONTEXT = 8
"""Words that are shown around a difference."""
_SHOWN = 100
"""Words of one side of a difference that are shown."""


def difference(kept: str, removed: str) -> str:
    """Where two texts differ: ``[-only kept-]`` and ``{+only removed+}`` with some words around."""
    left, right = _WORDS.findall(kept), _WORDS.findall(removed)
    matches = _Matcher(left, right).matches()
    lines = [" ".join(["...", *group, "..."]) for group in _groups(left, right, matches)]
    return "\n".join(lines) or "The texts have the same words."


@dataclass(frozen=True, slots=True)
class _Match:
    """Words that both texts have: left[a:a + size] and right[b:b + size]."""

    a: int
    b: int
    size: int


@dataclass(frozen=True, slots=True)
class _Gap:
    """Words left[a:b] and right[c:d], of which nothing is matched yet."""

    a: int
    b: int
    c: int
    d: int

    @property
    def pairs(self) -> int:
        return (self.b - self.a) * (self.d - self.c)


class _Matcher:
    """What two lists of words have in common, in order."""

    def __init__(self, left: Sequence[str], right: Sequence[str]) -> None:
        self._left, self._right = left, right
        self._budget = _BUDGET

    def matches(self) -> list[_Match]:
        """Runs of words that both have, none of which touches the next on both sides."""
        joined: list[_Match] = []
        for one in self._between(_Gap(0, len(self._left), 0, len(self._right)), 0):
            if joined and (one.a, one.b) == (joined[-1].a + joined[-1].size, joined[-1].b + joined[-1].size):
                joined[-1] = _Match(joined[-1].a, joined[-1].b, joined[-1].size + one.size)
            elif one.size:
                joined.append(one)
        return joined

    def _between(self, gap: _Gap, level: int) -> Iterator[_Match]:
        """Matches in a gap, in order."""
        start, stop = self._same_ends(gap)
        yield _Match(gap.a, gap.c, start)
        inner = _Gap(gap.a + start, gap.b - stop, gap.c + start, gap.d - stop)
        if 0 < inner.pairs <= min(_SMALL, self._budget):
            self._budget -= inner.pairs
            yield from self._by_difflib(inner)
        elif inner.pairs and level < len(_WIDTHS):
            a, c = inner.a, inner.c
            for anchor in self._anchors(inner, _WIDTHS[level]):
                if anchor.a >= a and anchor.b >= c:
                    yield from self._between(_Gap(a, anchor.a, c, anchor.b), level + 1)
                    yield anchor
                    a, c = anchor.a + anchor.size, anchor.b + anchor.size
            yield from self._between(_Gap(a, inner.b, c, inner.d), level + 1)
        yield _Match(gap.b - stop, gap.d - stop, stop)

    def _same_ends(self, gap: _Gap) -> tuple[int, int]:
        """How many words are the same at the start of a gap, and at its end."""
        left, right = self._left, self._right
        most = min(gap.b - gap.a, gap.d - gap.c)
        start = 0
        while start < most and left[gap.a + start] == right[gap.c + start]:
            start += 1
        stop = 0
        while stop < most - start and left[gap.b - 1 - stop] == right[gap.d - 1 - stop]:
            stop += 1
        return start, stop

    def _by_difflib(self, gap: _Gap) -> Iterator[_Match]:
        left, right = self._left[gap.a : gap.b], self._right[gap.c : gap.d]
        for a, b, size in difflib.SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks():
            yield _Match(gap.a + a, gap.c + b, size)

    def _anchors(self, gap: _Gap, width: int) -> Iterator[_Match]:
        """Windows of words that occur once on each side: the most of them that are in the same order."""
        ours = _once(self._left, gap.a, gap.b, width)
        theirs = _once(self._right, gap.c, gap.d, width)
        pairs = [(a, theirs[window]) for window, a in ours.items() if window in theirs]
        for at in _longest_rise([b for _, b in pairs]):
            yield _Match(*pairs[at], width)


def _once(words: Sequence[str], start: int, stop: int, width: int) -> dict[tuple[str, ...], int]:
    """Windows that occur once between two places, in order, and where."""
    found: dict[tuple[str, ...], int] = {}
    for at in range(start, stop - width + 1):
        window = tuple(words[at : at + width])
        found[window] = -1 if window in found else at
    return {window: at for window, at in found.items() if at >= 0}


def _longest_rise(values: Sequence[int]) -> list[int]:
    """Indices of a longest rising subsequence."""
    ends: list[int] = []
    last: list[int] = []
    before = [-1] * len(values)
    for at, value in enumerate(values):
        length = bisect_left(ends, value)
        before[at] = last[length - 1] if length else -1
        ends[length : length + 1] = [value]
        last[length : length + 1] = [at]
    chain: list[int] = []
    at = last[-1] if last else -1
    while at >= 0:
        chain.append(at)
        at = before[at]
    return chain[::-1]


def _groups(left: Sequence[str], right: Sequence[str], matches: Sequence[_Match]) -> Iterator[list[str]]:
    """Differences with the words around them; those that are near each other together."""
    words: list[str] = []
    a = c = 0
    for match in [*matches, _Match(len(left), len(right), 0)]:
        if (match.a, match.b) != (a, c):
            if not words:
                words += left[max(a - _CONTEXT, 0) : a] if a else []
            words += _shown("[-", left[a : match.a], "-]") + _shown("{+", right[c : match.b], "+}")
        a, c = match.a + match.size, match.b + match.size
        if words and (match.size > 2 * _CONTEXT or (a, c) == (len(left), len(right))):
            yield words + list(left[match.a : match.a + min(match.size, _CONTEXT)])
            words = []
        elif words:
            words += left[match.a : a]
    if words:
        yield words


def _shown(before: str, words: Sequence[str], after: str) -> list[str]:
    if not words:
        return []
    more = [f"(and {len(words) - _SHOWN:,} more words)"] if len(words) > _SHOWN else []
    return [before + " ".join([*words[:_SHOWN], *more]) + after]
