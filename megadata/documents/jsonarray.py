"""JSON files that are no lines: an array of objects, or objects one after another over several lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import BinaryIO, ClassVar

import orjson

from megadata.documents.batch import DocBatch
from megadata.documents.fields import Rows
from megadata.documents.source import Problems, ReadOptions
from megadata.runtime.damage import DamagedStream
from megadata.runtime.streams import COMPRESSIONS, open_decoded
from megadata.runtime.units import InputFile, Span

_BLOCK = 1 << 20
_MARK = re.compile(rb'["{}\[\]]')
_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_ARRAY = re.compile(rb"\[\s*[{\]]")


class JsonArray:
    """Each object of a top-level array is a record, and so is each object outside of any; `fields.Rows` says what becomes of it.

    The file is scanned for the borders of objects, so memory holds one of them at a time, and a damaged one costs itself alone.
    """

    kind: ClassVar[str] = "json"
    default_source: ClassVar[str] = "text"
    version: ClassVar[str] = "1"
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


def _add(rows: Rows, element: Element, options: ReadOptions) -> None:
    if element.problem:
        rows.fail("bad_json", element.position, element.problem, element.data or b"")
    elif element.data is None:
        rows.fail("record_too_large", element.position, f"record longer than {options.max_record_bytes} bytes")
    else:
        try:
            record = orjson.loads(element.data)
        except orjson.JSONDecodeError as error:
            rows.fail("bad_json", element.position, str(error), element.data)
            return
        rows.add(element.position, record, element.data)


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

    def hold(self, data: bytes) -> None:
        """Keep bytes of the open element, as long as it is within the limit."""
        self.held_bytes += len(data)
        if self.held_bytes > self.limit:
            self.held.clear()
        else:
            self.held.append(data)

    def take(self) -> Element:
        """The open element, which ends here."""
        whole = b"".join(self.held) if self.held_bytes <= self.limit else None
        element = Element(self.open_at or 0, whole)
        self.open_at, self.held, self.held_bytes = None, [], 0
        return element


def elements(stream: BinaryIO, limit: int) -> Iterator[Element]:
    """Top-level objects of a JSON text, and those inside a top-level array, found by their brackets."""
    scan = _Scan(limit)
    base = 0
    while block := stream.read(_BLOCK):
        yield from _scan_block(scan, block, base)
        base += len(block)
    if scan.open_at is not None:
        data = b"".join(scan.held)[:500]
        yield Element(scan.open_at, data, "the file ends inside the record")


def _scan_block(scan: _Scan, block: bytes, base: int) -> Iterator[Element]:
    at, kept = scan.skip, 0  # bytes of the open element before `kept` are held
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
                scan.open_at, scan.open_depth, kept = base + at - 1, scan.depth, at - 1
            scan.depth += 1
        elif scan.depth == 0:
            yield Element(base + at - 1, mark, "a bracket that closes nothing")
        else:
            scan.depth -= 1
            if scan.open_at is not None and scan.depth == scan.open_depth:
                scan.hold(block[kept:at])
                yield scan.take()
    if scan.open_at is not None:
        scan.hold(block[kept:])
