"""From documents to what is compared: spans, the digests of windows of them, and who has the first of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from megadata.corpus.characters import class_table, code_points
from megadata.corpus.dedup import ranks, records, signatures
from megadata.corpus.dedup.config import MinHashConfig
from megadata.corpus.dedup.spans.config import SpanConfig
from megadata.corpus.lines import SENTENCE_ENDS
from megadata.documents.batch import DocBatch
from megadata.kernels import spans as kernels
from megadata.kernels.base import I64, U8, U64

SEEN = np.dtype(
    [
        ("key", "<u8"),
        ("rest", "<u8"),
        ("priority", "<u2"),
        ("document", "<u8"),
        ("at", "<u4"),
        ("count", "<u4"),
    ]
)
"""A window of spans in one unit: its digest, its first occurrence (rank of the source, hash of the id, number in the document),
and how often it occurs. Sorted, the first record of a digest has the first occurrence of all."""

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FOLD = np.uint64(29)


@dataclass(frozen=True, slots=True)
class Spans:
    """Spans of documents, and the windows of them that are compared."""

    starts: I64
    """int64[S + 1]: where each span begins in the text; they cover the documents."""
    bounds: I64
    """int64[D + 1]: document d has the spans bounds[d] to bounds[d + 1]."""
    told: I64
    """int64[T]: the spans that are long enough and have any words."""
    windows: I64
    """int64[W]: place in `told` of the first span of each window."""
    window: int
    """Spans in a window."""
    digests: U64
    """uint64[W, 2]: digests of the windows' normalised texts."""
    document: I64
    """int64[W]: the document of each window."""
    at: I64
    """int64[W]: number of each window in its document."""

    def members(self, windows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """bool[S]: the spans of the chosen windows."""
        mask = np.zeros(self.starts.size - 1, np.bool_)
        first = self.windows[windows]
        for step in range(self.window):
            mask[self.told[first + step]] = True
        return mask


def cut(docs: DocBatch, config: SpanConfig) -> Spans:
    """Cut documents into spans and digest every window of them."""
    text = docs.text
    starts, bounds = span_starts(docs, config.mode)
    owner = np.repeat(np.arange(len(docs)), np.diff(bounds))
    digests = (
        signatures.shingle(text, starts, MinHashConfig()).digests if starts.size > 1 else np.zeros((0, 2), np.uint64)
    )
    told = np.flatnonzero(digests.any(axis=1) & _long_enough(text, starts, config.shortest))
    return _windows(starts, bounds, told, owner[told], digests[told], config.window)


def span_starts(docs: DocBatch, kind: Literal["lines", "paragraphs", "sentences"]) -> tuple[I64, I64]:
    """int64[S + 1], where each span begins in the text, and int64[D + 1], which spans each document has."""
    text, offsets = docs.text, docs.offsets
    most = int(offsets[-1] - offsets[0])
    starts, bounds = np.empty(most + 1, np.int64), np.empty(len(docs) + 1, np.int64)
    if kind == "sentences":
        kernels.sentence_starts(text, offsets, class_table(), code_points(SENTENCE_ENDS), starts, bounds)
    else:
        kernels.line_starts(text, offsets, kind == "paragraphs", starts, bounds)
    return np.append(starts[: bounds[-1]], offsets[-1]), bounds


def _long_enough(text: U8, starts: I64, shortest: int) -> NDArray[np.bool_]:
    """bool[S]: spans with so many bytes that are no blanks."""
    if shortest == 0:
        return np.ones(starts.size - 1, np.bool_)
    inked = np.concatenate([np.zeros(1, np.int64), np.cumsum(text > 32, dtype=np.int64)])
    return np.diff(inked[starts]) >= shortest


def _windows(starts: I64, bounds: I64, told: I64, owner: I64, digests: U64, window: int) -> Spans:
    count = max(told.size - window + 1, 0)
    whole = np.arange(count)[owner[:count] == owner[window - 1 :]] if count else np.zeros(0, np.int64)
    mixed = digests[whole]
    for step in range(1, window):
        mixed = (mixed ^ (mixed >> _FOLD)) * _STEP + digests[whole + step]
    document = owner[whole]
    first = np.searchsorted(document, document, "left")
    return Spans(starts, bounds, told, whole, window, mixed, document, np.arange(whole.size) - first)


def seen(spans: Spans, docs: DocBatch, paths: list[str], label: str, config: SpanConfig) -> NDArray[np.void]:
    """The windows of a batch as records of `SEEN`, one for each occurrence."""
    rows = np.empty(spans.windows.size, SEEN)
    rows["key"], rows["rest"] = spans.digests[:, 0], spans.digests[:, 1]
    rows["priority"] = ranks.priorities(config.prefer, label, docs)[spans.document]
    rows["document"] = document_keys(docs, paths)[spans.document]
    rows["at"], rows["count"] = spans.at, 1
    return rows


def document_keys(docs: DocBatch, paths: list[str]) -> U64:
    """uint64[D]: a hash of each document's id and path."""
    return records.hash_strings(records.names_of(docs, paths))


def gathered(rows: NDArray[np.void], by_document: bool) -> NDArray[np.void]:
    """One record for each digest, with the first occurrence and the sum of the counts; sorted."""
    order = np.lexsort([rows[name] for name in reversed(SEEN.names or ())])
    rows = rows[order]
    if by_document:  # one for each document
        rows = rows[_first_of(rows, ("key", "rest", "priority", "document"))]
    first = np.flatnonzero(_first_of(rows, ("key", "rest")))
    if rows.size == 0:
        return rows
    result = rows[first]
    total = np.add.reduceat(rows["count"].astype(np.uint64), first)
    result["count"] = np.minimum(total, np.iinfo(np.uint32).max)
    return result


def _first_of(rows: NDArray[np.void], names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Rows that differ from the one before them in one of the columns."""
    changes = np.ones(rows.size, np.bool_)
    if rows.size:
        changes[1:] = np.logical_or.reduce([rows[name][1:] != rows[name][:-1] for name in names])
    return changes
