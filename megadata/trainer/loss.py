"""Cross-entropy from hidden states, in chunks: all logits are never held, and the gradient is made on the way forward.

Losses are sums; the trainer divides by the number of labels of the whole step over all processes, so that data parallelism,
accumulation, micro-batches and padding agree to the token.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from megadata.trainer.parallel.collectives import Group

CHUNK_ROWS = 1024
"""Rows whose logits are held at once: enough for fast products, few enough for the cache of a CPU."""
CHUNK_ELEMENTS = 1 << 25
"""Most logits held at once."""


class _LinearCrossEntropy(torch.autograd.Function):
    """Sum over rows of weight * cross-entropy(hidden @ table.T + bias, label)."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        table: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        weights: Tensor,
        vocabulary: int,
        softcap: float | None,
        first: int,
        group: Group | None,
    ) -> Tensor:
        needs_hidden, needs_table, needs_bias = ctx.needs_input_grad[:3]
        wide = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        matrix = table.to(hidden.dtype)
        total = torch.zeros((), dtype=wide, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if needs_hidden else None
        grad_table = torch.zeros(table.shape, dtype=wide, device=table.device) if needs_table else None
        grad_bias = torch.zeros(table.shape[0], dtype=wide, device=table.device) if needs_bias else None
        rows = max(1, min(CHUNK_ROWS, CHUNK_ELEMENTS // table.shape[0]))
        for start in range(0, hidden.shape[0], rows):
            part = slice(start, start + rows)
            read, target, weight = hidden[part], labels[part, None] - first, weights[part, None].to(wide)
            logits = output_logits(read, matrix, bias, vocabulary, softcap)
            if group is None:
                shares = torch.softmax(logits, 1, dtype=wide)
                # log(sum(exp)) by way of the likeliest entry: its share is at least 1 / V, so its logarithm is exact enough
                normalizer = logits.amax(1, keepdim=True).to(wide) - shares.amax(1, keepdim=True).log_()
                total += ((normalizer - logits.gather(1, target)) * weight).sum()
                label = -weight
            else:
                here = (target >= 0) & (target < logits.shape[1])
                target, label = target.where(here, 0), -weight * here
                shares, losses = _shared_softmax(logits, target, here, group, wide)
                total += (losses * weight).sum()
            if not (needs_hidden or needs_table or needs_bias):
                continue
            slope = shares.mul_(weight).scatter_add_(1, target, label)
            if softcap is not None:
                slope[:, :vocabulary] *= 1 - (logits[:, :vocabulary].to(wide) / softcap).square_()
            narrow = slope.to(hidden.dtype)
            if grad_hidden is not None:
                torch.mm(narrow, matrix, out=grad_hidden[part])
            if grad_table is not None:
                grad_table += narrow.t() @ read
            if grad_bias is not None:
                grad_bias += slope.sum(0)
        ctx.types = table.dtype, None if bias is None else bias.dtype
        ctx.save_for_backward(grad_hidden, grad_table, grad_bias)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_table, grad_bias = ctx.saved_tensors
        table_type, bias_type = ctx.types
        return (
            None if grad_hidden is None else (grad_hidden * grad[None, None]).to(grad_hidden.dtype),
            None if grad_table is None else (grad_table * grad).to(table_type),
            None if grad_bias is None else (grad_bias * grad).to(bias_type),
            *[None] * 6,
        )


def _shared_softmax(
    logits: Tensor, target: Tensor, here: Tensor, group: Group, wide: torch.dtype
) -> tuple[Tensor, Tensor]:
    """This process's part of the softmax over all parts of the vocabulary, and the loss of each row (Megatron's way)."""
    values = logits.to(wide)
    values = values - group.largest(values.amax(1, keepdim=True))
    answer = values.gather(1, target).where(here, 0)
    shares = values.exp_()
    sums = group.sum(torch.cat((shares.sum(1, keepdim=True), answer), 1))
    total = sums[:, :1]
    return shares.div_(total), total.log() - sums[:, 1:]


def linear_cross_entropy(
    hidden: Tensor,
    table: Tensor,
    labels: Tensor,
    weights: Tensor,
    *,
    vocabulary: int,
    bias: Tensor | None = None,
    softcap: float | None = None,
    first: int = 0,
    group: Group | None = None,
) -> Tensor:
    """Weighted sum of cross-entropies, in nats.

    Parameters
    ----------
    hidden : tensor, shape (R, H)
        Rows to predict from.
    table : tensor, shape (V, H)
        Output matrix; rows from `vocabulary` on only pad it.
    labels : int64 tensor, shape (R,)
        Right answers: numbers of entries of the vocabulary.
    weights : tensor, shape (R,)
        What each row counts; 0 leaves it out.
    first, group
        Entry that the first row of `table` stands for, and the processes that have the others. All see the same rows of
        `hidden`; each gets its own part of their gradient.

    Returns
    -------
    float32 (or float64) scalar
    """
    out: Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, table, bias, labels, weights, vocabulary, softcap, first, group
    )
    return out


def output_logits(
    hidden: Tensor, table: Tensor, bias: Tensor | None, vocabulary: int, softcap: float | None = None
) -> Tensor:
    """Logits (..., V) of hidden (..., H), those of the padding at minus infinity."""
    dtype = hidden.dtype
    logits = torch.nn.functional.linear(hidden, table.to(dtype), None if bias is None else bias.to(dtype))
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    if table.shape[0] > vocabulary:
        logits[..., vocabulary:] = float("-inf")
    return logits
