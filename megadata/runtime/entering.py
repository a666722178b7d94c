"""Entering files: reading from any decoded byte on, and the lines that belong to a span.

Plain files and zstd files with a seek table (which megadata writes) can be entered anywhere; other compressed files are read
from the start. Behind a damaged frame reading goes on with the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from io import BufferedReader, RawIOBase
from typing import Any, BinaryIO, cast

from megadata.runtime.damage import DamagedStream
from megadata.runtime.seekable import SeekableFrames, SeekTable, read_seek_table
from megadata.runtime.streams import blocks, can_be_entered, compression_of, decode, is_bomb, open_raw, read_block
from megadata.runtime.units import InputFile, Span

_BUFFER = 1 << 20
_LINES = 1 << 18  # bytes of lines that are read at once: so many stay in a processor's cache while they are looked at


class _Ending(RawIOBase):
    """The bytes of a stream, and damage where they end."""

    def __init__(self, inner: BinaryIO, damage: str) -> None:
        self._inner, self._damage = inner, damage

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._inner.read(len(buffer))
        if not data and len(buffer):
            raise DamagedStream(self._damage)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._inner.close()
        super().close()


@lru_cache(maxsize=64)
def _read_seek_table(path: str, size: int, mtime_ns: int) -> SeekTable | None:
    with open_raw(path) as raw:
        return read_seek_table(raw, size)


def seek_table(file: InputFile) -> SeekTable | None:
    """The seek table of a zstd file, or None where it has none."""
    if file.unpacked is not None:
        return _read_seek_table(file.unpacked.path, file.unpacked.size, 0)
    if compression_of(file.path) != "zstd" or not can_be_entered(file.path):
        return None
    table = _read_seek_table(file.path, file.size, file.mtime_ns)
    return None if table is None or is_bomb(int(table.decoded[-1]), file.size) else table


def decoded_length(file: InputFile) -> int | None:
    """Decoded bytes of a file that can be entered anywhere; None where it must be read from its start."""
    if file.unpacked is not None:
        return file.unpacked.length
    if compression_of(file.path) is None:
        return file.size if can_be_entered(file.path) else None
    table = seek_table(file)
    return int(table.decoded[-1]) if table is not None else None


def open_at(file: InputFile, start: int) -> BinaryIO:
    """Decoded stream positioned at decoded byte `start`."""
    path = file.unpacked.path if file.unpacked is not None else file.path
    raw = open_raw(path, _BUFFER)
    if compression_of(path) is None:
        raw.seek(start)
        return raw
    table = seek_table(file)
    if table is None:
        stream, position = decode(raw, path), 0
    else:
        frame = table.frame_at(start)
        position = int(table.decoded[frame])
        stream = cast("BinaryIO", BufferedReader(SeekableFrames(raw, table, frame, path), _BUFFER))
    try:
        while position < start and (block := stream.read(min(_BUFFER, start - position))):
            position += len(block)
    except DamagedStream:
        stream.close()
        raise
    if file.unpacked is not None and file.unpacked.damage:
        return cast("BinaryIO", BufferedReader(_Ending(stream, file.unpacked.damage), _BUFFER))
    return stream


OnDamage = Callable[[DamagedStream], None]
"""Called with each damage that reading comes upon."""


class Stretch:
    """Decoded bytes of a file from a position on, block by block, up to its end or to damage."""

    def __init__(self, file: InputFile, start: int, on_damage: OnDamage) -> None:
        self._file, self._start, self._on_damage = file, start, on_damage
        self.resumes: int | None = None
        """Once all was read: where good bytes may follow behind damage."""

    def __iter__(self) -> Iterator[bytes]:
        try:
            with open_at(self._file, self._start) as stream:
                yield from blocks(stream)
        except DamagedStream as damage:
            self.resumes = damage.resumes
            self._on_damage(damage)


def blocks_at(file: InputFile, start: int, on_damage: OnDamage) -> Iterator[tuple[int, bytes]]:
    """Decoded bytes of a file from `start` on as (position, block); positions leap over what is damaged."""
    at: int | None = start
    while at is not None:
        stretch = Stretch(file, at, on_damage)
        for block in stretch:
            yield at, block
            at += len(block)
        at = stretch.resumes


def lines(span: Span, max_bytes: int, on_damage: OnDamage) -> Iterator[tuple[int, bytes | None]]:
    """The lines of `line_blocks` one by one, as (decoded position, bytes without the line end)."""
    for position, block in line_blocks(span, max_bytes, on_damage):
        if block is None:
            yield position, None
            continue
        at = position
        for line in block.removesuffix(b"\n").split(b"\n"):
            yield at, line.rstrip(b"\r")
            at += len(line) + 1


def line_blocks(span: Span, max_bytes: int, on_damage: OnDamage) -> Iterator[tuple[int, bytes | None]]:
    """Lines whose first byte lies in the span, many at a time, as (decoded position, bytes with the line ends).

    A line longer than `max_bytes` is given as None, and read over without being held in memory. A line that damage cuts is lost,
    and so is what follows damage up to the next line end.
    """
    at: int | None = max(span.start - 1, 0)
    inside = span.start > 0
    while at is not None and (span.stop == -1 or at < span.stop):
        try:
            yield from _line_blocks_at(span, at, inside, max_bytes)
            return
        except DamagedStream as damage:
            on_damage(damage)
            at, inside = damage.resumes, True


def _line_blocks_at(span: Span, position: int, inside: bool, max_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """Lines that begin at `position` and before the span's stop; with `inside`, behind the one that is under way there."""
    with open_at(span.file, position) as stream:
        if inside:
            position += _skip_line(stream, None if span.stop == -1 else span.stop - position)
        held: list[bytes] = []  # of a line that has begun at `position` and has no end yet
        size = 0
        while span.stop == -1 or position < span.stop:
            block = read_block(stream, _LINES)
            held.append(block)
            size += len(block)
            if block and b"\n" not in block:
                if size > max_bytes:
                    size += _skip_line(stream)
                    yield position, None
                    position += size
                    held, size = [], 0
                continue
            data = b"".join(held)
            until = data.rfind(b"\n") + 1 if block else size
            if span.stop != -1:
                last = data.find(b"\n", span.stop - 1 - position) + 1  # of the last line that begins before the stop
                until = last or until
            yield from _without_long_lines(position, data[:until], max_bytes)
            position += until
            held, size = [data[until:]], size - until
            if not block:
                return


def _without_long_lines(position: int, data: bytes, max_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """Whole lines, with None in place of each that is longer than `max_bytes`."""
    if len(data) <= max_bytes:
        if data:
            yield position, data
        return
    for line in _ended(data):
        yield position, None if len(line.removesuffix(b"\n")) > max_bytes else line
        position += len(line)


def _ended(data: bytes) -> Iterator[bytes]:
    """The lines of `data`, each with the newline that ends it."""
    parts = data.split(b"\n")
    yield from (part + b"\n" for part in parts[:-1])
    if parts[-1]:
        yield parts[-1]


def _skip_line(stream: BinaryIO, most: int | None = None) -> int:
    """Read to the end of the line, or over `most` bytes and some more; bytes read."""
    length = 0
    while (most is None or length < most) and (block := stream.readline(_BUFFER)):
        length += len(block)
        if block.endswith(b"\n"):
            break
    return length
