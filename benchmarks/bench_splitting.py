"""One large file of each kind, cleaned by one worker and by two: how much of the second worker comes through.

Run from the repository: ``MEGADATA_REAL_DATA=DIR python benchmarks/bench_splitting.py [MEGABYTES [KIND...]]``. Each run is the
whole command in processes of its own, start-up included, and all outputs of a kind must be the same bytes. `cpu` is processor
time of all processes over wall time: less than the workers means that they waited, or that others used the machine. `before` and
`after` are the seconds of the best run by all workers before the first unit is handed out, and after the last one is done.
`machine_gives` is what two processes of this machine can do at best: twice the time of one worker over that of two such commands
side by side, which share nothing but caches and memory.
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from harness import as_installed, machine
from large_inputs import KINDS

_REPEATS = 3
_WORKERS = (1, 2)


@dataclass(frozen=True, order=True)
class _Run:
    """Seconds of one run: on the clock, of all processors, and on the clock before and after the units."""

    clock: float
    processor: float
    before: float
    after: float


def _command(path: Path, output: Path, workers: int) -> list[str]:
    return [sys.executable, "-m", "megadata", "clean", str(path), "-o", str(output), "--workers", str(workers)]


def _side_by_side(path: Path, outputs: tuple[Path, Path]) -> float:
    """Seconds of two commands of one worker each that begin together."""
    environment, began = as_installed(outputs[0].parent), time.time()
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    both = [subprocess.Popen(_command(path, output, 1), env=environment, **silent) for output in outputs]
    if any(one.wait() for one in both):
        raise ValueError(f"{path.name}: one of two commands side by side failed")
    return time.time() - began


def _clean(path: Path, output: Path, workers: int) -> _Run:
    command = _command(path, output, workers)
    environment, events = as_installed(output.parent), output.with_suffix(".events")
    used, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    subprocess.run(
        [*command, "--events", str(events)],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ended, now = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    told = [json.loads(line) for line in events.read_text("utf-8").splitlines()]
    units = {one["event"]: one["time"] for one in told if one.get("stage") == "clean"}
    processor = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return _Run(ended - began, processor, units["start"] - began, ended - units["end"])


def _digest(folder: Path) -> str:
    """Of all files but the state, which holds times."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and ".megadata" not in path.parts:
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def bench(kind: str, megabytes: int) -> None:
    """Measure one kind and print its line."""
    with tempfile.TemporaryDirectory(prefix="megadata-split-") as base:
        path = Path(base) / f"large.{kind}"
        KINDS[kind](path, megabytes * 1_000_000)
        runs: dict[int, list[_Run]] = {workers: [] for workers in _WORKERS}
        pairs = []
        digests = set()
        for repeat in range(_REPEATS):  # in turn, so that a slow moment of the machine hits both
            for workers in _WORKERS:
                output = Path(base) / f"out-{repeat}-{workers}"
                runs[workers].append(_clean(path, output, workers))
                digests.add(_digest(output))
                subprocess.run(["rm", "-r", str(output)], check=True)
            outputs = Path(base) / f"left-{repeat}", Path(base) / f"right-{repeat}"
            pairs.append(_side_by_side(path, outputs))
            subprocess.run(["rm", "-r", *map(str, outputs)], check=True)
        best = {workers: min(runs[workers]) for workers in _WORKERS}
        if len(digests) > 1:
            raise ValueError(f"{kind}: expected the same bytes for all workers, found {sorted(digests)}")
        line = {
            "bench": f"splitting/{kind}",
            "megabytes": megabytes,
            "stored": path.stat().st_size,
            "seconds": {workers: round(run.clock, 2) for workers, run in best.items()},
            "cpu": {workers: round(run.processor / run.clock, 2) for workers, run in best.items()},
            "ratio": round(best[1].clock / best[2].clock, 2),
            "machine_gives": round(2 * best[1].clock / min(pairs), 2),
            "before": round(best[2].before, 2),
            "after": round(best[2].after, 2),
            "repeats": _REPEATS,
            "machine": machine(),
            "result_sha": digests.pop(),
        }
        print(json.dumps(line), flush=True)


def main() -> None:
    """Measure the kinds named, or all."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    for kind in sys.argv[2:] or KINDS:
        bench(kind, megabytes)


if __name__ == "__main__":
    main()
