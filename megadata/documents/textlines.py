"""Plain text with one document a line; read where the user says so (``read.kind=lines``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from megadata.documents.batch import MAX_TEXT_BYTES, DocBatch, Record
from megadata.documents.damage import Damage
from megadata.documents.source import Problems, ReadOptions, batches
from megadata.runtime.entering import decoded_length, lines
from megadata.runtime.units import InputFile, Span, cut

BOM = b"\xef\xbb\xbf"


class TextLines:
    """One document a line, in UTF-8; blank lines are none. No file is of this kind by itself."""

    kind: ClassVar[str] = "lines"
    default_source: ClassVar[str] = "text"
    version: ClassVar[str] = "2"
    suffixes: ClassVar[tuple[str, ...]] = ()
    ranges: ClassVar[bool] = True

    def sniff(self, head: bytes, name: str) -> bool:
        """Never: a text file is one document unless the user says otherwise."""
        return False

    def spans(self, file: InputFile, unit_bytes: int) -> list[Span]:
        """Byte ranges of decoded text; one span where the file can only be read from its start."""
        length = decoded_length(file)
        return [Span(file, 0, -1)] if length is None else cut(file, length, unit_bytes)

    def read(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
        """Documents whose line begins in the span."""
        yield from batches(self._records(span, options, problems), span.file)

    def _records(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[tuple[int, Record]]:
        limit = min(options.max_record_bytes, MAX_TEXT_BYTES)
        for position, line in lines(span, limit, Damage(span, problems)):
            where = f"{span.file.name}:{position}"
            if line is None:
                problems.add("record_too_large", where, f"line longer than {limit} bytes")
                continue
            try:
                text = line.removeprefix(BOM).decode() if position == 0 else line.decode()
            except UnicodeDecodeError as error:
                detail = f"byte {line[error.start]:#04x} at {error.start} of the line"
                problems.add("not_utf8", where, detail, line[:500].decode("utf-8", "replace"))
                continue
            if text and not text.isspace():
                yield position, Record(text)
