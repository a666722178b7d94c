"""The driver of a step that maps units to parts and puts the parts together to shards.

Everything under way lies in ``OUTPUT/.megadata/work/<identity>/``; when all shards are whole they are moved to the output and the
manifest is written. Killed anywhere, the same command goes on: units with a valid receipt and shards that exist are not made
again, and the bytes are those of an undisturbed run.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from megadata.errors import OutputError
from megadata.runtime.exchange import KeyRange
from megadata.runtime.executor import Executor, R
from megadata.runtime.files import sync_folder
from megadata.runtime.manifest import STATE, StepSpec, discard
from megadata.runtime.owned import claim, is_shard
from megadata.runtime.progress import Reporter
from megadata.runtime.receipts import Receipt, part_path, receipt_path, size_of
from megadata.runtime.shards import SHARD_BYTES, Assembler, Shard, ShardPlan, ShardPlanner
from megadata.runtime.units import Unit

SPENT = "spent"
"""File in a map phase's folder that says its receipts have been used."""


def work_folder(output: Path, spec: StepSpec) -> Path:
    """Where a step keeps what is under way; work of other identities is deleted."""
    work = output / STATE / "work"
    chosen = work / spec.identity[:16]
    if work.is_dir():
        for other in work.iterdir():
            if other != chosen:
                shutil.rmtree(other, ignore_errors=True)
    for leftover in (output / STATE).glob("gone-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen


def valid_receipts(folder: Path, units: list[Unit]) -> dict[int, Receipt]:
    """Receipts, by unit, of an earlier run over the same input; all of its work is deleted when the input has changed.

    Where a power cut has left a receipt and not the whole of its parts, the unit is made again: the same input gives the
    same bytes.
    """
    found: dict[int, Receipt] = {}
    made = len(list((folder / "receipts").glob("*.json")))
    torn = 0
    for unit in units:
        receipt = Receipt.load(receipt_path(folder, unit.ordinal))
        if receipt is not None and receipt.fits(unit):
            if _is_torn(folder, receipt):
                torn += 1
            else:
                found[unit.ordinal] = receipt
    same = len(found) + torn
    if same < made or (same < len(units) and (folder / SPENT).exists()):
        discard(folder)
        return {}
    return found


def _is_torn(folder: Path, receipt: Receipt) -> bool:
    """Whether a part is not what the receipt says; parts that are gone were put into shards, once the phase is spent."""
    spent = (folder / SPENT).exists()
    sizes = ((part.stored, size_of(part_path(folder, name, receipt.unit))) for name, part in receipt.parts.items())
    return any(stored not in (0, size) and not (spent and size == -1) for stored, size in sizes)


def mark_spent(folder: Path) -> None:
    """Note that what comes after the map phase in `folder` has begun: should units be added now, all of it is made again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SPENT).touch()


def unit_bytes(unit: Unit) -> int:
    """Size of a unit for progress: bytes of its spans."""
    return sum((s.file.size if s.stop == -1 else s.stop) - s.start for s in unit.spans)


def map_units(
    executor: Executor,
    task: Callable[[Unit], Receipt],
    units: list[Unit],
    folder: Path,
    progress: Reporter,
    name: str,
) -> list[Receipt]:
    """Run `task` on the units that have no valid receipt in `folder`; all receipts, in unit order."""
    done = valid_receipts(folder, units)
    pending = [u for u in units if u.ordinal not in done]
    with progress.stage(name, sum(map(unit_bytes, pending))) as stage:
        for unit, receipt in executor.run(task, pending):
            done[unit.ordinal] = receipt
            stage.advance(unit_bytes(unit), units=1)
    return [done[u.ordinal] for u in units]


def map_ranges(
    executor: Executor, task: Callable[[KeyRange], R], ranges: list[KeyRange], progress: Reporter, name: str
) -> list[R]:
    """Run `task` on ranges of keys; the results in key order."""
    results: dict[int, R] = {}
    with progress.stage(name, sum(one.bytes for one in ranges)) as stage:
        for key_range, result in executor.run(task, ranges):
            results[key_range.ordinal] = result
            stage.advance(key_range.bytes)
    return [results[ordinal] for ordinal in sorted(results)]


def assemble_shards(
    executor: Executor,
    receipts: list[Receipt],
    folder: Path,
    progress: Reporter,
    form: str = "jsonl.zst",
    shard_bytes: int = SHARD_BYTES,
) -> tuple[list[Shard], list[ShardPlan]]:
    """Assemble the shards of finished units; the shards by stream and name, and the plans they were made from."""
    planner = ShardPlanner(shard_bytes)
    plans = [plan for receipt in receipts for plan in planner.add(receipt)] + planner.finish()
    shards: list[Shard] = []
    with progress.stage("assemble shards", sum(p.bytes for p in plans)) as stage:
        for plan, shard in executor.run(Assembler(folder, form), plans):
            shards.append(shard)
            stage.advance(plan.bytes)
    return sorted(shards, key=lambda s: (s.stream, s.name)), sorted(plans, key=lambda p: (p.stream, p.ordinal))


def publish(folder: Path, output: Path, shards: list[Shard], streams: dict[str, Path]) -> list[dict[str, Any]]:
    """Move finished shards to the output, in place of those of earlier runs; their records for the manifest.

    `streams` tells in which folder below `output` each stream's shards belong. No file is replaced or deleted that is not ours.
    """
    places = {shard: (streams[shard.stream] / shard.name).as_posix() for shard in shards}
    mine = claim(output, places.values())
    (output / "manifest.json").unlink(missing_ok=True)
    for name in sorted(mine.difference(places.values())):
        old = output / name
        if is_shard(old.name) and Path(name).parent in streams.values():
            old.unlink(missing_ok=True)
    records = []
    for shard, name in places.items():
        target = output / name
        made = folder / "shards" / shard.stream / shard.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if made.exists():
            made.replace(target)
        elif not target.exists() or target.stat().st_size != shard.size:
            raise OutputError(f"{target}: a finished shard has vanished; delete {folder} and run again")
        records.append(
            {
                "name": name,
                "documents": shard.documents,
                "bytes": shard.bytes,
                "size": shard.size,
                "sha256": shard.sha256,
            }
        )
    for below in set(streams.values()):
        if (output / below).is_dir():
            sync_folder(output / below)
    return records
