"""Peak memory of every process of `megadata clean` on one large file of each kind.

Run from the repository: ``MEGADATA_REAL_DATA=DIR python benchmarks/bench_memory.py [MEGABYTES [KIND...]]``. Linux only: every
tenth of a second the proportional set size of each process is read (`Pss` of ``/proc/PID/smaps_rollup``: its own pages, and its
share of those it has in common with others), and of these the highest of each process is printed, in MiB.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import machine
from large_inputs import KINDS

_WORKERS = 2
_SECONDS = 0.1
_LIMIT_MIB = 1024


def _children(pid: int) -> list[int]:
    try:
        found = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except OSError:
        return []
    return [below for child in found for below in (child, *_children(child))]


def _pss(pid: int) -> int:
    """Bytes; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def bench(kind: str, megabytes: int) -> None:
    """Clean one file of a kind and print its line."""
    with tempfile.TemporaryDirectory(prefix="megadata-memory-") as base:
        path = Path(base) / f"large.{kind}"
        KINDS[kind](path, megabytes * 1_000_000)
        command = [
            sys.executable,
            "-m",
            "megadata",
            "clean",
            str(path),
            "-o",
            f"{base}/out",
            "--workers",
            str(_WORKERS),
        ]
        peaks: dict[int, int] = {}
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None:
                for pid in (process.pid, *_children(process.pid)):
                    peaks[pid] = max(peaks.get(pid, 0), _pss(pid))
                time.sleep(_SECONDS)
        if process.returncode:
            raise SystemExit(f"{kind}: megadata clean ended with exit code {process.returncode}")
        main, *others = (peak >> 20 for peak in peaks.values())
        line = {
            "bench": f"memory/{kind}",
            "megabytes": megabytes,
            "unit": "MiB",
            "main": main,
            "workers": sorted(others, reverse=True)[:_WORKERS],
            "holds": max(main, *others) < _LIMIT_MIB,
            "machine": machine(),
        }
        print(json.dumps(line), flush=True)


def main() -> None:
    """Measure the kinds named, or those that large inputs come as."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    for kind in sys.argv[2:] or ("jsonl", "jsonl.gz", "warc.gz", "multistream.xml.bz2", "xml.bz2"):
        bench(kind, megabytes)


if __name__ == "__main__":
    main()
