"""FSDP2 over the data and context axes, and which part of a parameter lies here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from megadata.trainer.models.layers import Block
from megadata.trainer.models.moe import MixtureOfExperts
from megadata.trainer.models.trunk import Trunk
from megadata.trainer.parallel.layout import Layout
from megadata.trainer.parallel.tensor import share_matrices


@dataclass(frozen=True)
class Part:
    """A block of a tensor: where it begins, and how large the whole is."""

    offset: tuple[int, ...]
    whole: tuple[int, ...]

    def runs(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """The block, of `shape`, in the flattened whole: its first element, the length of a run, from run to run.

        At most one dimension after the first is cut.
        """
        strides = [math.prod(self.whole[dim + 1 :]) for dim in range(len(self.whole))]
        start = sum(offset * stride for offset, stride in zip(self.offset, strides, strict=True))
        cut = next((dim for dim in range(1, len(shape)) if shape[dim] != self.whole[dim]), None)
        if cut is None:
            return start, 1, 1
        return start, shape[cut] * strides[cut], strides[cut - 1]


def spread(model: Trunk, layout: Layout) -> None:
    """Lay a model without memory on the processes: matrices over the tensor axis, all of it over data and context (FSDP2).

    Experts that lie on one process of an expert group are cut over those that hold the same.

    Blocks travel in the dtype of the arithmetic; embeddings, head and the norms around them in fp32. Gradients are summed, never
    averaged: the loss is already divided by the labels of all processes, and gloo's average is a sum (pytorch#162338). Within a
    pipeline weights stay gathered between the micro-batches of a step.
    """
    axes = layout.axes
    model.split = layout.split
    if layout.mesh is None:
        return
    share_matrices(model, layout.mesh, layout.expert_mesh)
    if axes.data * axes.context == 1:
        return
    names = ("shard",) if axes.replicate == 1 else ("replicate", "shard")
    mesh = layout.mesh[names]
    narrow = model.compute_dtype in (torch.bfloat16, torch.float16)
    blocks = MixedPrecisionPolicy(
        param_dtype=model.compute_dtype if narrow else None,
        reduce_dtype=torch.float32 if narrow else None,
        cast_forward_inputs=False,
    )
    for block in model.layers.values():
        assert isinstance(block, Block)
        if layout.expert_mesh is not None and isinstance(block.feed_forward, MixtureOfExperts):
            experts = layout.expert_mesh[names]
            fully_shard(
                block.feed_forward.experts, mesh=experts, mp_policy=blocks, reshard_after_forward=axes.pipeline == 1
            )
        fully_shard(block, mesh=mesh, mp_policy=blocks, reshard_after_forward=axes.pipeline == 1)
    fully_shard(
        model,
        mesh=mesh,
        mp_policy=MixedPrecisionPolicy(cast_forward_inputs=False),
        reshard_after_forward=False,
    )
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
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def local_part(parameter: Tensor) -> tuple[Tensor, Part]:
    """The block of a parameter that lies here, and where it lies in the whole."""
    shape = tuple(parameter.shape)
    if not isinstance(parameter, DTensor):
        return parameter, Part((0,) * len(shape), shape)
    mesh, extent, offset = parameter.device_mesh, list(shape), [0] * len(shape)
    # FSDP cuts what the tensor axis, the last of the mesh, has left
    for axis in reversed(range(mesh.ndim)):
        dim = getattr(parameter.placements[axis], "dim", None)
        if dim is None:
            continue
        chunk = -(-extent[dim] // mesh.size(axis))
        first = min(chunk * mesh.get_local_rank(axis), extent[dim])
        offset[dim] += first
        extent[dim] = min(chunk, extent[dim] - first)
    return parameter.to_local(), Part(tuple(offset), shape)
