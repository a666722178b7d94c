"""`megadata blend`: plans and pictures of schedules, blends as sources of blends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner
from oracles_indexed import numbered

from megadata.cli import cli
from megadata.errors import ConfigError
from megadata.indexed.blend import Blend

L = 16
TEXT = """format: blend
version: 1
sources:
  a: {data: [a], weight: 3}
  code: {weight: 1, max_epochs: 1, sources: {b: {data: [b], weight: 1}, c: {data: [c], weight: 1}}}
phases:
  - {from_tokens: 3200, weights: {a: 1}}
  - {from_tokens: 6400, to_tokens: 9600, weights: {a: 7}}
"""


@pytest.fixture
def folder(tmp_path):
    """Three datasets and a blend of them, and the working directory there."""
    for number, (name, size) in enumerate((("a", 5000), ("b", 2000), ("c", 800))):
        numbered(tmp_path / name, size, 100_000 * number)
    (tmp_path / "blend.yaml").write_text(TEXT)
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def call(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_the_plan_tells_shares_epochs_and_the_schedule(folder):
    text = call("blend", "blend.yaml", "-o", "out.yaml", "--tokens", "20K", "--sequence-length", L)
    lines = text.splitlines()
    assert lines[0].split() == ["source", "available", "drawn", "epochs", "share"]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:4]}
    assert rows["code/b"] == ["2,000", "2,000", "1.00", "10.00%"]
    assert rows["code/c"] == ["800", "800", "1.00", "4.00%"]
    assert sum(int(row[1].replace(",", "")) for row in rows.values()) == 20_000
    assert lines[5].split() == ["from", "token", "a", "code/b", "code/c"]
    assert lines[6].split() == ["0", "75.00%", "12.50%", "12.50%"]
    assert lines[-1].startswith("note: a, code/b, code/c are not known to be shuffled")
    assert "changes between these are not shown)" in text
    assert "note: code/c reaches its max_epochs; the other sources take its share from then on" in text
    many = call("blend", "blend.yaml", "-o", "out.yaml", "--tokens", "100K", "--sequence-length", L)
    assert "note: a is seen 19.5 times; beyond 4 repeats teach little" in many
    assert (
        Blend.load("out.yaml").samples(L).batch(0, 300).tolist()
        == Blend.load("blend.yaml").samples(L).batch(0, 300).tolist()
    )


def test_the_plan_as_json_has_the_schedule(folder):
    text = call("blend", "blend.yaml", "-o", "out.yaml", "--tokens", "20K", "--sequence-length", L, "--json")
    plan = orjson.loads(text)["plan"]
    assert plan["phases"][0] == [0, {"a": 0.75, "code/b": 0.125, "code/c": 0.125}]
    assert all(abs(sum(shares.values()) - 1) < 1e-9 for _, shares in plan["phases"])
    assert [start for start, _ in plan["phases"]] == sorted({start for start, _ in plan["phases"]})


def test_a_blend_may_be_a_source_on_the_command_line(folder):
    call("blend", "b=b:3", "c=c:1", "-o", "code.yaml")
    call("blend", "a=a:1", "code=code.yaml:1", "-o", "all.yaml")
    segment = Blend.load("all.yaml").samples(L).segments[0]
    assert segment.weights == (4, 3, 1)


def test_pictures_show_every_source(folder):
    pytest.importorskip("matplotlib")
    arguments = ("blend", "blend.yaml", "-o", "out.yaml", "--tokens", "20K", "--sequence-length", L, "--picture")
    call(*arguments, "plan.png")
    assert Path("plan.png").read_bytes().startswith(b"\x89PNG")
    call(*arguments, "plan.svg")
    svg = Path("plan.svg").read_text()
    for words in ("code/b", "code/c", "tokens of the run (thousand)", "share of samples", "epochs seen"):
        assert words in svg, words
    assert "repeats teach little" not in svg
    with pytest.raises(SystemExit):
        raise SystemExit(call(*arguments, "plan.docx"))
    assert "a picture is written as .png, .svg or .pdf, not as .docx" in call(*arguments, "plan.docx")


def test_many_sources_are_drawn_as_the_largest_and_the_others(folder):
    pytest.importorskip("matplotlib")
    import numpy as np

    from megadata.pipeline.blendpicture import _named, _shares

    names, groups = _named(tuple(f"s{i}" for i in range(14)), np.arange(14.0))
    assert names == [*(f"s{i}" for i in range(13, 4, -1)), "5 others"]
    assert sorted(i for group in groups for i in group) == list(range(14))
    samples = Blend.load("blend.yaml").samples(L)
    borders, shares = _shares(samples, 500)
    assert (borders[0], borders[-1]) == (0, 500)
    assert (np.diff(borders) > 0).all()
    assert np.allclose(shares.sum(axis=1), 1)


def test_a_picture_without_matplotlib_or_a_budget_is_refused(folder, monkeypatch):
    assert "--picture draws the plan of a run; give --tokens" in call(
        *("blend", "blend.yaml", "-o", "o.yaml", "--picture", "p.png")
    )
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    text = call("blend", "blend.yaml", "-o", "o.yaml", "--tokens", "20K", "--sequence-length", L, "--picture", "p.png")
    assert "a picture needs matplotlib; install it with `pip install 'megadata[report]'`" in text
    assert not Path("p.png").exists()


def test_weights_of_a_whole_blend_stand_in_its_file(folder):
    assert "weights, validation and seed of a whole blend stand in its file" in call(
        *("blend", "blend.yaml", "-o", "o.yaml", "--seed", 3)
    )
    with pytest.raises(ConfigError, match="has phases of its own, which a blend inside another cannot have"):
        Blend.of({"x": Blend.load("blend.yaml")})
