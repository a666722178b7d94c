"""`megadata clean --compare`: two rule lists asked about the same documents, and where they disagree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from megadata.corpus.rules import RuleList, load_rules
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import Inputs, plan, read_span, refuse_overlap, source_versions
from megadata.documents.registry import READERS, sources
from megadata.documents.source import Problems, ReadOptions
from megadata.documents.unpack import unpack
from megadata.errors import OutputError
from megadata.runtime.files import atomic_write, lock_folder
from megadata.runtime.manifest import STATE, StepSpec, clear_work
from megadata.runtime.receipts import Receipt, UnitWriter, part_path
from megadata.runtime.settings import RunSettings
from megadata.runtime.step import map_units, work_folder
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

    def plain(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        pairs = [
            {"a": a or None, "b": b or None, "documents": n, "examples": self.examples.get((a, b), [])}
            for (a, b), n in self.pairs.items()
        ]
        return {"output": str(self.output), "a": self.names[0], "b": self.names[1], "pairs": pairs}


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
                        counts[orjson.dumps([a[row]["reason"] or "", b[row]["reason"] or ""]).decode()] += 1
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
            return writer.finish(dict(counts))


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
    refuse_overlap(inputs.files, output)
    if (output / "manifest.json").exists():
        raise OutputError(
            f"{output}: expected a folder of its own for --compare, found another step's output; name another"
        )
    families = sorted({f.family for f in inputs.files})
    first, second = ({f: load_rules(name) for f in families} for name in names)
    spec = StepSpec(
        name="compare",
        version="1",
        config={
            "rules": [{f: rules.identity for f, rules in one.items()} for one in (first, second)],
            "read": read.__class__.__name__ + repr(read),
            "unit_bytes": unit_bytes,
            "sources": source_versions(inputs.files),
        },
        libraries=("ftfy", "orjson", "pyarrow", "zstandard", *READERS),
        upstream=inputs.upstream,
    )
    sources()
    with lock_folder(output / STATE):
        folder = work_folder(output, spec)
        with settings.executor() as executor:
            files = unpack(executor, inputs.files, folder / "unpacked", settings.progress, read, unit_bytes)
            units = plan(files, unit_bytes)
            task = CompareTask(folder, (first, second), read)
            receipts = map_units(executor, task, units, folder, settings.progress, "compare")
        counts: Counter[str] = Counter()
        with atomic_write(output / NAME) as file:
            for receipt in receipts:
                counts.update({k: int(v) for k, v in receipt.counts.items()})
                if "differ" in receipt.parts:
                    file.write(part_path(folder, "differ", receipt.unit).read_bytes())
        clear_work(output)
    pairs = {(a, b): int(n) for (a, b), n in ((orjson.loads(k), n) for k, n in counts.items())}
    ordered = dict(sorted(pairs.items(), key=lambda item: (-item[1], item[0])))
    return Compared(output / NAME, names, ordered, _examples(output / NAME))


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
