"""`megadata clean --from-scores`: other thresholds for an output with scores, decided from what was measured.

No text is measured again, and no raw file read: the new decisions follow from the rows of `scores.parquet`, and the lines that
the shards hold are written where they belong now. What comes out is what `clean` with these rules makes of the raw files, byte
for byte. Rules that ask for what was not measured are refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from megadata.corpus.align import REMEDY, Plan, align
from megadata.corpus.clean import LEVELS, LIBRARIES, CleanConfig, CleanReport, current_report, spec_for
from megadata.corpus.finish import BESIDE, finish, record_path, records
from megadata.corpus.record import EXCERPT, Recorder
from megadata.corpus.redecide import PLACES, Redecided, Rows, redecide
from megadata.corpus.rules import RuleList, Why, load_rules
from megadata.corpus.scored import Scored, open_scores
from megadata.corpus.scorelayout import BEGIN_COLUMN, SIZES, begin_column
from megadata.documents.batch import DocBatch
from megadata.documents.ids import NOTE, IdNotes
from megadata.documents.job import open_output
from megadata.errors import ConfigError
from megadata.runtime.exchange import Exchange
from megadata.runtime.files import write_json
from megadata.runtime.manifest import Manifest, StepSpec, library_versions
from megadata.runtime.receipts import Receipt, UnitWriter
from megadata.runtime.settings import RunSettings
from megadata.runtime.step import map_units
from megadata.runtime.units import Unit

_HELD = {"none": 0, "ids": 1, "text": 2}
_READ = ("id", "source", "family", "path", "stream", "reason", "language", "language_score", "maps", "settled", *SIZES)
"""Columns that every decision reads, apart from those of the rules."""


@dataclass(frozen=True, slots=True)
class FromScores:
    """What an output with scores would be with other rules."""

    scored: Scored
    rules: dict[str, RuleList]
    plans: dict[str, Plan]
    settings: dict[str, Any]
    """The settings of the new output, apart from the rules."""

    @classmethod
    def of(
        cls,
        folder: Path,
        rules: str | None = None,
        overrides: tuple[str, ...] = (),
        languages: tuple[str, ...] = (),
        url_rules: tuple[str, ...] = (),
        removed: str | None = None,
        form: str | None = None,
    ) -> FromScores:
        """Read what was scored, and find in it what the rules need.

        Raises
        ------
        ConfigError, CorpusError
            For rules that ask for what was not measured, and scores of other versions of the libraries.
        """
        scored = open_scores(folder)
        where = f"--from-scores {folder}"
        made = scored.manifest.made_by
        for name, version in library_versions(LIBRARIES).items():
            if made["libraries"].get(name) != version:
                raise ConfigError(
                    f"{where}: was made with {name} {made['libraries'].get(name)}, and {version} is installed; "
                    "install that version, or run `megadata clean --scores` again"
                )
        removed = removed or scored.removed
        if _HELD[removed] > _HELD[scored.removed]:
            raise ConfigError(
                f"{where}: holds {_holding(scored)} of removed documents, expected --removed {scored.removed} or less, "
                f"found {removed}; {REMEDY}"
            )
        chosen = {
            family: load_rules(rules or family, overrides, languages, url_rules) for family in scored.about["rules"]
        }
        plans = {
            family: align(one, scored.about["rules"][family], f"{where} (scored with {scored.named})")
            for family, one in chosen.items()
        }
        settings = {**scored.settings, "scores": False, "removed": removed, "form": form or scored.about["form"]}
        return cls(scored, chosen, plans, settings)

    @property
    def columns(self) -> list[str]:
        """The columns of the scores that are read."""
        sizes = [f"{name}_in" for name in SIZES]
        return [*_READ, *sizes, *sorted(set().union(*(plan.columns for plan in self.plans.values())))]

    @property
    def spec(self) -> StepSpec:
        """What `clean` of the raw files with these rules would be."""
        return spec_for(self.settings, self.rules, tuple(self.scored.manifest.made_by["upstream"]))

    @property
    def unread(self) -> dict[str, float]:
        """Counts of records that are no documents."""
        totals = self.scored.manifest.totals
        return {name: number for name, number in totals.items() if name.startswith(("unreadable|", "skipped|"))}

    def preview(self) -> CleanReport:
        """The report of the new rules; nothing is written."""
        recorder = Recorder(None)
        counts: Counter[str] = Counter({name: int(number) for name, number in self.unread.items()})
        whole = self._decide(recorder, counts)
        _refuse_unknown(whole, self.scored)
        return CleanReport(
            self.scored.folder,
            dict(sorted(counts.items())),
            records=recorder.sources,
            moved=(sum(whole.back.values()), sum(whole.gone.values())),
        )

    def check(self) -> Redecided:
        """Decide all rows.

        Raises
        ------
        ConfigError
            When documents cannot be decided, or are not held as they would have to be written.
        """
        whole = self._decide(None, Counter())
        where = f"--from-scores {self.scored.folder}"
        _refuse_unknown(whole, self.scored)
        if whole.back and self.scored.removed != "text":
            raise ConfigError(
                f"{where}: {_told(whole.back)} would stay now, and it holds {_holding(self.scored)} of removed documents "
                f"(--removed {self.scored.removed}); run `megadata clean --scores --removed text` on the raw files"
            )
        if whole.rewritten:
            (reason, label), _ = whole.rewritten.most_common(1)[0]
            number = sum(whole.rewritten.values())
            raise ConfigError(
                f"{where}: {number:,} documents would be removed by rules that stand before a step that changed their text "
                f"({reason} before {label}), and only the changed text is there; {REMEDY}"
            )
        return whole

    def _decide(self, recorder: Recorder | None, counts: Counter[str]) -> Redecided:
        whole = Redecided([], np.zeros(0, np.int64))
        for unit in range(len(self.scored.about["units"])):
            for family, rows in runs(self.scored.rows(unit, self.columns)):
                if family is not None:
                    made = redecide(rows, self.plans[family], recorder)
                    _tally(counts, rows, made.why)
                    whole.add(made)
        return whole


def _holding(scored: Scored) -> str:
    return {"none": "nothing", "ids": "only the ids", "text": "the text"}[scored.removed]


def _told(reasons: Counter[str]) -> str:
    """How many documents, and which rule most of them met."""
    (reason, _), number = reasons.most_common(1)[0], sum(reasons.values())
    return f"{number:,} document{'s' * (number != 1)} that {reason}{' and others' * (len(reasons) > 1)} removed"


def _refuse_unknown(whole: Redecided, scored: Scored) -> None:
    if not whole.unknown:
        return
    reasons: Counter[str] = Counter()
    for (reason, _), number in whole.unknown.items():
        reasons[reason] += number
    (_, label), _ = whole.unknown.most_common(1)[0]
    raise ConfigError(
        f"--from-scores {scored.folder}: {_told(reasons)} would go on to step {label}, and nothing was measured of them "
        f"from there on; {REMEDY}"
    )


def runs(table: pa.Table) -> Iterator[tuple[str | None, Rows]]:
    """(family, rows) of rows that follow one another; None for records that could not be read."""
    families = np.array(table.column("family").to_pylist(), object)
    if not families.size:
        return
    borders = np.flatnonzero(families[1:] != families[:-1]) + 1
    for start, stop in zip([0, *borders.tolist()], [*borders.tolist(), families.size], strict=True):
        yield families[start], Rows(table.slice(start, stop - start))


def _tally(counts: Counter[str], rows: Rows, why: list[Why | None]) -> None:
    """Count documents and bytes as `clean` does."""
    sources = np.array(rows.texts("source"), object)
    into, held = rows.sizes("_in")[:, 0], rows.sizes()[:, 0]
    stays = np.array([one is None for one in why], np.bool_)
    for documents, size, among, sizes in (
        ("documents_in", "bytes_in", np.ones(len(rows), np.bool_), into),
        ("documents_kept", "bytes_kept", stays, held),
    ):
        for label in dict.fromkeys(sources[among].tolist()):
            mine = among & (sources == label)
            counts[f"{documents}|{label}"] += int(mine.sum())
            counts[f"{size}|{label}"] += int(sizes[mine].sum())
    for place in np.flatnonzero(~stays).tolist():
        one = why[place]
        assert one is not None
        counts[f"removed|{sources[place]}|{one[0]}"] += 1
        counts[f"removed_bytes|{sources[place]}|{one[0]}"] += int(held[place])


def clean_from_scores(task: FromScores, output: Path, settings: RunSettings) -> CleanReport:
    """Write what `clean` with the new rules would write.

    Raises
    ------
    CorpusError, ConfigError, OutputError, WorkerError
        With one sentence each; run again, the same command goes on where it stopped.
    """
    scored, spec = task.scored, task.spec
    if output.resolve() == scored.folder.resolve():
        raise ConfigError(f"{output}: holds the scored documents, which are read; write to another folder")

    def is_current(made: Manifest) -> bool:
        same = (made.identity, made.inputs) == (spec.identity, scored.manifest.inputs)
        return same and made.stands(output)

    work = StepSpec(name="from-scores", version="1", config=spec.describe())
    with open_output(output, spec, settings, is_current, BESIDE, work=work) as job:
        if job.current is not None:
            return current_report(job.current, output, [])
        whole = task.check()
        units = scored.units()
        with settings.executor() as executor:
            rescore = RescoreTask(job.folder, task)
            receipts = map_units(executor, rescore, units, job.folder, settings.progress, "decide")
            record = records(job.folder, units)
            config = CleanConfig(**{n: task.settings[n] for n in ("removed", "form", "unit_bytes", "shard_bytes")})
            known = (scored.manifest.inputs, scored.reads, task.unread)
            totals = finish(job, executor, receipts, units, config, record, known=known)
    moved = (sum(whole.back.values()), sum(whole.gone.values()))
    return CleanReport(output, totals, records=record.sources, moved=moved)


@dataclass(frozen=True, slots=True)
class RescoreTask:
    """Task of one unit: decide its rows, write the lines they stand for where they belong, leave a receipt."""

    folder: Path
    work: FromScores

    def __call__(self, unit: Unit) -> Receipt:
        """Write one unit."""
        scored, held = self.work.scored, self.work.settings["removed"]
        notes = IdNotes(unit.ordinal)
        counts: Counter[str] = Counter()
        shown = _Shown()
        recorder = Recorder(shown.begin if held == "text" else None)
        lines = {stream: scored.lines(unit.ordinal, stream) for stream in ("kept", "removed")}
        with UnitWriter(self.folder, unit, LEVELS) as writer:
            if "kept" in scored.about["units"][unit.ordinal]["lines"]:
                writer.write("kept", [])
            besides = [name for name in scored.names if name.startswith(BEGIN_COLUMN) or name.endswith(".matched")]
            for family, rows in runs(scored.rows(unit.ordinal, [*self.work.columns, *besides])):
                there = scored.removed != "none"
                old = [next(lines[s or ""]) if there or s == "kept" else b"" for s in rows.texts("stream")]
                if family is None:
                    if held != "none":
                        chosen = (line if held == "text" else _without_text(line) for line in old)
                        writer.write("removed", notes.skip("removed", chosen))
                    continue
                shown.rows, shown.lines = rows, old
                made = redecide(rows, self.work.plans[family], recorder)
                _tally(counts, rows, made.why)
                self._write(rows, old, made.why, writer, notes)
            Exchange(self.folder / "ids", NOTE).write(unit.ordinal, notes.records())
            write_json(record_path(self.folder, unit.ordinal), recorder.plain(), sync=False)
            return writer.finish(dict(counts))

    def _write(self, rows: Rows, old: list[bytes], why: list[Why | None], writer: UnitWriter, notes: IdNotes) -> None:
        ids, paths, before = (rows.texts(name) for name in ("id", "path", "reason"))
        held = self.work.settings["removed"]
        chosen: dict[str, list[tuple[str, str, bytes]]] = {"kept": [], "removed": []}
        for place, now in enumerate(why):
            own, path = ids[place] or "", paths[place] or ""
            if now is not None and held == "none":
                continue
            line = _with_id(old[place], own)
            if (reason := before[place]) is not None:
                matched = f"{reason}.matched"
                noted = matched in rows.table.column_names and rows.texts(matched)[place] is not None
                line = _as_kept(line, noted)
            if now is not None:
                line = _as_removed(line if held == "text" else _without_text(line), now)
            chosen["kept" if now is None else "removed"].append((own, path, line))
        for stream, some in chosen.items():
            if some:
                own_ids, own_paths, own_lines = zip(*some, strict=True)
                writer.write(stream, notes.take(stream, own_ids, own_paths, own_lines))


class _Shown:
    """How the documents behind rows begin, for examples."""

    rows: Rows
    lines: list[bytes]

    def begin(self, docs: DocBatch, at: int) -> str:
        """The first characters of the document that a row stands for, as it was when it was judged."""
        places, maps = docs.derive(PLACES, lambda: (np.zeros(0, np.int64), 0))
        place = int(places[at])
        if int(self.rows.numbers("settled")[0][place]) > maps:
            return str(self.rows.table.column(begin_column(maps))[place].as_py())
        return str(orjson.loads(self.lines[place])["text"][:EXCERPT])


def _with_id(line: bytes, own: str) -> bytes:
    """The line with the document's own id, where it was qualified because others had it as well."""
    begin = b'{"id":' + orjson.dumps(own) + b","
    if line.startswith(begin):
        return line
    return begin + line[len(b'{"id":' + orjson.dumps(orjson.loads(line)["id"])) + 1 :]


_REASON = b',"reason":'


def _as_kept(line: bytes, noted: bool) -> bytes:
    """A removed document's line as that of a kept one; `noted` tells whether what decided was added to its metadata."""
    line = line[: line.rindex(_REASON)] + b"}\n"  # the last one: behind it stand numbers and one condition
    if noted:
        told = orjson.loads(line)
        del told["metadata"]["matched"]
        line = orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
    return line


def _as_removed(line: bytes, why: Why) -> bytes:
    """A kept document's line as that of a removed one."""
    reason, value, threshold, matched = why
    if matched is not None:
        told = orjson.loads(line)
        told["metadata"] = {**(told.get("metadata") or {}), "matched": matched}
        line = orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
    dumped = (orjson.dumps(one) for one in (reason, value, threshold))
    return line[:-2] + b',"reason":%b,"value":%b,"threshold":%b}\n' % tuple(dumped)


def _without_text(line: bytes) -> bytes:
    return orjson.dumps({**orjson.loads(line), "text": ""}, option=orjson.OPT_APPEND_NEWLINE)
