"""Byte streams: stored bytes of files and URLs, decoded as the file's ending tells."""

from __future__ import annotations

import bz2
import lzma
import os
from collections.abc import Callable, Iterator
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

import zstandard

from megadata.errors import CorpusError
from megadata.runtime.damage import DamagedStream
from megadata.runtime.gzipstream import GZIP_ERROR, GzipMembers
from megadata.runtime.remote import open_url, seen, stat

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bzip2", ".xz": "xz"}
COMPRESSIONS |= {".tgz": "gzip", ".tbz2": "bzip2", ".txz": "xz"}
MAGIC = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd", ".bz2": b"BZh", ".xz": b"\xfd7zXZ\x00"}
"""First bytes of files of each ending."""
_BUFFER = 1 << 20
_ZSTD_STEP = 1024
"""Stored bytes decoded at once: a zstd block of 4 bytes can stand for 128 KiB."""
_XZ_MEMORY = 256 << 20
_EXPANSION, _EXPANSION_FROM = 10_000, 1 << 30


def is_bomb(decoded: int, stored: int) -> bool:
    """Whether so much came of so little that a file can only be made to keep its reader busy: ten thousandfold, from 1 GiB on."""
    return decoded > _EXPANSION_FROM + _EXPANSION * stored


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


def read_block(stream: BinaryIO, size: int = _BUFFER) -> bytes:
    """At most `size` bytes, as soon as there are any: a whole `read` would lose good bytes where damage follows them."""
    data: bytes = getattr(stream, "read1", stream.read)(size)
    return data


def blocks(stream: BinaryIO) -> Iterator[bytes]:
    """All bytes of a stream."""
    while block := read_block(stream):
        yield block


def local_size(path: str) -> tuple[int, int]:
    """(size, mtime_ns) of a local file; of a URL its size (0 where the server does not say) and a number for its identity."""
    if is_url(path):
        told = stat(path)
        return told.size or 0, told.stamp
    status = Path(path).stat()
    return status.st_size, status.st_mtime_ns
