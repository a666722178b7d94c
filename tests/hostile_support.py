"""Reading hostile files in a process of its own, whose time and memory are bounded and measured."""

from __future__ import annotations

import multiprocessing
import resource
import signal
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from megadata.documents.inputs import recognise  # noqa: F401  (what a reader needs is imported once, by the fork server)
from megadata.documents.registry import source, sources
from megadata.documents.source import Problems, ReadOptions
from megadata.runtime.units import UNIT_BYTES, InputFile

MIB = 1 << 20


@dataclass
class Outcome:
    """What came of reading a file."""

    documents: int = 0
    characters: int = 0
    first: list[str] = field(default_factory=list)
    """Texts of the first documents, at most 200 characters of each."""
    counts: dict[str, int] = field(default_factory=dict)
    kept: int = 0
    """Records set aside whose beginning is kept."""
    seconds: float = 0.0
    """Processor time."""
    mib: float = 0.0
    """Memory that reading added at its peak."""
    error: str = ""
    """Traceback of what was raised, or how the process died."""


def read_guarded(path: Path, kind: str, memory_mib: int = 6144, seconds: int = 60, **options: Any) -> Outcome:
    """Read a file in another process, which is ended where it takes longer or more address space."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hostile_support"])
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(there, str(path), kind, memory_mib, seconds, options))
    child.start()
    there.close()
    try:
        found = here.recv() if here.poll(seconds * 4 + 30) else Outcome(error="no answer in time")
    except EOFError:
        child.join(5)
        found = Outcome(error=f"the process died: exit code {child.exitcode}")
    finally:
        if child.is_alive():
            child.join(2)
        if child.is_alive():
            child.kill()
        child.join()
        here.close()
    return found


def _child(answer: Connection, path: str, kind: str, memory_mib: int, seconds: int, options: dict[str, Any]) -> None:
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds + 2, seconds + 4))
    space = (
        int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if Path("/proc").exists() else 0
    )
    resource.setrlimit(resource.RLIMIT_AS, (space + memory_mib * MIB,) * 2)
    source(kind)
    sources()
    outcome = Outcome()
    before = _rss()
    start = time.process_time()
    try:
        problems = Problems()
        status = Path(path).stat()
        family = options.pop("family", None) or source(kind).default_source
        file = InputFile(Path(path).name, path, status.st_size, status.st_mtime_ns, kind, family, family)
        unit_bytes = options.pop("unit_bytes", UNIT_BYTES)
        for span in source(kind).spans(file, unit_bytes):
            for batch in source(kind).read(span, ReadOptions(**options), problems):
                outcome.documents += len(batch)
                for text in batch.texts:
                    outcome.characters += len(text)
                    if len(outcome.first) < 8:
                        outcome.first.append(text[:200])
        outcome.counts = dict(problems.counts)
        outcome.kept = len(problems.items)
    except BaseException:
        outcome.error = traceback.format_exc()[-2000:]
    outcome.seconds = time.process_time() - start
    outcome.mib = _rss() - before
    answer.send(outcome)
    answer.close()


def _rss() -> float:
    """Most memory that this process has held so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
