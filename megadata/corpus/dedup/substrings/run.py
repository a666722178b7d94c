"""`megadata dedup --mode substrings`: strings of some length that occur before are found, byte by byte, and taken out.

1. Survey: each unit is read; its windows are cut into stretches, and their anchors counted. Those that occur once are done with.
2. Collect: each unit is read; the bytes of the other stretches go to the exchange, keyed by anchor, in order of rank.
3. Find: of each window the first occurrence, a range of anchors at a time. Every window that goes was compared with it.
4. Write: each unit is read once more; what is covered by windows that occur before goes, whole sentences or lines of it.

Every phase leaves files that a later run of the same command finds.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from megadata.config import to_dict
from megadata.corpus.dedup.spans.frame import take_out_of
from megadata.corpus.dedup.spans.report import SpanReport
from megadata.corpus.dedup.substrings.collect import Collect
from megadata.corpus.dedup.substrings.config import SubstringConfig
from megadata.corpus.dedup.substrings.find import SHARE, FindFirst
from megadata.corpus.dedup.substrings.stretches import ANCHOR, RUN, STRETCH
from megadata.corpus.dedup.substrings.survey import FindRepeated, Survey
from megadata.corpus.dedup.substrings.write import RECORD, Write
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

VERSION = "3"
"""Raised whenever the same input and configuration would give other output."""


def dedup_substrings(inputs: Inputs, output: Path, config: SubstringConfig, settings: RunSettings) -> SpanReport:
    """Remove strings that occur before; what is left and what is raised: see `take_out_of`."""

    def phases(job: Job, executor: Executor, units: list[Unit]) -> list[Written]:
        run = _Run(job, config, executor, units)
        run.survey()
        run.collect()
        run.find()
        return run.write()

    spec = spec_of("dedup", VERSION, inputs, {"mode": "substrings", **to_dict(config)})
    return take_out_of(inputs, output, spec, config, settings, phases, RECORD)


def _join(parts: list[Path], target: Path) -> None:
    """Write the anchors of all ranges as one array, without holding them all."""
    total = sum(int(np.load(part)["repeated"].size) for part in parts)
    with atomic_write(target, sync=False) as file:
        header = {"descr": "<u8", "fortran_order": False, "shape": (total,)}
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.load(part)["repeated"].data)


class _Run:
    """One run over the phases; every phase passes over what an earlier run has left."""

    def __init__(self, job: Job, config: SubstringConfig, executor: Executor, units: list[Unit]) -> None:
        self._job, self._settings = job, job.settings
        self._config, self._executor, self._units = config, executor, units
        self._labels = job.inputs.apart
        self._survey = job.folder / "survey"
        self._under = job.folder

    def _map(self, task: Any, folder: Path, name: str) -> list[Receipt]:
        return map_units(self._executor, task, self._units, folder, self._settings.progress, f"dedup: {name}")

    @property
    def _repeated(self) -> Path:
        return self._folder / "repeated.npy"

    @property
    def _repeats(self) -> Path:
        return self._folder / "repeats.npy"

    @property
    def _collected(self) -> Path:
        return self._folder / "collect"

    @property
    def _runs(self) -> Path:
        return self._folder / "runs"

    def survey(self) -> None:
        """Phase 1: leave the anchors that occur more than once."""
        surveyed = self._map(Survey(self._survey, self._config), self._survey, "survey")
        self._folder = self._under / content_name(surveyed)  # what follows depends on all bytes that were read
        self._folder.mkdir(parents=True, exist_ok=True)
        memory, workers = self._settings.memory, self._settings.workers
        if not self._repeated.exists():
            find_repeats(self._executor, Exchange(self._survey / "ids", NOTE), self._repeats, memory)
            anchors = Exchange(self._survey / "anchors", ANCHOR)
            ranges = anchors.ranges(memory, workers, 2 * workers)
            task = FindRepeated(anchors.folder, self._folder / "ranges")
            progress = self._settings.progress
            paths = map_ranges(self._executor, task, ranges, progress, "dedup: anchors that repeat")
            _join(paths, self._repeated)
        mark_spent(self._survey)
        for spent in (self._survey / "anchors", self._survey / "ids", self._folder / "ranges"):
            shutil.rmtree(spent, ignore_errors=True)

    def collect(self) -> None:
        """Phase 2: leave the stretches whose anchors these are."""
        task = Collect(self._collected, self._config, self._repeated, self._repeats, self._survey)
        self._map(task, self._collected, "collect")

    def find(self) -> None:
        """Phase 3: leave the windows that occur before."""
        memory, workers = self._settings.memory, self._settings.workers
        if not self._runs.exists():
            stretches = Exchange(self._collected / "stretches", STRETCH)
            ranges = stretches.ranges(memory // SHARE, workers, 2 * workers)
            target = self._folder / f"runs-{memory}-{workers}"  # other ranges would not fit these
            target.mkdir(exist_ok=True)
            task = FindFirst(stretches.folder, target, self._config.length, memory // (2 * workers))
            map_ranges(self._executor, task, ranges, self._settings.progress, "dedup: compare")
            Exchange(target, RUN).ranges(memory, workers)  # merges them where they are very many
            target.rename(self._runs)
        mark_spent(self._collected)
        for spent in (self._collected / "stretches", *self._folder.glob("runs-*")):
            shutil.rmtree(spent, ignore_errors=True)

    def write(self) -> list[Written]:
        """Phase 4, and its parts put together to shards."""
        target = self._folder / "write"
        task = Write(target, self._config, self._collected, self._runs, self._repeats, self._labels, self._survey)
        config = self._config
        return write_shards(
            self._job, self._executor, task, self._units, target, "dedup: write", config.form, config.shard_bytes
        )
