"""From token ids to last hidden states: what GPT and BERT share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from megadata.trainer.models.config import ModelConfig
from megadata.trainer.models.context import Context, local
from megadata.trainer.models.layers import Block, KeyValues, Norm, rotation, visible_bias
from megadata.trainer.parallel.collectives import ALONE
from megadata.trainer.randomness import dropout, hash64

EMBEDDING_SITE = hash64("embedding")


class Trunk(nn.Module):
    """Embeddings, blocks and the norm around them.

    Blocks live in a dictionary by number, so that a pipeline stage that keeps a few of them keeps their names. A stage that is
    not the first reads hidden states instead of tokens, one that is not the last gives hidden states back; neither has what it
    does not use.
    """

    causal: bool
    losses: tuple[str, ...]
    """Names of the sums that `forward` returns when it is given labels."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        self.split = ALONE
        self.first = self.last = True
        self.auxiliary_scale = 0.0
        """What routers' losses are multiplied by: 1 over the samples of a step, times the scale of the loss."""
        self.auxiliary: Tensor | None = None
        """Sums of the routers' balance and z losses of the forward passes so far, (2,)."""
        width = config.hidden_size
        self.tokens = nn.Embedding(config.padded_vocabulary, width)
        learned = config.positions == "learned"
        self.positions = nn.Embedding(config.max_position_embeddings, width) if learned else None
        self.segments = nn.Embedding(config.type_vocab_size, width) if config.type_vocab_size else None
        self.norm = Norm(config)
        self.layers = nn.ModuleDict({str(i): Block(config, i) for i in range(config.num_layers)})

    def keep_stage(self, layers: range, *, first: bool, last: bool) -> None:
        """Become a stage of a pipeline: these layers, and at the ends what stands before and after them."""
        self.first, self.last = first, last
        for name in [name for name in self.layers if int(name) not in layers]:
            del self.layers[name]
        if not first:
            self.positions = self.segments = None
            if not (last and self.config.tied):
                del self.tokens
        if not (last if self.config.norm_position == "pre" else first):
            del self.norm
        if not last:
            self.drop_heads()

    def drop_heads(self) -> None:
        """Lose what reads the last hidden states."""

    def recompute(self, what: str, every: int) -> None:
        """Make activations of every k-th block again in the backward pass: ``none``, ``attention`` or ``block``."""
        for name, block in self.layers.items():
            assert isinstance(block, Block)
            chosen = int(name) % every == 0
            block.recompute = chosen and what == "block"
            block.attention.recompute = chosen and what == "attention"

    def hidden_states(
        self,
        inputs: Tensor,
        *,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        documents: Tensor | None = None,
        visible: Tensor | None = None,
        keys: Tensor | None = None,
        cache: list[KeyValues] | None = None,
    ) -> Tensor:
        """Hidden states (B, T, H) after the last block of this stage, of which those that lie here are given.

        Parameters
        ----------
        inputs : int64 tensor, shape (B, T), or hidden states of the stage before
            Tokens, all of them in every process that shares them.
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
        split, device = self.split, inputs.device
        length = inputs.shape[1] * (1 if self.first else split.parts)
        before = cache[0].used if cache else 0
        if positions is None:
            positions = torch.arange(before, before + length, device=device)[None]
        numbers = torch.arange(length, device=device)[None]
        rows = None if split.parts == 1 else split.residual(numbers)[0]
        hidden = inputs
        if self.first:
            hidden = self._embed(inputs, positions, segments)
            if self.config.norm_position == "post":
                hidden = self.norm(hidden)
            hidden = dropout(hidden, self.config.dropout, keys, EMBEDDING_SITE, rows)
        turn = None
        if self.config.positions == "rope":
            turn = rotation(split.mine(positions), self.config.head_size, self.config.rope_base, hidden.dtype)
        if visible is None:
            visible = self._visible(documents, length, before, device)
        bias = None if visible is None else visible_bias(visible, hidden.dtype)
        alone = split.tensor is None and split.context is None
        places = None if alone else split.mine(numbers)[0]
        context = Context(
            rotation=turn,
            bias=bias,
            causal=self.causal,
            keys=keys,
            split=split,
            rows=rows,
            places=places,
            auxiliary_scale=self.auxiliary_scale,
        )
        for number, block in enumerate(self.layers.values()):
            hidden = block(hidden, context, cache[number] if cache else None)
        if context.auxiliary:
            losses = torch.stack(context.auxiliary).sum(0)
            self.auxiliary = losses if self.auxiliary is None else self.auxiliary + losses
        return self.norm(hidden) if self.last and self.config.norm_position == "pre" else hidden

    def new_cache(self, batch: int, length: int) -> list[KeyValues]:
        """Empty caches for `batch` sequences of up to `length` tokens, one a layer."""
        config, device = self.config, self.tokens.weight.device
        return [
            KeyValues(batch, config.kv_heads, length, config.head_size, self.compute_dtype, device)
            for _ in range(config.num_layers)
        ]

    def _embed(self, tokens: Tensor, positions: Tensor, segments: Tensor | None) -> Tensor:
        split = self.split
        hidden = self._look_up(split.mine(tokens))
        if self.positions is not None:
            hidden = hidden + functional.embedding(split.residual(positions), self.positions.weight)
        if self.segments is not None:
            kinds = torch.zeros_like(tokens) if segments is None else segments
            hidden = hidden + functional.embedding(split.residual(kinds), self.segments.weight)
        return hidden.to(self.compute_dtype)

    def _look_up(self, tokens: Tensor) -> Tensor:
        """Rows of the token embedding; each process of the tensor axis has a part of them."""
        table = local(self.tokens.weight)
        if self.split.tensor is None:
            return functional.embedding(tokens, table)
        places = tokens - self.vocabulary_start
        here = (places >= 0) & (places < table.shape[0])
        found = functional.embedding(places.where(here, 0), table) * here[..., None].to(table.dtype)
        return self.split.close(found)

    @property
    def vocabulary_start(self) -> int:
        """Number of the first row of the token embedding, and of the output layer, that lies here."""
        tensor = self.split.tensor
        return 0 if tensor is None else tensor.rank * (self.config.padded_vocabulary // tensor.size)

    @property
    def vocabulary_here(self) -> int:
        """Rows from there on that are entries of the vocabulary."""
        tensor = self.split.tensor
        rows = self.config.padded_vocabulary // (1 if tensor is None else tensor.size)
        return min(max(self.config.vocabulary - self.vocabulary_start, 0), rows)

    def _visible(self, documents: Tensor | None, length: int, before: int, device: torch.device) -> Tensor | None:
        """The mask, or none where the causal triangle (or everything) is what it would say."""
        split = self.split
        same = None if documents is None else split.mine(documents)[:, :, None] == documents[:, None, :]
        if not self.causal:
            return same
        if same is None and split.context is None and (before == 0 or length == 1):
            return None
        triangle = torch.ones(length, before + length, dtype=torch.bool, device=device).tril_(before)[None]
        triangle = split.mine(triangle)
        return triangle if same is None else same & triangle
