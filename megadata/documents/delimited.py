"""Tables of delimited text: csv and tsv, with or without quotes."""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, ClassVar

from megadata.documents.batch import DocBatch
from megadata.documents.fields import Rows, listed
from megadata.documents.source import WHOLE, NoTextColumn, NotUtf8, Problems, ReadOptions
from megadata.runtime.damage import DamagedStream
from megadata.runtime.streams import COMPRESSIONS, open_decoded
from megadata.runtime.units import InputFile, Span

BOM = b"\xef\xbb\xbf"
SAMPLE_BYTES = 256 << 10
"""Bytes at the beginning from which the delimiter and the use of quotes are told."""
NEVER_CLOSED = 4
"""Quotes that are never closed after which quotes of a file are taken as they stand."""
_DELIMITERS = ",;\t|"
csv.field_size_limit(2**31 - 1)


class Delimited:
    """One row is one record. The first row names the columns; ``read.header=false`` names them 0, 1, ...

    Cells in double quotes may hold delimiters, line ends and doubled quotes. A row with more or fewer cells than there are
    columns is set aside. A quote that is never closed costs its line alone. The file is read in one unit by one process:
    whether a line end lies inside quotes follows from all that stands before it.
    """

    kind: ClassVar[str] = "csv"
    default_source: ClassVar[str] = "text"
    version: ClassVar[str] = "2"
    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".tab")
    ranges: ClassVar[bool] = False

    def sniff(self, head: bytes, name: str) -> bool:
        """Never: any text could be a table."""
        return False

    def spans(self, file: InputFile, unit_bytes: int) -> list[Span]:
        """One."""
        return [Span(file, 0, -1)]

    def read(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
        """Documents of all rows."""
        file = span.file
        rows = Rows(file, options, problems)
        try:
            with open_decoded(file.path) as stream:
                yield from _read(stream, rows, file, options)
        except DamagedStream as damage:
            problems.add("damaged_compression", file.name, str(damage).replace(file.path, file.name))
        if rows:
            yield rows.take()


@dataclass(frozen=True, slots=True)
class Form:
    """How the cells of a table are written."""

    delimiter: str
    quotes: bool
    """Whether double quotes around a cell belong to the form, and not to the text."""


def _read(stream: BinaryIO, rows: Rows, file: InputFile, options: ReadOptions) -> Iterator[DocBatch]:
    sample = stream.read(SAMPLE_BYTES)
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise NotUtf8(f"{file.name}: expected UTF-8, found UTF-16; convert it first (iconv -f utf-16 -t utf-8 FILE)")
    names: list[str] | None = None
    for position, cells, raw in _Records(
        _Lines(sample, stream, options.max_record_bytes, rows), form_of(sample, file, options)
    ):
        if names is None:
            names = _unique(cells) if options.header else [str(number) for number in range(len(cells))]
            if options.text_field not in (*names, WHOLE):
                raise NoTextColumn(
                    f"{file.name}: expected a text column {options.text_field!r}, found columns {listed(names)}; "
                    "name it with --text-field, or say --set read.header=false or read.delimiter=..."
                )
            if options.header:
                continue
        if len(cells) != len(names):
            rows.fail("bad_row", position, f"expected {len(names)} cells, found {len(cells)}", raw)
            continue
        rows.add(position, dict(zip(names, cells, strict=True)), raw)
        if rows.full:
            yield rows.take()


def _unique(names: list[str]) -> list[str]:
    """Names of columns; the second of a name gets the first number that makes a name no other column has, as pandas has it."""
    own = [name.strip() or f"column {number}" for number, name in enumerate(names)]
    taken = set(own)
    seen: Counter[str] = Counter()
    result = []
    for name in own:
        unique = name
        while seen[name] and unique in taken:
            unique = f"{name}.{seen[name]}"
            seen[name] += 1
        seen[name] = seen[name] or 1
        taken.add(unique)
        result.append(unique)
    return result


def form_of(sample: bytes, file: InputFile, options: ReadOptions) -> Form:
    """Delimiter and quotes as the options say, else from the name and the first bytes.

    Quotes are part of csv. In tab-separated files they are where every cell that begins with a quote ends with one.
    """
    text = sample.removeprefix(BOM).decode("utf-8", "replace")
    path = PurePosixPath(file.name.lower())
    ending = PurePosixPath(path.stem).suffix if path.suffix in COMPRESSIONS else path.suffix
    delimiter = options.delimiter
    if delimiter is None:
        first = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
        most = max(_DELIMITERS, key=first.count)
        delimiter = "\t" if ending in (".tsv", ".tab") else most if first.count(most) else ","
    quotes = options.quotes
    if quotes is None:
        quotes = delimiter != "\t" or _uses_quotes(text, delimiter, len(sample) == SAMPLE_BYTES)
    return Form(delimiter, quotes)


def _uses_quotes(text: str, delimiter: str, goes_on: bool) -> bool:
    if not re.search(f'(?:^|{re.escape(delimiter)})"', text, re.MULTILINE):
        return False
    lines = text.splitlines(keepends=True)
    fed = 0

    def feed() -> Iterator[str]:
        nonlocal fed
        for line in lines[: -1 if goes_on else None]:
            fed += len(line)
            yield line

    done = 0
    try:
        for _ in csv.reader(feed(), delimiter=delimiter, strict=True):
            done = fed
    except csv.Error as error:
        return goes_on and "unexpected end" in str(error) and done > len(text) // 2
    return True


class _Lines:
    """Lines with their positions, some of which can be given back."""

    def __init__(self, sample: bytes, stream: BinaryIO, limit: int, rows: Rows) -> None:
        self._sample, self._stream, self.limit, self.rows = sample, stream, limit, rows
        self._at = 0
        self._position = 0
        self._back: deque[tuple[int, bytes]] = deque()

    def give_back(self, lines: list[tuple[int, bytes]]) -> None:
        self._back.extendleft(reversed(lines))

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> tuple[int, bytes]:
        if self._back:
            return self._back.popleft()
        while True:
            position = self._position
            line = self._line()
            if not line:
                raise StopIteration
            if len(line) <= self.limit:
                return position, line.removeprefix(BOM) if position == 0 else line
            while line and not line.endswith(b"\n"):
                line = self._line()
            self.rows.fail("record_too_large", position, f"line longer than {self.limit} bytes")

    def _line(self) -> bytes:
        """The next line, or a piece of it that is longer than the limit."""
        end = self._sample.find(b"\n", self._at) + 1
        if end:
            line = self._sample[self._at : end]
        else:
            line = self._sample[self._at :]
            line += self._stream.readline(max(self.limit + 1 - len(line), 1))
            end = len(self._sample)
        self._at = end
        self._position += len(line)
        return line


class _NotClosed(Exception):
    """A record that outgrows the limit."""


class _Records:
    """Rows of a table as (position, cells, bytes)."""

    def __init__(self, lines: _Lines, form: Form) -> None:
        self._lines, self._form = lines, form
        self._taken: list[tuple[int, bytes]] = []
        self._ended = False
        self._garbled = False

    def _feed(self) -> Iterator[str]:
        size = 0
        for position, line in self._lines:
            size = size + len(line) if self._taken else len(line)
            self._taken.append((position, line))
            if size > self._lines.limit:
                raise _NotClosed
            try:
                yield line.decode()
            except UnicodeDecodeError:
                self._garbled = True
                yield line.decode("utf-8", "replace")
        self._ended = True

    def _reader(self, quotes: bool) -> Iterator[list[str]]:
        delimiter = self._form.delimiter
        if quotes:
            return csv.reader(self._feed(), delimiter=delimiter)
        return csv.reader(self._feed(), delimiter=delimiter, quoting=csv.QUOTE_NONE)

    def __iter__(self) -> Iterator[tuple[int, list[str], bytes]]:
        rows, quotes, failures = self._lines.rows, self._form.quotes, 0
        reader = self._reader(quotes)
        while True:
            self._taken = []
            self._garbled = False
            problem = ""
            cells: list[str] | None = None
            try:
                cells = next(reader, None)
            except _NotClosed:
                problem = "a quote that is not closed within the limit of a record"
            except csv.Error as error:
                problem = str(error)
            if cells is None and not problem:
                return
            if cells is not None and self._ended and quotes:
                problem = "a quote that is never closed"
            if problem:
                (position, line), *others = self._taken
                rows.fail("bad_row", position, problem, line)
                self._lines.give_back(others)
                failures += 1
                quotes = quotes and failures < NEVER_CLOSED
                self._ended = False
                reader = self._reader(quotes)
                continue
            assert cells is not None
            raw = b"".join(line for _, line in self._taken)
            if cells and not (len(cells) == 1 and not cells[0].strip()):
                if self._garbled:
                    rows.fail("not_utf8", self._taken[0][0], "bytes that are not UTF-8", raw)
                else:
                    yield self._taken[0][0], cells, raw
