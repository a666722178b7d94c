"""JSON lines, plain or compressed: other people's and our own shards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import orjson

from megadata.documents.batch import DocBatch
from megadata.documents.damage import Damage
from megadata.documents.fields import Rows
from megadata.documents.source import Problems, ReadOptions
from megadata.runtime.entering import decoded_length, lines
from megadata.runtime.units import InputFile, Span, cut

BOM = b"\xef\xbb\xbf"


class Jsonl:
    """One JSON object a line; `fields.Rows` says which field becomes what."""

    kind: ClassVar[str] = "jsonl"
    default_source: ClassVar[str] = "text"
    version: ClassVar[str] = "3"
    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")
    ranges: ClassVar[bool] = True

    def sniff(self, head: bytes, name: str) -> bool:
        """A file whose first line is a whole object, or begins one and is longer than what was read."""
        first, end, _ = head.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")
        return first.startswith(b'{"') and (not end or first.rstrip().endswith(b"}"))

    def spans(self, file: InputFile, unit_bytes: int) -> list[Span]:
        """Byte ranges of decoded text; one span where the file can only be read from its start."""
        length = decoded_length(file)
        return [Span(file, 0, -1)] if length is None else cut(file, length, unit_bytes)

    def read(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
        """Documents whose line begins in the span."""
        rows = Rows(span.file, options, problems)
        for position, line in lines(span, options.max_record_bytes, Damage(span, problems)):
            if line is None:
                where = f"{span.file.name}:{position}"
                problems.add("record_too_large", where, f"line longer than {options.max_record_bytes} bytes")
            elif line and not line.isspace():
                _parse(rows, position, line)
                if rows.full:
                    yield rows.take()
        if rows:
            yield rows.take()


def _parse(rows: Rows, position: int, line: bytes) -> None:
    try:
        record = orjson.loads(line.removeprefix(BOM) if position == 0 else line)
    except orjson.JSONDecodeError as error:
        rows.fail("bad_json", position, str(error) if _is_utf8(line) else "not UTF-8", line)
        return
    rows.add(position, record, line)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
