"""What a rule does to its own result: nothing, for every kind of step and shipped list; what published orders do is known."""

from __future__ import annotations

import numpy as np
import oracles_text as oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_texts import PLAIN, TEXTS
from test_clean_rules import PAGE, RULE_SETS, SHIPPED, batch

from megadata.corpus.lines import LineRules
from megadata.corpus.repair import Repair
from megadata.corpus.rules import load_rules
from megadata.corpus.step import Judge, Map, Step
from megadata.documents.batch import DocBatch

NOT_IDEMPOTENT = ("c4@tfds", "c4@datatrove", "refinedweb@dclm")
"""Published rule-sets that judge while they cut; docs/rules.md counts what their second pass does."""

LISTS = {name: load_rules(name) for name in (*SHIPPED, *RULE_SETS) if name not in NOT_IDEMPOTENT}
SAMPLED = ("fineweb2@deu", *(name for name in LISTS if not name.startswith("fineweb2")))
STEPS = {repr(step): step for name in SAMPLED for _, step in LISTS[name].steps}
"""The different steps of all lists (of FineWeb-2's, which differ in numbers only, one)."""

ODD = st.sampled_from(
    ["See [[1]2] there, please.", "[3] Words that have an end.", "Sign-in sign-in now", "3 likes", "AB\n\n\ncd ef"]
)
TEXT = st.one_of(
    oracles.LINES, PAGE, ODD, st.sampled_from(TEXTS), st.builds(lambda a, b: f"{a}\n{b}\n{PLAIN}", PAGE, ODD)
)


@settings(max_examples=40)
@given(name=st.sampled_from(sorted(LISTS)), texts=st.lists(TEXT, max_size=4))
def test_lists_keep_what_they_made(name: str, texts: list[str]) -> None:
    """Where ftfy keeps what it made: it repairs some of its own results once more."""
    rules = LISTS[name]
    once = rules.apply(batch(texts)).kept
    if name in SHIPPED and Repair().map(once).texts != once.texts:
        return
    twice = rules.apply(once)
    assert (twice.kept.ids, twice.kept.texts) == (once.ids, once.texts)


@pytest.mark.parametrize("step", STEPS.values(), ids=lambda step: step.name)
@settings(max_examples=10)
@given(texts=st.lists(TEXT, min_size=1, max_size=4))
def test_every_step_does_nothing_to_its_own_result(step: Step, texts: list[str]) -> None:
    """A judge drops none of what it kept; a map leaves its result as it is."""
    docs = batch(texts)
    if isinstance(step, Map):
        docs = step.map(docs)
        again = step.map(docs)
        assert again.texts == docs.texts or isinstance(step, Repair)
    if isinstance(step, Judge):
        drop = np.zeros(len(docs), np.bool_)
        for decision in step.judge(docs).values():
            drop |= decision.mask
        assert not any(decision.mask.any() for decision in step.judge(docs.select(~drop)).values())


@pytest.mark.parametrize(
    ("name", "text", "first", "second"),
    [
        ("c4@tfds", "We all know [[1]2] about it. Yes, we do know it. No, they do not know.", "[2]", ""),
        ("c4@datatrove", "One. Two. Three. Four. Five. Six.\n[1] [2] He.\n", "\n  He.", ""),
        ("refinedweb@dclm", f"{PLAIN}\nSign-in sign-in to the page", "\nsign-in to the page", "\nto the page"),
    ],
)
def test_second_passes_of_published_line_rules_find_more_to_cut(name: str, text: str, first: str, second: str) -> None:
    changes = ["c4.min_sentences=1"] if name.startswith("c4") else []
    rules = load_rules(name, changes)
    once = rules.apply(DocBatch.of(["0"], [text])).kept
    assert first in once.texts[0]
    (again,) = rules.apply(once).kept.texts
    assert again != once.texts[0]
    assert first not in again
    assert second in again


def test_lines_that_go_leave_no_gaps_for_a_second_pass() -> None:
    rules = load_rules("web")
    once = rules.apply(batch([f"{PLAIN}\n\nWe use cookies here.\n\nThe last part is short."])).kept
    assert once.texts == [f"{PLAIN}\n\nThe last part is short."]
    assert rules.apply(once).kept.texts == once.texts


def test_citation_marks_that_leave_no_mark_are_cut_once() -> None:
    rules = LineRules(drop_citations=True)
    once = rules.map(batch(["Known [1] to all [edit], and [citation needed] more."]))
    assert rules.map(once).texts == once.texts
