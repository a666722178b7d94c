"""From tokens back to documents: which documents a range of tokens covers, and what PREFIX.docs.parquet knows about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    """Number of the document in its dataset."""
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
        start, stop = max(begin, tokens.start), min(end, tokens.start + tokens.length)
        if stop > start:
            known = {name: row.get(name) for name in ("id", "source", "url")}
            spans.append(DocumentSpan(tokens.prefix, document, start - begin, stop - start, **known))
    return spans


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
