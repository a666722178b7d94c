"""Parquet files: other people's and our own shards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from megadata.documents.batch import DocBatch
from megadata.documents.source import BATCH_DOCUMENTS, Problems, ReadOptions
from megadata.errors import CorpusError
from megadata.runtime.streams import open_raw
from megadata.runtime.units import InputFile, Span


class ParquetFile:
    """Any Parquet file with a column of text; a span covers whole row groups.

    A row group belongs to the span that holds its first byte. Columns other than text, id, source, url and metadata are kept
    inside the metadata.
    """

    kind: ClassVar[str] = "parquet"
    default_source: ClassVar[str] = "text"
    version: ClassVar[str] = "1"
    suffixes: ClassVar[tuple[str, ...]] = (".parquet",)

    def sniff(self, head: bytes, name: str) -> bool:
        """A file that begins with Parquet's magic."""
        return head.startswith(b"PAR1")

    def spans(self, file: InputFile, unit_bytes: int) -> list[Span]:
        """Borders at row groups, from the footer alone."""
        try:
            with open_raw(file.path) as raw:
                footer = pq.ParquetFile(raw).metadata
        except (pa.ArrowInvalid, OSError):
            return [Span(file, 0, -1)]
        starts = [_first_byte(footer.row_group(g)) for g in range(footer.num_row_groups)]
        borders = [0]
        for group, start in enumerate(starts):
            if start - borders[-1] >= unit_bytes and group:
                borders.append(start)
        return [Span(file, a, b) for a, b in zip(borders, [*borders[1:], file.size], strict=True)]

    def read(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
        """Documents of the span's row groups."""
        try:
            with open_raw(span.file.path) as raw:
                table = pq.ParquetFile(raw)
                names = table.schema_arrow.names
                if options.text_field not in names:
                    raise CorpusError(
                        f"{span.file.name}: expected a text column {options.text_field!r}, found columns {', '.join(names)}; "
                        "name it with --text-field"
                    )
                row = 0
                for group in range(table.metadata.num_row_groups):
                    meta = table.metadata.row_group(group)
                    inside = span.start <= _first_byte(meta) and (span.stop == -1 or _first_byte(meta) < span.stop)
                    if inside:
                        for records in table.iter_batches(BATCH_DOCUMENTS, row_groups=[group]):
                            yield from _batch(records, row, span.file, options, problems)
                            row += records.num_rows
                    else:
                        row += meta.num_rows
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            problems.add("damaged_parquet", span.file.name, str(error))


def _first_byte(group: Any) -> int:
    column = group.column(0)
    offset = column.dictionary_page_offset
    return int(column.data_page_offset if offset is None else min(offset, column.data_page_offset))


def _batch(
    records: pa.RecordBatch, first_row: int, file: InputFile, options: ReadOptions, problems: Problems
) -> Iterator[DocBatch]:
    columns = {name: records.column(i).to_pylist() for i, name in enumerate(records.schema.names)}
    ids: list[str] = []
    texts: list[str] = []
    sources: list[str] = []
    urls: list[str | None] = []
    notes: list[str | None] = []
    others = [n for n in columns if n not in (options.text_field, options.id_field, "source", "url", "metadata")]
    nothing = [None] * records.num_rows
    for at, text in enumerate(columns[options.text_field]):
        row = first_row + at
        if not isinstance(text, str):
            problems.add("no_text_field", f"{file.name}:{row}", f"column {options.text_field!r}: {type(text).__name__}")
            continue
        own = columns.get(options.id_field, nothing)[at]
        source, url = columns.get("source", nothing)[at], columns.get("url", nothing)[at]
        ids.append(str(own) if own not in (None, "") else f"{file.name}:{row}")
        texts.append(text)
        sources.append(source if isinstance(source, str) and source else file.source)
        urls.append(url if isinstance(url, str) else None)
        notes.append(_notes(columns.get("metadata", nothing)[at], {n: columns[n][at] for n in others}, file))
    if ids:
        yield DocBatch.of(ids, texts, sources, urls, notes)


def _notes(own: Any, others: dict[str, Any], file: InputFile) -> str:
    notes: dict[str, Any] = {}
    if isinstance(own, str):
        try:
            own = orjson.loads(own)
        except orjson.JSONDecodeError:
            own = {"metadata": own}
    if isinstance(own, dict):
        notes.update(own)
    for name, value in others.items():
        if value is not None:
            notes.setdefault(name, value)
    notes.setdefault("path", file.name)
    return orjson.dumps(notes, default=str).decode()
