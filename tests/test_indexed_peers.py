"""Megatron-core writes the same bytes, and each reads what the other wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles_indexed import mmididx, write_pair

from megadata.indexed.format import DTYPES, best_dtype
from megadata.indexed.merge import merge
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.writer import IndexedWriter

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

DOCUMENTS = st.lists(
    st.lists(st.lists(st.integers(0, 30_000), min_size=1, max_size=9), max_size=4), min_size=1, max_size=6
)


@pytest.fixture(scope="module")
def megatron():
    from megatron.core.datasets import indexed_dataset

    return indexed_dataset


def write_theirs(megatron, prefix: Path, documents: list, dtype: type) -> None:
    import torch

    builder = megatron.IndexedDatasetBuilder(f"{prefix}.bin", dtype=dtype)
    for document in documents:
        for sequence in document:
            builder.add_item(torch.tensor(sequence, dtype=torch.int64))
        builder.end_document()
    builder.finalize(f"{prefix}.idx")


@given(documents=DOCUMENTS, entries=st.sampled_from([65_499, 65_500, 65_536, 65_537]))
@settings(max_examples=40)
def test_the_bytes_are_those_of_megatrons_own_writer(megatron, tmp_path, documents, entries):
    dtype = best_dtype(entries, "megatron")
    assert dtype == np.dtype(megatron.DType.optimal_dtype(entries))
    write_theirs(megatron, tmp_path / "theirs", documents, megatron.DType.optimal_dtype(entries))
    with IndexedWriter(tmp_path / "ours", dtype) as writer:
        for document in documents:
            writer.add_document([t for s in document for t in s], [len(s) for s in document])
    for end in (".bin", ".idx"):
        assert Path(f"{tmp_path}/ours{end}").read_bytes() == Path(f"{tmp_path}/theirs{end}").read_bytes()


@given(documents=DOCUMENTS.filter(lambda d: any(d)), code=st.sampled_from([4, 8]))
@settings(max_examples=30)
def test_each_reads_what_the_other_wrote(megatron, tmp_path, documents, code):
    sequences = [s for document in documents for s in document]
    with IndexedWriter(tmp_path / "ours", DTYPES[code]) as writer:
        for document in documents:
            writer.add_document([t for s in document for t in s], [len(s) for s in document])
    theirs = megatron.IndexedDataset(str(tmp_path / "ours"))
    assert [theirs[i].tolist() for i in range(len(theirs))] == sequences
    assert theirs.document_indices.tolist() == IndexedDataset(tmp_path / "ours").bounds.tolist()
    del theirs
    write_theirs(megatron, tmp_path / "theirs", documents, np.int32 if code == 4 else np.uint16)
    assert [s.tolist() for s in IndexedDataset(tmp_path / "theirs")[:]] == sequences


def test_multimodal_files_are_read(megatron, tmp_path):
    import torch

    builder = megatron.IndexedDatasetBuilder(str(tmp_path / "m.bin"), dtype=np.int32, multimodal=True)
    builder.add_item(torch.tensor([1, 2]), 0)
    builder.add_item(torch.tensor([3]), 1)
    builder.end_document()
    builder.finalize(str(tmp_path / "m.idx"))
    data = IndexedDataset(tmp_path / "m")
    assert data.modes is not None
    assert data.modes.tolist() == [0, 1]
    assert data.document(0).tolist() == [1, 2, 3]


def test_merges_equal_megatrons_and_open_in_it(megatron, tmp_path):
    parts = [[[[1, 2], [3]], []], [[[4]], [[5, 6]]]]
    prefixes = [write_pair(tmp_path / f"p{i}", *mmididx(documents)) for i, documents in enumerate(parts)]
    builder = megatron.IndexedDatasetBuilder(str(tmp_path / "theirs.bin"), dtype=np.uint16)
    for prefix in prefixes:
        builder.add_index(prefix)
    builder.finalize(str(tmp_path / "theirs.idx"))
    merge(prefixes, tmp_path / "ours")
    for end in (".bin", ".idx"):
        assert Path(f"{tmp_path}/ours{end}").read_bytes() == Path(f"{tmp_path}/theirs{end}").read_bytes()


def test_a_real_megatron_file_reads_alike(megatron, real_data):
    prefix = real_data / "tokenizers" / "megatron_indexed_sample" / "meg-gpt2-openwebtext_text_document"
    ours, theirs = IndexedDataset(prefix), megatron.IndexedDataset(str(prefix))
    assert len(ours) == len(theirs)
    assert all(np.array_equal(ours[i], theirs[i]) for i in range(len(ours)))
