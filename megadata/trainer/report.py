"""What one sees of a run: one live line on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import IO, Any

PLAIN_SECONDS = 5.0
"""How often a step is said where there is no terminal."""


class LiveLine:
    """Hears the events of `train` and writes them for people."""

    def __init__(self, name: str = "", out: IO[str] | None = None, *, live: bool | None = None) -> None:
        """Write to `out` (standard error), lines beginning with the name of the run; `live` is whether `out` is a terminal."""
        self._prefix = f"{name}: " if name else ""
        self._out = sys.stderr if out is None else out
        self._live = self._out.isatty() if live is None else live
        self._width = 0
        self._spoken = float("-inf")
        self._began = time.monotonic()
        self._first: int | None = None

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Write what `event` says, where it is worth a line."""
        if event["event"] != "step":
            text = describe(event)
            if text:
                self._line(self._prefix + text)
            return
        if self._first is None:
            self._first, self._began = event["step"], time.monotonic()
        text = self._prefix + describe(event) + self._left(event)
        if self._live:
            self._out.write("\r" + text.ljust(self._width))
            self._out.flush()
            self._width = len(text)
        elif event["step"] == event["steps"] or time.monotonic() - self._spoken >= PLAIN_SECONDS:
            self._spoken = time.monotonic()
            self._line(text)

    def _left(self, event: Mapping[str, Any]) -> str:
        """Time until the last step, once two steps have been seen."""
        done = event["step"] - (self._first or 0)
        if done < 1 or event["step"] >= event["steps"]:
            return ""
        seconds = (time.monotonic() - self._began) / done * (event["steps"] - event["step"])
        return f", {duration(seconds)} left"

    def _line(self, text: str) -> None:
        ending = "\n" if self._live and self._width else ""
        self._out.write(f"{ending}{text}\n")
        self._out.flush()
        self._width = 0


def describe(event: Mapping[str, Any]) -> str:
    """An event of a run as one line; empty where it needs none."""
    kind = event["event"]
    if kind == "start":
        origin = f", going on after step {event['step']}" if event["step"] else ""
        axes = ", ".join(f"{name} {size}" for name, size in event["layout"].items())
        processes = f" x {event['processes']} ({axes})" if event["processes"] > 1 else ""
        return (
            f"{event['parameters']:,} parameters, {event['precision']} on {event['device']}{processes},"
            f" {event['steps']} steps{origin}"
        )
    if kind == "step":
        return (
            f"step {event['step']}/{event['steps']}: loss {event['loss']:.4f}, gradient {event['grad_norm']:.2f},"
            f" lr {event['lr']:.2e}, {event['tokens_per_s']:,.0f} tokens/s"
        )
    if kind == "validation":
        losses = ", ".join(f"{source} {loss:.4f}" for source, loss in event["validation"].items())
        return f"step {event['step']}/{event['steps']}: validation loss {losses}"
    if kind == "stopped":
        return f"stopped after step {event['step']} of {event['steps']}; run the same command again to go on"
    return str(event["text"]) if kind == "note" else ""


def duration(seconds: float) -> str:
    """Seconds for reading: ``42 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
