"""MMIDIDX to the byte: what is written, what is read, what is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles_indexed import mmididx, write_pair

from megadata.errors import ConfigError, IndexFormatError
from megadata.indexed.format import DTYPES, best_dtype, parse_index, write_index
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.writer import IndexedWriter

SEQUENCES = st.lists(st.integers(0, 120), max_size=6)
DOCUMENTS = st.lists(st.lists(SEQUENCES, max_size=4), max_size=6)


@given(documents=DOCUMENTS, code=st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8]))
@settings(max_examples=80)
def test_files_written_equal_the_specification_and_read_back(tmp_path, documents, code):
    prefix = tmp_path / "d"
    with IndexedWriter(prefix, DTYPES[code]) as writer:
        for document in documents:
            for sequence in document:
                writer.add_sequence(np.array(sequence, np.int64))
            writer.end_document()
    data, index = mmididx(documents, code)
    assert Path(f"{prefix}.bin").read_bytes() == data
    assert Path(f"{prefix}.idx").read_bytes() == index
    found = IndexedDataset(prefix)
    assert found.dtype == DTYPES[code]
    assert [s.tolist() for s in found[:]] == [s for document in documents for s in document]
    joined = [[token for s in document for token in s] for document in documents]
    assert [found.document(i).tolist() for i in range(found.documents)] == joined
    assert found.tokens == sum(map(len, joined))


@given(documents=DOCUMENTS)
@settings(max_examples=40)
def test_bulk_and_single_appends_write_the_same_bytes(tmp_path, documents):
    with IndexedWriter(tmp_path / "one", "uint16") as writer:
        for document in documents:
            flat = [token for s in document for token in s]
            writer.add_document(flat, [len(s) for s in document])
    with IndexedWriter(tmp_path / "bulk", "uint16") as writer:
        flat = [token for document in documents for s in document for token in s]
        lengths = [len(s) for document in documents for s in document]
        firsts = [0, *np.cumsum([len(document) for document in documents]).tolist()][:-1] if documents else []
        writer.add_documents(np.array(flat, np.int64), lengths, firsts)
    for ending in (".bin", ".idx"):
        assert Path(f"{tmp_path}/one{ending}").read_bytes() == Path(f"{tmp_path}/bulk{ending}").read_bytes()


@pytest.mark.parametrize(
    ("entries", "policy", "name"),
    [
        (1, "auto", "uint16"),
        (65_499, "auto", "uint16"),
        (65_500, "auto", "uint16"),
        (65_536, "auto", "uint16"),
        (65_537, "auto", "int32"),
        (65_499, "megatron", "uint16"),
        (65_500, "megatron", "int32"),
        (65_536, "megatron", "int32"),
        (65_537, "megatron", "int32"),
        (65_536, "uint16", "uint16"),
        (100, "int32", "int32"),
    ],
)
def test_the_width_of_tokens_follows_the_vocabulary(entries, policy, name):
    assert best_dtype(entries, policy).name == name


def test_a_vocabulary_that_does_not_fit_is_refused():
    message = "a vocabulary of 65537 entries does not fit dtype uint16, which holds 1 to 65536; use dtype auto"
    with pytest.raises(ConfigError, match=message):
        best_dtype(65_537, "uint16")
    with pytest.raises(ConfigError, match="dtype policy 'wide' is not known"):
        best_dtype(5, "wide")


def test_index_chunks_join_without_a_seam(tmp_path, monkeypatch):
    monkeypatch.setattr("megadata.indexed.format.CHUNK", 7)
    lengths = np.random.default_rng(0).integers(0, 50, 100)
    documents = [[[0] * n] for n in lengths.tolist()]
    write_index(tmp_path / "d.idx", "int32", lengths, np.arange(101))
    assert (tmp_path / "d.idx").read_bytes() == mmididx(documents, 4)[1]


def test_modes_are_found_by_the_size_of_the_file(tmp_path):
    prefix = write_pair(tmp_path / "m", *mmididx([[[1, 2], [3]]], 8, modes=[0, 1]))
    data = IndexedDataset(prefix)
    assert data.modes is not None
    assert data.modes.tolist() == [0, 1]
    assert data.document(0).tolist() == [1, 2, 3]
    assert IndexedDataset(write_pair(tmp_path / "p", *mmididx([[[1, 2], [3]]], 8))).modes is None


@pytest.mark.parametrize("code", [6, 7])
def test_gpt_neox_float_codes_are_told_apart_by_the_size_of_bin(tmp_path, code):
    data, index = mmididx([[[1, 2, 3]]], 13 - code)
    swapped = index[:17] + bytes([code]) + index[18:]
    swapped = swapped[:38] + index[38:]
    found = IndexedDataset(write_pair(tmp_path / "n", data, swapped))
    assert found[0].tolist() == [1, 2, 3]
    assert found.dtype == DTYPES[13 - code]


def test_bounds_that_gpt_neox_never_merged_are_repaired_with_a_warning(tmp_path):
    data, index = mmididx([[[1, 2]], [[3]], [[4, 5]]], 8)
    cut = index[:26] + struct.pack("<Q", 1) + index[34 : 34 + 3 * 12] + struct.pack("<q", 0)
    prefix = write_pair(tmp_path / "x", data, cut)
    with pytest.warns(
        UserWarning, match=r"x\.idx: document bounds are missing, as after a merge by GPT-NeoX; each of the 3"
    ):
        found = IndexedDataset(prefix)
    assert found.documents == 3
    assert found.document(2).tolist() == [4, 5]
    assert found.bounds.tolist() == [0, 1, 2, 3]
    assert found.document_starts(np.array([0, 1, 3])).tolist() == [0, 2, 5]


def broken(documents=(((1, 2, 3),), ((4,),))) -> tuple[bytes, bytes]:
    return mmididx(documents, 8)


REFUSED = {
    "short header": (lambda d, i: (d, i[:20]), r"an index starts with 34 bytes of header, found 20"),
    "magic": (
        lambda d, i: (d, b"TNTIDX\0\0\0" + i[9:]),
        r"expected an MMIDIDX index, found a file that starts with b'TNTIDX",
    ),
    "version": (lambda d, i: (d, i[:9] + struct.pack("<Q", 2) + i[17:]), r"index version 2, this megadata reads 1"),
    "code": (lambda d, i: (d, i[:17] + b"\x09" + i[18:]), r"token type 9 is not known \(1 to 8 are\)"),
    "truncated idx": (lambda d, i: (d, i[:-1]), r"promises 2 sequences and 3 document bounds, 82 bytes, found 81"),
    "truncated bin": (
        lambda d, i: (d[:-2], i),
        r"d\.idx ends at byte 8 \(uint16 tokens\), found 6 bytes; one of the two",
    ),
    "longer bin": (
        lambda d, i: (d + b"\0", i),
        r"d\.idx ends at byte 8 \(uint16 tokens\), found 9 bytes; one of the two",
    ),
    "other type": (lambda d, i: (d, i[:17] + b"\x04" + i[18:]), r"d\.idx ends at byte 10 \(int32 tokens\), found 8"),
    "bounds": (
        lambda d, i: (d, i[:-8] + struct.pack("<q", 1)),
        r"bounds must run from 0 to 2 \(the sequences\), found 0 to 1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_damaged_file_is_refused_in_a_sentence(tmp_path, name):
    damage, message = REFUSED[name]
    prefix = write_pair(tmp_path / "d", *damage(*broken()))
    with pytest.raises(IndexFormatError, match=message):
        parse_index(prefix)


def test_a_missing_half_is_named(tmp_path):
    Path(tmp_path / "d.bin").write_bytes(b"")
    with pytest.raises(IndexFormatError, match=r"d\.idx: expected one half of an indexed dataset .*no such file"):
        IndexedDataset(tmp_path / "d")


def test_lengths_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"sequence lengths must lie between 0 and 2147483647, found -1"):
        write_index(tmp_path / "d.idx", "uint16", np.array([-1]), np.array([0, 1]))
    with pytest.raises(ConfigError, match=r"document bounds must run from 0 to 1"):
        write_index(tmp_path / "d.idx", "uint16", np.array([1]), np.array([0, 2]))
    with pytest.raises(ConfigError, match=r"token type uint32 has no code"):
        write_index(tmp_path / "d.idx", "uint32", np.array([1]), np.array([0, 1]))
