"""Documents from Arrow columns, for Parquet and Arrow IPC: batches bounded by bytes, whatever the rows hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from megadata.documents.batch import MAX_TEXT_BYTES, DocBatch
from megadata.documents.fields import as_id, dig, listed, remove
from megadata.documents.source import (
    BATCH_BYTES,
    BATCH_DOCUMENTS,
    WHOLE,
    NoTextColumn,
    NotUtf8,
    Problems,
    ReadOptions,
)
from megadata.runtime.units import InputFile

_STRETCH = 1 << 16


@contextmanager
def names_in_utf8(file: InputFile) -> Iterator[None]:
    """Refuse a table whose names of columns are no text, as Arrow finds when it is asked for them.

    Raises
    ------
    NotUtf8
        Tells the first such name.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise NotUtf8(
            f"{file.name}: expected names of columns in UTF-8, found {_around(error)!r}; write the file again with other names"
        ) from error


def _around(error: UnicodeDecodeError) -> bytes:
    """The bytes that are no text, and a few before and behind them."""
    return bytes(error.object[max(error.start - 20, 0) : error.end + 20])


def check_text(schema: pa.Schema, options: ReadOptions, file: InputFile) -> None:
    """Refuse a table that has no column of text where the options say.

    Raises
    ------
    NoTextColumn
        Names the columns there are.
    NotUtf8
        Where names of columns are no text.
    """
    name = options.text_field
    with names_in_utf8(file):
        names = column_paths(schema)
    if name == WHOLE:
        return
    kind = type_at(schema, name)
    if kind is None:
        raise NoTextColumn(
            f"{file.name}: expected a text column {name!r}, found columns {listed(names)}; name it with --text-field"
        )
    if not _is_text(kind):
        raise NoTextColumn(
            f"{file.name}: expected text in the column {name!r}, found {kind}; name a column of text with --text-field"
        )


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    checks = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view", "null")
    return any(getattr(pa.types, f"is_{check}", lambda _: False)(kind) for check in checks)


def check_indices(records: pa.RecordBatch) -> None:
    """Raise ArrowInvalid where a dictionary's indices lead outside it; Arrow follows them without a look."""
    for column in records.columns:
        if pa.types.is_dictionary(column.type):
            pa.DictionaryArray.from_arrays(column.indices, column.dictionary)
        elif _holds_dictionary(column.type):
            column.validate(full=True)


def _holds_dictionary(kind: pa.DataType) -> bool:
    inner = (kind.field(number).type for number in range(kind.num_fields))
    return pa.types.is_dictionary(kind) or any(map(_holds_dictionary, inner))


def column_paths(schema: pa.Schema) -> list[str]:
    """Names of all columns, and dotted paths of the fields inside structs."""
    found: list[str] = []

    def visit(field: Any, before: str) -> None:
        found.append(before + field.name)
        if pa.types.is_struct(field.type):
            for number in range(field.type.num_fields):
                visit(field.type.field(number), f"{before}{field.name}.")

    for field in schema:
        visit(field, "")
    return found


def type_at(schema: pa.Schema, name: str) -> pa.DataType | None:
    """Type of the column or struct field at a dotted path; None where there is none."""
    if name in schema.names:
        return schema.field(name).type
    first, *rest = name.split(".")
    kind = schema.field(first).type if first in schema.names else None
    for key in rest:
        if kind is None or not pa.types.is_struct(kind) or kind.get_field_index(key) < 0:
            return None
        kind = kind.field(kind.get_field_index(key)).type
    return kind


def _column(records: pa.RecordBatch, name: str) -> Any:
    if name in records.schema.names:
        return records.column(records.schema.names.index(name))
    if type_at(records.schema, name) is None:
        return None
    first, *rest = name.split(".")
    column = records.column(records.schema.names.index(first))
    for key in rest:
        column = pc.struct_field(column, key)
    return column


def documents(
    records: pa.RecordBatch, first_row: int, file: InputFile, options: ReadOptions, problems: Problems
) -> Iterator[DocBatch]:
    """Documents of the rows of a record batch, in batches of bounded size.

    Rows are named ``path:row`` where they have no id of their own; columns other than the text, the id, source, url and
    metadata are kept inside the metadata.
    """
    records = _without_views(records)
    if options.text_field == WHOLE:
        yield from _whole(records, first_row, file, options)
        return
    column = _column(records, options.text_field)
    limit = min(options.max_record_bytes, MAX_TEXT_BYTES)
    good: list[int] = []
    held = 0
    for row, size in enumerate(_sizes(column)):
        where = f"{file.name}:{first_row + row}"
        if size < 0:
            problems.add("no_text_field", where, f"column {options.text_field!r}: null")
        elif size > limit:
            problems.add("record_too_large", where, f"text of {size} bytes, more than {limit}")
        else:
            if good and (held + size > BATCH_BYTES or len(good) >= BATCH_DOCUMENTS):
                yield from _batch(records, column, good, first_row, file, options, problems)
                good, held = [], 0
            good.append(row)
            held += size
    if good:
        yield from _batch(records, column, good, first_row, file, options, problems)


def _whole(records: pa.RecordBatch, first_row: int, file: InputFile, options: ReadOptions) -> Iterator[DocBatch]:
    """Each row as JSON."""
    notes = _notes(None, {}, file)
    for start in range(0, records.num_rows, BATCH_DOCUMENTS):
        part = records.slice(start, BATCH_DOCUMENTS)
        columns = [_values(part.column(at)) for at in range(part.num_columns)]
        rows = [dict(zip(part.schema.names, values, strict=True)) for values in zip(*columns, strict=True)]
        own = [as_id(dig(row, options.id_field.split("."))) for row in rows]
        ids = [one or f"{file.name}:{first_row + start + at}" for at, one in enumerate(own)]
        texts = [orjson.dumps(row, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode() for row in rows]
        yield DocBatch.of(ids, texts, file.source, None, [notes] * len(rows))


def _sizes(column: Any) -> Iterator[int]:
    """Bytes of each text, -1 for null; nothing is decoded, so a dictionary of long texts stays as small as it is."""
    for start in range(0, len(column), _STRETCH):
        part = column.slice(start, _STRETCH)
        if pa.types.is_dictionary(part.type):
            lengths = pc.binary_length(_binary(part.dictionary)).take(part.indices)
        else:
            lengths = pc.binary_length(_binary(part))
        yield from np.asarray(pc.fill_null(lengths, -1)).astype(np.int64).tolist()


def _without_views(records: pa.RecordBatch) -> pa.RecordBatch:
    """Columns of views as flat ones, since Arrow computes little on views."""
    if not {str(kind) for kind in records.schema.types} & {"string_view", "binary_view"}:
        return records
    arrays = []
    for column in records.columns:
        if str(column.type) in ("string_view", "binary_view"):
            flat = column.cast(pa.large_binary())
            try:
                column = flat.cast(pa.large_string()) if str(column.type) == "string_view" else flat
            except pa.ArrowInvalid:
                column = flat
        arrays.append(column)
    return pa.RecordBatch.from_arrays(arrays, names=records.schema.names)


def _binary(column: Any) -> Any:
    return column.cast(pa.large_binary())


def _as_text(column: Any, rows: list[int], where: str, first_row: int, problems: Problems) -> tuple[list[int], Any]:
    """The texts of some rows; rows that are not UTF-8 are set aside and left out."""
    part = column.take(pa.array(rows, pa.int64()))
    if pa.types.is_dictionary(part.type):
        part = part.dictionary_decode()
    data = _binary(part)  # text by its type alone is not checked when it is read
    try:
        return rows, data.cast(pa.string())
    except pa.ArrowInvalid:
        texts: list[str] = []
        good: list[int] = []
        for row, value in zip(rows, data.to_pylist(), strict=True):
            try:
                texts.append(value.decode())
                good.append(row)
            except UnicodeDecodeError as error:
                excerpt = value[:500].decode("utf-8", "replace")
                problems.add("not_utf8", f"{where}:{first_row + row}", f"{error.reason} at byte {error.start}", excerpt)
        return good, pa.array(texts, pa.string())


def _values(column: Any) -> list[Any]:
    """Python values of a column; text that is not UTF-8 with replacement characters."""
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        if _is_text(column.type):
            return [None if v is None else v.decode("utf-8", "replace") for v in _values(_binary(column))]
        return ["<not UTF-8>"] * len(column)


def _batch(
    records: pa.RecordBatch,
    column: Any,
    rows: list[int],
    first_row: int,
    file: InputFile,
    options: ReadOptions,
    problems: Problems,
) -> Iterator[DocBatch]:
    rows, texts = _as_text(column, rows, file.name, first_row, problems)
    if not rows:
        return
    chosen = pa.array(rows, pa.int64())
    inside = options.text_field.split(".") if options.text_field not in records.schema.names else None
    part = records if inside is not None else records.drop_columns([options.text_field])
    part = part.slice(rows[0], len(rows)) if rows[-1] - rows[0] + 1 == len(rows) else part.take(chosen)
    names = part.schema.names
    own = _column(part, options.id_field)
    ids = [None] * len(rows) if own is None else [as_id(value) for value in _values(own)]
    used = {options.text_field, "source", "url", "metadata"}
    if not any(one is None for one in ids):
        used.add(options.id_field)
    others = {name: _values(part.column(at)) for at, name in enumerate(names) if name not in used}
    sources, urls, kept = (
        _values(part.column(names.index(name))) if name in names else [None] * len(rows)
        for name in ("source", "url", "metadata")
    )
    notes = []
    for at in range(len(rows)):
        extra = {name: values[at] for name, values in others.items() if name != options.id_field or ids[at] is None}
        if not isinstance(sources[at], str):
            extra["source"] = sources[at]
        if not isinstance(urls[at], str):
            extra["url"] = urls[at]
        if inside is not None:
            remove(extra, inside)
        notes.append(_notes(kept[at], extra, file))
    yield DocBatch.of(
        [one or f"{file.name}:{first_row + row}" for one, row in zip(ids, rows, strict=True)],
        texts,
        [one if isinstance(one, str) and one else file.source for one in sources],
        [one if isinstance(one, str) else None for one in urls],
        notes,
    )


def _notes(own: Any, others: dict[str, Any], file: InputFile) -> str:
    notes: dict[str, Any] = {}
    if isinstance(own, str):
        try:
            own = orjson.loads(own)
        except orjson.JSONDecodeError:
            own = {"metadata": own}
    if isinstance(own, dict):
        notes.update(own)
    elif own is not None:
        notes["metadata"] = own
    for name, value in others.items():
        if value is not None:
            notes.setdefault(name, value)
    notes.setdefault("path", file.name)
    return orjson.dumps(notes, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()


def _plain(value: object) -> str:
    """Text for values that JSON lacks; bytes that are no text are only counted."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return f"<{len(value)} bytes>"
    return str(value)
