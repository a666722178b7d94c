"""The columns of `scores.parquet`: which there are for a rule list, and what each step of the list has in them.

What a filter measured is ``LABEL.QUANTITY``. What any other judge decided is ``LABEL.REASON.value`` and ``LABEL.REASON.drops``,
and ``LABEL.REASON.matched`` where it says what in the document decided.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from megadata import formats
from megadata.corpus.filter import Filter
from megadata.corpus.rules import RuleList
from megadata.corpus.step import Judge, Map, Step, Verdict
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError

NAME = "scores.parquet"
META = b"megadata.scores"
"""Key of the file's metadata: the rules behind the scores, and where each unit's rows and lines begin."""

BEGIN_COLUMN = "beginning."
SIZES = ("bytes", "characters", "words")
_NAMED = (
    *((name, pa.string()) for name in ("id", "source", "family", "path", "stream")),
    ("place", pa.int64()),
    ("reason", pa.string()),
    ("language", pa.string()),
    ("language_score", pa.float64()),
    *((name, pa.int64()) for name in (*SIZES, *(f"{name}_in" for name in SIZES), "maps", "settled")),
)
_PROBE = ("A document, to ask what a step would say.", "http://example.org/", '{"path":"probe"}')


def role_of(step: Step) -> str:
    """Whether a step judges, maps, or does both."""
    if isinstance(step, Map):
        return "both" if isinstance(step, Judge) else "map"
    return "judge"


def probe(step: Step) -> Verdict:
    """The decisions of a judge about some document: its reasons, their conditions and limits."""
    text, url, metadata = _PROBE
    return step.judge(DocBatch.of(["0"], [text], "probe", [url], [metadata])) if isinstance(step, Judge) else {}


@dataclass(frozen=True, slots=True)
class Layout:
    """What `scores.parquet` holds for the rule lists of a run."""

    rules: dict[str, RuleList]
    begins: bool = True
    """Whether texts are kept of what is removed, and so how documents begin."""
    columns: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """Family -> for each step of its list, quantity (of a filter) or reason (of another judge) -> column."""
    judged: dict[str, list[int]] = field(default_factory=dict)
    """Family -> numbers of maps in front of judges behind which other maps stand."""
    schema: pa.Schema = field(default_factory=lambda: pa.schema([]))

    @classmethod
    def of(cls, rules: dict[str, RuleList], begins: bool = True) -> Layout:
        """The layout for these lists.

        Raises
        ------
        ConfigError
            For two steps of one list whose decisions have one name.
        """
        fields: dict[str, pa.DataType] = dict(_NAMED)
        columns: dict[str, list[dict[str, str]]] = {}
        judged: dict[str, list[int]] = {}
        for family, one in rules.items():
            taken: dict[str, object] = {}
            columns[family] = []
            maps, at = 0, set()
            for label, step in one.steps:
                role = role_of(step)
                if role != "map":
                    at.add(maps)
                columns[family].append(_columns(label, step, maps, taken, fields))
                maps += role != "judge"
            judged[family] = sorted(number for number in at if number < maps)
            if begins:
                fields |= {begin_column(number): pa.string() for number in judged[family]}
        return cls(rules, begins, columns, judged, pa.schema(list(fields.items())))

    def about(self, family: str) -> list[dict[str, Any]]:
        """What the file says of a list: each step, whether it judges or maps, and its columns."""
        one = self.rules[family]
        steps = zip(one.identity["steps"], one.steps, self.columns[family], strict=True)
        return [{**identity, "role": role_of(step), "columns": names} for identity, (_, step), names in steps]


def _columns(
    label: str, step: Step, maps: int, taken: dict[str, object], fields: dict[str, pa.DataType]
) -> dict[str, str]:
    found: dict[str, str] = {}
    if isinstance(step, Filter):
        for quantity in step.quantities:
            name, number = f"{label}.{quantity}", 1
            while taken.setdefault(name, (step.cuts, maps)) != (step.cuts, maps):
                number += 1
                name = f"{label}.{quantity}#{number}"
            found[quantity] = name
            fields[name] = pa.float64()
        return found
    for reason, decision in probe(step).items():
        name = found[reason] = f"{label}.{reason}"
        if taken.setdefault(name, step) is not step:
            raise ConfigError(f"--scores: two rules are called {name}; give one of the steps a `label` of its own")
        fields |= {f"{name}.value": pa.float64(), f"{name}.drops": pa.bool_()}
        if decision.matched is not None:
            fields[f"{name}.matched"] = pa.string()
    return found


def begin_column(maps: int) -> str:
    """Column for how documents began behind that many maps, where later ones changed them."""
    return f"{BEGIN_COLUMN}{maps}"


def stamped(about: dict[str, Any]) -> dict[str, Any]:
    """The file's metadata with its format and version."""
    return formats.stamp("scores", about)
