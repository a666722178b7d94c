"""Checkpoints: torch.distributed.checkpoint with safetensors storage, read into any layout; no pickle.

Tensors are keyed by parameter name; what lies where is told in `checkpointfiles`. A checkpoint is written under a temporary name,
synced and renamed: it is whole or not there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from megadata import formats
from megadata.errors import TrainingError
from megadata.runtime.files import atomic_write, digest_file, explain, sync_folder, write_json
from megadata.trainer.checkpointfiles import POINTER, Checkpoint, newest_first
from megadata.trainer.optimizers import prime, restore_scalars, state_scalars, state_tensors
from megadata.trainer.parallel.layout import Layout
from megadata.trainer.parallel.sharding import local_part
from megadata.trainer.parallel.weights import Weight
from megadata.trainer.randomness import fingerprint

T = TypeVar("T")


def save_checkpoint(
    folder: Path,
    step: int,
    weights: Sequence[Weight],
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    layout: Layout,
    *,
    keep: int,
) -> Path:
    """Write the checkpoint of `step` and remove all but the `keep` newest; every process calls it.

    Raises
    ------
    OutputError
        If the disk is full or the folder cannot be written.
    """
    target = folder / f"step-{step:08d}"
    temporary = folder / f".{target.name}.tmp"
    try:
        if layout.leads:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        layout.barrier()
        mine = [weight for weight in weights if weight.counted]
        parts = {
            "model": {weight.name: weight.parameter.detach() for weight in mine},
            "optimizer": state_tensors(mine, optimizer),
        }
        tensors: dict[str, str] = {}
        for name, part in parts.items():
            _write(temporary / name, part, layout)
            tensors |= {f"{name}.{key}": digest for key, digest in fingerprints(part, layout).items()}
        scalars = _merged(layout.gather(state_scalars(mine, optimizer)))
        files = _digest_files(temporary, layout)
        if layout.leads:
            content = {"step": step, **state, "scalars": scalars, "tensors": tensors, "files": files}
            write_json(temporary / "state.json", formats.stamp("checkpoint", content))
            sync_folder(temporary)
            shutil.rmtree(target, ignore_errors=True)
            temporary.rename(target)
            sync_folder(folder)
            with atomic_write(folder / POINTER) as pointer:
                pointer.write(target.name.encode() + b"\n")
            _prune(folder, keep)
    except OSError as error:
        raise explain(error, target) from error
    layout.barrier()
    return target


def load_weights(checkpoint: Checkpoint, *models: nn.Module, alone: bool = True) -> None:
    """Fill the models' parameters, sharded or not: the stages of a process, or one whole model."""
    tensors = {name: parameter.detach() for model in models for name, parameter in model.named_parameters()}
    _read(checkpoint.path / "model", tensors, alone)


def load_optimizer(
    checkpoint: Checkpoint, weights: Sequence[Weight], optimizer: torch.optim.Optimizer, *, alone: bool = True
) -> None:
    """Fill the optimizer's state; a run whose steps were all skipped has none."""
    if not any(name.startswith("optimizer.") for name in checkpoint.fingerprints):
        return
    prime(optimizer)
    _read(checkpoint.path / "optimizer", state_tensors(weights, optimizer), alone)
    restore_scalars(weights, optimizer, dict(checkpoint.state["scalars"]))


def fingerprints(tensors: Mapping[str, Tensor], layout: Layout) -> dict[str, str]:
    """A digest of each tensor of all processes, in hexadecimal, equal for every layout; every process calls it with its parts."""
    totals: dict[str, int] = {}
    for sums in layout.gather({name: _fingerprint(tensor) for name, tensor in tensors.items()}):
        for name, value in sums.items():
            totals[name] = totals.get(name, 0) + value
    return {name: f"{value & (2**64 - 1):016x}" for name, value in sorted(totals.items())}


def _fingerprint(tensor: Tensor) -> int:
    local, part = local_part(tensor)
    return fingerprint(local, *part.runs(tuple(local.shape)))


def _merged(mappings: Iterable[Mapping[str, T]]) -> dict[str, T]:
    return {key: value for mapping in mappings for key, value in mapping.items()}


@contextlib.contextmanager
def _one_process_is_meant() -> Iterator[None]:
    """Torch warns of every checkpoint that a process writes or reads without a process group."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)
        yield


def _write(folder: Path, tensors: dict[str, Tensor], layout: Layout) -> None:
    if layout.leads:
        folder.mkdir()
    layout.barrier()
    if not any(layout.gather(bool(tensors))):
        return
    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    with _one_process_is_meant():
        save(tensors, storage_writer=writer, no_dist=layout.world == 1)


def _read(folder: Path, tensors: dict[str, Tensor], alone: bool) -> None:
    if not tensors:
        return
    try:
        with _one_process_is_meant():
            load(tensors, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=alone)
    except (RuntimeError, ValueError, CheckpointException) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise TrainingError(
            f"{folder}: this checkpoint does not fit the model ({reason}); train with the configuration it was written with"
        ) from error


def _digest_files(folder: Path, layout: Layout) -> dict[str, str]:
    """Sync and digest the files of all processes, shared out among them."""
    layout.barrier()
    files = sorted(path for path in folder.glob("*/*") if path.is_file())
    mine: dict[str, str] = {}
    for path in files[layout.rank :: layout.world]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        mine[str(path.relative_to(folder))] = digest_file(path)
    if layout.leads:
        for part in folder.iterdir():
            sync_folder(part)
    return dict(sorted(_merged(layout.gather(mine)).items()))


def _prune(folder: Path, keep: int) -> None:
    for path in list(newest_first(folder))[keep:]:
        shutil.rmtree(path, ignore_errors=True)
    for leftover in folder.glob(".step-*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
