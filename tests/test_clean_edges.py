"""The documents on which implementations of one named rule-set are known to part, decided by every rule-set and by its oracle."""

from __future__ import annotations

import pytest
from rule_texts import LINES, PLAIN, VARIED, sentences, unlike, woven
from test_clean_published import ORACLES as PUBLISHED
from test_clean_rulesets import ORACLES as FIRST
from test_clean_rulesets import reasons

ORACLES = {**FIRST, **PUBLISHED}

HALF = "\n".join(sentences(12, 9))
BREAKS = (" ", "\n", "\n\n", "\n\n\n", " \n \n")
EDGES = {
    "two equal halves": [f"{half}{between}{half}" for half in (PLAIN, VARIED, HALF) for between in BREAKS],
    "equal halves of one long line": [f"{half} {half}" for half in (" ".join(unlike(60)), "の" * 40, "a" * 400)],
    "blank lines": [
        shape.join([*LINES, *sentences(6, 7)])
        for shape in ("\n\n", "\n\n\n", "\n \n", "\n\t\n\n", "\r\n\r\n", "\n\u3000\n")
    ],
    "blank lines at both ends": [f"{blank}{HALF}{blank}" for blank in ("\n", "\n\n\n\n", " \n\t\n", "\u2028\n")],
    "n-grams that occur once": [
        " ".join(["the", "of", *unlike(count, size)]) + "."
        for count in (1, 2, 3, 4, 6, 9, 12, 60)
        for size in (3, 9, 40)
    ],
    "ties of the top n-gram": [
        " ".join([*first * 3, *unlike(rest), *second * 3, "the", "of", "and", "to"]) + "."
        for first, second in ((["a", "b", "c", "d"], unlike(4, 12)), (unlike(4, 12), ["a", "b", "c", "d"]))
        for rest in (10, 40, 90)
    ],
    "words that repeat put together": [
        "the of " + "ab cd efgh ijkl mn a bcd ef ghi jklm n " * 4 + " ".join(unlike(60)) + "."
    ],
    "stretches that overlap themselves": [woven(stretch, 4, 60) + " so it is" * 5 for stretch in (5, 9, 11)],
}
"""What it is -> documents."""


@pytest.mark.parametrize("edge", sorted(EDGES))
@pytest.mark.parametrize("name", sorted(ORACLES))
def test_decisions_on_edge_cases_are_those_of_the_formula(name: str, edge: str) -> None:
    assert reasons(name, EDGES[edge]) == [ORACLES[name](text) for text in EDGES[edge]]


def test_rule_sets_part_on_every_edge() -> None:
    """Otherwise the documents would not be edge cases."""
    for edge, texts in EDGES.items():
        assert len({tuple(reasons(name, texts)) for name in ORACLES}) > 3, edge
