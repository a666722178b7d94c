"""What the phases of deduplication hand to one another through the exchange and on disk.

A document is known by its unit and its place in it; numbered through all units (`unit base + place`) it is a uint32.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from megadata.documents.batch import DocBatch, flat_column
from megadata.kernels import hashing, ragged
from megadata.kernels.base import F32, I64, U8, U32, U64
from megadata.runtime.exchange import Exchange
from megadata.runtime.files import atomic_write

COPIES = np.dtype(
    [
        ("key", "<u8"),
        ("rest", "<u8"),
        ("priority", "<u2"),
        ("rank", "<u4"),
        ("tie", "<u4"),
        ("unit", "<u4"),
        ("index", "<u4"),
        ("weight", "<u4"),
    ]
)
"""A document for the exact stage: digest (key and rest), rank (see `ranks.measures`), place, weight. Its payload is its name."""

BANDS = np.dtype([("key", "<u8"), ("unit", "<u4"), ("index", "<u4")])
"""One band value of a document."""

SETS = np.dtype(
    [
        ("key", "<u8"),
        ("priority", "<u2"),
        ("rank", "<u4"),
        ("tie", "<u4"),
        ("high", "<u8"),
        ("low", "<u8"),
        ("unit", "<u4"),
        ("index", "<u4"),
        ("weight", "<u4"),
        ("hashes", "<u4"),
        ("name", "<u4"),
    ]
)
"""A candidate of the near stage: component, rank, place, weight, sizes of what its payload holds.

The payload is made of 64-bit words: band values, then the shingle set, then the name filled up with zero bytes.
"""

EVIDENCE = np.dtype(
    [
        ("key", "<u8"),
        ("unit", "<u4"),
        ("index", "<u4"),
        ("kept", "<u4"),
        ("similarity", "<f8"),
        ("rule", "u1"),
        ("cluster", "<u4"),
    ]
)
"""A removed document; `key` hashes the id of the kept one, which is the first `kept` bytes of the payload, then its own."""

CLUSTER_SIZE = "cluster_size"
"""Metadata of a kept document: how many documents it stands for, itself included. Absent where it stands for itself alone."""

_LARGEST_SCORE = 1e38
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_SEEDS = (np.uint64(0x243F6A8885A308D3), np.uint64(0x13198A2E03707344))


def spread(numbers: NDArray[np.generic]) -> U64:
    """Distinct keys, evenly spread over 64 bits, of distinct numbers."""
    return numbers.astype(np.uint64) * _SPREAD


def hash_strings(column: pa.Array, which: int = 0) -> U64:
    """64-bit hashes of a string column; two kinds, which together make 128 bits."""
    out = np.empty(len(column), np.uint64)
    hashing.hash_rows(*flat_column(column), _SEEDS[which], out)
    return out


@dataclass(frozen=True, slots=True)
class Facts:
    """What the metadata of documents says that deduplication asks about."""

    paths: list[str]
    """Path of the file that each document came from."""
    weights: U32
    """uint32[D]: how many documents each stands for: 1, or what an earlier deduplication wrote."""
    quality: F32
    """float32[D]: the score in the field asked for; 0 where there is none."""

    @classmethod
    def of(cls, docs: DocBatch, field: str = "") -> Facts:
        """Read the metadata, each different text of it once."""
        keys = field.split(".")
        values, which = docs.different("metadata")
        contents = [orjson.loads(value or "{}") for value in values]
        paths = [str(content.get("path", "")) for content in contents]
        weights = np.array([_weight(content) for content in contents], np.uint32)
        quality = np.array([_score(content, keys) for content in contents], np.float32)
        return cls([paths[at] for at in which.tolist()], weights[which], quality[which])


def _weight(content: dict[str, Any]) -> int:
    size = content.get(CLUSTER_SIZE)
    return size if isinstance(size, int) and 1 <= size < 1 << 32 else 1


def _score(content: dict[str, Any], keys: list[str]) -> float:
    """The number at a dotted path; 0 where there is none, or one that float32 does not hold."""
    value: Any = content
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST_SCORE:
        return 0.0
    return float(value)


def names_of(docs: DocBatch, paths: list[str]) -> pa.Array:
    """Names that are passed on with documents: id, a zero character, path."""
    return pc.binary_join_element_wise(docs.records.column("id"), pa.array(paths, pa.string()), "\0")


def pick(data: U8, bounds: I64, rows: I64) -> tuple[U8, I64]:
    """Some rows of ragged bytes, copied, and their bounds."""
    lengths = np.diff(bounds)[rows]
    out = np.empty(int(lengths.sum()), np.uint8)
    ragged.gather(data, bounds, rows.astype(np.int64), out)
    return out, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def save_arrays(path: Path, **arrays: NDArray[np.generic]) -> None:
    """Write named arrays to one file, atomically."""
    with atomic_write(path, sync=False) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


@dataclass(slots=True)
class Run:
    """Records, with or without payload, on their way to one run of an exchange."""

    dtype: np.dtype[np.void]
    rows: list[NDArray[np.void]] = field(default_factory=list)
    payload: list[U8] = field(default_factory=list)
    lengths: list[I64] = field(default_factory=list)

    def add(self, payload: U8 | None = None, lengths: I64 | None = None, **columns: NDArray[np.generic] | int) -> None:
        """Append rows; single numbers stand for all of them, `lengths` has the bytes of payload of each."""
        size = max(np.size(column) for column in columns.values())
        rows = np.empty(size, self.dtype)
        for name, column in columns.items():
            rows[name] = column
        self.rows.append(rows)
        if payload is not None and lengths is not None:
            self.payload.append(payload)
            self.lengths.append(lengths)

    def write(self, exchange: Exchange, run: int, with_payload: bool = False) -> None:
        """Write all of them as one run."""
        rows = np.concatenate([np.empty(0, self.dtype), *self.rows])
        if with_payload:
            payload = np.concatenate([np.zeros(0, np.uint8), *self.payload])
            exchange.write(run, rows, payload, np.concatenate([np.zeros(0, np.int64), *self.lengths]))
        else:
            exchange.write(run, rows)


@dataclass(frozen=True, slots=True)
class Numbering:
    """Where each unit's documents begin in the numbering of all."""

    base: I64
    """int64[U + 1]"""

    @classmethod
    def of(cls, counts: Iterable[int]) -> Numbering:
        """From the documents of each unit, in unit order."""
        return cls(np.concatenate([np.zeros(1, np.int64), np.cumsum(list(counts), dtype=np.int64)]))

    @property
    def documents(self) -> int:
        """Documents of all units."""
        return int(self.base[-1])

    def numbers(self, unit: NDArray[np.generic], index: NDArray[np.generic]) -> U32:
        """uint32 numbers of documents."""
        return (self.base[unit.astype(np.int64)] + index.astype(np.int64)).astype(np.uint32)

    def span(self, unit: int) -> tuple[int, int]:
        """First number of a unit, and of the next."""
        return int(self.base[unit]), int(self.base[unit + 1])
