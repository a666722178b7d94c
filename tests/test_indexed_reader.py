"""`IndexedDataset`: views, positions, processes, and files that were damaged."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import random
import struct
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles_indexed import make, mmididx, write_pair

from megadata.errors import IndexFormatError, MegadataError
from megadata.indexed.meta import Meta, pack_bits
from megadata.indexed.reader import IndexedDataset, last_at_most
from megadata.indexed.writer import IndexedWriter


def test_windows_and_circular_reads_follow_the_stream(tmp_path):
    data = IndexedDataset(make(tmp_path / "d", 1000))
    stream = np.concatenate(data[:])
    assert data.window(3, 10).tolist() == stream[3:13].tolist()
    assert data.circular(995, 10).tolist() == np.concatenate((stream[995:], stream[:5])).tolist()
    assert data.circular(7, 2500).tolist() == stream[np.arange(7, 2507) % 1000].tolist()
    assert not data.window(0, 5).flags.writeable
    assert not data.window(0, 5).flags.owndata
    with pytest.raises(IndexError, match="tokens 995 to 1005 asked for, the dataset has 1000"):
        data.window(995, 10)
    with pytest.raises(IndexError, match="document -1000 asked for"):
        data.document(-1000)
    assert data[-1].tolist() == data[len(data) - 1].tolist()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.data())
@settings(max_examples=80)
def test_positions_lead_back_to_sequences_and_documents(tmp_path, lengths, data):
    counts = data.draw(st.lists(st.integers(0, 4), max_size=20))
    documents, at = [], 0
    for count in counts:
        documents.append([[1] * n for n in lengths[at : at + count]])
        at += len(documents[-1])
    found = IndexedDataset(write_pair(tmp_path / "d", *mmididx(documents)))
    owners = [(d, s) for d, document in enumerate(documents) for s in range(len(document))]
    per_token = [(i, owners[i][0]) for i in range(len(found)) for _ in range(int(found.lengths[i]))]
    sequences = found.sequence_at(np.arange(found.tokens))
    assert sequences.tolist() == [s for s, _ in per_token]
    assert found.document_at(sequences).tolist() == [d for _, d in per_token]
    starts = found.starts(np.arange(len(found) + 1)).tolist()
    assert starts == [0, *np.cumsum(found.lengths, dtype=int).tolist()]


@given(st.lists(st.integers(-5, 20)), st.lists(st.integers(-10, 25), min_size=1))
def test_last_at_most_equals_searchsorted(rising, values):
    rising = np.array(sorted(rising), np.int64)
    expected = np.maximum(np.searchsorted(rising, values, side="right") - 1, 0)
    assert last_at_most(rising, np.array(values, np.int64)).tolist() == expected.tolist()


def read_in_child(data: IndexedDataset) -> list[int]:
    return data[3].tolist()


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_dataset_may_be_spawned_and_forked(tmp_path, method):
    data = IndexedDataset(make(tmp_path / "d", 1000))
    expected = data[3].tolist()
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(read_in_child, (data,)) == expected


def test_pickles_hold_no_tokens_and_notice_a_change(tmp_path):
    prefix = make(tmp_path / "d", 100_000)
    data = IndexedDataset(prefix)
    assert data[0].size
    raw = pickle.dumps(data)
    assert len(raw) < 1000
    assert pickle.loads(raw)[5].tolist() == data[5].tolist()
    make(tmp_path / "d", 50_000)
    with pytest.raises(IndexFormatError, match="the dataset changed between two processes"):
        pickle.loads(raw)


def test_opening_ten_million_documents_reads_next_to_nothing(tmp_path):
    documents = 10_000_000
    header = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, documents, documents + 1)
    with (tmp_path / "d.idx").open("wb") as file:
        file.write(header)
        file.truncate(34 + 20 * documents + 8)
        file.seek(34 + 20 * documents)
        file.write(struct.pack("<q", documents))
    (tmp_path / "d.bin").write_bytes(b"")
    start = time.perf_counter()
    data = IndexedDataset(tmp_path / "d")
    assert data.documents == documents
    assert time.perf_counter() - start < 0.1


def test_wild_pointers_are_an_error_and_not_a_crash(tmp_path):
    raw, index = mmididx([[[1, 2]], [[3]], [[4]]], 8)
    wild = bytearray(index)
    wild[34 + 12 : 34 + 20] = struct.pack("<q", 1 << 40)
    data = IndexedDataset(write_pair(tmp_path / "d", raw, bytes(wild)))
    with pytest.raises(
        IndexFormatError, match=r"sequence 0 claims the bytes 1099511627776 to 1099511627780 of 8 in \.bin"
    ):
        data[0]
    assert data.verify().problems == (
        f"{data.prefix}.idx: sequence 0 should start at byte 0 of .bin, the pointer says 1099511627776; the file is damaged",
    )
    wild = bytearray(index)
    wild[34 + 36 + 8 : 34 + 36 + 16] = struct.pack("<q", 9)
    data = IndexedDataset(write_pair(tmp_path / "d", raw, bytes(wild)))
    with pytest.raises(IndexFormatError, match="document 0 claims the sequences 0 to 9 of 3"):
        data.document(0)


def exercise(prefix: str) -> None:
    """Touch everything a reader offers."""
    data = IndexedDataset(prefix)
    for i in range(min(len(data), 40)):
        data[i].sum()
    for i in range(min(data.documents, 40)):
        data.document(i).sum()
    if data.tokens:
        data.circular(data.tokens - 1, 5).sum()
    assert data.fingerprint
    meta = data.meta
    if meta is not None:
        meta.word_starts()
    data.verify(deep=True)


def mutants(count: int, tmp_path: Path, seed: int) -> int:
    """Damage a dataset in `count` ways; return how many were refused."""
    rng = random.Random(seed)
    meta = Meta(vocabulary_size=40, eod=39, word_start=pack_bits(np.arange(40) % 3 == 0), special_tokens={"eod": 39})
    prefix = tmp_path / "d"
    with IndexedWriter(prefix, "uint16", meta) as writer:
        for n in (3, 0, 5, 1):
            for _ in range(n):
                writer.add_sequence([rng.randrange(40) for _ in range(rng.randrange(6))])
            writer.end_document()
    originals = {end: Path(f"{prefix}{end}").read_bytes() for end in (".bin", ".idx", ".meta.json")}
    refused = 0
    for _ in range(count):
        end = rng.choice([".bin", ".idx", ".idx", ".idx", ".meta.json"])
        raw = bytearray(originals[end])
        kind = rng.randrange(4)
        if kind == 0:
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del raw[rng.randrange(len(raw)) :]
        elif kind == 2:
            at = rng.randrange(len(raw))
            raw[at : at + 8] = rng.choice([b"\xff" * 8, b"\0" * 8, b"\xff" * 7 + b"\x7f", b"\0" * 7 + b"\x80"])
        else:
            raw += rng.randbytes(rng.randrange(1, 20))
        Path(f"{prefix}{end}").write_bytes(bytes(raw))
        try:
            exercise(str(prefix))
        except MegadataError:
            refused += 1
        Path(f"{prefix}{end}").write_bytes(originals[end])
    return refused


def test_two_thousand_damaged_datasets_are_read_or_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert 200 < mutants(2000, tmp_path, 0) < 2000


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_damaged_datasets_are_read_or_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert mutants(100_000, tmp_path, 1) > 10_000


def test_a_sidecar_of_another_dataset_is_refused(tmp_path):
    prefix = make(tmp_path / "d", 500)
    path = tmp_path / "d.meta.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "tokens": 499}))
    with pytest.raises(
        IndexFormatError, match=r"d\.meta\.json: speaks of 499 uint16 tokens .* belongs to another dataset"
    ):
        _ = IndexedDataset(prefix).meta
    path.write_text(json.dumps({**content, "version": 99}))
    with pytest.raises(IndexFormatError, match="indexed version 99, this megadata reads up to 1"):
        _ = IndexedDataset(prefix).meta
    path.write_text(json.dumps({**content, "eod": "x"}))
    with pytest.raises(IndexFormatError, match="field 'eod' holds 'x', which is not what belongs there"):
        _ = IndexedDataset(prefix).meta


def test_the_fingerprint_is_the_same_with_and_without_a_sidecar(tmp_path):
    prefix = make(tmp_path / "d", 300_000)
    known = IndexedDataset(prefix).fingerprint
    Path(f"{prefix}.meta.json").unlink()
    assert IndexedDataset(prefix).fingerprint == known
    assert IndexedDataset(make(tmp_path / "e", 300_000, seed=1)).fingerprint != known


def test_real_megatron_files_read_and_verify(real_data):
    folder = real_data / "tokenizers" / "megatron_indexed_sample"
    data = IndexedDataset(folder / "meg-gpt2-openwebtext_text_document")
    assert (len(data), data.documents, data.tokens, data.dtype.name) == (1000, 1000, 1_361_845, "uint16")
    assert data.verify(deep=True).ok
    assert data.document(0)[:3].tolist() == [32, 2153, 4994]
    assert all(int(data.document(i)[-1]) == 4999 for i in range(data.documents))
    inputs = IndexedDataset(folder / "ag_news_prompt_inputs_document")
    assert (inputs.documents, inputs.dtype.name) == (100, "int32")
