"""`megadata dedup`: the phases, out of core, from input files to unique documents.

1. Survey: each unit is read; digests and band values go to the exchange.
2. Equal digests are exact copies; equal band values make components of documents that could be near copies.
3. Collect: the units that hold candidates are read again; their shingle sets go to the exchange, keyed by component.
4. Stars: in each component, by rank, documents are removed for kept ones they are verified to be similar to.
5. Write: each unit is read once more; kept documents, removed documents and evidence are written.

Every phase leaves files that a later run of the same command finds, and none of them depends on workers or memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from megadata import formats
from megadata.config import to_dict
from megadata.corpus.dedup import components, evidence, normaliser
from megadata.corpus.dedup.config import DedupConfig
from megadata.corpus.dedup.ranges import FindCopies, FindEdges, FindStars, Saved, range_bytes, run_ranges
from megadata.corpus.dedup.records import Numbering
from megadata.corpus.dedup.survey import Collect, Survey
from megadata.corpus.dedup.verdicts import Verdicts
from megadata.corpus.dedup.write import EXACT, NEAR, Write, stream
from megadata.documents.ids import NOTE, STREAMS, find_repeats, write_key_index
from megadata.documents.inputs import Inputs, plan, refuse_overlap, source_versions
from megadata.documents.registry import READERS, sources
from megadata.documents.unpack import unpack
from megadata.errors import ConfigError, CorpusError
from megadata.runtime.exchange import Exchange
from megadata.runtime.executor import Executor
from megadata.runtime.files import atomic_write, digest_file, lock_folder, read_json, write_json
from megadata.runtime.manifest import STATE, Manifest, StepSpec, clear_work, input_digests
from megadata.runtime.receipts import Receipt
from megadata.runtime.settings import RunSettings
from megadata.runtime.shards import Shard, ShardPlan
from megadata.runtime.step import assemble_shards, map_units, mark_spent, publish, work_folder
from megadata.runtime.units import Unit

VERSION = "1"
"""Raised whenever the same input and configuration would give other output."""

LIBRARIES = ("orjson", "pyarrow", "zstandard", *READERS)


@dataclass(frozen=True, slots=True)
class Row:
    """The result for one source."""

    source: str
    documents: int
    kept: int
    exact: int
    near: int
    bytes_in: int
    bytes_kept: int


@dataclass(frozen=True, slots=True)
class DedupReport:
    """What went in, what came out, and why."""

    output: Path
    counts: dict[str, Any]
    current: bool = False
    """Whether everything was already done."""
    passed_over: list[str] = field(default_factory=list)

    def of(self, name: str, source: str) -> int:
        """A counter of one source."""
        return int(self.counts.get(f"{name}|{source}", 0))

    def rows(self) -> list[Row]:
        """One row for each source, or each named input."""
        names = sorted({key.split("|")[1] for key in self.counts if key.startswith("documents_in|")})
        columns = (
            "documents_in",
            "documents_kept",
            f"documents_{EXACT}",
            f"documents_{NEAR}",
            "bytes_in",
            "bytes_kept",
        )
        return [Row(name, *(self.of(column, name) for column in columns)) for name in names]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"output": str(self.output), "current": self.current, "counts": self.counts}


def dedup(inputs: Inputs, output: Path, config: DedupConfig, settings: RunSettings) -> DedupReport:
    """Remove exact and near copies; write shards, removed documents, evidence, statistics and manifests.

    Named inputs each get a folder of their own below `output`; all others share `output` itself.

    Raises
    ------
    CorpusError, ConfigError, OutputError, WorkerError
        With one sentence each; run again, the same command goes on where it stopped.
    """
    if "removed" in inputs.labels:
        raise ConfigError(
            "removed=...: the name is taken by the folder of removed documents; give the input another one"
        )
    refuse_overlap(inputs.files, output)
    spec = _spec(inputs, config)
    sources()
    units = plan(inputs.files, config.unit_bytes)
    with lock_folder(output / STATE):
        manifest = Manifest.load(output)
        if manifest is not None and manifest.is_current(output, spec.identity, units):
            return DedupReport(output, manifest.totals, True, inputs.passed_over)
        if manifest is not None:
            settings.progress.note(f"{output}: what other inputs or settings made is replaced")
        folder = work_folder(output, spec)
        with settings.executor() as executor:
            files = unpack(
                executor, inputs.files, folder / "unpacked", settings.progress, config.read, config.unit_bytes
            )
            units = plan(files, config.unit_bytes)
            run = _Run(inputs, config, settings, executor, units, folder)
            run.decide()
            receipts, shards, plans = run.write()
        totals = run.totals(receipts)
        outputs = _publish(run, output, spec, receipts, shards, plans, totals)
        if manifest is not None:
            _forget(manifest, {o["name"] for o in outputs}, run.labels, output)
        clear_work(output)
    return DedupReport(output, totals, False, inputs.passed_over)


def _spec(inputs: Inputs, config: DedupConfig) -> StepSpec:
    return StepSpec(
        name="dedup",
        version=VERSION,
        config={
            **to_dict(config),
            "shape": list(config.shape),
            "normaliser": normaliser.VERSION,
            "sources": source_versions(inputs.files),
            "labels": sorted({(f.name, f.source, f.family) for f in inputs.files}),
            "outputs": list(inputs.labels),
        },
        libraries=LIBRARIES,
        upstream=inputs.upstream,
    )


class _Run:
    """One run over the phases; every phase passes over what an earlier run has left."""

    def __init__(
        self,
        inputs: Inputs,
        config: DedupConfig,
        settings: RunSettings,
        executor: Executor,
        units: list[Unit],
        folder: Path,
    ) -> None:
        self._config, self._settings, self._executor, self._units = config, settings, executor, units
        self._options = config.read
        self.labels = tuple(dict.fromkeys(f.source for f in inputs.files)) if inputs.labels else ()
        self._survey = folder / "survey"
        self._surveyed = self._map(Survey(self._survey, config, self._options), units, self._survey, "dedup: survey")
        self.folder = folder / _content(self._surveyed)  # what follows depends on all bytes that were read
        self.folder.mkdir(parents=True, exist_ok=True)
        self._numbering = Numbering.of(int(r.counts["documents"]) for r in self._surveyed)
        self._verdicts = Verdicts(self.folder, self._numbering)

    def _map(self, task: Any, units: list[Unit], folder: Path, name: str) -> list[Receipt]:
        return map_units(self._executor, task, units, folder, self._settings.progress, name)

    @property
    def _repeats(self) -> Path:
        return self.folder / "repeats.npy"

    def decide(self) -> None:
        """Phases 2 to 4: leave the verdicts."""
        memory, workers, progress = self._settings.memory, self._settings.workers, self._settings.progress
        if not self._verdicts.complete:
            ids = Exchange(self._survey / "ids", NOTE)
            number = find_repeats(ids, self._repeats, memory, workers)
            if number:
                progress.note(
                    f"{number} documents have ids that others have as well; they are qualified by their paths"
                )
            copies = self._ranges(FindCopies, "copies", self._survey, "dedup: exact copies")
            stars = [] if self._config.exact_only else self._near(copies)
            tally = sum((f["tally"] for f in stars), np.zeros(2, np.int64))
            write_json(
                self.folder / "tally.json", {"comparisons": int(tally[0]), "saturated": int(tally[1])}, sync=False
            )
            self._verdicts.save(copies, stars, self._repeats)
        mark_spent(self._survey)
        for name in ("ids", "copies", "bands"):
            shutil.rmtree(self._survey / name, ignore_errors=True)
        for name in ("copies", "edges", "collect", "stars"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _ranges(self, kind: Any, exchange: str, below: Path, name: str, **more: Any) -> list[Saved]:
        target = self.folder / (exchange if kind is not FindEdges else "edges")
        each = range_bytes(self._settings.memory, self._settings.workers)
        task = kind(source=below / exchange, target=target, numbering=self._numbering, memory=each, **more)
        return run_ranges(self._executor, task, self._settings.memory, self._settings.progress, name)

    def _near(self, copies: list[Saved]) -> list[Saved]:
        company = self._company(copies)
        first = self._numbering.base[:-1]
        occupied = [
            unit
            for unit, low, high in zip(self._units, first, self._numbering.base[1:], strict=True)
            if company[low:high].any()
        ]
        collect = self.folder / "collect"
        task = Collect(
            collect,
            self._config,
            self._options,
            self._numbering,
            self.folder / "components.npy",
            self.folder / "company.npy",
        )
        self._map(task, occupied, collect, "dedup: collect candidates")
        return self._ranges(FindStars, "sets", collect, "dedup: compare", config=self._config)

    def _company(self, copies: list[Saved]) -> Any:
        """Components of documents that share band values, on disk; which documents have company in theirs."""
        path = self.folder / "company.npy"
        if not path.exists():
            parent = components.singles(self._numbering.documents)
            for found in self._ranges(FindEdges, "bands", self._survey, "dedup: bands"):
                components.unite(parent, found["left"], found["right"])
            standing = np.ones(self._numbering.documents, np.uint8)
            for found in copies:
                standing[found["removed"]] = 0
            company = components.settle(parent, standing)
            for name, array in (("components", parent), ("company", company)):
                with atomic_write(self.folder / f"{name}.npy", sync=False) as file:
                    np.save(file, array)
        return np.load(path, mmap_mode="r")

    def write(self) -> tuple[list[Receipt], list[Shard], list[ShardPlan]]:
        """Phase 5: parts of all units, put together to shards."""
        target = self.folder / "write"
        task = Write(target, self._config, self._options, self._verdicts, self._repeats, self.labels)
        receipts = self._map(task, self._units, target, "dedup: write")
        shards, plans = assemble_shards(
            self._executor, receipts, target, self._settings.progress, self._config.form, self._config.shard_bytes
        )
        return receipts, shards, plans

    def write_keys(self, label: str, target: Path, receipts: list[Receipt], plans: list[ShardPlan]) -> None:
        """The key index of one output."""
        names = {stream(label, kind): kind for kind in STREAMS}
        mine = [replace(p, stream=names[p.stream]) for p in plans if p.stream in names]
        parts = {(names[n], r.unit): part for r in receipts for n, part in r.parts.items() if n in names}
        ids = Exchange(self.folder / "write" / "ids" / label, NOTE)
        write_key_index(ids, target, mine, parts, self._settings.memory, self._settings.workers)

    def write_evidence(self, target: Path) -> int:
        """``duplicates.parquet``."""
        folder = self.folder / "write"
        return evidence.write_evidence(folder, target, self._settings.memory, self._settings.workers)

    def totals(self, receipts: list[Receipt]) -> dict[str, Any]:
        """Counters of all units, and of the comparisons."""
        counts: Counter[str] = Counter()
        for receipt in receipts:
            counts.update(receipt.counts)
        tally = read_json(self.folder / "tally.json")
        return {**{k: int(v) for k, v in sorted(counts.items())}, **tally}


def _content(receipts: list[Receipt]) -> str:
    """Name of what was read: a hash over the digests of all spans."""
    digest = hashlib.sha256()
    for receipt in receipts:
        for read in receipt.read:
            digest.update(f"{read.name} {read.start} {read.stop} {read.digest}\n".encode())
    return digest.hexdigest()[:16]


def _forget(before: Manifest, made: set[str], labels: tuple[str, ...], output: Path) -> None:
    """Remove what an earlier run wrote and this one does not, such as the folders of inputs that are not named any more."""
    for old in before.outputs:
        if old["name"] not in made:
            (output / old["name"]).unlink(missing_ok=True)
    if labels:
        (output / "keys.idx").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (output / "removed").rmdir()
    for label in before.made_by["config"].get("outputs", []):
        if label not in labels:
            folder = output / label
            shutil.rmtree(folder / STATE, ignore_errors=True)
            for name in ("manifest.json", "keys.idx"):
                (folder / name).unlink(missing_ok=True)
            for empty in (folder / "removed", folder):
                with contextlib.suppress(OSError):  # files of somebody else keep it
                    empty.rmdir()


def _publish(
    run: _Run,
    output: Path,
    spec: StepSpec,
    receipts: list[Receipt],
    shards: list[Shard],
    plans: list[ShardPlan],
    totals: dict[str, Any],
) -> list[dict[str, Any]]:
    """Move everything to its place; manifests come last. What lies there now."""
    labels = run.labels or ("",)
    (output / "manifest.json").unlink(missing_ok=True)
    for label in run.labels:
        (output / label / "manifest.json").unlink(missing_ok=True)
    below = {
        stream(label, kind): Path(label) / ("removed" if kind == "removed" else "")
        for label in labels
        for kind in STREAMS
    }
    outputs = publish(run.folder / "write", output, shards, below)
    if run._config.form == "jsonl.zst":
        for label in labels:
            run.write_keys(label, output / label / "keys.idx", receipts, plans)
    removed = run.write_evidence(output / evidence.FILE)
    expected = sum(v for k, v in totals.items() if k.startswith((f"documents_{EXACT}|", f"documents_{NEAR}|")))
    if removed != expected:
        raise CorpusError(f"{output}: expected evidence of {expected} removed documents, found {removed}; run it again")
    file = output / evidence.FILE
    outputs.append({"name": file.name, "documents": removed, "size": file.stat().st_size, "sha256": digest_file(file)})
    curve = [[s, p] for s, p in run._config.curve()]
    write_json(output / "stats.json", formats.stamp("stats", {"counts": totals, "expected_recall": curve}))
    for label in run.labels:
        mine = [
            {**o, "name": str(Path(o["name"]).relative_to(label))} for o in outputs if Path(o["name"]).parts[0] == label
        ]
        own = {k: v for k, v in totals.items() if k.split("|")[1:2] == [label]}
        Manifest("dedup", spec.identity, spec.describe(), input_digests(receipts), mine, own).save(
            output / label, receipts
        )
    Manifest("dedup", spec.identity, spec.describe(), input_digests(receipts), outputs, totals).save(output, receipts)
    return outputs
