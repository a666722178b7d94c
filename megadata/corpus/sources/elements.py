"""Elements like ``<page>...</page>`` cut out of a stream without parsing it, each owned by the span of its first byte."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from megadata.runtime.entering import OnDamage, blocks_at, decoded_length
from megadata.runtime.units import Span

_TAIL = 64


@dataclass(frozen=True, slots=True)
class Chunk:
    """Decoded bytes that follow those of the chunk before."""

    data: bytes
    owned: bool = True
    """Whether elements that begin here belong to the span."""
    gap: bool = False
    """Whether bytes before these are missing."""
    missing: int = 0
    """How many, where that is known."""


@dataclass(frozen=True, slots=True)
class Element:
    """An element from its first to its last byte, or why it cannot be had."""

    offset: int
    """Where it begins, counted from the first chunk, with what is missing."""
    data: bytes = b""
    problem: str = ""
    detail: str = ""


def span_chunks(span: Span, on_damage: OnDamage) -> Iterator[Chunk]:
    """Decoded bytes from a span's start on, to the end of its file; those behind its stop are not owned."""
    reached = span.start
    stop = decoded_length(span.file) if span.stop == -1 else span.stop
    for position, block in blocks_at(span.file, span.start, on_damage):
        missing = position - reached
        reached = position + len(block)
        own = len(block) if stop is None else min(max(stop - position, 0), len(block))
        if own:
            yield Chunk(block[:own], True, missing > 0, missing)
            missing = 0
        if own < len(block):
            yield Chunk(block[own:], False, missing > 0, missing)


class Elements:
    """The elements that begin in the owned chunks.

    Parameters
    ----------
    opening : matches the first bytes of an element (at most 64); must not match inside one.
    closing : last bytes of an element.
    max_bytes : longer elements are passed over.
    """

    def __init__(self, chunks: Iterator[Chunk], opening: re.Pattern[bytes], closing: bytes, max_bytes: int) -> None:
        self._chunks, self._opening, self._closing, self._max = chunks, opening, closing, max_bytes
        self._buffer = bytearray()
        self._base = 0
        self._limit: int | None = None
        self._gap = False
        self._clear = 0  # no closing begins before it, so that what is searched once is not searched again

    def __iter__(self) -> Iterator[Element]:
        while True:
            found = self._opening.search(self._buffer)
            if found is None:
                self._drop(max(len(self._buffer) - _TAIL, 0))
                if (self._limit is not None and self._base >= self._limit) or not self._more():
                    return
                if self._gap:
                    self._close_gap()
                continue
            length = found.end() - found.start()
            self._drop(found.start())
            if self._limit is not None and self._base >= self._limit:
                return
            yield self._element(length)

    def _more(self) -> bool:
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        if self._limit is None and not chunk.owned:
            self._limit = self._base + len(self._buffer)
        if chunk.gap:
            self._gap = True
            self._before, self._missing = len(self._buffer), chunk.missing
        self._buffer += chunk.data
        return True

    def _drop(self, size: int) -> None:
        del self._buffer[:size]
        self._base += size

    def _close_gap(self) -> None:
        self._drop(self._before)
        self._base += self._missing
        self._gap = False

    def _element(self, scanned: int) -> Element:
        """The element that begins at the buffer's first byte; goes on behind it, or behind what is known to be broken."""
        offset = self._base
        while True:
            end = self._buffer.find(self._closing, max(scanned, self._clear - self._base))
            if end < 0:
                self._clear = self._base + max(len(self._buffer) - len(self._closing), 0)
            again = self._opening.search(self._buffer, scanned, end if end >= 0 else len(self._buffer))
            if again is not None:
                self._drop(again.start())
                return Element(offset, problem="truncated_record", detail="the next one begins before this one ends")
            if end >= 0:
                size = end + len(self._closing)
                data = bytes(self._buffer[:size])
                self._drop(size)
                if size > self._max:
                    return Element(offset, problem="record_too_large", detail=f"{size} bytes, limit {self._max}")
                return Element(offset, data)
            if len(self._buffer) > self._max:
                self._pass_over()
                return Element(offset, problem="record_too_large", detail=f"more than {self._max} bytes")
            scanned = max(scanned, len(self._buffer) - _TAIL)
            whole = self._more()
            if self._gap:
                self._close_gap()
                return Element(offset, problem="truncated_record", detail="damage inside it")
            if not whole:
                self._drop(len(self._buffer))
                return Element(offset, problem="truncated_record", detail="the file ends inside it")

    def _pass_over(self) -> None:
        """Read on to the end of an element that is too large, holding little of it."""
        while True:
            self._drop(max(len(self._buffer) - _TAIL, 0))
            if not self._more():
                self._drop(len(self._buffer))
                return
            if self._gap:
                self._close_gap()
                return
            end = self._buffer.find(self._closing)
            again = self._opening.search(self._buffer, 0, end if end >= 0 else len(self._buffer))
            if again is not None:
                self._drop(again.start())
                return
            if end >= 0:
                self._drop(end + len(self._closing))
                return
