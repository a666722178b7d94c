"""Put datasets together at the speed of the disk: tokens are copied by the kernel and never decoded.

With `shuffle` the documents of all inputs are written in one seeded order instead: output document p is input document pi(p) for
the keyed bijection of `order.permute`, so that no list of documents is held; tokens are gathered a chunk of output at a time.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megadata.errors import ConfigError, OutputError
from megadata.indexed.files import Bytes, BytesFile, LocalBytes, is_url, open_bytes, open_sidecar
from megadata.indexed.format import CHUNK, bin_path, docs_path, tokenizer_path
from megadata.indexed.meta import Meta
from megadata.indexed.order import I64, mix64_of, permute
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.vocabulary import common_vocabulary
from megadata.indexed.writer import IndexedWriter, bin_temporary, finish, preallocate, refuse_foreign

COPY_BYTES = 1 << 30
"""Bytes that the kernel is asked to copy at a time."""
PIECE_BYTES = 8 << 20
"""Bytes copied at a time where it cannot."""
GATHER_BYTES = 64 << 20
"""Tokens of output gathered at a time when shuffling."""
ROWS = 1 << 16
"""Rows of docs.parquet handled together."""
SHUFFLE_KEY = 21


def merge(
    prefixes: Sequence[str | Path],
    output: str | Path,
    *,
    shuffle: bool = False,
    seed: int = 0,
    workers: int = 1,
) -> Meta:
    """Write one dataset that holds the documents of all inputs.

    Parameters
    ----------
    prefixes : sequence of str or Path
        Datasets of one token type and, as far as their sidecars say, one tokenizer.
    output : str or Path
        Prefix to write; none of the inputs.
    shuffle : bool
        Mix the documents of all inputs in an order keyed by `seed`; else one input follows another.
    workers : int
        Threads that compute digests.

    Returns
    -------
    Meta
        The sidecar of the new dataset. Row d of its docs.parquet is still document d, where every input has that file.

    Raises
    ------
    ConfigError
        If there is no input, the types or tokenizers differ, or the output is an input.
    IndexFormatError
        If an input is damaged.
    """
    inputs = [IndexedDataset(prefix) for prefix in prefixes]
    _check(inputs, output)
    refuse_foreign(output)
    meta = _common_meta(inputs)
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    order = _Order(inputs, seed) if shuffle else None
    _merge_docs(inputs, output, order)
    vocabulary = common_vocabulary(inputs)
    if vocabulary.tokenizer is not None:
        shutil.copyfile(vocabulary.tokenizer, tokenizer_path(output))
        meta = dataclasses.replace(meta, tokenizer_path=tokenizer_path(output).name)
    if order is None:
        return _append(inputs, output, meta, workers)
    meta = dataclasses.replace(meta, shuffled=True, seed=seed)
    writer = IndexedWriter(output, inputs[0].dtype, meta, workers=workers)
    try:
        _gather(inputs, order, writer)
        return writer.finish()
    except BaseException:
        writer.discard()
        raise


def _check(inputs: Sequence[IndexedDataset], output: str | Path) -> None:
    if not inputs:
        raise ConfigError("merge: needs at least one dataset prefix")
    first = inputs[0]
    for data in inputs:
        if data.dtype != first.dtype:
            raise ConfigError(
                f"merge: {data.prefix} holds {data.dtype.name} tokens, {first.prefix} holds {first.dtype.name}; "
                "merge datasets of one type"
            )
        if not is_url(data.prefix) and bin_path(data.prefix).resolve() == bin_path(output).resolve():
            raise ConfigError(f"merge: {output} is one of the inputs; write to another prefix")


def _common_meta(inputs: Sequence[IndexedDataset]) -> Meta:
    """What holds for all inputs; a promise that one of them does not make is dropped."""
    common_vocabulary(inputs)
    metas = [data.meta for data in inputs]
    known = [meta for meta in metas if meta is not None]
    if len(known) < len(metas):
        return Meta(level="sentence" if any(len(data) > data.documents for data in inputs) else "document")
    first = known[0]
    rows = {meta.pack for meta in known}
    if len(rows) > 1:
        described = " and ".join(
            sorted(f"rows of {row} tokens" if row else "documents that are not packed" for row in rows)
        )
        raise ConfigError(f"merge: the inputs hold {described}; merge those that are alike")
    return Meta(
        vocabulary_size=first.vocabulary_size,
        eod=first.eod,
        appended_eod=all(meta.appended_eod for meta in known),
        special_tokens=first.special_tokens,
        tokenizer_sha256=first.tokenizer_sha256,
        word_start=first.word_start,
        level="sentence" if any(meta.level == "sentence" for meta in known) else "document",
        shuffled=len(known) == 1 and first.shuffled,
        seed=first.seed if len(known) == 1 else None,
        pack=first.pack,
        padding=first.padding,
        config={"merged": [{"config": dict(meta.config), "identity": meta.identity} for meta in known]},
    )


def _append(inputs: Sequence[IndexedDataset], output: str | Path, meta: Meta, workers: int) -> Meta:
    """Copy the .bin files behind each other, and write an index from the lengths and bounds of all."""
    temporary = bin_temporary(output)
    sizes = [data.tokens * data.dtype.itemsize for data in inputs]
    preallocate(temporary, sum(sizes))
    descriptor = os.open(temporary, os.O_WRONLY)
    try:
        position = 0
        for data, size in zip(inputs, sizes, strict=True):
            _copy(f"{data.prefix}.bin", descriptor, position, size)
            position += size
    except OSError as error:
        raise OutputError(f"{temporary}: cannot write: {error.strerror}; free space or write elsewhere") from error
    finally:
        os.close(descriptor)
    sides = [Path(f"{output}.{name}.tmp") for name in ("lengths", "bounds")]
    try:
        with sides[0].open("wb") as lengths, sides[1].open("wb") as bounds:
            bounds.write(np.zeros(1, np.int64).tobytes())
            before = 0
            for data in inputs:
                for start in range(0, len(data), CHUNK):
                    lengths.write(data.lengths[start : start + CHUNK].tobytes())
                starts = data.bounds
                for start in range(0, data.documents, CHUNK):
                    bounds.write((starts[start + 1 : start + CHUNK + 1] + before).tobytes())
                before += len(data)
        return finish(
            output,
            dtype=inputs[0].dtype,
            lengths=_mapped(sides[0], np.dtype(np.int32)),
            document_indices=_mapped(sides[1], np.dtype(np.int64)),
            meta=meta,
            workers=workers,
        )
    finally:
        for path in sides:
            path.unlink(missing_ok=True)


def _copy(source: str, target: int, position: int, size: int) -> None:
    """Copy a file or object into an open file at `position`, inside the kernel where the platform can."""
    reader = open_bytes(source)
    done = 0
    while done < size:
        count = _copy_inside(reader, target, position, done, size)
        if not count:
            count = os.pwrite(target, reader.read(done, min(done + PIECE_BYTES, size)), position + done)
        if count == 0:
            raise OutputError(f"{source}: ended after {done} of {size} bytes while it was copied; run merge again")
        done += count


def _copy_inside(reader: Bytes, target: int, position: int, done: int, size: int) -> int:
    """Bytes that the kernel copied; 0 where it cannot."""
    if not isinstance(reader, LocalBytes):
        return 0
    try:
        return os.copy_file_range(reader.fileno(), target, min(COPY_BYTES, size - done), done, position + done)
    except (AttributeError, OSError):
        return 0


def _mapped(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.empty(0, dtype)


class _Order:
    """Which input document is output document p."""

    def __init__(self, inputs: Sequence[IndexedDataset], seed: int) -> None:
        ends = np.cumsum([data.documents for data in inputs], dtype=np.int64)
        self.total = int(ends[-1])
        self._starts = np.concatenate(([0], ends[:-1]))
        self._key = np.uint64(mix64_of(seed, SHUFFLE_KEY))

    def documents(self, start: int, stop: int) -> I64:
        """Numbers, over all inputs, of output documents start, ..., stop - 1."""
        places = np.arange(start, stop, dtype=np.uint64)
        sizes = np.full(places.shape, self.total, np.uint64)
        return permute(places, sizes, np.full(places.shape, self._key, np.uint64)).astype(np.int64)

    def split(self, documents: I64) -> tuple[I64, I64]:
        """The input each document lies in, and its number there."""
        owner = np.searchsorted(self._starts, documents, side="right").astype(np.int64) - 1
        return owner, documents - self._starts[owner]


def _gather(inputs: Sequence[IndexedDataset], order: _Order, writer: IndexedWriter) -> None:
    """Append all documents in order; within a chunk of output the inputs are read front to back."""
    for start in range(0, order.total, ROWS):
        owner, document = order.split(order.documents(start, min(start + ROWS, order.total)))
        sizes = np.zeros(owner.size, np.int64)
        for number, data in enumerate(inputs):
            mine = owner == number
            sizes[mine] = data.document_starts(document[mine] + 1) - data.document_starts(document[mine])
        for first, last in _groups(sizes, GATHER_BYTES // writer.dtype.itemsize):
            _gather_group(inputs, owner[first:last], document[first:last], sizes[first:last], writer)


def _groups(sizes: I64, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of documents of at most `most` tokens together, at least one each."""
    ends = np.cumsum(sizes)
    first = 0
    while first < sizes.size:
        before = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield first, last
        first = last


def _gather_group(
    inputs: Sequence[IndexedDataset], owner: I64, document: I64, sizes: I64, writer: IndexedWriter
) -> None:
    places = np.concatenate(([0], np.cumsum(sizes)))
    tokens = np.empty(int(places[-1]), writer.dtype)
    lengths: list[NDArray[np.int32]] = [np.empty(0, np.int32)] * owner.size
    for i in np.lexsort((document, owner)).tolist():
        data = inputs[int(owner[i])]
        first, last = data.document_bounds(int(document[i]))
        tokens[places[i] : places[i + 1]] = data.document(int(document[i]))
        lengths[i] = data.lengths[first:last]
    counts = np.array([part.size for part in lengths], np.int64)
    writer.add_documents(tokens, np.concatenate(lengths), np.cumsum(counts) - counts)


def _merge_docs(inputs: Sequence[IndexedDataset], output: str | Path, order: _Order | None) -> None:
    """Write PREFIX.docs.parquet in the order of the documents, where every input has one; else remove a stale one."""
    target = docs_path(output)
    sources = [open_sidecar(f"{data.prefix}.docs.parquet") for data in inputs]
    files = [BytesFile(source) for source in sources if source is not None]
    if len(files) < len(sources):
        target.unlink(missing_ok=True)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    temporary = target.with_name(target.name + ".tmp")
    schema = pa.unify_schemas([pq.read_schema(path) for path in files])
    with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        if order is None:
            for path in files:
                path.seek(0)
                file = pq.ParquetFile(path)
                for group in range(file.metadata.num_row_groups):
                    writer.write_table(_conform(file.read_row_group(group), schema))
        else:
            table = pa.concat_tables([_conform(pq.read_table(path), schema) for path in files])
            for start in range(0, order.total, ROWS):
                rows = order.documents(start, min(start + ROWS, order.total))
                writer.write_table(table.take(pa.array(rows)))
    temporary.replace(target)


def _conform(table: Any, schema: Any) -> Any:
    """An Arrow table with the columns of `schema`, null where it has none."""
    import pyarrow as pa

    columns = [
        table.column(f.name).cast(f.type) if f.name in table.column_names else pa.nulls(len(table), f.type)
        for f in schema
    ]
    return pa.table(columns, schema=schema)
