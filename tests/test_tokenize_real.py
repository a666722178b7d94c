"""Ids of real documents: what `tokenize` would write for each equals what `tokenizers` gives for the whole document."""

from __future__ import annotations

import numpy as np
import pytest
from oracles_tokenize import library_of

from megadata.documents.inputs import expand, plan, read_unit
from megadata.documents.source import Problems, ReadOptions
from megadata.tokenize.encode import choose_encoder
from megadata.tokenize.load import load_tokenizer

FOLDERS = {
    "books": "text",
    "eval": ".",
    "jsonl": "text",
    "messy": "text",
    "wikipedia": "text",
    "web": "text",
    "web_debian": "text",
}
"""Folders of real data, and the field of their records that is read as text (`.`: the whole record)."""
TOKENIZERS = {
    "gpt2_hf_fast/gpt2_tokenizer.json": "gigatoken",
    "gpt2_hf/gpt2_vocab.json": "gigatoken",
    "gpt2": "gigatoken",
    "gpt-neox-20b/allenai_gpt-neox-olmo-dolma-v1_5.json": "gigatoken",
    "megatron_indexed_sample/gpt2-tiny-vocab.json": "gigatoken",
    "tiktoken/r50k_base.tiktoken": "gigatoken",
    "tiktoken/cl100k_base.tiktoken": "gigatoken",
    "tiktoken/o200k_base.tiktoken": "gigatoken",
    "qwen/qwen.tiktoken": "gigatoken",
    "llama3/tokenizer.model": "gigatoken",
    "bert-base-uncased/vocab.txt": "tokenizers",
    "sentencepiece/sentencepiece.model": "tokenizers",
}
"""Each tokenizer there is, and what encodes with it."""


@pytest.fixture(scope="module")
def documents(real_data):
    """All documents, in groups of some megabytes."""
    groups, held, size = [], [], 0
    for folder, field in FOLDERS.items():
        for unit in plan(expand([str(real_data / folder)]).files):
            for batch in read_unit(unit, ReadOptions(text_field=field), Problems()):
                held += [text for text in batch.texts if text]
                size += int(batch.sizes.sum())
                if size > 4 << 20:
                    groups.append(held)
                    held, size = [], 0
    return [*groups, held]


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_ids_of_every_real_document_equal_those_of_tokenizers(real_data, documents, name):
    tokenizer = load_tokenizer(real_data / "tokenizers" / name)
    choice = choose_encoder(tokenizer)
    assert choice.name == TOKENIZERS[name], choice.reason
    library = library_of(tokenizer)
    written = [token["content"] for token in tokenizer.document["added_tokens"]] if tokenizer.kind == "Unigram" else []
    seen = 0
    for group in documents:  # a Unigram model takes special tokens in text for pieces: `tokenize` does not
        texts = [text for text in group if not any(token in text for token in written)]
        raw = [text.encode() for text in texts]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(one) for one in raw])])
        ids, lengths = tokenizer.encode_batch(np.frombuffer(b"".join(raw), np.uint8), offsets, choice.name)
        truth = library.encode_batch_fast(texts, add_special_tokens=False)
        assert lengths.tolist() == [len(one.ids) for one in truth]
        assert np.array_equal(ids, np.concatenate([np.array(one.ids, np.uint32) for one in truth]))
        seen += len(texts)
    assert seen > 170_000


def test_every_tokenizer_of_the_real_data_is_compared(real_data):
    files = [path for path in (real_data / "tokenizers").rglob("*") if path.is_file()]
    beside = ("merges.txt", "vocab.bpe", "encoder.json", "README.md", ".bin", ".idx", ".sh")
    named = {name for name in TOKENIZERS if name != "gpt2"}
    found = {str(p.relative_to(real_data / "tokenizers")) for p in files if not p.name.endswith(beside)}
    assert found == named
