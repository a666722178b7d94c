"""`tokenize` killed at random moments, main process and workers alike, goes on to the bytes of an undisturbed run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import psutil
import pytest
import zstandard
from oracles_tokenize import corpus, digests, small_tokenizer

ROOT = Path(__file__).parent.parent
CODE = """
import sys
from megadata import cli
from megadata.documents import inputs
from megadata.runtime import exchange
from megadata.tokenize import layout, pack, step
step.plan = lambda files: inputs.plan(files, 1 << 14)
layout.RANGE_BYTES = exchange.MIN_RANGE_BYTES = 1 << 14
pack.WINDOW_TOKENS = 1 << 13
cli.main()
"""
"""The command with units, ranges and windows so small that there are some dozens of each."""
OPTIONS = {
    "plain": (),
    "parted": ("--split", "train=.9,validation=.1", "--by", "language", "--max-tokens-per-file", "9000"),
    "packed": ("--pack", "64", "--repeat", "cluster_size=2-:3", "--split", "train=.9,validation=.1"),
    "sentences": ("--sentences",),
}


def write_shards(folder: Path) -> None:
    (folder / "in").mkdir(parents=True)
    records = corpus(600)
    for number in range(3):
        lines = b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records[number::3])
        path = folder / "in" / f"{number}.jsonl{'.zst' if number else ''}"
        path.write_bytes(zstandard.compress(lines) if number else lines)
    small_tokenizer().save(folder / "tokenizer.json")


def start(folder: Path, workers: int, options: tuple[str, ...]) -> subprocess.Popen[bytes]:
    shards = [str(path) for path in sorted((folder / "in").iterdir())]
    given = [
        "-o",
        str(folder / "out" / "web"),
        "--tokenizer",
        str(folder / "tokenizer.json"),
        "--workers",
        str(workers),
    ]
    return subprocess.Popen(
        [sys.executable, "-c", CODE, "tokenize", *shards, *given, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def finish(folder: Path, workers: int, options: tuple[str, ...]) -> dict[str, str]:
    process = start(folder, workers, options)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    return digests(folder / "out")


def under_way(folder: Path) -> int:
    """Files that a run has made so far."""
    return sum(len(names) for _, _, names in os.walk(folder / "out"))


def kill_and_compare(folder: Path, options: tuple[str, ...], kills: int, seed: int) -> None:
    rng = random.Random(seed)
    for name in ("whole", "killed"):
        write_shards(folder / name)
    whole = finish(folder / "whole", 2, options)
    killed = 0
    while killed < kills:
        process = start(folder / "killed", rng.choice([1, 2, 3]), options)
        before, wanted = under_way(folder / "killed"), rng.randrange(1, 60)
        while process.poll() is None and abs(under_way(folder / "killed") - before) < wanted:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.05))
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        if children and killed % 2:
            rng.choice(children).kill()
            time.sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive, "a worker outlived the killed main process"
        if process.returncode == -signal.SIGKILL:
            killed += 1
        else:  # it was sooner done than killed: again from the beginning
            assert digests(folder / "killed" / "out") == whole
            shutil.rmtree(folder / "killed" / "out")
    assert finish(folder / "killed", 2, options) == whole


@pytest.mark.timeout(120)
def test_three_kills_change_no_byte(tmp_path):
    kill_and_compare(tmp_path, OPTIONS["packed"], kills=3, seed=3)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("options", OPTIONS)
def test_twenty_kills_change_no_byte(tmp_path, options):
    kill_and_compare(tmp_path, OPTIONS[options], kills=20, seed=20)
