"""Configuration: checked dataclasses, YAML, ``--set a.b=value``, and the nearest key for a typo."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform, get_args, get_origin

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as pydantic_dataclass

from megadata.errors import ConfigError

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def configclass(cls: type[T]) -> type[T]:
    """Class decorator: a frozen, keyword-only dataclass whose types are checked and whose unknown keys are errors."""
    settings = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    made = pydantic_dataclass(cls, frozen=True, kw_only=True, config=settings)
    return typing.cast("type[T]", made)


def _field_types(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


def _config_inside(hint: Any) -> type | None:
    """The config class a field holds, looking through optionals."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return hint
    if get_origin(hint) in (typing.Union, types.UnionType):
        inside = [c for c in map(_config_inside, get_args(hint)) if c is not None]
        return inside[0] if inside else None
    return None


def nearest(name: str, known: Iterable[str]) -> str:
    """A phrase that helps with a typo: ``; did you mean "x"?`` or the list of what exists."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else f"; known: {', '.join(names)}"


def _check_keys(cls: type, values: Mapping[str, Any], where: str, path: str = "") -> None:
    fields = _field_types(cls)
    for key, value in values.items():
        if key not in fields:
            raise ConfigError(f"{where}: unknown key {path + str(key)!r}{nearest(str(key), fields)}")
        inside = _config_inside(fields[key])
        if inside is not None and isinstance(value, Mapping):
            _check_keys(inside, value, where, f"{path}{key}.")


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Make a config of class `cls` from plain values; `where` names the file or flag in error messages."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected a mapping of settings, found {type(values).__name__}")
    _check_keys(cls, values, where)
    try:
        return TypeAdapter(cls).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "settings"
        raise ConfigError(f"{where}: {key}: {first['msg']}, found {first.get('input')!r}") from error


def to_dict(config: Any) -> Any:
    """Plain values of a config, for YAML, JSON and identities; the inverse of `build`."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {str(k): to_dict(v) for k, v in config.items()}
    if isinstance(config, (list, tuple)):
        return [to_dict(v) for v in config]
    return str(config) if isinstance(config, Path) else config


def load_yaml(path: Path | str) -> dict[str, Any]:
    """Read a YAML mapping; `ConfigError` names the file, line and what is wrong."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8 text, found byte {error.object[error.start]:#x}") from error
    return parse_yaml(text, str(path))


class _Unique(yaml.SafeLoader):
    """YAML's safe loader, to which a key that is given twice is an error: the second would replace the first unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            problem = f"the key {twice[0]!r} is given twice; remove one of them"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """Parse YAML text that holds one mapping."""
    try:
        content = yaml.load(text, _Unique)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{where}:{line} is not valid YAML: {getattr(error, 'problem', error)}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{where}: expected a mapping of settings, found {type(content).__name__}")
    return content


def dump_yaml(values: Mapping[str, Any]) -> str:
    """YAML text with keys in the order given."""
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=110)


def override(values: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """`values` with ``a.b=c`` assignments applied; the right side is read as YAML."""
    result: dict[str, Any] = dict(values)
    for assignment in assignments:
        name, equals, raw = assignment.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--set {assignment!r}: expected FIELD=VALUE, for example --set trainer.steps=100")
        *parents, last = name.strip().split(".")
        level = result
        for parent in parents:
            below = level.get(parent)
            if below is not None and not isinstance(below, Mapping):
                raise ConfigError(f"--set {assignment!r}: {parent!r} is a value, not a section")
            level[parent] = dict(below or {})
            level = level[parent]
        try:
            level[last] = yaml.safe_load(raw)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {assignment!r}: {raw!r} is not a YAML value") from error
    return result
