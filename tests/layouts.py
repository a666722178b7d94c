"""A few training steps in a world of processes, and everything that came of them put together again."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from megadata.indexed.blend import Blend
from megadata.trainer.config import TrainConfig, replaced
from megadata.trainer.data import open_data
from megadata.trainer.launch import Place, launch
from megadata.trainer.layouts import resolve_layout
from megadata.trainer.loop import Training
from megadata.trainer.parallel.layout import joined, lay_out
from megadata.trainer.parallel.sharding import local_part

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Poison:
    """An infinity put into one process's gradient, before anything is summed."""

    step: int
    rank: int
    name: str


@dataclass
class Outcome:
    """What a world of processes computed."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    """Metrics of each step."""
    gradients: list[Arrays] = field(default_factory=list)
    """Of each step, whole, before clipping."""
    weights: Arrays = field(default_factory=dict)
    """After the last step."""
    copies: list[bytes] = field(default_factory=list)
    """The last token embedding of each process that holds all of it."""
    validation: list[dict[str, dict[str, float]]] = field(default_factory=list)


class Watched(Training):
    """Keeps the gradients of each step."""

    poison: Poison | None = None

    def gather_gradients(self) -> None:
        for weight in self.weights:
            if self.poison == Poison(self.step, self.layout.rank, weight.name):
                grad = weight.parameter.grad
                local = grad.to_local() if hasattr(grad, "to_local") else grad
                local.view(-1)[0] = math.inf
        super().gather_gradients()
        self.seen = {
            w.name: (w.local.grad.numpy().copy(), local_part(w.parameter)[1].offset, tuple(w.parameter.shape))
            for w in self.weights
            if w.counted and w.local.grad is not None
        }


def steps_of_one(
    place: Place, report: Any, config: TrainConfig, blend: Path, steps: int, poison: Poison | None, run: Path
) -> None:
    """Train a few steps as one of the processes; reports everything."""
    torch.set_num_threads(1)
    device = torch.device("cpu")
    with joined(rank=place.rank, world=place.world, device=device, timeout=60, store=place.store):
        layout = lay_out(resolve_layout(config, place.world), rank=place.rank, device=device, timeout=60)
        training = Watched(config, open_data(config, Blend.load(blend)), run, layout, lambda event: None)
        training.poison = poison
        lines, gradients = [], []
        for _ in range(steps):
            lines.append(training.update())
            gradients.append(training.seen)
        weights = {
            w.name: (w.local.detach().numpy().copy(), local_part(w.parameter)[1].offset, tuple(w.parameter.shape))
            for w in training.weights
            if w.counted
        }
        found = {name: values for stage in training.stages for name, values in stage.named_parameters()}
        table = found.get("tokens.weight")
        copy = b"" if table is None else local_part(table)[0].detach().numpy().tobytes()
        validation = training.validate()
        training.loader.close()
        report(
            {
                "event": "outcome",
                "rank": place.rank,
                "lines": lines,
                "gradients": gradients,
                "weights": weights,
                "copy": copy,
                "validation": validation,
            }
        )


def outcome(
    config: TrainConfig, blend: Path, world: int = 1, *, steps: int = 3, poison: Poison | None = None
) -> Outcome:
    """Run a world and put its parts together; every element must come from exactly one process."""
    events: list[dict[str, Any]] = []
    config = replaced(config, "trainer", steps=steps)
    arguments = (config, blend, steps, poison, blend.parent)
    if world == 1:
        steps_of_one(Place(), events.append, *arguments)
    else:
        launch(world, steps_of_one, arguments, events.append)
    events.sort(key=lambda event: event["rank"])
    assert [event["rank"] for event in events] == list(range(world))
    out = Outcome(
        lines=events[0]["lines"],
        gradients=[joined_parts([event["gradients"][step] for event in events]) for step in range(steps)],
        weights=joined_parts([event["weights"] for event in events]),
        copies=[event["copy"] for event in events],
        validation=[event["validation"] for event in events],
    )
    for event in events:  # all processes see the same numbers
        for line, first in zip(event["lines"], out.lines, strict=True):
            same = [key for key in line if key not in ("seconds", "tokens_per_s")]
            assert repr([line[key] for key in same]) == repr([first[key] for key in same])
        assert event["validation"] == out.validation[0]
    return out


def joined_parts(parts: list[dict[str, tuple[np.ndarray, tuple[int, ...], tuple[int, ...]]]]) -> Arrays:
    """Whole arrays from the blocks of all processes."""
    whole: Arrays = {}
    filled: Arrays = {}
    for mine in parts:
        for name, (values, offset, shape) in mine.items():
            target = whole.setdefault(name, np.zeros(shape, values.dtype))
            counts = filled.setdefault(name, np.zeros(shape, np.int64))
            block = tuple(slice(o, o + n) for o, n in zip(offset, values.shape, strict=True))
            target[block] = values
            counts[block] += 1
    for name, counts in filled.items():
        assert (counts == 1).all(), f"{name}: elements come from {counts.min()} to {counts.max()} processes"
    return whole
