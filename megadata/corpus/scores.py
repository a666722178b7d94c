"""`scores.parquet`: what was measured of every document, one row a document in the order of the input.

Units write tables of their own, which are put together when the shards are. What is measured is the text as the maps before a
filter leave it. A quantity is null for documents that earlier steps drop before a map, and NaN where it is undefined.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from megadata.corpus.filter import Filter
from megadata.corpus.record import EXCERPT, text_sizes
from megadata.corpus.scorelayout import META, SIZES, Layout, begin_column, stamped
from megadata.corpus.step import Asked, Map, Outcome
from megadata.documents.batch import DocBatch
from megadata.kernels.base import I64, Bool
from megadata.runtime.files import atomic_write
from megadata.runtime.receipts import Part, Receipt
from megadata.runtime.shards import ShardPlan

ROWS = 1 << 16
"""Most rows of a row group; every unit begins one."""


def scores_path(folder: Path, ordinal: int) -> Path:
    """Where a unit's scores lie."""
    return folder / "scores" / f"{ordinal:06d}.parquet"


class ScoreNotes:
    """The scores of one unit, collected as its documents are judged."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._tables: list[pa.Table] = []
        self._lines = {"kept": 0, "removed": 0}

    def add(self, docs: DocBatch, outcome: Outcome, family: str) -> None:
        """Note what was measured of `docs`; `outcome` tells which documents each group was asked about."""
        count = len(docs)
        reasons = np.full(count, None, object)
        if outcome.removed_places is not None:
            reasons[outcome.removed_places] = outcome.reasons
        gone = np.array([reason is not None for reason in reasons], np.bool_)
        values: dict[str, Any] = {
            "id": docs.records.column("id"),
            "source": docs.records.column("source"),
            "family": [family] * count,
            "stream": np.where(gone, "removed", "kept").tolist(),
            "place": self._places(gone),
            "reason": reasons.tolist(),
            **_from_metadata(docs, outcome, gone),
            **_sizes(docs, outcome, gone),
        }
        columns = iter(self._layout.columns[family])
        groups = self._layout.rules[family].groups
        for steps, asked in zip(groups, outcome.asked, strict=False):
            for (_, step), verdict in zip(steps, asked.verdicts, strict=True):
                mine = next(columns)
                if isinstance(step, Filter):
                    known = step.known(asked.docs)
                    said: dict[str, Any] = {column: known[quantity] for quantity, column in mine.items()}
                else:
                    said = {
                        f"{column}.{part}": getattr(verdict[reason], name)
                        for reason, column in mine.items()
                        for part, name in (("value", "values"), ("drops", "mask"), ("matched", "matched"))
                        if getattr(verdict[reason], name) is not None
                    }
                values |= {column: _spread(one, asked.places, count) for column, one in said.items()}
        values |= self._stages(groups, outcome, gone, self._layout.judged[family])
        self._append(values, count)

    def unreadable(self, items: Iterable[tuple[str, str, str]]) -> None:
        """Note lines of records that could not be read: where, the source, and the reason."""
        found = list(items)
        if found:
            values = {name: [item[at] for item in found] for at, name in enumerate(("id", "source", "reason"))}
            first = self._lines["removed"]
            self._lines["removed"] += len(found)
            places = list(range(first, first + len(found)))
            self._append({**values, "stream": ["removed"] * len(found), "place": places}, len(found))

    def write(self, folder: Path, ordinal: int) -> None:
        """Write the unit's table."""
        path = scores_path(folder, ordinal)
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.concat_tables(self._tables) if self._tables else self._layout.schema.empty_table()
        with atomic_write(path, sync=False) as file:
            pq.write_table(table, file, row_group_size=ROWS, compression="zstd")

    def _places(self, gone: Bool) -> I64:
        """Number of each document's line in its stream, counted from the unit's first."""
        places = np.where(
            gone, np.cumsum(gone) - 1 + self._lines["removed"], np.cumsum(~gone) - 1 + self._lines["kept"]
        )
        self._lines["removed"] += int(gone.sum())
        self._lines["kept"] += int((~gone).sum())
        return places

    def _stages(self, groups: list[Any], outcome: Outcome, gone: Bool, judged: list[int]) -> dict[str, Any]:
        """How many maps each document's line has behind it; the last of them that changed it; and how changed ones began."""
        count = gone.size
        maps, settled = np.zeros(count, np.int64), np.zeros(count, np.int64)
        begins: dict[int, Asked] = {}
        least = judged[0] if judged else None
        number = 0
        after = [*outcome.asked[1:], Asked(np.flatnonzero(~gone), outcome.kept, [])]
        for steps, one, following in zip(groups, outcome.asked, after, strict=False):
            maps[one.places] = number
            if number in judged:
                begins.setdefault(number, one)
            if isinstance(steps[0][1], Map):
                number += 1
                maps[following.places] = number
                if least is not None and number > least:
                    settled[following.places[_changed(one, following)]] = number
        values: dict[str, Any] = {"maps": maps, "settled": settled}
        if self._layout.begins:
            for at, one in begins.items():
                places = one.places[settled[one.places] > at]
                texts = one.docs.records.column("text").take(pa.array(np.searchsorted(one.places, places)))
                values[begin_column(at)] = _spread(pc.utf8_slice_codeunits(texts, 0, EXCERPT), places, count)
        return values

    def _append(self, values: dict[str, Any], count: int) -> None:
        arrays = [
            pa.nulls(count, field.type)
            if field.name not in values
            else values[field.name]
            if isinstance(values[field.name], pa.Array)
            else pa.array(values[field.name], field.type)
            for field in self._layout.schema
        ]
        self._tables.append(pa.Table.from_arrays(arrays, schema=self._layout.schema))


def _spread(values: Any, places: I64, count: int) -> pa.Array:
    """The values at their places among `count` rows, null elsewhere; NaN stays what it is."""
    given = pa.array(values, from_pandas=False) if not isinstance(values, pa.Array) else values
    if places.size == count:
        return given
    at = np.full(count, -1, np.int64)
    at[places] = np.arange(places.size)
    return given.take(pa.array(at, mask=at < 0))


def _changed(before: Asked, after: Asked) -> Bool:
    """Whether a map changed text or metadata of the documents it left."""
    if before.docs.records is after.docs.records:
        return np.zeros(after.places.size, np.bool_)
    rows = pa.array(np.searchsorted(before.places, after.places))
    changed = np.zeros(after.places.size, np.bool_)
    for name in ("text", "metadata"):
        one, other = before.docs.records.column(name).take(rows), after.docs.records.column(name)
        changed |= pc.not_equal(pc.fill_null(one, ""), pc.fill_null(other, "")).to_numpy(zero_copy_only=False)
    return changed


def _sizes(docs: DocBatch, outcome: Outcome, gone: Bool) -> dict[str, I64]:
    """Sizes of the texts that came in, and as the lines have them."""
    first = text_sizes(docs)
    last = np.empty_like(first)
    last[~gone], last[gone] = text_sizes(outcome.kept), text_sizes(outcome.removed)
    return {
        **{f"{name}_in": first[:, at] for at, name in enumerate(SIZES)},
        **{name: last[:, at] for at, name in enumerate(SIZES)},
    }


def _from_metadata(docs: DocBatch, outcome: Outcome, gone: Any) -> dict[str, list[Any]]:
    """Path, language and its score of each document, from the metadata that the steps left."""
    found: dict[str, list[Any]] = {name: [None] * len(docs) for name in ("path", "language", "language_score")}
    for batch, places in ((outcome.kept, np.flatnonzero(~gone)), (outcome.removed, np.flatnonzero(gone))):
        for place, metadata in zip(places.tolist(), batch.column("metadata"), strict=True):
            known = orjson.loads(metadata) if metadata else {}
            score = known.get("language_score")
            found["path"][place] = str(known.get("path", ""))
            found["language"][place] = None if known.get("language") is None else str(known["language"])
            found["language_score"][place] = float(score) if isinstance(score, (int, float)) else None
    return found


def assemble_scores(
    folder: Path,
    target: Path,
    receipts: list[Receipt],
    plans: list[ShardPlan],
    layout: Layout,
    settings: dict[str, Any],
) -> None:
    """Put the tables of all units together, one after another; `place` counts lines from the first of all shards."""
    starts: dict[tuple[str, int], tuple[int, int]] = {}
    parts: dict[tuple[str, int], Part] = {(name, r.unit): part for r in receipts for name, part in r.parts.items()}
    for plan in plans:
        at = 0
        for unit in plan.units:
            starts[plan.stream, unit] = (plan.ordinal, at)
            at += parts[plan.stream, unit].bytes
    units, group = [], 0
    lines = {"kept": 0, "removed": 0}
    chosen = layout.schema
    with atomic_write(target) as file, pq.ParquetWriter(file, chosen, compression="zstd") as writer:
        for receipt in receipts:
            with pq.ParquetFile(scores_path(folder, receipt.unit)) as source:
                groups = source.num_row_groups if source.metadata.num_rows else 0
                for number in range(groups):
                    writer.write_table(_placed(source.read_row_group(number), lines))
                counted = {
                    stream: parts[stream, receipt.unit].documents for stream in lines if (stream, receipt.unit) in parts
                }
            units.append(
                {
                    "groups": [group, group + groups],
                    "lines": {s: [*starts[s, receipt.unit], parts[s, receipt.unit].bytes] for s in counted},
                    "first": dict(lines),
                }
            )
            group += groups
            for stream, number in counted.items():
                lines[stream] += number
        about = {
            **settings,
            "rules": {family: layout.about(family) for family in layout.rules},
            "units": units,
        }
        writer.add_key_value_metadata({META: orjson.dumps(stamped(about))})


def _placed(table: pa.Table, first: dict[str, int]) -> pa.Table:
    """The table with places that count from the first line of all shards."""
    removed = np.array(table.column("stream").to_pylist(), object) == "removed"
    places = table.column("place").to_numpy() + np.where(removed, first["removed"], first["kept"])
    return table.set_column(table.schema.get_field_index("place"), "place", pa.array(places, pa.int64()))
