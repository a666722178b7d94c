from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles_tokenize import PATTERN_NAMES, PROSE, TEXTS, UNICODE, flat, ids_of, small_tokenizer

from megadata.tokenize import encode
from megadata.tokenize.convert import wordpiece
from megadata.tokenize.encode import Choice, choose_encoder, cuts, may_cut, sample_of
from megadata.tokenize.load import from_content, load_tokenizer
from megadata.tokenize.specials import added_token


def bert():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "of", "##s", "##e", *"abcdefghijklmnopqrstuvwxyz,.[]"]
    vocabulary = {word: number for number, word in enumerate(words)}
    return from_content(wordpiece(vocabulary, [added_token(w, n) for n, w in enumerate(words[:5])], True), "bert")


def parts(ids, lengths):
    return [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])] if lengths.size else []


@pytest.mark.parametrize("name", PATTERN_NAMES)
@pytest.mark.parametrize("encoder", ["gigatoken", "tokenizers"])
def test_special_tokens_written_in_text_are_text(name, encoder):
    tokenizer = small_tokenizer(name)
    special = set(tokenizer.special.values())
    texts = ["<|endoftext|>", "a <|endoftext|>b[MASK] [SEP]", "[PAD][CLS]\n<|endoftext|>"]
    ids, lengths = tokenizer.encode_batch(*flat(texts), encoder)
    assert special.isdisjoint(ids.tolist())
    assert [tokenizer.decode(part) for part in parts(ids, lengths)] == texts


def test_special_tokens_written_in_text_are_text_in_wordpiece():
    tokenizer = bert()
    ids, _ = tokenizer.encode_batch(*flat(["the [SEP] of [MASK]"]))
    assert {2, 3, 4}.isdisjoint(ids.tolist())
    assert choose_encoder(tokenizer) == Choice("tokenizers", "gigatoken encodes BPE, this is WordPiece")


def test_added_tokens_that_are_not_special_keep_their_ids():
    content = small_tokenizer().document
    spaces = {**added_token("   ", small_tokenizer().vocabulary_size), "special": False, "normalized": True}
    tokenizer = from_content({**content, "added_tokens": [*content["added_tokens"], spaces]}, "spaces")
    for encoder in ("gigatoken", "tokenizers"):
        ids, _ = tokenizer.encode_batch(*flat(["a   b <|endoftext|>"]), encoder)
        assert spaces["id"] in ids.tolist()
        assert tokenizer.decode(ids) == "a   b <|endoftext|>"


def test_documents_may_be_empty_or_absent():
    for encoder in ("gigatoken", "tokenizers"):
        ids, lengths = small_tokenizer().encode_batch(*flat(["", "a", ""]), encoder)
        assert lengths.tolist() == [0, 1, 0]
        ids, lengths = small_tokenizer().encode_batch(*flat([]), encoder)
        assert (ids.size, lengths.size) == (0, 0)


def test_a_slice_of_a_larger_text_is_encoded_by_its_offsets():
    texts = [*UNICODE, "last"]
    text, offsets = flat(texts)
    for encoder in ("gigatoken", "tokenizers"):
        ids, lengths = small_tokenizer().encode_batch(text, offsets[2:], encoder)
        assert parts(ids, lengths) == [ids_of(small_tokenizer(), t) for t in texts[2:]]


@pytest.mark.parametrize("name", PATTERN_NAMES)
@given(document=TEXTS.map(lambda t: t + " ") | st.text(" a.\u00a0\n", max_size=40), size=st.integers(1, 20))
def test_cutting_long_documents_changes_no_id(name, document, size):
    tokenizer = small_tokenizer(name)
    raw = document.encode()
    borders = [0, *cuts(raw, size), len(raw)]
    pieces = [raw[a:b].decode() for a, b in pairwise(borders)]
    assert [i for piece in pieces for i in ids_of(tokenizer, piece)] == ids_of(tokenizer, document)


@given(document=st.text("abcES .,[]é\u00a0\n\u4e00", max_size=40), size=st.integers(1, 20))
def test_cutting_changes_no_id_of_wordpiece(document, size):
    raw = document.encode()
    borders = [0, *cuts(raw, size), len(raw)]
    pieces = [raw[a:b].decode() for a, b in pairwise(borders)]
    assert [i for piece in pieces for i in ids_of(bert(), piece)] == ids_of(bert(), document)


def test_cuts_lie_before_a_space_that_follows_something_else():
    assert cuts(b"aa bb  cc dd", 1) == [2, 5, 9]
    assert cuts("a\u00a0 b c".encode(), 1) == [5]
    assert cuts(b"a" * 100, 10) == []
    assert cuts(b"", 1) == []


def test_long_documents_are_encoded_in_pieces_and_all_the_same(monkeypatch):
    monkeypatch.setattr(encode, "PIECE_BYTES", 1000)
    text = " ".join(PROSE[:30]) + "日本語" * 2000 + "\n\n" + " ".join(PROSE[30:35])
    truth = ids_of(small_tokenizer(), text)
    for encoder in ("tokenizers", "gigatoken"):
        ids, lengths = small_tokenizer().encode_batch(*flat([text, "", text]), encoder)
        assert lengths.tolist() == [len(truth), 0, len(truth)]
        assert ids.tolist() == truth * 2


def test_text_without_spaces_stays_whole():
    text = "漢字" * 100_000
    ids, _ = small_tokenizer().encode_batch(*flat([text]), "gigatoken")
    assert ids.tolist() == ids_of(small_tokenizer(), text)


def test_no_cut_where_an_added_token_could_reach_over_it():
    content = small_tokenizer().document
    new = {**added_token("New York", small_tokenizer().vocabulary_size), "special": False}
    assert may_cut(small_tokenizer())
    assert not may_cut(from_content({**content, "added_tokens": [*content["added_tokens"], new]}, "x"))
    stripping = {**added_token("York", small_tokenizer().vocabulary_size), "special": False, "lstrip": True}
    assert not may_cut(from_content({**content, "added_tokens": [*content["added_tokens"], stripping]}, "x"))
    assert not may_cut(from_content({**content, "pre_tokenizer": {"type": "Digits", "individual_digits": True}}, "x"))
    assert may_cut(bert())


class _Wrong:
    """An encoder that is wrong on texts with a given word."""

    def __init__(self, true, word):
        self.true, self.word = true, word

    def encode(self, text, offsets):
        ids, lengths = self.true.encode(text, offsets)
        return (ids + (self.word in text.tobytes())).astype(np.uint32), lengths


def test_an_encoder_that_differs_on_the_text_at_hand_is_not_used(monkeypatch):
    right = encode.backend
    monkeypatch.setattr(
        encode, "backend", lambda t, name: _Wrong(right(t, name), b"zebra") if name == "gigatoken" else right(t, name)
    )
    assert choose_encoder(small_tokenizer()) == Choice("gigatoken")
    choice = choose_encoder(small_tokenizer(), ["a lion", "a zebra"])
    assert choice.name == "tokenizers"
    assert choice.reason.startswith("gigatoken's ids differ on ")


def test_ids_are_those_of_tokenizers_where_unicode_tables_differ():
    tokenizer = from_content({**small_tokenizer().document, "normalizer": {"type": "NFC"}}, "nfc")
    marks = [chr(c) for c in range(0x300, 0x1F000) if unicodedata.category(chr(c)) in ("Mn", "Mc", "Cn")]
    marks = [c for c in marks if not 0x4E00 <= ord(c) < 0xA000]
    texts = [f"a{mark}\u0334\u0301\u0323" for mark in marks] + [
        "\U00011935\U00011930",
        "\U000105d2\u0307",
        "plain",
        "e\u0301",
    ]
    fast, fast_lengths = tokenizer.encode_batch(*flat(texts), "gigatoken")
    true, lengths = tokenizer.encode_batch(*flat(texts), "tokenizers")
    assert parts(fast, fast_lengths) == parts(true, lengths)


@given(texts=st.lists(TEXTS, max_size=5))
def test_ids_of_a_normalizing_tokenizer_equal_those_of_tokenizers(texts):
    tokenizer = from_content({**small_tokenizer("qwen").document, "normalizer": {"type": "NFC"}}, "nfc")
    ids, lengths = tokenizer.encode_batch(*flat(texts), "gigatoken")
    assert parts(ids, lengths) == [ids_of(tokenizer, text) for text in texts]


def test_an_encoder_that_cannot_load_the_tokenizer_is_not_used():
    content = small_tokenizer().document
    strange = from_content({**content, "pre_tokenizer": {"type": "Digits", "individual_digits": True}}, "x")
    choice = choose_encoder(strange)
    assert choice.name == "tokenizers"
    assert choice.reason.startswith("gigatoken cannot load this tokenizer (")


@given(texts=st.lists(TEXTS, max_size=30), seed=st.integers(0, 100))
def test_a_sample_is_half_a_thousandth_at_most(texts, seed):
    text, offsets = flat(texts)
    order = np.random.default_rng(seed).permutation(len(texts))
    sample = sample_of(text, offsets, order)
    assert sum(map(len, sample)) <= max(text.size // 2000, 512)
    for excerpt in sample:
        assert excerpt.decode() in "".join(texts)


def test_every_real_tokenizer_gives_the_ids_of_tokenizers(real_data):
    books = sorted((real_data / "books" / "68_german_novels").rglob("*.txt"))[:2]
    wild = sorted((real_data / "messy" / "udhr").rglob("*"))[:40]
    texts = [path.read_text(encoding="utf-8", errors="replace")[:60_000] for path in [*books, *wild] if path.is_file()]
    folder = real_data / "tokenizers"
    names = [
        "gpt2_hf_fast/gpt2_tokenizer.json",
        "gpt-neox-20b",
        "gpt2",
        "qwen",
        "llama3",
        "tiktoken/cl100k_base.tiktoken",
    ]
    for name in names:
        tokenizer = load_tokenizer(folder / name if (folder / name).is_file() else _only(folder / name))
        assert choose_encoder(tokenizer) == Choice("gigatoken"), name
        fast, _ = tokenizer.encode_batch(*flat(texts), "gigatoken")
        true, _ = tokenizer.encode_batch(*flat(texts), "tokenizers")
        assert np.array_equal(fast, true), name
        assert true[:50].tolist() == ids_of(tokenizer, texts[0])[:50]


def _only(folder):
    found = sorted(folder.iterdir())
    return found[0] if len(found) == 1 and found[0].suffix == ".json" else folder
