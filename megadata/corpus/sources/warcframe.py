"""Where records of web archives begin and end inside a decoded stream, also where lengths lie or bytes are missing."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from megadata.runtime.streams import blocks

HEADER_BYTES = 1 << 16
"""Longest header of a record."""
_LENGTH = re.compile(rb"\nContent-Length:[ \t]*(\d{1,15})[ \t]*\r?\n", re.IGNORECASE)
_TYPE = re.compile(rb"\nWARC-Type:[ \t]*([^\r\n]*)", re.IGNORECASE)
_BLANK = re.compile(rb"\r?\n\r?\n")
_VERSION = re.compile(rb"WARC/\d\.\d+\r?\n")
_NEXT = re.compile(rb"\n(?=WARC/\d\.\d+\r?\n)(?:(?<=\n\n)|(?<=\n\r\n))")
_AHEAD = 16


@dataclass(frozen=True, slots=True)
class Framed:
    """A record, or what stands where one should be."""

    offset: int
    """Where it begins in the decoded stream."""
    data: bytes = b""
    """Header and content, and what line ends follow; empty for a problem."""
    content: int = 0
    """Where the content begins in `data`."""
    stop: int = 0
    """Where the content ends in `data`."""
    problem: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a record of one kind of archive looks like."""

    opens: Callable[[bytes], bool]
    """Whether some first bytes (or all that are left) begin a record."""
    header: Callable[[bytes | bytearray, int], tuple[int, int] | str]
    """(bytes of the header, bytes of the content) of the record at a position, or what is wrong with it."""
    next: re.Pattern[bytes]
    """Ends where a record might begin, wherever in a stream."""


def opens_record(data: bytes) -> bool:
    """Whether decoded bytes (a few first ones) begin a WARC record."""
    return data.startswith(b"WARC/")


def record_type(record: Framed) -> str:
    """What kind of record it says it is: ``response``, ``request``, ..."""
    found = _TYPE.search(record.data, 0, record.content)
    return found[1].decode("utf-8", "replace").strip().lower() if found is not None else ""


def one_record(data: bytes, max_bytes: int, grammar: Grammar) -> Framed | None:
    """The record that `data` is, with the line ends behind it; None where `Framing` must look closer."""
    header = grammar.header(data, 0)
    if isinstance(header, str) or header[1] > max_bytes:
        return None
    start, stop = header[0], sum(header)
    if stop > len(data) or data[stop:].strip(b"\r\n"):
        return None
    return Framed(0, data, start, stop)


class Framing:
    """Records of one decoded stream that begins at a record.

    Parameters
    ----------
    chunks : the decoded bytes.
    max_bytes : records longer than this are passed over.
    grammar : what a record looks like.
    left : bytes that the stream holds, where known; longer lengths are seen to be wrong at once.
    """

    def __init__(self, chunks: Iterator[bytes], max_bytes: int, grammar: Grammar, left: int | None = None) -> None:
        self._chunks, self._max, self._grammar, self._left = chunks, max_bytes, grammar, left
        self._buffer = bytearray()
        self.offset = 0

    def __iter__(self) -> Iterator[Framed]:
        while True:
            self._skip_line_ends()
            if not self._buffer:
                return
            header = self._header()
            if isinstance(header, str):
                yield Framed(self.offset, problem="bad_warc_record", detail=header)
                self.seek(1)
                continue
            start, length = header
            total = start + length
            if self._left is not None and self.offset + total > self._left:
                yield Framed(self.offset, problem="truncated_record", detail=f"Content-Length {length} passes the end")
                self.seek(start)
            elif length > self._max:
                yield Framed(self.offset, problem="record_too_large", detail=f"{length} bytes, limit {self._max}")
                self.seek(start)  # not so many bytes on: a length that lies would take good records with it
            elif not self._fill(total):
                found = len(self._buffer) - start
                yield Framed(self.offset, problem="truncated_record", detail=f"Content-Length {length}, found {found}")
                self.seek(start)
            elif not self._ends_at(total):
                detail = f"Content-Length {length} does not lead to a record's end"
                yield Framed(self.offset, problem="wrong_length", detail=detail)
                self.seek(start)
            else:
                with memoryview(self._buffer) as held:
                    data = bytes(held[:total])
                yield Framed(self.offset, data, start, total)
                self._drop(total)

    def _fill(self, size: int) -> bool:
        """Hold at least `size` bytes; False where the stream ends before."""
        while len(self._buffer) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._buffer += chunk
        return True

    def _drop(self, size: int) -> None:
        while size > len(self._buffer):
            size -= len(self._buffer)
            self.offset += len(self._buffer)
            self._buffer.clear()
            if not self._fill(1):
                return
        del self._buffer[:size]
        self.offset += size

    def _skip_line_ends(self) -> None:
        while self._fill(1):
            count = len(self._buffer) - len(self._buffer.lstrip(b"\r\n"))
            self._drop(count)
            if self._buffer:
                return

    def _header(self) -> tuple[int, int] | str:
        """(bytes of the header, Content-Length), or what is wrong with it."""
        size = 1 << 12
        while True:
            whole = self._fill(size)
            header = self._grammar.header(self._buffer, 0)
            if not isinstance(header, str) or not whole or size >= HEADER_BYTES:
                return header
            size *= 2

    def at_record(self) -> bool:
        """Whether a record begins right here."""
        return not isinstance(self._header(), str)

    def _ends_at(self, total: int) -> bool:
        """Whether a record may end here: nothing but line ends up to the next record or the end of the stream."""
        ahead = _AHEAD
        while True:
            more = self._fill(total + ahead)
            rest = bytes(self._buffer[total : total + ahead]).lstrip(b"\r\n")
            if rest and (len(rest) >= _AHEAD or not more):
                return self._grammar.opens(rest)
            if not rest and not more:
                return True
            ahead *= 2

    def seek(self, skip: int) -> bool:
        """Go to the next whole header at least `skip` bytes on, or to the end; whether there is one."""
        self._drop(max(skip - 4, 0))
        at = 0
        while True:
            found = self._grammar.next.search(self._buffer, at)
            if found is not None:
                at = found.end()  # a pattern may match nothing but a place
                self._fill(at + HEADER_BYTES)
                if not isinstance(self._grammar.header(self._buffer, at), str):
                    self._drop(at)
                    return True
                at += 1
                continue
            self._drop(max(len(self._buffer) - 32, 0))
            at = 0
            if not self._fill(len(self._buffer) + 1):
                self._drop(len(self._buffer))
                return False


class RecordIndex:
    """Where the records of a plain file begin, found by going from header to header, as far as it has been asked.

    A record may hold a whole archive; whoever looks for the next header from the middle of the file would take that for records.
    """

    def __init__(self, open_file: Callable[[], BinaryIO], length: int, max_bytes: int, grammar: Grammar) -> None:
        self._open, self._length, self._max, self._grammar = open_file, length, max_bytes, grammar
        self._starts = array("q")
        self._next: int | None = 0

    def first(self, start: int, stop: int) -> int | None:
        """The first record in [start, stop), or None."""
        if self._next is not None and (not self._starts or self._starts[-1] < start):
            with self._open() as stream:
                while self._next is not None and (not self._starts or self._starts[-1] < start):
                    self._step(stream, self._next)
        at = bisect_left(self._starts, start)
        return self._starts[at] if at < len(self._starts) and self._starts[at] < stop else None

    def _step(self, stream: BinaryIO, at: int) -> None:
        """Note the record at `at`, and where to go on."""
        stream.seek(at)
        head = stream.read(HEADER_BYTES >> 4)
        skipped = len(head) - len(head.lstrip(b"\r\n"))
        if skipped == len(head):
            self._next = at + len(head) if head else None
            return
        header = self._grammar.header(head, skipped)
        if not isinstance(header, str):
            stop = at + skipped + sum(header)
            if stop <= self._length and header[1] <= self._max and self._opens_at(stream, stop):
                self._starts.append(at + skipped)
                self._next = stop
                return
        stream.seek(at + skipped)
        framing = iter(Framing(blocks(stream), self._max, self._grammar, self._length - at - skipped))
        here, after = next(framing, None), next(framing, None)
        if here is not None and here.problem != "bad_warc_record":
            self._starts.append(at + skipped)
        self._next = at + skipped + after.offset if after is not None else None

    def _opens_at(self, stream: BinaryIO, at: int) -> bool:
        stream.seek(at)
        rest = stream.read(4 * _AHEAD).lstrip(b"\r\n")
        return len(rest) >= _AHEAD and self._grammar.opens(rest[:_AHEAD])


def find_record(chunks: Iterator[bytes], start: int, stop: int, grammar: Grammar) -> int | None:
    """Offset of the first record header in [start, stop) of a stretch of decoded bytes.

    Parameters
    ----------
    chunks : the bytes, from some before `start` (line ends tell a record) to `HEADER_BYTES` behind `stop`.
    """
    framing = Framing(chunks, 0, grammar)
    found = framing.at_record() or framing.seek(0)
    while found and framing.offset < start:
        found = framing.seek(5)
    return framing.offset if found and framing.offset < stop else None


def _parse_header(buffer: bytes | bytearray, at: int) -> tuple[int, int] | str:
    """(bytes of the header, Content-Length) of the record at `at`, or what is wrong."""
    if not _VERSION.match(buffer, at):
        return f"expected WARC/1.0 or WARC/1.1, found {bytes(buffer[at : at + 20])!r}"
    blank = _BLANK.search(buffer, at, at + HEADER_BYTES)
    if blank is None:
        return "the header has no end"
    length = _LENGTH.search(buffer, at, blank.end())
    if length is None or _TYPE.search(buffer, at, blank.end()) is None:
        return "no WARC-Type" if length is not None else "no Content-Length"
    return blank.end() - at, int(length[1])


WARC = Grammar(opens_record, _parse_header, _NEXT)
