"""Plain-Python references for indexed datasets, their order and their mixtures."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from megadata.indexed.meta import Meta
from megadata.indexed.writer import IndexedWriter

LETTERS = {1: "B", 2: "b", 3: "h", 4: "i", 5: "q", 6: "d", 7: "f", 8: "H"}
"""`struct` letters of the token types, by the code in the header."""

Documents = Sequence[Sequence[Sequence[int]]]
"""Documents of sequences of tokens."""


def mmididx(documents: Documents, code: int = 8, modes: Sequence[int] | None = None) -> tuple[bytes, bytes]:
    """The bytes of .bin and .idx, from the specification alone."""
    letter = LETTERS[code]
    sequences = [sequence for document in documents for sequence in document]
    data = b"".join(struct.pack(f"<{len(s)}{letter}", *s) for s in sequences)
    lengths = [len(s) for s in sequences]
    pointers = [sum(lengths[:i]) * struct.calcsize(f"<{letter}") for i in range(len(lengths))]
    bounds = [0]
    for document in documents:
        bounds.append(bounds[-1] + len(document))
    index = b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, code, len(lengths), len(bounds))
    index += struct.pack(f"<{len(lengths)}i", *lengths) + struct.pack(f"<{len(pointers)}q", *pointers)
    index += struct.pack(f"<{len(bounds)}q", *bounds)
    if modes is not None:
        index += struct.pack(f"<{len(modes)}b", *modes)
    return data, index


def write_pair(prefix: Path, data: bytes, index: bytes) -> str:
    """Lay the bytes of both files down; return the prefix."""
    Path(f"{prefix}.bin").write_bytes(data)
    Path(f"{prefix}.idx").write_bytes(index)
    return str(prefix)


def make(
    prefix: Path, tokens: int, *, seed: int = 0, document: int = 50, meta: Meta | None = None, high: int = 1000
) -> str:
    """A dataset of random tokens in documents of about `document` tokens; return the prefix."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(10, high, tokens, dtype=np.int64).astype(np.uint16)
    cuts = np.unique(np.append(rng.integers(1, max(2, tokens), tokens // document), [0, tokens]))
    with IndexedWriter(prefix, np.uint16, meta) as writer:
        writer.add_documents(ids, np.diff(cuts))
    return str(prefix)


def numbered(prefix: Path, tokens: int, offset: int = 0, meta: Meta | None = None) -> str:
    """A dataset whose token i is `offset` + i, in one document; return the prefix."""
    with IndexedWriter(prefix, np.int32, meta) as writer:
        writer.add_document(np.arange(offset, offset + tokens))
    return str(prefix)


def mix(*values: int) -> int:
    """SplitMix64's finaliser, folded over the values."""
    mask = 2**64 - 1
    state = 0
    for value in values:
        state = ((state ^ value) + 0x9E3779B97F4A7C15) & mask
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        state ^= state >> 31
    return state


def left_share(count: int, weight: int, part: int) -> int:
    """round(count * part / weight), halves up, in integers."""
    return (2 * count * part + weight) // (2 * weight)
