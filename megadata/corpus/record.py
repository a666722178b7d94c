"""The record of a cleaning: what every rule did, how its quantity is distributed, and documents close to its threshold.

Records are sums: those of batches add up to those of units, and these to those of a corpus, in any grouping.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from megadata.corpus.quantities import symbols
from megadata.corpus.step import COUNTED, Decision
from megadata.documents.batch import DocBatch
from megadata.kernels import counts
from megadata.kernels.base import F64, I64, Bool

NEAR = 3
"""Documents kept as examples on each side of a threshold."""
_FAR = 0.5
"""Documents farther from a threshold, as a share of it, are no examples."""
EXCERPT = 200
"""Characters of a document that an example shows."""
TEXT_SIZES = "sizes of text"
"""Key under which a batch keeps its `text_sizes`."""
_FINEST = -48
"""Power of two, in steps, below which all values share the first bin."""
_STEPS = 8
"""Bins per doubling of a quantity that has no largest value."""
_SHARES = 50
"""Bins from 0 to 1 of a quantity that is a share."""


Begin = Callable[[DocBatch, int], str]


@dataclass(frozen=True, slots=True)
class Example:
    """A document close to a threshold."""

    distance: float
    """From the threshold, as a share of it."""
    id: str
    value: float
    text: str
    """How it begins."""


@dataclass(slots=True)
class RuleRecord:
    """What one rule did. Documents are counted of those that reached it: earlier steps may have removed others."""

    condition: str = ""
    asked: int = 0
    matched: int = 0
    """Documents for which it holds, whatever other rules say."""
    only: int = 0
    """Those of them for which no other rule asked at the same time holds: they would stay without it."""
    removed: int = 0
    """Documents whose first reason it is."""
    bytes: int = 0
    characters: int = 0
    words: int = 0
    """Words between white space, as `wc -w` counts them, of the documents removed."""
    dropped: list[Example] = field(default_factory=list)
    """The removed documents closest to the threshold."""
    passed: list[Example] = field(default_factory=list)
    """The closest of those for which it does not hold."""
    histogram: Counter[int] = field(default_factory=Counter)
    """Bin -> documents; see `bin_edges`. -1 is for values that are undefined."""
    share: bool = False
    """Whether the quantity is a share, from 0 to 1."""
    total: float = 0.0
    """Sum of the quantity's values, where they are counted only."""

    def add(self, other: RuleRecord) -> None:
        """Add another record of the same rule."""
        self.condition, self.share = other.condition, other.share
        for name in ("asked", "matched", "only", "removed", "bytes", "characters", "words", "total"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.dropped = nearest([*self.dropped, *other.dropped])
        self.passed = nearest([*self.passed, *other.passed])
        self.histogram.update(other.histogram)

    def plain(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values: dict[str, Any] = {name: getattr(self, name) for name in _NUMBERS}
        values["histogram"] = {str(k): v for k, v in sorted(self.histogram.items())}
        for name in ("dropped", "passed"):
            values[name] = [[e.distance, e.id, e.value, e.text] for e in getattr(self, name)]
        return values

    @classmethod
    def of(cls, values: dict[str, Any]) -> RuleRecord:
        """A record from its plain values."""
        made = cls(**{name: values[name] for name in _NUMBERS})
        made.histogram = Counter({int(k): v for k, v in values["histogram"].items()})
        made.dropped, made.passed = ([Example(*e) for e in values[name]] for name in ("dropped", "passed"))
        return made


_NUMBERS = ("condition", "share", "asked", "matched", "only", "removed", "bytes", "characters", "words", "total")


def nearest(examples: Iterable[Example]) -> list[Example]:
    """The `NEAR` closest ones."""
    return sorted(examples, key=lambda e: (e.distance, e.id))[:NEAR]


@dataclass(slots=True)
class Record:
    """What a rule list did to the documents of one source."""

    rules: dict[str, RuleRecord] = field(default_factory=dict)
    """``LABEL.REASON`` -> record, in the order in which the rules are asked."""
    sizes: Counter[str] = field(default_factory=Counter)
    """Documents, bytes, characters and words that came in and that stayed."""

    def add(self, other: Record) -> None:
        """Add another record."""
        for name, rule in other.rules.items():
            self.rules.setdefault(name, RuleRecord()).add(rule)
        self.sizes.update(other.sizes)

    def plain(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        rules = [{"rule": name, **rule.plain()} for name, rule in self.rules.items()]
        return {"sizes": dict(sorted(self.sizes.items())), "rules": rules}

    @classmethod
    def of(cls, values: dict[str, Any]) -> Record:
        """A record from its plain values."""
        return cls({rule["rule"]: RuleRecord.of(rule) for rule in values["rules"]}, Counter(values["sizes"]))


def beginning(docs: DocBatch, at: int) -> str:
    """How a document begins: its first `EXCERPT` characters."""
    one = docs.slice(at, at + 1)
    start, stop = one.offsets.tolist()
    return docs.text[start : min(stop, start + 4 * EXCERPT)].tobytes().decode("utf-8", "ignore")[:EXCERPT]


class Recorder:
    """Keeps the records of all sources while a rule list is applied.

    Parameters
    ----------
    begin : tells how the document at a place of a batch begins, for examples; None where they must not show that.
    """

    def __init__(self, begin: Begin | None = beginning) -> None:
        self._begin = begin
        self.sources: dict[str, Record] = {}

    def sized(self, docs: DocBatch, when: str) -> None:
        """Count what came in (`when` is ``in``) or stayed (``kept``)."""
        sizes = text_sizes(docs)
        for label, mine in by_source(docs):
            totals = self.sources.setdefault(label, Record()).sizes
            for name, column in zip(("bytes", "characters", "words"), sizes.T, strict=True):
                totals[f"{name}_{when}"] += int(column[mine].sum())
            totals[f"documents_{when}"] += int(mine.sum())

    def judged(self, rules: Sequence[tuple[str, Decision]], docs: DocBatch, first: I64) -> None:
        """Note what rules asked together say of `docs`; `first` is the number of each document's first reason, or -1."""
        if not rules:
            return
        sizes = text_sizes(docs)
        decisions = [decision for _, decision in rules]
        masks_RD = np.array([decision.mask for decision in decisions])
        values_RD = np.array([decision.values for decision in decisions], np.float64)
        alone_RD = masks_RD & (masks_RD.sum(axis=0) == 1)
        removed_RD = first == np.arange(len(rules))[:, None]
        gone_R3 = removed_RD.astype(np.int64) @ sizes
        shares = np.array([decision.share for decision in decisions])
        for label, mine in by_source(docs):
            record = self.sources.setdefault(label, Record())
            whole = bool(mine.all())
            matched, only, removed = (
                (one if whole else one[:, mine]).sum(axis=1).tolist() for one in (masks_RD, alone_RD, removed_RD)
            )
            gone = (gone_R3 if whole else removed_RD[:, mine].astype(np.int64) @ sizes[mine]).tolist()
            histograms = histogram(values_RD if whole else values_RD[:, mine], shares)
            dropped = self._closest(docs, decisions, values_RD, removed_RD & mine)
            passed = self._closest(docs, decisions, values_RD, ~masks_RD & mine)
            for number, (name, decision) in enumerate(rules):
                one = RuleRecord(
                    condition=decision.threshold,
                    share=decision.share,
                    asked=int(mine.sum()),
                    matched=matched[number],
                    only=only[number],
                    removed=removed[number],
                    bytes=gone[number][0],
                    characters=gone[number][1],
                    words=gone[number][2],
                    histogram=histograms[number],
                    dropped=dropped[number],
                    passed=passed[number],
                )
                if decision.threshold == COUNTED:
                    one.matched, one.total = int((decision.values[mine] > 0).sum()), float(decision.values[mine].sum())
                record.rules.setdefault(name, RuleRecord()).add(one)

    def _closest(
        self, docs: DocBatch, decisions: list[Decision], values_RD: F64, among_RD: Bool
    ) -> list[list[Example]]:
        """For each rule the examples closest to its limit, among some of the documents; none without a limit."""
        limits = np.array([np.nan if one.limit is None else one.limit for one in decisions])[:, None]
        distances_RD = np.abs(values_RD - limits) / np.maximum(np.abs(limits), 1e-9)
        distances_RD[~among_RD | np.isnan(distances_RD)] = np.inf
        bounds = np.full(len(decisions), _FAR)
        if len(docs) > NEAR:
            np.minimum(bounds, np.partition(distances_RD, NEAR - 1, axis=1)[:, NEAR - 1], out=bounds)
        ids = docs.records.column("id")
        found: list[list[tuple[float, str, int]]] = [[] for _ in decisions]
        for number, at in np.argwhere(distances_RD <= bounds[:, None]).tolist():
            found[number].append((float(distances_RD[number, at]), str(ids[at]), at))
        return [
            [
                Example(d, name, float(values_RD[number, at]), self._begin(docs, at) if self._begin is not None else "")
                for d, name, at in sorted(candidates)[:NEAR]
            ]
            for number, candidates in enumerate(found)
        ]

    def add(self, values: dict[str, Any]) -> None:
        """Add the plain values of another recorder."""
        for label, record in values.items():
            self.sources.setdefault(label, Record()).add(Record.of(record))

    def plain(self) -> dict[str, Any]:
        """Plain values of all sources, for JSON."""
        return {label: record.plain() for label, record in sorted(self.sources.items())}


def by_source(docs: DocBatch) -> Iterable[tuple[str, Any]]:
    """(source, bool[D]) for each source of a batch."""
    labels = docs.column("source")
    names = list(dict.fromkeys(labels))
    if len(names) == 1:
        return [(str(names[0]), np.ones(len(labels), np.bool_))]
    every = np.array(labels, dtype=object)
    return [(str(name), every == name) for name in names]


def text_sizes(docs: DocBatch) -> I64:
    """int64[D, 3]: bytes, characters and words between white space of each document."""

    def make() -> I64:
        found = symbols(docs)
        return np.column_stack([docs.sizes, found[:, counts.SIZE_CHARACTERS], found[:, counts.SIZE_WORDS]])

    return docs.derive(TEXT_SIZES, make)


def histogram(values_RD: F64, shares_R: Bool) -> list[Counter[int]]:
    """For each row bin -> values in it; `shares_R` tells which rows are shares."""
    known = ~np.isnan(values_RD)
    parts = known & shares_R[:, None]
    wholes = known & ~shares_R[:, None] & (values_RD > 0)
    bins = np.where(known, 0, -1)
    bins[parts] = np.minimum(np.floor(np.maximum(values_RD[parts], 0) * _SHARES), 2 * _SHARES)
    powers = np.floor(np.log2(values_RD[wholes]) * _STEPS).astype(np.int64)
    bins[wholes] = np.maximum(powers - _FINEST + 1, 0)
    found = []
    for row in bins:
        met, times = np.unique(row, return_counts=True)
        found.append(Counter(dict(zip(met.tolist(), times.tolist(), strict=True))))
    return found


def bin_edges(bins: Iterable[int], share: bool) -> list[tuple[float, float]]:
    """The least value of each bin, and the least one beyond it."""
    if share:
        return [(b / _SHARES, (b + 1) / _SHARES) for b in bins]
    low = 2 ** (_FINEST / _STEPS)
    edges = {0: (0.0, low)}
    return [edges.get(b) or (2 ** ((b - 1 + _FINEST) / _STEPS), 2 ** ((b + _FINEST) / _STEPS)) for b in bins]
