"""The output folders of a step that removes something: shards in place, key indexes, files beside them, and manifests last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from megadata import formats
from megadata.documents.ids import NOTE, STREAMS, write_key_index
from megadata.documents.job import Job
from megadata.runtime.exchange import Exchange
from megadata.runtime.executor import Executor
from megadata.runtime.files import digest_file, write_json
from megadata.runtime.manifest import Manifest, forget, input_digests
from megadata.runtime.owned import claim, settle_claim
from megadata.runtime.receipts import Receipt
from megadata.runtime.settings import RunSettings
from megadata.runtime.shards import Shard, ShardPlan
from megadata.runtime.step import assemble_shards, map_units, publish
from megadata.runtime.units import Unit

BESIDE = ("keys.idx", "stats.json")
"""Files that every step leaves beside its shards."""


def stream(label: str, kind: str) -> str:
    """Name of a stream of lines: ``kept`` or ``removed``, below the input's name where one phase writes several outputs."""
    return f"{label}/{kind}" if label else kind


@dataclass(frozen=True, slots=True)
class Written:
    """What the last phase has written for one output."""

    label: str
    """Name of the input that is kept apart; empty where there is one output for all."""
    folder: Path
    receipts: list[Receipt]
    shards: list[Shard]
    plans: list[ShardPlan]
    streams: dict[str, str]
    """Names of the streams of ``kept`` and ``removed`` lines."""

    @property
    def place(self) -> Path:
        """Where the output lies, below that of the step."""
        return Path(self.label)


def write_shards(
    job: Job,
    executor: Executor,
    task: Callable[[Unit], Receipt],
    units: list[Unit],
    folder: Path,
    name: str,
    form: str,
    shard_bytes: int,
) -> list[Written]:
    """Run the last phase, and put its parts together to shards; what that gives for each output.

    Parameters
    ----------
    task : writes the streams of all outputs (`stream`), and leaves notes of ids in `folder`.
    """
    progress = job.settings.progress
    receipts = map_units(executor, task, units, folder, progress, name)
    shards, plans = assemble_shards(executor, receipts, folder, progress, form, shard_bytes)
    return [
        Written(
            label,
            folder,
            receipts,
            [shard for shard in shards if shard.stream in names.values()],
            [plan for plan in plans if plan.stream in names.values()],
            names,
        )
        for label in sorted(job.inputs.apart) or ("",)
        for names in [{kind: stream(label, kind) for kind in STREAMS}]
    ]


@dataclass(frozen=True, slots=True)
class Beside:
    """What a step leaves beside its shards."""

    files: list[tuple[Path, int | None]]
    """Files of the whole output, and the rows of each where the manifest tells them."""
    stats: dict[str, Any]
    """What ``stats.json`` holds besides the counters."""


def publish_outputs(
    job: Job,
    written: Sequence[Written],
    receipts: list[Receipt],
    totals: dict[str, Any],
    form: str | None,
    beside: Callable[[], Beside],
) -> None:
    """Move everything to its place, and remove what lay there and is not written again.

    Parameters
    ----------
    receipts : those of all units, numbered in the order of the inputs.
    form : the file format of the shards; None for a step that only reports and writes none.
    beside : writes the files that belong to the whole output, when the shards are there.

    Raises
    ------
    Unfit
        Before anything is moved, if an output has no documents because its inputs have no text where the options say.
    """
    for one in written:
        job.refuse_without_documents(totals, one.label)
    output, spec = job.output, job.spec
    labels = tuple(one.label for one in written if one.label)
    places = [
        {name: one.place / ("removed" if kind == "removed" else "") for kind, name in one.streams.items()}
        for one in written
    ]
    names = [
        (below[s.stream] / s.name).as_posix() for one, below in zip(written, places, strict=True) for s in one.shards
    ]
    claim(output, names, job.beside)
    for label in dict.fromkeys(("", *labels)):
        (output / label / "manifest.json").unlink(missing_ok=True)
    outputs: list[dict[str, Any]] = []
    for one, below in zip(written, places, strict=True):
        outputs += publish(one.folder, output, one.shards, below)
    for one in written:
        if form == "jsonl.zst":
            _write_keys(one, output / one.place / "keys.idx", job.settings)
        else:
            (output / one.place / "keys.idx").unlink(missing_ok=True)
    made = beside()
    for file, rows in made.files:
        number = {} if rows is None else {"documents": rows}
        outputs.append({"name": file.name, **number, "size": file.stat().st_size, "sha256": digest_file(file)})
    write_json(output / "stats.json", formats.stamp("stats", {"counts": totals, **made.stats}))

    def save(folder: Path, read: list[Receipt], files: list[dict[str, Any]], counts: dict[str, Any]) -> None:
        manifest = Manifest(spec.name, spec.identity, spec.describe(), input_digests(read), files, counts)
        manifest.save(folder, read)

    for one in written if form is not None else ():
        if one.label:
            mine = [
                {**record, "name": Path(record["name"]).relative_to(one.place).as_posix()}
                for record in outputs
                if Path(record["name"]).parts[0] == one.label
            ]
            own = {key: value for key, value in totals.items() if key.split("|")[1:2] == [one.label]}
            save(output / one.place, one.receipts, mine, own)
    save(output, receipts, outputs, totals)
    if job.before is not None:
        forget(job.before, {record["name"] for record in outputs}, labels, output)
    settle_claim(output, [*names, *job.beside])


def _write_keys(written: Written, target: Path, settings: RunSettings) -> None:
    """The key index of one output."""
    names = {name: kind for kind, name in written.streams.items()}
    plans = [replace(plan, stream=names[plan.stream]) for plan in written.plans]
    parts = {
        (names[name], receipt.unit): part
        for receipt in written.receipts
        for name, part in receipt.parts.items()
        if name in names
    }
    ids = Exchange(
        (written.folder / "ids" / written.streams["kept"]).parent, NOTE
    )  # beside each other, as the streams are
    write_key_index(ids, target, plans, parts, settings.memory, settings.workers)
