"""Optimizers by name, their weight-decay groups, and their state by parameter name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from megadata.trainer.config import OptimizerConfig
from megadata.trainer.parallel.weights import Weight


def build_optimizer(weights: Sequence[Weight], config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer of `config` over the local parts of all weights; matrices and embeddings decay, vectors do not.

    Adam and SGD work element by element, so that what they do to the parts is what they would do to the whole; they never see a
    DTensor, whose lists may not mix meshes.
    """
    groups = [
        {"params": [w.local for w in weights if w.parameter.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [w.local for w in weights if w.parameter.dim() <= 1], "weight_decay": 0.0},
    ]
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.beta1, fused=True)
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.epsilon, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give all groups the learning rate of the coming step."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def prime(optimizer: torch.optim.Optimizer) -> None:
    """Make the optimizer allocate its state, by one step of rate 0 on zero gradients, so that a checkpoint can fill it."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


def state_tensors(weights: Sequence[Weight], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State the size of a weight, laid out as the weight is, by ``<parameter name>.<state name>``."""
    return {
        f"{w.name}.{key}": _like(value, w.parameter)
        for w in weights
        for key, value in _state(w, optimizer).items()
        if value.dim() > 0
    }


def state_scalars(weights: Sequence[Weight], optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """State that is one number (such as Adam's step), by ``<parameter name>.<state name>``."""
    return {
        f"{w.name}.{key}": float(value)
        for w in weights
        for key, value in _state(w, optimizer).items()
        if value.dim() == 0
    }


def restore_scalars(weights: Sequence[Weight], optimizer: torch.optim.Optimizer, scalars: dict[str, float]) -> None:
    """Set what `state_scalars` gave."""
    for w in weights:
        for key, value in _state(w, optimizer).items():
            if value.dim() == 0 and f"{w.name}.{key}" in scalars:
                value.fill_(scalars[f"{w.name}.{key}"])


def _state(weight: Weight, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    found = optimizer.state.get(weight.local, {})
    return {key: value for key, value in found.items() if isinstance(value, Tensor)}


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    if not isinstance(parameter, DTensor):
        return value
    return DTensor.from_local(
        value,
        parameter.device_mesh,
        parameter.placements,
        run_check=False,
        shape=parameter.shape,
        stride=parameter.stride(),
    )
