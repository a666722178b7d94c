"""`IndexedDataset`: a .bin/.idx pair as memory-mapped arrays.

Opening reads the header and a few border entries and costs the same for ten documents and for ten billion. The files are mapped
at the first access, in each process for itself, so a dataset may be pickled, forked and spawned freely.
"""

from __future__ import annotations

import mmap
import os
import warnings
from hashlib import sha256
from pathlib import Path
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megadata.errors import IndexFormatError
from megadata.indexed.files import RangeArray, is_url
from megadata.indexed.format import Index, Integers, Tokens, open_half, parse_index
from megadata.indexed.meta import Meta, read_meta

if TYPE_CHECKING:
    from megadata.indexed.verify import Report

FINGERPRINT_PIECES = 32
FINGERPRINT_BYTES = 4096

TRUST_NS = 1_000_000
"""A mapped file that has not been looked at for so many nanoseconds is looked at before more of it is read."""


class _Opened(NamedTuple):
    """Arrays over the files of one process: views of the mapped files, or for URLs `RangeArray`."""

    tokens: Any
    """Shape (tokens,), of the token type."""
    lengths: Any
    pointers: Any
    bounds: Any
    """None where one sequence is one document."""
    maps: tuple[tuple[str, mmap.mmap, int], ...]
    """Path, map and size of each mapped file."""


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
        self._close()
        if self._index.bounds_missing:
            warnings.warn(
                f"{self.prefix}.idx: document bounds are missing, as after a merge by GPT-NeoX; "
                f"each of the {self._index.sequences} sequences is taken for a document",
                stacklevel=2,
            )

    def _close(self) -> None:
        self._opened: _Opened | None = None
        self._fast: Any = None
        """What `__getitem__` needs of an opened dataset."""
        self._fast_bounds: Any = None
        """What `document` needs."""
        self._trusted = 0
        """Until when mapped files need not be looked at again."""
        self._meta: Meta | None = None
        self._meta_read = False

    def __getstate__(self) -> dict[str, Any]:
        return {"prefix": self.prefix, "index": self._index}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.prefix = state["prefix"]
        self._index = parse_index(self.prefix)
        if self._index != state["index"]:
            raise IndexFormatError(f"{self.prefix}: the dataset changed between two processes; start again")
        self._close()

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
        lengths: NDArray[np.int32] = self._open().lengths
        return lengths

    @property
    def pointers(self) -> Integers:
        """Byte of .bin at which each sequence starts: a read-only view of the file, shape (S,)."""
        pointers: Integers = self._open().pointers
        return pointers

    @property
    def bounds(self) -> Integers:
        """Document d is the sequences [bounds[d], bounds[d + 1]); shape (documents + 1,)."""
        bounds = self._open().bounds
        return np.arange(len(self) + 1, dtype=np.int64) if bounds is None else bounds

    @property
    def modes(self) -> NDArray[np.int8] | None:
        """Mode of each sequence of a multimodal dataset, None for others."""
        if not self._index.modes:
            return None
        start = self._index.modes_at
        return np.frombuffer(open_half(f"{self.prefix}.idx").read(start, start + len(self)), np.int8)

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
        try:
            tokens, pointer_of, length_of, shift, odd, size = self._fast
            if monotonic_ns() < self._trusted:
                at = pointer_of(key)
                start = at >> shift
                stop = start + length_of(key)
                if 0 <= start <= stop <= size and not at & odd:
                    view: Tokens = tokens[start:stop]
                    return view
        except (TypeError, IndexError):
            pass
        if isinstance(key, slice):
            return self.take(np.arange(*key.indices(len(self))))
        return self._sequence(_position(key, len(self), "sequence"))

    def take(self, sequences: ArrayLike) -> list[Tokens]:
        """Tokens of many sequences at once: the same as ``[self[i] for i in sequences]`` in a fraction of the time."""
        opened = self._open()
        wanted = np.asarray(sequences, np.int64).reshape(-1)
        if wanted.size == 0:
            return []
        if int(wanted.min()) < 0 or int(wanted.max()) >= len(self):
            return [self._sequence(_position(i, len(self), "sequence")) for i in wanted.tolist()]
        starts, odd = np.divmod(opened.pointers[wanted], self.dtype.itemsize)
        stops = starts + opened.lengths[wanted]
        if odd.any() or bool(((starts < 0) | (stops < starts) | (stops > self.tokens)).any()):
            return [self._sequence(i) for i in wanted.tolist()]
        tokens = opened.tokens
        return [tokens[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]

    def document(self, i: int) -> Tokens:
        """Tokens of document `i`, all its sequences joined; a read-only view where they lie side by side."""
        try:
            bound_of, count = self._fast_bounds
            if 0 <= i < count and monotonic_ns() < self._trusted:
                first = bound_of(i)
                if bound_of(i + 1) - first == 1 and first >= 0:
                    tokens: Tokens = self[first]
                    return tokens
        except TypeError:
            pass
        first, last = self.document_bounds(i)
        return self[first] if last - first == 1 else self._join(first, last)

    def document_bounds(self, i: int) -> tuple[int, int]:
        """The sequences [first, last) of document `i`."""
        i = _position(i, self.documents, "document")
        bounds = self._open().bounds
        first, last = (i, i + 1) if bounds is None else (bounds.item(i), bounds.item(i + 1))
        if not 0 <= first <= last <= len(self):
            raise IndexFormatError(
                f"{self.prefix}.idx: document {i} claims the sequences {first} to {last} of {len(self)}; "
                "the file is damaged"
            )
        return first, last

    def window(self, start: int, length: int) -> Tokens:
        """Tokens [start, start + length) of the whole stream, as a read-only view of the file."""
        if start < 0 or length < 0 or start + length > self._index.tokens:
            raise self._outside(start, length)
        view: Tokens = self._open().tokens[start : start + length]
        return view

    def stream(self, start: int, length: int) -> Tokens | RangeArray:
        """Tokens [start, start + length) of the whole stream, none of which is read before it is asked for.

        A view of the file as from `window`; for a dataset behind a URL a `RangeArray`, which is indexed in the same ways.
        """
        if start < 0 or length < 0 or start + length > self._index.tokens:
            raise self._outside(start, length)
        tokens = self._open().tokens
        return tokens.part(start, length) if isinstance(tokens, RangeArray) else tokens[start : start + length]

    def _outside(self, start: int, length: int) -> IndexError:
        return IndexError(f"{self.prefix}: tokens {start} to {start + length} asked for, the dataset has {self.tokens}")

    def circular(self, start: int, length: int) -> Tokens:
        """`length` tokens from `start` on, going back to the first token after the last; a view where nothing wraps."""
        if self.tokens == 0:
            raise IndexError(f"{self.prefix}: the dataset has no tokens")
        start %= self.tokens
        if start + length <= self.tokens:
            return self.window(start, length)
        parts = [self.window(start, self.tokens - start)]
        rounds, rest = divmod(length - (self.tokens - start), self.tokens)
        return np.concatenate([*parts, *[self.window(0, self.tokens)] * rounds, self.window(0, rest)])

    def starts(self, sequences: Integers) -> Integers:
        """Token at which each of the given sequences starts; `len(self)` gives the number of tokens."""
        wanted = np.asarray(sequences, np.int64)
        starts = np.full(wanted.shape, self.tokens, np.int64)
        inside = wanted < len(self)
        starts[inside] = self._open().pointers[wanted[inside]] // self.dtype.itemsize
        return starts

    def document_starts(self, documents: Integers) -> Integers:
        """Token at which each of the given documents starts; `self.documents` gives the number of tokens."""
        bounds = self._open().bounds
        wanted = np.asarray(documents, np.int64)
        return self.starts(wanted if bounds is None else bounds[wanted])

    def sequence_at(self, tokens: Integers) -> Integers:
        """The sequence that holds each of the given tokens of the stream."""
        wanted = np.asarray(tokens, np.int64) * self.dtype.itemsize
        return last_at_most(self._open().pointers, wanted)

    def document_at(self, sequences: Integers) -> Integers:
        """The document that holds each of the given sequences."""
        bounds = self._open().bounds
        wanted = np.asarray(sequences, np.int64)
        return wanted.copy() if bounds is None else last_at_most(bounds, wanted)

    def check(self) -> None:
        """Raise `IndexFormatError` if the files shrank: to be called before views that were taken earlier are touched."""
        self._open()

    def verify(self, *, deep: bool = False) -> Report:
        """Check sizes and structure; with `deep` also digests, ids and what the sidecar promises (`verify.verify`)."""
        from megadata.indexed.verify import verify

        return verify(self.prefix, deep=deep)

    def _open(self) -> _Opened:
        """The arrays, after a look at the files if there was none lately.

        Raises
        ------
        IndexFormatError
            If the files changed since the dataset was opened, or shrank since they were mapped: touching what is no longer there
            would end the process.
        """
        opened = self._opened
        if opened is not None:
            if opened.maps and monotonic_ns() >= self._trusted:
                for path, mapped, size in opened.maps:
                    if (found := mapped.size()) < size:
                        raise IndexFormatError(
                            f"{path}: shrank from {size} to {found} bytes while it was in use; copy or write the file again, "
                            "then open the dataset again"
                        )
                self._trusted = monotonic_ns() + TRUST_NS
            return opened
        index = parse_index(self.prefix)
        if index != self._index:
            raise IndexFormatError(f"{self.prefix}: the files changed since they were opened; open the dataset again")
        opened = _open_remote(self.prefix, index) if is_url(self.prefix) else _open_local(self.prefix, index)
        size = index.dtype.itemsize
        self._opened = opened
        self._trusted = monotonic_ns() + TRUST_NS if opened.maps else 1 << 62
        self._fast = (
            *(opened.tokens, opened.pointers.item, opened.lengths.item),
            *(size.bit_length() - 1, size - 1, index.tokens),
        )
        if opened.bounds is not None:
            self._fast_bounds = opened.bounds.item, index.documents
        return opened

    def _sequence(self, i: int) -> Tokens:
        opened, size = self._open(), self.dtype.itemsize
        start = opened.pointers.item(i)
        stop = start + opened.lengths.item(i) * size
        if not 0 <= start <= stop <= self.tokens * size or start % size:
            raise IndexFormatError(
                f"{self.prefix}.idx: sequence {i} claims the bytes {start} to {stop} of {self.tokens * size} in .bin; "
                "the file is damaged"
            )
        view: Tokens = opened.tokens[start // size : stop // size]
        return view

    def _join(self, first: int, last: int) -> Tokens:
        if first == last:
            return np.empty(0, self.dtype)
        opened, size = self._open(), self.dtype.itemsize
        lengths = opened.lengths[first:last]
        start = opened.pointers.item(first)
        stop = opened.pointers.item(last - 1) + int(lengths[-1]) * size
        side_by_side = stop - start == int(lengths.sum(dtype=np.int64)) * size
        if side_by_side and 0 <= start <= stop <= self.tokens * size and start % size == 0:
            view: Tokens = opened.tokens[start // size : stop // size]
            return view
        return np.concatenate(self.take(np.arange(first, last)))

    def _agree(self, meta: Meta) -> None:
        ours = (self.tokens, len(self), self.dtype.name)
        theirs = (meta.tokens, meta.sequences, meta.dtype)
        if ours != theirs:
            raise IndexFormatError(
                f"{self.prefix}.meta.json: speaks of {theirs[0]} {theirs[2]} tokens in {theirs[1]} sequences, the files "
                f"hold {ours[0]} {ours[2]} tokens in {ours[1]}; it belongs to another dataset"
            )


def sampled_fingerprint(prefix: str | Path) -> str:
    """SHA-256 of the type, the counts and evenly spread pieces of .bin: the same at any path, in constant time."""
    index = parse_index(prefix)
    digest = sha256(f"{index.dtype.name} {index.tokens} {index.sequences} {index.documents}\n".encode())
    file = open_half(f"{prefix}.bin")
    step = max(1, (file.size - FINGERPRINT_BYTES) // (FINGERPRINT_PIECES - 1))
    for piece in range(FINGERPRINT_PIECES):
        digest.update(file.peek(piece * step, piece * step + FINGERPRINT_BYTES))
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


def _open_local(prefix: str, index: Index) -> _Opened:
    """Map both files."""
    maps = []
    raw = []
    sizes = (index.tokens * index.dtype.itemsize, index.modes_at + index.modes * index.sequences)
    for path, size in zip((f"{prefix}.bin", f"{prefix}.idx"), sizes, strict=True):
        if size == 0:
            raw.append(np.empty(0, np.uint8))
            continue
        with open(path, "rb") as file:
            try:
                mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise IndexFormatError(f"{path}: cannot be mapped: {error}; open the dataset again") from error
        maps.append((path, mapped, size))
        raw.append(np.frombuffer(mapped, np.uint8))
    data, table = raw

    def view(offset: int, count: int, dtype: str) -> NDArray[Any]:
        return table[offset : offset + count * np.dtype(dtype).itemsize].view(dtype)

    return _Opened(
        data.view(index.dtype),
        view(index.lengths_at, index.sequences, "<i4"),
        view(index.pointers_at, index.sequences, "<i8"),
        None if index.bounds_missing else view(index.bounds_at, index.bounds, "<i8"),
        tuple(maps),
    )


def _open_remote(prefix: str, index: Index) -> _Opened:
    """Arrays that fetch what is asked for."""
    table = open_half(f"{prefix}.idx")
    return _Opened(
        RangeArray(open_half(f"{prefix}.bin"), 0, index.tokens, index.dtype),
        RangeArray(table, index.lengths_at, index.sequences, "<i4"),
        RangeArray(table, index.pointers_at, index.sequences, "<i8"),
        None if index.bounds_missing else RangeArray(table, index.bounds_at, index.bounds, "<i8"),
        (),
    )
