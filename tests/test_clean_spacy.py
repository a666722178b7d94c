"""Words and sentences as spaCy cuts them: the same as the library's own, and clear words when it is missing."""

from __future__ import annotations

import functools
import itertools
import sys

import numpy as np
import oracles_text as oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megadata.corpus import spacy_words
from megadata.corpus.quantities import Cuts, Measured
from megadata.corpus.rules import load_rules
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError

spacy = pytest.importorskip("spacy")

ODD = ["don't", "U.S.", "e.g.", "1,000.5", ":-)", "IS_ALPHA", "\n\n"]
TEXT = st.one_of(oracles.TEXT, st.lists(st.sampled_from(ODD)).map(" ".join))


def batch(texts: list[str]) -> DocBatch:
    return DocBatch.of([str(i) for i in range(len(texts))], texts)


blank = functools.cache(spacy.blank)


def library_words(text: str, language: str) -> list[str]:
    nlp = blank(language)
    with nlp.memory_zone():
        try:
            tokens = nlp(text)
        except Exception:  # spaCy cannot always cut the name of its first lexical attribute
            tokens = nlp(text.replace("IS_ALPHA", ""))
        found = [token.text.strip() for token in tokens]
    return [word for word in found if word]


@settings(deadline=None, max_examples=30)
@given(texts=st.lists(TEXT, max_size=3), language=st.sampled_from(["en", "de"]))
def test_words_are_those_of_the_library(texts: list[str], language: str) -> None:
    expected = [library_words(text, language) for text in texts]
    text, offsets = spacy_words.spaced_words(texts, language)
    found = [text[a:b].tobytes().decode() for a, b in itertools.pairwise(offsets)]
    assert found == [" ".join(words) for words in expected]


def test_counts_of_words_are_spacys_and_counts_of_characters_the_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "I don't know # U.S. ...\n\nHe's here…"
    counts = Measured(batch([text, ""]), Cuts(words="spacy")).words
    words = library_words(text, "en")
    assert "n't" in words
    expected = oracles.count_words(text, "whitespace", ())
    spaced = oracles.count_words(" ".join(words), "whitespace", ())
    assert [int(n) for n in counts[0]] == [expected[c] if c in (0, 9, 10, 11) else spaced[c] for c in range(13)]
    assert not counts[1].any()


def test_words_with_white_space_inside_stay_one_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spacy_words, "words", lambda texts, language: iter([["a b", "a\tb", "c"]]))
    text, offsets = spacy_words.spaced_words(["anything"], "en")
    first, second, third = text.tobytes().decode().split()
    assert len({first, second, third}) == 3
    assert [len(first), len(second), third, int(offsets[1])] == [3, 3, "c", text.size]


def test_sentences_are_counted_line_by_line() -> None:
    found = spacy_words.count_sentences(["One. Two! Three\nFour?", "", "IS_ALPHA is here. Good."], "en")
    assert found.tolist() == [4, 0, 2]


def test_rule_sets_take_spacys_words_and_sentences_and_say_so() -> None:
    for name, change in (("gopher@datatrove", "gopher.words=spacy"), ("c4@datatrove", "c4.sentences=spacy")):
        rules = load_rules(name, [change])
        assert all(f"spacy {spacy.__version__}" in step["libraries"] for step in rules.identity["steps"])
        assert rules.identity != load_rules(name).identity
    line = "We don't know. It can't be. They won't go. You shan't win. I mustn't. "
    outcome = load_rules("c4@datatrove", ["c4.sentences=spacy"]).apply(
        batch([line, "We don't know. It can't be. They won't go."])
    )
    assert (outcome.kept.ids, outcome.values) == (["0"], [3.0])


def test_a_missing_library_or_language_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r"rules gopher@datatrove: step 1: filter: spaCy cannot cut language 'xx-none'"
    ):
        load_rules("gopher@datatrove", ["gopher.words=spacy", "gopher.language=xx-none"])
    spacy_words.pipeline.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "spacy", None)
        with pytest.raises(ConfigError, match=r"run: pip install 'megadata\[spacy\]', or choose words: unicode"):
            load_rules("fineweb@datatrove", ["fineweb.words=spacy"])
    assert np.array_equal(spacy_words.count_sentences([], "en"), [])
