"""What reads the last hidden states: BERT's masked-token and sentence-order heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from megadata.trainer.models.config import ModelConfig
from megadata.trainer.models.layers import Linear, Norm, activate


class MaskedTokenHead(nn.Module):
    """Dense, activation, norm; the token embedding then predicts, plus a bias per vocabulary entry (Devlin et al. 2018)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.hidden_size)
        self.norm = Norm(config)
        self.bias = nn.Parameter(torch.empty(config.padded_vocabulary))
        self.activation = "gelu" if config.activation == "swiglu" else config.activation

    def forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.norm(activate(self.dense(hidden), self.activation))
        return out


class SentenceOrderHead(nn.Module):
    """Are the two segments in their order? Reads the first token (Lan et al. 2019, arXiv:1909.11942)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.pooler = Linear(config.hidden_size, config.hidden_size)
        self.classifier = Linear(config.hidden_size, 2)

    def forward(self, first: Tensor) -> Tensor:
        out: Tensor = self.classifier(torch.tanh(self.pooler(first)))
        return out
