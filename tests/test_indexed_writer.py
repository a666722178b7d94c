"""Writers and the functions beneath them, sidecars, and what `verify` finds."""

from __future__ import annotations

import base64
import hashlib
import json
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles_indexed import make, mmididx

from megadata.errors import ConfigError, IndexFormatError, OutputError
from megadata.indexed import meta as meta_module
from megadata.indexed import verify as verify_module
from megadata.indexed import writer as writer_module
from megadata.indexed.meta import Meta, digest_of_blocks, pack_bits, read_meta, unpack_bits
from megadata.indexed.reader import IndexedDataset, sampled_fingerprint
from megadata.indexed.verify import verify
from megadata.indexed.writer import (
    IndexedWriter,
    bin_temporary,
    digest_blocks,
    finish,
    preallocate,
    write_tokens,
)


@pytest.fixture
def small_blocks(monkeypatch):
    """Digest blocks of 1,000 bytes."""
    for module in (meta_module, writer_module, verify_module):
        monkeypatch.setattr(module, "BLOCK_BYTES", 1000)


def part(prefix: str, first: int) -> None:
    write_tokens(bin_temporary(prefix), "uint16", first, np.arange(first, first + 100), sync=True)


def test_processes_fill_a_preallocated_file_in_any_order(tmp_path):
    prefix = str(tmp_path / "d")
    preallocate(bin_temporary(prefix), 2000)
    with get_context("spawn").Pool(2) as pool:
        pool.starmap(part, [(prefix, first) for first in reversed(range(0, 1000, 100))])
    made = finish(prefix, dtype="uint16", lengths=np.full(10, 100), document_indices=np.arange(11), meta=Meta(eod=7))
    data = IndexedDataset(prefix)
    assert data.window(0, 1000).tolist() == list(range(1000))
    assert data.meta == made
    assert (made.tokens, made.sequences, made.documents, made.dtype, made.eod) == (1000, 10, 10, "uint16", 7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.bin", "d.idx", "d.meta.json"]


def test_write_tokens_returns_where_the_next_begin(tmp_path):
    preallocate(tmp_path / "t", 12)
    assert write_tokens(tmp_path / "t", "int32", 1, [5, 6]) == 3
    assert (tmp_path / "t").read_bytes() == np.array([0, 5, 6], "<i4").tobytes()


def test_ids_that_do_not_fit_are_refused_by_name(tmp_path):
    message = r"token id 65536 does not fit uint16 \(0 to 65535\); write the dataset as int32"
    with pytest.raises(ConfigError, match=message), IndexedWriter(tmp_path / "d", "uint16") as writer:
        writer.add_document([1, 65_536])
    with pytest.raises(ConfigError, match="token id -1 does not fit uint16"):
        writer_module.fitting(np.array([-1]), np.dtype("<u2"))
    assert list(tmp_path.iterdir()) == []


def test_lengths_must_add_up(tmp_path):
    prefix = tmp_path / "d"
    preallocate(bin_temporary(prefix), 10)
    with pytest.raises(OutputError, match="the lengths add up to 4 uint16 tokens, 8 bytes, found 10; run the same"):
        finish(prefix, dtype="uint16", lengths=np.array([4]), document_indices=np.array([0, 1]))
    writer = IndexedWriter(prefix, "uint16")
    with pytest.raises(ConfigError, match="the lengths add up to 3, the tokens are 2"):
        writer.add_documents([1, 2], [3])
    with pytest.raises(ConfigError, match="documents must start at rising sequences from 0 to 2"):
        writer.add_documents([1, 2], [1, 1], [1])
    writer.add_sequence([1])
    with pytest.raises(ConfigError, match="a document of 1 sequences is in progress; call end_document first"):
        writer.add_document([1])
    writer.discard()


def test_a_document_in_progress_is_ended_and_an_exception_leaves_nothing(tmp_path):
    with IndexedWriter(tmp_path / "d", "uint16") as writer:
        writer.add_sequence([1])
        writer.add_sequence([2])
    assert IndexedDataset(tmp_path / "d").document(0).tolist() == [1, 2]
    with pytest.raises(ZeroDivisionError), IndexedWriter(tmp_path / "e", "uint16") as writer:
        writer.add_document([1])
        _ = 1 // 0
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("e")]


def test_a_dataset_without_tokens_is_a_dataset(tmp_path):
    with IndexedWriter(tmp_path / "d", "int32"):
        pass
    data = IndexedDataset(tmp_path / "d")
    assert (len(data), data.documents, data.tokens) == (0, 0, 0)
    assert data.verify(deep=True).ok


def test_the_sidecar_disappears_before_other_tokens_appear(tmp_path, monkeypatch):
    prefix = make(tmp_path / "d", 100)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", dies)
    writer = IndexedWriter(prefix, "uint16")
    writer.add_document([1])
    with pytest.raises(KeyboardInterrupt):
        writer.finish()
    assert not Path(f"{prefix}.meta.json").exists()
    assert not Path(f"{prefix}.idx").exists()


def test_block_digests_are_those_of_hashlib_for_any_number_of_threads(tmp_path, small_blocks):
    raw = np.random.default_rng(0).bytes(4321)
    (tmp_path / "f").write_bytes(raw)
    expected = tuple(hashlib.sha256(raw[i : i + 1000]).hexdigest() for i in range(0, 4321, 1000))
    assert digest_blocks(tmp_path / "f") == digest_blocks(tmp_path / "f", workers=3) == expected
    whole = hashlib.sha256(b"".join(bytes.fromhex(block) for block in expected)).hexdigest()
    assert digest_of_blocks(expected) == whole


def test_the_sidecar_says_what_was_written(tmp_path):
    prefix = make(tmp_path / "d", 777, meta=Meta(vocabulary_size=1000, special_tokens={"eod": 3}, config={"a": [1]}))
    content = json.loads(Path(f"{prefix}.meta.json").read_text())
    assert (content["format"], content["version"]) == ("indexed", 2)
    assert content["idx_sha256"] == hashlib.sha256(Path(f"{prefix}.idx").read_bytes()).hexdigest()
    assert content["blocks"] == [hashlib.sha256(Path(f"{prefix}.bin").read_bytes()).hexdigest()]
    assert content["fingerprint"] == sampled_fingerprint(prefix)
    assert read_meta(prefix) == IndexedDataset(prefix).meta
    assert read_meta(tmp_path / "none") is None


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_word_start_bits_survive_packing(mask):
    packed = pack_bits(np.array(mask))
    assert unpack_bits(packed, len(mask)).tolist() == mask
    assert Meta(vocabulary_size=len(mask), word_start=packed).word_starts().tolist() == mask
    assert base64.b64decode(packed)[0] >> 7 == mask[0]


def test_verify_names_the_first_bad_block(tmp_path, small_blocks):
    prefix = make(tmp_path / "d", 2000, meta=Meta(vocabulary_size=1000))
    assert verify(prefix, deep=True).checked == ("sizes", "sidecar", "structure", "digests of 4 blocks", "token ids")
    with open(f"{prefix}.bin", "r+b") as file:
        file.seek(2500)
        file.write(b"\x01\x00")
        file.seek(3500)
        file.write(b"\x01\x00")
    assert verify(prefix).ok
    (problem,) = verify(prefix, deep=True, workers=2).problems
    sequence = IndexedDataset(prefix).sequence_at(np.array([1000]))[0]
    assert problem == (
        f"{prefix}.bin: block 2 (bytes 2000 to 3000, from sequence {sequence} on) is not what was written; "
        "copy the file again or write it again"
    )


def test_verify_finds_ids_outside_the_vocabulary_and_missing_ends(tmp_path):
    prefix = make(tmp_path / "d", 300, high=900, meta=Meta(vocabulary_size=800))
    (problem,) = verify(prefix, deep=True).problems
    assert "ids must be below 800, the size of the vocabulary" in problem
    with IndexedWriter(tmp_path / "e", "uint16", Meta(eod=9, appended_eod=True)) as writer:
        for tokens in ([1, 9], [], [2, 3], [4, 9]):
            writer.add_document(tokens)
    assert verify(tmp_path / "e", deep=True).problems == (
        f"{tmp_path}/e.bin: document 2 ends with token 3, the sidecar promises the EOD 9",
    )
    assert verify(tmp_path / "e").ok


def test_verify_finds_an_index_that_was_written_again(tmp_path):
    documents = [[[1, 2, 3]], [[4]]]
    with IndexedWriter(tmp_path / "d", "uint16") as writer:
        writer.add_document([1, 2, 3])
        writer.add_document([4])
    assert (tmp_path / "d.idx").read_bytes() == mmididx(documents)[1]
    (tmp_path / "d.idx").write_bytes(mmididx([[[1, 2]], [[3, 4]]])[1])
    (problem,) = verify(tmp_path / "d", deep=True).problems
    assert problem == f"{tmp_path}/d.idx: the bytes are not what was written; copy the file again"


def test_verify_reports_what_cannot_be_opened(tmp_path):
    report = verify(tmp_path / "none")
    assert not report.ok
    assert "expected one half of an indexed dataset" in report.problems[0]
    with pytest.raises(IndexFormatError):
        IndexedDataset(tmp_path / "none")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    blocked = tmp_path / "d.bin.tmp"
    blocked.mkdir()
    with pytest.raises(OutputError, match=r"d: cannot write: Is a directory; choose another folder"):
        IndexedWriter(tmp_path / "d", "uint16")
    blocked.rmdir()
