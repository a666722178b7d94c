"""The order of documents: which of two copies stays, and the exact stage that follows from it.

Rank is by source priority (a saved index before all), then length (the longest first), then quality where the metadata has a
score (the best first; `quality_first` puts it before length), then the digest of the normalised text, then id. It depends on the
documents alone, never on the order in which they are read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from megadata.documents.batch import DocBatch
from megadata.kernels import stars as kernels
from megadata.kernels.base import F32, I64, U8, U16, U32, U64

_LONGEST = 0xFFFFFFFF
SAVED = 0
"""Priority of the documents of a saved index: before all others."""


def priorities(prefer: Sequence[str], label: str, docs: DocBatch) -> U16:
    """uint16[D]: place in `prefer`, from 1, of the input's name, else of the document's own source, else after all of them."""
    places = {name: place for place, name in enumerate(prefer, SAVED + 1)}
    last = SAVED + 1 + len(prefer)
    if label in places:
        return np.full(len(docs), places[label], np.uint16)
    sources, which = docs.different("source")
    return np.array([places.get(source or "", last) for source in sources], np.uint16)[which]


def shortness(sizes: I64) -> U32:
    """uint32[D] that rises as texts get shorter."""
    return (_LONGEST - sizes).astype(np.uint32)


def lowness(quality: F32) -> U32:
    """uint32[D] that rises as the quality gets lower: the bits of the numbers, made to sort as the numbers do."""
    bits = (quality + np.float32(0)).view(np.uint32)  # the sum has no negative zero
    return np.where(bits >> np.uint32(31), bits, ~bits & np.uint32(0x7FFFFFFF)).astype(np.uint32)


def measures(sizes: I64, quality: F32, quality_first: bool) -> tuple[U32, U32]:
    """What is looked at first and second between documents of one priority, uint32[D] each; the least stays."""
    short, low = shortness(sizes), lowness(quality)
    return (low, short) if quality_first else (short, low)


def order(priority: U16, rank: U32, tie: U32, digests: U64) -> I64:
    """Positions in rank order of documents whose digests all differ."""
    return np.lexsort((digests[:, 1], digests[:, 0], tie, rank, priority)).astype(np.int64)


def keepers(digests: U64, priority: U16, rank: U32, tie: U32, names: U8, bounds: I64) -> I64:
    """int64[D]: for each document, the position of the least in rank among those with the same digest (itself if that is it).

    Documents with equal digests must be neighbours. Document d is named names[bounds[d]:bounds[d + 1]].
    """
    keeper = np.empty(digests.shape[0], np.int64)
    kernels.elect(digests, priority, rank, tie, names, bounds, keeper)
    return keeper
