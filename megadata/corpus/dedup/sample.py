"""A sample of documents from inputs that may be too large to read whole."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from megadata.documents.batch import DocBatch
from megadata.documents.inputs import plan, read_unit
from megadata.documents.source import Problems, ReadOptions
from megadata.runtime.units import InputFile

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
