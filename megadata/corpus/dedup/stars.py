"""The near stage: verified stars instead of chains.

In rank order, a document is removed if some *kept* document of lesser rank shares a band value with it and is similar to it;
it is removed for the one of least rank. So every removed document was compared with the one that is kept for it, and nothing is
removed through a chain of documents that are each a little different. The result does not depend on the order of the input.

A band value remembers its first `remembered` kept documents. Pages that share a template but differ beyond the threshold would
otherwise all be compared with one another; with the limit the work is linear, and the limit is part of the definition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from megadata.corpus.dedup.config import MinHashConfig
from megadata.corpus.dedup.signatures import Sets
from megadata.kernels import stars as kernels
from megadata.kernels.base import I32, I64, U8, U64


@dataclass(frozen=True, slots=True)
class Stars:
    """What became of documents given in rank order."""

    keeper: I64
    """int64[D]: the document kept in place of d, -1 where d itself is kept."""
    shared: I64
    """int64[D]: shingles that a removed document has in common with its keeper."""
    total: I64
    """int64[D]: what `shared` is divided by to give the similarity."""
    comparisons: int
    saturated: int
    """How often a kept document was not remembered by a band value."""

    @property
    def removed(self) -> I64:
        """Positions of the removed documents."""
        return np.flatnonzero(self.keeper >= 0)


def groups_of(bands: U64) -> tuple[I32, I64]:
    """Number the band values that several documents share.

    Returns
    -------
    int32[D, B] : the group of each document and band, -1 where no other document has the value.
    int64[G] : how many documents each group has.
    """
    values = bands.ravel()
    order = np.argsort(values)
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if values.size else np.zeros(0, int)
    counts = np.diff(np.append(starts, values.size))
    shared = counts > 1
    names = np.where(shared, np.cumsum(shared) - 1, -1).astype(np.int32)
    groups = np.empty(values.size, np.int32)
    groups[order] = np.repeat(names, counts)
    return groups.reshape(bands.shape), counts[shared].astype(np.int64)


def choose(bands: U64, sets: Sets, config: MinHashConfig, saved: U8 | None = None) -> Stars:
    """Decide which documents stay; rows of `bands` and `sets` are in rank order.

    `saved`, uint8[D], marks documents of an index: they stay, and are compared with none.
    """
    documents = bands.shape[0]
    saved = np.zeros(documents, np.uint8) if saved is None else saved
    groups, counts = groups_of(bands)
    places = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.minimum(counts, config.remembered))])
    keeper, shared = np.empty(documents, np.int64), np.empty(documents, np.int64)
    tally = np.zeros(2, np.int64)
    containment = config.measure == "containment"
    kernels.stars(
        sets.hashes,
        sets.starts,
        sets.stops,
        groups,
        places,
        saved,
        *config.ratio,
        containment,
        config.remembered,
        np.zeros(counts.size, np.int32),
        np.empty(int(places[-1]), np.int32),
        keeper,
        shared,
        tally,
    )
    sizes = sets.stops - sets.starts
    total = sizes if containment else sizes + sizes[np.maximum(keeper, 0)] - shared
    return Stars(keeper, shared, np.where(keeper >= 0, total, 0), int(tally[0]), int(tally[1]))
