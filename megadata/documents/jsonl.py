"""JSON lines, plain or compressed: other people's and our own shards."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import orjson

from megadata.documents.batch import MAX_TEXT_BYTES, DocBatch
from megadata.documents.source import BATCH_BYTES, BATCH_DOCUMENTS, Problems, ReadOptions
from megadata.runtime.streams import DamagedStream, decoded_length, lines
from megadata.runtime.units import InputFile, Span, cut

BOM = b"\xef\xbb\xbf"


class Jsonl:
    """One JSON object a line.

    The text and the id are taken from the fields that the options name (dotted paths reach into objects), ``source``, ``url`` and
    ``metadata`` where they are of our shape; every other field is kept inside the metadata.
    """

    kind: ClassVar[str] = "jsonl"
    default_source: ClassVar[str] = "text"
    version: ClassVar[str] = "1"
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
        rows = _Rows(span.file, options, problems)
        try:
            for position, line in lines(span, options.max_record_bytes):
                if line is None:
                    where = f"{span.file.name}:{position}"
                    problems.add("record_too_large", where, f"line longer than {options.max_record_bytes} bytes")
                elif line and not line.isspace():
                    rows.add(position, line)
                    if rows.full:
                        yield rows.take()
        except DamagedStream as damage:
            problems.add("damaged_compression", span.file.name, str(damage).replace(span.file.path, span.file.name))
        if rows.ids:
            yield rows.take()


class _Rows:
    """Lines on their way to a batch."""

    def __init__(self, file: InputFile, options: ReadOptions, problems: Problems) -> None:
        self._file, self._options, self._problems = file, options, problems
        self._text_path = options.text_field.split(".")
        self._id_path = options.id_field.split(".")
        self._clear()

    def _clear(self) -> None:
        self.ids: list[str] = []
        self._texts: list[str] = []
        self._sources: list[str] = []
        self._urls: list[str | None] = []
        self._metadata: list[str | None] = []
        self._bytes = 0

    @property
    def full(self) -> bool:
        return len(self.ids) >= BATCH_DOCUMENTS or self._bytes >= BATCH_BYTES

    def take(self) -> DocBatch:
        batch = DocBatch.of(self.ids, self._texts, self._sources, self._urls, self._metadata)
        self._clear()
        return batch

    def _fail(self, reason: str, position: int, detail: str, line: bytes) -> None:
        excerpt = line[:500].decode("utf-8", "replace")
        self._problems.add(reason, f"{self._file.name}:{position}", detail, excerpt)

    def add(self, position: int, line: bytes) -> None:
        try:
            record = orjson.loads(line.removeprefix(BOM) if position == 0 else line)
        except orjson.JSONDecodeError as error:
            detail = str(error) if _is_utf8(line) else "not UTF-8"
            self._fail("bad_json", position, detail, line)
            return
        if not isinstance(record, dict):
            self._fail("not_an_object", position, f"expected an object, found {type(record).__name__}", line)
            return
        text = _dig(record, self._text_path)
        if not isinstance(text, str):
            found = "no such field" if text is None else type(text).__name__
            self._fail("no_text_field", position, f"field {self._options.text_field!r}: {found}", line)
            return
        if len(text) > MAX_TEXT_BYTES // 4 and len(text.encode()) > MAX_TEXT_BYTES:
            self._fail("record_too_large", position, f"text longer than {MAX_TEXT_BYTES} bytes", line)
            return
        try:
            notes = self._notes(record)
        except orjson.JSONEncodeError:
            self._fail("bad_json", position, "fields nested deeper than 250 levels", line)
            return
        own = _dig(record, self._id_path)
        url, source = record.get("url"), record.get("source")
        self.ids.append(_as_id(own) or f"{self._file.name}:{position}")
        self._texts.append(text)
        self._sources.append(source if isinstance(source, str) and source else self._file.source)
        self._urls.append(url if isinstance(url, str) else None)
        self._metadata.append(notes)
        self._bytes += len(text)

    def _has_column(self, key: str, value: Any) -> bool:
        """Whether a top-level field was used whole, for the text, the id, the source, the URL or the metadata."""
        if key == self._options.text_field or (key == self._options.id_field and _as_id(value)):
            return True
        kept = {
            "source": isinstance(value, str),
            "url": isinstance(value, str) or value is None,
            "metadata": isinstance(value, dict),
        }
        return kept.get(key, False)

    def _notes(self, record: dict[str, Any]) -> str:
        """The metadata as JSON: the record's own, every field we have no column for, and the path."""
        own = record.get("metadata")
        notes: dict[str, Any] = dict(own) if isinstance(own, dict) else {}
        for key, value in record.items():
            if self._has_column(key, value):
                continue
            notes.setdefault(key, value)
        notes.setdefault("path", self._file.name)
        return orjson.dumps(notes).decode()


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _as_id(value: object) -> str | None:
    """A record's own id: text or a whole number."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float) and (not math.isfinite(value) or not value.is_integer()):
        return None
    return str(int(value)) if isinstance(value, int | float) else None


def _dig(record: dict[str, Any], path: list[str]) -> Any:
    """Value at a dotted path; None where the path ends early."""
    if len(path) > 1 and ".".join(path) in record:
        return record[".".join(path)]
    value: Any = record
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value
