"""Progress: a live line on a terminal, plain lines elsewhere, JSON lines for machines on request."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PLAIN_SECONDS = 5.0
"""How often a stage says where it is when the output is not a terminal."""


def human(count: float, unit: str = "bytes") -> str:
    """A count for reading: ``1.2 GB``, ``34.5 k documents``."""
    suffixes = ("", "k", "M", "G", "T") if unit != "bytes" else ("B", "kB", "MB", "GB", "TB")
    level = 0
    while abs(count) >= 999.5 and level < 4:
        count /= 1000
        level += 1
    number = f"{count:.0f}" if level == 0 else f"{count:.1f}" if count < 99.95 else f"{count:.0f}"
    return f"{number} {suffixes[level]}{'' if unit == 'bytes' else ' ' + unit}".replace("  ", " ")


@dataclass(slots=True)
class Stage:
    """One stage under way; the runner calls `advance` as units are finished."""

    name: str
    total: float
    unit: str
    reporter: Reporter
    done: float = 0
    began: float = field(default_factory=time.monotonic)
    spoken: float = field(default_factory=time.monotonic)
    bar: TaskID | None = None

    @property
    def rate(self) -> float:
        """Units per second so far."""
        return self.done / max(time.monotonic() - self.began, 1e-9)

    def advance(self, amount: float, **counts: int) -> None:
        """Say that `amount` more of the total is done."""
        self.done += amount
        self.reporter._event(
            {"event": "progress", "stage": self.name, "done": self.done, "total": self.total, **counts}
        )
        self.reporter._show(self)

    def line(self) -> str:
        """Where the stage is, as one plain line."""
        share = f"{100 * self.done / self.total:.0f} %" if self.total else "100 %"
        left = (self.total - self.done) / self.rate if self.done else 0
        eta = f", {left // 60:.0f}:{left % 60:02.0f} left" if self.done else ""
        return f"{self.name}: {share} of {human(self.total, self.unit)}, {human(self.rate, self.unit)}/s{eta}"


@dataclass(slots=True)
class Reporter:
    """Where progress goes: `stream` for people, `events` for machines. Quiet when `stream` is None."""

    stream: IO[str] | None = None
    events: Path | None = None
    _live: Progress | None = None

    @classmethod
    def console(cls, events: Path | None = None) -> Reporter:
        """Progress on standard error."""
        return cls(sys.stderr, events)

    @contextmanager
    def stage(self, name: str, total: float, unit: str = "bytes") -> Iterator[Stage]:
        """A stage of known size; its end is announced with the rate."""
        stage = Stage(name, total, unit, self)
        self._event({"event": "start", "stage": name, "total": total, "unit": unit})
        if self.stream is not None and self.stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
            )
            self._live = Progress(*columns, console=Console(file=self.stream), transient=True)
            try:
                with self._live:
                    stage.bar = self._live.add_task(name, total=total or 1, rate="")
                    yield stage
            finally:
                self._live = None
        else:
            yield stage
        seconds = time.monotonic() - stage.began
        self._event({"event": "end", "stage": name, "done": stage.done, "seconds": round(seconds, 3)})
        if self.stream is not None and stage.done:
            rate = f", {human(stage.rate, unit)}/s" if seconds >= 0.1 else ""
            print(f"{name}: {human(stage.done, unit)} in {seconds:.1f} s{rate}", file=self.stream, flush=True)

    def note(self, text: str) -> None:
        """One line that stays."""
        self._event({"event": "note", "text": text})
        if self._live is not None:
            self._live.console.print(text, highlight=False, markup=False)
        elif self.stream is not None:
            print(text, file=self.stream, flush=True)

    def _show(self, stage: Stage) -> None:
        if self._live is not None and stage.bar is not None:
            self._live.update(stage.bar, completed=stage.done, rate=f"{human(stage.rate, stage.unit)}/s")
        elif self.stream is not None and time.monotonic() - stage.spoken > PLAIN_SECONDS:
            stage.spoken = time.monotonic()
            print(stage.line(), file=self.stream, flush=True)

    def _event(self, content: dict[str, Any]) -> None:
        if self.events is not None:
            with self.events.open("ab") as file:
                file.write(orjson.dumps({"time": round(time.time(), 3), **content}, option=orjson.OPT_APPEND_NEWLINE))
