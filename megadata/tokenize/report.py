"""What `tokenize` reports, made from the totals that its manifest keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """One indexed dataset as written."""

    prefix: str
    documents: int
    sequences: int
    tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizeReport:
    """What `tokenize` wrote."""

    datasets: tuple[Dataset, ...]
    documents: int
    """Documents read."""
    copies: int
    """Documents written besides, because some are repeated; they count in all that follows."""
    bytes: int
    tokens: int
    empty: int
    """Documents without tokens."""
    dtype: str
    encoder: str
    notes: tuple[str, ...] = ()
    problems: dict[str, int] = field(default_factory=dict)
    """Records that could not be read, by reason."""
    skipped: bool = False
    """Whether everything had been written before."""

    def table(self) -> str:
        """The report for reading."""
        width = max([len(d.prefix) for d in self.datasets], default=7)
        lines = [f"{'dataset':<{width}}  {'documents':>12}  {'sequences':>12}  {'tokens':>16}"]
        lines += [f"{d.prefix:<{width}}  {d.documents:>12}  {d.sequences:>12}  {d.tokens:>16}" for d in self.datasets]
        lines.append(
            f"{self.bytes / 1e6:.1f} MB of text, {self.tokens} tokens of {self.dtype}, encoded with {self.encoder}"
        )
        if self.copies:
            lines.append(f"{self.copies} copies of documents were written besides the {self.documents} documents")
        if self.empty:
            lines.append(f"{self.empty} documents have no tokens")
        lines += [f"{count} records: {reason}" for reason, count in sorted(self.problems.items())]
        return "\n".join([*lines, *self.notes])


def report_of(totals: Mapping[str, Any], folder: Path, skipped: bool = False) -> TokenizeReport:
    """The report on datasets in `folder` from the totals of a manifest."""
    datasets = tuple(Dataset(**{**one, "prefix": str(folder / one["prefix"])}) for one in totals["datasets"])
    names = ("documents", "copies", "bytes", "tokens", "empty", "dtype", "encoder", "problems")
    rest = {name: totals[name] for name in names}
    return TokenizeReport(datasets=datasets, notes=tuple(totals["notes"]), skipped=skipped, **rest)
