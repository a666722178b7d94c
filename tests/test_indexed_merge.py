"""Merging: the same documents, nothing decoded, one order for a seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles_indexed import make, mmididx, write_pair

from megadata.errors import ConfigError
from megadata.indexed import merge as merge_module
from megadata.indexed.merge import merge
from megadata.indexed.meta import Meta
from megadata.indexed.provenance import document_rows
from megadata.indexed.reader import IndexedDataset

SEQUENCES = st.lists(st.integers(0, 500), max_size=4)
DOCUMENTS = st.lists(st.lists(SEQUENCES, max_size=3), max_size=5)


@given(st.lists(DOCUMENTS, min_size=1, max_size=3))
@settings(max_examples=40)
def test_a_merge_equals_writing_all_documents_at_once(tmp_path, parts):
    prefixes = [write_pair(tmp_path / f"p{i}", *mmididx(documents)) for i, documents in enumerate(parts)]
    merge(prefixes, tmp_path / "all")
    data, index = mmididx([document for documents in parts for document in documents])
    assert (tmp_path / "all.bin").read_bytes() == data
    assert (tmp_path / "all.idx").read_bytes() == index


def documents(prefix: Path | str) -> list[tuple[tuple[int, ...], ...]]:
    data = IndexedDataset(prefix)
    bounds = [data.document_bounds(i) for i in range(data.documents)]
    return [tuple(tuple(s.tolist()) for s in data[first:last]) for first, last in bounds]


@given(st.lists(DOCUMENTS, min_size=1, max_size=3), st.integers(0, 2**40))
@settings(max_examples=40)
def test_a_shuffle_keeps_every_document_whole(tmp_path, parts, seed):
    prefixes = [write_pair(tmp_path / f"p{i}", *mmididx(part)) for i, part in enumerate(parts)]
    made = merge(prefixes, tmp_path / "all", shuffle=True, seed=seed)
    before = [document for prefix in prefixes for document in documents(prefix)]
    assert Counter(documents(tmp_path / "all")) == Counter(before)
    assert made.shuffled
    assert IndexedDataset(tmp_path / "all").verify(deep=True).ok


def test_the_shuffled_order_depends_on_the_seed_and_not_on_memory(tmp_path, monkeypatch):
    prefixes = [make(tmp_path / "a", 20_000), make(tmp_path / "b", 10_000, seed=1)]
    merge(prefixes, tmp_path / "one", shuffle=True, seed=5)
    monkeypatch.setattr(merge_module, "GATHER_BYTES", 1000)
    monkeypatch.setattr(merge_module, "ROWS", 37)
    merge(prefixes, tmp_path / "two", shuffle=True, seed=5)
    merge(prefixes, tmp_path / "three", shuffle=True, seed=6)
    assert (tmp_path / "one.bin").read_bytes() == (tmp_path / "two.bin").read_bytes()
    assert (tmp_path / "one.idx").read_bytes() == (tmp_path / "two.idx").read_bytes()
    assert (tmp_path / "one.bin").read_bytes() != (tmp_path / "three.bin").read_bytes()
    assert sorted(documents(tmp_path / "one")) == sorted(documents(tmp_path / "three"))


@pytest.mark.parametrize("shuffle", [False, True])
def test_rows_of_provenance_stay_with_their_documents(tmp_path, shuffle):
    prefixes = []
    for name, extra in (("a", {}), ("b", {"url": "u"})):
        prefixes.append(make(tmp_path / name, 5000, seed=len(name) + len(prefixes)))
        data = IndexedDataset(prefixes[-1])
        rows = [{"id": f"{name}{i}:{data.document(i)[:4].tolist()}", **extra} for i in range(data.documents)]
        pq.write_table(pa.Table.from_pylist(rows), f"{prefixes[-1]}.docs.parquet", row_group_size=17)
    merge(prefixes, tmp_path / "all", shuffle=shuffle)
    data = IndexedDataset(tmp_path / "all")
    rows = document_rows(str(tmp_path / "all"), range(data.documents))
    for i, row in enumerate(rows):
        assert row["id"].endswith(str(data.document(i)[:4].tolist()))
        assert row["url"] == ("u" if row["id"].startswith("b") else None)
    first = [row["id"].split(":")[0] for row in rows[:3]]
    assert (first == ["a0", "a1", "a2"]) != shuffle


def test_what_all_sidecars_promise_is_kept(tmp_path):
    meta = Meta(vocabulary_size=1000, eod=3, tokenizer_sha256="ab", special_tokens={"eod": 3}, shuffled=True)
    prefixes = [make(tmp_path / "a", 500, meta=meta), make(tmp_path / "b", 500, seed=1, meta=meta)]
    Path(tmp_path / "a.tokenizer.json").write_text("{}")
    made = merge(prefixes, tmp_path / "c" / "all")
    assert (made.vocabulary_size, made.eod, made.tokenizer_sha256, made.shuffled) == (1000, 3, "ab", False)
    assert made.tokenizer_path == "all.tokenizer.json"
    assert (tmp_path / "c" / "all.tokenizer.json").read_text() == "{}"
    assert not list((tmp_path / "c").glob("*.tmp"))


def test_datasets_that_do_not_belong_together_are_refused(tmp_path):
    one = make(tmp_path / "a", 500, meta=Meta(tokenizer_sha256="ab"))
    other = make(tmp_path / "b", 500, seed=1, meta=Meta(tokenizer_sha256="cd"))
    wide = write_pair(tmp_path / "w", *mmididx([[[1]]], 4))
    with pytest.raises(ConfigError, match=r"tokenizer_sha256 is cd, but ab in .*same tokenizer"):
        merge([one, other], tmp_path / "all")
    with pytest.raises(ConfigError, match=r"w holds int32 tokens, .*a holds uint16; merge datasets of one type"):
        merge([one, wide], tmp_path / "all")
    with pytest.raises(ConfigError, match="is one of the inputs; write to another prefix"):
        merge([one], one)
    with pytest.raises(ConfigError, match="needs at least one dataset prefix"):
        merge([], tmp_path / "all")


def test_a_copy_without_kernel_help_gives_the_same_bytes(tmp_path, monkeypatch):
    prefixes = [make(tmp_path / "a", 9000), make(tmp_path / "b", 100, seed=1)]
    merge(prefixes, tmp_path / "one")

    def refuse(*_: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(merge_module.os, "copy_file_range", refuse)
    merge(prefixes, tmp_path / "two")
    assert (tmp_path / "one.bin").read_bytes() == (tmp_path / "two.bin").read_bytes()
    assert np.array_equal(IndexedDataset(tmp_path / "one").bounds, IndexedDataset(tmp_path / "two").bounds)
