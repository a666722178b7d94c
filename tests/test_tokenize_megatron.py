"""Megatron-core reads what `tokenize` writes, and its own writer, given the same documents, writes the same bytes."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from oracles_tokenize import corpus, ids_of, sized_tokenizer, small_tokenizer, write_jsonl

from megadata.runtime.settings import RunSettings
from megadata.tokenize.config import TokenizeConfig
from megadata.tokenize.sentences import split_sentences
from megadata.tokenize.step import tokenize

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

RECORDS = [*corpus(60), {"id": "one", "text": "x"}, {"id": "none", "text": ""}]
TEXT_OF = {record["id"]: record["text"] for record in RECORDS}


@pytest.fixture(scope="module")
def megatron():
    return pytest.importorskip("megatron.core.datasets.indexed_dataset")


def written(folder, tokenizer, **config):
    file = write_jsonl(folder / "a.jsonl", RECORDS)
    tokenize([file], folder / "web", tokenizer, TokenizeConfig(**config), RunSettings(workers=1))
    return folder / "web", pq.read_table(folder / "web.docs.parquet")["id"].to_pylist()


def test_megatron_reads_equal_tokens(tmp_path, megatron):
    prefix, ids = written(tmp_path, small_tokenizer())
    data = megatron.IndexedDataset(str(prefix))
    texts = [TEXT_OF[own] for own in ids if TEXT_OF[own]]
    assert len(data) == len(texts)
    for number, text in enumerate(texts):
        assert data[number].tolist() == [*ids_of(small_tokenizer(), text), small_tokenizer().eod]
    assert data.document_indices.size == len(ids) + 1


@pytest.mark.parametrize("size", [65_499, 65_500, 65_536, 65_537])
@pytest.mark.parametrize("sentences", [False, True])
def test_megatrons_own_writer_writes_the_same_bytes(tmp_path, megatron, size, sentences):
    tokenizer = sized_tokenizer(size)
    prefix, ids = written(tmp_path, tokenizer, dtype="megatron", sentences=sentences)
    dtype = megatron.DType.optimal_dtype(size)
    builder = megatron.IndexedDatasetBuilder(str(tmp_path / "peer.bin"), dtype=dtype)
    language = {record["id"]: record.get("metadata", {}).get("language", "en") for record in RECORDS}
    for own in ids:
        pieces = split_sentences(TEXT_OF[own], language[own]) if sentences else [TEXT_OF[own]]
        sequences = [ids_of(tokenizer, piece) for piece in pieces if piece]
        if sequences:
            sequences[-1].append(tokenizer.eod)
        tokens = [token for sequence in sequences for token in sequence]
        builder.add_document(np.array(tokens, dtype), [len(sequence) for sequence in sequences])
    builder.finalize(str(tmp_path / "peer.idx"))
    for ending in (".bin", ".idx"):
        assert (tmp_path / f"peer{ending}").read_bytes() == prefix.with_name(f"web{ending}").read_bytes()
