"""`clean --compare`: where two rule lists disagree."""

from __future__ import annotations

import random

import orjson
import pytest
from click.testing import CliRunner
from pipelines import text

from megadata.cli import cli
from megadata.corpus.compare import compare
from megadata.documents.inputs import expand
from megadata.errors import OutputError
from megadata.runtime.settings import RunSettings
from megadata.runtime.streams import open_decoded


@pytest.mark.parametrize("unit_bytes", [300, 1 << 20])
def test_documents_that_one_list_keeps_are_listed_with_the_reason_of_the_other(tmp_path, unit_bytes):
    rng = random.Random(1)
    long = text(rng, 120)
    docs = [{"id": "long", "text": long}, {"id": "short", "text": "Too few."}, {"id": "other", "text": "Few too."}]
    (tmp_path / "a.jsonl").write_bytes(b"".join(orjson.dumps(d) + b"\n" for d in docs))
    given = expand([str(tmp_path / "a.jsonl")])
    report = compare(given, tmp_path / "out", ("none", "gopher@paper"), RunSettings(workers=1), unit_bytes=unit_bytes)
    assert report.pairs == {("", "gopher.too_few_words"): 2, ("", ""): 1}
    with open_decoded(str(tmp_path / "out/compare.jsonl.zst")) as stream:
        first, second = (orjson.loads(line) for line in stream)
    assert (first["id"], first["a"]["reason"], second["id"]) == ("short", None, "other")
    assert first["b"] == {"reason": "gopher.too_few_words", "value": 2.0, "threshold": "< 50"}
    assert [e["id"] for e in report.plain()["pairs"][0]["examples"]] == ["short", "other"]


@pytest.fixture
def damaged(tmp_path):
    """Three documents, and three records that cannot be read."""
    body = [orjson.dumps({"id": f"d{i}", "text": text(random.Random(i), 60 * i)}) for i in range(3)]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([body[0], b'{"id": "ha', body[1], b"[]", b'{"id": 3', body[2]]) + b"\n")
    return path


def test_records_that_cannot_be_read_are_counted_and_told(damaged, tmp_path):
    reports = [
        compare(
            expand([str(damaged)]),
            tmp_path / str(size),
            ("none", "gopher@paper"),
            RunSettings(workers=1),
            unit_bytes=size,
        )
        for size in (300, 1 << 20)
    ]
    assert reports[0].unread == reports[1].unread
    assert sum(reports[0].unread.values()) == 3
    assert all(name.startswith("unreadable: ") for name in reports[0].unread)
    assert sum(reports[0].pairs.values()) == 3
    words = ["clean", str(damaged), "-o", str(tmp_path / "out"), "--workers", "1", "--compare", "none", "gopher@paper"]
    shown = CliRunner().invoke(cli, words)
    assert "not read" in shown.output
    assert "unreadable: bad_json" in shown.output
    again = orjson.loads(CliRunner().invoke(cli, [*words, "--json"]).stdout)
    assert (again["current"], again["unread"]) == (True, reports[0].unread)


def test_a_comparison_is_made_once_and_again_when_lists_or_inputs_change(damaged, tmp_path):
    def run(*names: str):
        return compare(expand([str(damaged)]), tmp_path / "out", names, RunSettings(workers=1))  # type: ignore[arg-type]

    first = run("none", "gopher@paper")
    known = run("none", "gopher@paper")
    assert (first.current, known.current) == (False, True)
    assert (known.pairs, known.examples, known.unread) == (first.pairs, first.examples, first.unread)
    assert not run("gopher@paper", "none").current
    damaged.write_bytes(damaged.read_bytes() * 2)
    assert sum(run("gopher@paper", "none").pairs.values()) == 6


def test_a_comparison_does_not_go_where_another_step_wrote(damaged, tmp_path):
    CliRunner().invoke(cli, ["clean", str(damaged), "-o", str(tmp_path / "out"), "--rules", "none", "--workers", "1"])
    with pytest.raises(
        OutputError, match=r"out: expected a folder of its own for --compare, found the output of clean; name"
    ):
        compare(expand([str(damaged)]), tmp_path / "out", ("none", "text"), RunSettings(workers=1))
