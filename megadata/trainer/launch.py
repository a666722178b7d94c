"""Start the processes of a run on this machine, hear their reports, and end all when one fails.

Children come from a forkserver that has torch loaded, so that a world starts in a fraction of a second. No child outlives its
parent: each watches a pipe that closes when the parent is gone. This module does not import torch.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

from megadata.errors import MegadataError, TrainingError
from megadata.runtime.server import prepare

PRELOAD = ("megadata.trainer.loop",)
"""What the forkserver imports before it makes children."""

GRACE = 1.0
"""Seconds in which the error of a second process may turn out to be the cause of the first one's."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A process's place among those that were started together."""

    rank: int = 0
    """Number of this process."""
    world: int = 1
    """Number of processes."""
    local_rank: int = 0
    """Number of this process on its machine."""
    local_world: int = 1
    """Processes on this machine."""
    store: Path | None = None
    """File the processes of one machine meet in; none under torchrun."""


Report = Callable[[dict[str, Any]], None]
"""Hears what happens in a run: a mapping with the key ``event``."""

Task = Callable[..., Any]
"""Called in every process as task(place, report, *arguments); its result in process 0 is the result of all."""


def torchrun_place() -> Place | None:
    """The place that torchrun (or a cluster's launcher like it) gave this process, if it did."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return None
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local_rank = int(os.environ.get("LOCAL_RANK", rank))
    return Place(
        rank=rank, world=world, local_rank=local_rank, local_world=int(os.environ.get("LOCAL_WORLD_SIZE", world))
    )


def launch(nproc: int, task: Task, arguments: tuple[Any, ...], report: Report) -> Any:
    """Run `task` in `nproc` new processes and return what it returns in process 0.

    Parameters
    ----------
    task
        A function of a module; called as task(place, report, *arguments). Its reports are heard by `report` here.

    Raises
    ------
    MegadataError
        The error of the process that failed first, as it was raised there.
    TrainingError
        If a process died or raised anything else; the sentence names it.
    """
    context = multiprocessing.get_context("forkserver")
    prepare(*PRELOAD)
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="megadata-") as folder, contextlib.ExitStack() as stack:
        alive, held = context.Pipe(duplex=False)
        stack.callback(held.close)
        world: list[tuple[BaseProcess, Connection]] = []
        stack.callback(_end, world)
        for rank in range(nproc):
            place = Place(rank=rank, world=nproc, local_rank=rank, local_world=nproc, store=Path(folder) / "store")
            here, there = context.Pipe(duplex=False)
            process = context.Process(
                target=_child, args=(environment, place, task, arguments, there, alive), daemon=True
            )
            process.start()
            there.close()
            world.append((process, here))
        alive.close()
        servers: set[int] = set()
        try:
            with _forward_termination(world):
                return _listen(world, report, servers)
        except KeyboardInterrupt:
            _end(world)
            for server in servers:  # with torch loaded it would take seconds to leave by itself
                os.kill(server, signal.SIGKILL)
            raise


def _listen(world: list[tuple[BaseProcess, Connection]], report: Report, servers: set[int]) -> Any:
    """Hear all processes until each has ended; the first failure ends the others. `servers` gets the forkserver's number."""
    result: Any = None
    failures: list[tuple[int, BaseException | None, str]] = []
    pending = {connection: rank for rank, (_, connection) in enumerate(world)}
    deadline: float | None = None
    while pending and (deadline is None or time.monotonic() < deadline):
        for ready in wait(list(pending), timeout=None if deadline is None else max(0.0, deadline - time.monotonic())):
            assert isinstance(ready, Connection)
            rank = pending[ready]
            try:
                kind, content = ready.recv()
            except (EOFError, OSError):
                del pending[ready]
                process = world[rank][0]
                process.join()
                if process.exitcode and not any(number == rank for number, _, _ in failures):
                    failures.append((rank, None, _death(process.exitcode)))
                    deadline = deadline or time.monotonic() + GRACE
                continue
            if kind == "event":
                report(content)
            elif kind == "server":
                servers.add(content)
            elif kind == "result":
                result = content if rank == 0 else result
            else:
                failures.append((rank, *content))
                deadline = deadline or time.monotonic() + GRACE
    if failures:
        raise _cause(failures, len(world))
    return result


def _cause(failures: list[tuple[int, BaseException | None, str]], world: int) -> MegadataError:
    """The failure that explains the others: one of our own, else a death, else the first."""
    for _, error, _ in failures:
        if isinstance(error, MegadataError):
            return error
    rank, _, text = next((failure for failure in failures if failure[1] is None), failures[0])
    wrapped = TrainingError(f"process {rank} of {world} {text.strip().splitlines()[-1]}; all processes were ended")
    if len(text.splitlines()) > 1:
        wrapped.__cause__ = RuntimeError(text)
    return wrapped


def _death(exitcode: int) -> str:
    if exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = " (killed; out of memory?)" if -exitcode == signal.SIGKILL else ""
        return f"was ended by {name}{hint}"
    return f"ended with exit code {exitcode}"


def _end(world: list[tuple[BaseProcess, Connection]]) -> None:
    for process, connection in world:
        connection.close()
        if process.is_alive():
            process.kill()
    for process, _ in world:
        process.join()


@contextlib.contextmanager
def _forward_termination(world: list[tuple[BaseProcess, Connection]]) -> Iterator[None]:
    """Pass SIGTERM on to the processes, which save and end well."""

    def forward(number: int, frame: FrameType | None) -> None:
        for process, _ in world:
            if process.is_alive():
                process.terminate()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, forward)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _child(
    environment: dict[str, str],
    place: Place,
    task: Task,
    arguments: tuple[Any, ...],
    out: Connection,
    alive: Connection,
) -> None:
    os.environ.clear()
    os.environ.update(environment)  # the server has its own
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and ends its children
    threading.Thread(target=_watch, args=(alive,), daemon=True).start()
    out.send(("server", os.getppid()))
    try:
        result = task(place, lambda event: out.send(("event", event)), *arguments)
        out.send(("result", result if place.rank == 0 else None))
    except BaseException as error:
        text = f"{traceback.format_exc()}\nfailed with {type(error).__name__}: {_first_line(error)}"
        out.send(("failure", (_portable(error), text)))
        out.close()
        os._exit(1)  # other threads may wait for processes that are gone
    out.close()


def _watch(alive: Connection) -> None:
    """End this process when the parent's end of the pipe closes."""
    with contextlib.suppress(EOFError, OSError):
        alive.recv()
    os._exit(1)


def _portable(error: BaseException) -> BaseException:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(_first_line(error))
    return error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]
