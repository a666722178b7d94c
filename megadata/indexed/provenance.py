"""From tokens back to documents: which documents a range of tokens covers, and what PREFIX.docs.parquet knows about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from megadata.errors import IndexFormatError
from megadata.indexed.format import docs_path
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
    data = IndexedDataset(tokens.prefix)
    ends = np.array([tokens.start, tokens.start + tokens.length - 1])
    first, last = data.document_at(data.sequence_at(ends)).tolist()
    borders = data.document_starts(np.arange(first, last + 2))
    rows = document_rows(tokens.prefix, range(first, last + 1))
    spans = []
    for document, row in zip(range(first, last + 1), rows, strict=True):
        begin, end = int(borders[document - first]), int(borders[document - first + 1])
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
    path = docs_path(prefix)
    if not path.exists() or not documents:
        return [{} for _ in documents]
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        rows: dict[int, dict[str, Any]] = {}
        wanted = sorted(set(documents))
        first = 0
        for group in range(file.metadata.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            inside = [document - first for document in wanted if first <= document < first + size]
            if inside:
                taken = file.read_row_group(group).take(pa.array(inside)).to_pylist()
                rows.update({first + at: row for at, row in zip(inside, taken, strict=True)})
            first += size
    except (pa.ArrowException, OSError) as error:
        raise IndexFormatError(f"{path}: cannot be read as Parquet: {error}; write the dataset again") from error
    if missing := [document for document in wanted if document not in rows]:
        raise IndexFormatError(
            f"{path}: has {first} rows, document {missing[0]} is not among them; it belongs to another dataset"
        )
    return [rows[document] for document in documents]
