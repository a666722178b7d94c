"""Rules that cannot be meant: rules that contradict each other, that another one leaves nothing to, or that share a name."""

from __future__ import annotations

from collections.abc import Iterable

from megadata.config import to_dict
from megadata.corpus.filter import Condition, Filter, read_condition
from megadata.corpus.lines import LineRules
from megadata.corpus.quantities import Cuts
from megadata.corpus.step import Map, Step
from megadata.errors import ConfigError

LOOKED_UP = {
    "stop_words": "stop_words",
    "stop_word_count": "stop_words",
    "bulleted_line_share": "bullets",
    "elliptic_line_share": "ellipses",
    "ended_line_share": "end_marks",
}
"""Quantity -> the field without which it is always 0."""


def check_filter(step: Filter) -> None:
    """Refuse a filter of which a rule never decides, or that keeps nothing.

    Raises
    ------
    ConfigError
        It names the rules and what to change.
    """
    asked: list[tuple[str, Condition]] = []
    for reason, text in step.drop.items():
        condition = step.condition(text)
        field = LOOKED_UP.get(condition.quantity)
        if field and not getattr(step, field):
            raise ConfigError(f"drop.{reason}: {text!r}: {condition.quantity} is always 0, because {field} is empty")
        if condition.quantity == "stop_words" and (most := len(set(step.stop_words))) < _least_kept(condition):
            raise ConfigError(
                f"drop.{reason}: {text!r} drops every document: there are {most} stop words; choose another threshold"
            )
        for earlier, other in asked:
            if condition.quantity == other.quantity:
                _compare(f"drop.{earlier} ({step.drop[earlier]!r})", other, f"drop.{reason} ({text!r})", condition)
        asked.append((reason, condition))


def _least_kept(condition: Condition) -> float:
    """The least value that a condition keeps, or 0."""
    if condition.comparison == "<":
        return condition.threshold
    return condition.threshold + 1 if condition.comparison == "<=" else 0


def _compare(earlier: str, first: Condition, later: str, second: Condition) -> None:
    below = {"<": True, "<=": True, ">": False, ">=": False}
    one, two = below[first.comparison], below[second.comparison]
    if one != two:
        low, high = (first, second) if one else (second, first)
        if high.threshold < low.threshold or (
            high.threshold == low.threshold and "=" in low.comparison + high.comparison
        ):
            raise ConfigError(f"{earlier} and {later} together drop every document; change one of the thresholds")
        return
    inside = second.threshold <= first.threshold if one else second.threshold >= first.threshold
    wider = second.threshold == first.threshold and "=" in second.comparison and "=" not in first.comparison
    if inside and not wider:
        raise ConfigError(f"{later} never decides: {earlier} drops all of its documents before; remove one of them")


def check_steps(steps: Iterable[tuple[str, Step]], where: str) -> None:
    """Refuse a list in which two rules have one name, or filters with equal cuts contradict each other.

    Raises
    ------
    ConfigError
        It names the list and the rules.
    """
    seen: set[str] = set()
    before: list[tuple[str, Filter]] = []  # since the last step that changes text
    for label, step in steps:
        for reason in _reasons(step):
            if f"{label}.{reason}" in seen:
                raise ConfigError(
                    f"{where}: two rules are called {label}.{reason}; give one of the steps a `label` of its own"
                )
            seen.add(f"{label}.{reason}")
        if isinstance(step, Map):
            before = []
        if isinstance(step, Filter):
            for other_label, other in before:
                if _cuts(other) == _cuts(step):
                    _contradictions(other_label, other, label, step, where)
            before.append((label, step))


def _reasons(step: Step) -> tuple[str, ...]:
    """The reasons of our own steps, as far as they are set."""
    if isinstance(step, Filter):
        return tuple(step.drop)
    return step.reasons if isinstance(step, LineRules) else ()


def _cuts(step: Cuts) -> dict[str, object]:
    return {key: value for key, value in to_dict(step).items() if key != "drop"}


def _contradictions(one_label: str, one: Filter, two_label: str, two: Filter, where: str) -> None:
    for earlier, first_text in one.drop.items():
        for later, second_text in two.drop.items():
            first, second = read_condition(first_text), read_condition(second_text)
            if first.quantity == second.quantity and first.comparison[0] != second.comparison[0]:
                names = (f"{one_label}.{earlier} ({first_text!r})", f"{two_label}.{later} ({second_text!r})")
                try:
                    _compare(names[0], first, names[1], second)
                except ConfigError as error:
                    raise ConfigError(f"{where}: {error}") from None
