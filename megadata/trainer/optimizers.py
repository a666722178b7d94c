"""Optimizers by name, their weight-decay groups, clipping, and their state by parameter name."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from megadata.trainer.config import OptimizerConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer of `config` over all parameters; matrices and embeddings decay, vectors do not.

    To be called after the model was sharded: the optimizer holds the parameters as they are now.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.beta1, fused=True)
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.epsilon, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give all groups the learning rate of the coming step."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """L2 norm of all gradients over all processes; a scalar."""
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def clip(parameters: Iterable[Tensor], limit: float, norm: Tensor) -> None:
    """Scale gradients of the given norm down to `limit` where they are above it."""
    torch.nn.utils.clip_grads_with_norm_(list(parameters), limit, norm)


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


def state_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State the size of a parameter, by ``<parameter name>.<state name>``."""
    return {name: value for name, value in _state(model, optimizer).items() if value.dim() > 0}


def state_scalars(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """State that is one number (such as Adam's step), by ``<parameter name>.<state name>``."""
    return {name: float(value) for name, value in _state(model, optimizer).items() if value.dim() == 0}


def restore_scalars(model: nn.Module, optimizer: torch.optim.Optimizer, scalars: dict[str, float]) -> None:
    """Set what `state_scalars` gave."""
    state = _state(model, optimizer)
    for name, value in scalars.items():
        if name in state:
            state[name].fill_(value)


def _state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }
