"""JSON files that are no lines: an array of objects, or objects one after another over several lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO, ClassVar

import orjson

from megadata.documents import jsontext
from megadata.documents.batch import DocBatch
from megadata.documents.fields import Rows
from megadata.documents.source import Problems, ReadOptions
from megadata.runtime.damage import DamagedStream
from megadata.runtime.streams import COMPRESSIONS, open_decoded
from megadata.runtime.units import InputFile, Span

_BLOCK = 1 << 20
_MARK = re.compile(rb'["{}\[\]]')
_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_LONGEST_BEGIN = 200
_SPARE = 64 << 20
"""Bytes that may be scanned again in any file, however small it is."""
_ARRAY = re.compile(rb"\[\s*[{\]]")


class JsonArray:
    """Each object of a top-level array is a record, and so is each object outside of any; `fields.Rows` says what becomes of it.

    The file is scanned for the borders of objects, so memory holds one of them at a time. In a damaged one the brackets and
    quotes that follow mean something else: there the scan goes on where the next object begins as those before it do.
    """

    kind: ClassVar[str] = "json"
    default_source: ClassVar[str] = "text"
    version: ClassVar[str] = "2"
    suffixes: ClassVar[tuple[str, ...]] = ()
    ranges: ClassVar[bool] = False

    def sniff(self, head: bytes, name: str) -> bool:
        """An array that opens with an object; under a name that ends in ``.json`` also an object."""
        start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        path = PurePosixPath(name.lower())
        ending = PurePosixPath(path.stem).suffix if path.suffix in COMPRESSIONS else path.suffix
        return _ARRAY.match(start) is not None or (ending == ".json" and start.startswith(b"{"))

    def spans(self, file: InputFile, unit_bytes: int) -> list[Span]:
        """One: where an object begins follows from all that stands before it."""
        return [Span(file, 0, -1)]

    def read(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
        """Documents of all objects."""
        rows = Rows(span.file, options, problems)
        try:
            with open_decoded(span.file.path) as stream:
                for element in elements(stream, options.max_record_bytes):
                    _add(rows, element, options)
                    if rows.full:
                        yield rows.take()
        except DamagedStream as damage:
            problems.add("damaged_compression", span.file.name, str(damage).replace(span.file.path, span.file.name))
        if rows:
            yield rows.take()


@dataclass(slots=True)
class Element:
    """Bytes of one object or array, from `position` on; None where it is larger than the limit."""

    position: int
    data: bytes | None = None
    problem: str = ""
    record: Any = None
    depth: int = 0
    """Brackets around it."""
    before: bytes = b""
    """What stands between it and the element before it, where that is short."""

    def parse(self) -> bool:
        """Read the bytes; whether they are JSON."""
        assert self.data is not None
        try:
            self.record = jsontext.loads(self.data)
        except orjson.JSONDecodeError as error:
            self.problem = str(error)
        return not self.problem


def _add(rows: Rows, element: Element, options: ReadOptions) -> None:
    if element.problem:
        rows.fail("bad_json", element.position, element.problem, element.data or b"")
    elif element.data is None:
        rows.fail("record_too_large", element.position, f"record longer than {options.max_record_bytes} bytes")
    else:
        rows.add(element.position, element.record, element.data)


@dataclass(slots=True)
class _Scan:
    """Where the scan is: depth of brackets, whether inside a string, and the element that is open."""

    limit: int
    depth: int = 0
    in_string: bool = False
    in_array: bool = False
    skip: int = 0
    open_at: int | None = None
    open_depth: int = 0
    held: list[bytes] = field(default_factory=list)
    held_bytes: int = 0
    between: bytes = b""
    ended: bool = False
    """Whether `between` begins where an element has ended."""

    def pass_over(self, data: bytes) -> None:
        """Take note of bytes that are outside of elements."""
        self.between = (self.between + data)[:_LONGEST_BEGIN] if self.ended else b""
        self.ended = self.ended and len(self.between) < _LONGEST_BEGIN

    def hold(self, data: bytes) -> None:
        """Keep bytes of the open element, up to those with which it outgrows the limit."""
        if self.held_bytes <= self.limit:
            self.held.append(data)
        self.held_bytes += len(data)

    def never_closed(self, ended: bool) -> Element | None:
        """The element that is open where the file has ended, or when it has just outgrown the limit."""
        if self.open_at is None or not (ended or (self.held and self.held_bytes > self.limit)):
            return None
        problem = "the file ends inside the record" if ended else "another record begins before this one ends"
        element = Element(self.open_at, b"".join(self.held), problem, depth=self.open_depth)
        self.held.clear()
        return element

    def restart(self, depth: int) -> None:
        """Begin anew, outside of any element."""
        self.depth, self.in_string, self.skip = depth, False, 0
        self.open_at, self.held, self.held_bytes = None, [], 0
        self.between, self.ended = b"", False

    def take(self) -> Element:
        """The open element, which ends here."""
        whole = b"".join(self.held) if self.held_bytes <= self.limit else None
        element = Element(self.open_at or 0, whole, depth=self.open_depth, before=self.between)
        self.between, self.ended = b"", True
        self.open_at, self.held, self.held_bytes = None, [], 0
        return element


@dataclass(slots=True)
class _Shape:
    """How the elements of a file begin, and what stands between them: so the one after a damaged one is found."""

    between: bytes = b""
    begin: bytes = b""

    def learn(self, data: bytes, before: bytes) -> None:
        """Note an element that was read, and what stands before it where that is known."""
        self.begin = _begin(data) or self.begin
        self.between = before or self.between

    def next_in(self, data: bytes, closed: bool) -> int:
        """Where in the bytes of a damaged element another one begins; 0 where none is seen.

        It looks like those before, or like the damaged one itself. Where no element was read yet, and the brackets of the damaged
        one are not those of one that is whole, any object will do.
        """
        if self.between:
            found = data.find(self.between + self.begin, 1)
            return found + len(self.between) if found > 0 else 0
        looks = [re.escape(begin) for begin in (self.begin or _begin(data),) if begin]
        if not self.begin and not (closed and data[:1] + data[-1:] in (b"{}", b"[]")):
            looks.append(rb'\{\s*"')
        for look in looks:
            match = re.compile(rb"[,\s]\s*(?=" + look + rb")").search(data, 1)
            if match is not None:
                return match.end()
        return 0


def _begin(data: bytes) -> bytes:
    """The first key of an object, from its bracket to the colon."""
    return data[: data.find(b":", 0, _LONGEST_BEGIN) + 1]


def elements(stream: BinaryIO, limit: int) -> Iterator[Element]:
    """Top-level objects of a JSON text, and those inside a top-level array, found by their brackets, each read or with a problem.

    Bytes behind damage are scanned again, in all at most about as many as the file has.
    """
    scan, shape = _Scan(limit), _Shape()
    block, base, spare, ended = b"", 0, _SPARE, False
    while block or not ended:
        if not block:
            block = stream.read(_BLOCK)
            spare += len(block)
            ended = not block
        damaged, closed = None, False
        for element in _scan_block(scan, block, base):
            if element.data is not None and not element.problem and not element.parse():
                damaged, closed = element, True
                break
            if element.record is not None:
                shape.learn(element.data or b"", element.before)
            yield element
        damaged = damaged or scan.never_closed(ended)
        if damaged is None or damaged.data is None:
            block, base = b"", base + len(block)
            continue
        data, end = damaged.data, damaged.position + len(damaged.data)
        at = shape.next_in(data, closed) if data and len(data) <= spare else 0
        if at or closed or ended:
            damaged.data = data[:at] if at else data
            yield damaged
        if at:
            spare -= len(data)
        if at or closed:
            scan.restart(damaged.depth)
            block, base = data[at or len(data) :] + block[end - base :], damaged.position + (at or len(data))
        else:
            block, base = b"", base + len(block)


def _scan_block(scan: _Scan, block: bytes, base: int) -> Iterator[Element]:
    at, kept = scan.skip, 0  # what stands before `kept` is held, or passed over
    scan.skip = 0
    while at < len(block):
        if scan.in_string:
            match = _STRING.match(block, at)
            at = match.end() if match is not None else at
            if at == len(block):
                break
            if block[at] == 0x5C:  # a backslash that ends the block: the byte after it opens the next
                scan.skip = 1
                break
            scan.in_string = False
            at += 1
            continue
        match = _MARK.search(block, at)
        if match is None:
            break
        mark, at = match[0], match.end()
        if mark == b'"':
            scan.in_string = True
        elif mark in b"{[":
            if scan.open_at is None and mark == b"[" and scan.depth == 0:
                scan.in_array = True
            elif scan.open_at is None:
                scan.pass_over(block[kept : at - 1])
                scan.open_at, scan.open_depth, kept = base + at - 1, scan.depth, at - 1
            scan.depth += 1
        elif scan.depth == 0:
            yield Element(base + at - 1, mark, "a bracket that closes nothing")
        else:
            scan.depth -= 1
            if scan.open_at is not None and scan.depth == scan.open_depth:
                scan.hold(block[kept:at])
                kept = at
                yield scan.take()
    if scan.open_at is not None:
        scan.hold(block[kept:])
    else:
        scan.pass_over(block[kept:])
