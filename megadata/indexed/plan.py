"""What a blend will do for a given number of tokens, said before a run starts."""

from __future__ import annotations

from dataclasses import dataclass

from megadata.indexed.megatronsamples import MegatronSamples
from megadata.indexed.samples import Samples

MANY_EPOCHS = 4
"""Above this many passes repeated data is worth much less than new data (Muennighoff et al. 2023, arXiv:2305.16264)."""


@dataclass(frozen=True, slots=True)
class PlanRow:
    """What the run takes from one source."""

    name: str
    available: int
    """Tokens of the source."""
    drawn: int
    """Tokens the run draws, repeats counted."""
    epochs: float
    """How often the source is seen."""
    share: float
    """Part of all tokens of the run."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run draws from each source."""

    tokens: int
    """Tokens of the run, a whole number of samples."""
    sequence_length: int
    rows: tuple[PlanRow, ...]
    warnings: tuple[str, ...]

    def lines(self) -> list[str]:
        """The plan as a table of text, warnings after it."""
        head = ("source", "available", "drawn", "epochs", "share")
        cells = [head] + [
            (row.name, f"{row.available:,}", f"{row.drawn:,}", f"{row.epochs:.2f}", f"{row.share:.2%}")
            for row in self.rows
        ]
        widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
        table = [
            "  ".join(
                [line[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True)]
            )
            for line in cells
        ]
        return table + [f"note: {warning}" for warning in self.warnings]


def plan_of(samples: Samples | MegatronSamples, tokens: int, phases: tuple[int, ...] = ()) -> Plan:
    """The plan of a run of `tokens` tokens; `phases` are the tokens at which weights change."""
    length = samples.sequence_length
    wanted = -(-tokens // length)
    count = wanted if samples.total is None else min(wanted, samples.total)
    counts = samples.counts(count)
    windows = samples.windows_per_epoch()
    rows = []
    notes = []
    for source in samples.sources:
        drawn = counts[source.name]
        epochs = drawn / windows[source.name]
        rows.append(PlanRow(source.name, source.stream.tokens, drawn * length, epochs, drawn / count if count else 0.0))
        if epochs > MANY_EPOCHS:
            notes.append(f"{source.name} is seen {epochs:.1f} times; beyond {MANY_EPOCHS} repeats teach little")
        if drawn == 0:
            notes.append(f"{source.name} gives no sample; raise its weight or leave it out")
        if source.limit is not None and drawn == source.limit:
            notes.append(f"{source.name} reaches its max_epochs; the other sources take its share from then on")
        if isinstance(samples, Samples) and not all(
            piece.dataset.meta is not None and piece.dataset.meta.shuffled for piece in source.stream.pieces
        ):
            notes.append(
                f"{source.name} is not known to be shuffled; `megadata merge --shuffle` shuffles its documents"
            )
    if count < wanted:
        notes.append(f"the run ends after {count * length:,} tokens: every source has reached its max_epochs")
    notes += [f"the weights from {start:,} tokens on are never reached" for start in phases if start >= count * length]
    return Plan(count * length, length, tuple(rows), tuple(notes))
