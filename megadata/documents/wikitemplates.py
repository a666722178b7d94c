"""The option `read.wiki_templates`: a user's rules for wiki templates, checked and held by value.

The step's identity holds the rules themselves, so that a moved file redoes nothing and a changed one does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from megadata.config import nearest
from megadata.errors import ConfigError

_RULES = ("patterns", "functions", "prefixes", "citations")
_NAMES = ("dropped", "disambiguations", "files", "categories")


def template_table(given: Mapping[str, Any] | str) -> dict[str, Any]:
    """The rules of a YAML file, or those given, with every part a mapping or a list of names.

    Raises
    ------
    ConfigError
        Where the file cannot be read or a part is not what it should be.
    """
    where = "read.wiki_templates"
    found: Any = given
    if isinstance(given, str):
        where = f"{where} {given}"
        try:
            found = yaml.safe_load(Path(given).read_text("utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not YAML in UTF-8"
            raise ConfigError(f"{where}: cannot be read: {reason}; name a YAML file of template rules") from error
    if not isinstance(found, Mapping):
        raise ConfigError(
            f"{where}: expected a mapping with {', '.join(_RULES + _NAMES)}, found {type(found).__name__}"
        )
    table: dict[str, Any] = {}
    for part, value in found.items():
        if part in _NAMES:
            table[part] = _names(f"{where}.{part}", value)
        elif part not in _RULES:
            raise ConfigError(f"{where}: unknown part {part!r}{nearest(str(part), _RULES + _NAMES)}")
        elif not isinstance(value, Mapping):
            raise ConfigError(f"{where}.{part}: expected rules with lists of template names, found {value!r}")
        else:
            table[part] = {str(rule): _names(f"{where}.{part}.{rule}", names) for rule, names in value.items()}
    return table


def _names(where: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, (str, int)) for name in value):
        raise ConfigError(f"{where}: expected a list of names, found {value!r}")
    return [str(name) for name in value]
