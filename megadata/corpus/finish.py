"""From the parts of all units to the output of `clean`: shards, removed documents, key index, scores, statistics, manifest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megadata import formats
from megadata.corpus.record import Recorder
from megadata.corpus.scorelayout import NAME, Layout
from megadata.documents import publish as publish_files
from megadata.documents.ids import NOTE, write_key_index
from megadata.documents.job import Opened
from megadata.documents.settle import settle
from megadata.runtime.exchange import Exchange
from megadata.runtime.executor import Executor
from megadata.runtime.files import read_json, write_json
from megadata.runtime.manifest import Manifest, input_digests
from megadata.runtime.owned import claim, settle_claim
from megadata.runtime.receipts import Read, Receipt
from megadata.runtime.step import assemble_shards, mark_spent, publish
from megadata.runtime.units import Unit

if TYPE_CHECKING:
    from megadata.corpus.clean import CleanConfig


BESIDE = (*publish_files.BESIDE, NAME)
"""Files that the step may leave beside its shards."""


def record_path(folder: Path, ordinal: int) -> Path:
    """Where a unit's record lies."""
    return folder / "records" / f"{ordinal:06d}.json"


def records(folder: Path, units: list[Unit]) -> Recorder:
    """The records of all units, in their order."""
    whole = Recorder()
    for unit in units:
        whole.add(read_json(record_path(folder, unit.ordinal)))
    return whole


def finish(
    job: Opened,
    executor: Executor,
    receipts: list[Receipt],
    units: list[Unit],
    config: CleanConfig,
    record: Recorder,
    scores: tuple[Layout | None, dict[str, Any]] = (None, {}),
    known: tuple[list[dict[str, Any]], list[Read], dict[str, float]] | None = None,
) -> dict[str, float]:
    """Bring the parts of all units to the job's output; the totals of all units.

    Parameters
    ----------
    scores
        The layout of the units' scores, if there are any, and what the file says besides.
    known
        Where units are not cut from the inputs themselves: the digests of the inputs, what was read of them, and counts that
        no unit has.
    """
    mapped, output, spec, settings = job.folder, job.output, job.spec, job.settings
    mark_spent(mapped)
    folder, receipts = settle(executor, receipts, units, mapped, settings, config.newest, config.removed)
    shards, plans = assemble_shards(executor, receipts, folder, settings.progress, config.form, config.shard_bytes)
    if config.form == "jsonl.zst":
        parts = {(name, r.unit): part for r in receipts for name, part in r.parts.items()}
        exchange = Exchange(folder / "ids", NOTE)
        write_key_index(exchange, folder / "keys.idx", plans, parts, settings.memory, settings.workers)
    layout, about = scores
    if layout is not None and not (folder / NAME).exists():
        from megadata.corpus.scores import assemble_scores

        assemble_scores(mapped, folder / NAME, receipts, plans, layout, {**about, "identity": spec.identity})
    inputs, reads, more = known or (input_digests(receipts), [read for r in receipts for read in r.read], {})
    totals = _totals(receipts, more)
    names = [f"removed/{s.name}" if s.stream == "removed" else s.name for s in shards]
    claim(output, names, BESIDE)
    outputs = publish(folder, output, shards, {"kept": Path(), "removed": Path("removed")})
    for name in ("keys.idx", NAME):
        (output / name).unlink(missing_ok=True)
        if (folder / name).exists():
            (folder / name).replace(output / name)
    write_json(output / "stats.json", formats.stamp("stats", {"counts": totals, "sources": record.plain()}))
    made = Manifest("clean", spec.identity, spec.describe(), inputs, outputs, totals)
    made.save(output, [Receipt(0, reads, {}, {})])
    settle_claim(output, [*names, *BESIDE])
    return totals


def _totals(receipts: list[Receipt], more: dict[str, float]) -> dict[str, float]:
    counts: Counter[str] = Counter(more)
    for receipt in receipts:
        counts.update(receipt.counts)
    return {k: int(v) for k, v in sorted(counts.items())}
