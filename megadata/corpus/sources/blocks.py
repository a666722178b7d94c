"""Reading a stream block by block, so that what lies before damage is delivered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

BLOCK = 1 << 20


def read_block(stream: BinaryIO, size: int = BLOCK) -> bytes:
    """At most `size` bytes, as soon as there are any: a whole `read` would lose good bytes where damage follows them."""
    data: bytes = getattr(stream, "read1", stream.read)(size)
    return data


def blocks(stream: BinaryIO) -> Iterator[bytes]:
    """All bytes of a stream."""
    while block := read_block(stream):
        yield block
