"""JSON lines, plain or compressed: other people's and our own shards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import orjson
import pyarrow as pa

from megadata.documents.batch import DocBatch, text_column
from megadata.documents.damage import Damage
from megadata.documents.fields import Rows
from megadata.documents.source import WHOLE, Problems, ReadOptions
from megadata.kernels.blocks import BLOCK
from megadata.kernels.jsontext import NOWHERE, take_texts
from megadata.runtime.damage import DamagedStream
from megadata.runtime.entering import decoded_length, lines
from megadata.runtime.units import InputFile, Span, cut

BOM = b"\xef\xbb\xbf"
HELD_BYTES = 1 << 20
"""Bytes of lines that are parsed together."""
OWN_FIELDS = ("source", "url", "metadata")
"""Fields that mean something besides being text."""


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
        held = _Held(rows, options)
        damage = Damage(span, problems)

        def on_damage(found: DamagedStream) -> None:
            held.parse()  # problems are told in the order of the file
            damage(found)

        for position, line in lines(span, options.max_record_bytes, on_damage):
            if line is None:
                held.parse()
                where = f"{span.file.name}:{position}"
                problems.add("record_too_large", where, f"line longer than {options.max_record_bytes} bytes")
            elif line and not line.isspace():
                held.add(position, line)
                if rows.full:
                    yield rows.take()
        held.parse()
        if rows:
            yield rows.take()


class _Held:
    """Lines that wait to be parsed together.

    Texts are nearly all of the bytes, so a kernel takes them out; what is left of a line goes through orjson, with an empty text.
    Lines that the kernel does not read go through it whole.
    """

    def __init__(self, rows: Rows, options: ReadOptions) -> None:
        self._rows = rows
        name = options.text_field
        simple = name == WHOLE or "." in name or options.id_field.split(".")[0] == name or name in OWN_FIELDS
        self._name = None if simple or not name.isidentifier() else name
        self._key = np.frombuffer(f'"{name}"'.encode(), np.uint8)
        self._lines: list[tuple[int, bytes]] = []
        self._bytes = 0

    def add(self, position: int, line: bytes) -> None:
        """Hold a line; many that are held are parsed."""
        self._lines.append((position, line))
        self._bytes += len(line)
        if self._bytes >= HELD_BYTES:
            self.parse()

    def parse(self) -> None:
        """Parse all lines that are held."""
        held, self._lines, self._bytes = self._lines, [], 0
        texts = [None] * len(held) if self._name is None or not held else self._texts([line for _, line in held])
        for (position, line), found in zip(held, texts, strict=True):
            if found is None or not self._parse_rest(position, line, *found):
                _parse(self._rows, position, line)

    def _texts(self, held: list[bytes]) -> list[tuple[memoryview, int, int] | None]:
        """The text of each line, and where its value stands in it; None for lines to be read whole."""
        offsets = np.cumsum([0, *map(len, held)], dtype=np.int64)
        data = np.frombuffer(b"".join([*held, bytes(BLOCK)]), np.uint8)
        out = np.empty(data.size, np.uint8)
        out_offsets = np.empty_like(offsets)
        values = np.empty((len(held), 2), np.int64)
        take_texts(data, offsets, self._key, out, out_offsets, values)
        bounds = out_offsets.tolist()
        try:
            text_column(out, np.diff(out_offsets).tolist()).validate(full=True)
        except pa.ArrowInvalid:  # no UTF-8
            return [None] * len(held)
        text = out.data
        return [
            None if start == NOWHERE else (text[bounds[at] : bounds[at + 1]], start, stop)
            for at, (start, stop) in enumerate((values - np.where(values == NOWHERE, 0, offsets[:-1, None])).tolist())
        ]

    def _parse_rest(self, position: int, line: bytes, text: memoryview, start: int, stop: int) -> bool:
        """Add the record of a line whose text is known; whether that could be done."""
        try:
            record = orjson.loads(b'%b""%b' % (line[:start], line[stop:]))
        except orjson.JSONDecodeError:
            return False
        if not isinstance(record, dict) or record.get(self._name) != "":
            return False
        self._rows.add_with_text(position, record, text, line)
        return True


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
