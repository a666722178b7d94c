"""Shingles, digests, signatures and bands: equal to their plain definitions and to datasketch."""

from __future__ import annotations

import unicodedata

import numpy as np
import oracles_dedup as oracles
import pytest
from datasketch import LeanMinHash, MinHash, MinHashLSH
from hypothesis import given, settings
from hypothesis import strategies as st

from megadata.corpus.dedup import normaliser, signatures
from megadata.corpus.dedup.config import MinHashConfig
from megadata.documents.batch import DocBatch
from megadata.errors import CorpusError
from megadata.kernels import hashing
from megadata.kernels.base import I64, U64

TABLE = normaliser.table().tolist()
EDGES = "aZ09 \t\n.,!?#+%'-_\u00a0\u00ad\u200b\u200dßÀÉİΣςſＡ①½́ष्ก็າ中文かカｶ가\u3000。、😀👍🏽\U00020000\U000e0041\ufeff\x00\x7f"
WORDS = st.text(st.sampled_from("abcdefghijklmno"), min_size=1, max_size=18)
TEXTS = st.one_of(
    st.text(st.one_of(st.sampled_from(EDGES), st.characters(exclude_categories=["Cs"])), max_size=60),
    st.lists(st.one_of(WORDS, st.sampled_from(list(EDGES))), max_size=40).map(" ".join),
)
ANY_U64 = st.integers(0, (1 << 64) - 1)


def flat(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    docs = DocBatch.of([str(i) for i in range(len(texts))], texts)
    return docs.text, docs.offsets


def ragged(rows: list[list[int]]) -> tuple[U64, I64]:
    bounds = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return np.array([value for row in rows for value in row], np.uint64), bounds


def test_the_shipped_table_is_what_unicode_14_gives():
    if unicodedata.unidata_version != normaliser.UNICODE:
        assert normaliser.table().size == normaliser.TABLE_SIZE
    else:
        assert np.array_equal(normaliser.table(), normaliser.build())


@given(texts=st.lists(TEXTS, max_size=6), width=st.integers(1, 7), by_character=st.booleans())
@settings(max_examples=300)
def test_shingles_and_digests_match_their_definition(texts: list[str], width: int, by_character: bool):
    config = MinHashConfig(width=width, shingle="characters" if by_character else "words")
    found = signatures.shingle(*flat(texts), config)
    words = [oracles.tokens(text, TABLE, by_character) for text in texts]
    expected = [oracles.shingles(one, width) for one in words]
    assert found.bounds.tolist() == ragged(expected)[1].tolist()
    assert found.hashes.tolist() == [value for row in expected for value in row]
    assert [tuple(row) for row in found.digests.tolist()] == [oracles.digest(one) for one in words]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Quick,\nbrown fox — jumps!", ["the", "quick", "brown", "fox", "jumps"]),
        ("ＦＵＬＬ width ÄÖ Straße ΣΊΣΥΦΟΣ", ["full", "width", "äö", "straße", "σίσυφοσ"]),
        ("soft\u00adhyphen and zero\u200dwidth joined up", ["softhyphen", "and", "zerowidth", "joined", "up"]),
        ("iPhone 手机很好", ["iphone", "手", "机", "很", "好"]),
        ("한국어 문장은 띄어 쓴다 그렇다", ["한국어", "문장은", "띄어", "쓴다", "그렇다"]),
        ("C++", ["c++"]),
        ("C#.", ["c#"]),
        (":-)", [":-)"]),
        (" . . ", [".", "."]),
        ("", []),
    ],
)
def test_words_are_folded_and_parted_as_a_reader_would(text: str, expected: list[str]):
    assert oracles.tokens(text, TABLE) == expected


def test_case_space_and_punctuation_do_not_change_the_digest():
    texts = ["One two, three; four five.", "one TWO three\u00a0four\n\nfive", "one two three four fiver"]
    digests = signatures.shingle(*flat(texts), MinHashConfig()).digests
    assert (digests[0] == digests[1]).all()
    assert (digests[0] != digests[2]).any()


def test_distinct_short_texts_have_distinct_digests_and_one_shingle_each():
    texts = [
        "",
        "!",
        "?",
        "cat",
        "dog",
        "cat dog",
        "dog cat",
        "catdog",
        "C",
        "C++",
        "C#",
        "👍",
        "👎",
        "5",
        "$5",
        "€5",
        "中",
        "文",
    ]
    found = signatures.shingle(*flat(texts), MinHashConfig())
    assert len({tuple(row) for row in found.digests.tolist()}) == len(texts)
    assert len(set(found.hashes.tolist())) == len(texts)
    assert np.diff(found.bounds).tolist() == [1] * len(texts)


def test_text_without_spaces_has_a_shingle_for_every_character_window():
    found = signatures.shingle(*flat(["今天天气很好我们去公园散步", "ภาษาไทยเขียนติดกัน"]), MinHashConfig(width=5))
    assert np.diff(found.bounds).tolist() == [13 - 4, 18 - 4]


@given(
    rows=st.lists(
        st.lists(st.one_of(ANY_U64.filter(lambda v: v < (1 << 64) - 1), st.integers(0, 3)), max_size=40), max_size=5
    )
)
def test_sets_are_sorted_and_distinct(rows: list[list[int]]):
    hashes, bounds = ragged(rows)
    shingles = signatures.Shingles(hashes, bounds, np.zeros((len(rows), 2), np.uint64))
    chosen = np.arange(len(rows))[::-1].astype(np.int64).copy()
    found = signatures.distinct(shingles, chosen)
    expected = [sorted(set(row)) for row in reversed(rows)]
    assert [found.hashes[a:b].tolist() for a, b in zip(found.starts, found.stops, strict=True)] == expected


def test_sets_of_one_repeated_shingle_take_linear_time():
    hashes = np.tile(np.array([5, 5 + (1 << 40), (1 << 64) - 2], np.uint64), 400_000)
    shingles = signatures.Shingles(hashes, np.array([0, hashes.size]), np.zeros((1, 2), np.uint64))
    assert signatures.distinct(shingles).hashes.tolist() == [5, 5 + (1 << 40), (1 << 64) - 2]


@given(
    rows=st.lists(st.lists(ANY_U64, max_size=9), max_size=4), count=st.integers(1, 40), seed=st.integers(0, 2**32 - 1)
)
def test_signatures_are_those_of_datasketch_to_the_bit(rows: list[list[int]], count: int, seed: int):
    found = signatures.signatures(*ragged(rows), count, seed)
    mul, add = signatures.permutations(count, seed)
    for row, mine in zip(rows, found, strict=True):
        theirs = MinHash(num_perm=count, seed=seed, hashfunc=lambda value: value & 0xFFFFFFFF, scheme="affine32")
        theirs.update_batch(row)
        assert mine.tolist() == theirs.hashvalues.tolist()
        assert mine.tolist() == oracles.signature(row, mul.tolist(), add.tolist())


@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_signatures_of_text_are_those_of_datasketch_given_its_default_hash(texts: list[str]):
    sets = [[" ".join(words[at : at + 5]) for at in range(max(len(words) - 4, 1))] for words in map(str.split, texts)]
    found = signatures.signatures(*ragged([[oracles.sha(one) for one in row] for row in sets]), 128)
    for row, mine in zip(sets, found, strict=True):
        theirs = MinHash(num_perm=128)
        theirs.update_batch([one.encode() for one in row])
        assert mine.tolist() == theirs.hashvalues.tolist()
        lean = LeanMinHash(seed=1, hashvalues=mine, scheme="affine32")
        assert lean.jaccard(theirs) == 1.0


@given(data=st.data(), bands=st.integers(2, 6), rows=st.integers(1, 4))
def test_band_values_collide_exactly_where_minhash_lsh_finds_candidates(data: st.DataObject, bands: int, rows: int):
    slots = st.lists(st.integers(0, 2), min_size=bands * rows, max_size=bands * rows)
    table = np.array(data.draw(st.lists(slots, min_size=1, max_size=12)), np.uint32)
    values = signatures.band_values(table, bands, rows)
    index = MinHashLSH(num_perm=bands * rows, params=(bands, rows))
    sketches = [LeanMinHash(seed=1, hashvalues=row, scheme="affine32") for row in table]
    for name, sketch in enumerate(sketches):
        index.insert(name, sketch)
    for name, sketch in enumerate(sketches):
        mine = {other for other in range(len(table)) if (values[name] == values[other]).any()}
        assert mine == set(index.query(sketch))


def test_equal_slots_in_different_bands_have_different_values():
    values = signatures.band_values(np.zeros((1, 104), np.uint32), 13, 8)
    assert len(set(values.ravel().tolist())) == 13


def test_signatures_refuse_bounds_past_the_end():
    with pytest.raises(CorpusError, match=r"offsets: expected to rise from 0 to 2 shingles, found first=0 last=3"):
        signatures.signatures(np.zeros(2, np.uint64), np.array([0, 3]), 4)


def test_shingles_refuse_offsets_that_fall():
    with pytest.raises(CorpusError, match=r"offsets: expected to rise from 0 to 4 bytes, found first=0 last=4"):
        signatures.shingle(np.zeros(4, np.uint8), np.array([0, 3, 1, 4]), MinHashConfig())


def test_bands_refuse_signatures_that_are_too_short():
    with pytest.raises(CorpusError, match=r"expected at least 13 x 8 slots, found 100"):
        signatures.band_values(np.zeros((1, 100), np.uint32), 13, 8)


@given(rows=st.lists(st.binary(max_size=12), max_size=6), seed=ANY_U64)
def test_rows_of_bytes_hash_by_content_and_length(rows: list[bytes], seed: int):
    bounds = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    out = np.empty(len(rows), np.uint64)
    hashing.hash_rows(np.frombuffer(b"".join(rows), np.uint8), bounds, np.uint64(seed), out)
    for row, value in zip(rows, out.tolist(), strict=True):
        state = seed ^ len(row)
        for byte in row:
            state = (state ^ byte) * 0x9E3779B97F4A7C15 & oracles.MASK64
            state ^= state >> 29
        assert value == oracles.mix64(state)


def test_real_documents_have_the_signatures_of_datasketch(real_data):
    import orjson

    lines = (real_data / "jsonl/openwebtext_1000_decoded/owt_000-699.jsonl").read_bytes().splitlines()[:60]
    texts = [orjson.loads(line)["text"] for line in lines]
    shingles = signatures.shingle(*flat(texts), MinHashConfig())
    found = signatures.signatures(shingles.hashes, shingles.bounds, 128)
    for d, mine in enumerate(found):
        row = shingles.hashes[shingles.bounds[d] : shingles.bounds[d + 1]].tolist()
        assert row == oracles.shingles(oracles.tokens(texts[d], TABLE), 5)
        theirs = MinHash(num_perm=128, hashfunc=lambda value: value & 0xFFFFFFFF)
        theirs.update_batch(row)
        assert mine.tolist() == theirs.hashvalues.tolist()
