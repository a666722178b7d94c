"""`megadata dedup --mode lines`, `paragraphs`, `sentences`: what repeats is counted in one read, removed in the next."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from megadata.config import to_dict
from megadata.corpus.dedup import normaliser
from megadata.corpus.dedup.publish import Written, publish_outputs, refuse_label_of_removed
from megadata.corpus.dedup.spans.config import SpanConfig
from megadata.corpus.dedup.spans.cut import SEEN
from megadata.corpus.dedup.spans.survey import FindFrequent, Survey
from megadata.corpus.dedup.spans.write import RECORD, Write, record_path
from megadata.documents.ids import NOTE, find_repeats
from megadata.documents.inputs import Inputs, plan, refuse_overlap, source_versions
from megadata.documents.registry import READERS, sources
from megadata.documents.unpack import unpack
from megadata.runtime.exchange import Exchange
from megadata.runtime.executor import Executor
from megadata.runtime.files import atomic_write, lock_folder
from megadata.runtime.manifest import STATE, Manifest, StepSpec, clear_work
from megadata.runtime.receipts import Receipt, content_name
from megadata.runtime.settings import RunSettings
from megadata.runtime.step import assemble_shards, map_units, mark_spent, work_folder
from megadata.runtime.units import Unit

VERSION = "1"
"""Raised whenever the same input and configuration would give other output."""
FILE = "spans.parquet"
"""Every span that went, in the order of the input."""
LIBRARIES = ("orjson", "pyarrow", "zstandard", *READERS)


@dataclass(frozen=True, slots=True)
class Row:
    """The result for one source."""

    source: str
    documents: int
    kept: int
    changed: int
    spans: int
    removed: int
    bytes_in: int
    bytes_kept: int


@dataclass(frozen=True, slots=True)
class SpanReport:
    """What went in, what came out."""

    output: Path
    mode: str
    counts: dict[str, Any]
    current: bool = False
    """Whether everything was already done."""
    passed_over: list[str] = field(default_factory=list)

    def rows(self) -> list[Row]:
        """One row for each source, or each named input."""
        names = sorted({key.split("|")[1] for key in self.counts if key.startswith("documents_in|")})
        columns = (
            "documents_in",
            "documents_kept",
            "documents_changed",
            "spans_in",
            "spans_removed",
            "bytes_in",
            "bytes_kept",
        )
        return [Row(name, *(int(self.counts.get(f"{column}|{name}", 0)) for column in columns)) for name in names]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"output": str(self.output), "mode": self.mode, "current": self.current, "counts": self.counts}


def dedup_spans(inputs: Inputs, output: Path, config: SpanConfig, settings: RunSettings) -> SpanReport:
    """Remove spans that repeat; write shards, documents of which nothing is left, the spans, statistics and manifests.

    Raises
    ------
    CorpusError, ConfigError, OutputError, WorkerError
        With one sentence each; run again, the same command goes on where it stopped.
    """
    refuse_label_of_removed(inputs.labels)
    refuse_overlap(inputs.files, output)
    spec = _spec(inputs, config)
    sources()
    with lock_folder(output / STATE):
        before = Manifest.load(output)
        if before is not None and before.is_current(output, spec.identity, plan(inputs.files, config.unit_bytes)):
            return SpanReport(output, config.mode, before.totals, True, inputs.passed_over)
        if before is not None:
            settings.progress.note(f"{output}: what other inputs or settings made is replaced")
        folder = work_folder(output, spec)
        with settings.executor() as executor:
            files = unpack(
                executor, inputs.files, folder / "unpacked", settings.progress, config.read, config.unit_bytes
            )
            run = _Run(inputs, config, settings, executor, plan(files, config.unit_bytes), folder)
            run.decide()
            written = run.write()
        totals: Counter[str] = Counter()
        for receipt in written.receipts:
            totals.update({key: int(value) for key, value in receipt.counts.items()})
        counts = dict(sorted(totals.items()))

        def beside() -> list[Path]:
            return [run.write_spans(output / FILE, written.receipts)] if config.removed != "none" else []

        publish_outputs(written, output, spec, before, counts, {}, config.form, settings, beside)
        clear_work(output)
    return SpanReport(output, config.mode, counts, False, inputs.passed_over)


def _spec(inputs: Inputs, config: SpanConfig) -> StepSpec:
    return StepSpec(
        name="dedup",
        version=VERSION,
        config={
            **to_dict(config),
            "normaliser": normaliser.VERSION,
            "sources": source_versions(inputs.files),
            "labels": sorted({(f.name, f.source, f.family) for f in inputs.files}),
            "outputs": list(inputs.labels),
        },
        libraries=LIBRARIES,
        upstream=inputs.upstream,
    )


class _Run:
    """The two reads; each phase passes over what an earlier run has left."""

    def __init__(
        self,
        inputs: Inputs,
        config: SpanConfig,
        settings: RunSettings,
        executor: Executor,
        units: list[Unit],
        folder: Path,
    ) -> None:
        self._config, self._settings, self._executor, self._units = config, settings, executor, units
        self._labels = tuple(dict.fromkeys(f.source for f in inputs.files)) if inputs.labels else ()
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
            find_repeats(Exchange(self._survey / "ids", NOTE), self._repeats, memory, workers)
            task = FindFrequent(self._survey / "seen", self._folder / "ranges", self._config.more_than)
            ranges = Exchange(self._survey / "seen", SEEN).ranges(memory, workers)
            paths: dict[int, Path] = {}
            with self._settings.progress.stage("dedup: those that repeat", sum(r.bytes for r in ranges)) as stage:
                for key_range, path in self._executor.run(task, ranges):
                    paths[key_range.ordinal] = path
                    stage.advance(key_range.bytes)
            found = [np.load(paths[ordinal])["frequent"] for ordinal in sorted(paths)]
            with atomic_write(self._table, sync=False) as file:
                np.save(file, np.concatenate([np.empty(0, SEEN), *found]))
        mark_spent(self._survey)
        for spent in (self._survey / "seen", self._survey / "ids", self._folder / "ranges"):
            shutil.rmtree(spent, ignore_errors=True)

    def write(self) -> Written:
        """The second read, and its parts put together to shards."""
        target = self._folder / "write"
        task = Write(target, self._config, self._config.read, self._table, self._repeats, self._labels)
        receipts = self._map(task, target, "dedup: write")
        shards, plans = assemble_shards(
            self._executor, receipts, target, self._settings.progress, self._config.form, self._config.shard_bytes
        )
        return Written(target, self._labels, receipts, shards, plans)

    def write_spans(self, target: Path, receipts: list[Receipt]) -> Path:
        """``spans.parquet``, a row group for each unit that lost any."""
        with atomic_write(target) as file, pq.ParquetWriter(file, RECORD, compression="zstd") as writer:
            for receipt in receipts:
                with pa.ipc.open_file(record_path(self._folder / "write", receipt.unit)) as table:
                    rows = table.read_all()
                if rows.num_rows:
                    writer.write_table(rows.combine_chunks())
        return target
