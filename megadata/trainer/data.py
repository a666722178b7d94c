"""From a blend to batches: training samples, validation windows, and how many labels a batch holds. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from megadata.errors import ConfigError
from megadata.indexed.batch import Batch
from megadata.indexed.blend import Blend
from megadata.indexed.gpt import GptSamples
from megadata.indexed.infilling import Infilling
from megadata.indexed.loader import Loader, Sampled
from megadata.indexed.masking import SPECIALS, MaskedSamples, Masking, placed
from megadata.indexed.megatronsamples import MegatronSamples
from megadata.indexed.samples import Samples, SequentialSamples
from megadata.trainer.config import TrainConfig

Windows = Samples | MegatronSamples | SequentialSamples


@dataclass(frozen=True, kw_only=True)
class RunData:
    """The data of a run, opened: nothing is read before it is used."""

    config: TrainConfig
    samples: Sampled
    """Training samples."""
    validation: dict[str, Sampled]
    """Held-out windows by source."""
    vocabulary_size: int | None
    """Entries of the vocabulary, where the data says it."""
    tokenizer: Path | None
    """A copy of the tokenizer beside the data."""

    def loader(self, rank: int, world: int, prepare: Callable[[Batch], Batch] | None = None) -> Loader:
        """The batches of one process, each prepared ahead by `prepare`."""
        return Loader(self.samples, self.config.data.batch_size, rank, world, prepare=prepare)

    def windows(self, source: str, start: int, stop: int) -> Batch:
        """Validation windows start, ..., stop - 1 of a source as a batch."""
        return self.validation[source].batch(start, stop)


def open_data(config: TrainConfig, blend: Blend) -> RunData:
    """Open a blend as `config` wants it.

    Raises
    ------
    ConfigError
        If the blend has too little data for the run, or its tokenizer lacks what the model needs.
    IndexFormatError
        If a dataset is damaged.
    """
    masked = config.model.kind == "bert"
    length, size = config.data.sequence_length - (SPECIALS if masked else 0), config.data.batch_size
    windows, held_out_windows = blend.samples(length, count=config.trainer.steps * size), blend.validation(length)
    if config.data.document_mask and windows.vocabulary.eod is None:
        raise ConfigError(
            "data.document_mask needs the id that ends a document, and the data's sidecars do not say it; "
            "write them with `megadata verify --tokenizer T --write-meta`"
        )
    make = _masked if masked else _causal
    samples = make(windows, blend, config)
    held_out = {name: make(found, blend, config) for name, found in held_out_windows.items()}
    if samples.total is not None and samples.total < config.trainer.steps * size:
        raise ConfigError(
            f"{blend.origin}: gives {samples.total} samples, the run needs {config.trainer.steps * size} (trainer.steps "
            f"{config.trainer.steps} x data.batch_size {size}); lower trainer.steps, or raise max_epochs or order.samples"
        )
    vocabulary = samples.vocabulary
    return RunData(
        config=config,
        samples=samples,
        validation=held_out,
        vocabulary_size=vocabulary.size,
        tokenizer=vocabulary.tokenizer,
    )


def label_counts(batch: Batch, kind: str) -> list[float]:
    """What the sums of the model's losses are divided by, in their order: labels of a batch by kind."""
    labels = float(batch.loss_mask.sum(dtype=np.float64))
    if kind == "gpt":
        return [labels]
    return [labels, 0.0 if batch.is_swapped is None else float(len(batch))]


def document_numbers(batch: Batch) -> NDArray[np.int64] | None:
    """Number of each token's document within its sample, (B, L); none where every sample is one document."""
    lengths = batch.document_lengths
    size, length = batch.input_ids.shape
    if lengths.shape[1] == 1 and bool((lengths == length).all()):
        return None
    rest = length - lengths.sum(axis=1, keepdims=True)
    numbers = np.tile(np.arange(lengths.shape[1] + 1, dtype=np.int64), size)
    return np.repeat(numbers, np.concatenate((lengths, rest), axis=1).ravel()).reshape(size, length)


def _masked(windows: Windows, blend: Blend, config: TrainConfig) -> Sampled:
    data = config.data
    masking = Masking(probability=data.mask_probability, unit=data.mask_unit, pairs=data.pairs)
    return MaskedSamples(placed(windows), seed=blend.seed, masking=masking)


def _causal(windows: Windows, blend: Blend, config: TrainConfig) -> Sampled:
    """Training windows are rearranged for infilling, held-out ones are not."""
    data = config.data
    infilling = (
        Infilling(rate=data.infilling) if data.infilling and isinstance(windows, (Samples, MegatronSamples)) else None
    )
    return GptSamples(windows, document_aware=data.document_mask, infilling=infilling, seed=blend.seed)
