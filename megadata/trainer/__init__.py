"""Samples to checkpoints: models, parallelism, precision, the training loop. Torch is imported when first used."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from megadata.trainer.config import TrainConfig, config_from, load_config, presets
    from megadata.trainer.models.build import build_model
    from megadata.trainer.models.config import ModelConfig
    from megadata.trainer.report import LiveLine
    from megadata.trainer.run import TrainResult, train

# Read when torch is imported: threads that wait for each other sleep. By default they spin, which on a machine that does other
# work as well costs five times the step.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__all__ = [
    "LiveLine",
    "ModelConfig",
    "TrainConfig",
    "TrainResult",
    "build_model",
    "config_from",
    "load_config",
    "presets",
    "train",
]

_HOMES = {
    "LiveLine": "report",
    "ModelConfig": "models.config",
    "TrainConfig": "config",
    "TrainResult": "run",
    "build_model": "models.build",
    "config_from": "config",
    "load_config": "config",
    "presets": "config",
    "train": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
