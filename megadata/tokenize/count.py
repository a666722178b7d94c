"""Counting the different words of a corpus of any size, within a memory budget.

Each unit counts its pieces of text in a table; what it holds when the unit ends, or when there is no room for more, is
written as a run of the exchange. Ranges of keys are then read from all runs, and equal words summed. The result depends on the
documents alone. A *word* is what merges happen inside of: a pre-token of byte-level BPE, or a word as BERT has it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np

from megadata.documents.batch import DocBatch
from megadata.documents.inputs import read_unit
from megadata.documents.source import Problems, ReadOptions
from megadata.kernels import pretokens as kernels
from megadata.kernels import ragged
from megadata.kernels.base import I64, U8, U64
from megadata.runtime.exchange import Exchange, KeyRange
from megadata.runtime.executor import Executor
from megadata.runtime.progress import Reporter
from megadata.runtime.step import map_ranges, unit_bytes
from megadata.runtime.units import Unit
from megadata.tokenize.keys import field_of, metadata_of

RECORD = np.dtype([("key", "<u8"), ("count", "<i8")])
LEAST_TABLE = 4 << 20
"""Bytes that a table of words may always take."""
_FIRST_SLOTS = 1 << 12
_FIRST_ARENA = 1 << 16
_RUNS_PER_UNIT = 1 << 20
_SEED = np.uint64(0)

PATTERNS = {"gpt2": kernels.GPT2, "cl100k": kernels.CL100K, "qwen": kernels.QWEN, "o200k": kernels.O200K}


@dataclass(frozen=True, slots=True)
class Counts:
    """Different words: word w is text[bounds[w]:bounds[w + 1]] and occurs counts[w] times."""

    text: U8
    bounds: I64
    counts: I64

    @property
    def occurrences(self) -> int:
        """Words of the corpus, each as often as it occurs."""
        return int(self.counts.sum())

    @classmethod
    def of(cls, words: Mapping[bytes, int]) -> Counts:
        """The counts of words."""
        bounds = np.cumsum([0, *map(len, words)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(words), np.uint8), bounds, np.array([*words.values()], np.int64))

    @classmethod
    def concat(cls, parts: Sequence[Counts]) -> Counts:
        """All words of several; none of which may be in two of them."""
        sizes = [np.diff(part.bounds) for part in parts]
        bounds = np.cumsum(np.concatenate([np.zeros(1, np.int64), *sizes]))
        empty = np.zeros(0, np.uint8), np.zeros(0, np.int64)
        text = np.concatenate([empty[0], *(part.text for part in parts)])
        return cls(text, bounds, np.concatenate([empty[1], *(part.counts for part in parts)]))

    def words(self) -> Iterator[tuple[bytes, int]]:
        """Each word and its count."""
        data, bounds = self.text.tobytes(), self.bounds.tolist()
        for w, count in enumerate(self.counts.tolist()):
            yield data[bounds[w] : bounds[w + 1]], count

    def at_least(self, count: int) -> Counts:
        """The words that occur so often."""
        kept = np.flatnonzero(self.counts >= count)
        return self if kept.size == self.counts.size else self.chosen(kept)

    def chosen(self, rows: I64, counts: I64 | None = None) -> Counts:
        """Some words, with other counts where they are given."""
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.diff(self.bounds)[rows])])
        out = np.empty(int(bounds[-1]), np.uint8)
        ragged.gather(self.text, self.bounds, rows, out)
        return Counts(out, bounds, self.counts[rows] if counts is None else counts)


class Cut(Protocol):
    """How text is cut into words. Picklable."""

    @property
    def pattern(self) -> int:
        """The pattern of `kernels.pretokens` by which pieces of text are counted."""
        ...

    def words(self, pieces: Counts) -> Counts:
        """The words of the pieces."""
        ...


@dataclass(frozen=True, slots=True)
class Pretokens:
    """Pre-tokens of a split pattern."""

    name: str

    @property
    def pattern(self) -> int:
        """See `Cut`."""
        return PATTERNS[self.name]

    def words(self, pieces: Counts) -> Counts:
        """Pieces are words."""
        return pieces


class PieceTable:
    """Counts of pieces of text, in up to so many bytes of memory; at least `LEAST_TABLE`."""

    def __init__(self, pattern: int, classes: U8, memory: int = 1 << 62) -> None:
        self._pattern, self._classes = pattern, classes
        self._memory = max(memory, LEAST_TABLE)
        self._clear()

    def _clear(self) -> None:
        self._slots = np.zeros(_FIRST_SLOTS * kernels.FIELDS, np.uint64)
        self._arena = np.empty(_FIRST_ARENA, np.uint8)
        self._state = np.zeros(kernels.STATES, np.int64)

    def __len__(self) -> int:
        return int(self._state[kernels.PIECES])

    def add(self, text: U8, offsets: I64) -> Iterator[Counts]:
        """Count the pieces of documents; gives, and forgets, what the table holds whenever there is no room for more."""
        self._state[kernels.DOCUMENT], self._state[kernels.AT] = 0, -1
        while not kernels.count_pieces(
            text, offsets, self._classes, self._pattern, self._slots, self._arena, self._state
        ):
            if not self._grow():
                place = self._state[[kernels.DOCUMENT, kernels.AT]]
                yield self.take()
                self._state[[kernels.DOCUMENT, kernels.AT]] = place

    def _grow(self) -> bool:
        """Make room, unless that takes more memory than there may be and the table holds anything."""
        slots, arena = self._slots.size, self._arena.size
        if 2 * (len(self) + 1) > slots // kernels.FIELDS:
            slots *= 2
        needed = int(self._state[kernels.ARENA] + self._state[kernels.ROOM])
        if needed > arena:
            arena = max(2 * arena, needed)
        if 8 * (slots + slots // 2) + arena > self._memory and len(
            self
        ):  # both tables are there while pieces are moved
            return False
        if slots > self._slots.size:
            larger = np.zeros(slots, np.uint64)
            kernels.move_pieces(self._slots, larger)
            self._slots = larger
        if arena > self._arena.size:
            held = self._arena
            self._arena = np.empty(arena, np.uint8)
            self._arena[: held.size] = held
        return True

    def take(self) -> Counts:
        """What the table holds; it is empty afterwards."""
        rows = self._slots.reshape(-1, kernels.FIELDS)
        taken = rows[rows[:, kernels.TOTAL] > 0].astype(np.int64)
        taken = taken[np.argsort(taken[:, kernels.START])]  # the order in which they were met, without gaps
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(taken[:, kernels.SIZE])])
        found = Counts(self._arena[: bounds[-1]].copy(), bounds, np.ascontiguousarray(taken[:, kernels.TOTAL]))
        self._clear()
        return found


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A document of the sample, or its beginning."""

    text: bytes
    language: str | None
    """What its metadata says."""


@dataclass(frozen=True, slots=True)
class CountedUnit:
    """What was found in a unit besides its words, which are in the exchange."""

    documents: int
    bytes: int
    runs: int
    sample: list[Excerpt]
    problems: Counter[str]


@dataclass(frozen=True, slots=True)
class CountUnit:
    """Task: count the words of a unit into runs of the exchange in `folder`, within so many bytes of memory."""

    folder: Path
    cut: Cut
    classes: U8
    options: ReadOptions
    memory: int
    sample: int
    """Bytes of text that are kept as a sample."""

    def __call__(self, unit: Unit) -> CountedUnit:
        """Read and count."""
        exchange = Exchange(self.folder, RECORD)
        table = PieceTable(self.cut.pattern, self.classes, self.memory)
        problems = Problems(self.options.max_set_aside)
        documents = size = runs = 0
        sample: list[Excerpt] = []
        left = self.sample
        for batch in read_unit(unit, self.options, problems):
            for full in table.add(batch.text, batch.offsets):
                runs += self._write(exchange, unit.ordinal * _RUNS_PER_UNIT + runs, full)
            documents += int((batch.sizes > 0).sum())
            size += int(batch.sizes.sum())
            if left > 0:
                found = excerpts(batch, left)
                sample += found
                left -= sum(len(one.text) for one in found)
        runs += self._write(exchange, unit.ordinal * _RUNS_PER_UNIT + runs, table.take())
        return CountedUnit(documents, size, runs, sample, problems.counts)

    def _write(self, exchange: Exchange, run: int, pieces: Counts) -> int:
        words = self.cut.words(pieces)
        if words.counts.size == 0:
            return 0
        records = np.empty(words.counts.size, RECORD)
        keys = np.empty(words.counts.size, np.uint64)
        hash_words(words, keys)
        records["key"], records["count"] = keys, words.counts
        exchange.write(run, records, words.text, np.diff(words.bounds))
        return 1


def hash_words(words: Counts, out: U64) -> None:
    """A hash of 64 bits of each word."""
    from megadata.kernels.hashing import hash_rows

    hash_rows(words.text, words.bounds, _SEED, out)


def excerpts(batch: DocBatch, size: int) -> list[Excerpt]:
    """The first documents of a batch, `size` bytes in all; the last may be cut, at the end of a character."""
    found: list[Excerpt] = []
    text, offsets = batch.text, batch.offsets.tolist()
    languages: list[str | None] | None = None
    for d, (start, stop) in enumerate(pairwise(offsets)):
        if size <= 0:
            break
        piece = text[start : min(stop, start + size)].tobytes()
        if stop > start + size:
            piece = piece.decode("utf-8", "ignore").encode()
            size = 0
        if piece:
            languages = languages or _languages(batch)
            found.append(Excerpt(piece, languages[d]))
            size -= len(piece)
    return found


def _languages(batch: DocBatch) -> list[str | None]:
    named = (field_of(metadata, "language") for metadata in metadata_of(batch))
    return [language if isinstance(language, str) and language else None for language in named]


@dataclass(frozen=True, slots=True)
class SumRange:
    """Task: the words of a range of keys, each with the sum of its counts, if that is at least `least`."""

    folder: Path
    least: int

    def __call__(self, key_range: KeyRange) -> Counts:
        """Read and sum."""
        part = Exchange(self.folder, RECORD).read(key_range)
        keys = np.ascontiguousarray(part.records["key"])
        counts = np.ascontiguousarray(part.records["count"])
        firsts, totals = np.empty(keys.size, np.int64), np.empty(keys.size, np.int64)
        found = kernels.sum_equal(keys, counts, part.payload, part.offsets, firsts, totals)
        words = Counts(part.payload, part.offsets, counts).chosen(firsts[:found], totals[:found])
        return words.at_least(self.least)


@dataclass(frozen=True, slots=True)
class Counted:
    """The words of a corpus, and a sample of its text."""

    words: Counts
    documents: int
    bytes: int
    runs: int
    """Tables of words that were written to disk."""
    sample: list[Excerpt]
    problems: Counter[str]


def count_words(
    executor: Executor,
    units: list[Unit],
    task: CountUnit,
    memory: int,
    least: int,
    progress: Reporter,
) -> Counted:
    """Count the words of all units; those that occur less often than `least` are left out."""
    found: dict[int, CountedUnit] = {}
    with progress.stage("count words", sum(map(unit_bytes, units))) as stage:
        for unit, one in executor.run(task, units):
            found[unit.ordinal] = one
            stage.advance(unit_bytes(unit), documents=one.documents)
    counted = [found[unit.ordinal] for unit in units]
    ranges = Exchange(task.folder, RECORD).ranges(memory, executor.workers, executor.workers)
    words = Counts.concat(map_ranges(executor, SumRange(task.folder, least), ranges, progress, "sum counts"))
    return Counted(
        words,
        sum(one.documents for one in counted),
        sum(one.bytes for one in counted),
        sum(one.runs for one in counted),
        [excerpt for one in counted for excerpt in one.sample],
        sum((one.problems for one in counted), Counter()),
    )


def count_texts(cut: Cut, classes: U8, text: U8, offsets: I64) -> Counts:
    """The words of documents that are in memory."""
    table = PieceTable(cut.pattern, classes)
    for _ in table.add(text, offsets):
        raise AssertionError("a table without a limit was full")
    return cut.words(table.take())
