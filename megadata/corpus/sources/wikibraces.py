"""Where templates begin and end, and what lies between their bars; agrees with mwparserfromhell's tree."""

from __future__ import annotations

import re

_BRACES = re.compile(r"\{\{|\}\}")
_PARTS = re.compile(r"\{\{|\}\}|\[\[|\]\]|\||=")
NAME_END = re.compile(r"[|{}\[\]]")
"""What ends a template's name."""
ARGUMENT = re.compile(r"\{\{\{[^{}|]*(?:\|([^{}]*))?\}\}\}")
"""A parameter of the page itself (``{{{1|default}}}``)."""


def outermost(text: str) -> list[tuple[int, int]]:
    """Where the outermost ``{{...}}`` begin and end; braces without a partner count as text."""
    open_at: list[int] = []
    spans: list[tuple[int, int]] = []
    for token in _BRACES.finditer(text):
        if token[0] == "{{":
            open_at.append(token.start())
        elif open_at:
            start = open_at.pop()
            while spans and spans[-1][0] >= start:
                spans.pop()
            spans.append((start, token.end()))
    return spans


def split_arguments(inner: str) -> list[tuple[str, str]]:
    """(name, value) of a template's arguments, from what lies between its braces; unnamed ones are numbered from 1."""
    arguments: list[tuple[str, str]] = []
    depth = number = at = 0
    sign: int | None = None

    def take(end: int) -> None:
        nonlocal number
        if sign is not None and "<" not in inner[at:sign]:
            arguments.append((inner[at:sign].strip(), inner[sign + 1 : end]))
        else:
            number += 1
            arguments.append((str(number), inner[at:end]))

    inside = False
    for token in _PARTS.finditer(inner):
        if len(token[0]) == 2:
            depth = max(depth + (1 if token[0] in ("{{", "[[") else -1), 0)
        elif depth == 0 and token[0] == "|":
            if inside:
                take(token.start())
            inside, at, sign = True, token.end(), None
        elif depth == 0 and sign is None:
            sign = token.start()
    if inside:
        take(len(inner))
    return arguments


def split_parts(text: str) -> list[str]:
    """What lies between the bars of a parser function, bars inside templates and links left alone."""
    parts: list[str] = []
    depth = at = 0
    for token in _PARTS.finditer(text):
        if len(token[0]) == 2:
            depth = max(depth + (1 if token[0] in ("{{", "[[") else -1), 0)
        elif depth == 0 and token[0] == "|":
            parts.append(text[at : token.start()])
            at = token.end()
    return [*parts, text[at:]]
