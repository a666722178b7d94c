"""Outputs: no file is replaced or deleted that megadata did not make there."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest

from megadata.corpus.clean import CleanConfig, clean
from megadata.documents.inputs import expand
from megadata.errors import OutputError
from megadata.runtime import step
from megadata.runtime.files import remove_temporaries, temporary_name
from megadata.runtime.settings import RunSettings

NONE = CleanConfig(rules="none")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"id": str(i), "text": f"text {i}"}) + b"\n" for i in range(20)))
    return path


def made(source: Path, output: Path, config: CleanConfig = NONE) -> dict[str, float]:
    return clean(expand([str(source)]), output, config, RunSettings(workers=1)).counts


def test_files_whose_names_only_begin_like_those_of_shards_stay(tmp_path, source):
    output = tmp_path / "out"
    (output / "docs-site").mkdir(parents=True)
    (output / "docs-site" / "index.html").write_text("mine")
    (output / "docs-important.txt").write_text("mine")
    (output / ".notes.tmp").write_text("mine")
    for config in (NONE, CleanConfig(rules="none", form="parquet")):
        made(source, output, config)
        assert (output / "docs-site" / "index.html").read_text() == "mine"
        assert (output / "docs-important.txt").read_text() == "mine"
        assert (output / ".notes.tmp").read_text() == "mine"
    assert sorted(p.name for p in output.glob("docs-0*")) == ["docs-00000.parquet"], "our own shards make room"


@pytest.mark.parametrize(
    "name", ["docs-00000.jsonl.zst", "docs-00007.parquet", "removed/docs-00000.jsonl.zst", "keys.idx", "stats.json"]
)
def test_files_of_our_names_that_we_did_not_make_are_refused_before_the_work(tmp_path, source, name, monkeypatch):
    output = tmp_path / "out"
    (output / name).parent.mkdir(parents=True, exist_ok=True)
    (output / name).write_text("mine")
    monkeypatch.setattr("megadata.corpus.clean.map_units", lambda *_: pytest.fail("the work began"))
    with pytest.raises(OutputError, match=rf"{name}: expected none of this name, .* move it away or choose another -o"):
        made(source, output)
    assert (output / name).read_text() == "mine"


def test_a_foreign_shard_in_an_output_of_ours_is_refused(tmp_path, source):
    output = tmp_path / "out"
    made(source, output)
    (output / "docs-00001.jsonl.zst").write_text("mine")
    with pytest.raises(OutputError, match=r"docs-00001\.jsonl\.zst: expected none of this name"):
        made(source, output, CleanConfig(rules="none", removed="ids"))


def test_what_a_kill_while_publishing_leaves_is_known_as_ours(tmp_path, source, monkeypatch):
    output = tmp_path / "out"
    made(source, output)

    class Killed(BaseException):
        pass

    def kill(_: Path) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(step, "sync_folder", kill)
        with pytest.raises(Killed):
            made(source, output, CleanConfig(rules="none", form="parquet"))
    assert not (output / "manifest.json").exists()
    assert list(output.glob("docs-*"))
    assert made(source, output, CleanConfig(rules="none", removed="ids"))["documents_kept|text"] == 20
    assert sorted(p.name for p in output.glob("docs-*")) == ["docs-00000.jsonl.zst"]


def test_an_output_without_its_hidden_folder_is_known_by_its_manifest(tmp_path, source):
    output = tmp_path / "out"
    made(source, output)
    shutil.rmtree(output / ".megadata")
    made(source, output, CleanConfig(rules="none", form="parquet"))
    assert sorted(p.name for p in output.glob("docs-*")) == ["docs-00000.parquet"]
    assert not (output / "keys.idx").exists()


def test_only_temporaries_of_ours_are_removed(tmp_path):
    (tmp_path / ".keep.tmp").touch()
    temporary_name(tmp_path / "a.json").touch()
    remove_temporaries(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [".keep.tmp"]


def test_an_output_that_is_a_file_is_said_to_be_one(tmp_path, source):
    (tmp_path / "odd.jsonl").touch()
    for output in (tmp_path / "odd.jsonl", tmp_path / "odd.jsonl" / "below"):
        with pytest.raises(OutputError, match=r"odd\.jsonl: expected a folder, found a file; choose another -o"):
            made(source, output)
