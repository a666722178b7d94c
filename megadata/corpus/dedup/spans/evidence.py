"""What a document lost to the modes that take spans out, in words, from ``spans.parquet``."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

_SHOWN = 200
"""Characters of a span that are shown."""
_LISTED = 20
"""Spans, and documents, that are listed."""


def rows_of(path: Path, own: str) -> tuple[list[dict[str, Any]], list[str]]:
    """What a document lost, and which documents lost what occurs first in it."""
    lost: list[dict[str, Any]] = []
    others: dict[str, None] = {}
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        lost += table.filter(pc.equal(table["id"], own)).to_pylist()
        if "kept_id" in table.column_names:
            elsewhere = pc.and_(pc.equal(table["kept_id"], own), pc.not_equal(table["id"], own))
            others.update(dict.fromkeys(table.filter(elsewhere)["id"].to_pylist()))
    return lost, list(others)


def told(own: str, lost: list[dict[str, Any]], others: list[str]) -> str:
    """What `rows_of` found, in words."""
    size = sum(row["stop"] - row["start"] for row in lost)
    lines = [f"{own} lost {size:,} bytes in {_number(lost, 'piece')}:" if lost else f"{own} lost nothing."]
    lines += _few([f"  {_piece(row)}{_text(row)}" for row in lost], "pieces")
    if others:
        lines.append(f"{_number(others, 'other document')} lost what occurs first in {own}:")
        lines += _few([f"  {other}" for other in others], "documents")
    return "\n".join(lines)


def _number(items: Sized, name: str) -> str:
    return f"{len(items):,} {name}{'' if len(items) == 1 else 's'}"


def _few(lines: list[str], what: str) -> Iterator[str]:
    yield from lines[:_LISTED]
    if len(lines) > _LISTED:
        yield f"  and {len(lines) - _LISTED:,} more {what}"


def _piece(row: dict[str, Any]) -> str:
    place = f"bytes {row['start']:,} to {row['stop']:,}"
    if "kept_id" in row:
        return (
            f"{place}, first in {row['kept_id']} at {row['kept_start']:,} to {row['kept_stop']:,}, "
            f"in a string of {row['length']:,} bytes that both have"
        )
    return f"{place}, in a span that occurs {row['occurrences']:,} times"


def _text(row: dict[str, Any]) -> str:
    if row["text"] is None:
        return ""
    words = " ".join(row["text"].split())
    return f":\n    {words[:_SHOWN]}{'...' if len(words) > _SHOWN else ''}"
