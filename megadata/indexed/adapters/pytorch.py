"""Samples as `torch.utils.data` datasets: one by one from a map, or as batches of a loader with its state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from megadata.errors import ConfigError
from megadata.indexed.adapters.mapped import MappedSamples, Windows
from megadata.indexed.batch import Batch
from megadata.indexed.loader import Loader

if TYPE_CHECKING:
    from torch.utils.data import Dataset, IterableDataset

FIELDS = ("input_ids", "labels", "loss_mask", "position_ids")
OPTIONAL = ("token_type_ids", "is_swapped")
"""Fields of a batch that only BERT has."""


def torch_dataset(samples: Windows, length: int | None = None, *, shifted: bool = True) -> Dataset[dict[str, Any]]:
    """A map-style dataset whose items are ``{"input_ids": (L,), "labels": (L,)}``, int64 tensors.

    The order is that of the blend, so give a `DataLoader` no shuffling; it may have any number of workers, forked or spawned.

    Parameters
    ----------
    samples : Samples, MegatronSamples or SequentialSamples
    length : int, optional
        Number of items; by default all samples where they end, else one pass over all sources.
    shifted : bool
        Whether ``labels[i]`` is the token after ``input_ids[i]``. False for models of `transformers`, which shift them
        themselves: labels are then the inputs, and the last label of a window is not used.
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
            return _again, (self.mapped.samples, self.mapped.length, self.mapped.shifted)

    return BlendDataset(MappedSamples.of(samples, length, shifted))


def _again(samples: Windows, length: int, shifted: bool) -> Dataset[dict[str, Any]]:
    return torch_dataset(samples, length, shifted=shifted)


def torch_batches(
    loader: Loader, batches: int | None = None, *, pin_memory: bool | None = None
) -> IterableDataset[dict[str, Any]]:
    """The batches of a loader as tensors: an iterable dataset with a state.

    Iterate over it as it is, or give it to a `DataLoader` or a torchdata `StatefulDataLoader` with ``batch_size=None`` and any
    number of workers: worker w of W makes each W-th batch, so batches come in the loader's order. `state_dict` and
    `load_state_dict` are those of the loader with the batches that were taken since. Iterated over again it goes on in the blend,
    but for workers, who begin at the loader's position each time.

    Parameters
    ----------
    loader : Loader
        Its rank, world, position and options hold. Without workers its prefetching thread works ahead.
    batches : int, optional
        How many batches there are, which is then its length; by default as many as the loader gives.
    pin_memory : bool, optional
        Whether tensors lie in pinned memory; by default where CUDA is there and no worker makes them.

    Returns
    -------
    torch.utils.data.IterableDataset
        Of mappings with the fields of `Batch` as tensors; ``document_lengths`` where samples have more than one document.
    """
    import torch
    from torch.utils.data import IterableDataset, get_worker_info

    if batches is not None and batches < 0:
        raise ConfigError(f"adapter: batches must not be negative, got {batches}")

    class BatchStream(IterableDataset[dict[str, Any]]):
        """Batches as tensors, from the loader's position on."""

        def __init__(self) -> None:
            self.loader = loader
            self.taken = 0
            """Batches that this process gave since the loader's position."""

        def __reduce__(self) -> tuple[Any, ...]:
            return torch_batches, (loader, batches), {"taken": self.taken}, None, None

        def __iter__(self) -> Iterator[dict[str, Any]]:
            worker = get_worker_info()
            number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
            pin = torch.cuda.is_available() if pin_memory is None and worker is None else bool(pin_memory)
            first, size, total = self.loader.position, self.loader.batch_size, self.loader.samples.total
            ahead = Loader.__new__(Loader)
            ahead.__dict__.update(self.loader.__getstate__())
            while True:
                at = self.taken * workers + number
                position = first + at * size
                if (batches is not None and at >= batches) or (total is not None and position + size > total):
                    ahead.close()
                    if workers == 1:  # what is iterated over next goes on behind these
                        self.loader.position += self.taken * size
                        self.loader.step += self.taken
                    self.taken = 0
                    return
                if workers == 1:
                    ahead.position = position
                    found = next(ahead)
                else:
                    found = self.loader.batch_at(position)
                self.taken += 1
                yield {name: t.pin_memory() if pin else t for name, t in _tensors(found).items()}

        def state_dict(self) -> dict[str, Any]:
            return {**self.loader.state_dict(), "taken": self.taken}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.loader.load_state_dict({key: value for key, value in state.items() if key != "taken"})
            self.taken = state["taken"]

    class SizedBatchStream(BatchStream):
        """A stream that knows its number of batches."""

        def __len__(self) -> int:
            return batches or 0

    return BatchStream() if batches is None else SizedBatchStream()


def _tensors(batch: Batch) -> dict[str, Any]:
    """The arrays of a batch as tensors that may be written to."""
    import torch

    arrays = {name: getattr(batch, name) for name in FIELDS}
    arrays |= {name: value for name in OPTIONAL if (value := getattr(batch, name)) is not None}
    if batch.document_lengths.shape[1] > 1:
        arrays["document_lengths"] = batch.document_lengths
    return {name: torch.from_numpy(np.require(array, requirements="W")) for name, array in arrays.items()}
