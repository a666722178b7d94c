"""The driver of a step that maps units to parts and puts the parts together to shards.

Everything under way lies in ``OUTPUT/.megadata/work/<identity>/``; when all shards are whole they are moved to the output and the
manifest is written. Killed anywhere, the same command goes on: units with a valid receipt and shards that exist are not made
again, and the bytes are those of an undisturbed run.
"""

from __future__ import annotations

import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megadata.errors import OutputError
from megadata.runtime.executor import LATER, Executor
from megadata.runtime.files import sync_folder
from megadata.runtime.manifest import STATE, StepSpec, discard
from megadata.runtime.owned import claim, is_shard
from megadata.runtime.progress import Reporter
from megadata.runtime.receipts import Receipt, receipt_path
from megadata.runtime.shards import SHARD_BYTES, Assembler, Shard, ShardPlan, ShardPlanner
from megadata.runtime.units import Unit

SPENT = "spent"
"""File in a map phase's folder that says its receipts have been used."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a map phase gives: a receipt for each unit, in order, and the shards of each stream."""

    receipts: list[Receipt]
    shards: list[Shard]

    def total(self) -> Counter[str]:
        """Sum of all units' counters."""
        counts: Counter[str] = Counter()
        for receipt in self.receipts:
            counts.update(receipt.counts)
        return counts


@dataclass(frozen=True, slots=True)
class _MapOrAssemble:
    """One task for both kinds of work, so that any free worker can do either."""

    task: Callable[[Unit], Receipt]
    assembler: Assembler

    def __call__(self, item: Unit | ShardPlan) -> Receipt | Shard:
        return self.assembler(item) if isinstance(item, ShardPlan) else self.task(item)


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
    """Receipts, by unit, of an earlier run over the same input; all of its work is deleted when the input has changed."""
    found: dict[int, Receipt] = {}
    made = len(list((folder / "receipts").glob("*.json")))
    for unit in units:
        receipt = Receipt.load(receipt_path(folder, unit.ordinal))
        if receipt is not None and receipt.fits(unit):
            found[unit.ordinal] = receipt
    if len(found) < made or (len(found) < len(units) and (folder / SPENT).exists()):
        discard(folder)
        return {}
    return found


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


def map_to_shards(
    executor: Executor,
    task: Callable[[Unit], Receipt],
    units: list[Unit],
    folder: Path,
    progress: Reporter,
    name: str,
    form: str = "jsonl.zst",
    shard_bytes: int = SHARD_BYTES,
) -> Mapped:
    """Run `task` on all units and assemble shards as they become final."""
    done = valid_receipts(folder, units)
    planner = ShardPlanner(shard_bytes)
    ready: deque[ShardPlan] = deque()
    shards: list[Shard] = []
    planned = 0

    def plan() -> None:
        nonlocal planned
        while planned < len(units) and units[planned].ordinal in done:
            ready.extend(planner.add(done[units[planned].ordinal]))
            planned += 1
            if planned == len(units):
                ready.extend(planner.finish())

    def feed() -> Iterator[Any]:
        pending = deque(u for u in units if u.ordinal not in done)
        while ready or pending or planned < len(units):
            if ready:
                yield ready.popleft()
            elif pending:
                yield pending.popleft()
            else:
                yield LATER

    plan()
    remaining = [u for u in units if u.ordinal not in done]
    with progress.stage(name, sum(map(unit_bytes, remaining))) as stage:
        for item, result in executor.run(_MapOrAssemble(task, Assembler(folder, form)), feed()):
            if isinstance(result, Shard):
                shards.append(result)
            else:
                done[item.ordinal] = result
                stage.advance(unit_bytes(item), units=1)
                plan()
    shards.sort(key=lambda s: (s.stream, s.name))
    return Mapped([done[u.ordinal] for u in units], shards)


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
