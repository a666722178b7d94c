"""The transformer block, options by config: GPT-2's, BERT's and the modern one are the same code.

Letters: B samples, T tokens, S tokens that can be seen (cache included), H features, N heads, D features of a head.
The dtype of the hidden states is the precision of the arithmetic: every layer casts its weights to it, so that fp32 master
weights give the same numbers on one process as under FSDP's mixed precision. Where processes share a layer, a weight is a DTensor
and the layer computes with its local part; the hidden states are plain tensors, and `Split` says what passes between processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from megadata.trainer.models.config import ModelConfig
from megadata.trainer.models.context import Context, local
from megadata.trainer.models.moe import MixtureOfExperts
from megadata.trainer.parallel.collectives import Split, gathered
from megadata.trainer.randomness import dropout, hash64

EXPLICIT_LENGTH = {torch.bfloat16: 512, torch.float32: 256, torch.float64: 256}
"""On a CPU, up to this many tokens, plain matrix products beat torch's fused attention (measured with torch 2.13)."""


class KeyValues:
    """The keys and values of one layer seen so far, in buffers made once."""

    def __init__(
        self, batch: int, heads: int, length: int, size: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.keys = torch.empty(batch, heads, length, size, dtype=dtype, device=device)
        self.values = torch.empty_like(self.keys)
        self.used = 0

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append (B, N, T, D) and return all that was appended so far."""
        stop = self.used + keys.shape[2]
        self.keys[:, :, self.used : stop] = keys
        self.values[:, :, self.used : stop] = values
        self.used = stop
        return self.keys[:, :, :stop], self.values[:, :, :stop]


class Linear(nn.Linear):
    """A linear layer that computes in the dtype of its input, with the part of its weight that lies here."""

    def forward(self, hidden: Tensor) -> Tensor:
        bias = None if self.bias is None else local(self.bias).to(hidden.dtype)
        return functional.linear(hidden, local(self.weight).to(hidden.dtype), bias)

    def closing(self, hidden: Tensor, split: Split) -> Tensor:
        """The layer that gives shared work back to the residual stream: products are summed first, the bias is added once."""
        if split.tensor is None:
            return self(hidden)  # type: ignore[no-any-return]
        out = split.close(functional.linear(hidden, local(self.weight).to(hidden.dtype)))
        return out if self.bias is None else out + self.bias.to(out.dtype)


class Norm(nn.Module):
    """LayerNorm (Ba et al. 2016, arXiv:1607.06450) or RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467)."""

    def __init__(self, config: ModelConfig, size: int | None = None, *, kind: str | None = None) -> None:
        super().__init__()
        self.size = config.hidden_size if size is None else size
        self.kind = config.normalization if kind is None else kind
        self.epsilon = config.norm_epsilon
        self.weight = nn.Parameter(torch.empty(self.size))
        has_bias = self.kind == "layernorm" and config.bias
        self.bias = nn.Parameter(torch.empty(self.size)) if has_bias else None

    def forward(self, hidden: Tensor) -> Tensor:
        weight = self.weight.to(hidden.dtype)
        if self.kind == "rmsnorm":
            return functional.rms_norm(hidden, (self.size,), weight, self.epsilon)
        bias = None if self.bias is None else self.bias.to(hidden.dtype)
        return functional.layer_norm(hidden, (self.size,), weight, bias, self.epsilon)


def never(dtype: torch.dtype) -> float:
    """Score of a token that must not be seen; finite, so that a row that sees nothing is not NaN."""
    return torch.finfo(dtype).min / 2


def visible_bias(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """Scores to add from a mask of what may be seen, (B or 1, T, S) -> (B or 1, 1, T, S)."""
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(~visible, never(dtype))[:, None]


def rotation(positions: Tensor, size: int, base: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines for positions (B or 1, T); angles are computed in float64, so that far positions stay exact."""
    steps = torch.arange(0, size, 2, dtype=torch.float64, device=positions.device) / size
    angles = positions.to(torch.float64)[:, None, :, None] * base**-steps
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(heads: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn feature d of the first half with feature d of the second (the convention of Llama's public weights)."""
    first, second = heads.chunk(2, dim=-1)
    cosine, sine = turn
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


def attend(query: Tensor, key: Tensor, value: Tensor, context: Context, p: float, site: int) -> Tensor:
    """Attention of query (B, N, T, D) over key and value (B, N, S, D); `p` drops probabilities while training."""
    drops = p > 0 and context.keys is not None
    length, seen = query.shape[2], key.shape[2]
    explicit = drops or (not query.is_cuda and seen <= EXPLICIT_LENGTH.get(query.dtype, 0))
    if not explicit:
        causal = context.causal and context.bias is None and length > 1
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=context.bias, is_causal=causal)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    bias = context.bias
    if bias is None and context.causal and length > 1:
        bias = torch.full((length, seen), never(query.dtype), dtype=query.dtype, device=query.device).triu_(1)
    if bias is not None:
        scores = scores + bias
    weights = torch.softmax(scores, dim=-1)
    if drops:
        weights = dropout(weights, p, context.keys, site, _score_rows(context, query.shape[1]))
    return weights @ value


def _score_rows(context: Context, heads: int) -> Tensor | None:
    """Numbers of the rows of attention scores that lie here: head * tokens + token; none where all do."""
    places, split = context.places, context.split
    if places is None:
        return None
    first = 0 if split.tensor is None else split.tensor.rank * heads
    length = places.numel() * (1 if split.context is None else split.context.size)
    numbers = torch.arange(first, first + heads, device=places.device)
    return (numbers[:, None] * length + places).flatten()


class Attention(nn.Module):
    """Multi-head attention, with grouped queries, RoPE, QK-norm and a cache where asked for."""

    def __init__(self, config: ModelConfig, name: str) -> None:
        super().__init__()
        width, self.head_size = config.hidden_size, config.head_size
        shared = config.kv_heads * config.head_size
        self.query = Linear(width, width, bias=config.bias)
        self.key = Linear(width, shared, bias=config.bias)
        self.value = Linear(width, shared, bias=config.bias)
        self.output = Linear(width, width, bias=config.bias)
        self.query_norm = Norm(config, self.head_size, kind="rmsnorm") if config.qk_norm else None
        self.key_norm = Norm(config, self.head_size, kind="rmsnorm") if config.qk_norm else None
        self.dropout = config.attention_dropout
        self.site = hash64(name, "probabilities")
        self.recompute = False

    def forward(self, hidden: Tensor, context: Context, cache: KeyValues | None = None) -> Tensor:
        split = context.split
        hidden = split.open(hidden)
        query, key, value = (self._heads(layer(hidden)) for layer in (self.query, self.key, self.value))
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        if context.rotation is not None:
            query, key = rotate(query, context.rotation), rotate(key, context.rotation)
        if cache is not None:
            key, value = cache.extend(key, value)
        key, value = (gathered(part, split.context, 2, summed=True) for part in (key, value))
        groups = query.shape[1] // key.shape[1]
        if groups > 1:
            key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
        inputs = query, key, value, context, self.dropout, self.site
        mixed = again(attend, *inputs) if self.recompute else attend(*inputs)
        return self.output.closing(mixed.transpose(1, 2).flatten(2), split)

    def _heads(self, features: Tensor) -> Tensor:
        batch, length, width = features.shape
        return features.view(batch, length, width // self.head_size, self.head_size).transpose(1, 2)


class FeedForward(nn.Module):
    """Two matrices around an activation, three with SwiGLU's gate."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activation = config.activation
        self.up = Linear(config.hidden_size, config.ffn_size, bias=config.bias)
        gated = config.activation == "swiglu"
        self.gate = Linear(config.hidden_size, config.ffn_size, bias=config.bias) if gated else None
        self.output = Linear(config.ffn_size, config.hidden_size, bias=config.bias)

    def forward(self, hidden: Tensor, context: Context) -> Tensor:
        hidden = context.split.open(hidden)
        inner = (
            activate(self.up(hidden), self.activation)
            if self.gate is None
            else functional.silu(self.gate(hidden)) * self.up(hidden)
        )
        return self.output.closing(inner, context.split)


def activate(features: Tensor, name: str) -> Tensor:
    """Apply the activation called `name`; ``gelu_tanh`` is GPT-2's approximation."""
    if name == "relu":
        return functional.relu(features)
    return functional.gelu(features, approximate="tanh" if name == "gelu_tanh" else "none")


def again(function: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """Call `function` without keeping what is inside; the backward pass calls it again."""
    out: Tensor = checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)  # dropout has no state
    return out


class Block(nn.Module):
    """Attention and feed-forward, each added to the residual stream; norms before (``pre``) or after (``post``)."""

    def __init__(self, config: ModelConfig, number: int) -> None:
        super().__init__()
        name = f"layers.{number}"
        self.post = config.norm_position == "post"
        self.dropout = config.dropout
        self.attention_norm = Norm(config)
        self.attention = Attention(config, f"{name}.attention")
        self.feed_forward_norm = Norm(config)
        mixed = config.mixes_experts(number)
        self.feed_forward = MixtureOfExperts(config, activate) if mixed else FeedForward(config)
        self.attention_site = hash64(name, "attention")
        self.feed_forward_site = hash64(name, "feed_forward")
        self.recompute = False

    def forward(self, hidden: Tensor, context: Context, cache: KeyValues | None = None) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return again(self._forward, hidden, context, cache)
        return self._forward(hidden, context, cache)

    def _forward(self, hidden: Tensor, context: Context, cache: KeyValues | None) -> Tensor:
        read = hidden if self.post else self.attention_norm(hidden)
        hidden = hidden + self._drop(self.attention(read, context, cache), context, self.attention_site)
        if self.post:
            hidden = self.attention_norm(hidden)
        read = hidden if self.post else self.feed_forward_norm(hidden)
        hidden = hidden + self._drop(self.feed_forward(read, context), context, self.feed_forward_site)
        out: Tensor = self.feed_forward_norm(hidden) if self.post else hidden
        return out

    def _drop(self, hidden: Tensor, context: Context, site: int) -> Tensor:
        return dropout(hidden, self.dropout, context.keys, site, context.rows)
