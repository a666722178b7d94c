"""The benchmark harness: what it prints, and what it refuses."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def harness() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "harness.py"
    spec = importlib.util.spec_from_file_location("benchmark_harness", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmark_harness"] = module
    spec.loader.exec_module(module)
    return module


def test_a_measurement_is_one_json_line_with_spread_circumstances_and_hash(harness, capsys):
    calls = []
    line = harness.measure("sum/10", lambda: calls.append(1) or np.arange(10).sum(), 10, "numbers", repeats=3, warmup=2)
    printed = capsys.readouterr().out
    assert json.loads(printed) == line
    assert printed.count("\n") == 1
    assert len(calls) == 5
    assert line["unit"] == "numbers/s"
    assert line["low"] <= line["median"] <= line["high"]
    assert {"machine", "threads", "date", "python", "result_sha"} <= line.keys()


def test_the_rate_is_items_over_seconds(harness):
    line = harness.measure("sleep", lambda: time.sleep(0.05), 1, "naps", repeats=3, warmup=0)
    assert 10 < line["median"] <= 20


def test_work_whose_result_changes_is_refused(harness):
    counter = itertools.count()
    with pytest.raises(ValueError, match="count: expected the same result from each run, found"):
        harness.measure("count", lambda: next(counter), 1, "numbers")


def test_the_hash_tells_types_shapes_and_contents_apart(harness, tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    values = [
        1,
        1.0,
        "1",
        b"1",
        True,
        None,
        [1],
        [1, 1],
        [[1], 1],
        {"a": 1},
        np.zeros(2),
        np.zeros((2, 1)),
        np.zeros(2, "f4"),
    ]
    hashes = [harness.sha(value) for value in [*values, tmp_path / "a"]]
    assert len(set(hashes)) == len(hashes)
    assert harness.sha({"a": 1, "b": 2}) == harness.sha({"b": 2, "a": 1})
    assert harness.sha(np.arange(6)[::2]) == harness.sha(np.arange(6)[::2].copy())


def test_a_result_without_bytes_asks_for_a_result_function(harness):
    with pytest.raises(TypeError, match=r"a object cannot be hashed as a result; give measure"):
        harness.measure("object", object, 1, "objects")
    assert harness.measure("object", object, 1, "objects", result=lambda value: type(value).__name__)


def test_a_comparison_takes_turns_and_prints_the_ratio(harness, capsys):
    order = []

    def work(name: str, seconds: float):
        def run() -> int:
            order.append(name)
            time.sleep(seconds)
            return 7

        return run

    line = harness.compare("nap", work("a", 0.01), work("b", 0.03), 1, "naps", repeats=3, warmup=0)
    assert order == ["a", "b"] * 3
    assert 1.5 < line["ratio"]["median"] < 4
    assert line["ratio"]["low"] <= line["ratio"]["median"] <= line["ratio"]["high"]
    assert json.loads(capsys.readouterr().out) == line


def test_a_comparison_of_different_answers_is_refused_unless_asked_for(harness):
    with pytest.raises(ValueError, match=r"sums: expected equal results, found \w+ \(ours\) and \w+ \(peer\)"):
        harness.compare("sums", lambda: 1, lambda: 2, 1, "sums", repeats=1)
    assert harness.compare("sums", lambda: 1, lambda: 2, 1, "sums", repeats=1, equal=False)


SCRIPTS = sorted((Path(__file__).resolve().parents[1] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.stem for path in SCRIPTS])
def test_a_script_imports_nothing_that_is_not_there(script, monkeypatch):
    """Measuring takes minutes and is not done here; but what a script takes from the package and from its neighbours exists."""
    monkeypatch.syspath_prepend(str(script.parent))
    beside = {path.stem for path in SCRIPTS}
    for node in ast.walk(ast.parse(script.read_text("utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        if node.module.partition(".")[0] not in {"megadata", *beside}:
            continue
        module = pytest.importorskip(node.module) if node.module in beside else importlib.import_module(node.module)
        for name in node.names:
            if not hasattr(module, name.name):
                importlib.import_module(f"{node.module}.{name.name}")


def test_the_scale_of_deduplication_is_measured_as_the_command_runs_it(tmp_path):
    script = SCRIPTS[0].parent / "bench_dedup_scale.py"
    command = [sys.executable, str(script), "--documents", "4000", "--folder", str(tmp_path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    line = json.loads(printed)
    assert line["documents"] == 4000
    assert line["exact"] > 0
    assert line["edges"] > 0
