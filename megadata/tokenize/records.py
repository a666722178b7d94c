"""What the two passes of `tokenize` pass on of a document: a record, and as its payload tokens, sequence lengths and provenance.

The payload of a document is its tokens, its end-of-document token, the lengths of its sequences (int32), and the UTF-8 bytes of
the fields in `TEXTS`, one after another; the record holds the size of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from megadata.kernels import ragged

TEXTS = ("id", "source", "url", "shard")
"""Fields of PREFIX.docs.parquet that are text."""
NO_TEXT = np.uint32(0xFFFFFFFF)
"""Size of a field that is null."""

RECORD = np.dtype(
    [
        ("key", "<u8"),
        ("tie", "<u8"),
        ("place", "<u8"),
        ("group", "<u8"),
        ("hash", "<u8"),
        ("tokens", "<u4"),
        ("sequences", "<u4"),
        ("cluster", "<u4"),
        *((name, "<u4") for name in TEXTS),
    ]
)
"""`key` and `tie` order the shuffle, `place` (unit, position) the input; `tokens` counts the end-of-document token."""

DOCS_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("cluster_size", pa.uint32()),
        pa.field("key", pa.uint64(), nullable=False),
    ]
)
"""Columns of PREFIX.docs.parquet. Row d is document d; `key` is the shuffle's hash of the id, rising where it was shuffled."""

Bytes = NDArray[np.uint8]
Counts = NDArray[np.int64]


def as_bytes(array: NDArray[Any]) -> Bytes:
    """The bytes of an array."""
    return np.ascontiguousarray(array).view(np.uint8).reshape(-1)


def text_column(values: Sequence[str | None] | pa.Array) -> tuple[Bytes, NDArray[np.uint32], Counts]:
    """A column of texts as flat bytes, sizes for the records (`NO_TEXT` for null), and sizes in bytes."""
    column = values if isinstance(values, pa.Array) else pa.array(values, pa.string())
    filled = column.fill_null("")
    if len(filled) == 0:
        return np.zeros(0, np.uint8), np.zeros(0, np.uint32), np.zeros(0, np.int64)
    offsets = np.frombuffer(filled.buffers()[1], np.int32)[filled.offset : filled.offset + len(filled) + 1]
    data = filled.buffers()[2]
    flat = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if data is not None else np.zeros(0, np.uint8)
    sizes = np.diff(offsets).astype(np.int64)
    nulls = column.is_null().to_numpy(zero_copy_only=False)
    return flat, np.where(nulls, NO_TEXT, sizes.astype(np.uint32)), sizes


def interleave(streams: Sequence[tuple[Bytes, Counts]], rows_in_order: Counts) -> tuple[Bytes, Counts]:
    """From streams of rows, each (bytes of all rows, bytes of each row): row by row the bytes of every stream.

    Returns the bytes, rows in the order given (each as often as it is named there), and how many each of them has.
    """
    rows = streams[0][1].size
    lengths = np.concatenate([sizes for _, sizes in streams])
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    order = (rows_in_order[:, None] + rows * np.arange(len(streams), dtype=np.int64)).reshape(-1)
    sizes = lengths.reshape(len(streams), rows).sum(axis=0)[rows_in_order]
    out = np.empty(int(sizes.sum()), np.uint8)
    ragged.gather(np.concatenate([data for data, _ in streams]), offsets, order, out)
    return out, sizes


def sizes_of(records: NDArray[np.void], itemsize: int, sentences: bool) -> Counts:
    """int64[R, 2 + len(TEXTS)]: bytes of tokens, of sequence lengths and of each text in each record's payload."""
    texts = [np.where(records[name] == NO_TEXT, 0, records[name]).astype(np.int64) for name in TEXTS]
    lengths = records["sequences"].astype(np.int64) * 4 if sentences else np.zeros(records.size, np.int64)
    return np.stack([records["tokens"].astype(np.int64) * itemsize, lengths, *texts], axis=1)


def pick(payload: Bytes, sizes: Counts, chosen: Counts, column: int) -> Bytes:
    """The bytes of one column of the payload, for the chosen records, one after another."""
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes.reshape(-1))])
    out = np.empty(int(sizes[chosen, column].sum()), np.uint8)
    ragged.gather(payload, offsets, chosen * sizes.shape[1] + column, out)
    return out


def docs_table(records: NDArray[np.void], payload: Bytes, sizes: Counts, chosen: Counts) -> pa.Table:
    """Rows of PREFIX.docs.parquet for the chosen records."""
    columns: dict[str, pa.Array] = {}
    for number, name in enumerate(TEXTS):
        data = pick(payload, sizes, chosen, 2 + number)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes[chosen, 2 + number])])
        valid = records[name][chosen] != NO_TEXT
        mask = None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
        buffers = [mask, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data)]
        columns[name] = pa.Array.from_buffers(pa.large_string(), chosen.size, buffers).cast(pa.string())
    cluster = records["cluster"][chosen]
    columns["cluster_size"] = pa.array(cluster, pa.uint32(), mask=cluster == NO_TEXT)
    columns["key"] = pa.array(records["hash"][chosen], pa.uint64())
    return pa.table([columns[name] for name in DOCS_SCHEMA.names], schema=DOCS_SCHEMA)
