"""Which dimension of a weight the tensor axis shares; as DTensors, so that FSDP2 and checkpoints know the whole."""

from __future__ import annotations

import torch
from torch import nn
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


def shared_dimension(name: str) -> int | None:
    """The dimension of parameter `name` that the tensor axis shares; none where every process has all of it."""
    owner, _, kind = name.rpartition(".")
    if name in VOCABULARY or owner.endswith(COLUMNS):
        return 0
    return 1 if owner.endswith(ROWS) and kind == "weight" else None


def adds_up(name: str, sequence: bool) -> bool:
    """Whether each process of the tensor axis sees an addend of the gradient of a parameter it has whole."""
    return name.endswith(HEADWISE) or (sequence and not name.startswith(ALIKE))


def share_matrices(model: nn.Module, mesh: DeviceMesh) -> None:
    """Keep this process's part of each shared parameter of a model without memory."""
    modules = dict(model.named_modules())
    for name, parameter in list(model.named_parameters()):
        dim = shared_dimension(name)
        if dim is None:
            continue
        shape = list(parameter.shape)
        shape[dim] //= mesh.size()
        part = torch.empty(shape, dtype=parameter.dtype, device="meta")
        whole = DTensor.from_local(part, mesh, [Shard(dim)], run_check=False)
        owner, _, kind = name.rpartition(".")
        setattr(modules[owner], kind, nn.Parameter(whole))
