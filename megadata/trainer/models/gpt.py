"""GPT: predict the next token."""

from __future__ import annotations

import torch
from torch import Tensor

from megadata.trainer.loss import linear_cross_entropy, output_logits
from megadata.trainer.models.config import ModelConfig
from megadata.trainer.models.context import local
from megadata.trainer.models.layers import KeyValues, Linear
from megadata.trainer.models.trunk import Trunk


class GPT(Trunk):
    """A decoder: GPT-2 as published, or modern, by config."""

    causal = True
    losses = ("lm",)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.head = None if config.tied else Linear(config.hidden_size, config.padded_vocabulary, bias=False)

    def drop_heads(self) -> None:
        self.head = None

    def forward(
        self,
        tokens: Tensor,
        *,
        labels: Tensor | None = None,
        weights: Tensor | None = None,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
        visible: Tensor | None = None,
        keys: Tensor | None = None,
        cache: list[KeyValues] | None = None,
    ) -> Tensor:
        """Logits (B, T, V) without labels; with them the summed losses, shape (1,), in the order of `losses`.

        A stage of a pipeline that is not the last gives its hidden states instead.

        Parameters
        ----------
        tokens, labels : int64 tensors, shape (B, T)
            `labels` are the tokens that follow, already shifted.
        weights : tensor, shape (B, T)
            What each label counts; none counts all of them once.

        The other parameters are those of `Trunk.hidden_states`.
        """
        hidden = self.hidden_states(
            tokens, positions=positions, documents=documents, visible=visible, keys=keys, cache=cache
        )
        if not self.last:
            return hidden
        split = self.split
        hidden = split.open(hidden)
        table = local(self.tokens.weight if self.head is None else self.head.weight)
        vocabulary, cap = self.vocabulary_here, self.config.logit_softcap
        if labels is None:
            return output_logits(hidden, table, None, vocabulary, cap)[..., :vocabulary]
        weights = labels.new_ones(labels.shape) if weights is None else weights
        rows = hidden.flatten(0, 1), table, split.mine(labels).flatten(), split.mine(weights).flatten()
        loss = linear_cross_entropy(
            *rows, vocabulary=vocabulary, softcap=cap, first=self.vocabulary_start, group=split.tensor
        )
        return torch.stack((loss,))
