"""Inputs, spans and units: what one task reads.

An `InputFile` is one file as the user named it. A `Span` is a byte range of it; a record belongs to the span that holds its
first byte. A `Unit` is one or more spans of about `UNIT_BYTES`: small files share a unit, large files are cut into many.
Units follow from the input's bytes and the unit size alone, never from workers, memory or total size, so that whatever is
computed per unit is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

UNIT_BYTES = 8 << 20
"""Decoded bytes a unit holds, by default."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A decoded copy, as zstd frames with a seek table, of a file that can only be read from its start."""

    path: str
    size: int
    """Stored bytes of the copy."""
    length: int
    """Decoded bytes."""
    digest: str
    """SHA-256 of the original's stored bytes."""
    damage: str = ""
    """What ended the original early; empty where it is whole."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input file: where it lies, and how it is named in ids and receipts.

    `name` is the path relative to the input the user gave (``a/b.jsonl``), never absolute; `path` is a local path or an fsspec
    URL. `size` and `mtime_ns` are those of the stored file.
    """

    name: str
    path: str
    size: int
    mtime_ns: int
    kind: str
    source: str
    """Label of the documents' source: the name in `NAME=INPUT`, else the family."""
    family: str
    """What kind of text it is: web, books, wikipedia or text. Decides the rules, and that plain text is read as a book."""
    unpacked: Unpacked | None = None
    """The copy that is read instead, where one was made."""
    named: bool = True
    """Whether the user named the file itself: then a file that cannot be read at all is an error, else it is set aside."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes [start, stop) of a file, counted in decoded bytes where the storage can be entered anywhere.

    `stop` is -1 for "to the end" where the decoded length is not known.
    """

    file: InputFile
    start: int
    stop: int

    @property
    def label(self) -> str:
        """How messages name the span."""
        if self.start == 0 and self.stop == -1:
            return self.file.name
        return f"{self.file.name}[{self.start}:{'' if self.stop == -1 else self.stop}]"


@dataclass(frozen=True, slots=True)
class Unit:
    """What one task reads: spans in input order."""

    ordinal: int
    spans: tuple[Span, ...]

    @property
    def label(self) -> str:
        """How messages name the unit."""
        more = f" and {len(self.spans) - 1} more" if len(self.spans) > 1 else ""
        return f"unit {self.ordinal} ({self.spans[0].label}{more})"


def pack_units(spans: Iterable[Span], unit_bytes: int = UNIT_BYTES, max_files: int = 512) -> list[Unit]:
    """Gather spans, in order, into units; one ends when the next span is of its last file, of another source, or would not fit.

    Two spans of one file were cut apart to be read apart, however few bytes they are stored in.
    """
    units: list[Unit] = []
    held: list[Span] = []
    total = 0
    for span in spans:
        length = (span.file.size if span.stop == -1 else span.stop) - span.start
        apart = held and (held[-1].file.source != span.file.source or held[-1].file == span.file)
        if held and (apart or total + length > unit_bytes or len(held) >= max_files):
            units.append(Unit(len(units), tuple(held)))
            held, total = [], 0
        held.append(span)
        total += length
    if held:
        units.append(Unit(len(units), tuple(held)))
    return units


def cut(file: InputFile, length: int, unit_bytes: int = UNIT_BYTES) -> list[Span]:
    """Spans of `unit_bytes` over a file of `length` bytes that can be entered anywhere."""
    if length == 0:
        return [Span(file, 0, 0)]
    return [Span(file, start, min(start + unit_bytes, length)) for start in range(0, length, unit_bytes)]
