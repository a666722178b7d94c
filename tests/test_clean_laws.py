"""What every list promises, asked of every list: over texts that reach all of its rules, and over real documents.

What becomes of a document depends on that document alone: not on those beside it, on its place, or on where the input is cut.
"""

from __future__ import annotations

import os
import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_texts import PLAIN, TEXTS
from test_clean_idempotence import NOT_IDEMPOTENT, TEXT
from test_clean_rules import RULE_SETS, SHIPPED

from megadata.corpus.record import Recorder
from megadata.corpus.repair import Repair
from megadata.corpus.rules import RuleList, load_rules
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import expand, plan, read_unit
from megadata.documents.source import Problems, ReadOptions

LISTS = (*SHIPPED, *RULE_SETS)
TAGS = (
    None,
    "{}",
    '{"language":"de","language_score":0.9}',
    '{"language":"en","language_score":0.1}',
    '{"language":null}',
)
REAL = (("web/cleaneval-final", 60), ("web/daniel", 40), ("wikipedia/special-export", 60), ("wikipedia/json-wikipedia-it", 30),
        ("jsonl/dclm", 60), ("jsonl/dolma", 40), ("messy/ungoliant-garbage", 20))  # fmt: skip
"""Folders of real documents, and how many are taken of each."""
LONGEST = 20_000


def of(texts: list[str], tags: list[str | None] | None = None) -> DocBatch:
    return DocBatch.of([f"id{i}" for i in range(len(texts))], texts, "s", None, tags)


def fates(rules: RuleList, docs: DocBatch) -> dict[str, tuple[object, ...]]:
    """All that becomes of each document: its text and metadata, and for those that go why, by which value and condition."""
    outcome = rules.apply(docs)
    kept = zip(outcome.kept.ids, outcome.kept.texts, outcome.kept.column("metadata"), strict=True)
    removed = zip(
        outcome.removed.ids, outcome.removed.texts, outcome.removed.column("metadata"),
        outcome.reasons, outcome.values, outcome.thresholds, strict=True,
    )  # fmt: skip
    return {one[0]: one for one in (*kept, *removed)}


@pytest.fixture(scope="module")
def real() -> list[str]:
    """Some hundred real documents in many languages."""
    place = os.environ.get("MEGADATA_REAL_DATA")
    if not place:
        pytest.skip("MEGADATA_REAL_DATA is not set")
    found: list[str] = []
    for folder, most in REAL:
        some: list[str] = []
        for unit in plan(expand([str(Path(place, folder))]).files):
            for docs in read_unit(unit, ReadOptions(), Problems()):
                some += [text[:LONGEST] for text in docs.texts]
            if len(some) >= 10 * most:
                break
        found += some[:: max(1, len(some) // most)][:most]
    assert len(found) > 200
    return found


def law(rules: RuleList, docs: DocBatch, seed: int = 1) -> None:
    """Neighbours, places and cuts change nothing, neither what becomes of documents nor what is counted."""
    rng = random.Random(seed)
    whole = fates(rules, docs)
    order = list(range(len(docs)))
    rng.shuffle(order)
    assert fates(rules, DocBatch(docs.records.take(order))) == whole
    borders = sorted({0, 1, len(docs), *(rng.randrange(len(docs)) for _ in range(5))})
    pieces = [docs.slice(start, stop) for start, stop in pairwise(borders)]
    assert {name: fate for one in pieces for name, fate in fates(rules, one).items()} == whole
    one, parts = Recorder(), Recorder()
    rules.apply(docs, one)
    for piece in pieces:
        part = Recorder()
        rules.apply(piece, part)
        parts.add(part.plain())
    assert parts.plain() == one.plain()


@pytest.mark.parametrize("name", LISTS)
def test_neighbours_places_and_cuts_change_nothing_of_texts_that_reach_all_rules(name: str) -> None:
    law(load_rules(name), of(TEXTS))


@pytest.mark.parametrize("name", LISTS)
def test_neighbours_places_and_cuts_change_nothing_of_real_documents(name: str, real: list[str]) -> None:
    law(load_rules(name), of(real))


@settings(max_examples=12)
@given(
    texts=st.lists(st.tuples(TEXT, st.sampled_from(TAGS)), min_size=1, max_size=5), keep=st.sampled_from(["en", "de"])
)
def test_languages_that_some_documents_bring_change_nothing_of_the_others(
    texts: list[tuple[str, str | None]], keep: str
) -> None:
    docs = of([f"{PLAIN} {text}" for text, _ in texts], [tag for _, tag in texts])
    law(load_rules("languages", [f"languages.keep=[{keep}]"]), docs)
    law(load_rules("web", languages=[keep]), docs)


@pytest.mark.parametrize("name", [name for name in LISTS if name not in NOT_IDEMPOTENT])
def test_lists_keep_what_they_made_of_real_documents(name: str, real: list[str]) -> None:
    """All of them whose steps that change text stand in front, and those that change none."""
    rules = load_rules(name)
    once = rules.apply(of(real)).kept
    if name in SHIPPED:
        once = DocBatch.of(once.ids, Repair().map(once).texts, "s")  # ftfy repairs a few of its own results once more
        once = rules.apply(once).kept
    twice = rules.apply(once)
    assert (twice.kept.ids, twice.kept.texts) == (once.ids, once.texts)
    assert len(once) > 5 or name.startswith("fineweb2")
