"""The token stream of a source: one or many datasets, or parts of them, end to end."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megadata.errors import ConfigError
from megadata.indexed.files import RangeArray
from megadata.indexed.reader import IndexedDataset


@dataclass(frozen=True, slots=True)
class TokenRange:
    """Tokens [start, start + length) of one dataset."""

    prefix: str
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of a dataset that belongs to a stream: tokens [start, stop)."""

    dataset: IndexedDataset
    start: int
    stop: int


class TokenStream:
    """Pieces of datasets, read as one stream that goes back to its first token after its last."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = tuple(piece for piece in pieces if piece.stop > piece.start)
        self._ends = list(accumulate(piece.stop - piece.start for piece in self.pieces))
        self.tokens: int = self._ends[-1] if self._ends else 0
        self._arrays: list[NDArray[Any] | RangeArray] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_arrays": None}

    def arrays(self) -> list[NDArray[Any] | RangeArray]:
        """The tokens of each piece, as views of the files or, behind URLs, ranges of them."""
        if self._arrays is None:
            self._arrays = [piece.dataset.stream(piece.start, piece.stop - piece.start) for piece in self.pieces]
        return self._arrays

    def read(self, start: int, out: NDArray[np.int64]) -> None:
        """Fill `out` with the tokens from `start` on."""
        arrays = self._arrays or self.arrays()
        if len(arrays) == 1 and start + out.size <= self.tokens:
            self.pieces[0].dataset.check()
            out[:] = arrays[0][start : start + out.size]
            return
        done = 0
        for number, first, length in self._cover(start, out.size):
            self.pieces[number].dataset.check()
            out[done : done + length] = arrays[number][first : first + length]
            done += length

    def ranges(self, start: int, length: int) -> tuple[TokenRange, ...]:
        """Which tokens of which datasets the tokens [start, start + length) of the stream are."""
        return tuple(
            TokenRange(self.pieces[number].dataset.prefix, self.pieces[number].start + first, size)
            for number, first, size in self._cover(start, length)
        )

    def piece_at(self, start: int) -> tuple[Piece, int]:
        """The piece that holds token `start` of the stream, and that token's place in the piece's dataset."""
        number, first, _ = next(iter(self._cover(start, 1)))
        return self.pieces[number], self.pieces[number].start + first

    def _cover(self, start: int, length: int) -> list[tuple[int, int, int]]:
        """(piece, first token in it, tokens) that make up a circular range."""
        out = []
        while length > 0:
            start %= self.tokens
            number = bisect_right(self._ends, start)
            before = self._ends[number - 1] if number else 0
            size = min(length, self._ends[number] - start)
            out.append((number, start - before, size))
            start += size
            length -= size
        return out

    @property
    def row(self) -> int | None:
        """Tokens of a row, where the documents were packed into rows; None where they were not.

        Raises
        ------
        ConfigError
            If some of the datasets are packed and others are not, or otherwise.
        """
        rows = {piece.dataset.meta.pack if piece.dataset.meta else None for piece in self.pieces}
        if len(rows) > 1:
            named = ", ".join(piece.dataset.prefix for piece in self.pieces)
            raise ConfigError(
                f"{named}: packed into rows of different lengths, or not all packed; make them sources of their own"
            )
        return rows.pop() if rows else None

    def refuse_other_length(self, name: str, sequence_length: int) -> None:
        """Refuse samples of another length than the rows of packed documents have: they would cut and mix them."""
        if self.row not in (None, sequence_length):
            raise ConfigError(
                f"source {name!r} was packed into rows of {self.row} tokens, the samples have {sequence_length}; "
                f"use samples of {self.row} tokens or write the data again with --pack {sequence_length}"
            )

    @property
    def fingerprint(self) -> str:
        """Hex digest of the datasets and the parts of them, the same at any path."""
        if len(self.pieces) == 1 and self.tokens == self.pieces[0].dataset.tokens:
            return self.pieces[0].dataset.fingerprint
        parts = (f"{piece.dataset.fingerprint} {piece.start} {piece.stop}\n" for piece in self.pieces)
        return sha256("".join(parts).encode()).hexdigest()

    @property
    def digest(self) -> str | None:
        """Hex digest over the digests of all .bin files; None where a sidecar does not have it."""
        digests = [piece.dataset.meta.bin_sha256 if piece.dataset.meta else None for piece in self.pieces]
        if any(digest is None for digest in digests):
            return None
        return sha256(" ".join(digest or "" for digest in digests).encode()).hexdigest()

    @property
    def documents(self) -> int:
        """Documents that start in the stream."""
        total = 0
        for piece in self.pieces:
            if piece.start == 0 and piece.stop == piece.dataset.tokens:
                total += piece.dataset.documents
            else:
                ends = piece.dataset.sequence_at(np.array([piece.start, piece.stop - 1]))
                first, last = piece.dataset.document_at(ends)
                total += int(last - first) + 1
        return total
