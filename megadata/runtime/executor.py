"""Running tasks on units of work: in this process, or in worker processes that may die.

An executor is `workers`, `run(task, units)` and `close()`. A task is a picklable callable of one unit; results come in the order
in which they are finished, so nothing that is written may depend on that order.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, TypeVar

from megadata.errors import MegadataError, WorkerError
from megadata.runtime import server
from megadata.runtime.files import explain

U = TypeVar("U")
R = TypeVar("R")

_GRACE_SECONDS = 1.0


class Executor(Protocol):
    """What runs tasks; the local one is `LocalExecutor`."""

    workers: int

    def run(self, task: Callable[[U], R], units: Iterable[U]) -> Iterator[tuple[U, R]]:
        """Give (unit, result) for every unit, as they are finished."""
        ...

    def close(self) -> None:
        """End all workers."""
        ...


def default_workers() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _label(unit: object) -> str:
    return str(getattr(unit, "label", unit))


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    job: int | None = None
    task: int = -1


@dataclass(slots=True)
class LocalExecutor:
    """Processes on this machine.

    With one worker, or a single unit, tasks run in the calling process. With more, each runs in a process of its own: one that
    dies is reported through `report` with the unit it held, the unit is tried once more, and set aside if that fails too; the
    other units are finished before `WorkerError` is raised.
    """

    workers: int = field(default_factory=default_workers)
    report: Callable[[str], None] = print
    _pool: list[_Worker] = field(default_factory=list)
    _tasks: int = 0

    def run(self, task: Callable[[U], R], units: Iterable[U]) -> Iterator[tuple[U, R]]:
        """Give (unit, result) for every unit, as they are finished.

        Raises
        ------
        WorkerError
            When a unit's worker died twice, after all other units are done; or when a task raised an unexpected exception.
        MegadataError
            The task's own, at once.
        """
        if self.workers == 1 or (isinstance(units, Sequence) and len(units) == 1):
            yield from self._run_here(task, units)
            return
        try:
            yield from self._run(task, iter(units))
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _run_here(task: Callable[[U], R], units: Iterable[U]) -> Iterator[tuple[U, R]]:
        """In the calling process. What is loaded when the first unit is done is out of the collector's sight for the rest:
        walking it again and again takes a tenth of the time of a task that makes many small objects.
        """
        frozen = callers = gc.get_freeze_count() > 0  # counting walks what is frozen: once, not after each unit
        try:
            for unit in units:
                yield unit, _call(task, unit)
                if not frozen:
                    gc.freeze()
                    frozen = True
        finally:
            if not callers:
                gc.unfreeze()  # what the caller holds is collected again

    def _run(self, task: Callable[[U], R], units: Iterator[U]) -> Iterator[tuple[U, R]]:
        payload = pickle.dumps(task)
        server.prepare(task.__module__)
        self._tasks += 1
        jobs: dict[int, U] = {}
        attempts: dict[int, int] = {}
        again: deque[int] = deque()
        lost: list[str] = []
        exhausted = False
        while True:
            idle = [w for w in self._pool if w.job is None]
            while self._busy() < self.workers and (again or not exhausted):
                if again:
                    job = again.popleft()
                else:
                    unit = next(units, None)
                    if unit is None:
                        exhausted = True
                        break
                    job = len(attempts)
                    attempts[job] = 0
                    jobs[job] = unit
                worker = idle.pop() if idle else self._start()
                self._send(worker, job, payload, jobs[job])
            running = {w.pipe: w for w in self._pool if w.job is not None}
            if not running:
                break
            for ready in wait(list(running)):
                worker = running[ready]  # type: ignore[index]
                job = worker.job if worker.job is not None else -1
                try:
                    kind, value = pickle.loads(worker.pipe.recv_bytes())
                except (EOFError, OSError):
                    how = self._bury(worker)
                    attempts[job] += 1
                    if attempts[job] == 1:
                        self.report(f"{_label(jobs[job])}: its worker {how}; trying the unit once more")
                        again.append(job)
                    else:
                        lost.append(f"{_label(jobs.pop(job))}: its worker {how}, twice")
                    continue
                worker.job = None
                unit = jobs.pop(job)
                if kind == "error":
                    raise value
                yield unit, value
        if lost:
            raise WorkerError(
                f"{lost[0]}{f' (and {len(lost) - 1} more units)' if len(lost) > 1 else ''}; every other unit is done and kept: "
                "free some memory or use fewer --workers, then run the same command again"
            )

    def _busy(self) -> int:
        return sum(w.job is not None for w in self._pool)

    def _send(self, worker: _Worker, job: int, payload: bytes, unit: object) -> None:
        message = pickle.dumps((self._tasks, payload if worker.task != self._tasks else None, unit))
        worker.task, worker.job = self._tasks, job
        with contextlib.suppress(OSError):  # a dead worker is found when its answer is awaited
            worker.pipe.send_bytes(message)

    def _start(self) -> _Worker:
        ours, theirs = multiprocessing.Pipe()
        process = server.start(_work, theirs)
        theirs.close()
        worker = _Worker(process, ours)
        self._pool.append(worker)
        return worker

    def _bury(self, worker: _Worker) -> str:
        """Remove a dead worker; how it died, in words."""
        worker.process.join(_GRACE_SECONDS)
        code = worker.process.exitcode
        self._end([worker])
        self._pool.remove(worker)
        if code is not None and code < 0:
            hint = " (out of memory?)" if code == -signal.SIGKILL else ""
            return f"was ended by {signal.Signals(-code).name}{hint}"
        return f"ended with exit code {code}"

    def close(self) -> None:
        """End all workers, within two seconds whatever they do."""
        self._end(self._pool)
        self._pool.clear()
        server.end()

    @staticmethod
    def _end(workers: list[_Worker]) -> None:
        for worker in workers:
            worker.pipe.close()
            worker.process.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
        for worker in workers:
            if worker.process.is_alive():
                worker.process.kill()
            worker.process.join()
            worker.process.close()


def _call(task: Callable[[U], R], unit: U) -> R:
    """The task's result; a failed write becomes one sentence."""
    try:
        result = task(unit)
    except OSError as error:
        raise explain(error, error.filename or _label(unit)) from error
    return result


def _work(pipe: Connection) -> None:
    """Body of a worker process: answer messages until the pipe closes or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with contextlib.suppress(ImportError):
        import pyarrow

        pyarrow.set_cpu_count(1)
    tasks: dict[int, Any] = {}
    while True:
        try:
            number, payload, unit = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        try:
            if payload is not None:
                tasks = {number: pickle.loads(payload)}
            answer = ("done", _call(tasks[number], unit))
            if payload is not None:
                gc.collect()
                gc.freeze()
        except MegadataError as error:
            answer = ("error", error)
        except Exception as error:
            unexpected = WorkerError(f"{_label(unit)}: {type(error).__name__}: {error}")
            unexpected.add_note(traceback.format_exc())
            answer = ("error", unexpected)
        try:
            message = pickle.dumps(answer)
        except Exception as error:
            message = pickle.dumps(
                ("error", WorkerError(f"{_label(unit)}: the answer cannot be sent: {error}: {answer[1]}"))
            )
        try:
            pipe.send_bytes(message)
        except OSError:
            return


def _die_with_parent() -> None:
    """End this process when its parent is gone, even in the middle of a unit."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
