"""Where worker processes come from.

On Linux they are forked from a server (`multiprocessing.forkserver`): a process without threads that has loaded what they need,
once for all of them, and begins to do so while the command itself is still loading. Elsewhere each is spawned and loads it for
itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing import forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any, Final

ONE_THREAD: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "ARROW_IO_THREADS",
)
"""Variables that are set to 1 in workers: parallelism comes from processes."""
_ONE_EACH: Final = dict.fromkeys(ONE_THREAD, "1")

_FORKS: Final = sys.platform == "linux"
_SERVER: Final[Any] = forkserver._forkserver  # its number is told nowhere else

_started: set[int] = set()
"""Numbers of the servers that were started here: the caller may have one of its own."""


def prepare(*modules: str) -> None:
    """Let a server begin to load what its workers will need; one that runs already stays as it is."""
    if not _FORKS:
        return
    before = _SERVER._forkserver_pid
    forkserver.set_forkserver_preload(list(modules))
    resource_tracker.ensure_running()  # which lets signals through again
    with _variables(PYTHONPATH=_path(), PYTHONSAFEPATH="1", **_ONE_EACH), _interrupts_held():
        forkserver.ensure_running()
    if _SERVER._forkserver_pid != before:
        _started.add(_SERVER._forkserver_pid)


def start(body: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start a worker: a process that runs `body` in the environment that the caller has now, with one thread for each library."""
    context: Any = multiprocessing.get_context("forkserver" if _FORKS else "spawn")
    environment = {**os.environ, **_ONE_EACH}
    process: BaseProcess = context.Process(target=_run, args=(environment, body, arguments), daemon=True)
    with _variables(**_ONE_EACH):
        process.start()
    return process


def end() -> None:
    """End the server, once its workers have ended; the time that they took is then counted as the caller's children's."""
    if _FORKS and _SERVER._forkserver_pid in _started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(_SERVER._forkserver_pid, signal.SIGKILL)  # it may still be loading
        with contextlib.suppress(ChildProcessError):
            _SERVER._stop()
    _started.clear()


def _run(environment: dict[str, str], body: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)  # the server may be older
    body(*arguments)


def _path() -> str:
    """Where the caller finds modules; of itself the server would look in the current folder first."""
    return os.pathsep.join(filter(None, sys.path))


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """A process started in the block never hears Ctrl-C, which the server else does until it has loaded its modules."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _variables(**values: str) -> Iterator[None]:
    """The environment of processes that are started in the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
