"""Scorers: quantities that a function of the user's own, a registered name or a quality model gives."""

from __future__ import annotations

import pickle
import re
import sys
from pathlib import Path

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from megadata.corpus.clean import CleanConfig, clean
from megadata.corpus.filter import Filter
from megadata.corpus.rules import load_rules, rule_list
from megadata.corpus.scorers import registered, scorer
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import expand
from megadata.errors import ConfigError, WorkerError
from megadata.runtime.settings import RunSettings

CAPITALS = """
def capitals(texts):
    return [sum(c.isupper() for c in text) / len(text) if text else float("nan") for text in texts]
"""
RULES = """
rules: 1
steps:
- filter:
    label: mine
    scorers: {capitals: "mine.py:capitals"}
    drop: {loud: capitals > 0.5}
"""


def batch(texts: list[str]) -> DocBatch:
    return DocBatch.of([str(i) for i in range(len(texts))], texts)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(CAPITALS, "utf-8")
    (tmp_path / "rules.yaml").write_text(RULES, "utf-8")
    return tmp_path / "rules.yaml"


def test_a_function_beside_the_list_gives_a_quantity(rules):
    outcome = load_rules(str(rules)).apply(batch(["LOUD", "quiet", ""]))
    assert (outcome.kept.ids, outcome.reasons, outcome.values) == (["1", "2"], ["mine.loud"], [1.0])
    assert outcome.thresholds == ["> 0.5"]
    assert load_rules(str(rules), ["mine.loud=0.9"]).apply(batch(["LOUd"])).reasons == []


def test_workers_of_other_processes_find_the_function_and_scores_hold_its_values(rules, tmp_path):
    (tmp_path / "in.jsonl").write_bytes(
        b"".join(orjson.dumps({"text": t * 500}) + b"\n" for t in ("ABC ", "abc ", "ABc ") * 20)
    )
    for workers in (1, 2):
        config = CleanConfig(rules=str(rules), scores=True, unit_bytes=20_000)
        out = tmp_path / f"out{workers}"
        report = clean(expand([str(tmp_path / "in.jsonl")]), out, config, RunSettings(workers=workers))
        assert (report.total("documents_kept"), report.reasons()[0][:2]) == (40, ("mine.loud", 20))
    tables = [pq.read_table(tmp_path / f"out{workers}" / "scores.parquet") for workers in (1, 2)]
    assert tables[0].equals(tables[1])
    assert set(tables[0].column("mine.capitals").to_pylist()) == {0.75, 0.0, 0.5}
    assert str(tmp_path) not in str(tables[0].schema.metadata)


def test_what_a_list_does_is_known_by_what_the_function_says_not_by_where_it_lies(rules, tmp_path):
    identity = load_rules(str(rules)).identity
    other = tmp_path / "elsewhere"
    other.mkdir()
    for name in ("mine.py", "rules.yaml"):
        (other / name).write_bytes((tmp_path / name).read_bytes())
    assert load_rules(str(other / "rules.yaml")).identity == identity
    (other / "mine.py").write_text(CAPITALS.replace("isupper", "islower"), "utf-8")
    changed = load_rules(str(other / "rules.yaml"))
    assert changed.identity != identity
    assert changed.apply(batch(["LOUD", "quiet"])).kept.ids == ["0"]
    assert pickle.loads(pickle.dumps(changed)).identity == changed.identity


def test_lists_without_scorers_are_known_by_the_same_settings_as_ever():
    (step,) = rule_list({"size": Filter(drop={"few": "words < 5"})}).identity["steps"]
    assert "scorers" not in step["config"]


def test_two_filters_with_one_name_for_two_scorers_do_not_mix_them_up(rules, tmp_path):
    (tmp_path / "other.py").write_text("def ones(texts):\n    return [1.0] * len(texts)\n", "utf-8")
    steps = {
        "a": Filter(scorers={"q": f"{tmp_path}/mine.py:capitals"}, drop={"loud": "q > 0.5"}),
        "b": Filter(scorers={"q": f"{tmp_path}/other.py:ones"}, drop={"high": "q > 0.5"}),
    }
    assert rule_list(steps).apply(batch(["LOUD", "quiet"])).reasons == ["a.loud", "b.high"]


def test_a_module_and_a_registered_name_give_quantities(tmp_path, monkeypatch):
    (tmp_path / "my_scorers.py").write_text(
        "def length(texts):\n    return [-len(t) for t in texts]\n\nlength.version = 'a'\n", "utf-8"
    )
    info = tmp_path / "my_scorers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-scorers\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[megadata.scorers]\nshortness = my_scorers:length\n", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    registered.cache_clear()
    try:
        for spec in ("my_scorers:length", "shortness"):
            rules = rule_list({"x": Filter(scorers={"less": spec}, drop={"long": "less < -3"})})
            outcome = rules.apply(batch(["long enough", "no"]))
            assert (outcome.reasons, outcome.values) == (["x.long"], [-11.0])
        assert scorer("my_scorers:length").identity == "function my_scorers:length a"
    finally:
        registered.cache_clear()
        sys.modules.pop("my_scorers", None)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return [1.0]", r"scorer bad.py:f: expected 2 numbers, one for each text, found shape \(1,\)"),
        ("return ['x', 'y']", r"scorer bad.py:f: expected a number for each text, found could not convert"),
        ("return [1.0, float('inf')]", r"scorer bad.py:f: expected finite numbers or NaN, found inf"),
        ("return 1 / 0", r"scorer bad.py:f: raised ZeroDivisionError: division by zero"),
    ],
)
def test_answers_that_are_no_numbers_are_refused(tmp_path, body, message):
    (tmp_path / "bad.py").write_text(f"def f(texts):\n    {body}\n", "utf-8")
    rules = rule_list({"x": Filter(scorers={"q": f"{tmp_path}/bad.py:f"}, drop={"low": "q < 1"})})
    with pytest.raises(WorkerError, match=message):
        rules.apply(batch(["a", "b"]))


@pytest.mark.parametrize(
    ("scorers", "drop", "message"),
    [
        ({"q": "none.quality"}, "q < 1", r"scorers.q: scorer '.*none.quality': expected a quality model's file, MODULE:FUNCTION"),
        ({"q": "no_such_module:f"}, "q < 1", "no_such_module cannot be imported: No module named 'no_such_module'"),
        ({"q": "mine.py:f"}, "q < 1", r"expected a function 'f' in .*mine.py, found NoneType"),
        ({"q": "none.py:f"}, "q < 1", r"expected a Python file .*none.py, found none; check the path"),
        ({"words": "mine.py:capitals"}, "words < 1", "scorers: 'words' is a quantity already; choose another name"),
        ({"a b": "mine.py:capitals"}, "words < 1", "scorers: 'a b' is no name of letters, digits and _"),
        ({"q": "mine.py:capitals"}, "words < 1", "scorers: no condition under drop names 'q'; add one or remove the scorer"),
        ({}, "quality < 0.5", r"unknown quantity 'quality'"),
    ],
)  # fmt: skip
def test_scorers_that_cannot_be_meant_are_refused(rules, scorers, drop, message):
    content = {"rules": 1, "steps": [{"filter": {"scorers": scorers, "drop": {"low": drop}}}]}
    rules.write_bytes(orjson.dumps(content))
    with pytest.raises(ConfigError, match=message):
        load_rules(str(rules))


def test_thresholds_of_a_model_are_held_to_its_range_and_those_of_a_function_to_none(rules):
    assert np.isfinite(scorer(f"{rules.parent}/mine.py:capitals").score(batch(["a"]))).all()
    Filter(scorers={"q": f"{rules.parent}/mine.py:capitals"}, drop={"low": "q < -7"})


def test_the_scorer_of_the_documentation_runs(tmp_path, monkeypatch):
    page = (Path(__file__).resolve().parents[1] / "docs" / "rules.md").read_text("utf-8")
    (code,) = (one for one in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL) if "fasttext" in one)
    (tmp_path / "web_quality.py").write_text(code, "utf-8")
    (tmp_path / "fasttext.py").write_text(
        "class Model:\n"
        "    def predict(self, texts, k):\n"
        "        assert not any('\\n' in text for text in texts)\n"
        "        return [['__label__hq', '__label__cc']] * len(texts), [[0.75, 0.25]] * len(texts)\n\n\n"
        "def load_model(path):\n    return Model()\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        score = scorer(f"{tmp_path}/web_quality.py:score").score(batch(["two\nlines", "one"]))
    finally:
        sys.modules.pop("fasttext", None)
    assert score.tolist() == [0.75, 0.75]
