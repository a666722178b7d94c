"""Words, characters and white space: kernels against plain Python."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import numpy as np
import oracles_text as oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megadata.corpus import characters
from megadata.corpus.characters import action_table, class_table
from megadata.corpus.filter import Filter
from megadata.corpus.normalise import CONTROLS, NEWLINES, SPACES, Controls, Whitespace
from megadata.corpus.quantities import STOP_WORDS, Cuts, Measured, cut, symbols
from megadata.documents.batch import DocBatch
from megadata.kernels import text as kernels
from megadata.kernels.counts import MIXED_WORDS

BATCHES = st.lists(st.one_of(oracles.TEXT, oracles.LONG), min_size=1, max_size=4)


def batch(texts: list[str]) -> DocBatch:
    return DocBatch.of([str(i) for i in range(len(texts))], texts)


@given(texts=BATCHES, cutting=st.sampled_from(["whitespace", "unicode"]))
def test_word_counts_match_the_oracle(texts: list[str], cutting: str) -> None:
    stop_words = ("the", "of", "don't", "漢", "é")
    measured = Measured(batch(texts), Cuts(words=cutting, stop_words=stop_words))
    assert measured.words.tolist() == [oracles.count_words(t, cutting, stop_words) for t in texts]


@pytest.mark.parametrize("cutting", ["whitespace", "unicode"])
def test_every_character_is_cut_as_the_oracle_says_wherever_it_stands_in_a_block(cutting: str) -> None:
    neighbours = ["a", "1", ".", "漢", "\u0301", " ", "'"]
    characters = [
        chr(c) for c in (*range(0x530), *range(0xE00, 0xE60), *range(0x2000, 0x2070), 0x3000, 0xFF0E, 0x1D7CE)
    ]
    texts = [
        f"{'x' * (at % 61)} {a}{c}{b} {c}{c}" for at, c in enumerate(characters) for a in neighbours for b in neighbours
    ]
    docs = batch(texts)
    found = cut(docs.text, docs.offsets, cutting)
    data = docs.text.tobytes()
    words = [data[at : at + size].decode() for at, size in zip(found.starts, found.sizes, strict=True)]
    assert words == [word for text in texts for word in oracles.cut_words(text, cutting)]
    assert found.characters.tolist() == [len(word) for word in words]


@given(texts=BATCHES)
def test_sizes_of_text_match_the_oracle(texts: list[str]) -> None:
    words = [len(re.findall(rb"[^\x00-\x20]+", text.encode())) for text in texts]
    assert symbols(batch(texts))[:, :2].tolist() == [[len(t), w] for t, w in zip(texts, words, strict=True)]


@given(texts=st.lists(oracles.LONG, min_size=2, max_size=4))
def test_equal_words_have_equal_hashes_wherever_they_stand(texts: list[str]) -> None:
    docs = batch(texts)
    found = cut(docs.text, docs.offsets, "whitespace")
    hashes = dict(zip((w for t in texts for w in t.split()), found.hashes.tolist(), strict=True))
    assert [hashes[w] for t in texts for w in t.split()] == found.hashes.tolist()
    assert len(set(hashes.values())) == len(hashes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't stop", ["don't", "stop"]),
        ("3,000.5 e-mail", ["3,000.5", "e", "-", "mail"]),
        ("end.", ["end", "."]),
        ("漢字かな", ["漢", "字", "か", "な"]),
        ("カタカナ", ["カタカナ"]),
        ("กิน", ["กิ", "น"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("“a”", ["“", "a", "”"]),
        ("a, b", ["a", ",", "b"]),
        ("1,2 a,2 1,a 1,", ["1,2", "a", ",", "2", "1", ",", "a", "1", ","]),
        (" \t\n", []),
    ],
)
def test_unicode_words_are_these(text: str, words: list[str]) -> None:
    assert oracles.unicode_words(text) == words
    assert Measured(batch([text]), Cuts(words="unicode")).words[0, 1] == len(words)


def test_stop_words_count_once_as_distinct_and_each_time_in_total() -> None:
    counts = Measured(batch(["the the of The"]), Cuts(words="whitespace")).words
    assert counts[0, 7:9].tolist() == [2, 3]
    assert len(STOP_WORDS) == 8


def test_classes_of_every_code_point_are_those_of_python() -> None:
    table = class_table()
    for bit, expected in (
        (kernels.SPACE, str.isspace),
        (kernels.LETTER, str.isalpha),
        (kernels.UPPER, str.isupper),
        (kernels.DIGIT, str.isdecimal),
        (kernels.REGEX_WORD, lambda c: c.isalnum() or c == "_"),
        (kernels.MARK, lambda c: unicodedata.category(c)[0] == "M"),
        (kernels.BREAK, lambda c: len(f"a{c}b".splitlines()) == 2),
    ):
        found = np.flatnonzero(table & bit).tolist()
        assert found == [c for c in range(characters.CODE_POINTS) if not 0xD800 <= c < 0xE000 and expected(chr(c))]


def test_a_kept_table_of_classes_is_used_and_a_damaged_one_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEGADATA_CACHE", str(tmp_path))
    made = class_table.__wrapped__()
    (kept,) = tmp_path.rglob("*.npy")
    whole = kept.read_bytes()
    monkeypatch.setattr(characters, "_make_class_table", None)  # calling it would fail
    assert np.array_equal(class_table.__wrapped__(), made)
    kept.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    monkeypatch.undo()
    monkeypatch.setenv("MEGADATA_CACHE", str(tmp_path))
    assert np.array_equal(class_table.__wrapped__(), made)
    assert kept.read_bytes() == whole


@given(
    text=st.one_of(oracles.LINES, st.text("a \t\n\r\xa0\u2028\ufeff", max_size=30)),
    trim=st.booleans(),
    newlines=st.integers(0, 3),
    strip=st.booleans(),
)
def test_replaced_characters_match_the_oracle(text: str, trim: bool, newlines: int, strip: bool) -> None:
    for delete, space, newline in (("", "", ""), (CONTROLS, "", ""), ("", SPACES, NEWLINES)):
        docs = batch([text, text])
        out, offsets = np.empty(docs.text.size, np.uint8), np.empty(3, np.int64)
        actions = action_table(delete, space, newline)
        kernels.replace_characters(docs.text, docs.offsets, actions, trim, newlines, strip, out, offsets)
        expected = oracles.replace_characters(text, delete, space, newline, trim, newlines, strip)
        assert out[: offsets[1]].tobytes().decode() == expected
        assert out[offsets[1] : offsets[2]].tobytes().decode() == expected


@given(text=oracles.LINES)
def test_maps_of_white_space_and_controls_are_idempotent(text: str) -> None:
    for step in (Controls(), Whitespace(), Whitespace(strip=False, trim=False, newlines=0, spaces=False)):
        once = step.map(batch([text]))
        assert step.map(once).texts == once.texts


def test_white_space_is_put_in_order() -> None:
    text = "\n  a\xa0b \r\nc\r\rd\n\n\n\n\te \n"
    assert Whitespace().map(batch([text])).texts == ["a b\nc\n\nd\n\n\te"]


def test_a_batch_that_needs_no_change_is_returned_as_it_is() -> None:
    docs = batch(["plain text", "more"])
    assert Whitespace().map(docs) is docs
    assert Controls().map(docs) is docs


def test_words_of_look_alike_letters_are_counted_and_those_of_one_script_are_not() -> None:
    spun = "Тhe hоusе wаs sоld"  # the vowels, and the first letter, are Cyrillic
    honest = (
        "The дом was sold, мæн тĕп Հայ IT-отдел"  # Ossetic and Chuvash write marked Latin letters among Cyrillic ones
    )
    counts = Measured(batch([spun, honest, ""]), Cuts()).words
    assert counts[:, MIXED_WORDS].tolist() == [4, 0, 0]
    verdict = Filter(drop={"spun": "mixed_script_words > 0.1"}).judge(batch([spun, honest, ""]))
    assert verdict["spun"].mask.tolist() == [True, False, False]
