"""What the sidecars of several datasets say about their common vocabulary, or why they have none in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megadata.errors import ConfigError
from megadata.indexed.files import local_copy
from megadata.indexed.reader import IndexedDataset


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """The vocabulary that token ids belong to; None where no sidecar says it."""

    size: int | None = None
    """Number of entries; ids are below it."""
    eod: int | None = None
    """Id that ends a document."""
    padding: int | None = None
    """Id that fills rows of packed documents; None where no dataset is packed."""
    special_tokens: Mapping[str, int] = field(default_factory=dict)
    """Ids by role: bos, eod, cls, sep, mask, pad, unk."""
    word_starts: NDArray[np.bool_] | None = None
    """Does a token begin a word? Shape (size,)."""
    tokenizer_sha256: str | None = None
    """SHA-256 of the tokenizer's file."""
    tokenizer: Path | None = None
    """A copy of the tokenizer, beside one of the datasets."""

    def special(self, role: str) -> int:
        """The id of a special token, or `ConfigError` that names the role."""
        if role not in self.special_tokens:
            known = ", ".join(sorted(self.special_tokens)) or "none"
            raise ConfigError(
                f"the data's tokenizer has no {role!r} token (it has {known}); train it with the special tokens of BERT"
            )
        return self.special_tokens[role]


def common_vocabulary(datasets: Iterable[IndexedDataset]) -> Vocabulary:
    """The one vocabulary of all datasets.

    Raises
    ------
    ConfigError
        If two were written with different tokenizers, naming both.
    """
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for data in datasets:
        meta = data.meta
        if meta is None:
            continue
        found = {
            "tokenizer_sha256": meta.tokenizer_sha256,
            "size": meta.vocabulary_size,
            "eod": meta.eod,
            "padding": meta.padding,
            "special_tokens": dict(meta.special_tokens) or None,
        }
        for name, value in found.items():
            if value is None:
                continue
            if name in values and values[name] != value:
                raise ConfigError(
                    f"{data.prefix}: {name} is {value}, but {values[name]} in {origin[name]}; "
                    "datasets of one blend must be written with the same tokenizer"
                )
            values[name] = value
            origin.setdefault(name, data.prefix)
        if "word_starts" not in values and (starts := meta.word_starts()) is not None:
            values["word_starts"] = starts
        if "tokenizer" not in values and (path := local_copy(f"{data.prefix}.tokenizer.json")) is not None:
            values["tokenizer"] = path
    return Vocabulary(**values)
