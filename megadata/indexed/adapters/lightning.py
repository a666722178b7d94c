"""A blend as a Lightning `LightningDataModule`."""

from __future__ import annotations

from typing import Any

from megadata.indexed.adapters.pytorch import torch_batches, torch_dataset
from megadata.indexed.blend import Blend
from megadata.indexed.loader import Loader


def lightning_data(
    blend: Blend, sequence_length: int, batch_size: int, steps: int, *, document_aware: bool = False
) -> Any:
    """Training batches in the blend's order and the validation windows of its sources, for `lightning.Trainer.fit`.

    Each process takes its part of the global batch. Training goes on at the right batch when Lightning restores a checkpoint,
    with any number of processes. Items are as of `torch_batches` for training and as of `torch_dataset` for validation, where
    each source is a dataloader of its own, in the order of the blend.

    Parameters
    ----------
    blend : Blend
    sequence_length : int
        Tokens of a sample.
    batch_size : int
        Samples of the global batch, over all processes.
    steps : int
        Batches of the run, which Lightning takes for an epoch.
    document_aware : bool
        As of `Loader`.
    """
    import lightning
    from torch.utils.data import DataLoader

    class BlendData(lightning.LightningDataModule):  # type: ignore[misc]
        """Made by `lightning_data`."""

        def __init__(self) -> None:
            super().__init__()
            self.samples = blend.samples(sequence_length, count=steps * batch_size)

        def _world(self) -> tuple[int, int]:
            return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

        def train_dataloader(self) -> Any:
            rank, world = self._world()
            loader = Loader(self.samples, batch_size, rank, world, document_aware=document_aware)
            return torch_batches(loader, steps)

        def val_dataloader(self) -> list[Any]:
            _, world = self._world()
            return [
                DataLoader(torch_dataset(windows), batch_size=-(-batch_size // world))
                for windows in blend.validation(sequence_length).values()
            ]

    return BlendData()
