"""What a deduplication says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from megadata.corpus.dedup.verdicts import EXACT, NEAR


@dataclass(frozen=True, slots=True)
class Row:
    """The result for one source."""

    source: str
    documents: int
    kept: int
    exact: int
    near: int
    bytes_in: int
    bytes_kept: int


@dataclass(frozen=True, slots=True)
class DedupReport:
    """What went in, what came out, and why."""

    output: Path
    counts: dict[str, Any]
    current: bool = False
    """Whether everything was already done."""
    passed_over: list[str] = field(default_factory=list)

    def of(self, name: str, source: str) -> int:
        """A counter of one source."""
        return int(self.counts.get(f"{name}|{source}", 0))

    def rows(self) -> list[Row]:
        """One row for each source, or each named input."""
        names = sorted({key.split("|")[1] for key in self.counts if key.startswith("documents_in|")})
        columns = (
            "documents_in",
            "documents_kept",
            f"documents_{EXACT}",
            f"documents_{NEAR}",
            "bytes_in",
            "bytes_kept",
        )
        return [Row(name, *(self.of(column, name) for column in columns)) for name in names]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"output": str(self.output), "current": self.current, "counts": self.counts}
