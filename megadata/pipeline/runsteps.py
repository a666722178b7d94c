"""A training run as its data saw it: which samples each step was given. No torch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import orjson

from megadata.errors import ConfigError, CorpusError
from megadata.indexed.blend import Blend
from megadata.indexed.loader import rebased
from megadata.indexed.order import I64
from megadata.indexed.samples import Location, Origin, SourceStream
from megadata.indexed.state import state_origin
from megadata.indexed.stream import TokenRange
from megadata.trainer.checkpointfiles import checkpoints_folder, newest_first, open_checkpoint
from megadata.trainer.data import open_data
from megadata.trainer.metrics import metrics_path, read_metrics
from megadata.trainer.runfolder import read_run_config

TAIL_BYTES = 1 << 20
"""The last line of a step lies within so many bytes of the end of metrics.jsonl."""


class Windows(Protocol):
    """The windows of a blend, which say where they lie."""

    @property
    def sources(self) -> tuple[SourceStream, ...]:
        """The sources that samples come from."""

    def locate(self, k: int) -> Location:
        """Where sample `k` lies."""


class Traced(Protocol):
    """Samples that tell which tokens they cover, and which of them cover given tokens."""

    samples: Windows

    def ranges(self, k: int) -> tuple[TokenRange, ...]:
        """The tokens of datasets that sample `k` covers."""

    def showing(self, source: str, start: int, stop: int, before: int) -> I64:
        """The samples below `before` that cover any of these tokens of a source."""


@dataclass(frozen=True, slots=True)
class RunSteps:
    """The samples of a run and the steps that took them."""

    run: Path
    samples: Traced
    first: int
    """The first step."""
    starts: Sequence[int]
    """First sample of each step from `first` on."""
    end: int
    """One past the last sample that a step took."""

    @property
    def steps(self) -> int:
        """The last step."""
        return self.first + len(self.starts) - 1

    def taken(self, step: int) -> range:
        """The samples of a step.

        Raises
        ------
        ConfigError
            If the run has not taken that step.
        """
        if not self.first <= step <= self.steps:
            raise ConfigError(
                f"{self.run}: step {step} asked for, the run has taken the steps {self.first} to {self.steps}"
            )
        at = step - self.first
        return range(self.starts[at], self.starts[at + 1] if step < self.steps else self.end)

    def step_of(self, sample: int) -> int:
        """The step that took a sample."""
        return self.first - 1 + bisect_right(self.starts, sample)


def open_run(run: Path) -> RunSteps:
    """Open what a run was trained on; nothing is read but its configuration, its blend and its metrics.

    Raises
    ------
    ConfigError
        If the folder holds no run, it has not taken a step, or its data is gone.
    """
    config = read_run_config(run)
    data = open_data(config, Blend.load(run / "blend.yaml"))
    samples = cast(Traced, data.samples)
    if (origin := _origin(run)) is not None:
        samples = rebased(samples, origin)
    size = config.data.batch_size
    last = _last_step(run)
    if last is None:
        raise ConfigError(f"{run}: the run has not taken a step yet; its metrics.jsonl has no line")
    end = last["first_sample"] + size
    if last["first_sample"] == (last["step"] - 1) * size:
        return RunSteps(run, samples, 1, range(0, end, size), end)
    starts = {line["step"]: line["first_sample"] for line in read_metrics(run) if "first_sample" in line}
    first = min(starts)
    if sorted(starts) != list(range(first, last["step"] + 1)):
        raise ConfigError(
            f"{metrics_path(run)}: has not a line for each of the steps {first} to {last['step']}; restore it"
        )
    return RunSteps(run, samples, first, [starts[step] for step in sorted(starts)], end)


def _origin(run: Path) -> Origin | None:
    """Where the samples of a run begin that went on from others, as its newest checkpoint says."""
    for path in newest_first(checkpoints_folder(run)):
        try:
            return state_origin(open_checkpoint(path, verify=False).state["loader"])
        except CorpusError:
            continue
    return None


def _last_step(run: Path) -> dict[str, Any] | None:
    """The last line that speaks of a step."""
    path = metrics_path(run)
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        lines = file.read().split(b"\n")
    for line in reversed(lines):
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if "first_sample" in found:
            return dict(found)
    return None
