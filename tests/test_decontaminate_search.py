"""The search for n-grams: equal to its definition on any text, exact whatever the hashes say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import oracles_decontaminate as oracles
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megadata.corpus.decontaminate import DecontaminateConfig
from megadata.corpus.decontaminate.index import Index, build, by_document, places, search
from megadata.corpus.dedup import normaliser
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError

TABLE = normaliser.table().tolist()
WORDS = [
    "a",
    "B",
    "cat",
    "Straße",
    "ÉCOLE",
    "naïve",
    "x1",
    "漢",
    "字",
    "か",
    "ก",
    "ข",
    "မ",
    "co\u00adop",
    "İ",
    "한국",
    "𠀀",
    "\U000e0041",
]
SEPARATORS = [" ", ", ", "\n", "", "-", "。", "\u200b", "...", " _ "]
TEXTS = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(SEPARATORS)), max_size=24).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)


def found(texts: list[str], evals: list[str], config: DecontaminateConfig) -> list[list[tuple[int, int, str]]]:
    docs, index = DocBatch.of([""] * len(texts), texts), build(evals, config)
    rows: list[list[tuple[int, int, str]]] = [[] for _ in texts]
    for row, mine in by_document(search(docs, index, config)):
        rows[row] = sorted((start, stop, index.ngram(gram)) for _, start, stop, gram in mine.tolist())
    return rows


@given(
    texts=st.lists(TEXTS, min_size=1, max_size=4),
    evals=st.lists(TEXTS, min_size=1, max_size=4),
    widths=st.sampled_from([(1, 1), (2, 1), (3, 2), (4, 4), (5, 2)]),
)
def test_the_search_finds_what_the_definition_finds(texts, evals, widths):
    words, shortest = widths
    config = DecontaminateConfig(words=words, shortest=shortest)
    known = set().union(*(oracles.ngrams(one, TABLE, words, shortest) for one in evals))
    expected = [
        sorted((start, stop, " ".join(ngram)) for start, stop, ngram in oracles.matches(text, known, TABLE))
        for text in texts
    ]
    assert found(texts, evals, config) == expected


@given(text=st.text(max_size=60) | TEXTS)
def test_tokens_are_found_where_they_stand(text):
    docs = DocBatch.of(["", ""], ["before", text])
    data = text.encode()
    expected = [
        (len(text[:start].encode()), len(text[:stop].encode())) for _, start, stop in oracles.tokens(text, TABLE)
    ]
    assert [tuple(one) for one in places(docs, 1).tolist()] == expected
    assert all(0 <= start < stop <= len(data) for start, stop in expected)


@given(evals=st.lists(TEXTS, min_size=1, max_size=5))
def test_each_ngram_is_told_of_the_texts_that_hold_it(evals):
    config = DecontaminateConfig(words=3, shortest=2)
    index = build(evals, config)
    expected: dict[str, list[int]] = {}
    for number, one in enumerate(evals):
        for ngram in oracles.ngrams(one, TABLE, 3, 2):
            expected.setdefault(" ".join(ngram), []).append(number)
    assert {index.ngram(g): index.texts_of(g) for g in range(index.hashes.size)} == expected
    assert index.shared.tolist() == [len(expected[index.ngram(g)]) for g in range(index.hashes.size)]
    assert index.sizes.tolist() == [sum(n in texts for texts in expected.values()) for n in range(len(evals))]


def test_an_ngram_of_very_many_texts_is_told_of_the_first_alone():
    evals = [f"choose the best of the answers below {letter}" for letter in "abcdefgh"]
    index = build(evals, DecontaminateConfig(words=5, shortest=3, most_items=3))
    told = {index.ngram(g): index.texts_of(g) for g in range(index.hashes.size)}
    assert told["choose the best of the"] == [0]
    assert told["of the answers below c"] == [2]
    assert index.shared.max() == 8


SENTENCE = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"


def test_case_punctuation_and_spacing_do_not_matter_and_words_do():
    config = DecontaminateConfig()
    loud = SENTENCE.upper().replace(" ", ",\n — ")
    changed = SENTENCE.replace("seven", "Seven-ish")
    assert [len(one) for one in found([loud, changed, SENTENCE[4:], "x"], [SENTENCE], config)] == [2, 0, 1, 0]


def test_short_texts_match_as_a_whole_and_the_shortest_not_at_all():
    words = SENTENCE.split()
    for size in range(1, 13):
        text = " ".join(words[:size])
        assert bool(found([f"Before. {text}. After"], [text], DecontaminateConfig())[0]) == (size >= 8)
        assert not found([" ".join(words[: size - 1])], [text], DecontaminateConfig())[0]


def test_two_ideographs_or_four_thai_characters_count_as_a_word():
    han = "".join(chr(0x4E00 + n) for n in range(60))
    thai = "".join(chr(0x0E01 + n % 40) for n in range(60))
    for text, each in ((han, 2), (thai, 4)):
        assert found([text[3 : 3 + 13 * each]], [text], DecontaminateConfig())[0]
        assert not found([text[3 : 2 + 13 * each]], [text], DecontaminateConfig())[0]


def small() -> tuple[Index, DocBatch, DecontaminateConfig]:
    config = DecontaminateConfig(words=2, shortest=2)
    return build(["red fox", "blue sea"], config), DocBatch.of(["d"], ["The red fox."]), config


def test_equal_hashes_of_other_words_match_nothing():
    index, docs, config = small()
    assert len(search(docs, index, config)) == 1
    other = np.frombuffer(index.normal.tobytes().replace(b"fox", b"box"), np.uint8)
    assert len(search(docs, replace(index, normal=other), config)) == 0


def test_an_ngram_is_found_behind_another_with_the_same_hash():
    index, docs, config = small()
    hashes = np.array([index.hashes[0], index.hashes[0]])
    place = int(np.flatnonzero(index.slots == 1)[0])
    slots = np.zeros_like(index.slots)
    slots[place], slots[(place + 1) % slots.size] = 2, 1
    crowded: Any = replace(index, hashes=hashes, slots=slots)
    assert search(docs, crowded, config)[:, 3].tolist() == [0]


def test_ignored_ngrams_are_no_match():
    index, docs, config = small()
    assert len(search(docs, index, config, np.array([False, True]))) == 1
    assert len(search(docs, index, config, np.array([True, False]))) == 0


def test_more_matches_than_there_is_room_for_at_first_are_all_found():
    text = "red fox " * 5000
    index, _, config = small()
    assert len(search(DocBatch.of(["d"], [text]), index, config)) == 5000


def test_an_index_is_the_same_after_it_was_saved(tmp_path):
    index, docs, config = small()
    index.save(tmp_path)
    loaded = Index.load(tmp_path)
    assert search(docs, loaded, config).tolist() == search(docs, index, config).tolist()
    assert loaded.ngram(1) == "blue sea"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words": 0}, "words must be at least 1, got 0"),
        ({"words": 256}, "words must be at most 255, got 256"),
        ({"shortest": 14}, r"shortest must be at most words \(13\), got 14"),
        ({"common": 0}, "common must be at least 1, got 0"),
        ({"margin": -1}, "margin must be at least 0, got -1"),
        ({"ends": ".x"}, "ends must be punctuation or space that parts words, got 'x'"),
        ({"ends": ""}, "ends must be punctuation or space that parts words, got ''"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ConfigError, match=f"decontaminate: {message}"):
        DecontaminateConfig(**changes)


def test_the_search_finds_what_the_definition_finds_in_real_articles(real_data):
    """BoolQ's passages and XQuAD's Russian and Chinese articles in English Wikipedia and in themselves."""
    evals = [
        orjson.loads(line)["passage"]
        for line in (real_data / "eval/olmo_jsonl/boolq_validation.jsonl").read_bytes().splitlines()[:1500]
    ]
    for language in ("ru", "zh"):
        data = orjson.loads((real_data / f"eval/xquad/xquad.{language}.json").read_bytes())["data"]
        evals += [paragraph["context"] for article in data[:4] for paragraph in article["paragraphs"]]
    articles = sorted(path for path in (real_data / "wikipedia/extracted-en").rglob("*") if path.is_file())[:60]
    texts = [path.read_text("utf-8", "replace")[:30_000] for path in articles] + evals[-20:]
    known = set().union(*(oracles.ngrams(one, TABLE, 13, 8) for one in evals))
    expected = [
        sorted((start, stop, " ".join(ngram)) for start, stop, ngram in oracles.matches(text, known, TABLE))
        for text in texts
    ]
    assert found(texts, evals, DecontaminateConfig()) == expected
    assert sum(map(len, expected)) > 1000
