"""Stretches of windows, by which repeated substrings are found, and the records that the phases hand on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from megadata.corpus.dedup.substrings.config import SubstringConfig
from megadata.kernels import substrings as kernels
from megadata.kernels.base import I64, U8, U64

CHUNK = 1 << 21
"""Windows whose stretches are looked at together. Text that repeats itself all over has one for each byte."""

ANCHOR = np.dtype([("key", "<u8"), ("count", "<u4")])
"""The hash of an anchor, and how many stretches of a unit have it."""

STRETCH = np.dtype(
    [
        ("key", "<u8"),
        ("priority", "<u2"),
        ("high", "<u8"),
        ("low", "<u8"),
        ("unit", "<u4"),
        ("index", "<u4"),
        ("start", "<u8"),
        ("head", "<u4"),
        ("windows", "<u4"),
        ("lead", "<u4"),
    ]
)
"""A stretch whose anchor occurs elsewhere: hash of the anchor; rank of its document (priority of the source, hashes of its id),
the document's place, the stretch's place in it; its number in the unit, its windows, and how far behind the first the anchor
lies. Its payload is its bytes, then the id of its document. Sorted, those of one anchor are in order of rank."""

RUN = np.dtype(
    [
        ("key", "<u8"),
        ("head", "<u4"),
        ("from", "<u4"),
        ("to", "<u4"),
        ("unit", "<u4"),
        ("index", "<u4"),
        ("start", "<u8"),
    ]
)
"""Windows `from` to `to` of a stretch that occur before it: unit (the key) and number of the stretch; place of the document that
has the first occurrence, and where in it. Its payload is the id of that document."""


@dataclass(frozen=True, slots=True)
class Stretches:
    """Stretches of windows in flat text; see `megadata.kernels.substrings`."""

    hashes: U64
    starts: I64
    windows: I64
    leads: I64

    def stops(self, length: int) -> I64:
        """int64[M]: where the last window of each ends."""
        return self.starts + self.windows + (length - 1)


def stretches(text: U8, offsets: I64, config: SubstringConfig) -> Iterator[Stretches]:
    """All stretches of documents, in order, those of some windows at a time."""
    first, last = int(offsets[0]), int(offsets[-1])
    ring = np.empty(config.length - config.gram + 1, np.uint64)
    for begin in range(first, last - config.length + 1, CHUNK):
        end = min(begin + CHUNK, last - config.length + 1)
        hashes = np.empty(end - begin, np.uint64)
        starts, windows, leads = (np.empty(end - begin, np.int64) for _ in range(3))
        count = kernels.stretches(
            text, offsets, begin, end, config.length, config.gram, ring, hashes, starts, windows, leads
        )
        yield Stretches(hashes[:count].copy(), *(column[:count].copy() for column in (starts, windows, leads)))
