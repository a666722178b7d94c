from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from oracles_tokenize import PATTERN_NAMES, PROSE, TEXTS, UNICODE, flat, write_jsonl

from megadata.documents.inputs import plan
from megadata.documents.source import ReadOptions
from megadata.kernels import pretokens as kernels
from megadata.runtime.exchange import Exchange
from megadata.runtime.executor import LocalExecutor
from megadata.runtime.progress import Reporter
from megadata.tokenize import classes as classes_module
from megadata.tokenize import count as count_module
from megadata.tokenize.classes import ask_tokenizers, classes
from megadata.tokenize.count import (
    RECORD,
    Counts,
    CountUnit,
    PieceTable,
    Pretokens,
    SumRange,
    count_texts,
    count_words,
    hash_words,
)
from megadata.tokenize.patterns import byte_alphabet, pre_tokenizer
from megadata.tokenize.wordpieces import BertWords

LONG = st.text(st.sampled_from("aAbB1 \n'.é日\u0301"), max_size=300)


def splitter(pattern):
    """The split pattern as `tokenizers` applies it."""
    import orjson

    empty = {"type": "BPE", "vocab": {}, "merges": []}
    content = {"version": "1.0", "added_tokens": [], "pre_tokenizer": pre_tokenizer(pattern), "model": empty}
    sections = {"normalizer": None, "post_processor": None, "decoder": None, "truncation": None, "padding": None}
    return tokenizers.Tokenizer.from_buffer(orjson.dumps({**content, **sections})).pre_tokenizer


def naive(pattern, texts):
    """Counts of pre-tokens, as bytes, by `tokenizers`."""
    byte_of = {char: byte for byte, char in enumerate(byte_alphabet())}
    found = Counter()
    for text in texts:
        found.update(bytes(byte_of[char] for char in piece) for piece, _ in splitter(pattern).pre_tokenize_str(text))
    return dict(found)


def counted(pattern, texts):
    return dict(count_texts(Pretokens(pattern), classes(), *flat(texts)).words())


@pytest.mark.parametrize("pattern", PATTERN_NAMES)
@given(texts=st.lists(TEXTS | LONG, max_size=5))
def test_pre_tokens_and_their_counts_are_those_of_tokenizers(pattern, texts):
    assert counted(pattern, texts) == naive(pattern, texts)


@pytest.mark.parametrize("pattern", PATTERN_NAMES)
def test_pre_tokens_of_prose_and_of_many_scripts_are_those_of_tokenizers(pattern):
    texts = [*PROSE[:20], *UNICODE, "It'ſ X'LL 'RE 'ré a  b\n\n \n c  ", "x" * 200 + "Y" * 200 + " " * 100, "日" * 300]
    assert counted(pattern, texts) == naive(pattern, texts)


@pytest.mark.parametrize("pattern", PATTERN_NAMES)
def test_every_code_point_is_of_the_class_that_tokenizers_gives_it(pattern):
    every = [chr(code) for code in range(0, 0x40000, 7) if not 0xD800 <= code < 0xE000]
    texts = [
        "".join(f"a{char}A{char}1 {char}" for char in every[start : start + 500]) for start in range(0, len(every), 500)
    ]
    sample = texts[::9]
    assert counted(pattern, sample) == naive(pattern, sample)


def test_classes_are_kept_and_made_again_when_the_kept_ones_are_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("MEGADATA_CACHE", str(tmp_path))
    expected = classes()
    classes_module.classes.cache_clear()
    assert np.array_equal(classes(), expected)
    (kept,) = tmp_path.glob("classes-*.npy")
    kept.write_bytes(b"not an array")
    classes_module.classes.cache_clear()
    assert np.array_equal(classes(), expected)
    assert np.array_equal(np.load(kept), expected)
    disjoint = kernels.SPACE | kernels.LETTER | kernels.NUMBER | kernels.OTHER
    assert set(np.unique(expected & disjoint)) == {1, 2, 4, 32}


def test_asking_tokenizers_gives_what_is_used():
    assert np.array_equal(ask_tokenizers(), classes())


@given(texts=st.lists(TEXTS, max_size=4), limit=st.integers(1, 2000))
def test_a_table_without_room_gives_what_it_holds_and_goes_on(texts, limit):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(count_module, "LEAST_TABLE", 1)
        patch.setattr(count_module, "_FIRST_SLOTS", 8)
        patch.setattr(count_module, "_FIRST_ARENA", 4)
        table = PieceTable(kernels.GPT2, classes(), limit)
        total = Counter()
        for part in (*table.add(*flat(texts)), table.take()):
            for word, times in part.words():
                total[word] += times
    assert total == naive("gpt2", texts)


def in_units(tmp_path, texts, pattern, memory=1 << 30, files=3, workers=1, least=1):
    inputs = [
        write_jsonl(tmp_path / f"{n}.jsonl", ({"text": text, "language": "xx"} for text in texts[n::files]))
        for n in range(files)
    ]
    folder = tmp_path / f"runs-{memory}-{workers}"
    folder.mkdir()
    executor = LocalExecutor(workers)
    task = CountUnit(folder, Pretokens(pattern), classes(), ReadOptions(), memory, 1000)
    try:
        return count_words(executor, plan(inputs, 20_000), task, 64 << 20, least, Reporter())
    finally:
        executor.close()


def test_counts_do_not_depend_on_the_memory_that_there_is(tmp_path, monkeypatch):
    roomy = in_units(tmp_path, PROSE, "cl100k")
    monkeypatch.setattr(count_module, "LEAST_TABLE", 1)
    monkeypatch.setattr(count_module, "_FIRST_SLOTS", 64)
    tight = in_units(tmp_path, PROSE, "cl100k", memory=1)
    assert dict(tight.words.words()) == dict(roomy.words.words()) == naive("cl100k", PROSE)
    assert tight.runs > 10 * roomy.runs
    assert (tight.documents, tight.bytes) == (len(PROSE), sum(len(text.encode()) for text in PROSE))
    assert [one.text for one in tight.sample] == [one.text for one in roomy.sample]
    assert max(len(one.text) for one in roomy.sample) == 1000


def test_rare_words_are_left_out_where_that_is_asked_for(tmp_path):
    found = dict(in_units(tmp_path, PROSE[:9], "gpt2", least=3).words.words())
    assert found == {word: times for word, times in naive("gpt2", PROSE[:9]).items() if times >= 3}


@given(
    runs=st.lists(st.dictionaries(st.binary(min_size=1, max_size=12), st.integers(1, 1 << 40), max_size=8), max_size=5),
    alike=st.booleans(),
)
def test_sums_of_runs_are_exact_beyond_32_bits_and_whatever_the_hashes(tmp_path_factory, runs, alike):
    folder = tmp_path_factory.mktemp("runs")
    exchange = Exchange(folder, RECORD)
    for number, words in enumerate(runs):
        counts = Counts.of(words)
        records = np.zeros(len(words), RECORD)
        if not alike:  # else all words have one hash
            keys = np.empty(len(words), np.uint64)
            hash_words(counts, keys)
            records["key"] = keys
        records["count"] = counts.counts
        exchange.write(number, records, counts.text, np.diff(counts.bounds))
    found = Counts.concat([SumRange(folder, 1)(one) for one in exchange.ranges(64 << 20, 1)])
    assert dict(found.words()) == dict(sum(map(Counter, runs), Counter()))


def test_a_word_that_occurs_more_than_32_bits_hold_is_counted_exactly():
    table = PieceTable(kernels.BLANKS, classes())
    assert list(table.add(*flat(["a a b"]))) == []
    rows = table._slots.reshape(-1, kernels.FIELDS)
    rows[rows[:, kernels.TOTAL] == 2, kernels.TOTAL] = (1 << 32) - 1
    assert list(table.add(*flat(["a a a"]))) == []
    assert dict(table.take().words()) == {b"a": (1 << 32) + 2, b"b": 1}


@pytest.mark.parametrize("lowercase", [True, False])
@given(text=TEXTS | st.text(st.characters(codec="ascii"), max_size=30))
def test_words_of_pieces_are_those_that_bert_has(lowercase, text):
    cut = BertWords(lowercase)
    normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lowercase)
    whole = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str(normalizer.normalize_str(text))
    expected = Counter(word.encode() for word, _ in whole)
    assert dict(count_texts(cut, classes(), *flat([text])).words()) == expected
