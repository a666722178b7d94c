"""Arrow IPC: streams and files (``.arrow``, ``.feather`` of version 2), as `datasets` and others write them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

import pyarrow as pa

from megadata.documents.batch import DocBatch
from megadata.documents.columns import check_text, documents
from megadata.documents.source import Problems, ReadOptions
from megadata.runtime.damage import DamagedStream
from megadata.runtime.streams import can_be_entered, compression_of, is_url, open_decoded, open_raw
from megadata.runtime.units import InputFile, Span

_FILE_MAGIC = b"ARROW1"
_CONTINUES = b"\xff\xff\xff\xff"
_SCHEMA, _DICTIONARY, _RECORDS = 1, 2, 3
_MAX_HEAD = 64 << 20


class ArrowIpc:
    """Record batches of an Arrow IPC stream or file; a span covers whole record batches.

    A record batch belongs to the span that holds its first byte. Streams with dictionaries are read in one span, since their
    batches need what came before.
    """

    kind: ClassVar[str] = "arrow"
    default_source: ClassVar[str] = "text"
    version: ClassVar[str] = "1"
    suffixes: ClassVar[tuple[str, ...]] = (".arrow", ".arrows")

    def sniff(self, head: bytes, name: str) -> bool:
        """The magic of an IPC file, or a stream's first message, which is a schema."""
        if head.startswith(_FILE_MAGIC):
            return True
        if not head.startswith(_CONTINUES):
            return False
        try:
            return _kind_and_body(head[8:])[0] == _SCHEMA
        except (struct.error, IndexError):
            return False

    def spans(self, file: InputFile, unit_bytes: int) -> list[Span]:
        """Borders at record batches, found by stepping from message head to message head."""
        if compression_of(file.path) is not None or not can_be_entered(file.path):
            return [Span(file, 0, -1)]
        borders = [0]
        with open_raw(file.path) as raw:
            for message in _messages(raw, file.size):
                if message.kind == _DICTIONARY:
                    return [Span(file, 0, -1)]
                if message.kind == _RECORDS and message.start - borders[-1] >= unit_bytes:
                    borders.append(message.start)
        return [Span(file, a, b) for a, b in zip(borders, [*borders[1:], file.size], strict=True)]

    def read(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
        """Documents of the span's record batches."""
        row = 0
        try:
            for first_row, records in self._batches(span, options, problems):
                row = first_row + records.num_rows
                try:
                    records.validate(full=True)  # offsets of a damaged batch would lead anywhere
                except pa.ArrowInvalid as error:
                    problems.add("damaged_arrow", f"{span.file.name}:{first_row}", str(error))
                    continue
                yield from documents(records, first_row, span.file, options, problems)
        except DamagedStream as damage:
            problems.add("damaged_compression", span.file.name, str(damage).replace(span.file.path, span.file.name))
        except (
            pa.ArrowException,
            OSError,
            struct.error,
            MemoryError,
            OverflowError,
            _Damage,
        ) as error:  # sizes that lie
            problems.add("damaged_arrow", f"{span.file.name}:{row}", str(error) or "a size that no memory holds")

    def _batches(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[tuple[int, Any]]:
        """(position of the first row, record batch) of the span; a row's position is that of its batch and its number in it.

        A damaged batch costs itself where its length is right; a damaged schema is told by the first span alone.
        """
        file = span.file
        if span.stop == -1:
            yield from _read_through(file, options)
            return
        with open_raw(file.path) if is_url(file.path) else pa.memory_map(file.path) as raw:
            try:
                first = next(_messages(raw, file.size, strict=True), None)
                if first is None or first.kind != _SCHEMA:
                    raise _Damage("expected the schema of an Arrow stream, found none")
                schema = pa.ipc.read_schema(first.read(raw))
            except (pa.ArrowException, OSError, _Damage):
                if span.start == 0:
                    raise
                return
            check_text(schema, options, file)
            after = max(span.start, first.start + first.length)
            for message in _messages(raw, file.size, after, span.stop, strict=True):
                if message.kind == _RECORDS:
                    try:
                        records = pa.ipc.read_record_batch(pa.ipc.read_message(message.read(raw)), schema)
                    except (pa.ArrowException, OSError) as error:
                        problems.add("damaged_arrow", f"{file.name}:{message.start}", str(error))
                        continue
                    yield message.start, records


class _Damage(Exception):
    """Bytes that are no Arrow messages."""


@dataclass(frozen=True, slots=True)
class _Message:
    """Where a message lies, and what it is."""

    kind: int
    start: int
    length: int

    def read(self, raw: Any) -> Any:
        """The message as a buffer; of a mapped file without a copy."""
        raw.seek(self.start)
        data = raw.read_buffer(self.length) if hasattr(raw, "read_buffer") else pa.py_buffer(raw.read(self.length))
        if data.size < self.length:
            raise _Damage(f"expected a message of {self.length} bytes at {self.start}, found {data.size}")
        return data


def _messages(raw: Any, size: int, at: int = 0, stop: int | None = None, strict: bool = False) -> Iterator[_Message]:
    """Messages of a stream or file that begin in [at, stop), from their heads alone; with `strict`, damage is no quiet end."""
    if at == 0:
        raw.seek(0)
        at = 8 if raw.read(8)[:6] == _FILE_MAGIC else 0
    while at + 8 <= size and (stop is None or at < stop):
        raw.seek(at)
        head = raw.read(8)
        mark, length = head[:4], struct.unpack("<i", head[4:])[0] if len(head) == 8 else 0
        if mark != _CONTINUES or not 0 <= length <= _MAX_HEAD:
            if strict:
                raise _Damage(f"expected a message at {at}, found {head.hex()}")
            return
        if length == 0:
            return
        try:
            kind, body = _kind_and_body(raw.read(length))
        except (struct.error, IndexError) as error:
            if strict:
                raise _Damage(f"expected the head of a message at {at}: {error}") from error
            return
        total = 8 + length + body
        if strict and (body < 0 or at + total > size):
            raise _Damage(f"the message at {at} goes on after the end of the file")
        yield _Message(kind, at, total)
        if body < 0:
            return
        at += total


def _table_field(data: bytes, table: int, number: int) -> int:
    """Position of a field of a flatbuffer table; 0 where it has its default."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if vtable < 0 or 4 + 2 * number >= struct.unpack_from("<H", data, vtable)[0]:
        return 0
    offset: int = struct.unpack_from("<H", data, vtable + 4 + 2 * number)[0]
    return table + offset if offset else 0


def _kind_and_body(head: bytes) -> tuple[int, int]:
    """Kind of a message and bytes of its body, from its flatbuffer (format/Message.fbs of Apache Arrow)."""
    message = struct.unpack_from("<I", head, 0)[0]
    kind_at, body_at = (_table_field(head, message, number) for number in (1, 3))
    kind = head[kind_at] if kind_at else 0
    body = struct.unpack_from("<q", head, body_at)[0] if body_at else 0
    return kind, body


def _read_through(file: InputFile, options: ReadOptions) -> Iterator[tuple[int, Any]]:
    """All record batches, by Arrow's own readers, for compressed files and those with dictionaries."""
    row = 0
    with open_decoded(file.path) as raw:
        magic = raw.read(8)
        if compression_of(file.path) is None and magic[:6] == _FILE_MAGIC:
            raw.seek(0)
            table = pa.ipc.open_file(raw)
            batches = (table.get_batch(number) for number in range(table.num_record_batches))
        else:
            table = pa.ipc.open_stream(_After(b"" if magic[:6] == _FILE_MAGIC else magic, raw))
            batches = iter(table)
        check_text(table.schema, options, file)
        for records in batches:
            yield row, records
            row += records.num_rows


class _After:
    """A stream with some bytes put back before it."""

    def __init__(self, before: bytes, raw: BinaryIO) -> None:
        self._before, self._raw = before, raw
        self.closed = False

    def read(self, count: int = -1) -> bytes:
        if not self._before:
            return self._raw.read(count)
        taken = self._before[:count] if count >= 0 else self._before
        self._before = self._before[len(taken) :]
        return taken + (self._raw.read(count - len(taken)) if count < 0 or len(taken) < count else b"")

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True
