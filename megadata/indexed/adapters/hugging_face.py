"""Samples as a `datasets.IterableDataset`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from megadata.indexed.adapters.mapped import MappedSamples, Windows

SHARD = 1024
"""Samples that one worker of a `DataLoader` takes together."""


def hf_dataset(samples: Windows, length: int | None = None, *, shifted: bool = True) -> Any:
    """A Hugging Face iterable dataset with columns ``input_ids`` and ``labels``, lists of L integers.

    Parameters
    ----------
    samples : Samples, MegatronSamples or SequentialSamples
    length : int, optional
        Number of rows; by default all samples where they end, else one pass over all sources.
    shifted : bool
        As of `torch_dataset`; False for `transformers.Trainer`.
    """
    import datasets

    mapped = MappedSamples.of(samples, length, shifted)
    shards = [(start, min(start + SHARD, len(mapped))) for start in range(0, len(mapped), SHARD)]
    tokens = datasets.Sequence(datasets.Value("int64"))
    features = datasets.Features({"input_ids": tokens, "labels": tokens})
    return datasets.IterableDataset.from_generator(
        _rows, features=features, gen_kwargs={"mapped": mapped, "shards": shards}
    )


def _rows(mapped: MappedSamples, shards: list[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    for start, stop in shards:
        for k in range(start, stop):
            inputs, labels = mapped.one(k)
            yield {"input_ids": inputs, "labels": labels}
