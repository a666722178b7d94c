"""What `dedup --explain` shows of two texts: each word of both, in order, and long texts within seconds."""

from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megadata.corpus.dedup import difference as module
from megadata.corpus.dedup.difference import difference

TEXTS = st.lists(st.sampled_from("abcdefgh"), max_size=40).map(" ".join)


def parts(shown: str) -> tuple[str, str]:
    """The words of each text that the differences tell of."""
    kept = re.sub(r"\{\+.*?\+\}", " ", shown)
    removed = re.sub(r"\[-.*?-\]", " ", shown)
    return tuple(" ".join(re.sub(r"\[-|-\]|\{\+|\+\}", " ", one).split()) for one in (kept, removed))  # type: ignore[return-value]


@given(kept=TEXTS, removed=TEXTS, small=st.sampled_from([0, 4, 100]), budget=st.sampled_from([0, 20, 1000]))
def test_both_texts_can_be_read_off_the_differences(kept: str, removed: str, small: int, budget: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SMALL", small)
        patch.setattr(module, "_BUDGET", budget)
        patch.setattr(module, "_CONTEXT", 40)  # so that all words are shown
        shown = difference(kept, removed)
    if kept == removed:
        assert shown == "The texts have the same words."
    else:
        assert "\n" not in shown
        assert parts(shown.removeprefix("...").removesuffix("...")) == (kept, removed)


def test_differences_far_apart_are_lines_of_their_own_with_eight_words_around():
    words = [f"w{i}" for i in range(60)]
    changed = [*words[:3], "x", *words[3:30], *words[31:]]
    assert difference(" ".join(words), " ".join(changed)).splitlines() == [
        f"... w0 w1 w2 {{+x+}} {' '.join(words[3:11])} ...",
        f"... {' '.join(words[22:30])} [-w30-] {' '.join(words[31:39])} ...",
    ]


def test_of_a_long_difference_the_first_words_are_shown_and_the_others_counted():
    shown = difference("same", " ".join(["same", *(f"w{i}" for i in range(1500))]))
    assert shown == f"... same {{+{' '.join(f'w{i}' for i in range(100))} (and 1,400 more words)+}} ..."


@pytest.mark.parametrize("vocabulary", [2, 20_000])
def test_books_are_compared_within_seconds(vocabulary: int):
    """Words of a novel repeat as Zipf says; two words alone, at random, leave nothing to match by."""
    rng = random.Random(0)
    words = [f"w{int(rng.paretovariate(1)) % vocabulary}" for _ in range(200_000)]
    other = list(words)
    for _ in range(4_000):
        at = rng.randrange(len(other))
        other[at : at + rng.randrange(3)] = ["new"] * rng.randrange(1, 3)
    began = time.process_time()
    shown = difference(" ".join(words), " ".join(other))
    assert time.process_time() - began < 20
    if vocabulary > 2:
        assert 1_000 < shown.count("{+new") <= 4_000
        assert shown.count("more words") == 0
