"""Processes and the axes they lie on: process groups, device mesh, sums over all processes.

Rank = ((((pipeline * replicate) + replica) * shard + s) * context + c) * tensor + t: neighbours share matrices, far ones layers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from megadata.trainer.layouts import ALONE, Axes
from megadata.trainer.parallel.collectives import Group, Split

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """This process's place among all of them."""

    rank: int = 0
    """Number of this process."""
    device: torch.device
    """Where this process computes."""
    axes: Axes = ALONE
    """Sizes of the axes."""
    mesh: DeviceMesh | None = None
    """Axes ``replicate``, ``shard`` (context parts among them) and ``tensor`` of this stage; none for a process alone."""
    expert_mesh: DeviceMesh | None = None
    """Axes ``replicate``, ``shard``, ``expert`` and ``tensor`` of this stage, where processes share the experts."""
    groups: dict[str, Group] = field(default_factory=dict)
    """Processes that differ from this one along one axis only; axes of size 1 are left out."""

    @property
    def world(self) -> int:
        """Number of processes."""
        return self.axes.world

    @property
    def leads(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def place(self, axis: str) -> int:
        """This process's number along an axis: pipeline, replicate, shard, context or tensor."""
        group = self.groups.get(axis)
        return 0 if group is None else group.rank

    @property
    def data_rank(self) -> int:
        """Which part of each batch this process works on."""
        return self.place("replicate") * self.axes.shard + self.place("shard")

    @property
    def speaks(self) -> bool:
        """Whether this process is the one that counts its part of the batch: the others of its part hold the same samples."""
        return self.place("pipeline") == self.place("context") == self.place("tensor") == 0

    @property
    def split(self) -> Split:
        """How layers are shared."""
        return Split(
            tensor=self.groups.get("tensor"),
            sequence=self.axes.sequence,
            context=self.groups.get("context"),
            expert=self.groups.get("expert"),
        )

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            dist.barrier()

    def total(self, values: Tensor) -> Tensor:
        """Sum of `values` over processes, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def gather(self, value: T) -> list[T]:
        """What every process has, in their order."""
        if self.world == 1:
            return [value]
        boxes: list[Any] = [None] * self.world
        dist.all_gather_object(boxes, value)
        return boxes


def from_leader(value: str) -> str:
    """Text that the first process has; all that have joined call it."""
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


@contextmanager
def joined(*, rank: int, world: int, device: torch.device, timeout: float, store: Path | None) -> Iterator[None]:
    """Join the other processes; leaves the group when the block ends.

    Parameters
    ----------
    timeout
        Seconds a collective may wait.
    store
        A file all processes of one machine meet in; none: torchrun's environment variables.
    """
    if world == 1:
        yield
        return
    if store is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # names of hosts need not resolve
    meeting = None if store is None else dist.FileStore(str(store), world)  # type: ignore[attr-defined]
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=meeting, rank=rank, world_size=world, timeout=timedelta(seconds=timeout))
    try:
        yield
    finally:
        dist.destroy_process_group()


def lay_out(axes: Axes, *, rank: int, device: torch.device, timeout: float) -> Layout:
    """Make the groups of every axis; every process calls it after it has joined."""
    if axes.world == 1:
        return Layout(device=device)
    numbers = torch.arange(axes.world).view(axes.pipeline, axes.replicate, axes.shard, axes.context, axes.tensor)
    make = _Groups(rank, timeout)
    names = ("pipeline", "replicate", "shard", "context", "tensor")
    groups = {name: make(numbers, dim) for dim, name in enumerate(names)}
    if axes.pipeline > 2:
        groups["tied"] = make(numbers[[0, -1]], 0)
    flat = numbers.flatten(2, 3)
    inner = [groups["replicate"], make(flat, 2), groups["tensor"]]
    stage = flat[groups["pipeline"].rank]
    mesh = DeviceMesh.from_group(
        [group.handle for group in inner], device.type, stage, mesh_dim_names=("replicate", "shard", "tensor")
    )
    expert_mesh = None
    if axes.expert > 1:
        apart = flat.view(*flat.shape[:2], -1, axes.expert, axes.tensor)
        groups["expert"] = make(apart, 3)
        inner = [groups["replicate"], make(apart, 2), groups["expert"], groups["tensor"]]
        stage = apart[groups["pipeline"].rank]
        expert_mesh = DeviceMesh.from_group(
            [group.handle for group in inner],
            device.type,
            stage,
            mesh_dim_names=("replicate", "shard", "expert", "tensor"),
        )
    return Layout(
        expert_mesh=expert_mesh,
        rank=rank,
        device=device,
        axes=axes,
        mesh=mesh,
        groups={name: group for name, group in groups.items() if group.size > 1},
    )


class _Groups:
    """Process groups by the ranks in them, each made once; only its members meet to make it."""

    def __init__(self, rank: int, timeout: float) -> None:
        self.rank, self.timeout = rank, timedelta(seconds=timeout)
        self.made: dict[tuple[int, ...], Group] = {}

    def __call__(self, numbers: Tensor, dim: int) -> Group:
        """The processes that differ from this one along dimension `dim` of `numbers`; itself where it is not among them."""
        found = (numbers == self.rank).nonzero()
        ranks: tuple[int, ...] = (self.rank,)
        if len(found):
            index: list[int | slice] = found[0].tolist()
            index[dim] = slice(None)
            ranks = tuple(numbers[tuple(index)].tolist())
        if ranks not in self.made:
            handle = dist.new_group(list(ranks), timeout=self.timeout, use_local_synchronization=True)
            self.made[ranks] = Group(handle, ranks.index(self.rank), len(ranks))
        return self.made[ranks]
