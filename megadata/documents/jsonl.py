"""JSON lines, plain or compressed: other people's and our own shards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import orjson
import pyarrow as pa

from megadata.documents import jsontext
from megadata.documents.batch import MAX_TEXT_BYTES, DocBatch, text_column
from megadata.documents.damage import Damage
from megadata.documents.fields import OWN_FIELDS, Rows
from megadata.documents.source import Problems, ReadOptions
from megadata.kernels.base import I64, U8
from megadata.kernels.blocks import BLOCK
from megadata.kernels.jsontext import take_ids, take_texts
from megadata.kernels.text import NEWLINE_BYTE
from megadata.runtime.entering import decoded_length, line_blocks
from megadata.runtime.units import InputFile, Span, cut

BOM = b"\xef\xbb\xbf"


class Jsonl:
    """One JSON object a line; `fields.Rows` says which field becomes what."""

    kind: ClassVar[str] = "jsonl"
    default_source: ClassVar[str] = "text"
    version: ClassVar[str] = "4"
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
        parser = _Parser(rows, options)
        for position, block in line_blocks(span, options.max_record_bytes, Damage(span, problems)):
            if block is None:
                where = f"{span.file.name}:{position}"
                problems.add("record_too_large", where, f"line longer than {options.max_record_bytes} bytes")
                continue
            parser.parse(position, block)
            if rows.full:
                yield rows.take()
        if rows:
            yield rows.take()


class _Parser:
    """Parses lines, many at a time.

    Texts are nearly all of the bytes, so a kernel takes them out of the lines. Where nothing is left but ids, another takes
    those; else what is left goes through orjson, with empty texts. Lines that the kernel does not take, and all where something
    is wrong, go through orjson whole, one by one.
    """

    def __init__(self, rows: Rows, options: ReadOptions) -> None:
        self._rows = rows
        self._name = options.text_field
        self._key = _quoted(self._name)
        self._id_key = _quoted(options.id_field) if options.id_field.isidentifier() else None
        self._takes = self._name.isidentifier() and self._name not in (*OWN_FIELDS, options.id_field.split(".")[0])

    def parse(self, position: int, block: bytes) -> None:
        """Add the records of whole lines, the first of which begins at `position`."""
        data = np.frombuffer(block + bytes(BLOCK), np.uint8)
        count = int(np.count_nonzero(data == NEWLINE_BYTE)) + (not block.endswith(b"\n"))
        starts, bounds = np.empty(count + 1, np.int64), np.empty(count + 1, np.int64)
        out, rests = np.empty(data.size, np.uint8), np.empty(len(block) + 3 * count, np.uint8)
        taken = np.empty(count, np.bool_)
        size = take_texts(data, len(block), self._key, starts, out, bounds, rests, taken)
        if self._takes and taken.all() and self._add_plain(rests[:size], out, bounds):
            return
        records = self._records(rests[1:size], int(taken.sum()), out, bounds) if self._takes else None
        places = starts.tolist()
        if records is None:
            taken[:] = False
        following, texts, ends = iter(records or ()), out.data, bounds.tolist()
        for at, is_taken in enumerate(taken.tolist()):
            start, stop = places[at], places[at + 1]
            if is_taken:
                record = next(following)
                if record.get(self._name) == "":
                    self._rows.add_with_text(
                        position + start, record, texts[ends[at] : ends[at + 1]], block[start:stop]
                    )
                    continue
            line = block[start:stop].rstrip(b"\r\n")
            if line and not line.isspace():
                _parse(self._rows, position + start, line)

    def _add_plain(self, rests: U8, out: U8, bounds: I64) -> bool:
        """Add records that are nothing but an id and a text, without an object for each; False where any is something else."""
        if self._id_key is None or not self._rows.takes_plain or int(np.diff(bounds).max(initial=0)) > MAX_TEXT_BYTES:
            return False
        ids, id_bounds = np.empty(rests.size, np.uint8), np.empty(bounds.size, np.int64)
        if take_ids(rests, self._id_key, self._key, ids, id_bounds) < bounds.size - 1:
            return False
        columns = text_column(ids, id_bounds), text_column(out, bounds)
        try:
            for column in columns:
                column.validate(full=True)
        except pa.ArrowInvalid:
            return False
        self._rows.add_plain(*columns)
        return True

    def _records(self, rests: U8, count: int, out: U8, bounds: I64) -> list[dict[str, Any]] | None:
        """The records that were left of lines; None where they are no JSON, or the texts no UTF-8."""
        try:
            records: list[dict[str, Any]] = orjson.loads(b"[" + rests.tobytes() + b"]")
            text_column(out, bounds).validate(full=True)
        except (orjson.JSONDecodeError, pa.ArrowInvalid):
            return None
        return records if len(records) == count and set(map(type, records)) <= {dict} else None


def _quoted(name: str) -> U8:
    return np.frombuffer(f'"{name}"'.encode(), np.uint8)


def _parse(rows: Rows, position: int, line: bytes) -> None:
    try:
        record = jsontext.loads(line.removeprefix(BOM) if position == 0 else line)
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
