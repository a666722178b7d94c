"""Documents as lines of JSON: the form of our shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from megadata.documents.batch import DocBatch

_LINE = orjson.OPT_APPEND_NEWLINE


def encode_lines(
    docs: DocBatch,
    reasons: Sequence[str] | None = None,
    values: Sequence[float | None] | None = None,
    thresholds: Sequence[str] | None = None,
) -> Iterator[bytes]:
    """One JSON line a document: ``id, text, source``, then ``url`` and ``metadata`` where there are any.

    Removed documents also carry the ``reason``, the measured ``value`` behind it and, where given, the ``threshold`` it passed.
    """
    columns = (docs.column(name) for name in ("id", "text", "source", "url", "metadata"))
    for row, (name, text, source, url, metadata) in enumerate(zip(*columns, strict=True)):
        line: dict[str, Any] = {"id": name, "text": text, "source": source}
        if url is not None:
            line["url"] = url
        if metadata is not None:
            line["metadata"] = orjson.Fragment(metadata)
        if reasons is not None:
            line["reason"] = reasons[row]
            line["value"] = values[row] if values is not None else None
            if thresholds is not None:
                line["threshold"] = thresholds[row]
        yield orjson.dumps(line, option=_LINE)


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
