"""blend.yaml as text: which keys it may have, what their values must be, and how a blend is written back."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megadata import formats
from megadata.errors import ConfigError, CorpusError
from megadata.indexed.files import is_url
from megadata.indexed.megatron import SURPLUS
from megadata.indexed.sources import Node, Source

if TYPE_CHECKING:
    from megadata.indexed.blend import Blend

Check = tuple[Callable[[Any], bool], str]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


_TOP: dict[str, Check] = {
    "sources": (lambda v: isinstance(v, dict) and bool(v), "a mapping of names to sources"),
    "phases": (lambda v: isinstance(v, list) and all(isinstance(item, dict) for item in v), "a list of mappings"),
    "weigh_by": (lambda v: isinstance(v, str), "explicit, tokens, documents or equal"),
    "temperature": (_is_number, "a number"),
    "seed": (_is_count, "an integer"),
    "split": (lambda v: isinstance(v, list) and all(_is_count(item) for item in v), "a list like [949, 50, 1]"),
    "order": (lambda v: isinstance(v, dict) or v == "megatron", "a mapping like {locality: true}, or megatron"),
}
_SHARE: dict[str, Check] = {"weight": (_is_number, "a number"), "max_epochs": (_is_number, "a number")}
_SOURCE: dict[str, Check] = {
    "data": (_is_strings, "a list of prefixes"),
    "validation": (_is_strings, "a list of prefixes"),
    **_SHARE,
}
_GROUP: dict[str, Check] = {name: _TOP[name] for name in ("sources", "weigh_by", "temperature")} | _SHARE
_FILE: dict[str, Check] = {"blend": (lambda v: isinstance(v, str), "the path of a blend file"), **_SHARE}
_PHASE: dict[str, Check] = {
    "from_tokens": (_is_count, "an integer"),
    "weights": (lambda v: isinstance(v, dict) and all(map(_is_number, v.values())), "a mapping of names to numbers"),
    "to_tokens": (_is_count, "an integer"),
}
_ORDER: dict[str, Check] = {"locality": (lambda v: isinstance(v, bool), "true or false")}
_MEGATRON: dict[str, Check] = {
    "kind": (lambda v: v == "megatron", "megatron"),
    "samples": (_is_count, "an integer, the samples of the whole run"),
    "surplus": (_is_number, "a number"),
}


def parse_blend(path: Path) -> dict[str, Any]:
    """The fields of `Blend` in a file, with plain values; sources by name, prefixes as written.

    Raises
    ------
    ConfigError
        If the file cannot be read, or has a key or a value that does not belong there.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8 text, found byte {error.object[error.start]:#x}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{path}:{line} is not valid YAML: {getattr(error, 'problem', error)}") from error
    try:
        content = dict(formats.check("blend", content, path))
    except CorpusError as error:
        raise ConfigError(str(error)) from error
    content = {key: value for key, value in content.items() if key not in ("format", "version")}
    _check(content, _TOP, str(path), ("sources",))
    sources = _sources(content["sources"], str(path))
    for phase in content.get("phases", ()):
        _check(phase, _PHASE, f"{path}: phase", ("from_tokens", "weights"))
    order = content.pop("order", {})
    if order == "megatron" or "kind" in order:
        order = {"kind": "megatron"} if order == "megatron" else dict(order)
        _check(order, _MEGATRON, f"{path}: order", ("kind",))
        order.pop("kind")
        order = {"megatron": order}
    else:
        _check(order, _ORDER, f"{path}: order", ())
    if "split" in content:
        content["split"] = tuple(content["split"])
    return {**content, **order, "sources": sources}


def _sources(given: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """Sources by name, checked, those of groups inside them."""
    sources = {}
    for name, values in given.items():
        here = f"{where}: source {name!r}"
        if not isinstance(name, str) or not isinstance(values, dict):
            raise ConfigError(f"{here}: expected a name with a mapping under it, {{data: [PREFIX]}}")
        if "blend" in values:
            _check(values, _FILE, here, ())
            sources[name] = dict(values)
        elif "sources" in values:
            _check(values, _GROUP, here, ())
            sources[name] = {**values, "sources": _sources(values["sources"], here)}
        else:
            one = {
                key: [value] if key in ("data", "validation") and isinstance(value, str) else value
                for key, value in values.items()
            }
            _check(one, _SOURCE, here, ("data",))
            sources[name] = one
    return sources


def _check(values: Mapping[Any, Any], fields: Mapping[str, Check], where: str, needed: Iterable[str]) -> None:
    for key, value in values.items():
        if key not in fields:
            close = difflib.get_close_matches(str(key), fields, n=1)
            hint = f'; did you mean "{close[0]}"?' if close else f"; known: {', '.join(fields)}"
            raise ConfigError(f"{where}: unknown key {key!r}{hint}")
        good, what = fields[key]
        if not good(value):
            raise ConfigError(f"{where}: {key} must be {what}, found {value!r:.60}")
    for key in needed:
        if key not in values:
            raise ConfigError(f"{where}: {key} is missing; it must be {fields[key][1]}")


def render_blend(blend: Blend, folder: Path) -> str:
    """blend.yaml for a blend, with prefixes relative to `folder`."""
    import yaml

    content: dict[str, Any] = {"seed": blend.seed}
    if blend.weigh_by is not None:
        content["weigh_by"] = blend.weigh_by
    if blend.temperature != 1:
        content["temperature"] = _plain(blend.temperature)
    if blend.locality:
        content["order"] = {"locality": True}
    if blend.megatron is not None:
        content["order"] = {"kind": "megatron"}
        if blend.megatron.samples is not None:
            content["order"]["samples"] = blend.megatron.samples
        if blend.megatron.surplus != SURPLUS:
            content["order"]["surplus"] = _plain(blend.megatron.surplus)
    if blend.split is not None:
        content["split"] = list(blend.split)
    content["sources"] = {node.name: _plain_node(node, folder) for node in blend.sources}
    if blend.phases:
        content["phases"] = [
            {
                "from_tokens": phase.from_tokens,
                **({} if phase.to_tokens is None else {"to_tokens": phase.to_tokens}),
                "weights": {name: _plain(w) for name, w in phase.weights.items()},
            }
            for phase in blend.phases
        ]
    return yaml.safe_dump(formats.stamp("blend", content), sort_keys=False, allow_unicode=True, width=110)


def _plain_node(node: Node, folder: Path) -> dict[str, Any]:
    """A source or a group as it stands in the file."""
    one: dict[str, Any] = {}
    if isinstance(node, Source):
        one["data"] = [_relative(prefix, folder) for prefix in node.data]
    for key in ("weight", "max_epochs"):
        if (value := getattr(node, key)) is not None:
            one[key] = _plain(value)
    if isinstance(node, Source):
        if node.validation:
            one["validation"] = [_relative(prefix, folder) for prefix in node.validation]
        return one
    if node.weigh_by is not None:
        one["weigh_by"] = node.weigh_by
    if node.temperature != 1:
        one["temperature"] = _plain(node.temperature)
    one["sources"] = {inner.name: _plain_node(inner, folder) for inner in node.sources}
    return one


def _plain(value: int | float | Fraction) -> int | float:
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else float(value)
    return value


def _relative(prefix: str, folder: Path) -> str:
    """`prefix` seen from `folder`, where the two share more than the root of the file system; else absolute."""
    if is_url(prefix):
        return prefix
    absolute, base = os.path.abspath(prefix), os.path.abspath(folder)  # noqa: PTH100 - a path's text, links kept
    if os.path.commonpath([absolute, base]) == os.path.sep:
        return absolute
    return os.path.relpath(absolute, base)
