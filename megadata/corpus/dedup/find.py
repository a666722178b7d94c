"""Deduplication of documents in memory: the definition that the out-of-core driver follows, for tests and small sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from megadata.corpus.dedup import ranks, records, signatures, stars
from megadata.corpus.dedup.config import DedupConfig
from megadata.corpus.dedup.verdicts import EXACT, NEAR
from megadata.documents.batch import DocBatch


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A removed document, by position, and the document kept for it."""

    removed: int
    kept: int
    similarity: float
    rule: str


@dataclass(frozen=True, slots=True)
class Found:
    """What deduplication removes."""

    duplicates: list[Duplicate]
    """In the order of the documents."""
    comparisons: int = 0
    saturated: int = 0

    @property
    def removed(self) -> set[int]:
        """Positions of the removed documents."""
        return {duplicate.removed for duplicate in self.duplicates}


def find_duplicates(docs: DocBatch, config: DedupConfig) -> Found:
    """Which documents are copies of which; ids must be unique."""
    if len(docs) == 0:
        return Found([])
    shingles = signatures.shingle(docs.text, docs.offsets, config)
    priority = ranks.priorities(config.prefer, "", docs)
    quality = records.Facts.of(docs, config.quality).quality
    rank, tie = ranks.measures(docs.sizes, quality, config.quality_first)
    together = np.lexsort((shingles.digests[:, 1], shingles.digests[:, 0]))
    names = [name.encode() for name in docs.ids]
    ordered = [names[d] for d in together]
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(name) for name in ordered], dtype=np.int64)])
    elected = ranks.keepers(
        shingles.digests[together],
        priority[together],
        rank[together],
        tie[together],
        np.frombuffer(b"".join(ordered), np.uint8),
        bounds,
    )
    keeper = np.empty(len(docs), np.int64)
    keeper[together] = together[elected]
    standing = np.flatnonzero(keeper == np.arange(len(docs)))
    final = {int(d): (int(keeper[d]), 1.0, EXACT) for d in np.flatnonzero(keeper != np.arange(len(docs)))}
    if config.exact_only:
        return Found([Duplicate(d, *found) for d, found in sorted(final.items())])
    standing = standing[ranks.order(priority[standing], rank[standing], tie[standing], shingles.digests[standing])]
    result = stars.choose(signatures.sign(shingles, config)[standing], signatures.distinct(shingles, standing), config)
    near = {
        int(standing[v]): (int(standing[result.keeper[v]]), float(result.shared[v] / result.total[v]), NEAR)
        for v in result.removed
    }
    final = {d: near.get(found[0], found) for d, found in final.items()} | near
    return Found([Duplicate(d, *found) for d, found in sorted(final.items())], result.comparisons, result.saturated)
