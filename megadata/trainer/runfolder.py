"""RUN: what a training run leaves on disk, and whether another command may go on in it. No torch.

RUN/config.yaml       the configuration in effect
RUN/blend.yaml        the data, with prefixes relative to RUN
RUN/tokenizer.json    a copy of the data's tokenizer
RUN/metrics.jsonl     one line a step
RUN/checkpoints/      see `checkpointfiles`
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megadata.config import build, dump_yaml, load_yaml, to_dict
from megadata.errors import ConfigError, OutputError
from megadata.indexed.blend import Blend
from megadata.runtime.files import atomic_write
from megadata.trainer.checkpointfiles import checkpoints_folder, find_checkpoint
from megadata.trainer.config import TrainConfig

FIXED = {
    "model": None,
    "data": ("sequence_length", "document_mask"),
    "trainer": ("seed", "precision"),
    "optimizer": ("name",),
}
"""What may not change when a run goes on: all of a section, or these fields."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run as its processes get it."""

    config: TrainConfig
    blend: Path
    run: Path
    start: Path | None = None
    """Checkpoint, or run, to start from where `run` has none of its own."""


def read_run_config(run: Path) -> TrainConfig:
    """The configuration a run was started with.

    Raises
    ------
    ConfigError
        If the folder holds no run.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise ConfigError(
            f"{run}: expected a training run with its config.yaml, found none; give the folder after `-o`"
        )
    return build(TrainConfig, load_yaml(path), str(path))


def write_run_config(run: Path, config: TrainConfig) -> None:
    """Write config.yaml."""
    with atomic_write(run / "config.yaml") as file:
        file.write(dump_yaml(to_dict(config)).encode())


def finished(run: Path, steps: int) -> bool:
    """Whether the run has a whole checkpoint of its last step."""
    found, _ = find_checkpoint(checkpoints_folder(run))
    return found is not None and found.step >= steps


def prepare(
    run: Path, config: TrainConfig, blend: Blend, tokenizer: Path | None, resume: str
) -> tuple[TrainConfig, list[str]]:
    """Make RUN ready; the configuration to use, and a sentence for each setting that differs from the run's so far.

    Raises
    ------
    OutputError
        If RUN holds a run and `resume` is ``never``, or it cannot be written.
    ConfigError
        If RUN holds a run of another model or data shape.
    """
    notes: list[str] = []
    if (run / "config.yaml").is_file():
        if resume == "never":
            raise OutputError(
                f"{run}: holds a training run already; choose another -o, or --resume auto to go on with it"
            )
        before = to_dict(read_run_config(run))
        now = to_dict(config)
        if now["trainer"]["precision"] == "auto":
            now["trainer"]["precision"] = before["trainer"]["precision"]
        notes = _differences(run, before, now)
        config = build(TrainConfig, now, str(run))
    else:
        run.mkdir(parents=True, exist_ok=True)
        write_run_config(run, config)
    blend.save(run / "blend.yaml")
    if tokenizer is not None:
        with tokenizer.open("rb") as original, atomic_write(run / "tokenizer.json") as copy:
            shutil.copyfileobj(original, copy)
    return config, notes


def _differences(run: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """One sentence per changed setting; raises at the first that may not change."""
    notes = []
    for section, fields in now.items():
        for name, value in fields.items():
            old = before[section][name]
            if old == value:
                continue
            fixed = FIXED.get(section, ())
            if section == "model" or (fixed is not None and name in fixed):
                raise ConfigError(
                    f"{run}: this run has {section}.{name} {old}, the configuration says {value};"
                    " choose another -o for a new run, or set it back to go on"
                )
            if section not in ("checkpoint", "parallel"):
                notes.append(f"{section}.{name} changes from {old} to {value}")
    return notes
