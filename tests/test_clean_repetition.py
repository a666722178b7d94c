"""Repeated n-grams: kernels against plain Python, and the edge cases on which published rule-sets differ."""

from __future__ import annotations

import oracles_text as oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megadata.corpus.filter import QUANTITIES
from megadata.corpus.quantities import FORMULAS, Cuts, Measured
from megadata.documents.batch import DocBatch

WORDS = st.lists(st.sampled_from(["a", "b", "ab", "c", "é", "dd", "x" * 70]), max_size=40).map(" ".join)
CUT_ANYWHERE = st.lists(st.text("ab", min_size=1, max_size=9), max_size=60).map(" ".join)
"""Words of which other words are made when they are put together, as `skipping` does."""
TEXTS = st.lists(st.one_of(WORDS, CUT_ANYWHERE, oracles.TEXT, oracles.LONG), min_size=1, max_size=4)
TOPS, REPEATS = (1, 2, 3, 4), (2, 5, 6, 10)


def batch(texts: list[str]) -> DocBatch:
    return DocBatch.of([str(i) for i in range(len(texts))], texts)


@given(
    texts=TEXTS,
    cutting=st.sampled_from(["whitespace", "unicode"]),
    formula=st.sampled_from([*sorted(FORMULAS), "skipping", "skipping"]),
    repeats=st.sampled_from([REPEATS, (5, 6, 7, 8, 9, 10), (3,), (12, 20)]),
    tie=st.sampled_from(["first", "longest"]),
    least=st.integers(1, 3),
    share=st.sampled_from(["text", "ngrams"]),
)
def test_ngrams_match_the_oracle(
    texts: list[str], cutting: str, formula: str, repeats: tuple[int, ...], tie: str, least: int, share: str
) -> None:
    cuts = Cuts(words=cutting, repeated_ngrams=formula, top_tie=tie, top_least=least, ngram_share_of=share)
    measured = Measured(batch(texts), cuts, TOPS, repeats)
    for d, text in enumerate(texts):
        words = oracles.cut_words(text, cutting)
        for n in TOPS:
            assert measured.top_ngram(n)[d] == oracles.top_ngram(words, n, least, tie, share == "text")
        for n in repeats:
            part, whole = measured.repeated_ngrams(n)
            assert (part[d], whole[d]) == oracles.repeated_ngrams(words, n, formula)


def share(text: str, quantity: str, **cuts: object) -> float:
    n = int(quantity.split("_")[1].removesuffix("gram"))
    measured = Measured(batch([text]), Cuts(words="whitespace", **cuts), [n], [n])  # type: ignore[arg-type]
    return float(QUANTITIES[quantity].formula(measured)[0])


HALF = " ".join(f"word{i}" for i in range(100))


@pytest.mark.parametrize(
    ("formula", "expected"), [("later", 0.5), ("skipping", 0.5), ("all", 1.0), ("overlapping", 1.0)]
)
def test_two_equal_halves_are_half_or_wholly_repeated(formula: str, expected: float) -> None:
    found = share(f"{HALF} {HALF}", "repeated_5gram_share", repeated_ngrams=formula)
    assert found == pytest.approx(expected, abs=0.03)


def test_a_top_ngram_that_occurs_once_counts_only_for_datatrove() -> None:
    assert share("one two three", "top_2gram_share", top_least=1, ngram_share_of="text") == 7 / 13
    assert share("one two three", "top_2gram_share", top_least=2) == 0


def test_ties_go_to_the_first_or_the_longest() -> None:
    text = "a b a b ccc ddd ccc ddd"
    assert share(text, "top_2gram_share", top_tie="first") == 4 / 16
    assert share(text, "top_2gram_share", top_tie="longest") == 12 / 16


def test_words_put_together_can_repeat_across_their_borders() -> None:
    """ "ab c" and "a bc" are equal for datatrove, which compares without spaces."""
    assert share("ab c x a bc", "repeated_2gram_share", repeated_ngrams="skipping") == 3 / 7
    assert share("ab c x a bc", "repeated_2gram_share", repeated_ngrams="later") == 0
    long = "x" * 200
    assert share(f"{long} b q {long[1:]} xb", "repeated_2gram_share", repeated_ngrams="skipping") == 201 / 403


def test_a_text_shorter_than_the_ngram_repeats_nothing() -> None:
    assert share("one two", "repeated_10gram_share") == 0
    assert share("one two", "top_4gram_share", top_least=1) == 0
