"""MMIDIDX version 1, the index Megatron-LM introduced: header, arrays, and how wide a token is.

An indexed dataset PREFIX is two files. ``PREFIX.bin`` holds the token ids of all sequences, one after another, and nothing else.
``PREFIX.idx`` says where they lie; all integers are little-endian and the arrays are not padded, so the first starts at byte 34::

    0   9 bytes   magic "MMIDIDX\\0\\0"
    9   uint64    version, always 1
    17  uint8     code of the token type
    18  uint64    S, number of sequences
    26  uint64    D, number of documents + 1
    34  int32[S]  length of each sequence, in tokens
        int64[S]  where each sequence starts in .bin, in bytes
        int64[D]  document d is the sequences [bounds[d], bounds[d + 1])
        int8[S]   modes, only in multimodal datasets: nothing but the file's size says that they are there

Source: megatron/core/datasets/indexed_dataset.py of Megatron-LM. GPT-NeoX swaps the float codes 6 and 7; the size of .bin tells
which is meant.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from megadata.errors import ConfigError, CorpusError, IndexFormatError
from megadata.indexed.files import Bytes, open_bytes

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
HEADER = struct.Struct("<9sQBQQ")
"""Magic, version, token type, sequences, length of the document bounds."""

DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<u1"),
    2: np.dtype("<i1"),
    3: np.dtype("<i2"),
    4: np.dtype("<i4"),
    5: np.dtype("<i8"),
    6: np.dtype("<f8"),
    7: np.dtype("<f4"),
    8: np.dtype("<u2"),
}
"""Token types by their code in the header, as Megatron-core numbers them."""

CODES: dict[np.dtype[Any], int] = {dtype: code for code, dtype in DTYPES.items()}

FLOAT_CODES = (6, 7)
"""Codes that GPT-NeoX numbers the other way round."""

UINT16_ENTRIES = 1 << 16
MEGATRON_ENTRIES = 65_500
"""Megatron's own writer takes uint16 below this vocabulary size."""

LONGEST_SEQUENCE = (1 << 31) - 1
"""Tokens in one sequence: lengths are int32."""

CHUNK = 1 << 20
"""Entries of an index array handled at a time."""

DtypePolicy = Literal["auto", "uint16", "int32", "megatron"]
Tokens = NDArray[Any]
Integers = NDArray[np.int64]


def bin_path(prefix: str | Path) -> Path:
    """Where the tokens of PREFIX lie."""
    return Path(f"{prefix}.bin")


def idx_path(prefix: str | Path) -> Path:
    """Where the index of PREFIX lies."""
    return Path(f"{prefix}.idx")


def meta_path(prefix: str | Path) -> Path:
    """Where the sidecar of PREFIX lies."""
    return Path(f"{prefix}.meta.json")


def docs_path(prefix: str | Path) -> Path:
    """Where the provenance of PREFIX's documents lies: row d is document d."""
    return Path(f"{prefix}.docs.parquet")


def tokenizer_path(prefix: str | Path) -> Path:
    """Where the copy of the tokenizer of PREFIX lies."""
    return Path(f"{prefix}.tokenizer.json")


def token_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """`dtype` as a little-endian type that the format can name, or `ConfigError`."""
    found = np.dtype(dtype).newbyteorder("<")
    if found not in CODES:
        names = ", ".join(sorted(known.name for known in CODES))
        raise ConfigError(f"token type {np.dtype(dtype).name} has no code in .idx files; use one of {names}")
    return found


def best_dtype(vocabulary_size: int, policy: DtypePolicy = "auto") -> np.dtype[Any]:
    """The type to store token ids of a vocabulary in.

    Parameters
    ----------
    vocabulary_size : int
        Number of entries; ids are below it.
    policy : str
        ``auto``: uint16 up to 65,536 entries (the widest choice every reader gets right), else int32. ``megatron``: uint16 below
        65,500, as Megatron's preprocess_data.py. ``uint16``, ``int32``: that type.

    Raises
    ------
    ConfigError
        If the ids do not fit the type asked for.
    """
    widest = UINT16_ENTRIES if policy == "uint16" else 1 << 31
    if policy not in ("auto", "uint16", "int32", "megatron"):
        raise ConfigError(f"dtype policy {policy!r} is not known; use auto, uint16, int32 or megatron")
    if not 0 < vocabulary_size <= widest:
        raise ConfigError(
            f"a vocabulary of {vocabulary_size} entries does not fit dtype {policy}, which holds 1 to {widest}; use dtype auto"
        )
    narrow = {
        "auto": vocabulary_size <= UINT16_ENTRIES,
        "megatron": vocabulary_size < MEGATRON_ENTRIES,
        "uint16": True,
        "int32": False,
    }[policy]
    return np.dtype("<u2" if narrow else "<i4")


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """What an .idx header says, checked against the sizes of both files."""

    dtype: np.dtype[Any]
    """Type of a token."""
    sequences: int
    """Number of sequences."""
    bounds: int
    """Entries of the document bounds; documents + 1."""
    modes: bool
    """Whether the file ends with a mode for each sequence."""
    tokens: int
    """Tokens in .bin."""

    @property
    def lengths_at(self) -> int:
        """Byte at which the lengths start."""
        return HEADER.size

    @property
    def pointers_at(self) -> int:
        """Byte at which the pointers start."""
        return HEADER.size + 4 * self.sequences

    @property
    def bounds_at(self) -> int:
        """Byte at which the document bounds start."""
        return HEADER.size + 12 * self.sequences

    @property
    def modes_at(self) -> int:
        """Byte at which modes start, where there are any."""
        return self.bounds_at + 8 * self.bounds

    @property
    def bounds_missing(self) -> bool:
        """Whether the bounds were never merged: GPT-NeoX writes ``[0]`` for merged datasets."""
        return self.bounds <= 1 and self.sequences > 0

    @property
    def documents(self) -> int:
        """Number of documents; one per sequence where the bounds are missing."""
        return self.sequences if self.bounds_missing else max(0, self.bounds - 1)


def parse_index(prefix: str | Path) -> Index:
    """Read the header of PREFIX.idx and check the sizes of both files, in constant time and without mapping anything.

    Raises
    ------
    IndexFormatError
        If a file is missing, is not MMIDIDX version 1, is shorter or longer than its header says, or its borders do not fit.
    """
    path = f"{prefix}.idx"
    bin_size = open_half(f"{prefix}.bin").size
    file = open_half(path)
    code, sequences, bounds = _header(file.peek(0, HEADER.size), path)
    plain = HEADER.size + 12 * sequences + 8 * bounds
    if file.size not in (plain, plain + sequences):
        raise IndexFormatError(
            f"{path}: the header promises {sequences} sequences and {bounds} document bounds, {plain} bytes, "
            f"found {file.size}; copy or write the file again"
        )
    modes = sequences > 0 and file.size == plain + sequences
    length = pointer = 0
    if sequences:
        length = _entry(file, HEADER.size + 4 * (sequences - 1), 4, path)
        pointer = _entry(file, HEADER.size + 12 * sequences - 8, 8, path)
    first = _entry(file, HEADER.size + 12 * sequences, 8, path) if bounds else 0
    last = _entry(file, plain - 8, 8, path) if bounds else 0
    dtype = _resolve(code, pointer, length, bin_size)
    expected = pointer + length * dtype.itemsize
    if length < 0 or pointer < 0 or expected != bin_size or bin_size % dtype.itemsize:
        raise IndexFormatError(
            f"{prefix}.bin: {Path(path).name} ends at byte {expected} ({dtype.name} tokens), found {bin_size} bytes; "
            "one of the two was cut short or belongs to another dataset"
        )
    index = Index(dtype=dtype, sequences=sequences, bounds=bounds, modes=modes, tokens=bin_size // dtype.itemsize)
    if not index.bounds_missing and (first != 0 or last != sequences):
        raise IndexFormatError(
            f"{path}: document bounds must run from 0 to {sequences} (the sequences), found {first} to {last}; "
            "the file is damaged, write it again"
        )
    return index


def open_half(path: str) -> Bytes:
    """The bytes of a .bin or .idx, or `IndexFormatError` that names it."""
    try:
        return open_bytes(path)
    except IndexFormatError:
        raise
    except OSError as error:
        raise IndexFormatError(
            f"{path}: expected one half of an indexed dataset (.bin and .idx), {(error.strerror or 'unreadable').lower()}; "
            "give the prefix without its ending"
        ) from error
    except CorpusError as error:
        raise IndexFormatError(str(error)) from error


def _header(raw: bytes, path: str) -> tuple[int, int, int]:
    """Token code, sequences and bounds of a header."""
    if len(raw) < HEADER.size:
        raise IndexFormatError(
            f"{path}: an index starts with {HEADER.size} bytes of header, found {len(raw)}; copy or write the file again"
        )
    magic, version, code, sequences, bounds = HEADER.unpack(raw)
    if magic != MAGIC:
        older = "; `megadata import-dataset` reads this older format" if magic.startswith(b"TNTIDX") else ""
        raise IndexFormatError(f"{path}: expected an MMIDIDX index, found a file that starts with {magic!r}{older}")
    if version != VERSION:
        raise IndexFormatError(f"{path}: index version {version}, this megadata reads {VERSION}; write it again")
    if code not in DTYPES:
        raise IndexFormatError(f"{path}: token type {code} is not known (1 to 8 are); the file is damaged")
    return code, sequences, bounds


def _entry(file: Bytes, offset: int, size: int, path: str) -> int:
    """One integer of an index array, of `size` bytes."""
    raw = file.peek(offset, offset + size)
    if len(raw) != size:
        raise IndexFormatError(f"{path}: ended at byte {offset + len(raw)} while it was read; open the dataset again")
    return int.from_bytes(raw, "little", signed=True)


def _resolve(code: int, pointer: int, length: int, bin_size: int) -> np.dtype[Any]:
    """The type of a code; for the two float codes the one that fits the size of .bin, Megatron's reading first."""
    candidates = [DTYPES[code]]
    if code in FLOAT_CODES:
        candidates.append(DTYPES[sum(FLOAT_CODES) - code])
    fitting = [dtype for dtype in candidates if pointer + length * dtype.itemsize == bin_size]
    return (fitting or candidates)[0]


def index_pieces(dtype: DTypeLike, lengths: NDArray[Any], document_indices: NDArray[Any]) -> Iterator[bytes]:
    """The bytes of an .idx file, in pieces of bounded size; the arguments are those of `write_index`."""
    kind = token_dtype(dtype)
    sequences, bounds = len(lengths), len(document_indices)
    yield HEADER.pack(MAGIC, VERSION, CODES[kind], sequences, bounds)
    for start in range(0, sequences, CHUNK):
        chunk = np.asarray(lengths[start : start + CHUNK])
        if chunk.min() < 0 or chunk.max() > LONGEST_SEQUENCE:
            raise ConfigError(
                f"sequence lengths must lie between 0 and {LONGEST_SEQUENCE}, found {chunk.min()} to {chunk.max()} "
                f"from sequence {start} on; cut longer documents into sequences"
            )
        yield chunk.astype("<i4").tobytes()
    position = 0
    for start in range(0, sequences, CHUNK):
        ends = np.cumsum(lengths[start : start + CHUNK], dtype=np.int64)
        pointers = np.empty(ends.size, "<i8")
        pointers[0] = position
        pointers[1:] = position + ends[:-1] * kind.itemsize
        position += int(ends[-1]) * kind.itemsize
        yield pointers.tobytes()
    for start in range(0, bounds, CHUNK):
        yield np.asarray(document_indices[start : start + CHUNK]).astype("<i8").tobytes()


def write_index(
    path: str | Path, dtype: DTypeLike, lengths: NDArray[Any], document_indices: NDArray[Any], *, sync: bool = True
) -> str:
    """Write an .idx file to `path`, streaming, and return the SHA-256 of its bytes.

    Parameters
    ----------
    path : str or Path
        The file itself (give a temporary name and rename it).
    dtype : dtype
        Type of a token in .bin.
    lengths : integer array, shape (S,)
        Tokens of each sequence; may be a memory map, read a chunk at a time.
    document_indices : integer array, shape (D,)
        ``[0, ..., S]``: document d is the sequences [document_indices[d], document_indices[d + 1]).
    sync : bool
        Whether to wait until the bytes are on disk.

    Raises
    ------
    ConfigError
        If a length does not fit int32 or the bounds do not run from 0 to S.
    """
    if len(document_indices) == 0 or document_indices[0] != 0 or document_indices[-1] != len(lengths):
        found = f"{document_indices[0]} to {document_indices[-1]}" if len(document_indices) else "none"
        raise ConfigError(f"{path}: document bounds must run from 0 to {len(lengths)} (the sequences), found {found}")
    digest = sha256()
    with Path(path).open("wb") as file:
        for piece in index_pieces(dtype, lengths, document_indices):
            digest.update(piece)
            file.write(piece)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    return digest.hexdigest()
