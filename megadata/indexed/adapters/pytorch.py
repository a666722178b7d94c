"""Samples as a `torch.utils.data.Dataset`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from megadata.indexed.adapters.mapped import MappedSamples
from megadata.indexed.samples import Samples, SequentialSamples

if TYPE_CHECKING:
    from torch.utils.data import Dataset


def torch_dataset(samples: Samples | SequentialSamples, length: int | None = None) -> Dataset[dict[str, Any]]:
    """A map-style dataset whose items are ``{"input_ids": (L,), "labels": (L,)}``, int64 tensors, already shifted.

    The order is that of the blend, so give a `DataLoader` no shuffling; it may have any number of workers, forked or spawned.

    Parameters
    ----------
    samples : Samples or SequentialSamples
    length : int, optional
        Number of items; by default all samples where they end, else one pass over all sources.
    """
    import torch
    from torch.utils.data import Dataset

    class BlendDataset(Dataset[dict[str, Any]]):
        """Inputs and labels of each sample."""

        def __init__(self, mapped: MappedSamples) -> None:
            self.mapped = mapped

        def __len__(self) -> int:
            return len(self.mapped)

        def __getitem__(self, k: int) -> dict[str, Any]:
            inputs, labels = self.mapped.one(k)
            return {"input_ids": torch.from_numpy(inputs), "labels": torch.from_numpy(labels)}

        def __getitems__(self, samples: list[int]) -> list[dict[str, Any]]:
            inputs, labels = (torch.from_numpy(part) for part in self.mapped.many(samples))
            return [{"input_ids": i, "labels": label} for i, label in zip(inputs, labels, strict=True)]

        def __reduce__(self) -> tuple[Any, ...]:
            return torch_dataset, (self.mapped.samples, self.mapped.length)

    return BlendDataset(MappedSamples.of(samples, length))
