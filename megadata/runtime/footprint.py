"""How much memory this process has, and how much it had at the most."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STATUS = Path("/proc/self/status")
_FORGET = Path("/proc/self/clear_refs")
_PEAK = "5"
"""Written to `_FORGET`, lets the kernel forget the highest size so far."""


@dataclass(slots=True)
class Peak:
    """Most memory that was resident, in bytes; set when the block is left."""

    bytes: int = 0


def _status(name: str) -> int | None:
    try:
        for line in _STATUS.read_text("ascii", "replace").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return None


def _highest() -> int:
    unit = 1 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident_memory() -> int:
    """Bytes that are resident now, files that are mapped included; where the system does not say, at the most so far."""
    return _status("VmRSS") or _highest()


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Watch the memory of a block. Where the highest size cannot be reset, it is that of the process."""
    peak = Peak()
    try:
        _FORGET.write_text(_PEAK)
        reset = True
    except OSError:
        reset = False
    try:
        yield peak
    finally:
        peak.bytes = (_status("VmHWM") if reset else None) or _highest()
