"""What a cleaning step is: it judges documents or maps them, and does nothing else.

A step is frozen and has no state: what it answers for a document depends on that document alone. Steps never read, write,
count, log or time; `megadata.corpus.rules.RuleList` applies them and the runner does the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from megadata.documents.batch import DocBatch
from megadata.kernels.base import F64, I64, Bool

__all__ = ["Asked", "Decision", "Judge", "JudgeMap", "Map", "Outcome", "Step", "Verdict"]


COUNTED = "counted"
"""The condition of a rule that drops nothing and only counts."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one rule says about each document of a batch."""

    mask: Bool
    """bool[D]: true where the rule drops the document."""
    values: F64
    """float64[D]: the quantity the rule looked at; NaN where it is undefined."""
    threshold: str
    """The condition for dropping, for example ``< 50``."""
    matched: tuple[str | None, ...] | None = None
    """For each document what in it decided, where a number cannot say it; becomes `matched` in a removed document's metadata."""
    limit: float | None = None
    """The threshold as a number, where the rule compares with one."""
    share: bool = False
    """Whether the quantity is a share, from 0 to 1."""


Verdict = Mapping[str, Decision]
"""Reason -> decision, in the order in which the rules are asked. Reasons are stable names."""


@runtime_checkable
class Step(Protocol):
    """What every step declares; its fields are its configuration, and all of it enters the step's identity."""

    @property
    def name(self) -> str:
        """Name of the kind of step, as rule lists write it."""

    @property
    def version(self) -> int:
        """Raised whenever the step's answers change for the same configuration."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """Name and version of everything else that its answers depend on, for example ``ftfy 6.3.1``."""


@runtime_checkable
class Judge(Step, Protocol):
    """A step that says which documents to drop, and why."""

    def judge(self, docs: DocBatch) -> Verdict:
        """One decision for each of the step's reasons."""


@runtime_checkable
class Map(Step, Protocol):
    """A step that gives every document a new text (or new metadata). A step that also judges is asked to judge first."""

    def map(self, docs: DocBatch) -> DocBatch:
        """The same documents in the same order."""


@runtime_checkable
class JudgeMap(Judge, Map, Protocol):
    """A step that does both in one pass: `judge_and_map` answers what `judge` and `map` answer, for the same documents."""

    def judge_and_map(self, docs: DocBatch) -> tuple[Verdict, DocBatch]:
        """The decisions, and the mapped documents, those to be dropped included."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a group of steps was asked about, and what each of its steps said."""

    places: I64
    """Places of the documents in the input."""
    docs: DocBatch
    verdicts: list[Verdict]
    """One for each step of the group; empty where it does not judge."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule list made of one batch."""

    kept: DocBatch
    """The documents that stay, as the maps left them."""
    removed: DocBatch
    """The documents that go, in the order of the input, with the text that was judged."""
    reasons: list[str] = field(default_factory=list)
    """Why each removed document goes: the label of the step and the reason, for example ``gopher.too_few_words``."""
    values: list[float | None] = field(default_factory=list)
    """The quantity the deciding rule looked at, for each removed document."""
    thresholds: list[str] = field(default_factory=list)
    """The deciding rule's condition, for each removed document."""
    counts: dict[str, int] = field(default_factory=dict)
    """Documents and bytes in, changed, removed by reason and out, see `RuleList.apply`; sums over batches are the totals."""
    asked: list[Asked] = field(default_factory=list)
    """Where it is asked for: what each group of steps was asked about, up to the last that had anything to do."""
    removed_places: I64 | None = None
    """Place in the input of each removed document, where `asked` is asked for."""
