"""`filter`: drop documents whose measured quantities pass thresholds. Rule-sets are data for this step."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from megadata.config import configclass, nearest, to_dict
from megadata.corpus import lines, plain, quality, repetition, spacy_words
from megadata.corpus.quantities import Cuts, Measured, Quantity
from megadata.corpus.scorers import scorer
from megadata.corpus.step import Decision, Verdict
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError, CorpusError
from megadata.kernels.base import F64, Bool

QUANTITIES: dict[str, Quantity] = {
    **quality.QUANTITIES,
    **lines.QUANTITIES,
    **repetition.QUANTITIES,
    **plain.QUANTITIES,
}
"""All quantities a rule can name."""

OPERATORS: dict[str, Callable[[F64, float], Bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
CUTS = tuple(one.name for one in fields(Cuts))
REASON = re.compile(r"\w[\w-]*")
CONDITION = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*(-?[\d_]+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*")


@dataclass(frozen=True, slots=True)
class Condition:
    """``quantity operator threshold``: documents for which it holds are dropped. Undefined quantities drop nothing."""

    quantity: str
    comparison: str
    threshold: float

    @property
    def text(self) -> str:
        """The condition without its quantity, for example ``< 50``."""
        return f"{self.comparison} {self.threshold:.12g}"

    def with_threshold(self, threshold: float) -> str:
        """The condition's text with another threshold."""
        return f"{self.quantity} {self.comparison} {threshold!r}"


@functools.cache
def read_condition(text: str) -> Condition:
    """Read a condition such as ``words < 50``, whatever quantity it names.

    Raises
    ------
    ConfigError
        When it cannot be read.
    """
    match = CONDITION.fullmatch(text)
    if match is None:
        raise ConfigError(f'{text!r}: expected "QUANTITY < NUMBER" (or <=, >, >=), for example "words < 50"')
    name, comparison, number = match.groups()
    return Condition(name, comparison, float(number))


@functools.cache
def parse_condition(text: str) -> Condition:
    """Read a condition on a quantity that megadata measures.

    Raises
    ------
    ConfigError
        When it cannot be read, names no known quantity, or would drop every document or none.
    """
    condition = read_condition(text)
    if condition.quantity not in QUANTITIES:
        name = condition.quantity
        raise ConfigError(f"{text!r}: unknown quantity {name!r}{nearest(name, QUANTITIES)}")
    known = QUANTITIES[condition.quantity]
    check_threshold(text, condition, known.about, known.most)
    return condition


def check_threshold(text: str, condition: Condition, about: str, most: float) -> None:
    """Refuse a threshold of a quantity from 0 to `most` that drops every document or none.

    Raises
    ------
    ConfigError
        It names the quantity's range.
    """
    name, comparison, threshold = condition.quantity, condition.comparison, condition.threshold
    never = {"<": threshold <= 0, "<=": threshold < 0, ">": threshold >= most, ">=": threshold > most}[comparison]
    always = {"<": threshold > most, "<=": threshold >= most, ">": threshold < 0, ">=": threshold <= 0}[comparison]
    if never or always:
        values = f"from 0 to {most:g}" if most < float("inf") else "0 or more"
        effect = "drops nothing" if never else "drops every document"
        raise ConfigError(f"{text!r} {effect}: {name} ({about}) is {values}; choose another threshold")


def check_drop(drop: object) -> None:
    """Refuse what are no rules: names of reasons with conditions.

    Raises
    ------
    ConfigError
        It shows how rules are written.
    """
    if not isinstance(drop, Mapping):
        found = "nothing" if drop is None else repr(drop)
        raise ConfigError(
            f'drop: expected names of reasons with conditions ("too_few_words: words < 50"), found {found}'
        )
    for reason, text in drop.items():
        if not isinstance(reason, str) or not isinstance(text, str):
            raise ConfigError(
                f"drop.{reason}: expected a condition such as words < 50, found {text!r}"
                + ("" if isinstance(reason, str) else " (inside braces, a comma begins the next rule)")
            )


@configclass
class Filter(Cuts):
    """Drop documents by measured quantities; the fields of `Cuts` say how they are measured."""

    drop: dict[str, str]
    """Reason -> condition, for example ``too_few_words: words < 50``; the first that holds is the reason."""

    scorers: dict[str, str] = field(default_factory=dict)
    """Quantity -> what gives its values: a quality model's file, `module:function`, `file.py:function` or a registered name."""

    name: ClassVar[str] = "filter"
    version: ClassVar[int] = 1
    files: ClassVar[tuple[str, ...]] = ("scorers",)

    def __post_init__(self) -> None:
        if self.words == "spacy":
            spacy_words.pipeline(self.language)
        for quantity, spec in self.scorers.items():
            if quantity in QUANTITIES or not REASON.fullmatch(quantity) or "-" in quantity:
                why = "is a quantity already" if quantity in QUANTITIES else "is no name of letters, digits and _"
                raise ConfigError(f"scorers: {quantity!r} {why}; choose another name")
            try:
                scorer(spec)
            except (ConfigError, CorpusError) as error:
                raise ConfigError(f"scorers.{quantity}: {error}") from None
        for reason, text in self.drop.items():
            if not REASON.fullmatch(reason):
                raise ConfigError(f"drop: {reason!r} is no name of a reason; use letters, digits, _ and -")
            try:
                self.condition(text)
            except ConfigError as error:
                raise ConfigError(f"drop.{reason}: {error}") from None
        asked = {read_condition(text).quantity for text in self.drop.values()}
        for quantity in self.scorers:
            if quantity not in asked:
                raise ConfigError(f"scorers: no condition under drop names {quantity!r}; add one or remove the scorer")

    @property
    def cuts(self) -> tuple[tuple[str, Any], ...]:
        """How text is cut, counted and scored: the same quantity under the same cuts has the same values."""
        scorers = [("scorers", tuple(self.scorers.items()))] if self.scorers else []
        return (*((name, getattr(self, name)) for name in CUTS), *scorers)

    @property
    def identity(self) -> dict[str, Any]:
        """Its settings, with what scorers are in place of where they lie."""
        settings: dict[str, Any] = to_dict(self)
        del settings["scorers"]
        return {**settings, "scorers": self.scored_by} if self.scorers else settings

    @property
    def scored_by(self) -> dict[str, str]:
        """Quantity -> identity of its scorer."""
        return {quantity: scorer(spec).identity for quantity, spec in self.scorers.items()}

    @property
    def quantities(self) -> list[str]:
        """The quantities that its conditions name, sorted."""
        return sorted({read_condition(text).quantity for text in self.drop.values()})

    def condition(self, text: str) -> Condition:
        """Read one of its conditions, checked by what is known of its quantity."""
        condition = read_condition(text)
        if condition.quantity not in self.scorers:
            return parse_condition(text)
        known = scorer(self.scorers[condition.quantity])
        if known.most is not None:
            check_threshold(text, condition, known.about, known.most)
        return condition

    def known(self, docs: DocBatch) -> dict[str, F64]:
        """Quantity -> float64[D] of what is known of a batch under these cuts; kept with the batch."""
        return docs.derive(("quantities", self.cuts), dict)

    def measure(self, docs: DocBatch) -> dict[str, F64]:
        """Quantity -> float64[D]; what is known already is not measured again."""
        known = self.known(docs)
        named = [name for name in self.quantities if name not in known]
        known.update({name: scorer(self.scorers[name]).score(docs) for name in named if name in self.scorers})
        named = [name for name in named if name not in self.scorers]
        if named:
            tops = [n for name, n in repetition.TOPS.items() if name in named]
            repeats = [n for name, n in repetition.REPEATS.items() if name in named]
            measured = Measured(docs, self, tops, repeats, any(name in repetition.LINES for name in named))
            known.update({name: QUANTITIES[name].formula(measured) for name in named})
        return known

    def judge(self, docs: DocBatch) -> Verdict:
        """One decision for each reason."""
        return self.decide(self.measure(docs))

    def decide(self, values: Mapping[str, F64]) -> Verdict:
        """The decisions about documents of which the quantities are known."""
        conditions = {reason: read_condition(text) for reason, text in self.drop.items()}
        return {
            reason: Decision(
                OPERATORS[c.comparison](values[c.quantity], c.threshold),
                values[c.quantity],
                c.text,
                limit=c.threshold,
                share=self._most(c.quantity) == 1.0,
            )
            for reason, c in conditions.items()
        }

    def _most(self, quantity: str) -> float | None:
        spec = self.scorers.get(quantity)
        return QUANTITIES[quantity].most if spec is None else scorer(spec).most
