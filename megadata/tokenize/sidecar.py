"""What a tokenizer says about the token ids of a dataset, for its sidecar."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from megadata.indexed.format import tokenizer_path
from megadata.indexed.meta import Meta, pack_bits
from megadata.tokenize.load import load_tokenizer
from megadata.tokenize.tokenizer import Tokenizer


def vocabulary_of(tokenizer: Tokenizer) -> Meta:
    """A sidecar that knows the vocabulary and nothing of any dataset."""
    return Meta(
        vocabulary_size=tokenizer.vocabulary_size,
        eod=tokenizer.eod,
        special_tokens=dict(tokenizer.special),
        tokenizer_sha256=tokenizer.sha256,
        word_start=pack_bits(tokenizer.word_start),
    )


@contextmanager
def adopt_tokenizer(path: Path | str | None, prefix: Path | str, save: bool = True) -> Iterator[Meta | None]:
    """What the tokenizer at `path` says; with `save` its copy lies beside the dataset PREFIX when the block ends well."""
    if path is None:
        yield None
        return
    tokenizer = load_tokenizer(path)
    yield dataclasses.replace(vocabulary_of(tokenizer), tokenizer_path=tokenizer_path(prefix).name)
    if save:
        tokenizer.save(tokenizer_path(prefix))
