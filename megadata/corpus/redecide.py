"""Decisions from rows of scores: what a rule list would say of documents that it does not see."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from megadata.corpus.align import Judged, Plan
from megadata.corpus.filter import Filter
from megadata.corpus.language import Languages
from megadata.corpus.record import TEXT_SIZES, Recorder
from megadata.corpus.rules import Why, decide
from megadata.corpus.scorelayout import SIZES
from megadata.corpus.step import Decision, Verdict
from megadata.documents.batch import DocBatch
from megadata.kernels.base import F64, I64, Bool

PLACES = "places in the scores"
"""Key under which batches that stand for rows keep the rows' places, and the number of maps before the group."""


@dataclass(slots=True)
class Redecided:
    """What becomes of the documents of some rows."""

    why: list[Why | None]
    """For each row, what removes it; None where it stays."""
    maps: I64
    """Maps behind which each document's line has to be written."""
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(what removed them before, label of the step that they would come to) -> documents that cannot be decided."""
    rewritten: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(what removes them now, label of the step that changed them) -> documents whose text is not there as it was judged."""
    back: Counter[str] = field(default_factory=Counter)
    """What removed them before -> documents that stay now."""
    gone: Counter[str] = field(default_factory=Counter)
    """What removes them now -> documents that stayed before."""

    def add(self, other: Redecided) -> None:
        """Add the counts of other rows."""
        for name in ("unknown", "rewritten", "back", "gone"):
            getattr(self, name).update(getattr(other, name))


class Rows:
    """Rows of scores as columns."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table.combine_chunks()
        self._texts: dict[str, list[str | None]] = {}
        self._numbers: dict[str, tuple[F64, Bool]] = {}

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def texts(self, name: str) -> list[str | None]:
        """A column of text."""
        if name not in self._texts:
            self._texts[name] = list(self.table.column(name).to_pylist())
        return self._texts[name]

    def is_number(self, name: str) -> bool:
        """Whether a column holds numbers; text that is not there tells nothing."""
        return not pa.types.is_string(self.table.schema.field(name).type)

    def numbers(self, name: str) -> tuple[F64, Bool]:
        """A column of numbers, and where it has none."""
        if name not in self._numbers:
            column = self.table.column(name)
            absent = column.is_null().to_numpy()
            values = column.cast(pa.float64()).fill_null(np.nan).to_numpy()
            self._numbers[name] = values, absent
        return self._numbers[name]

    def sizes(self, end: str = "") -> I64:
        """int64[D, 3]: sizes of the texts as the lines have them, or (with ``_in``) as they came in."""
        columns = [self.table.column(f"{name}{end}").fill_null(0).to_numpy() for name in SIZES]
        return np.stack(columns, axis=1).astype(np.int64)

    def batch(self, places: I64, sizes: I64, maps: int) -> DocBatch:
        """Documents without text that stand for these rows."""
        at = pa.array(places)
        ids, sources = (self.table.column(name).take(at).combine_chunks() for name in ("id", "source"))
        docs = DocBatch.of(_whole(ids), [""] * places.size, _whole(sources))
        docs.derive(TEXT_SIZES, lambda: sizes[places])
        docs.derive(PLACES, lambda: (places, maps))
        return docs


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def redecide(rows: Rows, plan: Plan, recorder: Recorder | None = None) -> Redecided:
    """Ask all rules of `plan` about documents of one list; decisions and records are those of the list over their texts.

    Documents that nothing is known of from some step on are counted as `unknown` and taken out.
    """
    count = len(rows)
    before = rows.texts("reason")
    reached, settled = (rows.numbers(name)[0].astype(np.int64) for name in ("maps", "settled"))
    sizes = rows.sizes()
    places = np.arange(count)
    if recorder is not None:
        recorder.sized(rows.batch(places, rows.sizes("_in"), 0), "in")
    made = Redecided([None] * count, np.zeros(count, np.int64))
    for group in plan.groups:
        places = _known(rows, group.steps, places, before, made)
        if not places.size:
            break
        rules = [
            (f"{one.label}.{reason}", decision)
            for one in group.steps
            for reason, decision in _verdict(one, rows, places).items()
        ]
        first, why = decide(rules, places.size)
        if recorder is not None:
            recorder.judged(rules, rows.batch(places, sizes, group.maps), first)
        keep = first < 0
        for place, one in zip(places[~keep].tolist(), why, strict=True):
            made.why[place] = one
            made.maps[place] = group.maps
            if settled[place] > group.maps:
                made.rewritten[one[0], plan.label_behind(int(settled[place]) - 1)] += 1
            if before[place] is None:
                made.gone[one[0]] += 1
        places = places[keep]
        if group.mapped:
            lost = reached[places] <= group.maps
            for place in places[lost].tolist():
                made.unknown[before[place] or "", group.steps[0].label] += 1
            places = places[~lost]
            made.maps[places] = group.maps + 1
        else:
            made.maps[places] = group.maps
    for place in places.tolist():
        if (reason := before[place]) is not None:
            made.back[reason] += 1
    if recorder is not None:
        recorder.sized(rows.batch(places, sizes, len(plan.groups)), "kept")
    return made


def _known(rows: Rows, steps: tuple[Judged, ...], places: I64, before: list[str | None], made: Redecided) -> I64:
    """The documents of which all steps know what they need; the others are counted."""
    for one in steps:
        absent = np.zeros(places.size, np.bool_)
        for name in one.reads:
            if rows.is_number(name):
                absent |= rows.numbers(name)[1][places]
        if absent.any():
            for place in places[absent].tolist():
                made.unknown[before[place] or "", one.label] += 1
            places = places[~absent]
    return places


def _verdict(one: Judged, rows: Rows, places: I64) -> Verdict:
    """The decisions of a step about the documents at these places."""
    if isinstance(one.step, Filter):
        return one.step.decide({quantity: rows.numbers(name)[0][places] for quantity, name in one.columns.items()})
    if isinstance(one.step, Languages) and not one.said:
        labels = rows.texts("language")
        scores = rows.numbers("language_score")[0].tolist()
        return one.step.decide([(str(labels[place]), scores[place]) for place in places.tolist()])
    found: dict[str, Decision] = {}
    for reason, name in one.columns.items():
        said = one.said[reason]
        matched = None
        if said.matched is not None:
            every = rows.texts(f"{name}.matched")
            matched = tuple(every[place] for place in places.tolist())
        drops = rows.numbers(f"{name}.drops")[0][places] == 1
        values = rows.numbers(f"{name}.value")[0][places]
        found[reason] = Decision(drops, values, said.threshold, matched, said.limit, said.share)
    return found
