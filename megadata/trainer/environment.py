"""What a training process needs of its surroundings: a device, its share of the cores, and a way to be told to end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import torch

from megadata.errors import TrainingError
from megadata.runtime.executor import default_workers
from megadata.trainer.config import TrainConfig
from megadata.trainer.launch import Place


def device_of(wanted: str, local_rank: int) -> torch.device:
    """The device of a configuration's ``auto``, ``cpu`` or ``cuda``: of a machine's GPUs the one of the process's number."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise TrainingError("trainer.device: cuda was asked for and torch finds no GPU; use --set trainer.device=cpu")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    return device


@contextlib.contextmanager
def threads(config: TrainConfig, place: Place) -> Iterator[None]:
    """Share the cores out among the processes of this machine, and flush denormals; both are as before afterwards."""
    before, flushed = torch.get_num_threads(), sys.float_info.min / 2 == 0.0
    given = os.environ.get("OMP_NUM_THREADS", "")
    share = int(given) if given.isdigit() and int(given) > 0 else max(1, default_workers() // place.local_world)
    torch.set_num_threads(config.trainer.threads or share)
    torch.set_flush_denormal(True)  # second moments of tokens that no longer occur decay into slow numbers
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(flushed)


@contextlib.contextmanager
def on_termination(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at a SIGTERM instead of ending; signals are heard by a program's main thread only."""

    def hear(number: int, frame: FrameType | None) -> None:
        stop()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
