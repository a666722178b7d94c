"""From token ids to last hidden states: what GPT and BERT share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from megadata.trainer.models.config import ModelConfig
from megadata.trainer.models.layers import Block, Context, KeyValues, Norm, rotation, visible_bias
from megadata.trainer.randomness import dropout, hash64

EMBEDDING_SITE = hash64("embedding")


class Trunk(nn.Module):
    """Embeddings, blocks and the norm around them.

    Blocks live in a dictionary by number, so that a pipeline stage that keeps a few of them keeps their names.
    """

    causal: bool
    losses: tuple[str, ...]
    """Names of the sums that `forward` returns when it is given labels."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        width = config.hidden_size
        self.tokens = nn.Embedding(config.padded_vocabulary, width)
        learned = config.positions == "learned"
        self.positions = nn.Embedding(config.max_position_embeddings, width) if learned else None
        self.segments = nn.Embedding(config.type_vocab_size, width) if config.type_vocab_size else None
        self.norm = Norm(config)
        self.layers = nn.ModuleDict({str(i): Block(config, f"layers.{i}") for i in range(config.num_layers)})

    def hidden_states(
        self,
        tokens: Tensor,
        *,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        documents: Tensor | None = None,
        visible: Tensor | None = None,
        keys: Tensor | None = None,
        cache: list[KeyValues] | None = None,
    ) -> Tensor:
        """Last hidden states (B, T, H) of tokens (B, T).

        Parameters
        ----------
        tokens : int64 tensor, shape (B, T)
        positions : int64 tensor, shape (B or 1, T)
            Place of each token; none counts from the cache's end.
        segments : int64 tensor, shape (B, T)
            BERT's segments; none is all 0.
        documents : int64 tensor, shape (B, T)
            Tokens see only tokens of the same number.
        visible : bool tensor, shape (B or 1, T, S)
            What each token sees, instead of the causal triangle and of `documents`.
        keys : int64 tensor, shape (B,)
            Dropout keys; none drops nothing.
        cache
            Keys and values of each layer so far; extended by this call.
        """
        length = tokens.shape[1]
        before = cache[0].used if cache else 0
        if positions is None:
            positions = torch.arange(before, before + length, device=tokens.device)[None]
        hidden = self._embed(tokens, positions, segments)
        if self.config.norm_position == "post":
            hidden = self.norm(hidden)
        hidden = dropout(hidden, self.config.dropout, keys, EMBEDDING_SITE)
        turn = None
        if self.config.positions == "rope":
            turn = rotation(positions, self.config.head_size, self.config.rope_base, hidden.dtype)
        if visible is None:
            visible = self._visible(documents, length, before, tokens.device)
        bias = None if visible is None else visible_bias(visible, hidden.dtype)
        context = Context(rotation=turn, bias=bias, causal=self.causal, keys=keys)
        for number, block in enumerate(self.layers.values()):
            hidden = block(hidden, context, cache[number] if cache else None)
        return self.norm(hidden) if self.config.norm_position == "pre" else hidden

    def new_cache(self, batch: int, length: int) -> list[KeyValues]:
        """Empty caches for `batch` sequences of up to `length` tokens, one a layer."""
        config, device = self.config, self.tokens.weight.device
        return [
            KeyValues(batch, config.kv_heads, length, config.head_size, self.compute_dtype, device)
            for _ in range(config.num_layers)
        ]

    def _embed(self, tokens: Tensor, positions: Tensor, segments: Tensor | None) -> Tensor:
        hidden = functional.embedding(tokens, self.tokens.weight)
        if self.positions is not None:
            hidden = hidden + functional.embedding(positions, self.positions.weight)
        if self.segments is not None:
            kinds = torch.zeros_like(tokens) if segments is None else segments
            hidden = hidden + functional.embedding(kinds, self.segments.weight)
        return hidden.to(self.compute_dtype)

    def _visible(self, documents: Tensor | None, length: int, before: int, device: torch.device) -> Tensor | None:
        """The mask, or none where the causal triangle (or everything) is what it would say."""
        same = None if documents is None else documents[:, :, None] == documents[:, None, :]
        if not self.causal:
            return same
        if same is None and (before == 0 or length == 1):
            return None
        triangle = torch.ones(length, before + length, dtype=torch.bool, device=device).tril_(before)[None]
        return triangle if same is None else same & triangle
