"""`megadata why`: what each stage did with a document, where its tokens lie, and which training steps saw them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from megadata.documents.ids import find
from megadata.errors import CorpusError
from megadata.pipeline.runsteps import open_run
from megadata.pipeline.whydata import datasets_below, find_document, record, steps_of
from megadata.runtime.streams import open_decoded

MOST = 20
"""Documents of one URL or file, and steps of a run, that are told."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one stage's output says about a document."""

    stage: str
    verdict: str
    record: dict[str, Any]


def why(name: str, folder: Path) -> list[Verdict]:
    """Look a document up in every output of `clean`, `dedup`, `decontaminate` and `tokenize` and every run in or below `folder`.

    An id is found through the outputs' key indexes; a URL, or the path of an input file, by reading all shards. Its tokens are
    looked up by the ids found.

    Raises
    ------
    CorpusError
        If no output knows the document.
    """
    outputs = [index.parent for index in sorted(folder.rglob("keys.idx"))]
    datasets = datasets_below(folder)
    if not outputs and not datasets:
        raise CorpusError(
            f"{folder}: expected an output of clean or dedup with a keys.idx, or of tokenize, found none; check --in"
        )
    found = [_verdict(output, stream, record) for output in outputs for stream, record in find(output, name)]
    if not found:
        found = [
            _verdict(output, stream, record)
            for output in outputs
            for stream, record in islice(_scan(output, name), MOST)
        ]
    ids = dict.fromkeys(str(verdict.record["id"]) for verdict in found) or {name: None}
    for own in ids:
        found += _in_data(own, datasets, folder)
    if not found:
        raise CorpusError(
            f"{name}: no output in {folder} knows a document of this id, URL or path; ids stand in the shards"
        )
    return found


def _in_data(own: str, datasets: list[str], folder: Path) -> list[Verdict]:
    """Where an id's tokens lie, and the steps of each run that saw them."""
    places = [place for prefix in datasets for place in find_document(prefix, own)]
    verdicts = [
        Verdict(
            place.prefix,
            f"document {place.document:,} of {place.documents:,}: tokens {place.start:,} to {place.stop:,}",
            record(place),
        )
        for place in places
    ]
    for metrics in sorted(folder.rglob("metrics.jsonl")) if places else []:
        run = open_run(metrics.parent)
        steps = steps_of(run, places)
        if steps:
            told = ", ".join(f"{step:,}" for step in steps[:MOST]) + (" ..." if len(steps) > MOST else "")
            verdict = f"seen {len(steps):,} times in {run.steps:,} steps, at {told}"
        else:
            verdict = f"not seen in {run.steps:,} steps"
        verdicts.append(Verdict(str(metrics.parent), verdict, {"steps": steps, "of": run.steps}))
    return verdicts


def _verdict(output: Path, stream: str, record: dict[str, Any]) -> Verdict:
    if stream == "kept":
        return Verdict(str(output), "kept", record)
    value = f" (value {record['value']:g})" if record.get("value") is not None else ""
    matched = (record.get("metadata") or {}).get("matched")
    value += f", matched: {matched}" if matched else ""
    kept = (record.get("metadata") or {}).get("duplicate_of")
    if record.get("reason") == "decontaminate.cut":
        kept = ", ".join(f"{record['id']}/piece-{number}" for number in range(1, int(record["value"]) + 1))
    instead = f", kept instead: {kept}" if kept else ""
    return Verdict(str(output), f"removed: {record.get('reason')}{value}{instead}", record)


def _scan(output: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents of a URL or of an input file."""
    wanted = orjson.dumps(name)[1:-1]
    for stream, below in (("kept", output), ("removed", output / "removed")):
        for shard in sorted(below.glob("docs-*.jsonl.zst")):
            with open_decoded(str(shard)) as lines:
                for line in lines:
                    if wanted in line:
                        record = orjson.loads(line)
                        if name in (record.get("url"), (record.get("metadata") or {}).get("path")):
                            yield stream, record
