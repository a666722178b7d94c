"""Parameters of a template, as rules see them."""

from __future__ import annotations


class Arguments(dict[str, str]):
    """Parameters by name (``1``, ``2``, ... for those without), already plain text."""

    language: str = "en"
    """Code of the wiki's language."""
    template: str = ""
    """The template's name in lower case."""


def positional(arguments: Arguments) -> list[str]:
    """The unnamed parameters in order."""
    values: list[str] = []
    while (value := arguments.get(str(len(values) + 1))) is not None:
        values.append(value)
    return values
