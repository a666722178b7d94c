"""Inputs: what the user names becomes files with names, kinds and labels; units cover every byte."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import fsspec
import orjson
import pytest

from megadata.documents.inputs import expand, plan, read_unit, split_label
from megadata.documents.source import Problems, ReadOptions
from megadata.errors import ConfigError, CorpusError

LINE = orjson.dumps({"text": "hello"}) + b"\n"


def put(path: Path, data: bytes = LINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def names(*arguments: object, **options) -> list[str]:
    return [f.name for f in expand([str(a) for a in arguments], **options).files]


def test_files_folders_globs_and_lists_are_named_relative_to_the_input(tmp_path):
    put(tmp_path / "in/a.jsonl")
    put(tmp_path / "in/deep/b.jsonl")
    put(tmp_path / "in/.hidden/c.jsonl")
    (tmp_path / "list.txt").write_text(f"# comment\n{tmp_path}/in/a.jsonl\n\n{tmp_path}/in/deep\n")
    assert names(tmp_path / "in") == ["a.jsonl", "deep/b.jsonl"]
    assert names(tmp_path / "in/deep/b.jsonl") == ["b.jsonl"]
    assert names(f"{tmp_path}/in/**/*.jsonl") == ["a.jsonl", "b.jsonl"]
    assert names(f"@{tmp_path}/list.txt") == ["a.jsonl", "b.jsonl"]


def test_equal_names_under_two_inputs_are_told_apart_by_their_folders(tmp_path):
    for folder in ("one/en", "two/en"):
        put(tmp_path / folder / "a.jsonl")
    assert names(tmp_path / "one/en", tmp_path / "two/en") == ["one/en/a.jsonl", "two/en/a.jsonl"]
    assert names(tmp_path / "one/en/a.jsonl", tmp_path / "two/en/a.jsonl") == ["one/en/a.jsonl", "two/en/a.jsonl"]
    with pytest.raises(ConfigError, match="the same file is named twice"):
        expand([str(tmp_path / "one/en"), str(tmp_path / "one/en/a.jsonl")])


def test_labels_name_the_source_and_family_the_rules(tmp_path):
    path = put(tmp_path / "a.jsonl")
    plain, labelled, family = (
        expand([str(path)]).files[0],
        expand([f"crawl={path}"], "web").files[0],
        expand([f"books={path}"]).files[0],
    )
    assert (plain.source, plain.family) == ("text", "text")
    assert (labelled.source, labelled.family) == ("crawl", "web")
    assert (family.source, family.family) == ("books", "books")


def test_a_path_with_an_equals_sign_that_exists_is_no_label(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(Path("a=b.jsonl"))
    assert split_label("a=b.jsonl") == (None, "a=b.jsonl")
    assert split_label("a=c.jsonl") == ("a", "c.jsonl")


def test_standard_input_is_a_source(monkeypatch):
    class Stdin:
        buffer = io.BytesIO(LINE * 3)

    monkeypatch.setattr("sys.stdin", Stdin)
    found = expand(["-"])
    assert [f.name for f in found.files] == ["stdin"]
    batches = list(read_unit(plan(found.files)[0], ReadOptions(), Problems()))
    assert sum(map(len, batches)) == 3


def test_urls_go_through_fsspec():
    system = fsspec.filesystem("memory")
    system.pipe("/bucket/x/a.jsonl", LINE)
    system.pipe("/bucket/x/b.jsonl", LINE * 2)
    found = expand(["memory://bucket/x"])
    assert [f.name for f in found.files] == ["a.jsonl", "b.jsonl"]
    units = plan(found.files)
    docs = [d for u in units for b in read_unit(u, ReadOptions(), Problems()) for d in b]
    assert len(docs) == 3


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("nothing/here", "nothing/here: expected files to read, found none; check the path or the pattern"),
        ("*.nope", "*.nope: expected files to read, found none; check the path or the pattern"),
        ("@missing.txt", "missing.txt: cannot be read: No such file or directory; expected a list of inputs"),
    ],
)
def test_an_input_that_is_not_there_is_one_sentence(tmp_path, monkeypatch, argument, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match=f"^{re.escape(message)}$"):
        expand([argument])


def test_a_missing_line_of_a_list_is_named(tmp_path):
    put(tmp_path / "a.jsonl")
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.jsonl\n{tmp_path}/gone.jsonl\n")
    with pytest.raises(
        CorpusError, match=r"list\.txt:2: .*gone\.jsonl: expected files to read, found none; mend the line"
    ):
        expand([f"@{tmp_path}/list.txt"])


def test_a_local_url_is_read_as_a_file(tmp_path):
    path = put(tmp_path / "a.jsonl", LINE * 2)
    units = plan(expand([f"file://{path}"]).files)
    assert sum(len(b) for u in units for b in read_unit(u, ReadOptions(), Problems())) == 2


def test_files_of_unknown_kind_are_passed_over_in_folders_and_refused_by_name(tmp_path):
    put(tmp_path / "a.jsonl")
    odd = put(tmp_path / "picture.png", b"\x89PNG\r\n\x1a\n\x00\x00")
    found = expand([str(tmp_path)])
    assert ([f.name for f in found.files], found.passed_over) == (["a.jsonl"], ["picture.png"])
    with pytest.raises(
        CorpusError, match=r"picture\.png: expected a kind of file megadata reads \(jsonl, .*give it the usual"
    ):
        expand([str(odd)])


def test_links_to_nothing_and_pipes_below_a_folder_are_passed_over_and_told(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n')
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe.jsonl")
    found = expand([str(tmp_path)])
    assert [f.name for f in found.files] == ["a.jsonl"]
    assert sorted(found.passed_over) == ["gone.jsonl (a link to nothing)", "pipe.jsonl (a pipe or a device)"]


def test_json_that_is_no_lines_of_json_is_a_kind_of_its_own(tmp_path):
    put(tmp_path / "lines.json")
    put(tmp_path / "pretty.json", b'{\n  "title": "one object over many lines"\n}\n')
    (tmp_path / "strings.json").write_bytes(b'["no", "records"]')
    found = expand([str(tmp_path)])
    assert [(f.name, f.kind) for f in found.files] == [("lines.json", "jsonl"), ("pretty.json", "json")]
    assert found.passed_over == ["strings.json"]


def test_units_cover_every_document_once(tmp_path):
    put(tmp_path / "big.jsonl", LINE * 1000)
    for i in range(20):
        put(tmp_path / f"small{i}.jsonl", LINE * i)
    units = plan(expand([str(tmp_path)]).files, 2000)
    assert [u.ordinal for u in units] == list(range(len(units)))
    total = sum(len(b) for u in units for b in read_unit(u, ReadOptions(), Problems()))
    assert total == 1000 + sum(range(20))
