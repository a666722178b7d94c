"""tar and zip: members are read as the files they are; what cannot be read is named; bombs and damage stay inside."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sources_support import epub_file, page, paragraph

from megadata.documents import archives
from megadata.documents.inputs import expand, plan, read_unit
from megadata.documents.source import Problems, ReadOptions

MEMBERS = {
    "texts/one.txt": b"A text file, plain and short.",
    "texts/lines.jsonl": b'{"text": "first"}\n{"id": "own", "text": "second"}\n',
    "more/packed.jsonl.gz": gzip.compress(b'{"text": "third"}\n', mtime=0),
    "table.csv": b'text,n\n"fourth, with a comma",1\n',
    "page.html": page(paragraph("The fifth")).encode(),
    "book.epub": epub_file({"a.xhtml": "<html><body><p>" + "The sixth is a book. " * 30 + "</p></body></html>"}),
    "picture.png": b"\x89PNG\r\n\x1a\n\x00\x00",
    "inner.zip": b"PK\x03\x04\x14\x00\x00\x00\x00\x00" + b"\x00" * 40,
    ".hidden/x.txt": b"not read",
    "__MACOSX/y.txt": b"not read",
}


def make(path: Path, members: dict[str, bytes] = MEMBERS) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path
    mode = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}.get(path.suffix[1:], "w")
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            head = tarfile.TarInfo(name)
            head.size = len(data)
            archive.addfile(head, io.BytesIO(data))
    return path


def docs(path: Path, unit_bytes: int = 1 << 20, **options):
    read, problems = ReadOptions(**options), Problems()
    units = plan(expand([str(path)], read=read).files, unit_bytes)
    return [d for unit in units for batch in read_unit(unit, read, problems) for d in batch], problems


@pytest.mark.parametrize("unit_bytes", [1, 1 << 20])
@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz", "a.zip"])
def test_members_are_read_as_the_files_they_are(tmp_path, name, unit_bytes):
    found, problems = docs(make(tmp_path / name), unit_bytes)
    assert [d["id"] for d in found] == [
        f"{name}/texts/one.txt",
        f"{name}/texts/lines.jsonl:0",
        "own",
        f"{name}/more/packed.jsonl.gz:0",
        f"{name}/table.csv:7",
        f"{name}/page.html",
        f"{name}/book.epub",
    ]
    assert [d["text"].split()[0] for d in found] == ["A", "first", "second", "third", "fourth,", "The", "The"]
    assert {(i["reason"], i["where"]) for i in problems.items} == {
        ("unknown_kind", f"{name}/picture.png"),
        ("nested_archive", f"{name}/inner.zip"),
    }


def test_options_reach_the_members(tmp_path):
    path = make(tmp_path / "a.tar", {"a.cor": b"one\ntwo\n", "b.cor": b"three\n"})
    path = path.rename(tmp_path / "corpus.tar")
    found, _ = docs(path, text_field="text")
    assert found == []
    problems = Problems()
    units = plan(expand([str(path)]).files)
    read = ReadOptions(kind="lines")
    assert [t for u in units for b in read_unit(u, read, problems) for t in b.texts] == ["one", "two", "three"]


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip"])
def test_a_bomb_is_set_aside(tmp_path, monkeypatch, name):
    monkeypatch.setattr(archives, "FREE_BYTES", 100_000)
    path = make(tmp_path / name, {"good.txt": b"Good text.", "bomb.txt": b"a" * 9_000_000})
    found, problems = docs(path, max_expansion=10)
    assert [d["text"] for d in found] == ["Good text."]
    assert problems.counts == {"expansion_too_large": 1}


def test_an_encrypted_member_is_set_aside(tmp_path):
    data = bytearray(make(tmp_path / "a.zip", {"good.txt": b"Good text.", "bad.txt": b"Secret."}).read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    found, problems = docs(tmp_path / "a.zip")
    assert [d["text"] for d in found] == ["Good text."]
    assert problems.counts == {"encrypted_member": 1}


def test_a_truncated_archive_keeps_its_whole_members(tmp_path):
    rng = random.Random(0)
    members = {f"{i}.txt": " ".join(str(rng.random()) for _ in range(90)).encode() for i in range(50)}
    path = make(tmp_path / "a.tar.gz", members)
    path.write_bytes(path.read_bytes()[:-2000])
    found, problems = docs(path)
    assert 10 < len(found) < 50
    assert sum(problems.counts.values()) == 1


def test_a_head_with_a_name_without_end_is_damage(tmp_path):
    head = tarfile.TarInfo("././@PaxHeader")
    head.type, head.size = tarfile.XHDTYPE, 1 << 33
    (tmp_path / "a.tar").write_bytes(head.tobuf(tarfile.GNU_FORMAT) + b"\x00" * 4096)
    found, problems = docs(tmp_path / "a.tar")
    assert (found, problems.counts) == ([], {"damaged_tar": 1})


@settings(max_examples=80)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(["a.tar", "a.tar.gz", "a.zip"]))
def test_no_damage_makes_a_reader_fail(tmp_path_factory, seed, name):
    rng = random.Random(seed)
    small = {n: MEMBERS[n] for n in ("texts/one.txt", "texts/lines.jsonl", "table.csv")}
    path = make(tmp_path_factory.mktemp("damage") / name, small)
    data = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data[: rng.randint(1, len(data))] if rng.random() < 0.3 else data)
    read, problems = ReadOptions(kind="zip" if name == "a.zip" else "tar"), Problems()
    for unit in plan(expand([str(path)], read=read).files):
        for batch in read_unit(unit, read, problems):
            assert len(batch)


def test_a_real_zip_of_plain_text_is_read(real_data):
    found, problems = docs(real_data / "books/nltk/shakespeare.zip", kind=None)
    assert len(found) + sum(problems.counts.values()) >= 8


@pytest.mark.parametrize("unit_bytes", [1, 1 << 20])
def test_the_members_of_a_zip_share_one_budget_in_all_spans(tmp_path, monkeypatch, unit_bytes):
    monkeypatch.setattr(archives, "FREE_BYTES", 100_000)
    bomb = b'{"text": "' + b"x" * 39_000 + b'"}\n'
    path = make(tmp_path / "a.zip", {**{f"{i}.jsonl": bomb for i in range(40)}, "last.txt": b"A small one still fits."})
    found, problems = docs(path, unit_bytes, max_expansion=2)
    assert [d["id"] for d in found] == [f"a.zip/{i}.jsonl:0" for i in range(2)] + ["a.zip/last.txt"]
    assert problems.counts == {"expansion_too_large": 38}
