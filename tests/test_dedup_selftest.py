"""The self-test of deduplication agrees with the curve, and notices what it is there to notice."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from megadata.cli import cli
from megadata.corpus.dedup import DedupConfig, SelfTest, self_test, selftest
from megadata.documents.inputs import expand
from megadata.errors import CorpusError
from megadata.runtime.settings import RunSettings


def write(path: Path, count: int, words: int = 400, seed: int = 5) -> Path:
    rng = random.Random(seed)
    texts = [" ".join(f"w{rng.randrange(20_000)}" for _ in range(words)) for _ in range(count)]
    lines = [{"id": f"d{n}", "text": text} for n, text in enumerate(texts)]
    path.write_bytes(b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines))
    return path


def run(path: Path, workers: int = 1, **changes: Any) -> SelfTest:
    return self_test(expand([str(path)]), DedupConfig(**changes), RunSettings(workers=workers))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("self-test") / "docs.jsonl", 900)


def test_what_is_found_agrees_with_the_curve_and_nothing_is_removed_below_the_threshold(corpus: Path):
    tested = run(corpus)
    assert tested.passed
    assert tested.wrong == 0
    assert tested.documents == 900
    assert [row.pairs for row in tested.rows] == [100] * len(selftest.SIMILARITIES)
    for row, aim in zip(tested.rows, selftest.SIMILARITIES, strict=True):
        assert abs(row.similarity - aim) < 0.02
        assert (row.removed == 0) == (row.due == 0)
    assert tested.rows[-1].removed == 1
    assert tested.rows[2].removed == 0 < tested.rows[4].removed < tested.rows[4].compared


@pytest.mark.parametrize(
    "changes", [{"measure": "containment"}, {"exact_only": True}, {"shingle": "characters", "width": 25}]
)
def test_other_settings_agree_as_well(corpus: Path, changes: dict[str, Any]):
    assert run(corpus, **changes).passed


def test_text_without_spaces_is_changed_character_by_character(tmp_path: Path):
    rng = random.Random(1)
    path = tmp_path / "han.jsonl"
    lines = [{"text": "".join(chr(rng.randrange(0x4E00, 0x9000)) for _ in range(300))} for _ in range(200)]
    path.write_bytes(b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines))
    tested = run(path)
    assert tested.passed
    assert abs(tested.rows[0].similarity - 0.5) < 0.05


def test_the_report_is_the_same_for_any_number_of_workers(corpus: Path):
    assert run(corpus, workers=2) == run(corpus)


def test_duplicates_that_were_there_before_are_left_out(tmp_path: Path, corpus: Path):
    path = tmp_path / "twice.jsonl"
    path.write_bytes(corpus.read_bytes() + b"".join(corpus.read_bytes().splitlines(keepends=True)[:60]))
    tested = run(path)
    assert (tested.own_duplicates, tested.documents) == (60, 900)
    assert tested.passed


def test_a_deduplication_that_misses_copies_does_not_pass(corpus: Path, monkeypatch: pytest.MonkeyPatch):
    deaf = selftest.dedup
    monkeypatch.setattr(selftest, "dedup", lambda i, o, config, s: deaf(i, o, replace(config, exact_only=True), s))
    tested = run(corpus)
    assert not tested.passed
    assert tested.wrong == 0


def test_a_deduplication_that_removes_too_much_does_not_pass(corpus: Path, monkeypatch: pytest.MonkeyPatch):
    eager = selftest.dedup
    monkeypatch.setattr(selftest, "dedup", lambda i, o, config, s: eager(i, o, replace(config, threshold=0.5), s))
    tested = run(corpus)
    assert not tested.passed
    assert 0 < tested.wrong < tested.removed
    assert tested.precision == 1 - tested.wrong / tested.removed


def test_signatures_that_are_not_random_do_not_pass(corpus: Path, monkeypatch: pytest.MonkeyPatch):
    mul, add = selftest.signatures.permutations(104, 1)
    same = (np.full_like(mul, mul[0]), np.full_like(add, add[0]))
    monkeypatch.setattr(selftest.signatures, "permutations", lambda count, seed: same)
    assert not run(corpus).passed


def test_too_few_documents_are_refused_in_one_sentence(tmp_path: Path):
    path = write(tmp_path / "few.jsonl", 40)
    expected = (
        "--self-test: expected at least 100 distinct documents of 40 or more shingles, found 40 in a sample of 40; "
        "name more inputs"
    )
    with pytest.raises(CorpusError) as caught:
        run(path)
    assert str(caught.value) == expected


def test_the_command_needs_no_output_and_writes_nothing(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["dedup", str(corpus), "--self-test", "--workers", "1"])
    assert result.exit_code == 0, result.output
    assert "900 documents of the inputs got a copy each" in result.output
    assert list(tmp_path.iterdir()) == []
    result = CliRunner().invoke(cli, ["dedup", str(corpus)])
    assert result.exit_code == 2
    assert "Missing option '-o' / '--output'." in result.output
