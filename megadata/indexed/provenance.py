"""From tokens back to documents: which documents a range of tokens covers, and what PREFIX.docs.parquet knows about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any

import numpy as np

from megadata.errors import IndexFormatError
from megadata.indexed.files import BytesFile, open_sidecar
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.stream import TokenRange


@dataclass(frozen=True, slots=True)
class DocumentSpan:
    """The part of one document that a sample covers."""

    prefix: str
    document: int
    """Number of the document, or of the row of packed documents, in its dataset."""
    start: int
    """First token, counted from the start of the document."""
    length: int
    """Tokens covered."""
    id: str | None = None
    """The document's id, where PREFIX.docs.parquet has it."""
    source: str | None = None
    url: str | None = None


def documents_of(tokens: TokenRange) -> list[DocumentSpan]:
    """The documents that a range of tokens covers, in order; those without tokens are left out."""
    return documents_of_all([[tokens]])[0]


def documents_of_all(samples: Sequence[Sequence[TokenRange]]) -> list[list[DocumentSpan]]:
    """The documents that each of several samples covers, given as ranges of tokens; a row group is read once for all."""
    datasets: dict[str, IndexedDataset] = {}
    wanted: dict[str, set[int]] = {}
    for tokens in chain.from_iterable(samples):
        data = datasets.setdefault(tokens.prefix, IndexedDataset(tokens.prefix))
        wanted.setdefault(tokens.prefix, set()).update(_documents(data, tokens))
    rows = {
        prefix: dict(zip(ordered, document_rows(prefix, ordered), strict=True))
        for prefix, ordered in ((prefix, sorted(documents)) for prefix, documents in wanted.items())
    }
    return [
        [span for tokens in ranges for span in _spans(datasets[tokens.prefix], tokens, rows[tokens.prefix])]
        for ranges in samples
    ]


def _documents(data: IndexedDataset, tokens: TokenRange) -> range:
    ends = np.array([tokens.start, tokens.start + tokens.length - 1])
    first, last = data.document_at(data.sequence_at(ends)).tolist()
    return range(first, last + 1)


def _spans(data: IndexedDataset, tokens: TokenRange, rows: dict[int, dict[str, Any]]) -> list[DocumentSpan]:
    documents = _documents(data, tokens)
    borders = data.document_starts(np.arange(documents.start, documents.stop + 1))
    spans = []
    for number, document in enumerate(documents):
        begin, end, row = int(borders[number]), int(borders[number + 1]), rows[document]
        for part in _parts(row, end - begin):
            start = max(begin + part.place, tokens.start)
            stop = min(begin + part.place + part.tokens, tokens.start + tokens.length)
            if stop > start:
                inside = start - begin - part.place + part.start
                spans.append(DocumentSpan(tokens.prefix, document, inside, stop - start, **part.known))
    return spans


@dataclass(frozen=True, slots=True)
class _Part:
    """A document, or a part of one that was packed into a row."""

    place: int
    """Tokens before it in the row."""
    start: int
    """Tokens of the document before it."""
    tokens: int
    known: dict[str, Any]


def _parts(row: dict[str, Any], size: int) -> list[_Part]:
    """What a document of `size` tokens holds: itself, or the documents packed into a row, without its padding."""
    names = ("id", "source", "url")
    tokens = row.get("tokens")
    if not isinstance(tokens, list):
        return [_Part(0, 0, size, {name: row.get(name) for name in names})]
    places = accumulate(tokens, initial=0)
    known = (dict(zip(names, one, strict=True)) for one in zip(*(row[name] for name in names), strict=True))
    return [_Part(*one) for one in zip(places, row["start"], tokens, known, strict=False)]


def document_rows(prefix: str, documents: Sequence[int]) -> list[dict[str, Any]]:
    """The rows of PREFIX.docs.parquet of some documents, reading only their row groups; empty rows where there is no file.

    Raises
    ------
    IndexFormatError
        If the file has not one row a document, or is not Parquet.
    """
    path = f"{prefix}.docs.parquet"
    source = open_sidecar(path) if documents else None
    if source is None:
        return [{} for _ in documents]
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(BytesFile(source))
        rows: dict[int, dict[str, Any]] = {}
        wanted = np.unique(np.asarray(documents, np.int64))
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        borders = np.cumsum([0, *sizes])
        groups = np.searchsorted(borders, wanted, side="right") - 1
        for group in np.unique(groups[wanted < borders[-1]]).tolist():
            mine = wanted[groups == group]
            table = file.read_row_group(group)
            table.validate(full=True)  # offsets of a damaged group would lead anywhere
            taken = table.take(pa.array(mine - borders[group])).to_pylist()
            rows.update(zip(mine.tolist(), taken, strict=True))
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        raise IndexFormatError(f"{path}: cannot be read as Parquet: {error}; write the dataset again") from error
    if missing := [document for document in wanted.tolist() if document not in rows]:
        raise IndexFormatError(
            f"{path}: has {borders[-1]} rows, document {missing[0]} is not among them; it belongs to another dataset"
        )
    return [rows[document] for document in documents]
