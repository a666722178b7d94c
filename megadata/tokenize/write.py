"""Second pass: each key range sorted and written to its places, then every dataset completed with its sidecars."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from megadata.errors import CorpusError
from megadata.indexed.format import docs_path, meta_path, tokenizer_path
from megadata.indexed.meta import Meta, read_meta
from megadata.indexed.writer import bin_temporary, finish, preallocate, write_tokens
from megadata.runtime.exchange import Exchange
from megadata.runtime.executor import Executor
from megadata.runtime.files import atomic_write, read_json, remove_temporaries_of, write_json
from megadata.runtime.progress import Reporter
from megadata.tokenize.layout import Piece, Placed, Totals
from megadata.tokenize.records import DOCS_SCHEMA, RECORD, docs_table, pick, sizes_of
from megadata.tokenize.tokenizer import Tokenizer

ROW_GROUP = 1 << 16
"""Documents in a row group of PREFIX.docs.parquet."""


def side_path(folder: Path, prefix: str, name: str) -> Path:
    """Where lengths, bounds and provenance of a dataset wait for its completion."""
    return folder / "out" / f"{Path(prefix).name}.{name}"


class PlacingTask(Protocol):
    """What writes the documents of a range, or the rows of a window, to their places."""

    @property
    def folder(self) -> Path:
        """Where the work lies."""
        ...

    @property
    def dtype(self) -> str:
        """Type of a token."""
        ...

    def __call__(self, placed: Placed) -> None:
        """Write them; last, the receipt."""
        ...


@dataclass(frozen=True, slots=True)
class PlaceRange:
    """Task: read a key range in order and write its documents to their places."""

    folder: Path
    dtype: str
    sentences: bool

    def __call__(self, placed: Placed) -> None:
        """Write tokens, lengths, document bounds and provenance; last, the range's receipt."""
        part = Exchange(self.folder / "runs", RECORD).read(placed.key_range)
        kind = np.dtype(self.dtype)
        records = part.records
        sizes = sizes_of(records, kind.itemsize, self.sentences)
        for piece in placed.pieces:
            chosen = np.flatnonzero(records["group"] == piece.group)[piece.first : piece.last]
            tokens = pick(part.payload, sizes, chosen, 0).view(kind)
            if self.sentences:
                lengths = pick(part.payload, sizes, chosen, 1).view("<i4")
            else:
                lengths = records["tokens"][chosen].astype("<i4")
                lengths = lengths[lengths > 0]
            bounds = np.cumsum(records["sequences"][chosen], dtype=np.int64) + piece.at.sequences
            table = docs_table(records, part.payload, sizes, chosen)
            write_piece(self.folder, piece, placed, (tokens, lengths, bounds, table))
        write_json(range_receipt(self.folder, placed), {"records": placed.key_range.records}, sync=False)


def write_piece(
    folder: Path, piece: Piece, placed: Placed, found: tuple[NDArray[Any], NDArray[Any], NDArray[np.int64], pa.Table]
) -> None:
    """Write tokens, sequence lengths, document bounds (without the first) and provenance of a piece to their places."""
    tokens, lengths, bounds, table = found
    write_tokens(bin_temporary(piece.prefix), tokens.dtype, piece.at.tokens, tokens, sync=True)
    write_tokens(side_path(folder, piece.prefix, "lengths"), "<i4", piece.at.sequences, lengths, sync=True)
    write_tokens(side_path(folder, piece.prefix, "bounds"), "<i8", piece.at.documents + 1, bounds, sync=True)
    target = side_path(folder, piece.prefix, f"{placed.key_range.ordinal:06d}.docs")
    with atomic_write(target) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def range_receipt(folder: Path, placed: Placed) -> Path:
    """The file that says that a range was written."""
    return folder / "placed" / f"{placed.key_range.ordinal:06d}.json"


def write_ranges(
    executor: Executor,
    task: PlacingTask,
    placed: list[Placed],
    files: dict[str, Totals],
    identity: str,
    progress: Reporter,
) -> None:
    """Write all ranges that an earlier run has not written, after making room for every file."""
    folder, width = task.folder, np.dtype(task.dtype).itemsize
    plan: Any = {"files": {p: asdict(t) for p, t in files.items()}, "ranges": [_borders(p) for p in placed]}
    if not _continues(folder, plan, files, width, identity):
        (folder / "plan.json").unlink(missing_ok=True)  # first, so that no plan outlives what it describes
        for name in ("placed", "out"):
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / "out").mkdir(parents=True)
        for prefix, totals in files.items():
            meta_path(prefix).unlink(missing_ok=True)
            preallocate(bin_temporary(prefix), totals.tokens * width)
            preallocate(side_path(folder, prefix, "lengths"), totals.sequences * 4)
            preallocate(side_path(folder, prefix, "bounds"), (totals.documents + 1) * 8)
        write_json(folder / "plan.json", plan)
    pending = [p for p in placed if not range_receipt(folder, p).exists()]
    with progress.stage("write", sum(p.key_range.bytes for p in pending)) as stage:
        for done, _ in executor.run(task, pending):
            stage.advance(done.key_range.bytes)


def _borders(placed: Placed) -> list[int]:
    return [placed.key_range.start, placed.key_range.stop - 1, placed.key_range.records]


def _continues(folder: Path, plan: Any, files: dict[str, Totals], width: int, identity: str) -> bool:
    """Whether an earlier run was writing the same files from the same ranges, and what it wrote is still there."""
    try:
        if read_json(folder / "plan.json") != plan:
            return False
    except CorpusError:
        return False
    for prefix, totals in files.items():
        temporary = bin_temporary(prefix)
        whole = temporary.exists() and temporary.stat().st_size == totals.tokens * width
        if not whole and not is_finished(prefix, identity):
            return False
    return True


def is_finished(prefix: str, identity: str) -> bool:
    """Whether the dataset has been completed by the step of this identity."""
    meta = read_meta(prefix)
    return meta is not None and meta.identity == identity and not bin_temporary(prefix).exists()


def complete(
    folder: Path,
    prefix: str,
    totals: Totals,
    dtype: str,
    tokenizer: Tokenizer,
    meta: Meta,
    workers: int,
    schema: pa.Schema = DOCS_SCHEMA,
) -> Meta:
    """Put the sidecars in place and complete the dataset."""
    for sidecar in (docs_path(prefix), tokenizer_path(prefix)):
        remove_temporaries_of(sidecar)
    parts = sorted((folder / "out").glob(f"{Path(prefix).name}.*.docs"))
    with atomic_write(docs_path(prefix)) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in _row_groups(parts):
            writer.write_table(group, row_group_size=ROW_GROUP)
    tokenizer.save(tokenizer_path(prefix))
    lengths = _mapped(side_path(folder, prefix, "lengths"), "<i4", totals.sequences)
    bounds = _mapped(side_path(folder, prefix, "bounds"), "<i8", totals.documents + 1)
    return finish(prefix, dtype=dtype, lengths=lengths, document_indices=bounds, meta=meta, workers=workers)


def _row_groups(parts: list[Path]) -> Iterator[pa.Table]:
    """The rows of all parts in tables of exactly `ROW_GROUP` rows, the last one smaller."""
    held: list[pa.Table] = []
    rows = 0
    for path in parts:
        with pa.memory_map(str(path)) as source:
            held.append(pa.ipc.open_file(source).read_all())
        rows += held[-1].num_rows
        if rows >= ROW_GROUP:
            table = pa.concat_tables(held)
            whole = rows - rows % ROW_GROUP
            for start in range(0, whole, ROW_GROUP):
                yield table.slice(start, ROW_GROUP)
            held, rows = [table.slice(whole)], rows - whole
    if rows:
        yield pa.concat_tables(held)


def _mapped(path: Path, dtype: str, count: int) -> NDArray[Any]:
    if os.path.getsize(path) == 0:  # noqa: PTH202
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, "r", shape=(count,))
