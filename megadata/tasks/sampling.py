"""Choosing the next token from logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from megadata.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How the next token is chosen."""

    temperature: float = 0.8
    """Logits are divided by it; 0 takes the likeliest token each time."""
    top_k: int | None = None
    """Choose among the k likeliest tokens; none: all."""
    top_p: float | None = None
    """Choose among the fewest likeliest tokens that make up this probability (Holtzman et al. 2019, arXiv:1904.09751)."""

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise ConfigError(f"temperature must be at least 0, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must be above 0 and at most 1, got {self.top_p}")


def choose(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """The next token from logits of shape (V,).

    One uniform number of `generator` decides, so that equal logits and an equal generator give equal tokens.
    """
    if sampling.temperature == 0:
        return int(logits.argmax())
    scaled = logits.double() / sampling.temperature
    ordered, tokens = scaled.sort(descending=True, stable=True)
    if sampling.top_k is not None:
        ordered, tokens = ordered[: sampling.top_k], tokens[: sampling.top_k]
    shares = torch.softmax(ordered, dim=0)
    upto = shares.cumsum(0)
    if sampling.top_p is not None:
        kept = int((upto - shares < sampling.top_p).sum())
        tokens, upto = tokens[:kept], upto[:kept]
    drawn = torch.rand((), dtype=torch.float64, generator=generator) * upto[-1]
    place = min(int(torch.searchsorted(upto, drawn, right=True)), tokens.numel() - 1)
    return int(tokens[place])
