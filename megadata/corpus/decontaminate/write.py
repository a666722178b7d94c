"""The tasks over units: count the documents of each n-gram; and write what is left of each document, with the evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from megadata.corpus.decontaminate import cuts, evidence
from megadata.corpus.decontaminate.config import DecontaminateConfig
from megadata.corpus.decontaminate.evidence import Finding
from megadata.corpus.decontaminate.index import Index, by_document, places, search
from megadata.documents.batch import DocBatch
from megadata.documents.ids import NOTE, IdNotes, file_paths
from megadata.documents.inputs import read_span
from megadata.documents.shards import encode_lines, unreadable_lines
from megadata.documents.source import Problems
from megadata.kernels.base import I64, Bool
from megadata.runtime.exchange import Exchange
from megadata.runtime.files import atomic_write
from megadata.runtime.receipts import Receipt, UnitWriter
from megadata.runtime.units import Unit

CONTAMINATED, TOO_MANY_PIECES, NOTHING_LEFT, CUT = "contaminated", "too_many_pieces", "nothing_left", "cut"
"""Why a document stands among the removed ones; of one that was `CUT`, the pieces are kept."""
REPORTED = "reported"
OUTCOMES = (REPORTED, CUT, TOO_MANY_PIECES, NOTHING_LEFT, CONTAMINATED)


@lru_cache(maxsize=1)
def _loaded(folder: Path) -> Index:
    return Index.load(folder)


def counts_path(folder: Path, ordinal: int) -> Path:
    """Where a unit notes how many of its documents hold each n-gram."""
    return folder / "ngrams" / f"{ordinal:06d}.npy"


def _note_counts(folder: Path, ordinal: int, held: list[I64]) -> None:
    found, times = np.unique(np.concatenate([np.empty(0, np.int64), *held]), return_counts=True)
    path = counts_path(folder, ordinal)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, sync=False) as file:
        np.save(file, np.stack([found, times], axis=1))


@dataclass(frozen=True, slots=True)
class Count:
    """Task of the count that comes before everything else where common n-grams are to be ignored."""

    folder: Path
    index: Path
    config: DecontaminateConfig

    def __call__(self, unit: Unit) -> Receipt:
        """Count the documents of one unit that hold each n-gram."""
        index, held = _loaded(self.index), []
        with UnitWriter(self.folder, unit) as writer:
            for span in unit.spans:
                for docs in read_span(span, self.config.read, Problems(self.config.read.max_set_aside)):
                    held += [np.unique(one[:, 3]) for _, one in by_document(search(docs, index, self.config))]
            _note_counts(self.folder, unit.ordinal, held)
            return writer.finish()


@dataclass(frozen=True, slots=True)
class Write:
    """Task that decides about the documents of a unit: leaves parts, notes of ids, evidence and a receipt."""

    folder: Path
    index: Path
    config: DecontaminateConfig
    names: tuple[tuple[int, str], ...]
    """(first text, name) of each evaluation set, in order."""
    label: str = ""
    """Name of the input, where inputs are kept apart; it stands for the documents' sources in counts."""
    ignored: Path | None = None
    """n-grams that are no match, as bool[G]."""

    def __call__(self, unit: Unit) -> Receipt:
        """Write one unit."""
        with UnitWriter(self.folder, unit) as writer:
            work = _Unit(self, unit, writer)
            for span in unit.spans:
                problems = Problems(self.config.read.max_set_aside)
                for docs in read_span(span, self.config.read, problems):
                    work.batch(docs)
                work.unreadable(problems, span.file.source)
            work.finish()
            return writer.finish(dict(work.counts))


@dataclass(slots=True)
class _Fate:
    """What becomes of a document that holds n-grams."""

    outcome: str
    matched: str
    """The set and the n-gram found first."""
    value: int
    """Pieces that are left; where there is none, or too many are, distinct n-grams."""
    pieces: list[str] = field(default_factory=list)


class _Unit:
    """One unit on its way out."""

    def __init__(self, task: Write, unit: Unit, writer: UnitWriter) -> None:
        self._task, self._unit, self._writer = task, unit, writer
        self._index = _loaded(task.index)
        self._ignored: Bool | None = None if task.ignored is None else np.asarray(np.load(task.ignored))
        self._notes = IdNotes(unit.ordinal)
        self._offset = 0
        self._place = 0
        self._held: list[I64] = []
        self._findings: list[Finding] = []
        self.counts: Counter[str] = Counter()

    def batch(self, docs: DocBatch) -> None:
        """Decide about the documents of one batch."""
        matches = search(docs, self._index, self._task.config, self._ignored)
        fates: dict[int, _Fate] = {}
        found: dict[int, list[Finding]] = {}
        for row, mine in by_document(matches):
            self._held.append(np.unique(mine[:, 3]))
            fates[row], found[row] = self._decide(docs, row, mine)
        self._count(docs, fates)
        if self._task.config.mode != "report":
            kept = _left(docs, fates)
            self._put("kept", kept, encode_lines(kept))
        for row, fate in fates.items():
            offset = self._remove(docs.slice(row, row + 1), fate)
            self._findings += [one.at(offset) for one in found[row]]
        self._place += len(docs)

    def _decide(self, docs: DocBatch, row: int, matches: I64) -> tuple[_Fate, list[Finding]]:
        """What becomes of a document, and what of which evaluation texts it holds."""
        bytes_T2 = places(docs, row)
        spans = np.stack([bytes_T2[matches[:, 1], 0], bytes_T2[matches[:, 2] - 1, 1]], axis=1)
        groups = evidence.by_text(matches[:, 3], self._index)
        merged = _merged(spans)
        needed = [*merged.ravel().tolist(), *spans[groups.first].ravel().tolist()]
        start, stop = docs.offsets[row : row + 2].tolist()
        data = docs.text[start:stop].tobytes()
        at = cuts.characters(data, needed)
        fate = self._fate(data, [(at[a], at[b]) for a, b in merged.tolist()], np.unique(matches[:, 3]).size)
        first = int(matches[0, 3])
        fate.matched = f"{self._set_of(self._index.texts_of(first)[0])}: {self._index.ngram(first)}"
        findings = [
            Finding(
                text=text,
                unit=self._unit.ordinal,
                index=self._place + row,
                found=number,
                ngram=int(matches[lead, 3]),
                start=at[int(spans[lead, 0])],
                stop=at[int(spans[lead, 1])],
                outcome=OUTCOMES.index(fate.outcome),
                names=(
                    docs.records.column("id")[row].as_py(),
                    file_paths(docs.slice(row, row + 1))[0],
                    self._source(docs, row),
                ),
            )
            for text, number, lead in groups.rows()
        ]
        for name in {self._set_of(one.text) for one in findings}:
            self.counts[f"matched|{name}"] += 1
        return fate, findings

    def _fate(self, data: bytes, matches: list[tuple[int, int]], ngrams: int) -> _Fate:
        config = self._task.config
        if config.mode == "report":
            return _Fate(REPORTED, "", ngrams)
        if config.mode == "drop":
            return _Fate(CONTAMINATED, "", ngrams)
        left = cuts.pieces(data.decode(), matches, config)
        if not left:
            return _Fate(NOTHING_LEFT, "", ngrams)
        if len(left) > config.most_pieces:
            return _Fate(TOO_MANY_PIECES, "", len(left))
        return _Fate(CUT, "", len(left), left)

    def _set_of(self, text: int) -> str:
        name = ""
        for first, one in self._task.names:
            if text < first:
                break
            name = one
        return name

    def _source(self, docs: DocBatch, row: int) -> str:
        return self._task.label or str(docs.records.column("source")[row])

    def _remove(self, one: DocBatch, fate: _Fate) -> int:
        """Write a document as it was to the removed ones; where its line begins in the part, -1 where none is written."""
        mode = self._task.config.removed
        if fate.outcome == REPORTED or mode == "none":
            return -1
        known = orjson.loads(one.column("metadata")[0] or "{}")
        shown = one.replace(metadata=[orjson.dumps({**known, "matched": fate.matched}).decode()])
        if mode == "ids":
            shown = shown.replace(text=[""])
        before = self._offset
        lines = encode_lines(shown, [f"decontaminate.{fate.outcome}"], [fate.value])
        self._put("removed", one, self._measured(lines))
        return before

    def _measured(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        for line in lines:
            self._offset += len(line)
            yield line

    def _put(self, stream: str, docs: DocBatch, lines: Iterator[bytes]) -> None:
        self._writer.write(stream, self._notes.take(stream, docs.ids, file_paths(docs), lines))

    def _count(self, docs: DocBatch, fates: dict[int, _Fate]) -> None:
        sizes = docs.sizes.tolist()
        for row in range(len(docs)):
            source = self._source(docs, row)
            fate = fates.get(row)
            self.counts[f"documents_in|{source}"] += 1
            self.counts[f"bytes_in|{source}"] += sizes[row]
            if fate is None or fate.outcome == REPORTED:
                self.counts[f"documents_kept|{source}"] += 1
                self.counts[f"bytes_kept|{source}"] += sizes[row]
            if fate is None:
                continue
            self.counts[f"contaminated|{source}"] += 1
            if fate.outcome == CUT:
                self.counts[f"documents_cut|{source}"] += 1
                self.counts[f"pieces|{source}"] += len(fate.pieces)
                self.counts[f"bytes_kept|{source}"] += sum(len(piece.encode()) for piece in fate.pieces)
            elif fate.outcome != REPORTED:
                self.counts[f"removed|{source}|decontaminate.{fate.outcome}"] += 1

    def unreadable(self, problems: Problems, source: str) -> None:
        """Records that could not be read: counted, and set aside with the removed documents."""
        self.counts.update(problems.tally(source))
        config = self._task.config
        if problems.items and config.removed != "none" and config.mode != "report":
            lines = unreadable_lines(problems.items, source, config.removed == "text")
            self._writer.write("removed", self._notes.skip("removed", self._measured(lines)))

    def finish(self) -> None:
        """Write the notes of ids, the counts of n-grams and the evidence."""
        folder, ordinal = self._task.folder, self._unit.ordinal
        if self._task.config.mode != "report":
            Exchange(folder / "ids", NOTE).write(ordinal, self._notes.records())
        _note_counts(folder, ordinal, self._held)
        evidence.write(folder, ordinal, self._findings)


def _merged(spans: I64) -> I64:
    """Overlapping and touching spans put together, in order."""
    ordered = spans[np.argsort(spans[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    new = np.concatenate([[True], ordered[1:, 0] > reach[:-1]])
    starts = np.flatnonzero(new)
    stops = np.append(starts[1:], len(ordered)) - 1
    return np.stack([ordered[starts, 0], reach[stops]], axis=1)


def _left(docs: DocBatch, fates: dict[int, _Fate]) -> DocBatch:
    """The documents that hold nothing, and the pieces of the others, in order."""
    if not fates:
        return docs
    parts: list[DocBatch] = []
    at = 0
    for row, fate in fates.items():
        parts.append(docs.slice(at, row))
        at = row + 1
        if fate.pieces:
            one = docs.slice(row, at)
            same = DocBatch(one.records.take(pa.array([0] * len(fate.pieces))))
            ids = [f"{one.ids[0]}/piece-{number}" for number in range(1, len(fate.pieces) + 1)]
            parts.append(same.replace(id=ids, text=fate.pieces))
    parts.append(docs.slice(at, len(docs)))
    return DocBatch.concat(part for part in parts if len(part))


def added(path: Path, total: I64) -> None:
    """Add a unit's counts of n-grams to those of all."""
    counts: Any = np.load(path)
    total[counts[:, 0]] += counts[:, 1]
