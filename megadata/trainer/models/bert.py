"""BERT: predict masked tokens, and whether two segments are in their order."""

from __future__ import annotations

import torch
from torch import Tensor

from megadata.trainer.loss import linear_cross_entropy, output_logits
from megadata.trainer.models.config import ModelConfig
from megadata.trainer.models.context import local
from megadata.trainer.models.heads import MaskedTokenHead, SentenceOrderHead
from megadata.trainer.models.trunk import Trunk


class BERT(Trunk):
    """An encoder: post-norm as the original (Devlin et al. 2018, arXiv:1810.04805), or pre-norm as Megatron's."""

    causal = False
    losses = ("mlm", "sop")

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.masked_token = MaskedTokenHead(config)
        self.sentence_order = SentenceOrderHead(config)

    def drop_heads(self) -> None:
        del self.masked_token, self.sentence_order

    def forward(
        self,
        tokens: Tensor,
        *,
        labels: Tensor | None = None,
        weights: Tensor | None = None,
        order: Tensor | None = None,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        documents: Tensor | None = None,
        keys: Tensor | None = None,
    ) -> Tensor:
        """Logits (B, T, V) without labels; with them the summed losses, shape (2,), in the order of `losses`.

        A stage of a pipeline that is not the last gives its hidden states instead.

        Parameters
        ----------
        tokens, labels : int64 tensors, shape (B, T)
            `labels` hold the original tokens; they are read where `weights` are not 0.
        weights : tensor, shape (B, T)
            What each label counts: 0 where the token was not chosen for masking.
        order : int64 tensor, shape (B,)
            0: the segments stand in their order, 1: they were swapped, -1: not known, which counts nothing.

        The other parameters are those of `Trunk.hidden_states`.
        """
        hidden = self.hidden_states(tokens, positions=positions, segments=segments, documents=documents, keys=keys)
        if not self.last:
            return hidden
        split = self.split
        hidden = split.rejoin(hidden)
        table, bias, vocabulary = local(self.tokens.weight), local(self.masked_token.bias), self.vocabulary_here
        if labels is None:
            return output_logits(self.masked_token(hidden), table, bias, vocabulary)[..., :vocabulary]
        weights = split.mine(labels.new_ones(labels.shape) if weights is None else weights)
        chosen = weights.flatten().nonzero().squeeze(1)
        rows = split.copy(self.masked_token(hidden.flatten(0, 1).index_select(0, chosen)))
        answers = split.mine(labels).flatten()[chosen], weights.flatten()[chosen]
        masked = linear_cross_entropy(
            rows,
            table,
            *answers,
            vocabulary=vocabulary,
            bias=bias,
            first=self.vocabulary_start,
            group=split.tensor,
        )
        return torch.stack((masked, self._order_loss(hidden[:, 0], order)))

    def _order_loss(self, first: Tensor, order: Tensor | None) -> Tensor:
        wide = torch.float64 if first.dtype == torch.float64 else torch.float32
        logits = self.sentence_order(first).to(wide)
        if order is None:
            nothing: Tensor = logits.sum() * 0.0
            return nothing
        if self.split.context is not None and self.split.context.rank > 0:
            order = torch.full_like(order, -1)  # the first token lies elsewhere
        return torch.nn.functional.cross_entropy(logits, order, ignore_index=-1, reduction="sum")
