"""Best-fit packing: documents into rows of a fixed length, cutting only what is longer than a row.

Each piece goes to the row with the least room that still holds it; pieces longer than a row are cut into whole rows and a rest.
Ding et al. 2024, "Fewer truncations improve language modeling", arXiv:2404.10830.

A packed dataset is a .bin of whole rows, each a document of one sequence of the .idx: row r is the tokens [r * LENGTH, (r + 1) *
LENGTH), and ``pack: LENGTH`` in its sidecar says so. In a row pieces stand one after another; each ends with the end-of-document
token, unless its document goes on in another row. What no piece fills is ``padding``, an id, at the end of the row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from megadata.errors import ConfigError
from megadata.indexed.order import I64


@dataclass(frozen=True, slots=True)
class Packing:
    """Which piece of which document lies where. Letter: P pieces, in the order of their rows."""

    length: int
    """Tokens of a row."""
    row: I64
    """The row of each piece, rising; shape (P,)."""
    document: I64
    """The document of each piece, shape (P,)."""
    start: I64
    """First token of each piece, counted in its document; shape (P,)."""
    tokens: I64
    """Tokens of each piece, shape (P,)."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.row[-1]) + 1 if self.row.size else 0

    @property
    def padding(self) -> float:
        """Part of all places that no token fills."""
        return 1 - float(self.tokens.sum()) / (self.rows * self.length) if self.rows else 0.0

    @property
    def cut(self) -> int:
        """Documents that lie in more than one piece."""
        return int((np.bincount(self.document) > 1).sum()) if self.document.size else 0


def pack(lengths: ArrayLike, length: int) -> Packing:
    """Pack documents of the given lengths into rows of `length` tokens, best fit first, longest documents first.

    Parameters
    ----------
    lengths : integer array, shape (D,)
        Tokens of each document; empty ones lie in no row.
    length : int
        Tokens of a row.

    Returns
    -------
    Packing
        Every token of every document is in exactly one piece. Depends on the lengths alone.

    Raises
    ------
    ConfigError
        If `length` is below 1 or a document has a negative length.
    """
    sizes = np.asarray(lengths, np.int64)
    if length < 1 or (sizes.size and int(sizes.min()) < 0):
        raise ConfigError(f"packing: rows and documents cannot have negative lengths, got rows of {length}")
    whole, rest = np.divmod(sizes, length)
    full = np.repeat(np.arange(sizes.size), whole)
    nth = np.arange(full.size) - np.repeat(np.cumsum(whole) - whole, whole)
    tails = np.flatnonzero(rest)
    order = tails[np.argsort(-rest[tails], kind="stable")]
    room_of = _best_fit(rest[order], length)
    pieces = np.concatenate(
        (
            np.stack((np.arange(full.size), full, nth * length, np.full(full.size, length)), axis=1),
            np.stack((full.size + room_of, order, whole[order] * length, rest[order]), axis=1),
        )
    )
    row, document, start, tokens = pieces[np.lexsort((pieces[:, 1], pieces[:, 0]))].T
    return Packing(length, row, document, start, tokens)


def _best_fit(sizes: I64, length: int) -> I64:
    """The row of each piece, given longest first.

    Rows are kept by the room they have left; a segment tree over rooms finds the least one that is enough in log2(length) steps.
    """
    width = 1 << max(1, length).bit_length()
    filled = bytearray(2 * width)
    """Nodes under which a row has that much room."""
    rows: list[list[int]] = [[] for _ in range(length + 1)]
    out = np.empty(sizes.size, np.int64)
    made = 0
    for place, size in enumerate(sizes.tolist()):
        room = _least_at_least(filled, width, size)
        if room > length:
            row, room = made, length
            made += 1
        else:
            row = rows[room].pop()
            if not rows[room]:
                _set(filled, width, room, 0)
        out[place] = row
        left = room - size
        if left:
            if not rows[left]:
                _set(filled, width, left, 1)
            rows[left].append(row)
    return out


def _set(filled: bytearray, width: int, room: int, value: int) -> None:
    node = width + room
    filled[node] = value
    while node > 1:
        node //= 2
        filled[node] = filled[2 * node] | filled[2 * node + 1]


def _least_at_least(filled: bytearray, width: int, size: int) -> int:
    """The least room of at least `size` that some row has; `width` where there is none."""
    node = width + size
    if filled[node]:
        return size
    while node > 1:
        if node % 2 == 0 and filled[node + 1]:
            node += 1
            while node < width:
                node *= 2
                if not filled[node]:
                    node += 1
            return node - width
        node //= 2
    return width
