"""Compressed files made of members: gzip members, zstd frames, bzip2 streams, each of which can be decoded alone.

WARC files compress each record by itself and multistream dumps each hundred pages, so such a file can be entered at any member.
A member belongs to the span that holds its first stored byte. Where a span begins, the next member is found by its magic bytes
and by trial; within a span members follow each other without search. What is damaged is told to the caller, who goes on with the
next member: the same bytes give the same members whatever the spans.
"""

from __future__ import annotations

import bz2
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import zstandard
from zlib_ng import zlib_ng

from megadata.runtime.streams import is_bomb

_WINDOW = 1 << 20
_TRIAL_BYTES = 1 << 18
_STORED_BYTES = 1 << 17
"""Most bytes in a row that gzip and zstd store as they are."""
_BACK = (1 << 22, 1 << 26)
"""How far before a span its first member is looked for, where what is found first is in doubt."""
_OPENING = 20
"""Decoded bytes that tell whether a member opens as it should."""
_MOST_OUTPUT = 1 << 20
_LOOK_FROM = 1 << 30
_MOST_DICTIONARY = 32 << 20
_ZLIB_ERROR: type[Exception] = vars(zlib_ng)["error"]  # its stub says it is an instance
_DAMAGE = (_ZLIB_ERROR, OSError, EOFError, ValueError, zstandard.ZstdError)


@dataclass(frozen=True, slots=True)
class Codec:
    """How the members of one compression are found and decoded."""

    name: str
    magic: re.Pattern[bytes]
    """Matches the first bytes of a member."""
    decoder: Callable[[], Any]
    """A fresh decoder for one member, with ``decompress``, ``eof`` and ``unused_data``."""
    block: int
    """Stored bytes given to the decoder at once: bounds what a bomb can unfold into."""
    bounded: bool
    """Whether ``decompress`` takes a largest size of output."""
    stores: bool
    """Whether it stores what it cannot make smaller, so that members can lie inside members."""


GZIP = Codec("gzip", re.compile(rb"\x1f\x8b\x08"), lambda: zlib_ng.decompressobj(31), 1 << 15, True, True)
BZIP2 = Codec("bzip2", re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), bz2.BZ2Decompressor, 1 << 16, True, False)
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)


def zstd(dictionary: bytes | None = None) -> Codec:
    """Codec of zstd frames, with the dictionary that a file may bring."""
    shared = zstandard.ZstdCompressionDict(dictionary) if dictionary else None

    def decoder() -> Any:
        return zstandard.ZstdDecompressor(dict_data=shared, max_window_size=1 << 27).decompressobj()

    return Codec("zstd", re.compile(rb"\x28\xb5\x2f\xfd"), decoder, 1 << 10, False, True)


def zstd_dictionary(raw: BinaryIO) -> bytes | None:
    """Dictionary in the first frame of a ``.warc.zst`` file (IIPC, "Zstandard for WARC"), or None; bombs are none."""
    head = raw.read(8)
    if head[:4] != b"\x5d\x2a\x4d\x18":
        return None
    size = int.from_bytes(head[4:8], "little")
    content = raw.read(size) if size <= _MOST_DICTIONARY else b""
    if content.startswith(b"\x28\xb5\x2f\xfd"):
        try:
            with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(content) as reader:
                content = reader.read(_MOST_DICTIONARY + 1)
        except zstandard.ZstdError:
            return None
    return content if 0 < len(content) <= _MOST_DICTIONARY else None


@dataclass(frozen=True, slots=True)
class Piece:
    """Some decoded bytes of a member."""

    position: int
    """First stored byte of the member in its file."""
    data: bytes
    last: bool = False
    damaged: bool = False
    """Whether the member's further bytes could not be decoded; set in the last piece."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """A member whose first `fed` stored bytes have been decoded to `data`."""

    decoder: Any
    data: bytes
    fed: int


class Members:
    """The members of a file, from its stored bytes.

    Parameters
    ----------
    raw : stored bytes, positioned anywhere; it must be able to seek.
    begins : whether decoded bytes (some first ones) can open a member of this kind of file; None where the magic is proof enough.
    on_damage : called with the stored position and what is wrong, for damage that belongs to the span.
    """

    def __init__(
        self,
        raw: BinaryIO,
        codec: Codec,
        begins: Callable[[bytes], bool] | None,
        on_damage: Callable[[int, str], None],
    ) -> None:
        self._raw, self._codec, self._begins, self._on_damage = raw, codec, begins, on_damage
        self._base = 0
        self._buffer = b""
        self._reaches_end = False
        self._stop = 0
        self._decoded = 0

    def read(self, start: int, stop: int, beyond: bool = False) -> Iterator[Piece]:
        """Decoded pieces of all members that begin in [start, stop); with `beyond`, go on after `stop` to the end.

        Bytes between members that are none belong to the member before them.
        """
        self._stop = stop
        self._decoded = 0
        limit = None if beyond else stop
        if start > 0:
            position, begun = self._enter(start, limit), None
        else:
            position = self._after_padding(0)
            begun = None if position is None else self._begin(position)
            if position is not None and begun is None and not self._is_member(position):
                self._report(0, 0, f"no {self._codec.name} member begins here")
                position = self._find(position, limit)
        while position is not None and (beyond or position < stop):
            end = None
            for piece_end, piece in self._decode(position, begun):
                yield piece
                end = piece_end
                self._decoded += len(piece.data)
                stored = max(position - start, 0) + self._codec.block
                if self._decoded > _LOOK_FROM and is_bomb(self._decoded, stored):
                    self._report(position, position, f"a bomb: {self._decoded} bytes came of about {stored}")
                    yield Piece(position, b"", last=True, damaged=True)
                    return
            begun = None
            if end is None:
                position = self._find(position + 1, limit)
                continue
            following = self._after_padding(end)
            if following is not None:
                begun = self._begin(following)
                if begun is None and not self._is_member(following):
                    self._report(position, following, f"bytes that are no {self._codec.name} member")
                    following = self._find(following, limit)
            position = following

    def _report(self, owner: int, at: int, detail: str) -> None:
        if owner < self._stop:
            self._on_damage(at, detail)

    def _at(self, position: int, size: int) -> bytes:
        """Stored bytes [position, position + size), fewer at the end of the file."""
        begin = position - self._base
        held = 0 <= begin <= len(self._buffer)
        if not held or (begin + size > len(self._buffer) and not self._reaches_end):
            self._raw.seek(position)
            self._base, begin = position, 0
            wanted = max(size, _WINDOW)
            self._buffer = self._raw.read(wanted)
            self._reaches_end = len(self._buffer) < wanted
        return self._buffer[begin : begin + size]

    def _begin(self, position: int) -> _Begun | None:
        """The member at `position` with its first block decoded; None where only a closer look can tell whether there is one."""
        block = self._at(position, self._codec.block)
        if self._codec.magic.match(block) is None:
            return None
        decoder = self._codec.decoder()
        try:
            data = decoder.decompress(block, _MOST_OUTPUT) if self._codec.bounded else decoder.decompress(block)
        except _DAMAGE:
            return None
        return _Begun(decoder, data, len(block)) if self._begins is None or self._begins(data) else None

    def _is_member(self, position: int) -> bool:
        if self._codec.magic.match(self._at(position, 16)) is None:
            return False
        if self._begins is None:
            return True
        decoder, fed, decoded = self._codec.decoder(), 0, b""
        try:
            while fed < _TRIAL_BYTES and (
                block := self._at(position + fed, min(max(fed, 512), max(self._codec.block, 512)))
            ):
                fed += len(block)
                decoded += decoder.decompress(block, 64) if self._codec.bounded else decoder.decompress(block)
                if len(decoded) >= _OPENING or decoder.eof:
                    break
        except _DAMAGE:
            return False
        return self._begins(decoded)  # where the file ends early, on what there is, as `_begin` does

    def _find(self, position: int, stop: int | None) -> int | None:
        """First member at or after `position` and before `stop`."""
        while stop is None or position < stop:
            window = self._at(position, _WINDOW)
            for match in self._codec.magic.finditer(window):
                at = position + match.start()
                if stop is not None and at >= stop:
                    return None
                if self._is_member(at):
                    return at
            if len(window) < _WINDOW:
                return None
            position += len(window) - 16
        return None

    def _enter(self, start: int, stop: int | None) -> int | None:
        """First member at or after `start`, and before `stop`, of those that follow one another through the file.

        What compression cannot make smaller it stores as it is, so that the content of a member may hold whole members (of an
        archive inside the archive). These end where the block does that holds them, after at most `_STORED_BYTES`; where members
        stop following one another so soon, we begin further back.
        """
        position = start if self._is_member(start) else self._find(start, stop)
        if position is None or not self._codec.stores or self._holds(position):
            return position
        for back in _BACK:
            before = max(start - back, 0)
            known = self._after_padding(0) if before == 0 else before
            if known is not None and not self._is_member(known):
                known = self._find(known, None)
            if known is not None and known < start and (before == 0 or self._holds(known)):
                while known is not None and known < start:
                    known = self._following(known)
                return known if known is not None and (stop is None or known < stop) else None
            if before == 0:
                break
        return position

    def _holds(self, position: int) -> bool:
        """Whether whole members follow one another from here on, for longer than a stored block can hold them."""
        at: int | None = position
        while at is not None and at - position <= _STORED_BYTES:
            end = self._end(at)
            if end is None:
                return False
            at = self._after_padding(end)
            if at is not None and not self._is_member(at):
                return False
        return True

    def _following(self, position: int) -> int | None:
        """The member after this one, as `read` goes on."""
        end = self._end(position)
        if end is None:
            return self._find(position + 1, None)
        following = self._after_padding(end)
        return following if following is None or self._is_member(following) else self._find(following, None)

    def _end(self, position: int) -> int | None:
        """Where a member ends; None where it is damaged."""
        stop, self._stop = self._stop, position  # nothing is reported
        try:
            end = None
            for piece_end, _ in self._decode(position, None):
                end = piece_end
            return end
        finally:
            self._stop = stop

    def _after_padding(self, end: int) -> int | None:
        """Where the next member should begin: after zeros and skippable frames; None at the end of the file."""
        while head := self._at(end, 8):
            if _SKIPPABLE.match(head) and len(head) == 8:
                end += 8 + int.from_bytes(head[4:8], "little")
            elif head[0] == 0:
                block = self._at(end, _WINDOW)
                end += len(block) - len(block.lstrip(b"\0"))
            else:
                return end
        return None

    def _decode(self, position: int, begun: _Begun | None) -> Iterator[tuple[int | None, Piece]]:
        """Pieces of one member; the last comes with the position behind the member, or with None where it is damaged."""
        begun = begun or _Begun(self._codec.decoder(), b"", 0)
        decoder, at = begun.decoder, position + begun.fed
        if decoder.eof:
            yield at - len(decoder.unused_data), Piece(position, begun.data, last=True)
            return
        try:
            if begun.fed:
                yield None, Piece(position, begun.data)
                for more in self._rest(decoder, begun.data):
                    yield None, Piece(position, more)
            while not decoder.eof:
                block = self._at(at, self._codec.block)
                if not block:
                    raise EOFError("the file ends inside it")
                at += len(block)
                data = decoder.decompress(block, _MOST_OUTPUT) if self._codec.bounded else decoder.decompress(block)
                yield None, Piece(position, data)
                for more in self._rest(decoder, data):
                    yield None, Piece(position, more)
        except _DAMAGE as error:
            self._report(position, position, f"damaged {self._codec.name} member: {error}")
            yield None, Piece(position, b"", last=True, damaged=True)
            return
        yield at - len(decoder.unused_data), Piece(position, b"", last=True)

    def _rest(self, decoder: Any, data: bytes) -> Iterator[bytes]:
        """What a block holds beyond the first piece of its output."""
        while self._codec.bounded and not decoder.eof:
            rest = getattr(decoder, "unconsumed_tail", b"")
            if not rest and getattr(decoder, "needs_input", True) and len(data) < _MOST_OUTPUT:
                return
            data = decoder.decompress(rest, _MOST_OUTPUT)
            if not data:
                return
            yield data
