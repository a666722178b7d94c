"""Whether a rule list can be decided from the scores of another: where each of its judges finds what it needs.

A list can be decided when its steps that change text are those of the scored list, in the same order, and every judge asks for
what was measured of the same text: between the same of these steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from megadata.config import nearest
from megadata.corpus.filter import Filter, parse_condition
from megadata.corpus.language import Language, Languages
from megadata.corpus.rulefiles import KINDS
from megadata.corpus.rules import RuleList
from megadata.corpus.scorelayout import probe, role_of
from megadata.corpus.step import Step, Verdict
from megadata.errors import ConfigError

REMEDY = "run `megadata clean --scores` with these rules on the raw files"


@dataclass(frozen=True, slots=True)
class Judged:
    """A step of the new list, and the columns of the scores from which it is decided."""

    label: str
    step: Step
    columns: dict[str, str] = field(default_factory=dict)
    """Quantity (of a filter) or reason (of another judge) -> column."""
    said: Verdict = field(default_factory=dict)
    """Conditions and limits of a judge whose decisions are in the scores, instead of what it looks at."""

    @property
    def reads(self) -> list[str]:
        """The columns it is decided from."""
        if not self.said:
            return list(self.columns.values())
        parts = ("value", "drops", "matched")
        return [
            f"{name}.{part}"
            for reason, name in self.columns.items()
            for part in parts
            if part != "matched" or self.said[reason].matched is not None
        ]


@dataclass(frozen=True, slots=True)
class Group:
    """Steps that are asked about the same text."""

    steps: tuple[Judged, ...]
    maps: int
    """Steps in front of it that change text."""
    mapped: bool
    """Whether it changes the text of what it keeps."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a rule list is decided from scores."""

    groups: tuple[Group, ...]

    @property
    def columns(self) -> set[str]:
        """What it reads."""
        return {name for group in self.groups for one in group.steps for name in one.reads}

    def label_behind(self, maps: int) -> str:
        """The label of the step that changes text behind that many others."""
        return next(group.steps[0].label for group in self.groups if group.mapped and group.maps == maps)


def align(rules: RuleList, scored: list[dict[str, Any]], where: str) -> Plan:
    """Find what a list needs in the scores of the list `scored` (`Layout.about`).

    Raises
    ------
    ConfigError
        It names the first thing that was not measured.
    """
    identities = rules.identity["steps"]
    _same_maps(rules, identities, scored, where)
    between: list[list[dict[str, Any]]] = [[]]
    for one in scored:
        if one["role"] != "map":
            between[-1].append(one)
        if one["role"] != "judge":
            between.append([])
    found: list[Judged] = []
    numbers: list[int] = []
    for (label, step), identity in zip(rules.steps, identities, strict=True):
        here = between[len(numbers)]
        if role_of(step) == "map":
            found.append(Judged(label, step))
        elif isinstance(step, Filter):
            found.append(Judged(label, step, _measured(label, step, identity, here, scored, where)))
        elif (same := next((one for one in here if _alike(one, identity)), None)) is not None:
            found.append(Judged(label, step, same["columns"], probe(step)))
        elif isinstance(step, Languages) and _languages_known(rules, step):
            found.append(Judged(label, step, {"language": "language", "score": "language_score"}))
        else:
            raise ConfigError(f"{where}: step {label}{_difference(identity, scored)} {REMEDY}")
        if role_of(step) != "judge":
            numbers.append(len(found) - 1)
    groups, start, maps = [], 0, 0
    for steps in rules.groups:
        mapped = role_of(steps[0][1]) != "judge"
        groups.append(Group(tuple(found[start : start + len(steps)]), maps, mapped))
        start += len(steps)
        maps += mapped
    return Plan(tuple(groups))


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two steps say the same of any document, whatever their labels."""
    return all(one[name] == other[name] for name in ("step", "version", "libraries", "config"))


def _same_maps(rules: RuleList, identities: list[dict[str, Any]], scored: list[dict[str, Any]], where: str) -> None:
    """Refuse lists that change text otherwise."""
    ours = [one for (_, step), one in zip(rules.steps, identities, strict=True) if role_of(step) != "judge"]
    theirs = [one for one in scored if one["role"] != "judge"]
    for number in range(max(len(ours), len(theirs))):
        if number >= len(ours) or number >= len(theirs):
            side, one = ("the scored ones", theirs) if number >= len(ours) else ("these rules", ours)
            raise ConfigError(
                f"{where}: the rules must change text as the scored ones did, and only {side} have the step "
                f"{one[number]['label']}; {REMEDY}"
            )
        if not _alike(ours[number], theirs[number]):
            raise ConfigError(
                f"{where}: the rules must change text as the scored ones did, and step {ours[number]['label']}"
                f"{_difference(ours[number], [theirs[number]])} {REMEDY}"
            )


def _difference(one: dict[str, Any], scored: list[dict[str, Any]]) -> str:
    """How a step differs from the scored one that is most like it, as the end of a sentence."""
    kin = [other for other in scored if other["step"] == one["step"]]
    if not kin:
        there = ", ".join(dict.fromkeys(other["label"] for other in scored)) or "none"
        return f" ({one['step']}) is not among the scored ones ({there});"
    other = next((other for other in kin if other["label"] == one["label"]), kin[0])
    for name in ("version", "libraries"):
        if one[name] != other[name]:
            return f" is {_told(one[name])} here and was {_told(other[name])} when scored;"
    for name, value in one["config"].items():
        if value != other["config"].get(name):
            return f" has {name} {_told(value)}, and {_told(other['config'].get(name))} when scored;"
    return " stood elsewhere when scored;"


def _told(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _measured(
    label: str,
    step: Filter,
    identity: dict[str, Any],
    here: list[dict[str, Any]],
    scored: list[dict[str, Any]],
    where: str,
) -> dict[str, str]:
    """Quantity -> column of a filter."""
    found: dict[str, str] = {}
    filters = [one for one in here if one["step"] == Filter.name]
    for quantity in step.quantities:
        for one in filters:
            if quantity in one["columns"] and _same_cuts(one, identity):
                found[quantity] = one["columns"][quantity]
                break
        else:
            why = _why_not(quantity, identity, filters, scored)
            reason = next(r for r, text in step.drop.items() if parse_condition(text).quantity == quantity)
            raise ConfigError(f"{where}: {label}.{reason} asks for {quantity}, which {why}; {REMEDY}")
    return found


def _same_cuts(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return _alike({**one, "config": _cuts(one)}, {**other, "config": _cuts(other)})


def _cuts(one: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in one["config"].items() if name != "drop"}


def _why_not(
    quantity: str, identity: dict[str, Any], filters: list[dict[str, Any]], scored: list[dict[str, Any]]
) -> str:
    """Why a quantity is not in the scores."""
    for one in filters:
        if quantity in one["columns"]:
            for name in ("version", "libraries"):
                if one[name] != identity[name]:
                    return f"was measured with {name} {_told(one[name])} and not {_told(identity[name])}"
            for name, value in _cuts(identity).items():
                if value != one["config"].get(name):
                    return f"was measured with {name}: {_told(one['config'].get(name))} and not {_told(value)}"
    if any(one["step"] == Filter.name and quantity in one["columns"] for one in scored):
        return "was measured before or behind other changes of the text"
    known = sorted({name for one in filters for name in one["columns"]})
    return f"was not measured{nearest(quantity, known) if known else ''}"


def _languages_known(rules: RuleList, step: Languages) -> bool:
    """Whether the columns of languages hold what the step looks at: `language` stands before it, and nothing else writes them."""
    steps = [one for _, one in rules.steps]
    before = steps[: next(at for at, one in enumerate(steps) if one is step)]
    ours = all(type(one) in KINDS.values() for one in steps if role_of(one) != "judge")
    return (
        ours and sum(isinstance(one, Language) for one in steps) == 1 and any(isinstance(o, Language) for o in before)
    )
