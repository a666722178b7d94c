"""Memory that a unit frees stays with the process, for the next unit.

The C library gives large blocks back to the system at once. The next unit of about the same size asks for them again, and the
system fills page after page with zeros: a fifth of the time of a task that does little with each byte.
"""

from __future__ import annotations

import contextlib
import ctypes
from functools import cache

KEPT_BYTES = 128 << 20
"""Free memory that a process keeps at most."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # numbers of glibc's options
_LARGEST = 32 << 20  # larger blocks are always the system's


@cache
def keep_freed_memory() -> None:
    """Tell the C library so, once; where it is not glibc, nothing is changed."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        if library.gnu_get_libc_version and library.mallopt(_MMAP_THRESHOLD, _LARGEST):
            library.mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
