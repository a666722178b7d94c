"""The third read: documents without what they repeat, documents of which nothing is left, and a record of each match."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from megadata.corpus.characters import class_table
from megadata.corpus.dedup.output import UnitLines, writer_of
from megadata.corpus.dedup.spans.cut import span_starts
from megadata.corpus.dedup.spans.takeout import TakeOut, write_record
from megadata.corpus.dedup.substrings.collect import Members
from megadata.corpus.dedup.substrings.config import SubstringConfig
from megadata.corpus.dedup.substrings.stretches import RUN
from megadata.documents.batch import DocBatch
from megadata.documents.ids import file_paths
from megadata.documents.inputs import read_span
from megadata.documents.source import Problems
from megadata.kernels import substrings as kernels
from megadata.kernels.base import I64, U8, Bool
from megadata.runtime.exchange import Exchange, Partition
from megadata.runtime.receipts import Receipt
from megadata.runtime.units import Unit

RECORD = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("stop", pa.int64(), nullable=False),
        pa.field("kept_id", pa.string(), nullable=False),
        pa.field("kept_start", pa.int64(), nullable=False),
        pa.field("kept_stop", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("text", pa.string()),
    ]
)
"""Bytes that went: their document, where they lay in its text as it was, where the same bytes occur first, in the text as it was
there, and the bytes of the whole string that both places have in common."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Strings of a unit's documents that occur before, as few as cover all of them, in the order of the text."""

    document: I64
    start: I64
    stop: I64
    kept_start: I64
    kept_id: pa.Array

    @classmethod
    def of(cls, unit: int, members: Members, runs: Partition, length: int) -> Matches:
        """From the stretches of a unit and the windows of them that occur before."""
        rows, columns = runs.records, members.members
        number = members.heads.size
        bounds = np.searchsorted(rows["head"], np.arange(number + 1)).astype(np.int64)
        here = unit << 32
        place = (rows["unit"].astype(np.int64) << 32) | rows["index"]
        arguments = (
            here,
            length,
            *(columns[name].astype(np.int64) for name in ("document", "start", "windows", "times", "head")),
            *(members.heads[name].astype(np.int64) for name in ("document", "start")),
            bounds,
            *(rows[name].astype(np.int64) for name in ("from", "to")),
            place,
            rows["start"].astype(np.int64),
        )
        count = kernels.matches(*arguments, np.empty((0, 6), np.int64))
        found = np.empty((count, 6), np.int64)
        kernels.matches(*arguments, found)
        document, start, stop, _, kept_start, run = found.T
        own = members.heads["document"][np.where(run < 0, -1 - run, 0)] if number else np.zeros(0, np.int64)
        theirs = rows.size
        names = pa.concat_arrays([_strings(runs.payload, runs.offsets), _strings(members.names, members.bounds)])
        kept_id = names.take(pa.array(np.where(run < 0, theirs + own.astype(np.int64), run)))
        return cls(document.copy(), start.copy(), stop.copy(), kept_start.copy(), kept_id)

    def between(self, first: int, last: int) -> Matches:
        """Those of the documents `first` to `last`."""
        low, high = np.searchsorted(self.document, [first, last]).tolist()
        document, start, stop, kept = (
            column[low:high] for column in (self.document, self.start, self.stop, self.kept_start)
        )
        return Matches(document, start, stop, kept, self.kept_id.slice(low, high - low))


def _strings(data: U8, bounds: I64) -> pa.Array:
    return pa.Array.from_buffers(
        pa.large_string(), bounds.size - 1, [None, pa.py_buffer(np.ascontiguousarray(bounds)), pa.py_buffer(data)]
    )


@dataclass(frozen=True, slots=True)
class Write:
    """Task of the third read: leaves parts, notes of ids and records of matches."""

    folder: Path
    config: SubstringConfig
    collected: Path
    """Folder of the stretches of all units."""
    runs: Path
    """Folder of the windows that occur before."""
    repeats: Path
    labels: tuple[str, ...]
    surveyed: Path
    """Folder of the first read."""

    def __call__(self, unit: Unit) -> Receipt:
        """Write one unit."""
        config = self.config
        with writer_of(unit, self.folder, self.labels, self.surveyed) as writer:
            lines = UnitLines(self.folder, unit, writer, self.labels, self.repeats, config.removed)
            runs = Exchange(self.runs, RUN)
            members = Members.load(self.collected, unit.ordinal)
            matches = Matches.of(unit.ordinal, members, runs.read(runs.key(unit.ordinal)), config.length)
            work = _UnitOutput(config, lines, matches)
            for span in unit.spans:
                label = span.file.source if self.labels else ""
                problems = Problems(config.read.max_set_aside)
                for docs in read_span(span, config.read, problems):
                    work.batch(docs, label)
                lines.unreadable(problems, label, span.file.source)
            lines.finish()
            write_record(self.folder, unit.ordinal, RECORD, work.records)
            return writer.finish(dict(lines.counts))


class _UnitOutput:
    """One unit on its way out."""

    def __init__(self, config: SubstringConfig, lines: UnitLines, matches: Matches) -> None:
        self._config, self._lines, self._matches = config, lines, matches
        self._out = TakeOut(lines, "substrings", config.removed)
        self._index = 0
        self.records: list[pa.RecordBatch] = []

    def batch(self, docs: DocBatch, label: str) -> None:
        """Take what occurs before out of one batch."""
        paths = file_paths(docs)
        docs = self._lines.with_unique_ids(docs, paths)
        found = self._matches.between(self._index, self._index + len(docs))
        owner = found.document - self._index
        self._index += len(docs)
        base = docs.offsets[owner]
        begins, ends = _united(owner, found.start + base, found.stop + base)
        if self._config.cut == "characters":
            starts, bounds, gone = _characters(docs.text, docs.offsets, begins, ends)
        else:
            starts, bounds = span_starts(docs, self._config.cut)
            gone = np.zeros(starts.size - 1, np.bool_)
            kernels.covered(docs.text, starts, class_table(), begins, ends, gone)
        self._record(docs, found, owner, starts, gone)
        self._out.take(docs, starts, bounds, gone, paths, label)

    def _record(self, docs: DocBatch, found: Matches, owner: I64, starts: I64, gone: Bool) -> None:
        """Note which match every cut is made of.

        Where matches overlap, the bytes are of the earlier one, and so is a character of which each has a part.
        """
        if self._config.removed == "none" or not gone.any():
            return
        base = docs.offsets[owner]
        ends = found.stop + base
        start, stop = _whole_characters(docs.text, docs.offsets, found.start + base, ends)
        parted = (owner[1:] == owner[:-1]) & (found.start[1:] <= found.stop[:-1]) & (stop[:-1] < start[1:])
        stop[:-1][parted] = start[1:][parted]
        start[1:] = np.maximum(start[1:], np.where(owner[1:] == owner[:-1], stop[:-1], 0))
        at = np.flatnonzero(np.diff(np.concatenate([[False], gone, [False]]).astype(np.int8)))
        cut_start, cut_stop = starts[at[0::2]], starts[at[1::2]]
        first = np.searchsorted(cut_stop, start, side="right")
        pieces = (np.searchsorted(cut_start, stop, side="left") - first).clip(0)  # cuts that a match reaches into
        match = np.repeat(np.arange(start.size), pieces)
        cut = np.arange(match.size) - (np.cumsum(pieces) - pieces - first)[match]
        begin, end = np.maximum(start[match], cut_start[cut]), np.minimum(stop[match], cut_stop[cut])
        some = begin < end
        match, begin, end = match[some], begin[some], end[some]
        text, with_text = docs.text, self._config.removed == "text"
        texts = [
            bytes(text[a:b]).decode("utf-8", "replace") if with_text else None for a, b in zip(begin, end, strict=True)
        ]
        moved = found.kept_start[match] - found.start[match] - base[match]
        columns = [
            docs.records.column("id").take(pa.array(owner[match])),
            pa.array(begin - base[match]),
            pa.array(end - base[match]),
            found.kept_id.take(pa.array(match)).cast(pa.string()),
            pa.array(begin + moved),
            pa.array(np.minimum(end, ends[match]) + moved),
            pa.array((found.stop - found.start)[match]),
            pa.array(texts, pa.string()),
        ]
        self.records.append(pa.RecordBatch.from_arrays(columns, schema=RECORD))


def _united(owner: I64, start: I64, stop: I64) -> tuple[I64, I64]:
    """Ranges, in order, that touch or overlap inside one document, as one."""
    if start.size == 0:
        return start, stop
    opens = np.append(True, (owner[1:] != owner[:-1]) | (start[1:] > stop[:-1]))
    return start[opens], stop[np.append(np.flatnonzero(opens)[1:] - 1, start.size - 1)]


def _whole_characters(text: U8, offsets: I64, begins: I64, ends: I64) -> tuple[I64, I64]:
    """The ranges without characters of which they have a part alone."""
    begins, ends = begins.copy(), ends.copy()
    for _ in range(3):  # a character has as many bytes behind its first one, at most
        begins += text[begins] & 0xC0 == 0x80
        inside = np.flatnonzero(ends < offsets[-1])
        ends[inside] -= text[ends[inside]] & 0xC0 == 0x80
    return begins, ends


def _characters(text: U8, offsets: I64, begins: I64, ends: I64) -> tuple[I64, I64, Bool]:
    """Pieces of documents (where they begin, and bounds of each document's) of which the ranges, cut to characters, are gone."""
    begins, ends = _whole_characters(text, offsets, begins, ends)
    whole = begins < ends
    begins, ends = begins[whole], ends[whole]
    starts = np.unique(np.concatenate([offsets, begins, ends]))
    bounds = np.searchsorted(starts, offsets).astype(np.int64)
    gone = np.zeros(starts.size - 1, np.bool_)
    gone[np.searchsorted(starts, begins)] = True
    return starts.astype(np.int64), bounds, gone
