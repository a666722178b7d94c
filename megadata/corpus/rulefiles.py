"""Reading rule lists: from YAML and registered steps to `Item`s, with rule-sets put in place and overrides applied."""

from __future__ import annotations

import functools
import importlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar

import yaml

from megadata.config import build, load_yaml, nearest
from megadata.corpus.defects import check_filter
from megadata.corpus.filter import Filter, check_drop, read_condition
from megadata.corpus.scorers import beside
from megadata.corpus.step import Judge, Map, Step
from megadata.errors import ConfigError
from megadata.formats import VERSIONS

SHIPPED = Path(__file__).parent.parent / "configs" / "rules"
RULE_SETS = Path(__file__).parent / "rulesets"
GROUP = "megadata.rules"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


class _Kinds(Mapping[str, type[Any]]):
    """Kind of step -> class. A class is imported when it is asked for: a list uses few, and some bring large libraries."""

    _HOMES: ClassVar[dict[str, str]] = {
        "url": "urlrules.Urls",
        "repair": "repair.Repair",
        "nfc": "repair.Nfc",
        "controls": "normalise.Controls",
        "whitespace": "normalise.Whitespace",
        "language": "language.Language",
        "languages": "language.Languages",
        "filter": "filter.Filter",
        "lines": "lines.LineRules",
        "web_lines": "web_lines.WebLines",
        "pii": "pii.Pii",
    }

    def __getitem__(self, name: str) -> type[Any]:
        module, _, cls = self._HOMES[name].partition(".")
        found: type[Any] = getattr(importlib.import_module(f"megadata.corpus.{module}"), cls)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._HOMES)

    def __len__(self) -> int:
        return len(self._HOMES)


KINDS = _Kinds()

MAPS = ("repair", "nfc", "controls", "whitespace")
"""Kinds that only change text; a list may begin with them."""

TOP_KEYS = ("rules", "about", "sources", "label", "steps")


@dataclass(frozen=True, slots=True)
class Item:
    """One step of a list before it is made: its kind, the label of its reasons, its settings, and where they were read."""

    kind: str
    label: str
    settings: dict[str, Any]
    where: str


@functools.cache
def registered() -> dict[str, Any]:
    """Steps and lists of other packages: name -> a step's class, or the path of a list."""
    found = {}
    for entry in entry_points(group=GROUP):
        if entry.name in KINDS or entry.name in files():
            raise ConfigError(f"entry point {GROUP} {entry.name!r} ({entry.value}): the name is megadata's own")
        try:
            found[entry.name] = entry.load()
        except Exception as error:  # code of others, at import
            raise ConfigError(
                f"entry point {GROUP} {entry.name!r} ({entry.value}): cannot be loaded: {error}; mend the package or remove it"
            ) from error
    return found


def files() -> dict[str, Path]:
    """Shipped lists and rule-sets by name."""
    return {path.stem: path for folder in (SHIPPED, RULE_SETS) for path in sorted(folder.glob("*.yaml"))}


def _file_of(name: str) -> Path | None:
    """The file a list's name stands for, or None when it is a step or unknown."""
    if name in files():
        return files()[name]
    other = registered().get(name)
    if isinstance(other, (str, Path)):
        return Path(other)
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    return None


def split_names(text: str) -> list[str]:
    """The names in ``gopher@paper,c4@tfds``; a file whose path holds commas is one name. Empty for ``none``."""
    names = [text] if Path(text).is_file() else [part.strip() for part in text.split(",")]
    if names == ["none"]:
        return []
    for name in names:
        if not name or name == "none":
            raise ConfigError(f"rules {text!r}: expected names with commas between them, found {name!r} among them")
        if names.count(name) > 1:
            raise ConfigError(f"rules {text!r}: {name} is named twice; remove one of them")
    return names


def read_lists(names: list[str]) -> list[Item]:
    """The steps of several lists one after another, with labels of their own where two lists share one for steps that judge."""
    lists = [read_items(name) for name in names]
    labels = Counter(label for items in lists for label in {item.label for item in items})
    found: list[Item] = []
    for name, items in zip(names, lists, strict=True):
        for item in items:
            label = item.label
            if labels[label] > 1 and item.kind not in MAPS:
                own = Path(name).stem if name.endswith((".yaml", ".yml")) else name
                label = (own if own.startswith(f"{label}@") else f"{label}@{own}").replace(".", "_")
            found.append(replace(item, label=label))
    return found


def read_items(name: str, above: tuple[str, ...] = ()) -> list[Item]:
    """All steps of the list or step called `name`, with the lists it names put in their place."""
    if name in above:
        raise ConfigError(f"rules {' > '.join((*above, name))}: the list contains itself; remove one of them")
    path = _file_of(name)
    if path is None:
        if name in KINDS or name in registered():
            return [Item(name, name, {}, f"rules {name}")]
        known = ["none", *files(), *KINDS, *registered()]
        raise ConfigError(f"unknown rules {name!r}{nearest(name, known)} (the path of a list ends in .yaml)")
    content = load_yaml(path)
    where = f"rules {name}"
    for key in content:
        if key not in TOP_KEYS:
            raise ConfigError(f"{where}: unknown key {key!r}{nearest(str(key), TOP_KEYS)}")
    if content.get("rules") != VERSIONS["rules"]:
        raise ConfigError(
            f'{where}: expected "rules: {VERSIONS["rules"]}" (the format\'s version), found {content.get("rules")!r}'
        )
    steps = content.get("steps")
    if not isinstance(steps, list):
        raise ConfigError(f"{where}: steps: expected a list of steps, found {type(steps).__name__}")
    items: list[Item] = []
    for number, entry in enumerate(steps, 1):
        kind, settings = _entry(entry, f"{where}: step {number}")
        settings = _beside(path.parent, kind, settings)
        items += _expand(kind, settings, content.get("label"), f"{where}: step {number}", (*above, name))
    return items


def _entry(entry: Any, where: str) -> tuple[str, dict[str, Any]]:
    """Kind and settings of one line of `steps`."""
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, Mapping) and len(entry) == 1:
        kind, settings = next(iter(entry.items()))
        if settings is None or isinstance(settings, Mapping):
            return str(kind), dict(settings or {})
    hint = ""
    if isinstance(entry, Mapping) and (name := next((one for one, value in entry.items() if value is None), None)):
        hint = f"; indent the settings of {name} further than its name"
    raise ConfigError(f"{where}: expected a step's name, or one name with its settings, found {entry!r}{hint}")


def _beside(folder: Path, kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with the files they name found beside the list."""
    names = getattr(KINDS.get(kind), "files", ())
    found = dict(settings)
    for name in names:
        value = settings.get(name)
        if isinstance(value, Mapping):
            found[name] = {key: beside(folder, str(one)) for key, one in value.items()}
        elif isinstance(value, (list, tuple)):
            found[name] = [str(folder / str(one)) for one in value]
    return found


def _expand(kind: str, settings: dict[str, Any], label: str | None, where: str, above: tuple[str, ...]) -> list[Item]:
    if kind in KINDS or (kind in registered() and _file_of(kind) is None):
        own = settings.pop("label", None)
        return [
            Item(
                kind,
                str(own or (label if kind in ("filter", "lines", "web_lines") and label else kind)),
                settings,
                where,
            )
        ]
    try:
        items = read_items(kind, above)
    except ConfigError as error:
        raise error if _file_of(kind) else ConfigError(f"{where}: {error}") from None
    for field, value in settings.items():
        items = _change(items, "", field, value, f"{where}: {kind}")
    return items


def override_items(items: list[Item], overrides: Iterable[str]) -> list[Item]:
    """The items with each ``LABEL.FIELD=VALUE`` or ``LABEL.REASON=VALUE`` applied; values are read as YAML."""
    for assignment in overrides:
        name, equals, raw = assignment.partition("=")
        label, dot, field = name.strip().partition(".")
        where = f"--set {assignment!r}"
        if not equals or not dot or not field:
            raise ConfigError(f"{where}: expected LABEL.FIELD=VALUE, for example quality.too_few_words=20")
        labels = [item.label for item in items]
        if label not in labels:
            raise ConfigError(f"{where}: these rules have no step {label!r}{nearest(label, labels)}")
        try:
            value = yaml.safe_load(raw)
        except yaml.YAMLError as error:
            raise ConfigError(f"{where}: {raw!r} is not a YAML value") from error
        items = _change(items, label, field.removeprefix("drop."), value, where)
    return items


def _change(items: list[Item], label: str, field: str, value: Any, where: str) -> list[Item]:
    """The items (only those labelled `label`, unless empty) with one field or one rule's condition changed."""
    if field == "drop" and isinstance(value, Mapping):
        return _change_rules(items, label, value, where)
    changed = []
    known: set[str] = set()
    hits = 0
    for item in items:
        drop = dict(item.settings.get("drop") or {}) if item.kind == "filter" else {}
        cls = KINDS.get(item.kind) or registered()[item.kind]
        names = {f.name for f in fields(cls)}
        if label and item.label != label:
            changed.append(item)
            continue
        known |= names | set(drop)
        if field in drop:
            hits += 1
            changed.append(replace(item, settings={**item.settings, "drop": _rule(drop, field, value, where)}))
        elif field in names and field != "drop":
            hits += 1
            changed.append(replace(item, settings={**item.settings, field: value}))
        else:
            changed.append(item)
    if not hits:
        raise ConfigError(f"{where}: unknown field or rule {field!r}{nearest(field, known)}")
    return changed


def _change_rules(items: list[Item], label: str, rules: Mapping[str, Any], where: str) -> list[Item]:
    """The items with several conditions changed, each where its reason is; the last filter gets those with a new reason."""
    filters = [item for item in items if item.kind == "filter" and label in ("", item.label)]
    if not filters:
        raise ConfigError(f"{where}: drop: these rules have no step `filter`")
    for reason, condition in rules.items():
        having = [item for item in filters if reason in item.settings.get("drop", {})] or filters[-1:]
        for item in having:
            drop = _rule(dict(item.settings.get("drop") or {}), str(reason), condition, where)
            new = replace(item, settings={**item.settings, "drop": drop})
            items = [new if one is item else one for one in items]
            filters = [new if one is item else one for one in filters]
    return items


def _rule(drop: dict[str, str], reason: str, value: Any, where: str) -> dict[str, str]:
    """Conditions with one of them exchanged: a number is a new threshold, a text a new condition, `off` removes the rule."""
    if value is False:
        return {r: c for r, c in drop.items() if r != reason}
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if reason not in drop:
            raise ConfigError(f"{where}: unknown rule {reason!r}{nearest(reason, drop)}")
        value = read_condition(drop[reason]).with_threshold(value)
    if isinstance(value, str) and NUMBER.fullmatch(value) and reason in drop:  # 1e3 is text in YAML
        value = read_condition(drop[reason]).with_threshold(float(value))
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {reason}: expected a number, a condition or off, found {value!r}")
    return {**drop, reason: value}


def with_urls(items: list[Item], lists: list[str]) -> list[Item]:
    """The items behind a step that asks these lists of addresses."""
    return [Item("url", "url", {"lists": lists}, "--url-rules"), *items] if lists else items


def with_languages(items: list[Item], codes: list[str]) -> list[Item]:
    """The items with identification and the languages to keep, behind the maps the list begins with."""
    if not codes:
        return items
    where = "--languages"
    present = [item for item in items if item.kind == "languages"]
    if present:
        keep = {**present[0].settings, "keep": codes}
        return [replace(item, settings=keep, where=where) if item is present[0] else item for item in items]
    at = 0
    while at < len(items) and items[at].kind in MAPS:
        at += 1
    steps = [Item("languages", "languages", {"keep": codes}, where)]
    if not any(item.kind == "language" for item in items):
        steps.insert(0, Item("language", "language", {}, where))
    return [*items[:at], *steps, *items[at:]]


def instantiate(item: Item) -> Step:
    """Make the step of an item."""
    cls = KINDS.get(item.kind) or registered()[item.kind]
    try:
        if cls is Filter and set(item.settings) <= {field.name for field in fields(Filter)}:
            check_drop(item.settings.get("drop"))
        step = build(cls, item.settings, f"{item.where}: {item.kind}")
    except ConfigError as error:
        raise (
            error if str(error).startswith(item.where) else ConfigError(f"{item.where}: {item.kind}: {error}")
        ) from None
    if isinstance(step, Filter):
        try:
            check_filter(step)
        except ConfigError as error:
            raise ConfigError(f"{item.where}: {item.kind}: {error}") from None
    if not isinstance(step, (Judge, Map)):
        raise ConfigError(f"{item.where}: {item.kind}: {cls.__name__} has neither judge() nor map()")
    return step
