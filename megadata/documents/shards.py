"""Documents as lines of JSON: the form of our shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson

from megadata.documents.batch import DocBatch, flat_column
from megadata.kernels.base import U8
from megadata.kernels.jsontext import put_texts
from megadata.runtime.receipts import Lines

_LINE = orjson.OPT_APPEND_NEWLINE


def encode(
    docs: DocBatch,
    reasons: Sequence[str] | None = None,
    values: Sequence[float | None] | None = None,
    thresholds: Sequence[str] | None = None,
) -> Lines:
    """One JSON line a document: ``id, text, source``, then ``url`` and ``metadata`` where there are any.

    Removed documents also carry the ``reason``, the measured ``value`` behind it and, where given, the ``threshold`` it passed.
    """
    tails = []
    for row, (source, url, metadata) in enumerate(zip(*map(docs.column, ("source", "url", "metadata")), strict=True)):
        tail: dict[str, Any] = {"source": source}
        if url is not None:
            tail["url"] = url
        if metadata is not None:
            tail["metadata"] = orjson.Fragment(metadata)
        if reasons is not None:
            tail["reason"] = reasons[row]
            tail["value"] = values[row] if values is not None else None
            if thresholds is not None:
                tail["threshold"] = thresholds[row]
        tails.append(b"," + orjson.dumps(tail, option=_LINE)[1:])
    ids, id_offsets = flat_column(docs.records.column("id"))
    text, offsets = docs.text, docs.offsets
    tail_offsets = np.cumsum([0, *map(len, tails)], dtype=np.int64)
    ends = np.empty_like(offsets)
    least = int(offsets[-1] - offsets[0] + id_offsets[-1] - id_offsets[0] + tail_offsets[-1]) + 24 * len(docs) + 72
    room = least + least // 8
    while True:  # most texts need a few escapes only
        out: U8 = np.empty(room, np.uint8)
        written = put_texts(
            ids, id_offsets, text, offsets, np.frombuffer(b"".join(tails), np.uint8), tail_offsets, out, ends
        )
        if written == len(docs):
            return Lines(out[: ends[-1]].data, ends)
        room *= 2


def encode_lines(
    docs: DocBatch,
    reasons: Sequence[str] | None = None,
    values: Sequence[float | None] | None = None,
    thresholds: Sequence[str] | None = None,
) -> Iterator[bytes]:
    """The lines of `encode`, one by one."""
    yield from encode(docs, reasons, values, thresholds)


def unreadable_lines(items: Sequence[dict[str, Any]], source: str, with_text: bool) -> Iterator[bytes]:
    """One JSON line for each record that could not be read (the items of `Problems`), as removed documents have it."""
    for item in items:
        line = {
            "id": item["where"],
            "text": item["excerpt"] if with_text else "",
            "source": source,
            "metadata": {"detail": item["detail"]},
            "reason": f"unreadable.{item['reason']}",
            "value": None,
        }
        yield orjson.dumps(line, option=_LINE)
