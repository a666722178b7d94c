"""Cuts: equal to their definition, and nothing that was found is left."""

from __future__ import annotations

import oracles_decontaminate as oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megadata.corpus.decontaminate import DecontaminateConfig, cuts
from megadata.corpus.decontaminate.index import build, places, search
from megadata.corpus.dedup import normaliser
from megadata.documents.batch import DocBatch

TABLE = normaliser.table().tolist()
TEXT = st.text(st.sampled_from("ab é.漢。\n"), max_size=60)
PROSE = st.lists(st.sampled_from(["red", "fox", "blue", "sea", "old", "oak", ". ", "! ", "\n"]), max_size=60).map(
    " ".join
)


@settings(max_examples=600)
@given(text=TEXT, data=st.data(), margin=st.integers(0, 6), least=st.integers(1, 5))
def test_cuts_leave_what_the_definition_leaves(text, data, margin, least):
    place = st.integers(0, len(text))
    spans = [tuple(sorted(one)) for one in data.draw(st.lists(st.tuples(place, place), min_size=1, max_size=4))]
    spans = [(start, stop) for start, stop in spans if start < stop]
    config = DecontaminateConfig(margin=margin, least_piece=least)
    assert cuts.pieces(text, spans, config) == oracles.pieces(text, spans, margin, least, config.ends)


@given(text=PROSE, evals=st.lists(PROSE, min_size=1, max_size=3), margin=st.integers(0, 20))
def test_nothing_that_was_found_is_left(text, evals, margin):
    config = DecontaminateConfig(words=3, shortest=2, margin=margin, least_piece=1)
    index = build(evals, config)
    docs = DocBatch.of(["d"], [text])
    hits, at = search(docs, index, config), places(docs, 0)
    spans = [(int(at[start, 0]), int(at[stop - 1, 1])) for _, start, stop, _ in hits.tolist()]
    left = cuts.pieces(text, spans, config)
    assert len(search(DocBatch.of([""] * len(left), left), index, config)) == 0
    known = set().union(*(oracles.ngrams(one, TABLE, 3, 2) for one in evals))
    assert not any(oracles.matches(one, known, TABLE) for one in left)


def test_a_cut_takes_the_margin_and_the_rest_of_its_sentences():
    before, after = "One is kept. Two is cut, ", " and cut. Three stays!"
    text = f"{before}MATCH{after}"
    span = (len(before), len(before) + 5)
    config = DecontaminateConfig(margin=3, least_piece=1)
    assert cuts.pieces(text, [span], config) == ["One is kept.", "Three stays!"]
    assert cuts.pieces(text, [span], DecontaminateConfig(margin=3, least_piece=13)) == []


@pytest.mark.parametrize(
    ("margin", "left"),
    [
        (3, ["One.", "Two. Three."]),
        (4, ["One.", "Three."]),
        (5, ["Three."]),
        (2, ["One.", "Two. Three."]),
        (0, ["One.", "Two. Three."]),
    ],
)
def test_an_end_of_a_sentence_at_the_margin_itself_ends_the_cut(margin, left):
    text = "One. ? MATCH ab. Two. Three."
    at = text.index("MATCH")
    assert cuts.pieces(text, [(at, at + 5)], DecontaminateConfig(margin=margin, least_piece=2, ends=".")) == left


def test_bytes_become_characters():
    text = "aé漢😀b"
    ends = [len(text[:n].encode()) for n in range(len(text) + 1)]
    assert cuts.characters(text.encode(), ends[::-1]) == {byte: n for n, byte in enumerate(ends)}
