"""Tables of documents: Parquet and Arrow IPC streams with a list column of token ids, as Hugging Face `datasets` reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from megadata.errors import ConfigError, CorpusError
from megadata.indexed.foreign.files import Advance, Batch, Folder, cut, documents, files_of, quiet
from megadata.indexed.provenance import document_rows
from megadata.indexed.reader import IndexedDataset

COLUMN = "input_ids"
FILE_BYTES = 512 << 20
"""Bytes of tokens in a file."""
GROUP_TOKENS = 1 << 22
"""Tokens of a row group or record batch."""
GROUP_ROWS = 1 << 16
READ_ROWS = 1 << 11
"""Rows of Parquet read at a time: a row may be a book."""
KNOWN = ("id", "source", "url")
"""Columns taken over from and to PREFIX.docs.parquet."""


def write_table(
    data: IndexedDataset, folder: Path, form: Literal["parquet", "arrow"], advance: Advance = quiet
) -> list[Path]:
    """Write FOLDER/NAME-00000-of-00001.parquet (or .arrow): a document a row, its tokens in ``input_ids``.

    Rows have the columns ``id``, ``source`` and ``url`` where PREFIX.docs.parquet does. Arrow files are IPC streams, and beside
    them lie the small JSON files with which ``datasets.load_from_disk`` opens the folder.
    """
    parts = list(cut(data, max(1, FILE_BYTES // data.dtype.itemsize), max(1, data.documents))) or [(0, 0)]
    stem = Path(data.prefix).name
    names = [f"{stem}-{number:05d}-of-{len(parts):05d}.{form}" for number in range(len(parts))]
    beside = ["dataset_info.json", "state.json"] if form == "arrow" else []
    target = Folder(folder, f"{stem}-*.{form}", [*names, *beside])
    known = [name for name in KNOWN if data.documents and name in document_rows(data.prefix, [0])[0]]
    fields = [
        *(pa.field(name, pa.string()) for name in known),
        pa.field(COLUMN, pa.list_(pa.from_numpy_dtype(data.dtype))),
    ]
    schema = pa.schema(fields)
    for name, (first, last) in zip(names, parts, strict=True):
        temporary = folder / f".{name}.part"
        try:
            with _writer(temporary, schema, form) as writer:
                for batch in _batches(data, first, last, known, schema):
                    writer.write_batch(batch)
                    advance(len(batch.column(COLUMN).values) * data.dtype.itemsize)
            target.adopt(temporary, name)
        finally:
            temporary.unlink(missing_ok=True)
    if form == "arrow":
        state: dict[str, Any] = {
            "_data_files": [{"filename": name} for name in names],
            "_fingerprint": data.fingerprint[:16],
        }
        state |= {"_format_columns": None, "_format_kwargs": {}, "_format_type": None}
        state |= {"_output_all_columns": False, "_split": None}
        target.write("dataset_info.json", (b"{}\n",))
        target.write("state.json", (json.dumps(state, indent=1).encode(),))
    return target.written


def _writer(path: Path, schema: pa.Schema, form: str) -> Any:
    if form == "parquet":
        return pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=[])
    return pa.ipc.new_stream(path, schema)


def _batches(
    data: IndexedDataset, first: int, last: int, known: list[str], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    for begin, end in cut(data, GROUP_TOKENS, GROUP_ROWS, first, last):
        tokens, lengths = documents(data, begin, end)
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
        values = pa.array(np.ascontiguousarray(tokens))
        rows = document_rows(data.prefix, range(begin, end)) if known else []
        columns = [pa.array([row[name] for row in rows], pa.string()) for name in known]
        yield pa.record_batch([*columns, pa.ListArray.from_arrays(pa.array(offsets), values)], schema=schema)


def read_table(path: Path, column: str | None) -> Iterator[Batch]:
    """The rows of Parquet and Arrow files that have a list column of integers.

    Raises
    ------
    ConfigError
        If there is no such column.
    CorpusError
        If a file is damaged, or a row or token is null.
    """
    for file in files_of(path, "*.parquet", "*.arrow", "*.feather"):
        row = 0
        try:
            for batch in _record_batches(file):
                batch.validate(full=True)  # offsets of a damaged batch would lead anywhere
                yield _documents(batch, column, file, row)
                row += len(batch)
        except (
            pa.ArrowException,
            OSError,
            ValueError,
            MemoryError,
            OverflowError,
        ) as error:  # sizes and names that lie
            raise CorpusError(f"{file}: cannot be read as {file.suffix[1:]}: {error}; copy the file again") from error


def _record_batches(file: Path) -> Iterator[pa.RecordBatch]:
    if file.suffix == ".parquet":
        yield from pq.ParquetFile(file).iter_batches(batch_size=READ_ROWS)
        return
    with pa.memory_map(str(file)) as source:
        if bytes(source.read(6)) == b"ARROW1":
            opened = pa.ipc.open_file(source)
            yield from (opened.get_batch(number) for number in range(opened.num_record_batches))
        else:
            source.seek(0)
            yield from pa.ipc.open_stream(source)


def _documents(batch: pa.RecordBatch, column: str | None, file: Path, row: int) -> Batch:
    name = _column(batch.schema, column, file)
    array = batch.column(name)
    if array.null_count:
        raise CorpusError(f"{file}: row {row + array.is_null().index(True).as_py()} of {name} is null; expected tokens")
    flat = array.flatten()
    if flat.null_count:
        raise CorpusError(f"{file}: a token of {name} after row {row} is null; expected integers")
    if pa.types.is_fixed_size_list(array.type):
        borders = np.arange(len(array) + 1, dtype=np.int64) * array.type.list_size
    else:
        borders = np.asarray(array.offsets).astype(np.int64)
    known = {one: batch.column(one).cast(pa.string()).to_pylist() for one in KNOWN if one in batch.schema.names}
    return Batch(flat.to_numpy(zero_copy_only=False), np.diff(borders), known)


def _column(schema: pa.Schema, wanted: str | None, file: Path) -> str:
    def fits(name: str) -> bool:
        kind = schema.field(name).type
        lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
        return any(is_it(kind) for is_it in lists) and pa.types.is_integer(kind.value_type)

    names = [name for name in schema.names if fits(name)]
    chosen = [name for name in ([wanted] if wanted else [COLUMN, "tokens"]) if name in names]
    if not chosen and (wanted or len(names) != 1):
        raise ConfigError(
            f"{file}: expected a column of lists of integers named {wanted or 'input_ids or tokens'}, found "
            f"{', '.join(names) or 'no such column'} among {', '.join(schema.names)}; name it with --column"
        )
    return chosen[0] if chosen else names[0]
