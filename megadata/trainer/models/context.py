"""What every block needs beside the hidden states."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor
from torch.distributed.tensor import DTensor

from megadata.trainer.parallel.collectives import ALONE, Split


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What every block needs beside the hidden states."""

    rotation: tuple[Tensor, Tensor] | None = None
    """Cosines and sines of RoPE, (B or 1, 1, T, D/2) each."""
    bias: Tensor | None = None
    """Added to attention scores, broadcastable to (B, N, T, S); none with `causal` means the plain triangle."""
    causal: bool = True
    """Whether a token sees only what came before it, where `bias` does not already say so."""
    keys: Tensor | None = None
    """Dropout keys of the samples, (B,); none outside training."""
    split: Split = ALONE
    """How processes share the layers."""
    rows: Tensor | None = None
    """Numbers of the tokens that the residual stream holds here; none holds all."""
    places: Tensor | None = None
    """Numbers of the tokens that attention's queries are of, where processes share the layers."""
    auxiliary_scale: float = 0.0
    """What routers' losses are multiplied by, beside their own factors."""
    auxiliary: list[Tensor] = field(default_factory=list)
    """The routers' losses so far, (2,) each: sums over samples."""


def local(weight: Tensor) -> Tensor:
    """The part of a weight that lies here."""
    return weight.to_local() if isinstance(weight, DTensor) else weight
