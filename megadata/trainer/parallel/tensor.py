"""Which dimension of a weight the tensor axis shares; as DTensors, so that FSDP2 and checkpoints know the whole."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard

COLUMNS = ("attention.query", "attention.key", "attention.value", "feed_forward.up", "feed_forward.gate")
"""Layers whose outputs are shared: heads, or features inside the feed-forward."""
ROWS = ("attention.output", "feed_forward.output")
"""Layers whose inputs are shared, and whose outputs are summed."""
VOCABULARY = ("tokens.weight", "head.weight", "masked_token.bias")
"""Parameters with one row per entry of the vocabulary."""
HEADWISE = ("query_norm.weight", "key_norm.weight")
"""Parameters that every process has whole and applies to its own heads."""
ALIKE = ("masked_token.", "sentence_order.")
"""Modules that all processes of the tensor axis compute alike, on all tokens."""


EXPERTS = (".experts.up", ".experts.gate", ".experts.output")
"""Parameters with one matrix per expert."""


def shared_dimension(name: str) -> int | None:
    """The dimension of parameter `name` that the tensor axis shares; none where every process has all of it."""
    if name.endswith(EXPERTS):
        return 2 if name.endswith("output") else 1
    owner, _, kind = name.rpartition(".")
    if name in VOCABULARY or owner.endswith(COLUMNS):
        return 0
    return 1 if owner.endswith(ROWS) and kind == "weight" else None


def adds_up(name: str, sequence: bool) -> bool:
    """Whether each process of the tensor axis sees an addend of the gradient of a parameter it has whole."""
    return name.endswith(HEADWISE) or (sequence and not name.startswith(ALIKE))


def share_matrices(model: nn.Module, mesh: DeviceMesh, experts: DeviceMesh | None) -> None:
    """Keep this process's part of each shared parameter of a model without memory.

    Parameters
    ----------
    mesh, experts
        Meshes with an axis ``tensor``; that of the experts, where processes share them, with an axis ``expert`` beside it.
    """
    modules = dict(model.named_modules())
    for name, parameter in list(model.named_parameters()):
        dim = shared_dimension(name)
        owner, _, kind = name.rpartition(".")
        placements = {"tensor": Shard(dim)} if dim is not None and mesh["tensor"].size() > 1 else {}
        whole = mesh
        if experts is not None and name.endswith(EXPERTS):
            placements, whole = {"expert": Shard(0), **placements}, experts
        if placements:
            setattr(modules[owner], kind, nn.Parameter(_part(parameter, whole[tuple(placements)], placements)))


def _part(parameter: Tensor, mesh: DeviceMesh, placements: Mapping[str, Shard]) -> DTensor:
    shape = list(parameter.shape)
    for axis, placement in placements.items():
        shape[placement.dim] //= mesh[axis].size()
    part = torch.empty(shape, dtype=parameter.dtype, device="meta")
    return DTensor.from_local(part, mesh, list(placements.values()), run_check=False)
