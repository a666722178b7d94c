"""The first read, in which anchors are counted, and which of them occur more than once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from megadata.corpus.dedup import records
from megadata.corpus.dedup.substrings.config import SubstringConfig
from megadata.corpus.dedup.substrings.stretches import ANCHOR, stretches
from megadata.corpus.dedup.survey import note_ids, numbered
from megadata.documents.ids import NOTE, file_paths
from megadata.kernels.base import U64, Bool
from megadata.runtime.exchange import Exchange, KeyRange
from megadata.runtime.receipts import Receipt, UnitWriter
from megadata.runtime.units import Unit


@dataclass(frozen=True, slots=True)
class Survey:
    """Task of the first read: leaves a run of anchors and one of ids."""

    folder: Path
    config: SubstringConfig

    def __call__(self, unit: Unit) -> Receipt:
        """Read one unit."""
        anchors, ids = records.Run(ANCHOR), records.Run(NOTE)
        documents = 0
        with UnitWriter(self.folder, unit) as writer:
            for _, start, docs in numbered(unit, self.config.read):
                note_ids(docs, file_paths(docs), unit, np.arange(start, start + len(docs)), ids)
                documents += len(docs)
                for some in stretches(docs.text, docs.offsets, self.config):
                    hashes, counts = np.unique(some.hashes, return_counts=True)
                    anchors.add(key=hashes, count=counts)
            anchors.write(Exchange(self.folder / "anchors", ANCHOR), unit.ordinal)
            ids.write(Exchange(self.folder / "ids", NOTE), unit.ordinal)
            return writer.finish({"documents": documents})


@dataclass(frozen=True, slots=True)
class FindRepeated:
    """Task on key ranges: leaves the hashes, in order, of the anchors of one range that occur more than once."""

    source: Path
    target: Path

    def __call__(self, key_range: KeyRange) -> Path:
        """Do one range, unless it is done; where the result is."""
        path = self.target / f"{key_range.start:017x}-{key_range.stop:017x}.npz"
        if not path.exists():
            rows = Exchange(self.source, ANCHOR).records(key_range)
            keys = np.ascontiguousarray(rows["key"])
            first = np.append(True, keys[1:] != keys[:-1])
            total = np.add.reduceat(rows["count"].astype(np.int64), np.flatnonzero(first))
            records.save_arrays(path, repeated=keys[first][total > 1])
        return path


def are_among(hashes: U64, table: U64) -> Bool:
    """bool[M]: which of the hashes are in a sorted table, which may lie on disk."""
    if table.size == 0:
        return np.zeros(hashes.size, np.bool_)
    order = np.argsort(hashes)
    wanted = hashes[order]
    at = np.minimum(np.searchsorted(table, wanted), table.size - 1)
    found = np.empty(hashes.size, np.bool_)
    found[order] = table[at] == wanted
    return found
