"""A limit on the processor time of one call of other people's Python code.

The limit counts the time that this process computes, not the time that passes, so that a busy machine sets no page aside.
Python looks at signals between its own instructions: native code that never comes back is bounded by limits of size and
depth instead.
"""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Callable
from functools import cache
from typing import TypeVar

R = TypeVar("R")

_AGAIN_SECONDS = 1.0
"""After the first time the limit is told again and again, should somebody's ``except:`` have swallowed it."""


class TimeLimit(BaseException):
    """The time is over. Not an `Exception`, so that no ``except Exception`` on the way keeps it."""


def within(seconds: float, call: Callable[[], R]) -> R:
    """What `call` returns, or `TimeLimit` after so many seconds of processor time. Nested calls are not supported.

    Without limit where there are no timers (Windows) or outside the main thread, where Python hears no signals; one warning
    says so.

    Raises
    ------
    TimeLimit
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        _warn()
        return call()
    running = True

    def tell(number: int, frame: object) -> None:
        if running:
            raise TimeLimit

    before = signal.signal(signal.SIGVTALRM, tell)
    try:
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, seconds, _AGAIN_SECONDS)
            return call()
        finally:
            running = False
    finally:
        running = False  # told between the two lines, the first may not have been reached
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@cache
def _warn() -> None:
    warnings.warn(
        "read.page_seconds: time limits need the main thread of a process on Linux or macOS; pages are extracted without one",
        RuntimeWarning,
        stacklevel=3,
    )
