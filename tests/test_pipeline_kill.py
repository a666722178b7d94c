"""Killed anywhere, the same command goes on, and the result is that of a run that was never killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pipelines import contents, write_project

pytest.importorskip("torch")
ROOT = Path(__file__).parent.parent


def command(recipe: Path, workers: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "megadata", "run", str(recipe), "--workers", str(workers), "--memory", "64M"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def finish(recipe: Path, workers: int) -> None:
    process = command(recipe, workers)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors.decode()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Contents of a run that was never killed, and how long it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    recipe = write_project(folder)
    began = time.monotonic()
    finish(recipe, 2)
    return contents(folder / "out"), time.monotonic() - began


def kill_and_compare(folder: Path, expected: dict[str, object], seconds: float, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    recipe = write_project(folder)
    for number in range(kills):
        process = command(recipe, rng.choice([1, 2, 3]))
        time.sleep(rng.uniform(0.05, 1.0) * seconds)
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        if children and number % 2:
            for child in rng.sample(children, k=min(len(children), 1)):
                child.kill()
            time.sleep(rng.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive, "a worker outlived the killed main process"
    finish(recipe, 2)
    assert contents(folder / "out") == expected


def test_three_kills_change_nothing(tmp_path, undisturbed):
    kill_and_compare(tmp_path, *undisturbed, kills=3, seed=3)


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_twenty_kills_change_nothing(tmp_path, undisturbed):
    kill_and_compare(tmp_path, *undisturbed, kills=20, seed=20)
