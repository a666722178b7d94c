"""`megadata dedup --mode lines`, `paragraphs`, `sentences`: what repeats is counted in one read, removed in the next."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from megadata.config import to_dict
from megadata.corpus.dedup import normaliser
from megadata.corpus.dedup.spans.config import SpanConfig
from megadata.corpus.dedup.spans.cut import SEEN
from megadata.corpus.dedup.spans.frame import take_out_of
from megadata.corpus.dedup.spans.report import SpanReport
from megadata.corpus.dedup.spans.survey import FindFrequent, Survey
from megadata.corpus.dedup.spans.write import RECORD, Write
from megadata.documents.ids import NOTE
from megadata.documents.inputs import Inputs
from megadata.documents.job import Job, spec_of
from megadata.documents.publish import Written, write_shards
from megadata.documents.repeats import find_repeats
from megadata.runtime.exchange import Exchange
from megadata.runtime.executor import Executor
from megadata.runtime.files import atomic_write
from megadata.runtime.receipts import Receipt, content_name
from megadata.runtime.settings import RunSettings
from megadata.runtime.step import map_ranges, map_units, mark_spent
from megadata.runtime.units import Unit

VERSION = "2"
"""Raised whenever the same input and configuration would give other output."""


def dedup_spans(inputs: Inputs, output: Path, config: SpanConfig, settings: RunSettings) -> SpanReport:
    """Remove spans that repeat; what is left and what is raised: see `take_out_of`."""

    def phases(job: Job, executor: Executor, units: list[Unit]) -> list[Written]:
        run = _Run(job, config, executor, units)
        run.decide()
        return run.write()

    spec = spec_of("dedup", VERSION, inputs, {**to_dict(config), "normaliser": normaliser.VERSION})
    return take_out_of(inputs, output, spec, config, settings, phases, RECORD)


class _Run:
    """The two reads; each phase passes over what an earlier run has left."""

    def __init__(self, job: Job, config: SpanConfig, executor: Executor, units: list[Unit]) -> None:
        self._job, self._settings = job, job.settings
        self._config, self._executor, self._units = config, executor, units
        self._labels = job.inputs.apart
        folder = job.folder
        self._survey = folder / "survey"
        surveyed = self._map(Survey(self._survey, config, config.read), self._survey, f"dedup: count {config.mode}")
        self._folder = folder / content_name(surveyed)
        self._folder.mkdir(parents=True, exist_ok=True)

    def _map(self, task: Any, folder: Path, name: str) -> list[Receipt]:
        return map_units(self._executor, task, self._units, folder, self._settings.progress, name)

    @property
    def _table(self) -> Path:
        return self._folder / "frequent.npy"

    @property
    def _repeats(self) -> Path:
        return self._folder / "repeats.npy"

    def decide(self) -> None:
        """Leave the table of windows that occur too often, sorted by digest."""
        memory, workers = self._settings.memory, self._settings.workers
        if not self._table.exists():
            find_repeats(self._executor, Exchange(self._survey / "ids", NOTE), self._repeats, memory)
            task = FindFrequent(self._survey / "seen", self._folder / "ranges", self._config.more_than)
            ranges = Exchange(self._survey / "seen", SEEN).ranges(memory, workers, 2 * workers)
            paths = map_ranges(self._executor, task, ranges, self._settings.progress, "dedup: those that repeat")
            found = [np.load(path)["frequent"] for path in paths]
            with atomic_write(self._table, sync=False) as file:
                np.save(file, np.concatenate([np.empty(0, SEEN), *found]))
        mark_spent(self._survey)
        for spent in (self._survey / "seen", self._survey / "ids", self._folder / "ranges"):
            shutil.rmtree(spent, ignore_errors=True)

    def write(self) -> list[Written]:
        """The second read, and its parts put together to shards."""
        target = self._folder / "write"
        task = Write(target, self._config, self._config.read, self._table, self._repeats, self._labels, self._survey)
        config = self._config
        return write_shards(
            self._job, self._executor, task, self._units, target, "dedup: write", config.form, config.shard_bytes
        )
