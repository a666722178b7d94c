"""What a blend will do for a given number of tokens, said before a run starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from megadata.indexed.megatronsamples import MegatronSamples
from megadata.indexed.samples import Samples, SourceStream

MANY_EPOCHS = 4
"""Above this many passes repeated data is worth much less than new data (Muennighoff et al. 2023, arXiv:2305.16264)."""


SHOWN_PHASES = 12
SHOWN_SOURCES = 6
"""Moments and sources of a schedule that the table shows at most."""


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
    phases: tuple[tuple[int, Mapping[str, float]], ...] = ()
    """Where shares change: the token of the run, and the share of each source from there on."""

    def lines(self) -> list[str]:
        """The plan as tables of text, the schedule after the sources, and warnings."""
        head = ("source", "available", "drawn", "epochs", "share")
        cells = [head] + [
            (row.name, f"{row.available:,}", f"{row.drawn:,}", f"{row.epochs:.2f}", f"{row.share:.2%}")
            for row in self.rows
        ]
        return _aligned(cells) + self._schedule() + [f"note: {warning}" for warning in self.warnings]

    def _schedule(self) -> list[str]:
        """Shares over the run, of the sources whose shares change most; of a long schedule some moments."""
        if len(self.phases) < 2:
            return []
        moves = {name: [shares[name] for _, shares in self.phases] for name in self.phases[0][1]}
        widest = sorted(moves, key=lambda name: min(moves[name]) - max(moves[name]))[:SHOWN_SOURCES]
        names = [name for name in moves if name in widest]
        chosen = sorted({round(i * (len(self.phases) - 1) / (SHOWN_PHASES - 1)) for i in range(SHOWN_PHASES)})
        rows = [(f"{self.phases[i][0]:,}", *(f"{self.phases[i][1][n]:.2%}" for n in names)) for i in chosen]
        left_out = len(self.phases) - len(rows)
        more = [f"({left_out} changes between these are not shown)"] if left_out else []
        return ["", *_aligned([("from token", *names), *rows]), *more]


def _aligned(cells: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of cells as lines, the first column flush left."""
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return [
        "  ".join([line[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True)])
        for line in cells
    ]


def _is_shuffled(source: SourceStream) -> bool:
    return all(piece.dataset.meta is not None and piece.dataset.meta.shuffled for piece in source.stream.pieces)


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
    if unshuffled := [s.name for s in samples.sources if isinstance(samples, Samples) and not _is_shuffled(s)]:
        are = "is" if len(unshuffled) == 1 else "are"
        notes.append(
            f"{', '.join(unshuffled)} {are} not known to be shuffled; `megadata merge --shuffle` shuffles documents"
        )
    if count < wanted:
        notes.append(f"the run ends after {count * length:,} tokens: every source has reached its max_epochs")
    notes += [f"the weights from {start:,} tokens on are never reached" for start in phases if start >= count * length]
    changes: list[tuple[int, Mapping[str, float]]] = []
    for segment in samples.segments if isinstance(samples, Samples) else ():
        if segment.start < count:
            total = sum(segment.weights)
            shares = {name: w / total for name, w in zip(samples.names, segment.weights, strict=True)}
            changes.append((segment.start * length, shares))
    return Plan(count * length, length, tuple(rows), tuple(notes), tuple(changes))
