"""The output folders of a deduplication: shards in place, key indexes, files beside them, and manifests last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from megadata import formats
from megadata.corpus.dedup.output import stream
from megadata.documents.ids import NOTE, STREAMS, write_key_index
from megadata.errors import ConfigError
from megadata.runtime.exchange import Exchange
from megadata.runtime.files import digest_file, write_json
from megadata.runtime.manifest import Manifest, StepSpec, forget, input_digests
from megadata.runtime.receipts import Receipt
from megadata.runtime.settings import RunSettings
from megadata.runtime.shards import Shard, ShardPlan
from megadata.runtime.step import publish


@dataclass(frozen=True, slots=True)
class Written:
    """What the last phase has written."""

    folder: Path
    labels: tuple[str, ...]
    """Names of the inputs that are kept apart."""
    receipts: list[Receipt]
    shards: list[Shard]
    plans: list[ShardPlan]


def refuse_label_of_removed(labels: tuple[str, ...]) -> None:
    """Refuse an input by the name of the folder of removed documents."""
    if "removed" in labels:
        raise ConfigError(
            "removed=...: the name is taken by the folder of removed documents; give the input another one"
        )


def publish_outputs(
    written: Written,
    output: Path,
    spec: StepSpec,
    before: Manifest | None,
    totals: dict[str, Any],
    stats: dict[str, Any],
    form: str,
    settings: RunSettings,
    beside: Callable[[], list[Path]],
) -> None:
    """Move everything to its place.

    `beside` writes the files that belong to the whole output, when the shards are there; `before` is the manifest of what lay
    there, of which nothing stays that is not written again.
    """
    labels = written.labels or ("",)
    for label in dict.fromkeys(("", *labels)):
        (output / label / "manifest.json").unlink(missing_ok=True)
    below = {
        stream(label, kind): Path(label) / ("removed" if kind == "removed" else "")
        for label in labels
        for kind in STREAMS
    }
    outputs = publish(written.folder, output, written.shards, below)
    if form == "jsonl.zst":
        for label in labels:
            _write_keys(written, label, output / label / "keys.idx", settings)
    for file in beside():
        record = {"name": file.name, "size": file.stat().st_size, "sha256": digest_file(file)}
        outputs.append(record)
    write_json(output / "stats.json", formats.stamp("stats", {"counts": totals, **stats}))
    for label in written.labels:
        mine = [
            {**o, "name": str(Path(o["name"]).relative_to(label))} for o in outputs if Path(o["name"]).parts[0] == label
        ]
        own = {k: v for k, v in totals.items() if k.split("|")[1:2] == [label]}
        _manifest(spec, written, mine, own).save(output / label, written.receipts)
    _manifest(spec, written, outputs, totals).save(output, written.receipts)
    if before is not None:
        forget(before, {o["name"] for o in outputs}, written.labels, output)


def _manifest(spec: StepSpec, written: Written, outputs: list[dict[str, Any]], totals: dict[str, Any]) -> Manifest:
    return Manifest(spec.name, spec.identity, spec.describe(), input_digests(written.receipts), outputs, totals)


def _write_keys(written: Written, label: str, target: Path, settings: RunSettings) -> None:
    """The key index of one output."""
    names = {stream(label, kind): kind for kind in STREAMS}
    mine = [replace(p, stream=names[p.stream]) for p in written.plans if p.stream in names]
    parts = {(names[n], r.unit): part for r in written.receipts for n, part in r.parts.items() if n in names}
    ids = Exchange(written.folder / "ids" / label, NOTE)
    write_key_index(ids, target, mine, parts, settings.memory, settings.workers)
