"""`megadata decontaminate`: text that evaluation sets hold is taken out of training documents, or told of.

1. Index: the evaluation sets are read; their n-grams become arrays that workers map into memory.
2. Count, only where common n-grams are to be ignored: each unit is read; the documents of each n-gram are counted.
3. Write: each unit is read; documents without matches pass, the others are cut, removed or told of, with the evidence.

Every phase leaves files that a later run of the same command finds, and none of them depends on workers or memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from megadata import formats
from megadata.config import to_dict
from megadata.corpus.decontaminate import evaluation, evidence
from megadata.corpus.decontaminate.config import DecontaminateConfig
from megadata.corpus.decontaminate.evaluation import Evaluation
from megadata.corpus.decontaminate.index import Index, build
from megadata.corpus.decontaminate.write import OUTCOMES, Count, Write, added, counts_path
from megadata.corpus.dedup import normaliser
from megadata.documents.ids import STREAMS, qualified
from megadata.documents.inputs import Inputs, plan, source_versions
from megadata.documents.job import Job, open_job, refuse_label_of_removed, spec_of
from megadata.documents.publish import BESIDE, Beside, Written, publish_outputs
from megadata.documents.repeats import repeats_of
from megadata.documents.settle import settle
from megadata.errors import CorpusError
from megadata.kernels.base import I64
from megadata.runtime.executor import Executor
from megadata.runtime.files import atomic_write, read_json
from megadata.runtime.manifest import StepSpec
from megadata.runtime.receipts import Receipt
from megadata.runtime.settings import RunSettings
from megadata.runtime.step import assemble_shards, map_units, mark_spent
from megadata.runtime.units import InputFile, Unit

VERSION = "1"
"""Raised whenever the same input and configuration would give other output."""

MOST_NGRAMS = 20
"""N-grams of the most documents that are told of."""


@dataclass(frozen=True, slots=True)
class SetReport:
    """One evaluation set."""

    name: str
    items: int
    searched: int
    """Items with a text that is long enough to be looked for."""
    matched: int
    """Items of which some document holds an n-gram."""
    documents: int
    """Documents that hold an n-gram of the set."""


@dataclass(frozen=True, slots=True)
class DecontaminateReport:
    """What went in, what came out, and which evaluation items were found."""

    output: Path
    counts: dict[str, Any]
    sets: list[SetReport]
    ngrams: list[tuple[str, int]]
    """The n-grams found in the most documents, and in how many."""
    ignored: int = 0
    """N-grams that were passed over because too many documents hold them."""
    current: bool = False
    """Whether everything was already done."""
    passed_over: list[str] = field(default_factory=list)

    def of(self, name: str, source: str) -> int:
        """A counter of one source."""
        return int(self.counts.get(f"{name}|{source}", 0))

    @property
    def sources(self) -> list[str]:
        """Labels of the sources read."""
        return sorted({k.split("|")[1] for k in self.counts if k.startswith("documents_in|")})

    def removed(self, source: str) -> int:
        """Documents of a source that were removed whole."""
        return sum(int(v) for k, v in self.counts.items() if k.startswith(f"removed|{source}|"))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "output": str(self.output),
            "current": self.current,
            "counts": self.counts,
            "sets": [to_dict(one) for one in self.sets],
            "ngrams": [{"ngram": text, "documents": number} for text, number in self.ngrams],
            "ignored": self.ignored,
        }


def decontaminate(
    inputs: Inputs, against: Sequence[str], output: Path, config: DecontaminateConfig, settings: RunSettings
) -> DecontaminateReport:
    """Take what evaluation sets hold out of documents; write shards, removed documents, evidence, statistics and manifests.

    Named inputs each get a folder of their own below `output`; all others share `output` itself.

    Parameters
    ----------
    against : evaluation sets, as inputs are named; ``NAME=EVAL`` makes one set of all files behind it.

    Raises
    ------
    CorpusError, ConfigError, OutputError, WorkerError
        With one sentence each; run again, the same command goes on where it stopped.
    """
    refuse_label_of_removed(inputs.labels)
    inputs = replace(inputs, files=_by_name(inputs))
    found = evaluation.find(against, config.evaluation)
    spec = _spec(inputs, found, config)
    beside, apart = (*BESIDE, evidence.FILE), inputs.apart
    with open_job(inputs, output, spec, config.read, config.unit_bytes, settings, beside=beside, apart=apart) as job:
        if job.current is not None:
            return _report(output, job.current.totals, True, inputs.passed_over)
        with job.workers() as (executor, files):
            run = _Run(job, config, executor, files)
            run.index(found)
            run.count()
            parts = [run.write(label) for label in run.labels or ("",)]
        totals = run.totals(parts)
        written = [part.written for part in parts]
        form = None if config.mode == "report" else config.form
        publish_outputs(job, written, _renumbered(written), totals, form, lambda: run.evidence(output, parts, totals))
    return _report(output, totals, False, inputs.passed_over)


def _by_name(inputs: Inputs) -> list[InputFile]:
    """The files, those of one named input together."""
    if not inputs.labels:
        return inputs.files
    order = list(dict.fromkeys(file.source for file in inputs.files))
    return sorted(inputs.files, key=lambda file: order.index(file.source))


def _spec(inputs: Inputs, against: Inputs, config: DecontaminateConfig) -> StepSpec:
    told = {
        **to_dict(config),
        "normaliser": normaliser.VERSION,
        "against": evaluation.digests(against),
        "against_sources": source_versions(against.files),
    }
    return spec_of("decontaminate", VERSION, inputs, told)


def _report(output: Path, totals: dict[str, Any], current: bool, passed_over: list[str]) -> DecontaminateReport:
    path = output / "stats.json"
    stats = formats.check("stats", read_json(path), path)
    return DecontaminateReport(
        output,
        totals,
        [SetReport(**one) for one in stats["sets"]],
        [(one["ngram"], one["documents"]) for one in stats["ngrams"]],
        stats["ignored"],
        current,
        passed_over,
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """What was written for one named input, or for all."""

    mapped: Path
    """Folder of the map phase, with the evidence."""
    written: Written


class _Run:
    """One run over the phases; every phase passes over what an earlier run has left."""

    def __init__(self, job: Job, config: DecontaminateConfig, executor: Executor, files: list[InputFile]) -> None:
        self.config, self.settings, self._executor, self.folder = config, job.settings, executor, job.folder
        self._job, self.labels, self._files = job, job.inputs.apart, files
        self._ignored: Path | None = None

    def _of(self, label: str) -> list[InputFile]:
        return [file for file in self._files if not label or file.source == label]

    def _map(self, task: Any, units: list[Unit], folder: Path, name: str) -> list[Receipt]:
        return map_units(self._executor, task, units, folder, self.settings.progress, name)

    def index(self, against: Inputs) -> None:
        """Phase 1: read the evaluation sets, and leave the arrays for the workers."""
        self.evaluation: Evaluation = evaluation.read_sets(against, self.config, self.settings.progress)
        self.table = build(self.evaluation.texts, self.config)
        if not self.table.hashes.size:
            raise CorpusError(
                f"--against: expected texts of at least {self.config.shortest} words, found {len(self.evaluation.texts)} "
                "shorter ones; name whole items, or lower --set shortest=N"
            )
        self.table.save(self.folder / "index")

    @property
    def _names(self) -> tuple[tuple[int, str], ...]:
        """(first text, name) of each set."""
        first: dict[str, int] = {}
        for text in range(len(self.evaluation.texts)):
            first.setdefault(self.evaluation.item_of(text)[0], text)
        return tuple((at, name) for name, at in first.items())

    def count(self) -> None:
        """Phase 2: leave which n-grams are too common to be a match."""
        if self.config.common is None:
            return
        units = plan(self._files, self.config.unit_bytes)
        folder = self.folder / "count"
        self._map(Count(folder, self.folder / "index", self.config), units, folder, "decontaminate: count")
        ignored = self._documents([(folder, len(units))]) > self.config.common
        self._ignored = self.folder / "ignored.npy"
        with atomic_write(self._ignored, sync=False) as file:
            np.save(file, ignored)

    def _documents(self, folders: list[tuple[Path, int]]) -> I64:
        """int64[G]: in how many documents each n-gram was found."""
        total = np.zeros(self.table.hashes.size, np.int64)
        for folder, units in folders:
            for ordinal in range(units):
                added(counts_path(folder, ordinal), total)
        return total

    def write(self, label: str) -> _Part:
        """Phase 3: parts of all units of one input, put together to shards."""
        config, progress = self.config, self.settings.progress
        units = plan(self._of(label), config.unit_bytes)
        folder = mapped = self.folder / "write" / label
        task = Write(folder, self.folder / "index", config, self._names, label, self._ignored)
        name = f"decontaminate {label}" if label else "decontaminate"
        receipts = self._map(task, units, folder, name)
        self._job.refuse_without_documents({key: 1 for receipt in receipts for key in receipt.counts}, label)
        streams = {kind: kind for kind in STREAMS}
        if config.mode == "report":
            return _Part(mapped, Written(label, folder, receipts, [], [], streams))
        mark_spent(folder)
        folder, receipts = settle(self._executor, receipts, units, folder, self.settings)
        shards, plans = assemble_shards(self._executor, receipts, folder, progress, config.form, config.shard_bytes)
        return _Part(mapped, Written(label, folder, receipts, shards, plans, streams))

    def totals(self, parts: list[_Part]) -> dict[str, Any]:
        """Counters of all units."""
        counts: Counter[str] = Counter()
        for part in parts:
            for receipt in part.written.receipts:
                counts.update(receipt.counts)
        return {k: int(v) for k, v in sorted(counts.items())}

    def evidence(self, output: Path, parts: list[_Part], totals: dict[str, Any]) -> Beside:
        """Write what was found; and the statistics."""
        found: set[int] = set()
        table = evidence.Table(self.table, self.evaluation, OUTCOMES, self.settings.memory, found)
        file = output / evidence.FILE
        rows = table.write(file, [(part.mapped, _name_of(part)) for part in parts])
        return Beside([(file, rows)], self.statistics(parts, found, totals))

    def statistics(self, parts: list[_Part], found: set[int], totals: dict[str, Any]) -> dict[str, Any]:
        """What ``stats.json`` holds."""
        of, sizes = self.evaluation, self.table.sizes
        searched = {of.items[text] for text in np.flatnonzero(sizes).tolist()}
        matched = {of.items[text] for text in found}
        whole, looked, met = (
            Counter(of.set_of[item] for item in some) for some in (range(len(of.ids)), searched, matched)
        )
        sets = [
            SetReport(name, whole[number], looked[number], met[number], totals.get(f"matched|{name}", 0))
            for number, name in enumerate(of.sets)
        ]
        documents = self._documents([(part.mapped, len(part.written.receipts)) for part in parts])
        most = [int(n) for n in np.argsort(-documents, kind="stable")[:MOST_NGRAMS] if documents[n]]
        return {
            "sets": [to_dict(one) for one in sets],
            "ngrams": [{"ngram": self.table.ngram(n), "documents": int(documents[n])} for n in most],
            "ignored": int(np.load(self._ignored).sum()) if self._ignored is not None else 0,
        }


def _name_of(part: _Part) -> evidence.Name:
    """The ids under which removed documents were written."""
    repeats = part.mapped / "repeats.npy"

    @lru_cache(maxsize=64)
    def repeated(unit: int) -> dict[tuple[str, int], int]:
        return repeats_of(repeats, unit) if repeats.exists() else {}

    def name(unit: int, offset: int, own: str, path: str) -> str:
        occurrence = repeated(unit).get(("removed", offset)) if offset >= 0 else None
        return qualified(own, path, occurrence)

    return name


def _renumbered(parts: Sequence[Written]) -> list[Receipt]:
    """The receipts of all parts in the order of the inputs."""
    receipts = [receipt for part in parts for receipt in part.receipts]
    return [replace(receipt, unit=number) for number, receipt in enumerate(receipts)]


__all__ = ["DecontaminateReport", "Index", "SetReport", "decontaminate"]
