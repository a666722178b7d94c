"""Published rule-sets against oracles written from the formulas they cite, on texts that reach every one of their rules."""

from __future__ import annotations

import functools

import oracles_rules as oracles
import oracles_text
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rule_texts import LINES, PLAIN, TEXTS, sentences, unlike
from test_clean_rulesets import DOCUMENTS, reasons

from megadata.corpus.rules import load_rules
from megadata.corpus.step import Judge
from megadata.corpus.web_lines import WebLines
from megadata.documents.batch import DocBatch

ORACLES = {
    "gopher@dolma": oracles.gopher_dolma,
    "c4@tfds": oracles.c4_tfds,
    "nemo-english": oracles.nemo_english,
    "datajuicer": oracles.datajuicer,
    "refinedweb@dclm": oracles.refinedweb_dclm,
    **{f"fineweb2@{code}": functools.partial(oracles.fineweb2, code) for code in ("deu", "fra", "cmn", "arb")},
}

HUGE = ["the word " * 50_001, "z" * 190_001]
"""For the rule-sets that limit the size of a document before they look for repetition, and whose oracles do."""


def every_reason(name: str) -> set[str]:
    """All reasons that a rule-set can give."""
    docs = DocBatch.of(["0"], ["x"])
    return {reason for _, step in load_rules(name).steps if isinstance(step, Judge) for reason in step.judge(docs)}


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_decisions_match_the_formulas_on_texts_that_reach_every_rule(name: str) -> None:
    limited = name in ("gopher@dolma", "nemo-english", "c4@tfds")
    texts = [*TEXTS, *HUGE] if limited else TEXTS
    found = reasons(name, texts)
    for text, reason in zip(texts, found, strict=True):
        assert reason == ORACLES[name](text), text[:300]
    missed = every_reason(name) - set(found) - (set() if limited else {"too_many_words"})
    assert not missed


@given(
    name=st.sampled_from(sorted(ORACLES)),
    texts=st.lists(st.one_of(DOCUMENTS, oracles_text.LINES), min_size=1, max_size=3),
)
def test_decisions_match_the_formulas_on_any_text(name: str, texts: list[str]) -> None:
    assert reasons(name, texts) == [ORACLES[name](text) for text in texts]


WEB_LINES = st.lists(
    st.one_of(
        oracles_text.LINES,
        st.sampled_from(["Sign-in now", "sign-in Sign-in", "items in cart", "3 items in cart.", "Read more...", "3 likes",
                         "3.5k\u00a0Views!", "and read more on it", "12345", "ABC def", "ABCD", "one", "two words", "", PLAIN]),
    ),
    max_size=8,
).map("\n".join)  # fmt: skip


@given(texts=st.lists(WEB_LINES, min_size=1, max_size=3))
def test_what_is_left_of_web_lines_is_what_the_formula_leaves(texts: list[str]) -> None:
    ((_, step),) = load_rules("refinedweb@dclm").steps
    assert isinstance(step, WebLines)
    left = step.map(DocBatch.of([str(i) for i in range(len(texts))], texts)).texts
    assert left == [oracles.refinedweb_lines(text) for text in texts]
    assert reasons("refinedweb@dclm", texts) == [oracles.refinedweb_dclm(text) for text in texts]


@pytest.mark.parametrize(
    ("line", "left"),
    [("Read more now!", "Read more now!"), ("Go on: read more at", "Go on:"), ("Go on. Read more...", "Go on.")],
)
def test_three_dots_of_read_more_stand_for_any_three_characters(line: str, left: str) -> None:
    ((_, step),) = load_rules("refinedweb@dclm").steps
    assert step.map(DocBatch.of(["0"], [f"A line.\n{line}"])).texts == [f"A line.\n{left}"]  # type: ignore[union-attr]


def test_the_gophers_part_where_their_sources_do() -> None:
    """Blank lines, mean and median, n-grams that occur once, and the rule that Dolma's configuration never asks."""
    names = ("gopher@paper", "gopher@datatrove", "gopher@dolma")
    blank = "\n".join(line + "\n" * 3 for line in [*LINES, *sentences(10, 8)])
    assert [reasons(name, [blank])[0] for name in names] == [None, None, "repeated_lines"]
    long = " ".join([*unlike(50, 4), *unlike(20, 40), "the", "of", "and"])
    assert [reasons(name, [long])[0] for name in names] == ["long_words", "long_words", None]
    top = " ".join(f"abcdefghijklmnop qrstuvwxyz {w}" for w in unlike(18, 3)) + " the of"
    assert reasons("gopher@paper", [top]) == ["top_2gram"]
    assert reasons("gopher@dolma", [top]) == [None]
