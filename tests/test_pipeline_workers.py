"""The number of workers and the memory never change a byte; a second run does nothing; a change redoes what follows from it."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest
from pipelines import contents, write_project

from megadata.errors import ConfigError, CorpusError
from megadata.indexed.blend import Blend
from megadata.pipeline.recipe import load_recipe
from megadata.pipeline.run import Pipeline, RunReport
from megadata.runtime.settings import RunSettings

NO_TRAINING = ("train={}",)


def run(folder: Path, workers: int = 1, memory: int = 1 << 30, changes: tuple[str, ...] = NO_TRAINING) -> RunReport:
    recipe = load_recipe(folder / "recipe.yaml", changes)
    return Pipeline(recipe, folder, RunSettings(workers=workers, memory=memory)).run()


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    write_project(folder)
    return folder, run(folder), contents(folder / "out")


@pytest.mark.parametrize(("workers", "memory"), [(2, 64 << 20), (5, 1 << 30)])
def test_any_number_of_workers_writes_the_same_bytes(tmp_path, one_worker, workers, memory):
    write_project(tmp_path)
    run(tmp_path, workers, memory)
    assert contents(tmp_path / "out") == one_worker[2]


def test_every_document_is_kept_or_removed_with_a_reason(one_worker):
    _, report, _ = one_worker
    web = report.cleaned["web"]
    assert web.total("documents_in") == 131
    assert web.total("unreadable") == 1
    kept = sum(row.kept for row in report.unique.rows())
    lost = sum(row.exact + row.near for row in report.unique.rows())
    assert kept + lost == sum(one.total("documents_kept") for one in report.cleaned.values())
    by_source = {row.source: row for row in report.unique.rows()}
    assert by_source["web"].exact == 5
    assert by_source["web"].near == 5
    datasets = [d for one in report.tokenized["tokens"].values() for d in one.datasets]
    assert sum(d.documents for d in datasets) == kept


def test_a_recipe_takes_evaluation_sets_out_of_what_is_tokenized(tmp_path):
    write_project(tmp_path)
    page = orjson.loads((tmp_path / "pages.jsonl").read_bytes().splitlines()[0])["text"]
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "quiz.jsonl").write_bytes(orjson.dumps({"question": page}))
    section = "decontaminate={against: [quiz=evals], mode: drop, set: {words: 10}}"
    report = run(tmp_path, 2, changes=(*NO_TRAINING, section))
    assert report.decontaminated.of("documents_in", "web") == report.unique.of("documents_kept", "web")
    assert report.decontaminated.removed("web") == report.decontaminated.sets[0].documents >= 1
    documents = sum(d.documents for one in report.tokenized["tokens"].values() for d in one.datasets)
    kept = sum(row.kept for row in report.unique.rows())
    assert documents == kept - sum(report.decontaminated.removed(name) for name in ("web", "books"))
    again = run(tmp_path, changes=(*NO_TRAINING, section))
    assert again.decontaminated.current
    with pytest.raises(ConfigError, match="expected evaluation sets, found none; name some, or leave it out"):
        load_recipe(tmp_path / "recipe.yaml", ("decontaminate={against: []}",))
    with pytest.raises(ConfigError, match=r"decontaminate.set: unknown key 'wrods'"):
        run(tmp_path, changes=(*NO_TRAINING, "decontaminate={against: [evals], set: {wrods: 10}}"))


def test_a_second_run_makes_nothing_again(one_worker):
    folder, _, before = one_worker
    times = {p: p.stat().st_mtime_ns for p in (folder / "out").rglob("*.bin")}
    report = run(folder)
    assert all(one.current for one in report.cleaned.values())
    assert report.unique.current
    assert {p: p.stat().st_mtime_ns for p in (folder / "out").rglob("*.bin")} == times
    assert contents(folder / "out") == before


def test_a_moved_project_makes_nothing_again(tmp_path):
    (tmp_path / "here").mkdir()
    write_project(tmp_path / "here")
    run(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    report = run(tmp_path / "there")
    assert all(one.current for one in report.cleaned.values())
    assert report.unique.current


def test_a_changed_input_is_noticed_and_only_what_follows_is_made_again(tmp_path):
    write_project(tmp_path)
    run(tmp_path)
    pages = tmp_path / "pages.jsonl"
    pages.write_bytes(pages.read_bytes().replace(b"the", b"THE", 1))
    report = run(tmp_path)
    assert not report.cleaned["web"].current
    assert report.cleaned["books"].current
    assert not report.unique.current
    changed = contents(tmp_path / "out")
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    write_project(fresh)
    (fresh / "pages.jsonl").write_bytes(pages.read_bytes())
    run(fresh)
    assert contents(fresh / "out") == changed


def test_a_touched_input_is_read_and_found_unchanged(tmp_path):
    write_project(tmp_path)
    run(tmp_path)
    os.utime(tmp_path / "pages.jsonl", ns=(10**18, 10**18))
    assert all(one.current for one in run(tmp_path).cleaned.values())


def test_a_changed_threshold_redoes_its_stage_and_those_after_it(tmp_path):
    write_project(tmp_path)
    run(tmp_path)
    report = run(tmp_path, changes=(*NO_TRAINING, "dedup.threshold=0.95"))
    assert all(one.current for one in report.cleaned.values())
    assert not report.unique.current


def test_a_source_of_which_nothing_is_left_is_named_and_left_out(tmp_path):
    write_project(tmp_path)
    (tmp_path / "pages.jsonl").write_text('{"text": "too short"}\n')
    report = run(tmp_path, changes=(*NO_TRAINING, "sources.web.rules=web", "blend={}"))
    assert list(report.tokenized["tokens"]) == ["books"]
    blend = Blend.load(tmp_path / "out" / "blend.yaml")
    assert [source.name for source in blend.sources] == ["books"]


def test_a_recipe_that_leaves_nothing_says_so(tmp_path):
    write_project(tmp_path)
    for path in (tmp_path / "pages.jsonl", *(tmp_path / "books").iterdir()):
        path.write_text('{"text": "too short"}\n')
    with pytest.raises(CorpusError, match="no document is left to train on; look at removed/ and loosen the rules"):
        run(tmp_path, changes=(*NO_TRAINING, "sources.web.rules=web", "sources.books.rules=web"))
