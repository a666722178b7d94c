"""Parameters of a template, as rules see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class Arguments(dict[str, str]):
    """Parameters by name (``1``, ``2``, ... for those without), already plain text."""

    language: str = "en"
    """Code of the wiki's language."""
    template: str = ""
    """The template's name in lower case."""
    citations: Mapping[str, Sequence[str]] = {}
    """What the parameters of citations are called, by what they mean (`wikicitations`)."""


def positional(arguments: Arguments) -> list[str]:
    """The unnamed parameters in order."""
    values: list[str] = []
    while (value := arguments.get(str(len(values) + 1))) is not None:
        values.append(value)
    return values
