from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles_tokenize import PATTERN_NAMES, PROSE, TEXTS, UNICODE, flat

from megadata.errors import ConfigError
from megadata.tokenize import bpe, merge, wordpieces
from megadata.tokenize.bpe import Shape
from megadata.tokenize.classes import classes
from megadata.tokenize.count import Counts, Pretokens, count_texts
from megadata.tokenize.merge import Token, Words, find_merges
from megadata.tokenize.wordpieces import BertWords

RUNS = st.lists(
    st.tuples(st.sampled_from("ab-"), st.integers(1, 9)).map(lambda run: run[0] * run[1]), min_size=1, max_size=4
).map("".join)
"""Text in which neighbours are often equal, so that occurrences of a pair overlap."""


def ours(texts, shape):
    return bpe.train(count_texts(Pretokens(shape.pattern), classes(), *flat(texts)), shape)


def same(found, expected):
    return found.vocabulary == expected.vocabulary and found.merges == expected.merges


@pytest.mark.parametrize("pattern", PATTERN_NAMES)
@given(texts=st.lists(TEXTS | RUNS, max_size=12), merges=st.integers(0, 60))
@settings(max_examples=40)
def test_merges_are_those_of_tokenizers(pattern, texts, merges):
    shape = Shape(257 + merges, ("<|x|>",), pattern)
    assert same(ours(texts, shape), bpe.by_tokenizers(texts, shape))


@given(texts=st.lists(RUNS, min_size=1, max_size=40), merges=st.integers(0, 80))
def test_special_tokens_that_merges_make_keep_their_ids(texts, merges):
    special = ("ab", "-", "aa", "[PAD]", "b--")
    shape = Shape(260 + merges, special, "gpt2")
    assert same(ours(texts, shape), bpe.by_tokenizers(texts, shape))


@pytest.mark.parametrize("pattern", PATTERN_NAMES)
def test_merges_of_prose_are_those_of_tokenizers(pattern):
    texts = PROSE[:25] + UNICODE
    shape = Shape(3000, ("<|endoftext|>",), pattern)
    found = ours(texts, shape)
    assert same(found, bpe.by_tokenizers(texts, shape))
    assert len(found.merges) == 3000 - 257


@given(texts=st.lists(TEXTS | RUNS, min_size=1, max_size=8), size=st.integers(10, 120))
@settings(max_examples=40)
def test_word_pieces_are_those_of_tokenizers(texts, size):
    shape = Shape(size, ("[PAD]", "[UNK]", "ab"))
    counts = count_texts(BertWords(True), classes(), *flat(texts))
    characters = wordpieces.alphabet(counts, shape)
    found = wordpieces.train(counts, shape)
    assert found.vocabulary == wordpieces.by_tokenizers(texts, shape, characters).vocabulary


def counts_of(words):
    return Counts.of({word.encode(): count for word, count in words.items()})


def test_counts_beyond_32_bits_decide_what_is_merged_first():
    words = {"ab": (1 << 32) + 1, "cd": 3, "ef": 1 << 31}  # in 32 bits: 1, 3 and less than 0
    found = bpe.train(counts_of(words), Shape(258, (), "gpt2"))
    assert found.merges == [("a", "b"), ("e", "f")]
    assert found.used is not None
    assert found.used[256:].tolist() == [(1 << 32) + 1, 1 << 31]


def test_a_pair_spread_over_many_words_is_summed_beyond_32_bits():
    words = {f"ab{n}x": 1 << 30 for n in range(9)} | {"cd": 9 << 29}
    assert bpe.train(counts_of(words), Shape(257, (), "gpt2")).merges == [("a", "b")]


def test_ties_go_to_the_pair_with_the_smallest_ids():
    words = {"cd": 5, "ab": 5, "ac": 5}
    assert bpe.train(counts_of(words), Shape(259, (), "gpt2")).merges == [("a", "b"), ("a", "c"), ("c", "d")]


def test_occurrences_of_tokens_are_counted_when_all_is_merged():
    words = {"abab": 3, "abc": 2, "z": 7}
    found = bpe.train(counts_of(words), Shape(257, (), "gpt2"))
    names = {number: name for name, number in found.vocabulary.items()}
    assert found.used is not None
    assert {names[n]: int(found.used[n]) for n in np.flatnonzero(found.used)} == {"ab": 8, "c": 2, "z": 7}


def test_arrays_that_are_full_are_exchanged_for_larger_ones(monkeypatch):
    counts = count_texts(Pretokens("gpt2"), classes(), *flat(PROSE[:6]))
    shape = Shape(900, (), "gpt2")
    expected = bpe.train(counts, shape)
    grown = Counter()
    larger = merge._larger
    monkeypatch.setattr(merge, "_larger", lambda array: grown.update([array.dtype.str]) or larger(array))

    class Tight(merge._Run):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            held = self.state.tolist()
            self.places = self.places[: held[merge.kernels.PLACES]].copy()
            self.entries = self.entries[: held[merge.kernels.ENTRIES]].copy()
            self.queue = self.queue[: held[merge.kernels.ENTRIES]].copy()
            self.merges = self.merges[:1].copy()
            self.bytes = self.bytes[:256].copy()
            keys, totals = np.zeros(1 << 11, np.uint64), np.zeros(1 << 11, np.int64)
            merge.kernels.move_pairs(self.keys, self.totals, keys, totals, self.state)
            self.keys, self.totals = keys, totals

    monkeypatch.setattr(merge, "_Run", Tight)
    found = bpe.train(counts, shape)
    assert found.merges == expected.merges
    assert set(grown) == {"<i4", "<i8", "|u1"}


def test_progress_adds_up_to_the_tokens_made(monkeypatch):
    monkeypatch.setattr(merge, "_AT_ONCE", 7)
    told = []
    bpe.train(count_texts(Pretokens("gpt2"), classes(), *flat(PROSE[:3])), Shape(400, (), "gpt2"), told.append)
    assert sum(told) == 400 - 256
    assert len(told) > 10


def test_nothing_to_merge_is_no_merge():
    nothing = Words(np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.int64))
    assert find_merges(nothing, [Token(b"a")], 10).merges == []
    single = Words(np.zeros(2, np.int32), np.array([0, 1, 2]), np.array([4, 5]))
    assert find_merges(single, [Token(b"a")], 10).used.tolist() == [9]


def test_more_words_than_can_be_numbered_are_refused(monkeypatch):
    monkeypatch.setattr(merge, "MOST_WORDS", 2)
    with pytest.raises(ConfigError, match=r"has 3 different words, at most 2 can be merged; set min_count=2 or more"):
        bpe.train(counts_of({"a": 1, "b": 1, "c": 1}), Shape(300, (), "gpt2"))
