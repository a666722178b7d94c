"""The report of the modes that take spans out of documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from megadata.runtime.receipts import Receipt

_COLUMNS = (
    "documents_in",
    "documents_kept",
    "documents_changed",
    "spans_in",
    "spans_removed",
    "bytes_in",
    "bytes_kept",
)


@dataclass(frozen=True, slots=True)
class Row:
    """The result for one source."""

    source: str
    documents: int
    kept: int
    changed: int
    spans: int
    removed: int
    bytes_in: int
    bytes_kept: int


@dataclass(frozen=True, slots=True)
class SpanReport:
    """What went in, what came out."""

    output: Path
    mode: str
    counts: dict[str, Any]
    current: bool = False
    """Whether everything was already done."""
    passed_over: list[str] = field(default_factory=list)
    spans: str = ""
    """What is taken out whole, where the mode has another name."""

    def rows(self) -> list[Row]:
        """One row for each source, or each named input."""
        names = sorted({key.split("|")[1] for key in self.counts if key.startswith("documents_in|")})
        return [Row(name, *(int(self.counts.get(f"{column}|{name}", 0)) for column in _COLUMNS)) for name in names]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"output": str(self.output), "mode": self.mode, "current": self.current, "counts": self.counts}


def totals_of(receipts: Sequence[Receipt]) -> dict[str, int]:
    """The counters of all units."""
    totals: Counter[str] = Counter()
    for receipt in receipts:
        totals.update({key: int(value) for key, value in receipt.counts.items()})
    return dict(sorted(totals.items()))
