"""Kinds of file: what is not read is named, and what the user says a file is holds."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile

import pytest

from megadata.documents import registry
from megadata.documents.inputs import expand, plan, read_unit
from megadata.documents.refused import refusal
from megadata.documents.source import Problems, ReadOptions, read_options
from megadata.errors import ConfigError, CorpusError

REFUSED = {
    "dump.xml.7z": (
        b"7z\xbc\xaf\x27\x1c\x00\x04",
        "is a 7z archive, which megadata does not read; unpack it (7z x FILE)",
    ),
    "all.rar": (
        b"Rar!\x1a\x07\x01\x00",
        "is a RAR archive, which megadata does not read; unpack it first (unrar x FILE)",
    ),
    "paper.pdf": (
        b"%PDF-1.7\n%",
        "is a PDF document, which megadata does not read; turn it into text first (pdftotext",
    ),
    "old.doc": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00",
        "is an old Office document, which megadata does not read; save it",
    ),
    "a.jsonl.lz4": (b"\x04\x22\x4d\x18\x64\x40", "is an lz4 file, which megadata does not read; decompress it first"),
    "data": (
        b"\x1f\x8b\x08\x00",
        "is gzip data inside a name that does not say so, which megadata does not read; let the",
    ),
    "v1.feather": (b"FEA1\x00\x00", "is a Feather file of version 1, which megadata does not read; write it again as"),
    "weights.pkl": (
        b"\x80\x04\x95\x10",
        "is a Python pickle, which megadata does not read; write its texts as JSON lines",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_known_kind_that_is_not_read_is_refused_with_what_to_do(tmp_path, name):
    data, message = REFUSED[name]
    (tmp_path / name).write_bytes(data + b"\x00" * 300)
    with pytest.raises(CorpusError, match=re.escape(f"{tmp_path / name}: {message}")):
        expand([str(tmp_path / name)])


def test_office_documents_are_told_from_other_zip_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.docx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<document/>")
    assert refusal((tmp_path / "a.docx").read_bytes()[:4096]).what == "an Office document"


def test_what_is_passed_over_in_a_folder_is_named_with_its_kind(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "x"}\n')
    (tmp_path / "b.pdf").write_bytes(b"%PDF-1.4\n\x00")
    (tmp_path / "c.bin").write_bytes(b"\x00\x01\x02")
    assert expand([str(tmp_path)]).passed_over == ["b.pdf (a PDF document)", "c.bin"]
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(CorpusError, match=r"found 2 others: b\.pdf \(a PDF document\), c\.bin$"):
        expand([str(tmp_path)])


def texts(path, unit_bytes=1 << 20, **options) -> tuple[list[str], list[str], Problems]:
    read, problems = ReadOptions(**options), Problems()
    units = plan(expand([str(path)], read=read).files, unit_bytes)
    batches = [batch for unit in units for batch in read_unit(unit, read, problems)]
    return [t for b in batches for t in b.texts], [i for b in batches for i in b.ids], problems


@pytest.mark.parametrize("unit_bytes", [1, 7, 1 << 20])
def test_a_document_a_line_where_the_user_says_so(tmp_path, unit_bytes):
    path = tmp_path / "lee.cor"
    path.write_bytes(b"\xef\xbb\xbffirst one\r\n\n  \nsecond\xff\nthird \xc3\xa9\nlast")
    found, ids, problems = texts(path, unit_bytes, kind="lines")
    assert found == ["first one", "third é", "last"]
    assert ids == ["lee.cor:0", "lee.cor:26", "lee.cor:35"]
    assert problems.counts == {"not_utf8": 1}


def test_the_users_word_stands_over_name_and_content(tmp_path):
    (tmp_path / "a.data").write_bytes(b'{"text": "x"}\n')
    assert texts(tmp_path / "a.data", kind="jsonl")[0] == ["x"]
    assert texts(tmp_path / "a.data", kind="lines")[0] == ['{"text": "x"}']
    with pytest.raises(ConfigError, match=r"^read\.kind: unknown kind 'jsnol'; did you mean \"jsonl\"\?$"):
        texts(tmp_path / "a.data", kind="jsnol")


def test_options_of_reading_are_set_by_name():
    read, rest = read_options({"text_field": "body"}, ["read.kind=lines", "quality.too_few_words=3"])
    assert (read.kind, read.text_field, rest) == ("lines", "body", ("quality.too_few_words=3",))
    with pytest.raises(ConfigError, match=r"^read: unknown key 'knid'; did you mean \"kind\"\?$"):
        read_options({}, ["read.knid=lines"])
    with pytest.raises(ConfigError, match=r"read\.max_record_bytes must be at least 1, got 0"):
        read_options({}, ["read.max_record_bytes=0"])


def test_every_command_over_data_takes_them(tmp_path):
    (tmp_path / "a.cor").write_text("".join(f"words of line number {i} and some more\n" for i in range(40)))
    base = [sys.executable, "-m", "megadata"]
    for command in (
        ["clean", "a.cor", "-o", "c", "--rules", "none"],
        ["dedup", "a.cor", "-o", "d"],
        ["train-tokenizer", "a.cor", "-o", "t.json", "--vocab-size", "300"],
        ["tokenize", "a.cor", "-o", "tokens", "--tokenizer", "t.json"],
    ):
        done = subprocess.run(
            [*base, *command, "--workers", "1", "--set", "read.kind=lines"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    from megadata.indexed.reader import IndexedDataset

    assert IndexedDataset(str(tmp_path / "tokens")).documents == 40


def test_the_table_of_endings_says_what_the_classes_say():
    said: dict[str, tuple[str, ...]] = {}
    for kind in registry.OURS:
        for ending in registry.source(kind).suffixes:
            said[ending] = (*said.get(ending, ()), kind)
    assert said == registry.ENDINGS


def test_a_file_known_by_its_ending_imports_no_other_kind(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n')
    code = (
        "import sys\n"
        "from megadata.documents.registry import recognise\n"
        "print(recognise(sys.argv[1], 'a.jsonl'), 'megadata.corpus.sources.mediawiki' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.jsonl")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.split() == ["jsonl", "False"]
