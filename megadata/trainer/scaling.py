"""Dynamic loss scaling for fp16 as in Megatron: back off after a few overflows, grow after many steps without. No torch."""

from __future__ import annotations

from typing import Any

from megadata.errors import TrainingError
from megadata.trainer.config import ScalingConfig


class LossScaler:
    """The scale of the loss. All processes feed it the same norms, so that all hold the same scale."""

    def __init__(self, config: ScalingConfig) -> None:
        self.config = config
        self.scale = config.initial
        self.good = 0
        """Steps without overflow since the scale last changed."""
        self.patience = config.hysteresis
        """Overflows until the scale shrinks."""
        self.skipped = 0
        """Steps that changed no weight."""

    def overflowed(self) -> None:
        """The gradients were not finite: this step is skipped.

        Raises
        ------
        TrainingError
            If the scale is already the smallest.
        """
        self.skipped += 1
        self.good = 0
        self.patience -= 1
        if self.patience > 0:
            return
        if self.scale <= self.config.minimum:
            raise TrainingError(
                f"the gradient is not finite although the loss scale is at its minimum ({self.scale:g});"
                " lower optimizer.lr, or use bf16 or fp32"
            )
        self.scale = max(self.scale * self.config.backoff, self.config.minimum)

    def succeeded(self) -> None:
        """The gradients were finite."""
        self.good += 1
        if self.good == self.config.window:
            self.good = 0
            self.patience = self.config.hysteresis
            self.scale *= self.config.growth

    def state_dict(self) -> dict[str, Any]:
        """What it takes to go on: plain values for JSON."""
        return {"scale": self.scale, "good": self.good, "patience": self.patience, "skipped": self.skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.scale, self.good = float(state["scale"]), int(state["good"])
        self.patience, self.skipped = int(state["patience"]), int(state["skipped"])
