from __future__ import annotations

from itertools import pairwise

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles_tokenize import shuffle_order

from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError
from megadata.tokenize.config import TokenizeConfig, parse_count, parse_split
from megadata.tokenize.keys import file_name, shuffle_keys, splits_of, values_of
from megadata.tokenize.sentences import flat_sentences, split_sentences

IDS = [f"https://example.org/{n}" for n in range(4000)]


@given(ids=st.lists(st.text(st.characters(codec="utf-8"), max_size=20), unique=True), seed=st.integers(-(2**63), 2**63))
def test_keys_sort_documents_as_the_definition_says(ids, seed):
    key, tie = shuffle_keys(ids, seed)
    order = np.lexsort((tie, key))
    assert [ids[i] for i in order] == shuffle_order(ids, seed)


def test_copies_have_keys_of_their_own_and_the_first_that_of_the_document():
    key, tie = shuffle_keys(["a", "b"], 7)
    keys, ties = shuffle_keys(["a", "a", "a", "b"], 7, [0, 1, 2, 0])
    assert (keys[0], ties[0], keys[3], ties[3]) == (key[0], tie[0], key[1], tie[1])
    assert len(set(keys.tolist())) == len(set(ties.tolist())) == 4


def test_another_seed_is_another_order():
    assert shuffle_order(IDS, 0) != shuffle_order(IDS, 1)


def test_splits_have_the_shares_that_were_asked_for():
    config = TokenizeConfig(split={"train": 0.9, "validation": 0.06, "test": 0.04})
    found = splits_of(IDS, config.thresholds)
    shares = [found.count(name) / len(IDS) for name in ("train", "validation", "test")]
    assert shares == pytest.approx([0.9, 0.06, 0.04], abs=0.015)


def test_keys_and_splits_are_the_same_in_every_version():
    key, tie = shuffle_keys(["a", "é"], 42)
    assert key.tolist() == [1666450930254425322, 9088366741838111280]
    assert tie.tolist() == [9904848500198249248, 2047241412233292517]
    assert splits_of(IDS[:12], [("t", 2**63), ("v", 2**64)]) == list("vvvttvtvtvtt")


def test_a_document_keeps_its_split_as_the_corpus_grows_and_the_shuffle_changes():
    config = TokenizeConfig(split={"train": 0.98, "validation": 0.02})
    before = dict(zip(IDS[:1000], splits_of(IDS[:1000], config.thresholds), strict=True))
    after = dict(
        zip(IDS[::-1], splits_of(IDS[::-1], TokenizeConfig(split=config.split, seed=7).thresholds), strict=True)
    )
    assert all(after[own] == split for own, split in before.items())


def test_a_smaller_validation_share_moves_documents_to_train_only():
    wide = splits_of(IDS, TokenizeConfig(split={"train": 0.9, "validation": 0.1}).thresholds)
    narrow = splits_of(IDS, TokenizeConfig(split={"train": 0.95, "validation": 0.05}).thresholds)
    assert {(a, b) for a, b in zip(wide, narrow, strict=True)} == {
        ("train", "train"),
        ("validation", "train"),
        ("validation", "validation"),
    }


def test_shares_are_decimal_and_the_last_split_ends_at_the_top():
    thresholds = TokenizeConfig(split={"a": 0.1, "b": 0.2, "c": 0.7}).thresholds
    assert thresholds == [("a", 2**64 // 10), ("b", 3 * 2**64 // 10), ("c", 2**64)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train=.9", r"expected shares above 0 that add up to 1, found 0\.9"),
        ("train=.9,validation=.2", r"expected shares above 0 that add up to 1, found 1\.1"),
        ("train=1,validation=0", r"expected shares above 0 that add up to 1"),
        ("train", r"--split 'train': expected NAME=SHARE"),
        ("train=x", r"expected NAME=SHARE"),
        ("a/b=1", r"--split 'a/b': expected a name of letters, digits, _ and \."),
        ("a=.5,a=.5", r"expected NAME=SHARE"),
    ],
)
def test_a_wrong_split_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_split(text)


def test_splits_and_counts_are_read_from_text():
    assert parse_split("train=.98,validation=.01, test=.01") == {"train": 0.98, "validation": 0.01, "test": 0.01}
    assert [parse_count(t) for t in ("10B", "1.5M", "7", "2k", "1T")] == [10**10, 1_500_000, 7, 2000, 10**12]
    for wrong in ("", "B", "-3", "0", "ten"):
        with pytest.raises(ConfigError, match=r"expected a number with K, M, B or T"):
            parse_count(wrong)


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(Exception, match=r"by must name the source or a field of the metadata, got 'text'"):
        TokenizeConfig(by="text")
    with pytest.raises(Exception, match=r"max_tokens_per_file must be at least 1, got 0"):
        TokenizeConfig(max_tokens_per_file=0)


def test_values_of_a_field_become_parts_of_names():
    notes = [{"language": "en"}, {"language": ["a", 1]}, {}, {"language": None}, {"x": {"y": 3}}, None]
    texts = [orjson.dumps(n).decode() if n is not None else None for n in notes]
    batch = DocBatch.of(list("abcdef"), [""] * 6, "web", None, texts)
    assert values_of(batch, "language")[0] == "en"
    assert values_of(batch, "language")[2:4] == ["unknown", "unknown"]
    assert values_of(batch, "x.y") == ["unknown"] * 4 + ["3", "unknown"]
    assert values_of(batch, "source") == ["web"] * 6


@given(values=st.lists(st.text(min_size=1, max_size=60), unique=True))
def test_names_are_safe_and_different_for_different_values(values):
    names = [file_name(value) for value in values]
    assert len(set(names)) == len(names)
    assert all(c.isascii() and (c.isalnum() or c in "_.") for name in names for c in name)


SCRIPTS = {
    "en": 'Dr. Smith went to Washington.|He said "No."|It cost $3.50.|See e.g. this.|What?|OK.',
    "de": "Das ist z. B. ein Test.|Am 3. Mai kam Dr. Müller.|Er ging.",
    "fr": "Le chat est parti.|Où va-t-il ?|Loin !",
    "ru": "Это тест.|Как дела?|Хорошо!",
    "el": "Τι κάνεις;|Είμαι καλά.",
    "ar": "هذا نص.|كيف حالك؟|أنا بخير!",
    "ur": "یہ ایک جملہ ہے۔|دوسرا جملہ۔|کیا حال ہے؟",
    "fa": "این یک متن است.|حال شما چطور است؟",
    "hi": "यह एक वाक्य है।|यह दूसरा है।|क्या हाल है?",
    "bn": "এটি একটি বাক্য।|এটি আরেকটি।",
    "hy": "Սա նախադասություն է։|Սա երկրորդն է։",
    "am": "ሰላም ነው።|እንዴት ነህ፧",
    "my": "မင်္ဂလာပါ။|နေကောင်းလား။",
    "ko": "안녕하세요.|어떻게 지내세요?",
    "zh": "你好。||世界！||他说：“走吧。”||然后离开了。",
    "ja": "これは文です。||次の文！",
    "km": "នេះជាប្រយោគ។|នេះទៀត៕",
    "bo": "ཀ་ཁ།|ག་ང༎",
    "th": "สวัสดีครับ|ผมชื่อสมชาย 3 คน|วันนี้อากาศดี",
    "lo": "ສະບາຍດີ|ຂ້ອຍຊື່",
}
"""Language -> text with a bar where a sentence ends: before a blank, or doubled where there is none."""


@pytest.mark.parametrize("language", SCRIPTS)
def test_sentences_end_where_each_script_ends_them(language):
    sentences = SCRIPTS[language].replace("||", "|").split("|")
    text = SCRIPTS[language].replace("||", "").replace("|", " ")
    assert split_sentences(text, language) == sentences
    if language not in ("de", "el"):  # abbreviations, and a mark that other languages use within sentences
        assert split_sentences(text, "en") == sentences
    assert split_sentences(text, "xx") == split_sentences(text, "en"), "a language that nobody knows"


@given(
    text=st.text(st.sampled_from("ab .!?。！\n\t\u00a0ก ຂ།༎។ក۔।") | st.characters(codec="utf-8"), max_size=60),
    language=st.sampled_from([*SCRIPTS, "xx"]),
)
def test_no_character_but_blanks_is_lost_between_sentences(text, language):
    sentences = split_sentences(text, language)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence == sentence.strip() != "" for sentence in sentences)


def test_sentences_are_split_without_the_space_around_them():
    text, offsets, counts = flat_sentences(
        ["Dr. Smith went. He said no.\n\n Then?  ", "", "  ", "你好。世界！"], ["en", "en", "en", "zh"]
    )
    pieces = [text[a:b].tobytes().decode() for a, b in pairwise(offsets)]
    assert pieces == ["Dr. Smith went.", "He said no.", "Then?", "你好。", "世界！"]
    assert counts.tolist() == [3, 0, 0, 2]
