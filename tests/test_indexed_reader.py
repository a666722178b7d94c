"""`IndexedDataset`: views, positions, processes, and files that were damaged."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import pickle
import random
import struct
import subprocess
import sys
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles_indexed import make, mmididx, write_pair

from megadata.errors import IndexFormatError, MegadataError
from megadata.indexed.files import LocalBytes
from megadata.indexed.meta import Meta, pack_bits, write_meta
from megadata.indexed.provenance import document_rows
from megadata.indexed.reader import IndexedDataset, last_at_most
from megadata.indexed.verify import verify
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


def test_opening_a_hundred_million_documents_reads_next_to_nothing(tmp_path, monkeypatch):
    documents = 100_000_000
    header = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, documents, documents + 1)
    with (tmp_path / "d.idx").open("wb") as file:
        file.write(header)
        file.truncate(34 + 20 * documents + 8)
        file.seek(34 + 20 * documents)
        file.write(struct.pack("<q", documents))
    (tmp_path / "d.bin").write_bytes(b"")
    read = []
    peek = LocalBytes.peek
    monkeypatch.setattr(
        LocalBytes, "peek", lambda self, start, stop: read.append(stop - start) or peek(self, start, stop)
    )
    monkeypatch.setattr(LocalBytes, "read", lambda *_: pytest.fail("more was read than borders"))
    tracemalloc.start()
    try:
        data = IndexedDataset(tmp_path / "d")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert data.documents == documents
    assert (len(read), sum(read)) == (5, 34 + 4 + 3 * 8)
    assert most < 1_000_000
    assert data._opened is None, "nothing is mapped yet"


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


def exercise(prefix: str) -> tuple[object, ...]:
    """Everything a reader offers, as plain values."""
    data = IndexedDataset(prefix)
    meta = data.meta
    bits = meta.word_starts() if meta is not None else None
    return (
        *(len(data), data.documents, data.tokens, data.dtype.name),
        [data[i].tolist() for i in range(len(data))],
        [one.tolist() for one in data.take(np.arange(len(data)))],
        [data.document(i).tolist() for i in range(data.documents)],
        data.window(0, data.tokens).tolist(),
        data.circular(data.tokens - 1, 5).tolist() if data.tokens else [],
        data.fingerprint,
        None if meta is None else dataclasses.replace(meta, word_start=None),
        None if bits is None else bits.tolist(),
        document_rows(prefix, range(data.documents)),
    )


def mutants(count: int, tmp_path: Path, seed: int) -> tuple[int, int]:
    """Damage a dataset in `count` ways; return how many were refused, and how many read alike.

    Damage is either refused, or found by `verify`, or of no consequence: then every answer is the one before it.
    """
    rng = random.Random(seed)
    meta = Meta(vocabulary_size=40, eod=39, word_start=pack_bits(np.arange(40) % 3 == 0), special_tokens={"eod": 39})
    prefix = tmp_path / "d"
    rows = {"id": ["a", "b", "c", "d"], "source": ["s"] * 4, "url": [None, "u", None, "v"]}
    pq.write_table(pa.table(rows), f"{prefix}.docs.parquet")
    with IndexedWriter(prefix, "uint16", meta) as writer:
        for n in (3, 0, 5, 1):
            for _ in range(n):
                writer.add_sequence([rng.randrange(40) for _ in range(rng.randrange(6))])
            writer.end_document()
    endings = (".bin", ".idx", ".idx", ".idx", ".meta.json", ".meta.json", ".docs.parquet")
    originals = {end: Path(f"{prefix}{end}").read_bytes() for end in endings}
    before = exercise(str(prefix))
    refused = alike = 0
    for _ in range(count):
        end = rng.choice(endings)
        raw = damaged(rng, originals[end])
        Path(f"{prefix}{end}").write_bytes(raw)
        try:
            after = exercise(str(prefix))
            sound = verify(str(prefix), deep=True).ok
        except MegadataError:
            refused += 1
        else:
            if sound:
                assert after == before, f"damage to {end} was read as something else"
                alike += 1
        Path(f"{prefix}{end}").write_bytes(originals[end])
    return refused, alike


def damaged(rng: random.Random, raw: bytes) -> bytes:
    """One way to damage a file."""
    made = bytearray(raw)
    kind, at = rng.randrange(6), rng.randrange(len(raw))
    if kind == 0:
        made[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del made[at:]
    elif kind == 2:
        made[at : at + 8] = rng.choice([b"\xff" * 8, b"\0" * 8, b"\xff" * 7 + b"\x7f", b"\0" * 7 + b"\x80"])
    elif kind == 3:
        made += rng.randbytes(rng.randrange(1, 20))
    elif kind == 4:
        other = rng.randrange(len(raw))
        made[at : at + 16], made[other : other + 16] = made[other : other + 16], made[at : at + 16]
    else:
        del made[at : at + rng.randrange(1, 9)]
    return bytes(made)


def test_two_thousand_damaged_datasets_are_read_right_or_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        refused, alike = mutants(2000, tmp_path, 0)
    assert 1000 < refused < 2000
    assert alike > 0


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("part", range(4))
def test_a_hundred_thousand_damaged_datasets_are_read_right_or_refused(tmp_path, part):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert mutants(25_000, tmp_path, 1 + part)[0] > 12_000


HEADERS = st.tuples(
    st.integers(0, 2**64 - 1), st.integers(0, 255), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)
)


@given(header=HEADERS, tail=st.binary(max_size=120), data=st.binary(max_size=40), small=st.booleans())
@settings(max_examples=300)
def test_files_made_of_anything_are_read_or_refused(tmp_path, header, tail, data, small):
    version, code, sequences, bounds = header
    if small:
        version, code, sequences, bounds = 1, code % 9, sequences % 6, bounds % 6
        tail = (tail * 120)[: 12 * sequences + 8 * bounds] if tail else bytes(12 * sequences + 8 * bounds)
    prefix = write_pair(
        tmp_path / "d", data, b"MMIDIDX\0\0" + struct.pack("<QBQQ", version, code, sequences, bounds) + tail
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with contextlib.suppress(MegadataError):
            exercise(prefix)
        verify(prefix, deep=True)


SHRINK = """
import sys, time
import numpy as np
from megadata.indexed.reader import IndexedDataset
from megadata.errors import IndexFormatError
prefix, ending = sys.argv[1:]
data = IndexedDataset(prefix)
assert data[0].size and data.document(3).size
with open(prefix + ending, "r+b") as file:
    file.truncate(100)
last = len(data) - 1
for read in (
    lambda: data[last].sum(), lambda: data[last:], lambda: data.take([last]), lambda: data.document(last).sum(),
    lambda: data.window(data.tokens - 9, 9).sum(), lambda: data.circular(data.tokens - 9, 20).sum(),
    lambda: data.starts(np.array([last])), lambda: data.document_at(np.array([last])), lambda: data.sequence_at(np.array([last])),
):
    time.sleep(0.002)
    try:
        read()
    except IndexFormatError as error:
        assert "shrank from" in str(error), error
        print("refused")
"""


@pytest.mark.parametrize("ending", [".bin", ".idx"])
def test_a_file_that_shrinks_while_it_is_read_is_an_error_and_not_the_end_of_the_process(tmp_path, ending):
    prefix = make(tmp_path / "d", 500_000)
    done = subprocess.run(
        [sys.executable, "-c", SHRINK, prefix, ending], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["refused"] * 9


def test_a_file_replaced_under_the_same_name_is_read_to_its_end(tmp_path):
    data = IndexedDataset(make(tmp_path / "d", 1000))
    expected = data[3].tolist()
    Path(tmp_path / "d.bin").unlink()
    Path(tmp_path / "d.bin").write_bytes(b"")
    time.sleep(0.002)
    assert data[3].tolist() == expected


def test_a_sidecar_of_another_dataset_is_refused(tmp_path):
    prefix = make(tmp_path / "d", 500)
    path = tmp_path / "d.meta.json"
    content = json.loads(path.read_text())
    meta = IndexedDataset(prefix).meta
    assert meta is not None
    write_meta(prefix, dataclasses.replace(meta, tokens=499))
    with pytest.raises(
        IndexFormatError, match=r"d\.meta\.json: speaks of 499 uint16 tokens .* belongs to another dataset"
    ):
        _ = IndexedDataset(prefix).meta
    path.write_text(json.dumps({**content, "shuffled": True}))
    with pytest.raises(
        IndexFormatError, match="is not what was written: its own digest does not fit; write the sidecar"
    ):
        _ = IndexedDataset(prefix).meta
    del content["sha256"]
    path.write_text(json.dumps({**content, "version": 1, "shuffled": True}))
    assert IndexedDataset(prefix).meta == dataclasses.replace(meta, shuffled=True), "version 1 has no digest"
    path.write_text(json.dumps({**content, "version": 99}))
    with pytest.raises(IndexFormatError, match="indexed version 99, this megadata reads up to 2"):
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
