"""Parquet files: other people's and our own shards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from megadata.documents.batch import DocBatch
from megadata.documents.columns import check_indices, check_text, documents, names_in_utf8
from megadata.documents.parquetfooter import BadFooter, RowGroup, row_groups
from megadata.documents.source import BATCH_BYTES, BATCH_DOCUMENTS, CompressedTwice, Problems, ReadOptions
from megadata.runtime.streams import compression_of, open_raw
from megadata.runtime.units import InputFile, Span

_DICTIONARY_BYTES = 1 << 20
"""Writers end a dictionary at about this size."""


class ParquetFile:
    """Any Parquet file with a column of text; a span covers whole row groups.

    A row group belongs to the span that holds its first byte. A row group that cannot be read is set aside, and reading goes on
    with the next. Pages are read as they are needed, so memory does not grow with the row group.
    """

    kind: ClassVar[str] = "parquet"
    default_source: ClassVar[str] = "text"
    version: ClassVar[str] = "3"
    suffixes: ClassVar[tuple[str, ...]] = (".parquet",)

    def sniff(self, head: bytes, name: str) -> bool:
        """A file that begins with Parquet's magic."""
        return head.startswith(b"PAR1")

    def spans(self, file: InputFile, unit_bytes: int) -> list[Span]:
        """Borders at row groups, from the footer alone."""
        try:
            groups = row_groups(file)
        except BadFooter:
            return [Span(file, 0, -1)]
        borders = [0]
        for start in (_first_byte(group, file) for group in groups[1:]):
            if start - borders[-1] >= unit_bytes:
                borders.append(start)
        return [Span(file, a, b) for a, b in zip(borders, [*borders[1:], file.size], strict=True)]

    def read(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
        """Documents of the span's row groups."""
        file = span.file
        if compression_of(file.path) is not None:
            raise CompressedTwice(
                f"{file.name}: Parquet is compressed inside and is read as it is; decompress the file first"
            )
        with open_raw(file.path) as raw:
            try:
                with names_in_utf8(file):
                    table = pq.ParquetFile(raw, buffer_size=1 << 20, pre_buffer=False)
                schema = table.schema_arrow
                groups = row_groups(file)
            except (pa.ArrowException, OSError, BadFooter) as error:
                if span.start == 0:
                    problems.add("damaged_parquet", file.name, str(error))
                return
            check_text(schema, options, file)
            row = 0
            for number, group in enumerate(groups):
                first = _first_byte(group, file)
                if span.start <= first and (span.stop == -1 or first < span.stop):
                    yield from _group(table, number, group, row, file, options, problems)
                row += group.rows


def _group(
    table: Any, number: int, group: RowGroup, row: int, file: InputFile, options: ReadOptions, problems: Problems
) -> Iterator[DocBatch]:
    batches = table.iter_batches(_rows_at_once(group), row_groups=[number], use_threads=False)
    while True:
        try:
            records = next(batches, None)
            if records is None:
                return
            check_indices(records)
        except (pa.ArrowException, OSError) as error:
            problems.add("damaged_parquet", f"{file.name}:{row}", f"row group {number}: {error}")
            return
        yield from documents(records, row, file, options, problems)
        row += records.num_rows


def _first_byte(group: RowGroup, file: InputFile) -> int:
    """Where a row group begins; a damaged footer may tell positions outside the file."""
    return min(max(group.start, 0), max(file.size - 1, 0))


def _rows_at_once(group: RowGroup) -> int:
    """Rows that hold about a batch of bytes, by the mean of the row group; fewer where a dictionary may hold long values."""
    rows = BATCH_DOCUMENTS
    for column in group.columns:
        mean = max(column.bytes // max(group.rows, 1), 1)
        rows = min(rows, BATCH_BYTES // mean)
        if column.dictionary:
            longest = min(column.bytes, _DICTIONARY_BYTES)
            rows = min(rows, max(256 * _DICTIONARY_BYTES // max(longest, 1), 1))
    return max(rows, 1)
