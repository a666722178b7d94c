"""Samples as a sequence of a fixed length, which map-style datasets want."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from megadata.errors import ConfigError
from megadata.indexed.megatronsamples import MegatronSamples
from megadata.indexed.order import I64
from megadata.indexed.samples import Samples, SequentialSamples

Windows = Samples | MegatronSamples | SequentialSamples


@dataclass(frozen=True, slots=True)
class MappedSamples:
    """The first `length` samples: inputs and labels, one at a time or many at once."""

    samples: Windows
    length: int
    shifted: bool = True
    """Whether label i is the token after input i; else it is input i."""

    @staticmethod
    def of(samples: Windows, length: int | None = None, shifted: bool = True) -> MappedSamples:
        """As many samples as asked for; by default all where they end, else one pass over all sources."""
        total = samples.total
        if length is None:
            length = total if total is not None else samples.epoch if isinstance(samples, Samples) else 0
        if length < 1 or (total is not None and length > total):
            raise ConfigError(f"adapter: {length} samples asked for, there are {'endless' if total is None else total}")
        return MappedSamples(samples, length, shifted)

    def __len__(self) -> int:
        return self.length

    def one(self, k: int) -> tuple[I64, I64]:
        """Inputs and labels of sample `k`, each of shape (L,)."""
        position = k + self.length if k < 0 else k
        if not 0 <= position < self.length:
            raise IndexError(f"sample {k} asked for, there are {self.length}")
        tokens = self.samples[position]
        return tokens[:-1], tokens[1:] if self.shifted else tokens[:-1].copy()

    def many(self, samples: Sequence[int]) -> tuple[I64, I64]:
        """Inputs and labels of the samples of the given numbers, each of shape (N, L)."""
        tokens = self.samples.take(samples)
        return tokens[:, :-1], tokens[:, 1:] if self.shifted else tokens[:, :-1].copy()
