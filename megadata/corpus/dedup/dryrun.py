"""`dedup --dry-run`: what a deduplication of these inputs will take, before it is begun.

A portion of the inputs goes through the phases themselves, in one process and a folder of its own, while the clock, the disk and
the memory are watched; everything is then scaled to all documents. How many copies the whole holds cannot be seen in a part of
it, so what depends on that is given twice: with as many candidates as the portion has, and with every document a candidate.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from megadata.corpus.dedup import records
from megadata.corpus.dedup.config import DedupConfig
from megadata.corpus.dedup.phases import Phases
from megadata.corpus.dedup.ranges import range_bytes
from megadata.corpus.dedup.sample import Portion, portion
from megadata.corpus.dedup.verdicts import CLUSTER, VERDICT, Found
from megadata.documents.inputs import Inputs, expand, plan, read_unit
from megadata.documents.job import Job
from megadata.documents.shards import encode_lines
from megadata.documents.source import Problems, ReadOptions
from megadata.errors import CorpusError
from megadata.kernels.base import compile_all
from megadata.runtime.executor import LocalExecutor
from megadata.runtime.files import atomic_write
from megadata.runtime.footprint import peak_memory, resident_memory
from megadata.runtime.manifest import StepSpec
from megadata.runtime.progress import Reporter, Stage
from megadata.runtime.settings import RunSettings

TEXT_BYTES = 48 << 20
"""Bytes of text that are tried."""
_WARM_UP = 200
"""Documents that go through the phases before the clock runs, so that kernels are loaded."""
_LEAST_MEMORY = 64 << 20
"""Budget of the trial: key ranges stay small, so that its memory is that of units."""
_START_SECONDS = 1.0
"""A command and its workers start in about this time."""
_ARRAYS = 12
"""Bytes a document has in arrays of the main process: 4 for its component, the rest for flags, some of them twice."""
_REMOVED = 3 * VERDICT.itemsize + 2 * CLUSTER.itemsize + 64
"""Bytes a removed document has in the main process while verdicts are put together, with the name of the one that stays."""
_IN_RANGE = 3
"""Times that a worker holds a key range: as it is read, in order, and what it makes of it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """With as many candidates as the portion has, and with every document a candidate."""

    least: float
    most: float

    def __add__(self, other: Bounds) -> Bounds:
        return Bounds(self.least + other.least, self.most + other.most)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a run will take."""

    documents: int
    share: float
    """Of the input's bytes, how much was tried."""
    sampled: int
    """Documents that were tried."""
    text_bytes: int
    candidates: float
    """Share of the sampled documents that share a band value with another one of them."""
    workers: int
    memory: int
    base: int
    """Bytes of memory of a process that has loaded everything and done nothing."""
    seconds: dict[str, Bounds]
    """By phase, with all workers."""
    disk: dict[str, Bounds]
    """Bytes by what they are: the work folder at its fullest, and the output."""
    ram: dict[str, Bounds]
    """Bytes of the main process, and of each worker."""

    @property
    def total_seconds(self) -> Bounds:
        """From the first byte to the last."""
        return sum(self.seconds.values(), Bounds(0, 0))

    @property
    def total_ram(self) -> Bounds:
        """Of all processes together at their fullest."""
        main, worker = self.ram["main process"], self.ram["each worker"]
        if self.workers == 1:  # all work is done in the main process
            return main + Bounds(worker.least - self.base, worker.most - self.base)
        return sum([worker] * self.workers, main)

    @property
    def total_disk(self) -> Bounds:
        """What must be free."""
        return Bounds(max(b.least for b in self.disk.values()), max(b.most for b in self.disk.values()))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        totals = {name: asdict(getattr(self, f"total_{name}")) for name in ("seconds", "ram", "disk")}
        return {**asdict(self), "total": totals}


class _Watch(Reporter):
    """Seconds of each stage, and the bytes below a folder at its end."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.seconds: dict[str, float] = {}
        self.disk: dict[str, int] = {}

    @contextmanager
    def stage(self, name: str, total: float, unit: str = "bytes") -> Iterator[Stage]:
        began = time.process_time()
        with super().stage(name, total, unit) as stage:
            yield stage
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - began
        self.disk[name] = _stored(self.folder)


def _stored(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class _AllCandidates(Phases):
    """The phases with every document taken for a candidate."""

    candidates = 0

    def _company(self, removed: Sequence[Found]) -> Any:
        company = super()._company(removed)
        self.candidates = int(company.sum())
        with atomic_write(self.folder / "company.npy", sync=False) as file:
            np.save(file, np.ones(company.size, np.bool_))
        return np.load(self.folder / "company.npy", mmap_mode="r")


@dataclass(slots=True)
class _Trial:
    """What the portion took."""

    seconds: dict[str, float] = field(default_factory=dict)
    reading: float = 0.0
    """Seconds of reading the portion as it lies in the trial's folder."""
    disk: dict[str, int] = field(default_factory=dict)
    candidates: int = 0
    removed: int = 0
    peak: int = 0
    """Bytes of memory of the process at the most."""


def predict(inputs: Inputs, config: DedupConfig, settings: RunSettings, for_index: bool = False) -> Prediction:
    """Try a portion of the inputs, and scale what it took.

    Raises
    ------
    CorpusError
        If the portion holds no documents.
    """
    compile_all(settings.progress.note)
    with TemporaryDirectory(prefix="megadata-dry-run-") as scratch:
        base = resident_memory()
        warm, tried = (Path(scratch) / name for name in ("warm.jsonl", "tried.jsonl"))
        with tried.open("wb") as file:
            found = portion(
                inputs.files,
                config.read,
                config.unit_bytes,
                TEXT_BYTES,
                lambda docs: file.writelines(encode_lines(docs)),
            )
        if found.sampled == 0:
            raise CorpusError(f"--dry-run: expected documents to try, found none in {inputs.files[0].name}")
        with tried.open("rb") as file:
            warm.write_bytes(b"".join(islice(file, _WARM_UP)))
        _try(warm, config, for_index, settings)
        trial = _try(tried, config, for_index, settings)
    return _scale(found, trial, base, config, settings)


def _try(path: Path, config: DedupConfig, for_index: bool, settings: RunSettings) -> _Trial:
    """Put the documents of a file through all phases, with every one of them a candidate."""
    own = replace(config, read=ReadOptions())
    inputs = expand([str(path)])
    units = plan(inputs.files, config.unit_bytes)
    work = path.with_suffix("")
    watch = _Watch(work)
    trial = _Trial()
    began = time.process_time()
    for unit in units:
        for _ in read_unit(unit, own.read, Problems()):
            pass
    trial.reading = time.process_time() - began
    alone = settings.replace(workers=1, memory=_LEAST_MEMORY, progress=watch, kept=None)
    with peak_memory() as peak:
        spec = StepSpec(name="dedup", version="", config={})
        job = Job(work, spec, alone, work, (), None, None, inputs, own.read, own.unit_bytes)
        run = _AllCandidates(job, own, LocalExecutor(1), units, (), for_index)
        run.decide()
        receipts = run.write()[0].receipts
    trial.peak, trial.seconds, trial.disk = peak.bytes, watch.seconds, watch.disk
    trial.candidates = run.candidates
    trial.removed = sum(part.documents for r in receipts for name, part in r.parts.items() if name == "removed")
    return trial


_PHASES = {
    "read, shingle and sign": ("dedup: survey",),
    "find exact copies and shared bands": ("dedup: exact copies", "dedup: bands"),
    "read candidates": ("dedup: collect candidates",),
    "compare": ("dedup: compare",),
    "read and write": ("dedup: write", "assemble shards"),
}
_READING = ("read, shingle and sign", "read candidates", "read and write")
_OF_CANDIDATES = ("read candidates", "compare")
_SURVEYED = ("dedup: survey", "dedup: exact copies", "dedup: bands")
_COLLECTED = ("dedup: collect candidates", "dedup: compare")


def _scale(found: Portion, trial: _Trial, base: int, config: DedupConfig, settings: RunSettings) -> Prediction:
    times = max(found.documents / found.sampled, 1.0)
    share = trial.candidates / found.sampled
    documents = round(found.documents)
    return Prediction(
        documents,
        found.share,
        found.sampled,
        round(found.text_bytes * times),
        share,
        settings.workers,
        settings.memory,
        base,
        _seconds(found, trial, times, share, settings.workers),
        _disk(trial, times, share),
        _ram(found, trial, base, times, share, config, settings),
    )


def _seconds(found: Portion, trial: _Trial, times: float, share: float, workers: int) -> dict[str, Bounds]:
    slower = found.seconds - trial.reading  # how much longer the portion takes to read as it lies in the inputs
    seconds = {"start": Bounds(_START_SECONDS, _START_SECONDS)}
    for name, stages in _PHASES.items():
        took = sum(trial.seconds.get(stage, 0.0) for stage in stages)
        read = 0.0
        if name in _READING and took:
            took, read = max(took + slower, found.seconds), found.seconds
        few = read + share * (took - read) if name in _OF_CANDIDATES else took
        seconds[name] = Bounds(few * times / workers, took * times / workers)
    return seconds


def _disk(trial: _Trial, times: float, share: float) -> dict[str, Bounds]:
    def most(names: Sequence[str]) -> int:
        return max((trial.disk[name] for name in names if name in trial.disk), default=0)

    surveyed, collected = most(_SURVEYED), most(_COLLECTED)
    if not collected:  # --exact-only compares no sets
        collected = surveyed
    written = most(_PHASES["read and write"])
    return {
        "while comparing": Bounds((surveyed + share * (collected - surveyed)) * times, collected * times),
        "while writing": Bounds(written * times, written * times),
    }


def _ram(
    found: Portion,
    trial: _Trial,
    base: int,
    times: float,
    share: float,
    config: DedupConfig,
    settings: RunSettings,
) -> dict[str, Bounds]:
    surveyed, collected = (
        max((trial.disk[n] for n in names if n in trial.disk), default=0) for names in (_SURVEYED, _COLLECTED)
    )
    sets = max(collected - surveyed, 0)
    bands = 0 if config.exact_only else found.sampled * config.shape[0] * records.BANDS.itemsize
    budget = range_bytes(settings.memory, settings.workers)
    main, worker = [], []
    for part, gone in ((share, trial.removed / found.sampled), (1.0, 1.0)):
        held = _IN_RANGE * min(max(bands, sets * part) * times, budget)
        main.append(base + held + found.documents * (_ARRAYS + gone * _REMOVED))
        worker.append(max(float(trial.peak), base + held))
    return {"main process": Bounds(*main), "each worker": Bounds(*worker)}
