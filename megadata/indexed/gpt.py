"""Samples for next-token prediction: windows as batches, with document borders, packed rows and infilling."""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megadata.errors import ConfigError
from megadata.indexed.batch import Batch, gpt_batch
from megadata.indexed.infilling import ROLES, Infilling, infill
from megadata.indexed.order import I64, mix64, seed64
from megadata.indexed.samples import Numbered, Samples, SequentialSamples
from megadata.indexed.stream import TokenRange
from megadata.indexed.vocabulary import Vocabulary


class Tokens(Numbered, Protocol):
    """Windows of tokens: `Samples`, `SequentialSamples`."""

    def take(self, samples: ArrayLike) -> I64:
        """The windows of the given numbers as int64 tokens, shape (N, L + 1)."""


class GptSamples:
    """Batches for next-token prediction over the windows of `samples`; pure functions of (data, seed, k).

    Rows of packed sources are always document-aware: no token sees or predicts another document.

    Parameters
    ----------
    samples : Samples or SequentialSamples
    document_aware, mask_eod_loss : bool
        Options of `gpt_batch`; off, as GPT-2 was trained.
    eod : int, optional
        Id that ends a document, where the sidecars do not say it.
    infilling : Infilling, optional
        How documents are rearranged to learn to fill in the middle; by default they are not.
    seed : int
        Keys what infilling draws.

    Raises
    ------
    ConfigError
        If an option or a packed source needs an EOD that is not known, or the vocabulary lacks a token of infilling.
    """

    def __init__(
        self,
        samples: Tokens,
        *,
        document_aware: bool = False,
        mask_eod_loss: bool = False,
        eod: int | None = None,
        infilling: Infilling | None = None,
        seed: int = 0,
    ) -> None:
        self.samples = samples
        self.document_aware = document_aware
        self.mask_eod_loss = mask_eod_loss
        self.eod = samples.vocabulary.eod if eod is None else eod
        self.infilling = infilling
        self.seed = seed
        self._packed: NDArray[np.bool_] = np.array(
            [s.stream.row is not None for s in getattr(samples, "sources", ())], np.bool_
        )
        if infilling is not None:
            for role in ROLES:
                samples.vocabulary.special(role)
        if self.eod is None and self._packed.any() and samples.vocabulary.padding is not None:
            self.eod = -1  # rows without ends of documents: padding alone is known
        if self.eod is None and (document_aware or mask_eod_loss or infilling is not None or self._packed.any()):
            raise ConfigError(
                "document-aware batches, packed rows and infilling need the id that ends a document, and the data's sidecars "
                "do not say it; give eod, or write the sidecar with `megadata verify --tokenizer T --write-meta`"
            )

    @property
    def sequence_length(self) -> int:
        """Tokens of a sample, the label of the last not counted."""
        return self.samples.sequence_length

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the tokens."""
        return self.samples.vocabulary

    @property
    def total(self) -> int | None:
        """How many samples there are; None where nothing ends them."""
        return self.samples.total

    def __getitem__(self, k: int) -> Batch:
        """Sample `k`, as a batch of one."""
        return self.take([k])

    def ranges(self, k: int) -> tuple[TokenRange, ...]:
        """The tokens of datasets that sample `k` covers, before any infilling."""
        found: tuple[TokenRange, ...] = cast(Samples, self.samples).ranges(k)
        return found

    def showing(self, source: str, start: int, stop: int, before: int) -> I64:
        """As `Samples.showing`."""
        return cast(Samples, self.samples).showing(source, start, stop, before)

    def batch(self, start: int, stop: int) -> Batch:
        """Samples start, ..., stop - 1."""
        return self.take(np.arange(start, stop, dtype=np.int64))

    def take(self, samples: ArrayLike) -> Batch:
        """The samples of the given numbers."""
        numbers = np.asarray(samples, np.int64).reshape(-1)
        tokens = self.samples.take(numbers)
        packed = None
        if self.eod is not None and self._packed.any() and isinstance(self.samples, (Samples, SequentialSamples)):
            packed = self._packed[self.samples.places(numbers)[0]]
            tokens[packed, -1] = self.eod
        if self.infilling is not None and self.eod is not None:
            keys = mix64(seed64(self.seed), numbers.astype(np.uint64))
            tokens = infill(tokens, keys, self.infilling, self.vocabulary, self.eod)
        return gpt_batch(
            tokens,
            eod=self.eod,
            document_aware=self.document_aware,
            mask_eod_loss=self.mask_eod_loss,
            packed=packed,
            padding=self.vocabulary.padding,
        )
