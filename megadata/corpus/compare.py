"""`megadata clean --compare`: two rule lists asked about the same documents, and where they disagree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from megadata.config import to_dict
from megadata.corpus.rules import RuleList, load_rules
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import Inputs, read_span, source_versions
from megadata.documents.job import open_job
from megadata.documents.registry import READERS
from megadata.documents.source import Problems, ReadOptions
from megadata.errors import OutputError
from megadata.runtime.files import atomic_write, digest_file
from megadata.runtime.manifest import Manifest, StepSpec, input_digests
from megadata.runtime.owned import claim
from megadata.runtime.receipts import Receipt, UnitWriter, part_path
from megadata.runtime.settings import RunSettings
from megadata.runtime.step import map_units
from megadata.runtime.streams import open_decoded
from megadata.runtime.units import UNIT_BYTES, Unit

NAME = "compare.jsonl.zst"
EXAMPLES = 3
"""Documents shown of each kind of disagreement: the first of the input."""
_EXCERPT = 200


@dataclass(frozen=True, slots=True)
class Compared:
    """How often two rule lists agree, and examples of where they do not."""

    output: Path
    names: tuple[str, str]
    pairs: dict[tuple[str, str], int]
    """Documents by both reasons; a reason is empty for a list that keeps the document."""
    examples: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    """The first documents of each kind that only one list keeps."""
    unread: dict[str, int] = field(default_factory=dict)
    """Records that no list was asked about, by what they are: ``unreadable: bad_json``, ``skipped: redirect``."""
    current: bool = False
    """Whether everything was already done."""

    def plain(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        pairs = [
            {"a": a or None, "b": b or None, "documents": n, "examples": self.examples.get((a, b), [])}
            for (a, b), n in self.pairs.items()
        ]
        told = {"output": str(self.output), "current": self.current, "a": self.names[0], "b": self.names[1]}
        return {**told, "pairs": pairs, "unread": self.unread}


@dataclass(frozen=True, slots=True)
class CompareTask:
    """Task of one unit: ask both lists, write the documents that only one keeps, count all pairs of reasons."""

    folder: Path
    rules: tuple[dict[str, RuleList], dict[str, RuleList]]
    options: ReadOptions

    def __call__(self, unit: Unit) -> Receipt:
        """Compare one unit."""
        counts: Counter[str] = Counter()
        with UnitWriter(self.folder, unit) as writer:
            for span in unit.spans:
                problems = Problems(self.options.max_set_aside)
                for docs in read_span(span, self.options, problems):
                    a, b = (_verdicts(one[span.file.family], docs) for one in self.rules)
                    for row, document in enumerate(docs):
                        counts[_pair(a[row]["reason"], b[row]["reason"])] += 1
                        if (a[row]["reason"] is None) != (b[row]["reason"] is None):
                            line = {
                                "id": document["id"],
                                "source": document["source"],
                                "path": span.file.name,
                                "a": a[row],
                                "b": b[row],
                                "excerpt": document["text"][:_EXCERPT],
                            }
                            writer.write("differ", [orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)])
                counts.update(
                    {reason if ":" in reason else f"unreadable:{reason}": n for reason, n in problems.counts.items()}
                )
            return writer.finish(dict(counts))


def _pair(a: str | None, b: str | None) -> str:
    """How two verdicts are counted; no record that cannot be read begins with a bracket."""
    return orjson.dumps([a or "", b or ""]).decode()


def _verdicts(rules: RuleList, docs: DocBatch) -> list[dict[str, Any]]:
    """Reason, value and threshold for each document; all None for one that is kept."""
    found: list[dict[str, Any]] = [{"reason": None, "value": None, "threshold": None}] * len(docs)
    outcome = rules.apply(docs, asked=True)
    places = [] if outcome.removed_places is None else outcome.removed_places.tolist()
    for place, *why in zip(places, outcome.reasons, outcome.values, outcome.thresholds, strict=True):
        found[place] = dict(zip(("reason", "value", "threshold"), why, strict=True))
    return found


def compare(
    inputs: Inputs,
    output: Path,
    names: tuple[str, str],
    settings: RunSettings,
    read: ReadOptions | None = None,
    unit_bytes: int = UNIT_BYTES,
) -> Compared:
    """Read all inputs once and write the documents that only one of two rule lists keeps to ``compare.jsonl.zst``.

    Raises
    ------
    CorpusError, ConfigError, OutputError, WorkerError
        With one sentence each; run again, the same command goes on where it stopped.
    """
    read = read or ReadOptions()
    families = sorted({f.family for f in inputs.files})
    first, second = ({f: load_rules(name) for f in families} for name in names)
    spec = StepSpec(
        name="compare",
        version="1",
        config={
            "rules": [{f: rules.identity for f, rules in one.items()} for one in (first, second)],
            "read": to_dict(read),
            "unit_bytes": unit_bytes,
            "sources": source_versions(inputs.files),
            "labels": sorted({(f.name, f.source, f.family) for f in inputs.files}),
        },
        libraries=("ftfy", "orjson", "pyarrow", "zstandard", *READERS),
        upstream=inputs.upstream,
    )
    before = Manifest.load(output)
    if before is not None and before.step != spec.name:
        raise OutputError(
            f"{output}: expected a folder of its own for --compare, found the output of {before.step}; name another"
        )
    with open_job(inputs, output, spec, read, unit_bytes, settings, beside=(NAME,)) as job:
        if job.current is not None:
            return _compared(output, names, job.current.totals, True)
        with job.workers() as (executor, files):
            task = CompareTask(job.folder, (first, second), read)
            receipts = map_units(executor, task, job.units(files), job.folder, settings.progress, "compare")
        counts: Counter[str] = Counter()
        claim(output, [NAME])
        (output / "manifest.json").unlink(missing_ok=True)
        with atomic_write(output / NAME) as file:
            for receipt in receipts:
                counts.update({k: int(v) for k, v in receipt.counts.items()})
                if "differ" in receipt.parts:
                    file.write(part_path(job.folder, "differ", receipt.unit).read_bytes())
        written = {"name": NAME, "size": (output / NAME).stat().st_size, "sha256": digest_file(output / NAME)}
        made = Manifest(
            spec.name, spec.identity, spec.describe(), input_digests(receipts), [written], dict(sorted(counts.items()))
        )
        made.save(output, receipts)
    return _compared(output, names, made.totals)


def _compared(output: Path, names: tuple[str, str], totals: dict[str, int], current: bool = False) -> Compared:
    """The report, from the counts of all units and the documents that were written."""
    pairs = {(a, b): n for (a, b), n in ((orjson.loads(k), n) for k, n in totals.items() if k.startswith("["))}
    ordered = dict(sorted(pairs.items(), key=lambda item: (-item[1], item[0])))
    unread = {name.replace(":", ": ", 1): n for name, n in totals.items() if not name.startswith("[")}
    return Compared(output / NAME, names, ordered, _examples(output / NAME), unread, current)


def _examples(path: Path) -> dict[tuple[str, str], list[dict[str, Any]]]:
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    if path.stat().st_size:
        with open_decoded(str(path)) as stream:
            for line in stream:
                row = orjson.loads(line)
                held = found.setdefault((row["a"]["reason"] or "", row["b"]["reason"] or ""), [])
                if len(held) < EXAMPLES:
                    held.append({"id": row["id"], "excerpt": row["excerpt"]})
    return found
