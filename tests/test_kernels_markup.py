"""The bound on what markup costs a parser: equal to a plain search, and never below what `unfolds` counts exactly."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megadata.corpus.sources import extract
from megadata.corpus.sources.extract import unfolds
from megadata.kernels.markup import weigh_markup

PARTS = (
    "<",
    ">",
    "</",
    "<b",
    "<B>",
    "</b>",
    "<i>",
    "</I >",
    "<br>",
    "<big>",
    "<bigger>",
    "<strike x=1>",
    "</strike",
    "<b_>",
    "<font a>",
)
SOUP = st.lists(st.sampled_from([*PARTS, "</font>", "<p>", "x", " ", "é", "<bé>", "1", "/"]), max_size=60).map("".join)


def weights(html: str) -> list[int]:
    out = np.empty(3, np.int64)
    weigh_markup(np.frombuffer(html.encode(), np.uint8), extract._FORMATTING_NUMBERS, out)
    return out.tolist()


def plain_search(html: str) -> list[int]:
    opened: list[str] = []
    total = at = 0
    for mark in extract._FORMATTING.finditer(html):
        total += len(opened) * html.count("<", at, mark.start())
        at = mark.start()
        name = mark[2].lower()
        if not mark[1]:
            opened.append(name)
        elif name in opened:
            opened.remove(name)
    runs = [len(run[1].encode()) for run in re.finditer("<([^<>]*)", html)]
    return [html.count("<"), max(runs, default=0), total + len(opened) * html.count("<", at)]


@given(SOUP)
def test_one_pass_counts_what_a_plain_search_counts(html: str) -> None:
    assert weights(html) == plain_search(html)


@settings(max_examples=30)
@given(SOUP)
def test_what_unfolds_is_seen_whether_or_not_the_bound_is_asked_first(html: str) -> None:
    html = html * 40
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extract, "_MAX_ATTRIBUTES", 10)
        patch.setattr(extract, "_MAX_REOPENED", 500)
        found = unfolds(html)
        patch.setattr(extract, "weigh_markup", lambda page, names, out: out.fill(1 << 40))
        assert found == unfolds(html)
