"""`clean --scores`: what was measured of every document lies beside the shards."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
from pipelines import text

from megadata.corpus.clean import CleanConfig, CleanReport, clean
from megadata.corpus.filter import Filter
from megadata.corpus.rules import load_rules
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import expand
from megadata.errors import ConfigError
from megadata.runtime.settings import RunSettings
from megadata.runtime.streams import open_decoded


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    rng = random.Random(3)
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in ("a", "b"):
        lines = [{"id": f"{name}{i}", "text": text(rng, rng.choice((3, 30, 60, 90)))} for i in range(60)]
        lines += [{"id": "same", "text": text(rng, 80)}, {"id": f"{name}-empty", "text": "1 2 3"}]
        body = [orjson.dumps(line) for line in lines]
        body.insert(20, b'{"id": "half')
        (folder / f"{name}.jsonl").write_bytes(b"\n".join(body) + b"\n")
    return folder


def run(inputs: Path, output: Path, workers: int = 1, **config) -> CleanReport:
    values = {"rules": "gopher@paper", "unit_bytes": 6000, "shard_bytes": 20_000, **config}
    return clean(expand([str(inputs)]), output, CleanConfig(**values), RunSettings(workers=workers))


def stored(folder: Path) -> list[dict]:
    lines = []
    for path in sorted(folder.glob("docs-*.jsonl.zst")):
        with open_decoded(str(path)) as stream:
            lines += [orjson.loads(line) for line in stream]
    return lines


def test_every_line_of_the_output_has_a_row_that_finds_it(raw, tmp_path):
    run(raw, tmp_path / "out", scores=True)
    rows = pq.read_table(tmp_path / "out/scores.parquet").to_pylist()
    lines = {"kept": stored(tmp_path / "out"), "removed": stored(tmp_path / "out/removed")}
    assert len(rows) == 2 * 63 == sum(map(len, lines.values()))
    for row in rows:
        line = lines[row["stream"]][row["place"]]
        assert line["id"].removeprefix("a.jsonl:").removeprefix("b.jsonl:") == row["id"] or "half" in line["text"]
        assert (line.get("reason"), line["source"]) == (row["reason"], row["source"])
    assert [r["id"] for r in rows if r["reason"] is None or "unreadable" not in r["reason"]][:3] == ["a0", "a1", "a2"]


def test_scores_are_what_the_filters_measure(raw, tmp_path):
    run(raw, tmp_path / "out", scores=True)
    (columns,) = [{r["id"]: r for r in pq.read_table(tmp_path / "out/scores.parquet").to_pylist()}]
    docs = stored(tmp_path / "out") + [d for d in stored(tmp_path / "out/removed") if "unread" not in d["reason"]]
    batch = DocBatch.of([d["id"] for d in docs], [d["text"] for d in docs])
    checked = 0
    for label, step in load_rules("gopher@paper").steps:
        assert isinstance(step, Filter)
        for quantity in step.quantities:
            for own, value in zip(batch.ids, step.measure(batch)[quantity].tolist(), strict=True):
                if own in columns:
                    found = columns[own][f"{label}.{quantity}"]
                    assert found == value or (np.isnan(found) and np.isnan(value))
                    checked += 1
    assert checked > 1000


def test_scores_are_the_same_bytes_for_any_workers(raw, tmp_path):
    run(raw, tmp_path / "one", scores=True)
    run(raw, tmp_path / "two", scores=True, workers=2)
    assert (tmp_path / "one/scores.parquet").read_bytes() == (tmp_path / "two/scores.parquet").read_bytes()
    run(raw, tmp_path / "without")
    for path in (tmp_path / "without").rglob("docs-*"):
        assert path.read_bytes() == (tmp_path / "one" / path.relative_to(tmp_path / "without")).read_bytes()
    assert not (tmp_path / "without/scores.parquet").exists()


def test_an_output_with_scores_is_an_input_and_lost_scores_are_made_again(raw, tmp_path):
    run(raw, tmp_path / "out", scores=True)
    assert not any("scores" in f.name for f in expand([str(tmp_path / "out")]).files)
    assert run(raw, tmp_path / "out", scores=True).current
    before = (tmp_path / "out/scores.parquet").read_bytes()
    (tmp_path / "out/scores.parquet").unlink()
    assert not run(raw, tmp_path / "out", scores=True).current
    assert (tmp_path / "out/scores.parquet").read_bytes() == before
    run(raw, tmp_path / "out")
    assert not (tmp_path / "out/scores.parquet").exists()


def test_scores_and_newest_are_refused_together(raw, tmp_path):
    with pytest.raises(ConfigError, match=r"--scores: expected no --newest, which removes documents after they are"):
        run(raw, tmp_path / "out", scores=True, newest=True)
