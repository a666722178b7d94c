"""What happens to gradients between the backward pass and the step: sums that are still missing, one norm, one factor."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from megadata.trainer.parallel.collectives import Group
from megadata.trainer.parallel.layout import Layout
from megadata.trainer.parallel.weights import Weight


def gather_gradients(weights: Sequence[Weight], layout: Layout) -> None:
    """Make the gradients of all local parts whole.

    FSDP has summed over data and context. Weights that each process of the tensor axis applies to its own tokens or heads have
    addends there; the two copies of a tied embedding, on the first and last stage, have one each.
    """
    for weight in weights:
        weight.take_gradient()
    if "tensor" in layout.groups:
        _sum([weight.local for weight in weights if weight.adds_up], layout.groups["tensor"])
    tied = layout.groups.get("tied", layout.groups.get("pipeline"))
    if tied is not None:
        _sum([weight.local for weight in weights if weight.tied], tied)


def gradient_norm(weights: Sequence[Weight], layout: Layout) -> float:
    """L2 norm of all gradients over all processes, each weight counted once; the same number everywhere."""
    mine = [weight.local.grad for weight in weights if weight.counted and weight.local.grad is not None]
    norm = torch.nn.utils.get_total_norm(mine).to(torch.float64)
    if layout.world == 1:
        return float(norm)
    return math.sqrt(float(layout.total(norm.square().to(layout.device))))


def scale_gradients(weights: Sequence[Weight], factor: float) -> None:
    """Multiply all gradients, in place."""
    if factor == 1.0:
        return
    for weight in weights:
        if weight.local.grad is not None:
            weight.local.grad.mul_(factor)


def clip_factor(norm: float, limit: float | None) -> float:
    """What scales gradients of `norm` down to `limit`; 1 where they are below it."""
    return 1.0 if limit is None else min(1.0, limit / (norm + 1e-6))


def _sum(locals_: list[Tensor], group: Group) -> None:
    """Sum gradients over a group, as one flat tensor per dtype."""
    grads = [local.grad for local in locals_ if local.grad is not None]
    for dtype in dict.fromkeys(grad.dtype for grad in grads):
        same = [grad for grad in grads if grad.dtype == dtype]
        flat = group.sum(torch.cat([grad.flatten() for grad in same]))
        for grad, part in zip(same, torch.split(flat, [grad.numel() for grad in same]), strict=True):
            grad.copy_(part.view(grad.shape))
