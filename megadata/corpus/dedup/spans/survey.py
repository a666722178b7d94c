"""The first read: how often every window of spans occurs, and where first; then the table of those that occur too often."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from megadata.corpus.dedup import records
from megadata.corpus.dedup.spans.config import SpanConfig
from megadata.corpus.dedup.spans.cut import SEEN, cut, gathered, seen
from megadata.corpus.dedup.survey import note_ids, numbered
from megadata.documents.ids import NOTE, file_paths
from megadata.documents.source import ReadOptions
from megadata.runtime.exchange import Exchange, KeyRange
from megadata.runtime.receipts import Receipt, UnitWriter
from megadata.runtime.units import Unit


@dataclass(frozen=True, slots=True)
class Survey:
    """Task of the first read: leaves a run of windows and one of ids."""

    folder: Path
    config: SpanConfig
    options: ReadOptions

    def __call__(self, unit: Unit) -> Receipt:
        """Read one unit."""
        found, ids = [np.empty(0, SEEN)], records.Run(NOTE)
        by_document = self.config.count == "documents"
        with UnitWriter(self.folder, unit) as writer:
            for file, start, docs in numbered(unit, self.options):
                paths = file_paths(docs)
                note_ids(docs, paths, unit, np.arange(start, start + len(docs)), ids)
                rows = seen(cut(docs, self.config), docs, paths, file.source, self.config)
                found.append(gathered(rows, by_document))
            Exchange(self.folder / "seen", SEEN).write(unit.ordinal, gathered(np.concatenate(found), by_document=False))
            ids.write(Exchange(self.folder / "ids", NOTE), unit.ordinal)
            return writer.finish({})


@dataclass(frozen=True, slots=True)
class FindFrequent:
    """Task on key ranges: leaves the windows of one range that occur more often than they may, as records of `SEEN`."""

    source: Path
    target: Path
    more_than: int

    def __call__(self, key_range: KeyRange) -> Path:
        """Do one range, unless it is done; where the result is."""
        path = self.target / f"{key_range.start:017x}-{key_range.stop:017x}.npz"
        if not path.exists():
            rows: NDArray[np.void] = gathered(Exchange(self.source, SEEN).records(key_range), by_document=False)
            records.save_arrays(path, frequent=rows[rows["count"] > self.more_than])
        return path


def is_frequent(table: NDArray[np.void], rows: NDArray[np.void], keep_first: bool) -> NDArray[np.int64]:
    """int64[W]: how often each window occurs in all, where it is to be removed; 0 where it stays."""
    counts = np.zeros(rows.size, np.int64)
    if table.size == 0 or rows.size == 0:
        return counts
    at = np.searchsorted(table["key"], rows["key"])
    pending = np.arange(rows.size)
    while pending.size:  # equal keys with different rests are neighbours
        pending = pending[at[pending] < table.size]
        found = table[at[pending]]
        pending, found = pending[found["key"] == rows["key"][pending]], found[found["key"] == rows["key"][pending]]
        hit = found["rest"] == rows["rest"][pending]
        same, first = pending[hit], found[hit]
        counts[same] = first["count"]
        if keep_first:
            is_first = (first["document"] == rows["document"][same]) & (first["at"] == rows["at"][same])
            counts[same[is_first]] = 0
        pending = pending[~hit]
        at[pending] += 1
    return counts
