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
    known: dict[tuple[str | None, str | None, str | None], bytes] = {}
    columns = docs.column("source"), docs.column("url"), docs.column("metadata")
    for row, same in enumerate(zip(*columns, strict=True)):
        if reasons is None:
            tail = known.get(same) or known.setdefault(same, _tail(*same, {}))
        else:
            more: dict[str, Any] = {"reason": reasons[row], "value": values[row] if values is not None else None}
            if thresholds is not None:
                more["threshold"] = thresholds[row]
            tail = _tail(*same, more)
        tails.append(tail)
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


def _tail(source: str | None, url: str | None, metadata: str | None, more: dict[str, Any]) -> bytes:
    """What follows the text of a line."""
    tail: dict[str, Any] = {"source": source}
    if url is not None:
        tail["url"] = url
    if metadata is not None:
        tail["metadata"] = orjson.Fragment(metadata)
    return b"," + orjson.dumps({**tail, **more}, option=_LINE)[1:]


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
