"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from megadata.trainer.config import ScheduleConfig


def learning_rate(config: ScheduleConfig, highest: float, step: int, steps: int) -> float:
    """Rate of update `step` (counted from 0) of a run of `steps`.

    Warm-up rises in equal parts and reaches `highest` at its last step; the curve then ends at ``final * highest`` in the last
    step of the run.
    """
    warmup = min(_length(config.warmup, steps, parts_below=1.0), steps)
    if step < warmup:
        return highest * (step + 1) / warmup
    if config.name == "constant":
        return highest
    if config.name == "inverse_sqrt":
        return highest * math.sqrt(max(warmup, 1) / (step + 1))
    if config.name == "wsd":
        decay = min(_length(config.decay, steps, parts_below=math.nextafter(1.0, 2.0)), steps - warmup)
        done = (step + 1 - (steps - decay)) / decay if decay else 0.0
        return highest * (1 - (1 - config.final) * max(0.0, done))
    done = (step + 1 - warmup) / (steps - warmup)
    left = 0.5 * (1 + math.cos(math.pi * done)) if config.name == "cosine" else 1 - done
    return highest * (config.final + (1 - config.final) * left)


def _length(value: float, steps: int, *, parts_below: float) -> int:
    return round(value * steps) if value < parts_below else round(value)
