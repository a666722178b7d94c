"""`megadata clean`: raw files of any kind to shards of documents worth training on, with the removed ones kept beside them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from megadata import formats
from megadata.config import configclass, to_dict
from megadata.corpus.finish import BESIDE, finish, record_path, records
from megadata.corpus.record import Record, Recorder, RuleRecord, beginning, by_source
from megadata.corpus.rules import RuleList, load_rules
from megadata.corpus.scorelayout import NAME, Layout
from megadata.corpus.step import Outcome
from megadata.documents.batch import DocBatch
from megadata.documents.crawls import CrawlNotes
from megadata.documents.ids import NOTE, IdNotes, file_paths
from megadata.documents.inputs import Inputs, read_span, refuse_unfit, source_versions
from megadata.documents.job import open_job
from megadata.documents.registry import READERS
from megadata.documents.shards import encode, unreadable_lines
from megadata.documents.source import Problems, ReadOptions
from megadata.errors import ConfigError
from megadata.runtime.allocator import keep_freed_memory
from megadata.runtime.exchange import Exchange
from megadata.runtime.files import read_json, write_json
from megadata.runtime.manifest import Manifest, StepSpec
from megadata.runtime.receipts import Receipt, UnitWriter
from megadata.runtime.settings import RunSettings
from megadata.runtime.shards import SHARD_BYTES
from megadata.runtime.step import map_units
from megadata.runtime.units import UNIT_BYTES, Unit

if TYPE_CHECKING:
    from megadata.corpus.scores import ScoreNotes

VERSION = "2"
LIBRARIES = ("ftfy", "orjson", "pyarrow", "zstandard", *READERS)


LEVELS = {"removed": 1}
"""Removed documents are read seldom: they are compressed at twice the speed, and take a sixth more room."""


@configclass
class CleanConfig:
    """What is done to the documents."""

    rules: str | None = None
    """A shipped list, a rule-set's name, `none`, or a file; None lets each file's family decide."""
    overrides: tuple[str, ...] = ()
    """`step.field=value` changes to the rules."""
    languages: tuple[str, ...] = ()
    """Keep documents in these languages only (ISO 639-1 codes); all when empty."""
    url_rules: tuple[str, ...] = ()
    """Lists of addresses whose documents are dropped (`megadata.corpus.urllists`)."""
    newest: bool = False
    """Of documents with one address (`megadata.documents.urls.canonical`), keep the newest by `metadata.date`."""
    removed: Literal["text", "ids", "none"] = "text"
    """What is kept of removed documents."""
    form: Literal["jsonl.zst", "parquet"] = "jsonl.zst"
    """File format of the shards."""
    scores: bool = False
    """Write what was measured of every document to ``scores.parquet``."""
    read: ReadOptions = ReadOptions()
    """How inputs are read."""
    unit_bytes: int = UNIT_BYTES
    """Bytes of input a unit of work holds."""
    shard_bytes: int = SHARD_BYTES
    """Decoded bytes a shard holds."""


@dataclass(frozen=True, slots=True)
class CleanReport:
    """What went in, what came out, and why."""

    output: Path
    counts: dict[str, float]
    current: bool = False
    """Whether everything was already done."""
    passed_over: list[str] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)
    """What every rule did, by source."""
    moved: tuple[int, int] | None = None
    """Where rules were changed: documents that were removed and stay now, and those that stayed and go now."""

    def of(self, name: str, source: str) -> int:
        """A counter of one source."""
        return int(self.counts.get(f"{name}|{source}", 0))

    def total(self, name: str) -> int:
        """A counter over all sources."""
        return int(sum(v for k, v in self.counts.items() if k.startswith(f"{name}|")))

    @property
    def sources(self) -> list[str]:
        """Labels of the sources read."""
        return sorted({k.split("|")[1] for k in self.counts if k.startswith("documents_in|")})

    def rules(self) -> list[tuple[str, RuleRecord]]:
        """Every rule and what it did to all sources, in the order in which rules are asked."""
        found: dict[str, RuleRecord] = {}
        for record in self.records.values():
            for name, rule in record.rules.items():
                conditions = {rule.condition, found[name].condition if name in found else rule.condition}
                found.setdefault(name, RuleRecord()).add(rule)
                found[name].condition = ", ".join(sorted(conditions))
        return list(found.items())

    def reasons(self) -> list[tuple[str, int, int]]:
        """(reason, documents, bytes) of all removals, most first."""
        found: dict[str, tuple[int, int]] = {}
        for key, number in self.counts.items():
            kind, _, reason = [*key.split("|", 2), "", ""][:3]
            if kind in ("removed", "removed_bytes"):
                documents, size = found.get(reason, (0, 0))
                more = int(number)
                found[reason] = (documents + more, size) if kind == "removed" else (documents, size + more)
        return sorted(((reason, *both) for reason, both in found.items()), key=lambda row: (-row[1], row[0]))


@dataclass(frozen=True, slots=True)
class CleanTask:
    """Task of one unit: read, apply the rules, write kept and removed parts, note the ids, leave a receipt."""

    folder: Path
    rules: dict[str, RuleList]
    options: ReadOptions
    removed: str
    newest: bool
    scores: Layout | None = None

    def __call__(self, unit: Unit) -> Receipt:
        """Clean one unit."""
        keep_freed_memory()
        notes = IdNotes(unit.ordinal)
        crawls = CrawlNotes(unit.ordinal) if self.newest else None
        counts: Counter[str] = Counter()
        recorder = Recorder(beginning if self.removed == "text" else None)
        scores = _score_notes(self.scores) if self.scores is not None else None
        with UnitWriter(self.folder, unit, LEVELS) as writer:
            for span in unit.spans:
                problems = Problems(self.options.max_set_aside)
                rules = self.rules[span.file.family]
                for docs in read_span(span, self.options, problems):
                    outcome = self._batch(docs, rules, writer, notes, crawls, counts, recorder)
                    if scores is not None:
                        scores.add(docs, outcome, span.file.family)
                self._problems(problems, span.file.source, writer, notes, counts)
                if scores is not None and self.removed != "none":
                    scores.unreadable(
                        (str(i["where"]), span.file.source, f"unreadable.{i['reason']}") for i in problems.items
                    )
            if scores is not None:
                scores.write(self.folder, unit.ordinal)
            Exchange(self.folder / "ids", NOTE).write(unit.ordinal, notes.records())
            if crawls is not None:
                crawls.write(self.folder)
            write_json(record_path(self.folder, unit.ordinal), recorder.plain(), sync=False)
            return writer.finish(dict(counts))

    def _batch(
        self,
        docs: DocBatch,
        rules: RuleList,
        writer: UnitWriter,
        notes: IdNotes,
        crawls: CrawlNotes | None,
        counts: Counter[str],
        recorder: Recorder,
    ) -> Outcome:
        _count(counts, "documents_in", "bytes_in", docs)
        outcome = rules.apply(docs, recorder, asked=self.scores is not None)
        kept, removed = outcome.kept, outcome.removed
        _count(counts, "documents_kept", "bytes_kept", kept)
        written = notes.take_all("kept", kept.ids, file_paths(kept), encode(kept))
        writer.write("kept", written if crawls is None else crawls.take(kept, written))
        if not len(removed):
            return outcome
        for label, reason, size in zip(removed.column("source"), outcome.reasons, removed.sizes.tolist(), strict=True):
            counts[f"removed|{label}|{reason}"] += 1
            counts[f"removed_bytes|{label}|{reason}"] += size
        if self.removed == "none":
            return outcome
        paths = file_paths(removed)
        shown = removed if self.removed == "text" else removed.replace(text=[""] * len(removed))
        lines = encode(shown, outcome.reasons, outcome.values, outcome.thresholds)
        writer.write("removed", notes.take_all("removed", removed.ids, paths, lines))
        return outcome

    def _problems(
        self, problems: Problems, label: str, writer: UnitWriter, notes: IdNotes, counts: Counter[str]
    ) -> None:
        """Unreadable records: counted, and set aside with the removed documents."""
        counts.update(problems.tally(label))
        if problems.items and self.removed != "none":
            lines = unreadable_lines(problems.items, label, self.removed == "text")
            writer.write("removed", notes.skip("removed", lines))


def _score_notes(layout: Layout) -> ScoreNotes:
    from megadata.corpus.scores import ScoreNotes  # and with it Parquet, which takes its time to load

    return ScoreNotes(layout)


def _count(counts: Counter[str], documents: str, size: str, docs: DocBatch) -> None:
    for label, mine in by_source(docs):
        counts[f"{documents}|{label}"] += int(mine.sum())
        counts[f"{size}|{label}"] += int(docs.sizes[mine].sum())


_IN_RULES = ("rules", "overrides", "languages", "url_rules")
"""Settings that the identities of the rule lists hold."""


def named_rules(config: CleanConfig) -> dict[str, Any]:
    """The rules as the user named them."""
    return {name: to_dict(getattr(config, name)) for name in _IN_RULES}


def rules_for(config: CleanConfig, families: set[str]) -> dict[str, RuleList]:
    """The rule list of each family of text."""
    return {
        f: load_rules(config.rules or f, config.overrides, config.languages, config.url_rules) for f in sorted(families)
    }


def spec_for(settings: dict[str, Any], rules: dict[str, RuleList], upstream: tuple[str, ...]) -> StepSpec:
    """What decides the output of these rules with these settings and inputs."""
    config = {**settings, "rules": {family: one.identity for family, one in rules.items()}}
    return StepSpec(name="clean", version=VERSION, config=config, libraries=LIBRARIES, upstream=upstream)


def clean(inputs: Inputs, output: Path, config: CleanConfig, settings: RunSettings) -> CleanReport:
    """Read all inputs, keep what the rules keep, and write shards, removed documents, statistics and a manifest.

    Raises
    ------
    CorpusError, ConfigError, OutputError, WorkerError
        With one sentence each; run again, the same command goes on where it stopped.
    """
    if config.scores and config.newest:
        raise ConfigError(
            "--scores: expected no --newest, which removes documents after they are scored; leave one out"
        )
    rules = rules_for(config, {f.family for f in inputs.files})
    settled = {
        **{k: v for k, v in to_dict(config).items() if k not in _IN_RULES},
        "sources": source_versions(inputs.files),
        "labels": sorted({(f.name, f.source, f.family) for f in inputs.files}),
    }
    spec = spec_for(settled, rules, inputs.upstream)

    def stands() -> bool:
        return not config.scores or (output / NAME).exists()

    with open_job(inputs, output, spec, config.read, config.unit_bytes, settings, stands, beside=BESIDE) as job:
        if job.current is not None:
            return current_report(job.current, output, inputs.passed_over)
        layout = Layout.of(rules, config.removed == "text") if config.scores else None
        task = CleanTask(job.folder, rules, config.read, config.removed, config.newest, layout)
        with job.workers() as (executor, files):
            units = job.units(files)
            receipts = map_units(executor, task, units, job.folder, settings.progress, "clean")
            if not any(name.startswith("documents_in|") for receipt in receipts for name in receipt.counts):
                refuse_unfit(files, config.read)
            record = records(job.folder, units)
            about = {"named": named_rules(config), "removed": config.removed, "form": config.form}
            totals = finish(job, executor, receipts, units, config, record, (layout, about))
    return CleanReport(output, totals, False, inputs.passed_over, record.sources)


def current_report(made: Manifest, output: Path, passed_over: list[str]) -> CleanReport:
    """The report of an output that is what its step would make."""
    known = Recorder()
    known.add(formats.check("stats", read_json(output / "stats.json"), output / "stats.json")["sources"])
    return CleanReport(output, made.totals, True, passed_over, known.sources)
