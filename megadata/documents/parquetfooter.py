"""What the footer of a Parquet file says of its row groups, read with care.

Arrow's accessors of this metadata end the process where a damaged footer contradicts itself: an exception of C++ passes through
them. So the few numbers that are needed are taken from the footer's bytes, which are structs of Thrift's compact protocol
(parquet.thrift of Apache Parquet).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from megadata.runtime.streams import open_raw
from megadata.runtime.units import InputFile

_TAIL = struct.Struct("<I4s")
_MAGIC = b"PAR1"
_MOST_BYTES = 256 << 20
_MOST_DEPTH = 16
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
"""Types of the compact protocol."""


class BadFooter(Exception):
    """Bytes that are no footer."""


@dataclass(frozen=True, slots=True)
class Column:
    """A row group's part of a column."""

    start: int
    """First stored byte, as the footer tells it."""
    bytes: int
    """Uncompressed bytes."""
    dictionary: bool
    """Whether it begins with a dictionary of its values."""


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows that are stored together."""

    rows: int
    columns: tuple[Column, ...]

    @property
    def start(self) -> int:
        """First stored byte; 0 where there are no columns."""
        return self.columns[0].start if self.columns else 0


@lru_cache(maxsize=8)
def row_groups(file: InputFile) -> tuple[RowGroup, ...]:
    """The row groups of a Parquet file in their order.

    Raises
    ------
    BadFooter
        Where the file ends otherwise than Parquet files do.
    """
    with open_raw(file.path) as raw:
        raw.seek(max(file.size - _TAIL.size, 0))
        tail = raw.read(_TAIL.size)
        length, magic = _TAIL.unpack(tail) if len(tail) == _TAIL.size else (0, b"")
        start = file.size - _TAIL.size - length
        if magic != _MAGIC or start < 0 or length > _MOST_BYTES:
            raise BadFooter(f"expected the length of a footer and {_MAGIC!r} at the end, found {tail!r}")
        raw.seek(start)
        data = raw.read(length)
    try:
        return _file(_Compact(data))
    except (IndexError, ValueError) as error:
        raise BadFooter(f"the footer at {start} is damaged: {error}") from error


def _file(footer: _Compact) -> tuple[RowGroup, ...]:
    groups: tuple[RowGroup, ...] = ()
    for number, kind in footer.fields():
        if (number, kind) == (4, _LIST):
            groups = tuple(_row_group(footer) for _ in footer.elements(_STRUCT))
        else:
            footer.skip(kind)
    return groups


def _row_group(footer: _Compact) -> RowGroup:
    rows, columns = 0, []
    for number, kind in footer.fields():
        if (number, kind) == (1, _LIST):
            columns = [_column_chunk(footer) for _ in footer.elements(_STRUCT)]
        elif (number, kind) == (3, _I64):
            rows = footer.integer()
        else:
            footer.skip(kind)
    return RowGroup(rows, tuple(columns))


def _column_chunk(footer: _Compact) -> Column:
    column = Column(0, 0, False)
    for number, kind in footer.fields():
        if (number, kind) == (3, _STRUCT):
            column = _column(footer)
        else:
            footer.skip(kind)
    return column


def _column(footer: _Compact) -> Column:
    size, page, dictionary = 0, 0, None
    for number, kind in footer.fields():
        if (number, kind) == (6, _I64):
            size = footer.integer()
        elif (number, kind) == (9, _I64):
            page = footer.integer()
        elif (number, kind) == (11, _I64):
            dictionary = footer.integer()
        else:
            footer.skip(kind)
    return Column(page if dictionary is None else min(dictionary, page), size, dictionary is not None)


class _Compact:
    """Values of Thrift's compact protocol, one after another; IndexError where the bytes end inside one."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """(number, type) of each field of a struct; whoever iterates reads its value or skips it."""
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self.integer()
            yield number, head & 15

    def elements(self, expected: int) -> range:
        """The numbers of a list's elements, which are of the expected type."""
        count, kind = self._list()
        if count and kind != expected:
            raise ValueError(f"a list of type {kind} in place of {expected}")
        return range(count)

    def integer(self) -> int:
        """A signed number."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def skip(self, kind: int, depth: int = 0) -> None:
        """Read over a value of a struct's field."""
        if kind in (_I16, _I32, _I64):
            self._varint()
        elif kind == _BINARY:
            self._over(self._varint())
        elif kind in (_BYTE, _DOUBLE):
            self._over(1 if kind == _BYTE else 8)
        elif kind in (_TRUE, _FALSE):
            pass  # the type is the value
        elif depth == _MOST_DEPTH:
            raise ValueError(f"structs deeper than {_MOST_DEPTH}")
        elif kind == _STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        elif kind in (_LIST, _SET):
            count, inner = self._list()
            for _ in range(count):
                self._skip_element(inner, depth + 1)
        elif kind == _MAP:
            count = self._varint()
            types = self._byte() if count else 0
            for _ in range(count):
                self._skip_element(types >> 4, depth + 1)
                self._skip_element(types & 15, depth + 1)
        else:
            raise ValueError(f"unknown type {kind}")

    def _skip_element(self, kind: int, depth: int) -> None:
        self.skip(_BYTE if kind in (_TRUE, _FALSE) else kind, depth)

    def _list(self) -> tuple[int, int]:
        """Count and type of a list's elements."""
        head = self._byte()
        return (self._varint() if head >> 4 == 15 else head >> 4), head & 15

    def _over(self, size: int) -> None:
        self._at += size
        if self._at > len(self._data):
            raise IndexError("it ends inside a value")

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift > 63:
                raise ValueError("a number of more than 64 bits")
        return value | byte << shift
