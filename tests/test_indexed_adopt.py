"""Foreign .bin/.idx files get a sidecar: ids are checked, the end of documents is found, nothing is blessed that is not sound."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import struct
from pathlib import Path

import pytest
from click.testing import CliRunner
from oracles_indexed import make, mmididx, write_pair

from megadata.cli import cli
from megadata.errors import ConfigError, IndexFormatError
from megadata.indexed.adopt import adopt
from megadata.indexed.merge import merge
from megadata.indexed.meta import Meta, read_meta
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.verify import verify

KNOWN = Meta(vocabulary_size=100, eod=9, special_tokens={"eod": 9, "sep": 8}, tokenizer_sha256="ab")


def foreign(folder: Path, documents: list[list[list[int]]], name: str = "d") -> str:
    return write_pair(folder / name, *mmididx(documents))


def test_a_foreign_dataset_is_known_after_adoption(tmp_path):
    prefix = foreign(tmp_path, [[[1, 2, 9]], [], [[3, 9]]])
    found = adopt(prefix, KNOWN)
    assert found.ends == "all 2 documents with tokens end with the EOD 9"
    meta = IndexedDataset(prefix).meta
    assert meta == found.meta
    assert meta is not None
    assert (meta.eod, meta.appended_eod, meta.level, meta.shuffled) == (9, True, "document", False)
    assert (meta.documents, meta.sequences, meta.tokens, meta.dtype) == (3, 2, 5, "uint16")
    report = verify(prefix, deep=True, vocabulary=KNOWN)
    assert report.ok
    assert report.checked[-1] == "ends of documents"
    assert adopt(prefix, KNOWN).meta == meta


ENDS = {
    "another special token": ([[[1, 8]], [[2, 8]]], KNOWN, (8, True), "end with the special token sep 8"),
    "some": ([[[1, 9]], [[2, 3]], [[4, 9]]], KNOWN, (9, False), "2 of 3 documents with tokens end with the EOD 9"),
    "an ordinary token": ([[[1, 5]], [[2, 5]]], KNOWN, (9, False), "0 of 2 documents with tokens end with the EOD 9"),
    "nothing known, many": ([[[i, 7]] for i in range(20)], None, (7, True), "all 20 documents .* with the id 7"),
    "nothing known, few": ([[[1, 7]], [[2, 7]]], None, (None, False), "1 different tokens; no EOD was found"),
    "empty": ([[], []], KNOWN, (9, False), "no document has tokens"),
    "sentences": ([[[1], [2, 9]], [[3, 9]]], KNOWN, (9, True), "all 2 documents with tokens end"),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_end_of_documents_is_found(tmp_path, name):
    documents, known, expected, said = ENDS[name]
    found = adopt(foreign(tmp_path, documents), known)
    assert (found.meta.eod, found.meta.appended_eod) == expected
    assert re.search(said, found.ends)
    assert found.meta.level == ("sentence" if name == "sentences" else "document")


def test_what_is_not_sound_gets_no_sidecar(tmp_path):
    prefix = foreign(tmp_path, [[[1, 2]], [[3, 100]]])
    with pytest.raises(ConfigError, match=r"token 3, in document 1, is 100, ids must be below 100, the size of the"):
        adopt(prefix, KNOWN)
    raw, index = mmididx([[[1, 2]], [[3]]])
    damaged = write_pair(tmp_path / "x", raw, index[:42] + struct.pack("<q", 6) + index[50:])
    with pytest.raises(IndexFormatError, match=r"sequence 0 should start at byte 0 of \.bin, the pointer says 6"):
        adopt(damaged, KNOWN)
    assert not list(tmp_path.glob("*.json*"))
    with pytest.raises(ConfigError, match="a sidecar is written beside local files"):
        adopt("s3://bucket/x", KNOWN)


def test_a_sound_sidecar_is_kept_and_a_damaged_one_replaced(tmp_path):
    prefix = make(tmp_path / "d", 500, meta=Meta(shuffled=True, seed=4, identity="me", config={"a": 1}))
    made = adopt(prefix, dataclasses.replace(KNOWN, vocabulary_size=1000)).meta
    assert (made.shuffled, made.seed, made.identity, made.config, made.vocabulary_size) == (
        True,
        4,
        "me",
        {"a": 1},
        1000,
    )
    path = Path(f"{prefix}.meta.json")
    path.write_text(path.read_text().replace('"seed": 4', '"seed": 5'))
    assert adopt(prefix, None).meta.seed is None
    with open(f"{prefix}.bin", "r+b") as file:
        file.write(b"\x11")
    with pytest.raises(IndexFormatError, match=r"block 0 .* is not what was written.* delete .*d\.meta\.json first"):
        adopt(prefix, None)


def test_adopted_files_are_shuffled_by_merge(tmp_path):
    prefix = foreign(tmp_path, [[[i, 9]] for i in range(50)])
    adopt(prefix, KNOWN)
    merge([prefix], tmp_path / "s", shuffle=True)
    meta = read_meta(tmp_path / "s")
    assert meta is not None
    assert (meta.shuffled, meta.appended_eod, meta.eod, meta.vocabulary_size) == (True, True, 9, 100)
    assert IndexedDataset(tmp_path / "s").verify(deep=True).ok


def test_bounds_that_gpt_neox_lost_are_adopted(tmp_path):
    data, index = mmididx([[[1, 9]], [[3, 9]]])
    prefix = write_pair(tmp_path / "n", data, index[:26] + struct.pack("<Q", 1) + index[34 : 34 + 24] + bytes(8))
    with pytest.warns(UserWarning, match="document bounds are missing"):
        assert adopt(prefix, KNOWN).meta.documents == 2
    with pytest.warns(UserWarning, match="document bounds are missing"):
        assert verify(prefix, deep=True).ok


def test_the_command_adopts_real_megatron_files(tmp_path, real_data):
    folder = real_data / "tokenizers" / "megatron_indexed_sample"
    for end in (".bin", ".idx"):
        shutil.copy(folder / f"meg-gpt2-openwebtext_text_document{end}", tmp_path / f"web{end}")
    words = {f"w{i}": i for i in range(4999)} | {"<|endoftext|>": 4999}
    added = {"id": 4999, "content": "<|endoftext|>", "special": True, "single_word": False, "lstrip": False}
    added |= {"rstrip": False, "normalized": False}
    content = {"added_tokens": [added], "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"}}
    (tmp_path / "tok.json").write_text(json.dumps(content))
    small = {"added_tokens": [], "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}}
    (tmp_path / "small.json").write_text(json.dumps(small))

    def call(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(cli, ["verify", f"{tmp_path}/web", *map(str, arguments)])
        return result.exit_code, result.output

    code, text = call("--tokenizer", tmp_path / "small.json")
    assert (code, "ids must be below 2, the size of the vocabulary" in text) == (1, True)
    code, text = call("--tokenizer", tmp_path / "tok.json", "--write-meta")
    assert code == 0, text
    assert "web.meta.json: written; all 1,000 documents with tokens end with the EOD 4999" in text
    assert "nothing is wrong" in text
    assert call("--tokenizer", tmp_path / "tok.json")[0] == 0
    code, text = call("--tokenizer", tmp_path / "small.json", "--json")
    assert (code, "the dataset was written with tokenizer" in text) == (1, True)
