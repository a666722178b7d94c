"""One large file of each kind, cleaned by one worker and by two: how much of the second worker comes through.

Run from the repository: ``MEGADATA_REAL_DATA=DIR python benchmarks/bench_splitting.py [MEGABYTES [KIND...]]``. Each run is the
whole command in processes of its own, start-up included, and all outputs of a kind must be the same bytes. `cpu` is processor
time of all processes over wall time: less than the workers means that they waited, or that others used the machine.
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import as_installed, machine
from large_inputs import KINDS

_REPEATS = 3
_WORKERS = (1, 2)


def _clean(path: Path, output: Path, workers: int) -> tuple[float, float]:
    """Seconds on the clock, and of all processors."""
    command = [sys.executable, "-m", "megadata", "clean", str(path), "-o", str(output), "--workers", str(workers)]
    environment = as_installed(output.parent)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


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
        runs: dict[int, list[tuple[float, float]]] = {workers: [] for workers in _WORKERS}
        digests = set()
        for repeat in range(_REPEATS):  # in turn, so that a slow moment of the machine hits both
            for workers in _WORKERS:
                output = Path(base) / f"out-{repeat}-{workers}"
                runs[workers].append(_clean(path, output, workers))
                digests.add(_digest(output))
                subprocess.run(["rm", "-r", str(output)], check=True)
        best = {workers: min(runs[workers]) for workers in _WORKERS}
        if len(digests) > 1:
            raise ValueError(f"{kind}: expected the same bytes for all workers, found {sorted(digests)}")
        line = {
            "bench": f"splitting/{kind}",
            "megabytes": megabytes,
            "stored": path.stat().st_size,
            "seconds": {workers: round(wall, 2) for workers, (wall, _) in best.items()},
            "cpu": {workers: round(cpu / wall, 2) for workers, (wall, cpu) in best.items()},
            "ratio": round(best[1][0] / best[2][0], 2),
            "repeats": _REPEATS,
            "machine": machine(),
            "result_sha": digests.pop(),
        }
        print(json.dumps(line), flush=True)


def main() -> None:
    """Measure the kinds named, or all."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    for kind in sys.argv[2:] or KINDS:
        bench(kind, megabytes)


if __name__ == "__main__":
    main()
