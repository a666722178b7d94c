"""Settings of a run that change how fast it is and never what it writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from megadata.errors import ConfigError
from megadata.runtime.executor import Executor, LocalExecutor, default_workers
from megadata.runtime.progress import Reporter

_SUFFIXES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """Bytes in ``8G``, ``500M`` or ``1000``; suffixes are powers of 1,024."""
    cleaned = text.strip().upper().removesuffix("B").removesuffix("I")
    number, suffix = (cleaned[:-1], cleaned[-1]) if cleaned and cleaned[-1] in "KMGT" else (cleaned, "")
    try:
        size = int(float(number) * _SUFFIXES[suffix])
    except ValueError:
        size = 0
    if size <= 0:
        raise ConfigError(f"size {text!r}: expected a number with K, M, G or T, for example 8G")
    return size


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSettings:
    """Workers, memory and where progress goes."""

    workers: int = field(default_factory=default_workers)
    memory: int = 4 << 30
    """Bytes that all workers together may use for sorting and tables."""
    progress: Reporter = field(default_factory=Reporter)

    kept: Executor | None = None
    """Workers that outlive a step; see `keep_workers`."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"--workers must be at least 1, got {self.workers}")
        if self.memory < 64 << 20:
            raise ConfigError(f"--memory must be at least 64M, got {self.memory} bytes")

    @contextmanager
    def executor(self) -> Iterator[Executor]:
        """Workers for the length of the block; kernels are compiled before the first of them starts."""
        from megadata.kernels.base import compile_all

        if self.kept is not None:
            yield self.kept
            return
        compile_all(self.progress.note)
        executor = LocalExecutor(self.workers, self.progress.note)
        try:
            yield executor
        finally:
            executor.close()

    @contextmanager
    def keep_workers(self) -> Iterator[RunSettings]:
        """Settings whose steps all share the same workers, which end with the block."""
        with self.executor() as executor:
            yield self.replace(kept=executor)

    def replace(self, **changes: Any) -> RunSettings:
        """The same settings with some fields changed."""
        return replace(self, **changes)
