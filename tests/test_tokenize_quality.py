from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles_tokenize import PROSE, TEXTS, flat, small_tokenizer, write_jsonl

from megadata.runtime.settings import RunSettings
from megadata.tokenize import quality
from megadata.tokenize.count import Excerpt
from megadata.tokenize.load import load_tokenizer
from megadata.tokenize.quality import Quality, measure, word_bounds
from megadata.tokenize.tokenizer import NO_SPACES
from megadata.tokenize.train import TokenizerConfig, train_tokenizer


def words(text):
    """Spans of the words of a text, character by character."""
    spans = []
    before = " "
    for at, char in enumerate(text):
        if unicodedata.category(char)[0] in "LNM":
            mark = unicodedata.category(char)[0] == "M"
            alone = not mark and any(low <= ord(c) <= high for c in (before, char) for low, high in NO_SPACES)
            if unicodedata.category(before)[0] not in "LNM" or alone:
                spans.append([at, at])
            spans[-1][1] = at + 1
        before = char
    return [(start, stop) for start, stop in spans]


OLD = st.lists(st.one_of(TEXTS, st.text(st.sampled_from("aé1 日本\u0301ก.'"), max_size=12)), max_size=4)


OLD_BLOCKS = [*range(0x530), *range(0xE00, 0xE80), *range(0x3040, 0x3100), *range(0x4E00, 0x9FFF)]


def plain(text):
    """Text of the blocks whose characters are as old as Python's Unicode tables."""
    return "".join(c for c in text if ord(c) in OLD_BLOCKS)


@given(texts=OLD)
def test_words_are_runs_of_letters_and_single_characters_of_scripts_without_spaces(texts):
    texts = [plain(text) for text in texts]
    text, offsets = flat(texts)
    starts, stops = word_bounds(text, offsets)
    found = [text[a:b].tobytes().decode() for a, b in zip(starts, stops, strict=True)]
    assert found == [one[start:stop] for one in texts for start, stop in words(one)]


def expected(tokenizer, text):
    """Words, words split and tokens of words, by the offsets that `tokenizers` gives."""
    borders = {end for _, end in tokenizer.library.encode(text, add_special_tokens=False).offsets}
    spans = words(text)
    inside = [sum(start < border < stop for border in borders) for start, stop in spans]
    return len(spans), sum(n > 0 for n in inside), sum(n + 1 for n in inside)


def test_fertility_and_split_words_are_those_by_the_offsets_of_tokenizers():
    tokenizer = small_tokenizer()
    texts = [PROSE[0][:3000], "unsplittable pneumonoultramicroscopic words, isn't it 12345?"]
    (whole, *_), used = measure(tokenizer, [Excerpt(text.encode(), None) for text in texts])
    truth = np.sum([expected(tokenizer, text) for text in texts], axis=0)
    assert (whole.words, whole.split, whole.word_tokens) == tuple(truth)
    ids = [tokenizer.encode(text) for text in texts]
    assert whole.tokens == sum(map(len, ids))
    assert np.flatnonzero(used).tolist() == sorted(set(np.concatenate(ids).tolist()))
    assert whole.bytes_per_token == pytest.approx(sum(len(t.encode()) for t in texts) / whole.tokens)


def test_languages_are_those_of_the_metadata_and_else_identified():
    sample = [Excerpt(b"one two", "en"), Excerpt("été".encode(), None), Excerpt(b"three", "en")]
    rows, _ = measure(small_tokenizer(), sample, lambda text, offsets: [("fr", 0.9)] * (offsets.size - 1))
    assert [(row.language, row.bytes, row.words) for row in rows] == [("all", 17, 4), ("en", 12, 3), ("fr", 5, 1)]
    assert [row.language for row in measure(small_tokenizer(), sample)[0]] == ["all", "en", "unknown"]


def test_languages_with_the_least_text_share_a_row(monkeypatch):
    monkeypatch.setattr(quality, "MOST_LANGUAGES", 2)
    sample = [Excerpt(b"word " * n, name) for n, name in ((9, "en"), (7, "de"), (2, "fr"), (1, "pl"))]
    rows, _ = measure(small_tokenizer(), sample)
    assert [(row.language, row.words) for row in rows] == [("all", 19), ("en", 9), ("de", 7), ("2 others", 3)]


def test_a_word_of_wordpiece_is_a_token_and_what_follows_inside_it(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", [{"text": "low lower lowest low low", "metadata": {"language": "en"}}])
    config = TokenizerConfig(vocab_size=17, kind="wordpiece", special=("[UNK]",))
    report = train_tokenizer([file], tmp_path / "t.json", config, RunSettings(workers=1))
    tokenizer = load_tokenizer(report.path)
    text = "low lower, lowest! 日"
    tokens = tokenizer.library.encode(text, add_special_tokens=False).tokens
    (row, _), _ = measure(tokenizer, [Excerpt(text.encode(), "en")])
    inner = sum(token.startswith("##") for token in tokens)
    assert row == Quality("all", len(text.encode()), len(tokens), 3, 2, 3 + inner, 3)
    assert [row.language for row in report.quality] == ["all", "en"]


def test_nothing_is_measured_on_no_text():
    rows, used = measure(small_tokenizer(), [])
    assert rows == [Quality("all", 0, 0, 0, 0, 0, 0)]
    assert not used.any()
    assert rows[0].ratios == {"bytes_per_token": 0, "fertility": 0, "split_share": 0}
