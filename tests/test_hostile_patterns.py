"""No regular expression of a reader takes the square of what a file repeats."""

from __future__ import annotations

import re

import pytest
from hostile_patterns import Pattern, attacks, grows_too_fast, inline_calls, patterns

from megadata.corpus.sources.wikilines import _empty_brackets

READERS = ("megadata.corpus.sources", "megadata.documents")
FOUND = [
    *patterns(*READERS),
    Pattern("wikilines._empty_brackets", _empty_brackets("\x01"), False),
]


def slow(pattern: Pattern) -> tuple[str, str, str] | None:
    """An attack that keeps the expression busy."""
    return next((attack for attack in sorted(attacks(pattern.pattern)) if grows_too_fast(pattern, *attack)), None)


@pytest.mark.parametrize(
    "expression",
    [
        r"<body\b[^>]*>",
        r"[ \t]*X",
        r"<!--.*?-->",
        r"a=\s*b?\s*c",
        r"(?:a+)+b",
        r"(\w+)=",
        pytest.param(r"(=+)[ \t]*(.+?)[ \t]*\1\Z", marks=pytest.mark.long),  # has attacks of many kinds
    ],
)
def test_the_search_finds_what_is_known_to_be_slow(expression: str) -> None:
    assert slow(Pattern("known", re.compile(expression), False)) is not None


def test_a_linear_expression_passes_the_search() -> None:
    assert slow(Pattern("known", re.compile(r"<body\b[^<>]*>"), False)) is None


@pytest.mark.parametrize("pattern", FOUND, ids=lambda pattern: pattern.name)
@pytest.mark.long
def test_expressions_take_linear_time(pattern: Pattern) -> None:
    assert slow(pattern) is None, f"{pattern.pattern.pattern!r}: (before, repeated, after) = {slow(pattern)}"


def test_the_expressions_of_readers_are_found() -> None:
    assert len(FOUND) > 80


def test_expressions_inside_functions_are_simple() -> None:
    for module, line, call in inline_calls(*READERS):
        text = call.partition(":")[2]
        assert text.count("*") + text.count("+") <= 4 or call.startswith("compile:"), f"{module}:{line}: {call}"
