"""Memory of a command and of all processes it starts, while it runs. Linux only.

Every tenth of a second the proportional set size of each process is read (`Pss` of ``/proc/PID/smaps_rollup``: its own pages, and
its share of those it has in common with others).
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Watched:
    """What a command took."""

    seconds: float
    cpu_seconds: float
    """Of all processes, in user and system mode."""
    peaks: list[int]
    """Bytes at the peak of each process, the command's own first."""
    together: int
    """Bytes at the peak of all of them together."""


def children(pid: int) -> list[int]:
    """Processes below one, theirs included."""
    try:
        found = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    except OSError:
        return []
    return [below for child in found for below in (child, *children(child))]


def pss(pid: int) -> int:
    """Bytes; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def watch(command: Sequence[str]) -> Watched:
    """Run a command to its end, which must be a good one."""
    peaks: dict[int, int] = {}
    together = 0
    before = _cpu_seconds()
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            now = {pid: pss(pid) for pid in (process.pid, *children(process.pid))}
            for pid, size in now.items():
                peaks[pid] = max(peaks.get(pid, 0), size)
            together = max(together, sum(now.values()))
            time.sleep(_SECONDS)
        seconds = time.perf_counter() - began
    if process.returncode:
        sys.exit(f"{' '.join(command[:4])}: ended with exit code {process.returncode}")
    return Watched(seconds, _cpu_seconds() - before, list(peaks.values()), together)
