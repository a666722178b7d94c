"""Make the ids of an output unique: those that occur more than once are qualified by the path of their file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import orjson

from megadata.documents.ids import NOTE, IdNotes, find_repeats, qualify, repeats_of
from megadata.errors import CorpusError
from megadata.runtime.exchange import Exchange
from megadata.runtime.executor import Executor
from megadata.runtime.receipts import Receipt, UnitWriter, part_path, receipt_path
from megadata.runtime.settings import RunSettings
from megadata.runtime.step import map_units
from megadata.runtime.streams import ZstdFrames
from megadata.runtime.units import Unit

QUALIFIED = "ids_qualified|all"


def unique_ids(
    executor: Executor, receipts: list[Receipt], units: list[Unit], folder: Path, settings: RunSettings
) -> tuple[Path, list[Receipt]]:
    """Qualify ids that occur more than once in the parts of `folder`; where the parts are now, and their receipts.

    Nothing is written where all ids differ. Otherwise all units move, by links, to a folder of their own, so that a kill in
    between leaves the decision and the old parts as they were.
    """
    repeats = folder / "repeats.npy"
    if not repeats.exists():
        number = find_repeats(Exchange(folder / "ids", NOTE), repeats, settings.memory, settings.workers)
        if number:
            settings.progress.note(
                f"{number} documents have ids that others have as well; they are qualified by their paths"
            )
    target = folder / "unique"
    if not any(repeats_of(repeats, receipt.unit) for receipt in receipts):
        return folder, receipts
    return target, map_units(executor, Qualify(folder, target), units, target, settings.progress, "qualify ids")


@dataclass(frozen=True, slots=True)
class Qualify:
    """Task that brings one unit's parts to `target`, with its repeated ids qualified."""

    folder: Path
    target: Path

    def __call__(self, unit: Unit) -> Receipt:
        """Link or rewrite the parts, note the ids, leave a receipt."""
        before = Receipt.load(receipt_path(self.folder, unit.ordinal))
        if before is None:
            raise CorpusError(
                f"{receipt_path(self.folder, unit.ordinal)}: a receipt has vanished; run the command again"
            )
        wanted = repeats_of(self.folder / "repeats.npy", unit.ordinal)
        if not wanted and (self.folder / "ids" / f"{unit.ordinal:06d}.run").exists():
            return self._link(before)
        notes = IdNotes(unit.ordinal)
        with UnitWriter(self.target, unit) as writer:
            for stream in before.parts:
                offset = 0
                with part_path(self.folder, stream, unit.ordinal).open("rb") as raw:
                    text = ZstdFrames(raw).readall() or b""
                for line in text.split(b"\n")[:-1]:
                    self._line(line + b"\n", stream, wanted.get((stream, offset)), writer, notes)
                    offset += len(line) + 1
            Exchange(self.target / "ids", NOTE).write(unit.ordinal, notes.records())
            return writer.finish({**before.counts, QUALIFIED: float(len(wanted))})

    def _link(self, before: Receipt) -> Receipt:
        names = [Path("ids") / f"{before.unit:06d}.run"]
        names += [part_path(Path(), stream, before.unit) for stream in before.parts]
        for name in names:
            (self.target / name).parent.mkdir(parents=True, exist_ok=True)
            (self.target / name).unlink(missing_ok=True)
            os.link(self.folder / name, self.target / name)
        before.save(receipt_path(self.target, before.unit))
        return before

    @staticmethod
    def _line(line: bytes, stream: str, occurrence: int | None, writer: UnitWriter, notes: IdNotes) -> None:
        if occurrence is not None:
            line, name, path = qualify(line, occurrence)
        else:
            record = orjson.loads(line)
            name, path = record["id"], str((record.get("metadata") or {}).get("path", ""))
            if str(record.get("reason", "")).startswith("unreadable."):
                writer.write(stream, notes.skip(stream, [line]))
                return
        writer.write(stream, notes.take(stream, [name], [path], [line]))
