"""What all units must be written for before it is known: ids that occur more than once, and older crawls of an address.

Ids that others have as well are qualified by the path of their file; older crawls move to the removed documents.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import orjson

from megadata.documents.crawls import OLDER_CRAWL, find_older, older_of
from megadata.documents.ids import NOTE, IdNotes, qualify
from megadata.documents.repeats import find_repeats, repeats_of
from megadata.errors import CorpusError
from megadata.runtime.exchange import Exchange
from megadata.runtime.executor import Executor
from megadata.runtime.receipts import Receipt, UnitWriter, part_path, receipt_path
from megadata.runtime.settings import RunSettings
from megadata.runtime.step import map_units
from megadata.runtime.streams import ZstdFrames
from megadata.runtime.units import Unit

QUALIFIED = "ids_qualified|all"
DUPLICATE_OF = "duplicate_of"
"""Where a removed document's metadata names the one that is kept instead."""


def settle(
    executor: Executor,
    receipts: list[Receipt],
    units: list[Unit],
    folder: Path,
    settings: RunSettings,
    newest: bool = False,
    removed: str = "text",
) -> tuple[Path, list[Receipt]]:
    """Qualify ids that occur more than once in the parts of `folder`, and with `newest` remove older crawls, of which `removed`
    tells what to keep; where the parts are now, and their receipts.

    Nothing is written where all ids and addresses differ. Otherwise all units move, by links, to a folder of their own, so that
    a kill in between leaves the decision and the old parts as they were.
    """
    repeats = folder / "repeats.npy"
    if not repeats.exists():
        number = find_repeats(executor, Exchange(folder / "ids", NOTE), repeats, settings.memory)
        if number:
            settings.progress.note(
                f"{number} documents have ids that others have as well; they are qualified by their paths"
            )
    target = folder / "unique"
    older = find_older(executor, folder, settings) if newest else 0
    if not older and not any(repeats_of(repeats, receipt.unit) for receipt in receipts):
        return folder, receipts
    name = "remove older crawls" if older else "qualify ids"
    return target, map_units(
        executor, Settle(folder, target, older > 0, removed), units, target, settings.progress, name
    )


@dataclass(frozen=True, slots=True)
class Settle:
    """Task that brings one unit's parts to `target`, with its repeated ids qualified and its older crawls removed."""

    folder: Path
    target: Path
    older: bool
    removed: str

    def __call__(self, unit: Unit) -> Receipt:
        """Link or rewrite the parts, note the ids, leave a receipt."""
        before = Receipt.load(receipt_path(self.folder, unit.ordinal))
        if before is None:
            raise CorpusError(
                f"{receipt_path(self.folder, unit.ordinal)}: a receipt has vanished; run the command again"
            )
        wanted = repeats_of(self.folder / "repeats.npy", unit.ordinal)
        older = older_of(self.folder, unit.ordinal) if self.older else {}
        if not wanted and not older and (self.folder / "ids" / f"{unit.ordinal:06d}.run").exists():
            return self._link(before)
        notes = IdNotes(unit.ordinal)
        counts: Counter[str] = Counter()
        with UnitWriter(self.target, unit) as writer:
            for stream in before.parts:
                offset = 0
                with part_path(self.folder, stream, unit.ordinal).open("rb") as raw:
                    text = ZstdFrames(raw).readall() or b""
                for line in text.split(b"\n")[:-1]:
                    line += b"\n"
                    occurrence = wanted.get((stream, offset))
                    if stream == "kept" and offset in older:
                        self._remove(line, older[offset], occurrence, writer, notes, counts)
                    else:
                        self._line(line, stream, occurrence, writer, notes)
                    offset += len(line)
            Exchange(self.target / "ids", NOTE).write(unit.ordinal, notes.records())
            counts[QUALIFIED] = len(wanted)
            return writer.finish({**before.counts, **{k: before.counts.get(k, 0) + n for k, n in counts.items()}})

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

    def _remove(
        self, line: bytes, kept: str, occurrence: int | None, writer: UnitWriter, notes: IdNotes, counts: Counter[str]
    ) -> None:
        """Write a kept document's line to the removed ones, with the id of the newer crawl."""
        if occurrence is not None:
            line, _, _ = qualify(line, occurrence)
        record = orjson.loads(line)
        label, size = record["source"], len(record["text"].encode())
        for name, number in (("documents_kept", -1), ("bytes_kept", -size)):
            counts[f"{name}|{label}"] += number
        for name, number in (("removed", 1), ("removed_bytes", size)):
            counts[f"{name}|{label}|{OLDER_CRAWL}"] += number
        if self.removed == "none":
            return
        metadata = {**(record.get("metadata") or {}), DUPLICATE_OF: kept}
        text = record["text"] if self.removed == "text" else ""
        record |= {"text": text, "metadata": metadata, "reason": OLDER_CRAWL, "value": None}
        moved = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        writer.write("removed", notes.take("removed", [record["id"]], [str(metadata.get("path", ""))], [moved]))
