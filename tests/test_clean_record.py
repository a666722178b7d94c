"""The record of a cleaning: what each rule did adds up, and shows what lies close to its threshold."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path

import numpy as np
import oracles_text as oracles
import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pipelines import text

from megadata.cli import cli
from megadata.corpus.clean import CleanConfig, clean
from megadata.corpus.filter import Filter
from megadata.corpus.record import NEAR, Recorder, bin_edges, histogram, text_sizes
from megadata.corpus.rules import RuleList, load_rules, rule_list
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import expand
from megadata.runtime.settings import RunSettings

RULES = rule_list(
    {
        "first": Filter(words="whitespace", drop={"few": "words < 20", "short_words": "mean_word_length < 3.6"}),
        "second": Filter(words="whitespace", drop={"many": "words > 60", "hashes": "hashes_per_word > 0.5"}),
    }
)


def batch(texts: list[str], source: str | list[str] = "web") -> DocBatch:
    return DocBatch.of([f"d{i:04d}" for i in range(len(texts))], texts, source)


def some(count: int = 300, seed: int = 1) -> DocBatch:
    rng = random.Random(seed)
    texts = [text(rng, rng.randrange(5, 90)) for _ in range(count)]
    return batch(texts, [rng.choice(["web", "books"]) for _ in texts])


def record(rules: RuleList, *batches: DocBatch) -> Recorder:
    whole = Recorder()
    for one in batches:
        part = Recorder()
        rules.apply(one, part)
        whole.add(orjson.loads(orjson.dumps(part.plain())))
    return whole


@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_records_of_parts_add_up_to_the_record_of_the_whole(pieces: int) -> None:
    docs = some()
    borders = np.linspace(0, len(docs), pieces + 1).astype(int).tolist()
    parts = [DocBatch.concat([docs.slice(a, b)]) for a, b in itertools.pairwise(borders)]
    assert record(RULES, *parts).plain() == record(RULES, docs).plain()


def test_counts_are_those_of_every_document_looked_at_by_itself() -> None:
    docs = some()
    made = record(RULES, docs).sources
    outcome = RULES.apply(docs)
    for label in ("web", "books"):
        mine = [t for t, s in zip(docs.texts, docs.column("source"), strict=True) if s == label]
        matched: list[set[str]] = []
        for one in mine:
            size = len(one.split())
            names = {"first.few"} if size < 20 else set()
            matched.append(names | ({"second.many"} if size > 60 else set()))
        rules = made[label].rules
        assert [rules["first.few"].matched, rules["second.many"].matched] == [
            sum("first.few" in m for m in matched),
            sum("second.many" in m for m in matched),
        ]
        assert rules["first.few"].asked == len(mine)
        assert made[label].sizes["documents_in"] == len(mine)
        assert made[label].sizes["words_in"] == sum(len(t.split()) for t in mine)
    for name in ("first.few", "first.short_words", "second.many", "second.hashes"):
        rule = [r.rules[name] for r in made.values()]
        assert sum(r.removed for r in rule) == outcome.reasons.count(name)
        assert all(r.only <= r.matched and r.removed <= r.matched for r in rule)
    assert sum(r.only for s in made.values() for r in s.rules.values()) <= len(outcome.reasons)
    removed = [r for s in made.values() for r in s.rules.values()]
    assert sum(r.characters for r in removed) == sum(len(t) for t in outcome.removed.texts)


def test_a_rule_that_alone_drops_a_document_is_told_from_one_that_comes_first() -> None:
    docs = batch(["x " * 10, "longer words here " * 10, "a b " * 40])
    rules = record(RULES, docs).sources["web"].rules
    assert (rules["first.few"].matched, rules["first.few"].only) == (1, 0)
    assert (rules["first.short_words"].matched, rules["first.short_words"].removed) == (2, 1)
    assert (rules["second.many"].matched, rules["second.many"].only, rules["second.many"].removed) == (1, 0, 0)


def test_examples_are_the_closest_on_each_side_and_far_ones_are_none() -> None:
    docs = batch([f"word{i} " * n for i, n in enumerate([2, 15, 16, 17, 18, 19, 20, 21, 22, 23, 29, 50])])
    rule = record(RULES, docs).sources["web"].rules["first.few"]
    assert [e.value for e in rule.dropped] == [19, 18, 17]
    assert [e.value for e in rule.passed] == [20, 21, 22]
    assert len(rule.passed) == NEAR
    assert rule.passed[0].text.startswith("word6 word6")
    far = record(RULES, batch(["word " * 2, "word " * 50])).sources["web"].rules["first.few"]
    assert (far.dropped, far.passed) == ([], [])


@given(values=st.lists(st.floats(0, 1e6) | st.just(math.nan), max_size=40), share=st.booleans())
def test_every_value_lies_in_its_bin(values: list[float], share: bool) -> None:
    values = [v % 1 for v in values] if share else values
    (whole,) = histogram(np.array([values]), np.array([share]))
    assert sum(whole.values()) == len(values)
    assert whole[-1] == sum(math.isnan(v) for v in values)
    for value in values:
        if not math.isnan(value):
            ((place,),) = histogram(np.array([[value]]), np.array([share]))
            ((low, high),) = bin_edges([place], share)
            assert low <= value * (1 + 1e-9)
            assert value <= high * (1 + 1e-9)


@given(texts=st.lists(oracles.TEXT, min_size=1, max_size=3))
def test_sizes_of_texts_are_bytes_characters_and_words(texts: list[str]) -> None:
    expected = [
        [len(t.encode()), len(t), len(["".join(" " if c <= " " else c for c in t).split(" ")][0])] for t in texts
    ]
    found = text_sizes(batch(texts)).tolist()
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    assert [row[2] for row in found] == [len(bytes(b if b > 32 else 32 for b in t.encode()).split()) for t in texts]


def test_stats_hold_the_record_and_a_second_run_shows_it_again(tmp_path: Path) -> None:
    docs = some(60)
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"id": d["id"], "text": d["text"]}) + b"\n" for d in docs))
    config = CleanConfig(rules="gopher@paper", removed="ids")
    first = clean(expand([str(path)]), tmp_path / "out", config, RunSettings(workers=1))
    again = clean(expand([str(path)]), tmp_path / "out", config, RunSettings(workers=1))
    assert again.current
    assert again.records == first.records
    stats = orjson.loads((tmp_path / "out/stats.json").read_bytes())
    rules = stats["sources"]["text"]["rules"]
    assert [rule["rule"] for rule in rules] == [
        f"{label}.{r}" for label, s in load_rules("gopher@paper").steps for r in s.drop
    ]
    assert all(example[3] == "" for rule in rules for example in rule["dropped"] + rule["passed"])
    assert sum(rule["removed"] for rule in rules) == first.total("documents_in") - first.total("documents_kept")


def test_the_command_tells_what_each_rule_did_and_which_matched_nothing(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"text": t}) + b"\n" for t in ["too short", text(random.Random(2), 120)]))
    result = CliRunner().invoke(cli, ["clean", str(path), "-o", str(tmp_path / "out"), "--workers", "1"])
    assert result.exit_code == 0, result.output
    row = next(line for line in result.output.splitlines() if line.strip().startswith("quality.too_few_words"))
    assert row.split() == ["quality.too_few_words", "<", "10", "1", "9", "B", "1"]
    assert "rules matched nothing: quality.too_few_letters, quality.long_words" in result.output
