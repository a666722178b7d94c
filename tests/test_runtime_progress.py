"""Progress: plain lines for logs, JSON lines for machines, numbers a person reads."""

from __future__ import annotations

import io
from pathlib import Path

import orjson
import pytest

from megadata.errors import ConfigError
from megadata.runtime import progress
from megadata.runtime.progress import Reporter, human
from megadata.runtime.settings import RunSettings, parse_size


@pytest.mark.parametrize(
    ("count", "unit", "text"),
    [
        (0, "bytes", "0 B"),
        (999, "bytes", "999 B"),
        (1000, "bytes", "1.0 kB"),
        (123_456_789, "bytes", "123 MB"),
        (99_960, "bytes", "100 kB"),
        (2e12, "bytes", "2.0 TB"),
        (1500, "documents", "1.5 k documents"),
        (7, "units", "7 units"),
    ],
)
def test_counts_are_written_for_people(count, unit, text):
    assert human(count, unit) == text


def test_a_stage_ends_with_its_rate_and_notes_stay(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    reporter = Reporter(out)
    with reporter.stage("clean", 4000) as stage:
        stage.advance(1000)
        reporter.note("one thing to know")
        stage.advance(3000)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("clean: 25 % of 4.0 kB, ")
    assert lines[0].endswith(" left")
    assert lines[1] == "one thing to know"
    assert lines[-1].startswith("clean: 4.0 kB in ")


def test_a_stage_with_nothing_to_do_says_nothing():
    out = io.StringIO()
    with Reporter(out).stage("clean", 0):
        pass
    assert out.getvalue() == ""


def test_events_are_json_lines(tmp_path: Path):
    path = tmp_path / "events.jsonl"
    reporter = Reporter(None, path)
    with reporter.stage("clean", 10) as stage:
        stage.advance(10, units=1)
    reporter.note("done")
    events = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert [e["event"] for e in events] == ["start", "progress", "end", "note"]
    assert events[1] == {**events[1], "stage": "clean", "done": 10, "total": 10, "units": 1}
    assert all(e["time"] > 0 for e in events)


@pytest.mark.parametrize(
    ("text", "size"), [("8G", 8 << 30), ("500M", 500 << 20), ("1.5k", 1536), ("7", 7), ("2GiB", 2 << 30)]
)
def test_sizes_are_read_with_suffixes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "many", "1X", "0"])
def test_a_size_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="expected a number with K, M, G or T, for example 8G"):
        parse_size(text)


def test_workers_are_kept_for_all_steps_of_a_pipeline():
    with RunSettings(workers=2).keep_workers() as settings:
        with settings.executor() as first, settings.executor() as second:
            assert first is second
        assert list(first.run(str, [1]))
