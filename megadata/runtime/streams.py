"""Byte streams: decoding by file ending, entering a file at an offset, and lines that belong to a span.

Plain files and zstd files with a seek table (which megadata writes) can be entered anywhere; other compressed files are read
from the start.
"""

from __future__ import annotations

import bz2
import lzma
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import zstandard
from numpy.typing import NDArray

from megadata.errors import CorpusError
from megadata.runtime.gzipstream import GZIP_ERROR, GzipMembers
from megadata.runtime.remote import open_url, seen, stat
from megadata.runtime.units import InputFile, Span

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bzip2", ".xz": "xz"}
COMPRESSIONS |= {".tgz": "gzip", ".tbz2": "bzip2", ".txz": "xz"}
MAGIC = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd", ".bz2": b"BZh", ".xz": b"\xfd7zXZ\x00"}
"""First bytes of files of each ending."""
_SEEK_TABLE_MAGIC = 0x8F92EAB1
_SKIPPABLE_MAGIC = 0x184D2A5E
_BUFFER = 1 << 20
_ZSTD_STEP = 1024
"""Stored bytes decoded at once: a zstd block of 4 bytes can stand for 128 KiB."""
_XZ_MEMORY = 256 << 20
_EXPANSION, _EXPANSION_FROM = 10_000, 1 << 30


def is_bomb(decoded: int, stored: int) -> bool:
    """Whether so much came of so little that a file can only be made to keep its reader busy: ten thousandfold, from 1 GiB on."""
    return decoded > _EXPANSION_FROM + _EXPANSION * stored


class DamagedStream(CorpusError):
    """A compressed file that ends early or is corrupt; the bytes before the damage were delivered."""


def is_url(path: str) -> bool:
    """Whether `path` is for fsspec (``s3://...``) rather than the local file system."""
    return "://" in path


def open_raw(path: str, buffer: int = -1) -> BinaryIO:
    """Open the stored bytes of a local file or URL; `buffer` bytes of a local file are read at once."""
    if is_url(path):
        return open_url(path)
    try:
        return open(path, "rb", buffer)
    except OSError as error:
        raise CorpusError(
            f"{path}: cannot be read: {error.strerror or error}; check the path and its permissions"
        ) from error


def compression_of(path: str) -> str | None:
    """Name of the compression that the file's ending tells, or None for plain files."""
    return COMPRESSIONS.get(os.path.splitext(plain_path(path))[1].lower())  # noqa: PTH122


def plain_path(path: str) -> str:
    """A path or URL without what follows the path of a web address (``?token=...``)."""
    return path if not path.startswith(("http://", "https://")) else path.partition("#")[0].partition("?")[0]


def can_be_entered(path: str) -> bool:
    """Whether the stored bytes can be read from any position: not so behind web servers that give no ranges."""
    return not is_url(path) or seen(path).ranged


class _Decoding(RawIOBase):
    """Turns the decoders' exceptions into `DamagedStream`."""

    def __init__(self, raw: BinaryIO, path: str, compression: str) -> None:
        self._raw, self._inner = raw, _OPENERS[compression](raw)
        self._path, self._compression = path, compression
        self._delivered = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._inner.read1(
                len(buffer)
            )  # at most one step of the decoder, so that damage costs nothing before it
        except (
            EOFError,
            GZIP_ERROR,
            lzma.LZMAError,
            zstandard.ZstdError,
            OSError,
            ValueError,
        ) as error:
            raise DamagedStream(
                f"{self._path}: expected a whole {self._compression} stream, found damage after {self._delivered} decoded bytes "
                f"({error}); copy the file again if more is needed"
            ) from error
        buffer[: len(data)] = data
        self._delivered += len(data)
        if self._delivered > _EXPANSION_FROM and is_bomb(self._delivered, self._raw.tell()):
            raise DamagedStream(
                f"{self._path}: expected a {self._compression} stream of text, found a bomb: {self._delivered} bytes came of "
                f"{self._raw.tell()}; delete the file, or unpack it by hand"
            )
        return len(data)

    def close(self) -> None:
        self._inner.close()
        self._raw.close()
        super().close()


class ZstdFrames(RawIOBase):
    """All frames of a zstd file, one after another; a stream that ends inside a frame is damage, not the end."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._left = memoryview(b"")
        self._decoder: Any = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            block = self._left[:_ZSTD_STEP]
            if block:
                self._left = self._left[_ZSTD_STEP:]
            elif stored := self._raw.read(_BUFFER):
                self._left = memoryview(stored)
                continue
            else:
                if self._decoder is not None:
                    raise EOFError("the last frame is not complete")
                return 0
            if self._decoder is None:
                self._decoder = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
            self._ready = memoryview(self._decoder.decompress(block))
            if self._decoder.eof:
                if unused := self._decoder.unused_data:
                    self._left = memoryview(unused + bytes(self._left))
                self._decoder = None
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class XzStreams(RawIOBase):
    """All streams of an xz file; one that asks for more than `_XZ_MEMORY` is refused (``xz -9`` asks for 65 MiB)."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._decoder: lzma.LZMADecompressor | None = None
        self._left = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            if self._decoder is None or self._decoder.needs_input:
                block = self._left or self._raw.read(_BUFFER)
                self._left = b""
                if self._decoder is None:
                    if block and not (block := block.lstrip(b"\0")):
                        continue
                    if not block:
                        return 0
                    self._decoder = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
                elif not block:
                    raise EOFError("the last stream is not complete")
            else:
                block = b""
            self._ready = memoryview(self._decoder.decompress(block, _BUFFER))
            if self._decoder.eof:
                self._left = self._decoder.unused_data
                self._decoder = None
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


_OPENERS: dict[str, Callable[[BinaryIO], Any]] = {
    "gzip": lambda raw: BufferedReader(GzipMembers(raw), _BUFFER),
    "bzip2": bz2.BZ2File,
    "xz": lambda raw: BufferedReader(XzStreams(raw), _BUFFER),
    "zstd": lambda raw: BufferedReader(ZstdFrames(raw), _BUFFER),
}


def decode(raw: BinaryIO, path: str) -> BinaryIO:
    """Decoded stream over stored bytes; `path` tells the compression and names the file in errors."""
    compression = compression_of(path)
    if compression is None:
        return raw
    return cast("BinaryIO", BufferedReader(_Decoding(raw, path, compression), _BUFFER))


def open_decoded(path: str) -> BinaryIO:
    """Decoded stream over a whole file or URL."""
    return decode(open_raw(path), path)


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


@dataclass(frozen=True, slots=True)
class SeekTable:
    """Where the frames of a seekable zstd file begin: stored and decoded offsets, both int64[F + 1]."""

    stored: NDArray[np.int64]
    decoded: NDArray[np.int64]


def seek_table_bytes(sizes: list[tuple[int, int]]) -> bytes:
    """Seek table (Zstandard seekable format) for frames of (stored, decoded) sizes, as one skippable frame."""
    entries = b"".join(struct.pack("<II", stored, decoded) for stored, decoded in sizes)
    footer = struct.pack("<IBI", len(sizes), 0, _SEEK_TABLE_MAGIC)
    return struct.pack("<II", _SKIPPABLE_MAGIC, len(entries) + len(footer)) + entries + footer


@lru_cache(maxsize=64)
def _read_seek_table(path: str, size: int, mtime_ns: int) -> SeekTable | None:
    if size < 17:
        return None
    with open_raw(path) as file:
        file.seek(size - 9)
        count, _, magic = struct.unpack("<IBI", file.read(9))
        length = 8 * count + 9
        if magic != _SEEK_TABLE_MAGIC or length + 8 > size:
            return None
        file.seek(size - length)
        pairs = np.frombuffer(file.read(8 * count), "<u4").reshape(-1, 2).astype(np.int64)
    stored, decoded = (np.concatenate([np.zeros(1, np.int64), np.cumsum(pairs[:, i])]) for i in (0, 1))
    return SeekTable(stored, decoded) if stored[-1] + length + 8 == size else None


def seek_table(file: InputFile) -> SeekTable | None:
    """The seek table of a zstd file, or None where it has none."""
    if file.unpacked is not None:
        return _read_seek_table(file.unpacked.path, file.unpacked.size, 0)
    if compression_of(file.path) != "zstd" or not can_be_entered(file.path):
        return None
    return _read_seek_table(file.path, file.size, file.mtime_ns)


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
        stream = decode(raw, path)
        skipped = 0
    else:
        frame = max(int(np.searchsorted(table.decoded, start, side="right")) - 1, 0)
        raw.seek(int(table.stored[frame]))
        stream = decode(raw, path)
        skipped = int(table.decoded[frame])
    while skipped < start:
        block = stream.read(min(_BUFFER, start - skipped))
        if not block:
            break
        skipped += len(block)
    if file.unpacked is not None and file.unpacked.damage:
        return cast("BinaryIO", BufferedReader(_Ending(stream, file.unpacked.damage), _BUFFER))
    return stream


def lines(span: Span, max_bytes: int) -> Iterator[tuple[int, bytes | None]]:
    """Lines whose first byte lies in the span, as (decoded position, bytes without the line end).

    A line longer than `max_bytes` is given as None, and read over without being held in memory.

    Raises
    ------
    DamagedStream
        After the good lines, where the compressed file ends early or is corrupt.
    """
    start = span.start
    with open_at(span.file, max(start - 1, 0)) as stream:
        position = max(start - 1, 0)
        if start > 0:
            position += _skip_line(stream, None if span.stop == -1 else span.stop - position)
        while span.stop == -1 or position < span.stop:
            line = stream.readline(max_bytes + 1)
            if not line:
                return
            length = len(line)
            if length > max_bytes and not line.endswith(b"\n"):
                length += _skip_line(stream)
                yield position, None
            else:
                yield position, line.rstrip(b"\r\n")
            position += length


def _skip_line(stream: BinaryIO, most: int | None = None) -> int:
    """Read to the end of the line, or over `most` bytes and some more; bytes read."""
    length = 0
    while (most is None or length < most) and (block := stream.readline(_BUFFER)):
        length += len(block)
        if block.endswith(b"\n"):
            break
    return length


def local_size(path: str) -> tuple[int, int]:
    """(size, mtime_ns) of a local file; of a URL its size (0 where the server does not say) and a number for its identity."""
    if is_url(path):
        told = stat(path)
        return told.size or 0, told.stamp
    status = Path(path).stat()
    return status.st_size, status.st_mtime_ns
