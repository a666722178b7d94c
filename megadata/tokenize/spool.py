"""The text of a corpus as plain files, for trainers: one file a unit, documents set apart by a byte that no UTF-8 text holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from megadata.documents.inputs import read_unit
from megadata.documents.source import Problems, ReadOptions
from megadata.runtime.units import Unit

SEPARATOR = b"\xff"


@dataclass(frozen=True, slots=True)
class Spool:
    """The text of one unit."""

    path: Path
    documents: int
    bytes: int
    problems: Counter[str]
    """Records that could not be read, by reason."""


@dataclass(frozen=True, slots=True)
class SpoolUnit:
    """Task: write the text of a unit's documents to a file in `folder`."""

    folder: Path
    options: ReadOptions

    def __call__(self, unit: Unit) -> Spool:
        """Write the file; documents without text are left out."""
        path = self.folder / f"{unit.ordinal:06d}"
        documents = size = 0
        problems = Problems(self.options.max_set_aside)
        with path.open("wb") as file:
            for batch in read_unit(unit, self.options, problems):
                text, offsets = batch.text, batch.offsets
                for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
                    if stop > start:
                        file.write(SEPARATOR if documents else b"")
                        file.write(text[start:stop].data)
                        documents += 1
                        size += stop - start
        return Spool(path, documents, size, problems.counts)


def texts_of(path: Path) -> Iterator[str]:
    """The documents of a spooled file."""
    content = path.read_bytes()
    for text in content.split(SEPARATOR) if content else []:
        yield text.decode()
