"""RUN/metrics.jsonl: one line a step, one more for each validation; cut back to the checkpoint when a run goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import orjson

from megadata.runtime.files import atomic_write, explain


def metrics_path(run: Path) -> Path:
    """Where a run's metrics lie."""
    return run / "metrics.jsonl"


def read_metrics(run: Path) -> Iterator[dict[str, Any]]:
    """All whole lines of a run's metrics, in order; a line cut short by a kill ends them."""
    path = metrics_path(run)
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError:
                return


class MetricsFile:
    """Appends lines; each is in the file when `write` returns."""

    def __init__(self, run: Path, *, step: int) -> None:
        """Go on after `step`: later lines are dropped, since the run will write them again."""
        path = metrics_path(run)
        kept = [line for line in read_metrics(run) if line["step"] <= step]
        with atomic_write(path) as file:
            for line in kept:
                file.write(_encode(line))
        try:
            self._file: IO[bytes] = path.open("ab", buffering=0)
        except OSError as error:
            raise explain(error, path) from error

    def write(self, line: dict[str, Any]) -> None:
        """Append one line."""
        self._file.write(_encode(line))

    def sync(self) -> None:
        """Have all lines on disk."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> MetricsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _encode(line: dict[str, Any]) -> bytes:
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
