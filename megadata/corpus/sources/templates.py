"""What remains of a template in plain text: the table of rules.

A rule is a pattern or a function; the table of names is ``wikitext.yaml``. In a pattern ``{2}`` stands for a parameter and
``{3|2|text}`` for the first of several that is there and not empty; a pattern that begins with ``?`` leaves nothing where all of
its parameters are missing. A template without a rule leaves nothing. Other packages add rules with entry points of the group
``megadata.wikitext``, each a mapping from template names (lower case) to rules; users with a file in the shape of the table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Any

import yaml

from megadata.corpus.sources.arguments import Arguments
from megadata.corpus.sources.templatefunctions import FUNCTIONS
from megadata.errors import ConfigError

Rule = str | Callable[[Arguments], str]

_SLOT = re.compile(r"\{([^{}]+)\}")


def fill(rule: Rule, arguments: Arguments) -> str:
    """Text of a template by its rule."""
    if callable(rule):
        return rule(arguments)
    found = False

    def slot(match: re.Match[str]) -> str:
        nonlocal found
        value = next((v for n in match[1].split("|") if (v := arguments.get(n, ""))), "")
        found = found or bool(value)
        return value

    text = _SLOT.sub(slot, rule)
    if text.startswith("?"):
        return text[1:] if found else ""
    return text


@cache
def tables() -> dict[str, Any]:
    """The contents of ``wikitext.yaml``."""
    text = files("megadata.corpus.sources").joinpath("wikitext.yaml").read_text(encoding="utf-8")
    return dict(yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def _translated(function: Callable[[Arguments], str], language: str, arguments: Arguments) -> str:
    arguments.language = language
    return function(arguments)


def _function(name: str) -> Callable[[Arguments], str]:
    """A function by name; ``date@fr`` is one that writes the words of a language, whatever the wiki's."""
    plain, sign, language = name.partition("@")
    if plain not in FUNCTIONS:
        raise ConfigError(
            f"read.wiki_templates: unknown function {plain!r}; expected one of {', '.join(sorted(FUNCTIONS))}"
        )
    return partial(_translated, FUNCTIONS[plain], language) if sign else FUNCTIONS[plain]


class TemplateRules:
    """Rules by template name: the shipped table, what other packages add, and the user's own.

    Parameters
    ----------
    own : a mapping in the shape of ``wikitext.yaml``.
    """

    def __init__(self, own: Mapping[str, Any]) -> None:
        self._rules: dict[str, Rule] = {}
        self._families: list[tuple[str, Rule]] = []
        self.citations: dict[str, list[str]] = {}
        """What the parameters of citations are called, by what they mean."""
        self._add(tables())
        for entry in entry_points(group="megadata.wikitext"):
            self._rules |= entry.load()
        self._add(own)
        self._rules |= dict.fromkeys((_plain(name) for name in own.get("dropped", ())), "")

    def _add(self, table: Mapping[str, Any]) -> None:
        for pattern, names in table.get("patterns", {}).items():
            self._rules |= dict.fromkeys(map(_plain, names), pattern)
        for function, names in table.get("functions", {}).items():
            self._rules |= dict.fromkeys(map(_plain, names), _function(function))
        families = [(_plain(prefix), pattern) for pattern, ps in table.get("prefixes", {}).items() for prefix in ps]
        self._families[:0] = families
        for meaning, names in table.get("citations", {}).items():
            self.citations[meaning] = [*(_parameter(name) for name in names), *self.citations.get(meaning, ())]

    def __iter__(self) -> Any:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)

    def rule(self, name: str) -> Rule | None:
        """Rule of a template (its name in lower case, spaces for underscores), or None where it leaves nothing."""
        rule = self._rules.get(name)
        if rule is None:
            rule = next((r for prefix, r in self._families if name.startswith(prefix)), None)
        return rule


def _plain(name: object) -> str:
    return " ".join(str(name).replace("_", " ").split()).casefold() if str(name).strip() else str(name)


def _parameter(name: object) -> str:
    return re.sub(r"[\s_-]+", "", str(name)).casefold()


@cache
def _rules_of(own: str) -> TemplateRules:
    return TemplateRules(json.loads(own))


def template_rules(own: Mapping[str, Any] | None = None) -> TemplateRules:
    """The rules with the user's own; made once for each table."""
    return _rules_of(json.dumps(own or {}, sort_keys=True))
