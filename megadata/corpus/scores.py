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
import pyarrow.parquet as pq

from megadata.config import to_dict
from megadata.corpus.filter import Filter
from megadata.corpus.rules import RuleList
from megadata.corpus.step import Outcome
from megadata.documents.batch import DocBatch
from megadata.runtime.files import atomic_write
from megadata.runtime.receipts import Part, Receipt
from megadata.runtime.shards import ShardPlan

NAME = "scores.parquet"
ROWS = 1 << 16
"""Most rows of a row group; every unit begins one."""
META = b"megadata.scores"
"""Key of the file's metadata: the rules behind the scores, and where each unit's rows and lines begin."""

_NAMED = (
    pa.field("id", pa.string()),
    pa.field("source", pa.string()),
    pa.field("family", pa.string()),
    pa.field("path", pa.string()),
    pa.field("stream", pa.string()),
    pa.field("place", pa.int64()),
    pa.field("reason", pa.string()),
    pa.field("language", pa.string()),
    pa.field("language_score", pa.float64()),
)


def columns(rules: dict[str, RuleList]) -> list[str]:
    """``LABEL.QUANTITY`` of every filter of the rule lists, in their order."""
    return list(
        dict.fromkeys(
            f"{label}.{quantity}"
            for one in rules.values()
            for label, step in one.steps
            if isinstance(step, Filter)
            for quantity in step.quantities
        )
    )


def schema(rules: dict[str, RuleList]) -> pa.Schema:
    """The columns of the table for these rules."""
    return pa.schema([*_NAMED, *(pa.field(name, pa.float64()) for name in columns(rules))])


def scores_path(folder: Path, ordinal: int) -> Path:
    """Where a unit's scores lie."""
    return folder / "scores" / f"{ordinal:06d}.parquet"


class ScoreNotes:
    """The scores of one unit, collected as its documents are judged."""

    def __init__(self, rules: dict[str, RuleList]) -> None:
        self._rules = rules
        self._schema = schema(rules)
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
        }
        for steps, (places, asked) in zip(self._rules[family].groups, outcome.asked, strict=False):
            for label, step in steps:
                if isinstance(step, Filter):
                    known = step.known(asked)
                    for quantity in step.quantities:
                        whole = np.zeros(count)
                        whole[places] = known[quantity]
                        missing = np.ones(count, np.bool_)
                        missing[places] = False
                        values[f"{label}.{quantity}"] = pa.array(whole, mask=missing, from_pandas=False)
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
        table = pa.concat_tables(self._tables) if self._tables else self._schema.empty_table()
        with atomic_write(path, sync=False) as file:
            pq.write_table(table, file, row_group_size=ROWS, compression="zstd")

    def _places(self, gone: Any) -> Any:
        """Number of each document's line in its stream, counted from the unit's first."""
        places = np.where(
            gone, np.cumsum(gone) - 1 + self._lines["removed"], np.cumsum(~gone) - 1 + self._lines["kept"]
        )
        self._lines["removed"] += int(gone.sum())
        self._lines["kept"] += int((~gone).sum())
        return places

    def _append(self, values: dict[str, Any], count: int) -> None:
        arrays = [
            pa.nulls(count, field.type)
            if field.name not in values
            else values[field.name]
            if isinstance(values[field.name], pa.Array)
            else pa.array(values[field.name], field.type)
            for field in self._schema
        ]
        self._tables.append(pa.Table.from_arrays(arrays, schema=self._schema))


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
    rules: dict[str, RuleList],
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
    chosen = schema(rules)
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
            "rules": {f: one.identity for f, one in rules.items()},
            "filters": {
                f: [[label, to_dict(step)] for label, step in one.steps if isinstance(step, Filter)]
                for f, one in rules.items()
            },
            "units": units,
        }
        writer.add_key_value_metadata({META: orjson.dumps(about)})


def _placed(table: pa.Table, first: dict[str, int]) -> pa.Table:
    """The table with places that count from the first line of all shards."""
    removed = np.array(table.column("stream").to_pylist(), object) == "removed"
    places = table.column("place").to_numpy() + np.where(removed, first["removed"], first["kept"])
    return table.set_column(table.schema.get_field_index("place"), "place", pa.array(places, pa.int64()))
