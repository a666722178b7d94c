"""Mixture of experts in GShard's manner (Lepikhin et al. 2020, arXiv:2006.16668): tokens go to one or two of many feed-forwards.

Capacity and the balance loss are counted over a sequence, GShard's group, so that neither micro-batches nor processes change
them: the router's logits are gathered over the processes that share a sequence, and all of those decide alike.
Letters: B samples, T tokens, H features, E experts, K experts of a token, M assignments, each a row that goes to an expert.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from megadata.trainer.models.config import ModelConfig
from megadata.trainer.models.context import Context, local
from megadata.trainer.parallel.collectives import Group, exchanged, gathered


class _Attach(torch.autograd.Function):
    """`hidden` as it is; on the way back `losses` are differentiated too, as if each had been added times its factor."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, losses: Tensor, factors: Tensor) -> Tensor:
        ctx.save_for_backward(factors)
        return hidden.view_as(hidden)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        return grad, ctx.saved_tensors[0], None


class Experts(nn.Module):
    """Feed-forwards side by side, without biases; where processes share them, those that lie here."""

    def __init__(self, config: ModelConfig, activate: Callable[[Tensor, str], Tensor]) -> None:
        super().__init__()
        count, width, ffn = config.experts, config.hidden_size, config.ffn_size
        self.activation, self.activate = config.activation, activate
        self.up = nn.Parameter(torch.empty(count, ffn, width))
        self.gate = nn.Parameter(torch.empty(count, ffn, width)) if config.activation == "swiglu" else None
        self.output = nn.Parameter(torch.empty(count, width, ffn))

    def forward(self, rows: Tensor, counts: list[int]) -> Tensor:
        """Rows (M, H) through their experts: the first counts[0] through the first that lies here, and so on."""
        up, output = (local(weight).to(rows.dtype).unbind(0) for weight in (self.up, self.output))
        gate = None if self.gate is None else local(self.gate).to(rows.dtype).unbind(0)
        out = []
        for number, part in enumerate(rows.split(counts)):  # type: ignore[no-untyped-call]
            inner = functional.linear(part, up[number])
            if gate is None:
                inner = self.activate(inner, self.activation)
            else:
                inner = functional.silu(functional.linear(part, gate[number])) * inner
            out.append(functional.linear(inner, output[number]))
        return torch.cat(out)


class MixtureOfExperts(nn.Module):
    """Router and experts, in the place of a feed-forward."""

    def __init__(self, config: ModelConfig, activate: Callable[[Tensor, str], Tensor]) -> None:
        super().__init__()
        self.count, self.chosen, self.capacity_factor = config.experts, config.experts_per_token, config.capacity_factor
        self.factors = config.balance_loss, config.router_loss
        self.router = nn.Linear(config.hidden_size, config.experts, bias=False)
        self.experts = Experts(config, activate)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        split = context.split
        wide = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        logits = functional.linear(hidden.to(wide), self.router.weight)
        logits = gathered(split.rejoin(logits), split.context, 1, summed=False)
        shares = torch.softmax(logits, -1)
        gates, experts = shares.topk(self.chosen, -1)  # (B, T, K)
        if self.chosen > 1:
            gates = gates / gates.sum(-1, keepdim=True)
        hidden = self._attach_losses(hidden, logits, shares, experts, context)
        kept = self._within_capacity(experts)
        rows = split.open(hidden)
        gates = split.copy(split.mine(gates)).flatten()
        choices = split.mine(experts).flatten()
        (assigned,) = split.mine(kept).flatten().nonzero(as_tuple=True)
        assigned = assigned[choices[assigned].argsort(stable=True)]  # by expert, tokens in order
        tokens = assigned.div(self.chosen, rounding_mode="floor")
        flat = rows.flatten(0, 1)
        counts = torch.bincount(choices[assigned], minlength=self.count)
        made = self._through(flat.index_select(0, tokens), counts, split.expert)
        made = made * gates[assigned][:, None].to(made.dtype)
        mixed = torch.zeros_like(flat).index_add(0, tokens, made).view(rows.shape)
        return split.close(mixed)

    def _within_capacity(self, experts: Tensor) -> Tensor:
        """Which choices (B, T, K) their experts have room for: first choices in the order of tokens, then second ones."""
        if self.capacity_factor is None:
            return torch.ones_like(experts, dtype=torch.bool)
        batch, length, chosen = experts.shape
        room = math.ceil(chosen * length * self.capacity_factor / self.count)
        ordered = experts.transpose(1, 2).flatten(1)  # (B, K * T)
        before = functional.one_hot(ordered, self.count).cumsum(1).gather(2, ordered[..., None])[..., 0] - 1
        return (before < room).view(batch, chosen, length).transpose(1, 2)

    def _attach_losses(
        self, hidden: Tensor, logits: Tensor, shares: Tensor, experts: Tensor, context: Context
    ) -> Tensor:
        """Sums over samples of the balance loss (Fedus et al. 2021, arXiv:2101.03961, eq. 4) and the router's z loss
        (Zoph et al. 2022, arXiv:2202.08906, eq. 5)."""
        first = functional.one_hot(experts[..., 0], self.count).to(shares.dtype)
        balance = self.count * (first.mean(1) * shares.mean(1)).sum()
        flat = torch.logsumexp(logits, -1).square().mean(1).sum()
        losses = torch.stack((balance, flat))
        context.auxiliary.append(losses.detach())
        if not torch.is_grad_enabled():
            return hidden
        factors = losses.new_tensor(self.factors) * context.auxiliary_scale
        out: Tensor = _Attach.apply(hidden, losses, factors)  # type: ignore[no-untyped-call]
        return out

    def _through(self, rows: Tensor, counts: Tensor, group: Group | None) -> Tensor:
        """Rows sorted by expert, `counts` of each, through all experts; other processes have some of them."""
        if group is None:
            made: Tensor = self.experts(rows, counts.tolist())
            return made
        sent = counts.view(group.size, -1)
        got = group.exchange(sent)  # of each process for each expert here
        sizes, back = sent.sum(1).tolist(), got.sum(1).tolist()
        arrived = exchanged(rows, group, sizes, back)
        numbers = torch.arange(got.shape[1], device=rows.device).repeat(group.size).repeat_interleave(got.flatten())
        order = numbers.argsort(stable=True)
        made = self.experts(arrived.index_select(0, order), got.sum(0).tolist())
        return exchanged(made.index_select(0, order.argsort()), group, back, sizes)
