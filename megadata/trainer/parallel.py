"""Processes and how the model lies on them: process group, device mesh, sharding, sums over processes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Shard

from megadata.trainer.models.trunk import Trunk


@dataclass(frozen=True, kw_only=True)
class Layout:
    """This process's place among all of them."""

    rank: int = 0
    """Number of this process."""
    world: int = 1
    """Number of processes."""
    device: torch.device
    """Where this process computes."""
    mesh: DeviceMesh | None = None
    """Axes of the layout; none for a process alone."""

    @property
    def leads(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.mesh is not None:
            dist.barrier()

    def total(self, values: Tensor) -> Tensor:
        """Sum of `values` over processes, in place."""
        if self.mesh is not None:
            dist.all_reduce(values)
        return values

    def from_leader(self, value: str) -> str:
        """Text that the first process has."""
        if self.mesh is None:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: dict[str, str]) -> dict[str, str]:
        """The union of all processes' mappings."""
        if self.mesh is None:
            return value
        boxes: list[dict[str, str]] = [{} for _ in range(self.world)]
        dist.all_gather_object(boxes, value)
        return {key: item for box in boxes for key, item in box.items()}


@contextmanager
def layout_of(
    *, rank: int, world: int, local_rank: int, device: str, timeout: float, store: Path | None
) -> Iterator[Layout]:
    """Join the other processes; leaves the group when the block ends.

    Parameters
    ----------
    local_rank
        Number of this process on its machine: which GPU it takes.
    device
        ``cpu`` or ``cuda``.
    timeout
        Seconds a collective may wait.
    store
        A file all processes of one machine meet in; none: torchrun's environment variables.
    """
    place = torch.device("cuda", local_rank) if device == "cuda" else torch.device("cpu")
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if world == 1:
        yield Layout(device=place)
        return
    if store is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # names of hosts need not resolve
    meeting = None if store is None else dist.FileStore(str(store), world)  # type: ignore[attr-defined]
    backend = "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=meeting, rank=rank, world_size=world, timeout=timedelta(seconds=timeout))
    try:
        mesh = init_device_mesh(place.type, (world,), mesh_dim_names=("data",))
        yield Layout(rank=rank, world=world, device=place, mesh=mesh)
    finally:
        dist.destroy_process_group()


def shard(model: Trunk, layout: Layout) -> None:
    """Shard parameters, gradients and optimizer states over the data axis (FSDP2); a process alone keeps all.

    Blocks travel in the dtype of the arithmetic; embeddings, head and the norms around them in fp32. Gradients are summed, never
    averaged: the loss is already divided by the labels of all processes, and gloo's average is a sum (pytorch#162338).
    """
    if layout.mesh is None:
        return
    narrow = model.compute_dtype in (torch.bfloat16, torch.float16)
    blocks = MixedPrecisionPolicy(
        param_dtype=model.compute_dtype if narrow else None,
        reduce_dtype=torch.float32 if narrow else None,
        cast_forward_inputs=False,
    )
    for block in model.layers.values():
        fully_shard(block, mesh=layout.mesh, mp_policy=blocks, reshard_after_forward=True)
    fully_shard(model, mesh=layout.mesh, mp_policy=MixedPrecisionPolicy(cast_forward_inputs=False))
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def reduce_gradients(model: nn.Module, wanted: bool) -> None:
    """Whether the coming backward pass sums gradients over processes: only an accumulation's last one does."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(wanted)


def free_gathered(model: nn.Module) -> None:
    """Drop parameters gathered by a forward pass that no backward pass followed; until then the model shows them as whole."""
    if isinstance(model, FSDPModule):
        model.reshard()


def local_part(parameter: Tensor) -> tuple[Tensor, int]:
    """The slice of a parameter that lies here, and where it starts in the flattened whole."""
    if not isinstance(parameter, DTensor):
        return parameter, 0
    mesh, local = parameter.device_mesh, parameter.to_local()
    row = 0
    rows = parameter.shape[0]
    for axis, placement in enumerate(parameter.placements):
        if isinstance(placement, Shard):
            if placement.dim != 0:
                raise ValueError(f"a parameter sharded over dimension {placement.dim} has no single start")
            chunk = -(-rows // mesh.size(axis))
            first = min(chunk * mesh.get_local_rank(axis), rows)
            row, rows = row + first, min(chunk, rows - first)
    return local, row * math.prod(parameter.shape[1:])
