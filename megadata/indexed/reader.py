"""`IndexedDataset`: a .bin/.idx pair as memory-mapped arrays.

Opening reads the header and a few border entries and costs the same for ten documents and for ten billion. The files are mapped
at the first access, in each process for itself, so a dataset may be pickled, forked and spawned freely.
"""

from __future__ import annotations

import os
import warnings
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from megadata.errors import IndexFormatError
from megadata.indexed.format import Index, Integers, Tokens, bin_path, idx_path, meta_path, parse_index
from megadata.indexed.meta import Meta, read_meta

if TYPE_CHECKING:
    from megadata.indexed.verify import Report

FINGERPRINT_PIECES = 32
FINGERPRINT_BYTES = 4096

Mapped = tuple[NDArray[np.uint8], NDArray[np.int32], Integers, Integers | None]
"""Bytes of .bin, lengths, pointers, document bounds (None: one sequence is one document)."""


class IndexedDataset:
    """The sequences and documents of PREFIX.bin and PREFIX.idx, in constant time and memory.

    Parameters
    ----------
    prefix : str or Path
        What both file names share; the ending .bin or .idx may be left on.

    Raises
    ------
    IndexFormatError
        If a file is missing, truncated, of another format, or the two do not belong together. Sizes are checked before
        anything is mapped.

    Warns
    -----
    UserWarning
        If the document bounds were never merged (GPT-NeoX); each sequence then counts as one document.
    """

    def __init__(self, prefix: str | Path) -> None:
        name = os.fspath(prefix)
        self.prefix: str = name[:-4] if name.endswith((".bin", ".idx")) else name
        self._index: Index = parse_index(self.prefix)
        self._mapped: Mapped | None = None
        self._meta: Meta | None = None
        self._meta_read = False
        if self._index.bounds_missing:
            warnings.warn(
                f"{idx_path(self.prefix)}: document bounds are missing, as after a merge by GPT-NeoX; "
                f"each of the {self._index.sequences} sequences is taken for a document",
                stacklevel=2,
            )

    def __getstate__(self) -> dict[str, Any]:
        return {"prefix": self.prefix, "index": self._index}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.prefix = state["prefix"]
        self._index = parse_index(self.prefix)
        if self._index != state["index"]:
            raise IndexFormatError(f"{self.prefix}: the dataset changed between two processes; start again")
        self._mapped, self._meta, self._meta_read = None, None, False

    def __repr__(self) -> str:
        return f"IndexedDataset({self.prefix!r}, {len(self):,} sequences, {self.tokens:,} {self.dtype.name} tokens)"

    def __len__(self) -> int:
        """Number of sequences."""
        return self._index.sequences

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return self._index.tokens

    @property
    def documents(self) -> int:
        """Number of documents."""
        return self._index.documents

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a token, as the header names it."""
        return self._index.dtype

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Tokens of each sequence: a read-only view of the file, shape (S,)."""
        return self._map()[1]

    @property
    def pointers(self) -> Integers:
        """Byte of .bin at which each sequence starts: a read-only view of the file, shape (S,)."""
        return self._map()[2]

    @property
    def bounds(self) -> Integers:
        """Document d is the sequences [bounds[d], bounds[d + 1]); shape (documents + 1,)."""
        bounds = self._map()[3]
        return np.arange(len(self) + 1, dtype=np.int64) if bounds is None else bounds

    @property
    def modes(self) -> NDArray[np.int8] | None:
        """Mode of each sequence of a multimodal dataset, None for others."""
        if not self._index.modes:
            return None
        return np.array(np.memmap(idx_path(self.prefix), np.int8, "r", self._index.modes_at, (len(self),)))

    @property
    def meta(self) -> Meta | None:
        """The sidecar; None where there is none.

        Raises
        ------
        IndexFormatError
            If it is damaged or speaks of other files than these.
        """
        if not self._meta_read:
            meta = read_meta(self.prefix)
            if meta is not None:
                self._agree(meta)
            self._meta, self._meta_read = meta, True
        return self._meta

    @property
    def fingerprint(self) -> str:
        """Hex digest of the type, the counts and a sample of .bin: what keys the order of samples, and notices other data."""
        meta = self.meta
        return meta.fingerprint if meta is not None and meta.fingerprint else sampled_fingerprint(self.prefix)

    @overload
    def __getitem__(self, key: int) -> Tokens: ...
    @overload
    def __getitem__(self, key: slice) -> list[Tokens]: ...
    def __getitem__(self, key: int | slice) -> Tokens | list[Tokens]:
        """Tokens of sequence `key` as a read-only view of the file; a list of them for a slice."""
        if isinstance(key, slice):
            return [self._sequence(i) for i in range(*key.indices(len(self)))]
        return self._sequence(_position(key, len(self), "sequence"))

    def document(self, i: int) -> Tokens:
        """Tokens of document `i`, all its sequences joined; a read-only view where they lie side by side."""
        first, last = self.document_bounds(i)
        return self._join(first, last)

    def document_bounds(self, i: int) -> tuple[int, int]:
        """The sequences [first, last) of document `i`."""
        i = _position(i, self.documents, "document")
        bounds = self._map()[3]
        first, last = (i, i + 1) if bounds is None else (int(bounds[i]), int(bounds[i + 1]))
        if not 0 <= first <= last <= len(self):
            raise IndexFormatError(
                f"{idx_path(self.prefix)}: document {i} claims the sequences {first} to {last} of {len(self)}; "
                "the file is damaged"
            )
        return first, last

    def window(self, start: int, length: int) -> Tokens:
        """Tokens [start, start + length) of the whole stream, as a read-only view of the file."""
        if start < 0 or length < 0 or start + length > self.tokens:
            raise IndexError(
                f"{self.prefix}: tokens {start} to {start + length} asked for, the dataset has {self.tokens}"
            )
        size = self.dtype.itemsize
        return self._map()[0][start * size : (start + length) * size].view(self.dtype)

    def circular(self, start: int, length: int) -> Tokens:
        """`length` tokens from `start` on, going back to the first token after the last; a view where nothing wraps."""
        if self.tokens == 0:
            raise IndexError(f"{self.prefix}: the dataset has no tokens")
        start %= self.tokens
        if start + length <= self.tokens:
            return self.window(start, length)
        return self.window(0, self.tokens)[np.arange(start, start + length) % self.tokens]

    def starts(self, sequences: Integers) -> Integers:
        """Token at which each of the given sequences starts; `len(self)` gives the number of tokens."""
        wanted = np.asarray(sequences, np.int64)
        starts = np.full(wanted.shape, self.tokens, np.int64)
        inside = wanted < len(self)
        starts[inside] = self._map()[2][wanted[inside]] // self.dtype.itemsize
        return starts

    def document_starts(self, documents: Integers) -> Integers:
        """Token at which each of the given documents starts; `self.documents` gives the number of tokens."""
        bounds = self._map()[3]
        wanted = np.asarray(documents, np.int64)
        return self.starts(wanted if bounds is None else bounds[wanted])

    def sequence_at(self, tokens: Integers) -> Integers:
        """The sequence that holds each of the given tokens of the stream."""
        wanted = np.asarray(tokens, np.int64) * self.dtype.itemsize
        return last_at_most(self._map()[2], wanted)

    def document_at(self, sequences: Integers) -> Integers:
        """The document that holds each of the given sequences."""
        bounds = self._map()[3]
        wanted = np.asarray(sequences, np.int64)
        return wanted.copy() if bounds is None else last_at_most(bounds, wanted)

    def verify(self, *, deep: bool = False) -> Report:
        """Check sizes and structure; with `deep` also digests, ids and what the sidecar promises (`verify.verify`)."""
        from megadata.indexed.verify import verify

        return verify(self.prefix, deep=deep)

    def _map(self) -> Mapped:
        if self._mapped is None:
            index = parse_index(self.prefix)
            if index != self._index:
                raise IndexFormatError(
                    f"{self.prefix}: the files changed since they were opened; open the dataset again"
                )
            raw = _mapped_bytes(idx_path(self.prefix))
            count = index.sequences
            bounds = None
            if not index.bounds_missing:
                bounds = _view(raw, index.bounds_at, index.bounds, "<i8")
            self._mapped = (
                _mapped_bytes(bin_path(self.prefix)),
                _view(raw, index.lengths_at, count, "<i4"),
                _view(raw, index.pointers_at, count, "<i8"),
                bounds,
            )
        return self._mapped

    def _sequence(self, i: int) -> Tokens:
        data, lengths, pointers, _ = self._mapped or self._map()
        start = int(pointers[i])
        stop = start + int(lengths[i]) * self._index.dtype.itemsize
        if not 0 <= start <= stop <= data.size:
            raise IndexFormatError(
                f"{idx_path(self.prefix)}: sequence {i} claims the bytes {start} to {stop} of {data.size} in .bin; "
                "the file is damaged"
            )
        return data[start:stop].view(self._index.dtype)

    def _join(self, first: int, last: int) -> Tokens:
        if last - first == 1:
            return self._sequence(first)
        if first == last:
            return np.empty(0, self.dtype)
        data, lengths, pointers, _ = self._map()
        total = int(lengths[first:last].sum(dtype=np.int64)) * self.dtype.itemsize
        start, stop = int(pointers[first]), int(pointers[last - 1]) + int(lengths[last - 1]) * self.dtype.itemsize
        if start >= 0 and stop - start == total and stop <= data.size:
            return data[start:stop].view(self.dtype)
        return np.concatenate([self._sequence(i) for i in range(first, last)])

    def _agree(self, meta: Meta) -> None:
        ours = (self.tokens, len(self), self.dtype.name)
        theirs = (meta.tokens, meta.sequences, meta.dtype)
        if ours != theirs:
            raise IndexFormatError(
                f"{meta_path(self.prefix)}: speaks of {theirs[0]} {theirs[2]} tokens in {theirs[1]} sequences, the files "
                f"hold {ours[0]} {ours[2]} tokens in {ours[1]}; it belongs to another dataset"
            )


def sampled_fingerprint(prefix: str | Path) -> str:
    """SHA-256 of the type, the counts and evenly spread pieces of .bin: the same at any path, in constant time."""
    index = parse_index(prefix)
    digest = sha256(f"{index.dtype.name} {index.tokens} {index.sequences} {index.documents}\n".encode())
    path = bin_path(prefix)
    size = path.stat().st_size
    step = max(1, (size - FINGERPRINT_BYTES) // (FINGERPRINT_PIECES - 1))
    with path.open("rb") as file:
        for piece in range(FINGERPRINT_PIECES):
            file.seek(piece * step)
            digest.update(file.read(FINGERPRINT_BYTES))
    return digest.hexdigest()


def last_at_most(rising: Integers, values: Integers) -> Integers:
    """For each value the last position of `rising` whose entry is at most it (0 where none is).

    Works on unaligned memory maps without copying them, which `numpy.searchsorted` cannot.
    """
    low = np.zeros(values.shape, np.int64)
    high = np.full(values.shape, max(0, len(rising) - 1), np.int64)
    for _ in range(max(1, len(rising)).bit_length()):
        middle = (low + high + 1) >> 1
        fits = rising[middle] <= values if len(rising) else np.zeros(values.shape, np.bool_)
        low = np.where(fits, middle, low)
        high = np.where(fits, high, np.maximum(middle - 1, low))
    return low


def _position(i: int, size: int, what: str) -> int:
    position = i + size if i < 0 else i
    if not 0 <= position < size:
        raise IndexError(f"{what} {i} asked for, the dataset has {size}")
    return int(position)


def _mapped_bytes(path: Path) -> NDArray[np.uint8]:
    if path.stat().st_size == 0:
        return np.empty(0, np.uint8)
    return np.frombuffer(np.memmap(path, np.uint8, "r"), np.uint8)


def _view(raw: NDArray[np.uint8], offset: int, count: int, dtype: str) -> NDArray[Any]:
    return raw[offset : offset + count * np.dtype(dtype).itemsize].view(dtype)
