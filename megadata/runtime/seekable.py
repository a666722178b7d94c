"""Zstandard files with a seek table (the "seekable format"), which can be entered at any frame.

A frame is read whole or not at all, so that damage costs the same bytes wherever reading begins.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import RawIOBase
from typing import Any, BinaryIO

import numpy as np
import zstandard
from numpy.typing import NDArray

from megadata.runtime.damage import DamagedStream

_TABLE_MAGIC = 0x8F92EAB1
_SKIPPABLE_MAGIC = 0x184D2A5E
_FOOTER = struct.Struct("<IBI")
_HEAD = struct.Struct("<II")
_MOST_DECODED = 64 << 20
"""Decoded bytes of the largest frame that is held whole; files with larger ones are read from their start."""
_MOST_OVERHEAD = 1 << 16
"""Stored bytes beyond the decoded ones that a frame may have."""


@dataclass(frozen=True, slots=True)
class SeekTable:
    """Where the frames of a seekable zstd file begin: stored and decoded offsets, both int64[F + 1]."""

    stored: NDArray[np.int64]
    decoded: NDArray[np.int64]

    def frame_at(self, position: int) -> int:
        """The frame that holds a decoded byte; the number of frames for what lies behind them."""
        return max(int(np.searchsorted(self.decoded, position, side="right")) - 1, 0)


def seek_table_bytes(sizes: list[tuple[int, int]]) -> bytes:
    """Seek table for frames of (stored, decoded) sizes, as one skippable frame."""
    entries = b"".join(struct.pack("<II", stored, decoded) for stored, decoded in sizes)
    footer = _FOOTER.pack(len(sizes), 0, _TABLE_MAGIC)
    return _HEAD.pack(_SKIPPABLE_MAGIC, len(entries) + len(footer)) + entries + footer


def read_seek_table(raw: BinaryIO, size: int) -> SeekTable | None:
    """The seek table at the end of a file of `size` bytes; None where there is none that fits the file."""
    if size < _HEAD.size + _FOOTER.size:
        return None
    raw.seek(size - _FOOTER.size)
    footer = raw.read(_FOOTER.size)
    count, _, magic = _FOOTER.unpack(footer) if len(footer) == _FOOTER.size else (0, 0, 0)
    length = _HEAD.size + 8 * count + _FOOTER.size
    if magic != _TABLE_MAGIC or length > size:
        return None
    raw.seek(size - length)
    table = raw.read(length)
    if len(table) < length or _HEAD.unpack_from(table) != (_SKIPPABLE_MAGIC, length - _HEAD.size):
        return None
    pairs = np.frombuffer(table, "<u4", 2 * count, _HEAD.size).reshape(-1, 2).astype(np.int64)
    stored, decoded = (np.concatenate([np.zeros(1, np.int64), np.cumsum(pairs[:, i])]) for i in (0, 1))
    plausible = (pairs[:, 1] <= _MOST_DECODED) & (pairs[:, 0] <= pairs[:, 1] + pairs[:, 1] // 128 + _MOST_OVERHEAD)
    return SeekTable(stored, decoded) if stored[-1] + length == size and plausible.all() else None


class SeekableFrames(RawIOBase):
    """The decoded bytes of a seekable file from frame `first` on.

    A frame that cannot be decoded, or to another size than the table tells, raises `DamagedStream`, which says where the next one
    begins.

    Parameters
    ----------
    raw : the stored bytes, able to seek.
    path : how the file is named in errors.
    """

    def __init__(self, raw: BinaryIO, table: SeekTable, first: int, path: str) -> None:
        self._raw, self._table, self._next, self._path = raw, table, first, path
        self._decoder = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        self._ready = memoryview(b"")
        raw.seek(int(table.stored[first]))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and self._next < self._table.stored.size - 1:
            self._ready = memoryview(self._frame(self._next))
            self._next += 1
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _frame(self, number: int) -> bytes:
        stored, decoded = (
            offsets[number : number + 2].tolist() for offsets in (self._table.stored, self._table.decoded)
        )
        size = decoded[1] - decoded[0]
        data = self._raw.read(stored[1] - stored[0])
        problem = ""
        try:
            said = zstandard.frame_content_size(data)
            if said not in (-1, size):
                problem = f"it says that it holds {said} bytes"
            elif size:
                content: bytes = self._decoder.decompress(data, max_output_size=size)
                if len(content) == size:
                    return content
                problem = f"it holds {len(content)} bytes"
        except zstandard.ZstdError as error:
            problem = str(error)
        if not size:
            return b""
        raise DamagedStream(
            f"{self._path}: expected a zstd frame of {size} bytes at {decoded[0]}, found damage ({problem}); it is left out: "
            "copy the file again if it is needed",
            *decoded,
        )

    def close(self) -> None:
        self._raw.close()
        super().close()
