"""`DocBatch`: the one type that travels between the stages of the data side."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from megadata.kernels import ragged

T = TypeVar("T")

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("metadata", pa.string()),
    ]
)
"""Columns of a batch. `metadata` is a JSON object as text, or null."""

MAX_TEXT_BYTES = 1 << 30
"""Largest single document, in bytes of UTF-8. Arrow's offsets are 32 bit; larger documents are set aside by the readers."""


@dataclass(frozen=True, slots=True)
class Record:
    """One document as a reader finds it, before it is put into a batch.

    `id` is the record's own identity, or None where it has none; the reader's caller then names it by path and position.
    """

    text: str
    id: str | None = None
    url: str | None = None
    metadata: dict[str, Any] | None = None


def flat_column(column: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of a column of text, a read-only view of its buffer; and int64[D + 1] where each value begins in them."""
    data = column.buffers()[2]
    view = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    view.flags.writeable = False
    if len(column) == 0:
        return view, np.zeros(1, np.int64)
    raw = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    return view, raw.astype(np.int64)


def text_column(data: Any, offsets: NDArray[np.int64]) -> pa.Array:
    """A column of text from flat bytes, which are not copied and must not change any more, and int64[D + 1] where each begins."""
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string(), offsets.size - 1, buffers)


@dataclass(frozen=True, slots=True)
class DocBatch:
    """Documents as columns: a frozen wrapper of an Arrow record batch with `SCHEMA`.

    ``text`` and ``offsets`` are flat views for kernels: document d is ``text[offsets[d]:offsets[d + 1]]``, UTF-8.
    """

    records: pa.RecordBatch
    _derived: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def derive(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` computes of this batch: made once for each `key` and forgotten with the batch."""
        if key not in self._derived:
            self._derived[key] = make()
        return cast("T", self._derived[key])

    @classmethod
    def of(
        cls,
        ids: Sequence[str] | pa.Array,
        texts: Sequence[str] | pa.Array,
        source: str | Sequence[str] | pa.Array = "",
        urls: Sequence[str | None] | pa.Array | None = None,
        metadata: Sequence[str | None] | pa.Array | None = None,
    ) -> DocBatch:
        """Build a batch from columns; a single `source` stands for all documents."""
        count = len(ids)
        sources = pa.repeat(pa.scalar(source, pa.string()), count) if isinstance(source, str) else source
        nothing = pa.nulls(count, pa.string())
        columns = [ids, texts, sources, nothing if urls is None else urls, nothing if metadata is None else metadata]
        arrays = [c if isinstance(c, pa.Array) else pa.array(c, pa.string()) for c in columns]
        return cls(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))

    @classmethod
    def empty(cls) -> DocBatch:
        """A batch of no documents."""
        return cls.of([], [])

    @classmethod
    def concat(cls, batches: Iterable[DocBatch]) -> DocBatch:
        """All documents of `batches`, in order, copied into one batch."""
        tables = [b.records for b in batches]
        if not tables:
            return cls.empty()
        if len(tables) == 1:
            return cls(tables[0])
        merged = pa.Table.from_batches(tables).combine_chunks().to_batches()
        return cls(merged[0]) if merged else cls.empty()

    def __len__(self) -> int:
        return int(self.records.num_rows)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """int64[D + 1]: where each document begins in `text`, in bytes; the last is the end."""
        return flat_column(self.records.column("text"))[1]

    @property
    def text(self) -> NDArray[np.uint8]:
        """uint8[N]: the UTF-8 bytes of all documents, a read-only view of the Arrow buffer (index it with `offsets`)."""
        return flat_column(self.records.column("text"))[0]

    @property
    def ids(self) -> list[str]:
        """The document ids."""
        return list(self.records.column("id").to_pylist())

    @property
    def texts(self) -> list[str]:
        """The texts as Python strings (a copy; kernels use `text` and `offsets`)."""
        return list(self.records.column("text").to_pylist())

    @property
    def sizes(self) -> NDArray[np.int64]:
        """int64[D]: bytes of UTF-8 in each document."""
        return np.diff(self.offsets)

    def column(self, name: str) -> list[str | None]:
        """One column as Python values."""
        return list(self.records.column(name).to_pylist())

    def different(self, name: str) -> tuple[list[str | None], NDArray[np.int64]]:
        """The different values of a column, in the order in which they come; and int64[D], which of them each document has."""
        encoded = self.records.column(name).dictionary_encode(null_encoding="encode")
        return list(encoded.dictionary.to_pylist()), encoded.indices.to_numpy().astype(np.int64)

    @classmethod
    def merge(cls, parts: Sequence[tuple[DocBatch, NDArray[np.int64], NDArray[np.int64]]]) -> DocBatch:
        """Documents of several batches in one order: of each batch some rows, and for each of them a number to sort by."""
        if not parts:
            return cls.empty()
        order = np.argsort(np.concatenate([numbers for _, _, numbers in parts]), kind="stable")
        texts = [(*flat_column(batch.records.column("text")), rows) for batch, rows, _ in parts]
        sizes = np.concatenate([offsets[rows + 1] - offsets[rows] for _, offsets, rows in texts])
        offsets = np.zeros(order.size + 1, np.int64)
        np.cumsum(sizes[order], out=offsets[1:])
        to = np.empty(order.size, np.int64)
        to[order] = offsets[:-1]
        out = np.empty(offsets[-1], np.uint8)
        at = 0
        for text, bounds, rows in texts:
            ragged.place(text, bounds[rows], bounds[rows + 1], to[at : at + rows.size], out)
            at += rows.size
        columns = {}
        for name in SCHEMA.names:
            if name == "text":
                columns[name] = text_column(out, offsets)
            else:
                found = [batch.records.column(name).take(pa.array(rows)) for batch, rows, _ in parts]
                columns[name] = found[0] if len(found) == 1 else pa.concat_arrays(found).take(pa.array(order))
        return cls(pa.RecordBatch.from_arrays(list(columns.values()), schema=SCHEMA))

    def select(self, keep: NDArray[np.bool_]) -> DocBatch:
        """The documents where `keep` is true, in order."""
        if keep.all():
            return self
        rows = np.flatnonzero(keep)
        return DocBatch.merge([(self, rows, rows)])

    def slice(self, start: int, stop: int) -> DocBatch:
        """Documents start to stop, without a copy."""
        return DocBatch(self.records.slice(start, stop - start))

    def replace(self, **columns: Sequence[str | None] | pa.Array) -> DocBatch:
        """The same documents with whole columns exchanged, for example ``batch.replace(text=new_texts)``."""
        arrays = []
        for name in SCHEMA.names:
            if name in columns:
                value = columns[name]
                arrays.append(value if isinstance(value, pa.Array) else pa.array(value, pa.string()))
            else:
                arrays.append(self.records.column(name))
        return DocBatch(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))

    def with_flat_text(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> DocBatch:
        """The same documents with new text given as flat UTF-8 bytes and int64[D + 1] offsets (as kernels write it).

        `text` is not copied and must not change any more.
        """
        return self.replace(text=text_column(text, offsets))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from self.records.to_pylist()
