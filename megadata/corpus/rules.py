"""Rule lists: which steps clean a corpus, in which order, with which thresholds; and `RuleList`, which applies them.

A list is YAML: ``rules: 1`` (the format), ``about``, ``sources`` (where the numbers come from), ``label`` and ``steps``. A step
is a name, or a name with its settings. A name is a kind of step (`repair`, `filter`, ...), a rule-set (`gopher@datatrove`),
another list, or what a package registers under the entry point group ``megadata.rules``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from megadata.config import to_dict
from megadata.corpus.defects import check_filter, check_steps
from megadata.corpus.filter import Filter
from megadata.corpus.record import Recorder
from megadata.corpus.rulefiles import instantiate, override_items, read_lists, split_names, with_languages, with_urls
from megadata.corpus.step import Asked, Decision, Judge, JudgeMap, Map, Outcome, Step, Verdict
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError
from megadata.kernels.base import I64

__all__ = ["RuleList", "Why", "decide", "load_rules", "rule_list"]

Why = tuple[str, float | None, str, str | None]
"""Reason, value and condition of a removal, and what matched."""


@dataclass(frozen=True)
class RuleList:
    """Steps in order, each with the label that its reasons carry."""

    name: str
    steps: tuple[tuple[str, Step], ...] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides what the list does: each step's label, kind, version, configuration and libraries.

        Mappings are written as lists of pairs, because the order of rules decides which reason a document gets.
        """
        return {
            "steps": [
                {
                    "label": label,
                    "step": step.name,
                    "version": step.version,
                    "libraries": list(step.libraries),
                    "config": {
                        field: [list(pair) for pair in value.items()] if isinstance(value, dict) else value
                        for field, value in getattr(step, "identity", to_dict(step)).items()
                    },
                }
                for label, step in self.steps
            ]
        }

    @property
    def groups(self) -> list[list[tuple[str, Step]]]:
        """Steps in groups: judges that follow one another are asked about the same batch."""
        return _together(self.steps)

    def apply(self, docs: DocBatch, recorder: Recorder | None = None, asked: bool = False) -> Outcome:
        """Run all steps over one batch; what becomes of a document does not depend on the others in it.

        Parameters
        ----------
        recorder
            Gets to know what every rule says of every document.
        asked
            Whether the outcome tells which documents each group of steps was asked about, for what was measured of them.

        Returns
        -------
        Outcome
            Its `counts` add up over batches: ``documents_in``, ``bytes_in``, ``documents_kept``, ``bytes_kept``, and for each
            label and reason ``changed|LABEL`` (altered documents), ``removed|LABEL.REASON``, ``removed_bytes|LABEL.REASON``.
        """
        if recorder is not None:
            recorder.sized(docs, "in")
        counts: Counter[str] = Counter({"documents_in": len(docs), "bytes_in": int(docs.sizes.sum())})
        places = np.arange(len(docs))
        gone: list[tuple[DocBatch, I64, I64]] = []
        reasons: list[Why] = []
        told: list[Asked] = []
        for steps in self.groups:
            if not len(docs):
                break
            verdicts: list[Verdict] = []
            mapped = docs
            for _, step in steps:
                verdict: Verdict = {}
                if isinstance(step, JudgeMap):
                    verdict, mapped = step.judge_and_map(docs)
                elif isinstance(step, Judge):
                    verdict = step.judge(docs)
                elif isinstance(step, Map):
                    mapped = step.map(docs)
                verdicts.append(verdict)
            if asked:
                told.append(Asked(places, docs, verdicts))
            rules = [
                (f"{label}.{reason}", decision)
                for (label, _), verdict in zip(steps, verdicts, strict=True)
                for reason, decision in verdict.items()
            ]
            first, why = decide(rules, len(docs))
            keep = first < 0
            if recorder is not None:
                recorder.judged(rules, docs, first)
            if why:
                rows = np.flatnonzero(~keep)
                sizes = docs.sizes[rows]
                for number in np.flatnonzero(np.bincount(first[rows])).tolist():
                    mine = first[rows] == number
                    counts[f"removed|{rules[number][0]}"] += int(mine.sum())
                    counts[f"removed_bytes|{rules[number][0]}"] += int(sizes[mine].sum())
                gone.append((docs, rows, places[rows]))
                reasons += why
                places = places[keep]
                unmapped = mapped is docs
                docs = docs.select(keep)
                mapped = docs if unmapped else mapped.select(keep)
            if mapped is not docs:
                counts[f"changed|{steps[0][0]}"] += _changed(docs, mapped)
            docs = mapped
        if recorder is not None:
            recorder.sized(docs, "kept")
        counts.update({"documents_kept": len(docs), "bytes_kept": int(docs.sizes.sum())})
        removed = DocBatch.merge(gone)
        numbers = np.concatenate([places[:0], *(one for _, _, one in gone)])
        why = [reasons[i] for i in np.argsort(numbers, kind="stable").tolist()]
        removed = _with_matched(removed, [matched for _, _, _, matched in why])
        return Outcome(
            kept=docs,
            removed=removed,
            reasons=[reason for reason, _, _, _ in why],
            values=[value for _, value, _, _ in why],
            thresholds=[threshold for _, _, threshold, _ in why],
            counts=dict(counts),
            asked=told,
            removed_places=np.sort(numbers) if asked else None,
        )


def _together(steps: Iterable[tuple[str, Step]]) -> list[list[tuple[str, Step]]]:
    groups: list[list[tuple[str, Step]]] = []
    joins = False
    for label, step in steps:
        judges = not isinstance(step, Map)
        if joins and judges:
            groups[-1].append((label, step))
        else:
            groups.append([(label, step)])
        joins = judges
    return groups


def _changed(before: DocBatch, after: DocBatch) -> int:
    """How many documents have another text; most are told by their size."""
    (old, old_at), (new, new_at) = ((docs.text.data, docs.offsets.tolist()) for docs in (before, after))
    equal = np.flatnonzero(before.sizes == after.sizes).tolist()
    same = (bytes(old[old_at[d] : old_at[d + 1]]) == bytes(new[new_at[d] : new_at[d + 1]]) for d in equal)
    return len(before) - sum(same)


def decide(rules: list[tuple[str, Decision]], count: int) -> tuple[I64, list[Why]]:
    """The number of each document's first reason, -1 for those that stay; and for the others in order what decided."""
    first = np.full(count, -1, np.int64)
    for number, (_, decision) in enumerate(rules):
        first[(first < 0) & decision.mask] = number
    gone = np.flatnonzero(first >= 0)
    values: list[float | None] = [None] * gone.size
    matched: list[str | None] = [None] * gone.size
    for number, (_, decision) in enumerate(rules):
        its = np.flatnonzero(first[gone] == number)
        for at, d, value in zip(its.tolist(), gone[its].tolist(), decision.values[gone[its]].tolist(), strict=True):
            values[at] = None if value != value else value  # NaN
            matched[at] = decision.matched[d] if decision.matched is not None else None
    names = [(name, decision.threshold) for name, decision in rules]
    return first, [
        (names[number][0], value, names[number][1], one)
        for number, value, one in zip(first[gone].tolist(), values, matched, strict=True)
    ]


def _with_matched(docs: DocBatch, matched: list[str | None]) -> DocBatch:
    """Documents with what decided about them noted in their metadata."""
    if not any(matched):
        return docs
    columns = []
    for metadata, one in zip(docs.column("metadata"), matched, strict=True):
        known = orjson.loads(metadata) if metadata else {}
        columns.append(metadata if one is None else orjson.dumps({**known, "matched": one}).decode())
    return docs.replace(metadata=columns)


def load_rules(
    name: str, overrides: Iterable[str] = (), languages: Iterable[str] = (), url_rules: Iterable[str] = ()
) -> RuleList:
    """Read a rule list, change it as asked, and make its steps.

    Parameters
    ----------
    name
        A shipped list (`web`, `books`, `wikipedia`, `text`), a rule-set (`gopher@datatrove`), a name registered by another
        package, the path of a YAML file, or several of these with commas between them; `none` for no steps at all. Steps of
        several lists that would have one label get their list's name as label.
    overrides
        ``LABEL.FIELD=VALUE``, for example ``quality.words=whitespace``; ``LABEL.REASON=VALUE`` changes the threshold of one rule,
        ``LABEL.REASON=off`` removes it.
    languages
        Codes of languages to keep; puts the steps `language` and `languages` behind the first maps of the list.
    url_rules
        Lists of addresses to drop; puts the step `url` in front of all others.

    Raises
    ------
    ConfigError
        For a name, step, field, quantity or value that is unknown or impossible; it names the nearest known one.
    """
    items = read_lists(split_names(name))
    items = with_urls(items, list(url_rules))
    items = override_items(items, overrides)
    items = with_languages(items, list(languages))
    steps = tuple((item.label, instantiate(item)) for item in items)
    check_steps(steps, f"rules {name}")
    return RuleList(name, steps)


def rule_list(steps: Iterable[tuple[str, Step]] | Mapping[str, Step], name: str = "custom") -> RuleList:
    """A rule list from steps made in Python, each with its label.

    Raises
    ------
    ConfigError
        When one of them neither judges nor maps, or rules cannot be meant (`megadata.corpus.defects`).
    """
    pairs = tuple(steps.items() if isinstance(steps, Mapping) else steps)
    for label, step in pairs:
        if not isinstance(step, (Judge, Map)):
            raise ConfigError(f"rules {name}: step {label!r} ({type(step).__name__}) has neither judge() nor map()")
        if isinstance(step, Filter):
            check_filter(step)
    check_steps(pairs, f"rules {name}")
    return RuleList(name, pairs)
