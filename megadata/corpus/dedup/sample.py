"""A sample of documents from inputs that may be too large to read whole."""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from megadata.documents.batch import DocBatch
from megadata.documents.inputs import plan, read_unit
from megadata.documents.source import Problems, ReadOptions
from megadata.runtime.step import unit_bytes as stored_bytes
from megadata.runtime.units import InputFile, Unit

_SEED = 20
_BATCHES = 4
"""Batches that are taken of a unit before the next one is opened, so that a sample spans many files."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Documents, and how much of the inputs was opened for them."""

    batches: list[DocBatch]
    units: int
    """Units that were opened."""
    of_units: int
    """Units that the inputs have."""

    @property
    def documents(self) -> int:
        """Documents in all batches."""
        return sum(len(batch) for batch in self.batches)


def sample(files: Sequence[InputFile], options: ReadOptions, unit_bytes: int, most: int) -> Sample:
    """The first documents of units in a seeded order, until there are `most` of them or units are at an end."""
    units = plan(files, unit_bytes)
    random.Random(_SEED).shuffle(units)
    batches: list[DocBatch] = []
    opened = found = 0
    for unit in units:
        if found >= most:
            break
        opened += 1
        for batch in islice(read_unit(unit, options, Problems()), _BATCHES):
            batches.append(batch.slice(0, min(len(batch), most - found)))
            found += len(batches[-1])
            if found >= most:
                break
    return Sample([batch for batch in batches if len(batch)], opened, len(units))


@dataclass(slots=True)
class Portion:
    """Documents read for an estimate and handed on, what reading them took, and what they are a part of."""

    sampled: int = 0
    text_bytes: int = 0
    """Of the documents that were read."""
    seconds: float = 0.0
    """Of processor time, for reading."""
    documents: float = 0.0
    """Documents that all inputs have, about; exact when all of them were read."""
    share: float = 1.0
    """Of the bytes of the inputs, how much was read."""


def portion(
    files: Sequence[InputFile], options: ReadOptions, unit_bytes: int, most_bytes: int, use: Callable[[DocBatch], None]
) -> Portion:
    """Whole units in a seeded order until `most_bytes` of text are read; of a file that cannot be cut, its beginning.

    How much of such a file its beginning is follows from what zlib makes of it. Each batch is given to `use`, and not held.
    """
    found = Portion()
    read = total = 0.0
    groups = _by_entering(plan(files, unit_bytes))
    for units in groups:
        random.Random(_SEED).shuffle(units)
        size, before = sum(map(stored_bytes, units)), found.sampled
        seen, limit = 0.0, found.text_bytes + most_bytes // len(groups)
        for unit in units:
            if found.text_bytes >= limit:
                break
            seen += _read(unit, options, limit, use, found)
        found.documents += (found.sampled - before) * size / seen if seen else 0.0
        read, total = read + seen, total + size
    found.share = read / total if total else 1.0
    return found


def _by_entering(units: list[Unit]) -> list[list[Unit]]:
    """Units that are parts of files, and those that are whole streams."""
    whole = [_is_whole(unit) for unit in units]
    split = [[u for u, w in zip(units, whole, strict=True) if w == wanted] for wanted in (False, True)]
    return [group for group in split if group]


def _is_whole(unit: Unit) -> bool:
    return any(span.stop == -1 for span in unit.spans)


def _read(unit: Unit, options: ReadOptions, limit: int, use: Callable[[DocBatch], None], found: Portion) -> float:
    """Read one unit; how many of its stored bytes that was."""
    compressed = 0
    batches = iter(read_unit(unit, options, Problems()))
    while True:
        began = time.process_time()
        batch = next(batches, None)
        found.seconds += time.process_time() - began
        if batch is None:
            return stored_bytes(unit)
        use(batch)
        found.sampled += len(batch)
        found.text_bytes += int(batch.sizes.sum())
        if _is_whole(unit):
            compressed += len(zlib.compress(batch.text.data))
            if found.text_bytes >= limit:
                return min(compressed, stored_bytes(unit))
