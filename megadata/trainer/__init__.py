"""Samples to checkpoints: models, parallelism, precision, the training loop. Torch is imported when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from megadata.trainer.config import TrainConfig, config_from, load_config, presets
    from megadata.trainer.models.build import build_model
    from megadata.trainer.models.config import ModelConfig
    from megadata.trainer.report import LiveLine
    from megadata.trainer.run import TrainResult, train

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
