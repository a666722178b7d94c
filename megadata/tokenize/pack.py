"""Packing: documents of a finished dataset moved into rows of one length, best fit first, a window of documents at a time.

A window is as many documents, in the dataset's order, as `WINDOW_TOKENS` and `WINDOW_DOCUMENTS` allow, so memory is bounded and
what is written depends on the documents alone. Rows lie in the order of the first document in each; what no document fills is
padding at the end of a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from megadata.errors import TokenizerError
from megadata.indexed.format import docs_path
from megadata.indexed.packing import Packing, pack
from megadata.indexed.reader import IndexedDataset
from megadata.kernels import ragged
from megadata.runtime.exchange import KeyRange
from megadata.runtime.executor import Executor
from megadata.runtime.files import write_json
from megadata.runtime.progress import Reporter
from megadata.tokenize.layout import Piece, Placed, Totals
from megadata.tokenize.records import DOCS_SCHEMA
from megadata.tokenize.tokenizer import Tokenizer
from megadata.tokenize.write import ROW_GROUP, range_receipt, write_piece, write_ranges

WINDOW_TOKENS = 1 << 23
"""Tokens of the documents that are packed together; a longer document is packed alone."""
WINDOW_DOCUMENTS = 1 << 16

PACKED_SCHEMA = pa.schema(
    [
        *(pa.field(f.name, pa.list_(f.type), nullable=False) for f in DOCS_SCHEMA),
        pa.field("start", pa.list_(pa.int32()), nullable=False),
        pa.field("tokens", pa.list_(pa.int32()), nullable=False),
    ]
)
"""Columns of PREFIX.docs.parquet of a packed dataset. Row d is row d of the dataset; each column lists its documents, in order;
of each, `tokens` tokens from its token `start` on lie there."""


@dataclass(frozen=True, slots=True)
class Window:
    """Documents `first` to `last` (without it) of a dataset that are packed together; those without tokens do not count."""

    ordinal: int
    prefix: str
    first: int
    last: int
    tokens: int

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"window {self.ordinal} of {Path(self.prefix).name}"


@dataclass(frozen=True, slots=True)
class Packed:
    """What came of packing a window, or many."""

    rows: int = 0
    padding: int = 0
    """Tokens of padding."""
    cut: int = 0
    """Documents longer than a row."""

    def plus(self, other: Packed) -> Packed:
        """The sum."""
        return Packed(self.rows + other.rows, self.padding + other.padding, self.cut + other.cut)


def padding_id(tokenizer: Tokenizer) -> int:
    """What fills rows: the padding token, or where there is none the end-of-document token."""
    found = tokenizer.special.get("pad", tokenizer.eod)
    if found is None:
        raise TokenizerError(
            "--pack: the tokenizer has no token to fill rows with (<|padding|>, <pad>, <|endoftext|> or the like); "
            "add one to it or leave --pack out"
        )
    return found


def windows_of(prefix: str, first_ordinal: int) -> Iterator[Window]:
    """The windows of a dataset, in order."""
    lengths = IndexedDataset(prefix).lengths
    first, ordinal = 0, first_ordinal
    while first < lengths.size:
        ends = np.cumsum(lengths[first : first + WINDOW_DOCUMENTS], dtype=np.int64)
        count = max(int(np.searchsorted(ends, WINDOW_TOKENS, side="right")), 1)
        yield Window(ordinal, prefix, first, first + count, int(ends[count - 1]))
        first, ordinal = first + count, ordinal + 1


@dataclass(frozen=True, slots=True)
class CountRows:
    """Task: pack a window without moving a token."""

    length: int

    def __call__(self, window: Window) -> Packed:
        """How many rows it fills, and what that costs."""
        found = packing_of(window, self.length)
        return Packed(found.rows, found.rows * self.length - window.tokens, found.cut)


def packing_of(window: Window, length: int) -> Packing:
    """Where the documents of a window go, rows in the order of the first document in each."""
    found = pack(IndexedDataset(window.prefix).lengths[window.first : window.last], length)
    if found.rows == 0:
        return found
    heads = np.flatnonzero(np.diff(found.row, prepend=-1))
    by_first = np.argsort(np.minimum.reduceat(found.document, heads), kind="stable")
    rank = np.empty(found.rows, np.int64)
    rank[by_first] = np.arange(found.rows)
    row = rank[found.row]
    order = np.lexsort((found.start, found.document, row))
    return Packing(length, row[order], found.document[order], found.start[order], found.tokens[order])


def place_rows(
    windows: list[Window], counted: Mapping[int, Packed], targets: Mapping[str, str], length: int, most: int | None
) -> tuple[list[Placed], dict[str, Totals]]:
    """Give every row its place.

    Parameters
    ----------
    windows : of all datasets, each dataset's in order.
    counted : what came of each window, by ordinal.
    targets : prefix of the dataset that is packed -> prefix of the packed one.
    length : tokens of a row.
    most : tokens a file may hold, or None for one file a dataset.

    Returns
    -------
    placed : what each window writes where; `first` and `last` of a piece count the window's rows
    files : prefix -> totals
    """
    rows_of_file = most // length if most is not None else None
    written = dict.fromkeys(targets, 0)
    numbers = {prefix: number for number, prefix in enumerate(targets)}
    placed: list[Placed] = []
    files: dict[str, Totals] = {}
    for window in windows:
        rows, pieces, first = counted[window.ordinal].rows, [], 0
        while first < rows:
            at = written[window.prefix]
            number, inside = divmod(at, rows_of_file) if rows_of_file is not None else (0, at)
            count = min(rows - first, rows_of_file - inside) if rows_of_file is not None else rows - first
            prefix = targets[window.prefix] + (f"-{number:05d}" if rows_of_file is not None else "")
            size = Totals(count, count * length, count)
            before = Totals(inside, inside * length, inside)
            pieces.append(Piece(prefix, numbers[window.prefix], first, first + count, before, size))
            files[prefix] = files.get(prefix, Totals()).plus(size)
            written[window.prefix] += count
            first += count
        stretch = KeyRange(window.ordinal, window.first, window.last, window.tokens, rows, 0)
        placed.append(Placed(stretch, tuple(pieces)))
    return placed, dict(sorted(files.items()))


@dataclass(frozen=True, slots=True)
class PlaceRows:
    """Task: write the rows of a window to their places."""

    folder: Path
    dtype: str
    length: int
    padding: int
    prefixes: tuple[str, ...]
    """The datasets that are packed; the `group` of a piece is a number in this list."""

    def __call__(self, placed: Placed) -> None:
        """Write rows, lengths, bounds and provenance; last, the window's receipt."""
        stretch = placed.key_range
        prefix = self.prefixes[placed.pieces[0].group]
        window = Window(stretch.ordinal, prefix, stretch.start, stretch.stop, stretch.bytes)
        found = packing_of(window, self.length)
        rows = self._rows(window, found)
        table = _documents(window, found)
        for piece in placed.pieces:
            lengths = np.full(piece.size.sequences, self.length, "<i4")
            bounds = np.arange(piece.at.documents + 1, piece.at.documents + piece.size.documents + 1)
            part = table.slice(piece.first, piece.last - piece.first)
            write_piece(self.folder, piece, placed, (rows[piece.first : piece.last].reshape(-1), lengths, bounds, part))
        write_json(range_receipt(self.folder, placed), {"records": stretch.records}, sync=False)

    def _rows(self, window: Window, found: Packing) -> NDArray[np.generic]:
        kind = np.dtype(self.dtype)
        data = IndexedDataset(window.prefix)
        starts = data.starts(np.array([window.first]))
        tokens = np.ascontiguousarray(data.window(int(starts[0]), window.tokens))
        rows = np.full((found.rows, self.length), self.padding, kind)
        before = np.cumsum(data.lengths[window.first : window.last], dtype=np.int64)
        begin = before[found.document] - data.lengths[window.first : window.last][found.document] + found.start
        ends = np.cumsum(found.tokens)
        heads = np.flatnonzero(np.diff(found.row, prepend=-1))
        filled = np.repeat((ends - found.tokens)[heads], np.diff(heads, append=found.row.size))
        place = found.row * self.length + ends - found.tokens - filled
        width = kind.itemsize
        flat = rows.reshape(-1).view(np.uint8)
        ragged.place(tokens.view(np.uint8), begin * width, (begin + found.tokens) * width, place * width, flat)
        return rows


def _documents(window: Window, found: Packing) -> pa.Table:
    """Rows of PREFIX.docs.parquet: what lies in each row of a window."""
    data = IndexedDataset(window.prefix)
    documents = data.document_at(np.arange(window.first, window.last, dtype=np.int64))[found.document]
    first, last = int(documents.min()), int(documents.max())
    file = pq.ParquetFile(docs_path(window.prefix))
    groups = range(first // ROW_GROUP, last // ROW_GROUP + 1)
    taken = file.read_row_groups(list(groups)).take(pa.array(documents - groups.start * ROW_GROUP))
    heads = np.flatnonzero(np.diff(found.row, prepend=-1))
    offsets = pa.array(np.append(heads, found.row.size), pa.int32())
    columns = [pa.ListArray.from_arrays(offsets, column.combine_chunks()) for column in taken.columns]
    columns += [pa.ListArray.from_arrays(offsets, pa.array(n, pa.int32())) for n in (found.start, found.tokens)]
    return pa.table(columns, schema=PACKED_SCHEMA)


def pack_datasets(
    executor: Executor,
    targets: Mapping[str, str],
    task: PlaceRows,
    most: int | None,
    identity: str,
    progress: Reporter,
) -> tuple[dict[str, Totals], Packed]:
    """Write the rows of finished datasets to where `complete` takes them up; an earlier run's are not written again.

    `targets` maps their prefixes, those of `task`, to the prefixes of what they become.
    """
    windows: list[Window] = []
    for prefix in targets:
        windows += windows_of(prefix, len(windows))
    counted: dict[int, Packed] = {}
    with progress.stage("pack", sum(window.tokens for window in windows)) as stage:
        for window, packed in executor.run(CountRows(task.length), windows):
            counted[window.ordinal] = packed
            stage.advance(window.tokens)
    placed, files = place_rows(windows, counted, targets, task.length, most)
    write_ranges(executor, task, placed, files, identity, progress)
    return files, reduce(Packed.plus, counted.values(), Packed())
