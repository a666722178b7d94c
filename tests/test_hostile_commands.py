"""Whole commands over hostile input: exit codes, one sentence or counts, what is good kept, nothing half-written."""

from __future__ import annotations

import ctypes
import gzip
import importlib
import io
import os
import random
import re
import resource
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from click.testing import CliRunner
from fuzz_support import bounded
from pipelines import text
from sources_support import dump_head, dump_page, epub_file, gzip_members, page, response_record

from megadata.cli import cli
from megadata.documents.inputs import plan
from megadata.runtime.manifest import STATE
from megadata.runtime.streams import open_decoded

pytestmark = pytest.mark.timeout(240)
MIB = 1 << 20
RNG = random.Random(5)
COMMANDS = {
    "clean": ("clean", "IN", "-o", "OUT", "--rules", "none"),
    "dedup": ("dedup", "IN", "-o", "OUT"),
    "tokenize": ("tokenize", "IN", "-o", "OUT/all", "--tokenizer", "TOKENIZER"),
    "train-tokenizer": ("train-tokenizer", "IN", "-o", "OUT/tokenizer.json", "--vocab-size", "300"),
}
"""Each command as it is typed; what it makes lies in OUT."""


def line(content: str) -> bytes:
    return orjson.dumps({"text": content}) + b"\n"


def good(name: str) -> str:
    """The text of a document that must be kept, whatever lies around it."""
    return f"§{name}§ {text(RNG, 60)}"


def web_page(name: str) -> bytes:
    return page(f"<p>{good(name)}</p>").encode()


def cut_gzip() -> bytes:
    return gzip.compress(line(good("cut gzip")) + line(RNG.randbytes(100_000).hex()))[:-9000]


def damaged_parquet() -> bytes:
    table = pa.table({"text": [good(f"parquet {n // 20} {n % 20}") for n in range(60)]})
    out = pa.BufferOutputStream()
    pq.write_table(table, out, row_group_size=20, compression="zstd", use_dictionary=False)
    data = bytearray(out.getvalue())
    column = pq.ParquetFile(pa.BufferReader(bytes(data))).metadata.row_group(1).column(0)
    middle = column.data_page_offset + column.total_compressed_size // 2
    data[middle - 50 : middle + 50] = bytes(100)
    return bytes(data)


def damaged_archive() -> bytes:
    pages = [web_page(f"warc {n}") for n in range(4)]
    members = [bytearray(gzip_members([response_record(one, n)])) for n, one in enumerate(pages)]
    members[1][len(members[1]) // 2] ^= 255
    return b"".join([*members[:3], members[3][:-40]])


def damaged_dump() -> bytes:
    pages = [dump_page(n, good(f"dump {n}")) for n in range(1, 5)]
    pages[1] = pages[1].replace("</title>", "<title>")
    return (dump_head() + "".join(pages))[:-80].encode()


def archive(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as opened:
        for name in names:
            opened.writestr(f"{name}.txt", good(name))
    return out.getvalue()


KEPT = {
    *(
        "cut gzip",
        "half 1",
        "half 2",
        "bytes 1",
        "bytes 2",
        "long 1",
        "long 2",
        "zip 1",
        "zip 2",
        "book",
        "html",
        "text",
    ),
    *("warc 0", "warc 2", "dump 1", "dump 3", *(f"parquet {group} {n}" for group in (0, 2) for n in range(20))),
}
ASIDE = {
    "bad_epub": 1,
    "bad_json": 3,
    "bad_xml": 1,
    "damaged_compression": 3,
    "damaged_parquet": 2,
    "damaged_zip": 1,
    "empty_file": 1,
    "no_text_field": 1,
    "not_text": 1,
    "record_too_large": 1,
    "truncated_record": 1,
}
"""What `mixed` holds: names of its good documents, and how many records of each reason are bad."""


def mixed(folder: Path) -> Path:
    """Good and damaged files of every kind."""
    folder.mkdir()
    parquet = damaged_parquet()
    book = epub_file({"c1.xhtml": web_page("book")})
    files = {
        "cut.jsonl.gz": cut_gzip(),
        "half.jsonl": line(good("half 1")) + b'{"text": "half\n' + line(good("half 2")) + b'{"text": "never cl',
        "bytes.jsonl": line(good("bytes 1")) + b'{"text": "\xff\xfe"}\n' + line(good("bytes 2")),
        "long.jsonl": line(good("long 1")) + b'{"text": "%s"}\n' % (b"x" * (64 * MIB)) + line(good("long 2")),
        "empty.jsonl": b"",
        "empty.txt": b"",
        "fields.jsonl": b'{"body": "no text"}\n',
        "binary.txt": bytes(range(256)) * 20,
        "plain.txt": good("text").encode(),
        "rows.parquet": parquet,
        "footless.parquet": parquet[:-200],
        "crawl.warc.gz": damaged_archive(),
        "book.epub": book,
        "torn.epub": book[:-300],
        "wiki.xml": damaged_dump(),
        "whole.zip": archive("zip 1", "zip 2"),
        "torn.zip": archive("torn 1", "torn 2")[:-90],
        "page.html": web_page("html"),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    os.mkfifo(folder / "pipe.jsonl")  # opening it would wait without end
    return folder


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The error that ended it, which is one line."""
        assert self.code == 1, self.err
        (found,) = [one for one in self.err.splitlines() if one.startswith("Error: ")]
        return found.removeprefix("Error: ")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "in.jsonl").write_bytes(b"".join(line(good(str(n))) for n in range(20)))
    typed = ("train-tokenizer", str(folder / "in.jsonl"), "-o", str(folder / "tok.json"), "--vocab-size", "300")
    assert CliRunner().invoke(cli, [*typed, "--workers", "1"]).exit_code == 0
    return folder / "tok.json"


def typed(command: str, tokenizer: Path, source: Path | str, out: Path, *more: str) -> list[str]:
    names = {"IN": str(source), "OUT": str(out), "TOKENIZER": str(tokenizer)}
    words = []
    for word in COMMANDS[command]:
        for name, value in names.items():
            word = word.replace(name, value)
        words.append(word)
    return [*words, *more]


def as_process(words: list[str], before: Callable[[], None] | None = None) -> Ended:
    """The command as a process of its own, ended where it takes two minutes."""
    done = subprocess.run(
        [sys.executable, "-m", "megadata", *words], capture_output=True, text=True, timeout=120, preexec_fn=before
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)


def here(words: list[str]) -> Ended:
    """The command in this process."""
    with bounded(60):
        done = CliRunner().invoke(cli, [*words, "--workers", "1"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Ended(done.exit_code, done.stdout, done.stderr)


def unfinished(out: Path) -> list[str]:
    """What lies in an output though it is not whole."""
    return [str(path) for path in out.rglob("*") if path.name.endswith(".tmp") or path.name in ("work", ".lock")]


def results(out: Path) -> list[str]:
    """What a command has published."""
    return sorted(path.name for path in out.rglob("*") if path.is_file() and STATE not in str(path.relative_to(out)))


def names_in(out: Path) -> list[str]:
    """Names of the good documents in shards."""
    found = []
    for path in out.glob("docs-*.jsonl.zst"):
        with open_decoded(str(path)) as stream:
            texts = [orjson.loads(one)["text"] for one in stream]
        found += [part.split("§")[1] for part in texts if "§" in part]
    return found


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mixed(tmp_path_factory.mktemp("mixed") / "in")


LIMIT = ("--set", f"read.max_record_bytes={32 * MIB}", "--workers", "2")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_of_good_and_damaged_files_gives_what_is_good(
    tmp_path: Path, tokenizer: Path, inputs: Path, command: str
) -> None:
    out = tmp_path / "out"
    done = as_process(typed(command, tokenizer, inputs, out, *LIMIT))
    assert done.code == 0, done.err
    assert unfinished(out) == []
    told = done.out.replace(",", "")
    for reason, number in ASIDE.items():
        assert re.search(rf"unreadable: {reason}\s+{number}\b", told), (reason, done.out)
    if command in ("clean", "dedup"):
        assert sorted(names_in(out)) == sorted(KEPT)
    else:
        assert re.search(rf"\b{len(KEPT)}\b", told), done.out


def long_bomb(path: Path) -> None:
    """A document and more than can be decoded for what is stored, in a file so long that it is copied before it is read."""
    pack = zstandard.ZstdCompressor(1).compress
    document = orjson.dumps({"text": good("one"), "pad": RNG.randbytes(5 * MIB).hex()}) + b"\n"
    path.write_bytes(pack(document) + pack(b"a" * (16 * MIB)) * 96)


def bomb_in_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.txt", good("one"))
        with opened.open("b.txt", "w", force_zip64=True) as member:
            for _ in range(1030):
                member.write(b"0" * MIB)


BOMBS = {"a.jsonl.zst": (long_bomb, "damaged_compression"), "a.zip": (bomb_in_zip, "expansion_too_large")}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("command", ["clean", *(pytest.param(one, marks=pytest.mark.long) for one in [*COMMANDS][1:])])
def test_a_bomb_costs_itself_alone(tmp_path: Path, tokenizer: Path, command: str, name: str) -> None:
    make, reason = BOMBS[name]
    make(tmp_path / name)
    done = here(typed(command, tokenizer, tmp_path / name, tmp_path / "out"))
    assert done.code == 0, done.err
    assert re.search(rf"unreadable: {reason}\s+1\b", done.out), done.out
    assert unfinished(tmp_path / "out") == []
    assert names_in(tmp_path / "out") == ["one"] * (command in ("clean", "dedup"))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_pipe_named_as_input_is_refused(tmp_path: Path, tokenizer: Path, command: str) -> None:
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    done = here(typed(command, tokenizer, pipe, tmp_path / "out"))
    assert done.sentence == (
        f"{pipe}: expected a file or a folder, found a pipe or a device, which can be read only once; "
        "pipe it into the command with - in its place"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_records_that_all_lack_the_text_are_an_error_that_names_their_fields(
    tmp_path: Path, tokenizer: Path, command: str
) -> None:
    source = tmp_path / "a.jsonl"
    source.write_bytes(b'{"body": "x", "meta": {"title": "y"}}\n' * 3)
    done = here(typed(command, tokenizer, source, tmp_path / "out"))
    assert done.sentence == (
        "a.jsonl:0: expected a text field 'text', found fields body, meta, meta.title; "
        "name it with --text-field, or --set read.text_field=NAME"
    )
    assert results(tmp_path / "out") == []
    assert here(typed(command, tokenizer, source, tmp_path / "out", "--set", "read.text_field=body")).code == 0


PLANS = ("documents.job", "corpus.dedup.run", "tokenize.step", "tokenize.train")


def after_planning(monkeypatch: pytest.MonkeyPatch, harm: Callable[[], object]) -> None:
    """Do something to the files between planning and reading them."""

    def plan_and_harm(*arguments: Any) -> Any:
        units = plan(*arguments)
        harm()
        return units

    for module in PLANS:
        monkeypatch.setattr(importlib.import_module(f"megadata.{module}"), "plan", plan_and_harm)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_vanishes_before_it_is_read_is_one_sentence(
    tmp_path: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    source = tmp_path / "a.jsonl"
    source.write_bytes(line(good("1")))
    after_planning(monkeypatch, lambda: source.unlink(missing_ok=True))
    done = here(typed(command, tokenizer, source, tmp_path / "out"))
    assert done.sentence == (f"{source}: cannot be read: No such file or directory; check the path and its permissions")
    assert results(tmp_path / "out") == []


def arrow_stream() -> bytes:
    out = pa.BufferOutputStream()
    table = pa.table({"text": [good(str(n)) for n in range(40)]})
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table, 5)
    return bytes(out.getvalue())


SHRINKING = {
    "a.jsonl": (lambda: b"".join(line(good(str(n))) for n in range(40)), "bad_json"),
    "a.jsonl.gz": (lambda: gzip.compress(b"".join(line(good(str(n))) for n in range(40))), "damaged_compression"),
    "a.parquet": (damaged_parquet, "damaged_parquet"),
    "a.arrow": (arrow_stream, "damaged_arrow"),
    "a.warc.gz": (damaged_archive, "damaged_compression"),
    "a.xml": (damaged_dump, "truncated_record"),
}


@pytest.mark.parametrize("name", SHRINKING)
def test_a_file_that_shrinks_before_it_is_read_gives_what_is_left(
    tmp_path: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    make, reason = SHRINKING[name]
    source = tmp_path / name
    source.write_bytes(make())
    size = source.stat().st_size // 2 + 40
    after_planning(monkeypatch, lambda: os.truncate(source, size))
    done = here(typed("clean", tokenizer, source, tmp_path / "out"))
    assert re.search(rf"unreadable: {reason}\s+1\b", done.out), done.out
    assert unfinished(tmp_path / "out") == []
    assert bool(names_in(tmp_path / "out")) == (name != "a.parquet")
    assert done.code == (1 if name == "a.parquet" else 0), done.err


def test_inputs_without_a_single_document_end_with_an_error(tmp_path: Path, tokenizer: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"id": "half')
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(line(good("b")))[:20])
    done = here(typed("clean", tokenizer, tmp_path, tmp_path / "out"))
    assert done.code == 1
    assert done.err.endswith(
        f"Error: {tmp_path}: expected documents, found none; 2 records were left out, as listed above\n"
    )
    assert re.search(r"unreadable: bad_json\s+1\b", done.out)
    assert (tmp_path / "out" / "removed").is_dir()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_shrinking_file_is_counted_by_every_command(
    tmp_path: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    source = tmp_path / "a.jsonl"
    source.write_bytes(b"".join(line(good(str(n))) for n in range(40)))
    after_planning(monkeypatch, lambda: os.truncate(source, 5000))
    done = here(typed(command, tokenizer, source, tmp_path / "out"))
    assert done.code == 0, done.err
    assert re.search(r"unreadable: bad_json\s+1\b", done.out), done.out


def small_files() -> None:
    """In a child: no file may grow beyond 64 KiB, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_write_that_fails_is_one_sentence_and_leaves_nothing_half_written(
    tmp_path: Path, tokenizer: Path, command: str
) -> None:
    source, out = tmp_path / "a.jsonl", tmp_path / "out"
    source.write_bytes(b"".join(line(f"{good(str(n))} {RNG.randbytes(600).hex()}") for n in range(300)))
    words = typed(command, tokenizer, source, out, "--workers", "1")
    assert re.fullmatch(r".*: cannot be written: File too large; .*", as_process(words, small_files).sentence)
    assert results(out) == []
    again = as_process(words)
    assert again.code == 0, again.err
    assert unfinished(out) == []


@contextmanager
def tiny_disk(folder: Path) -> Iterator[Path]:
    """A file system of 512 KiB; the test is skipped where none can be mounted."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(
    tmp_path: Path, tokenizer: Path, command: str
) -> None:
    source = tmp_path / "a.jsonl"
    source.write_bytes(b"".join(line(f"{good(str(n))} {RNG.randbytes(600).hex()}") for n in range(1500)))
    with tiny_disk(tmp_path / "disk") as disk:
        done = as_process(typed(command, tokenizer, source, disk / "out", "--workers", "1"))
        assert re.fullmatch(r".*: the disk is full; free some space and run the same command again, .*", done.sentence)
        assert results(disk / "out") == []


def without_rights() -> None:
    """In a child: even root may read only what permissions allow."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        if ctypes.CDLL(None).prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
            raise OSError("the right cannot be given up")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_may_not_be_read_is_one_sentence(tmp_path: Path, tokenizer: Path, command: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(line(good("1")))
    (folder / "b.jsonl").write_bytes(line(good("2")))
    (folder / "b.jsonl").chmod(0)
    done = as_process(typed(command, tokenizer, folder, tmp_path / "out"), without_rights if not os.geteuid() else None)
    assert done.sentence == (
        f"{folder / 'b.jsonl'}: cannot be read: Permission denied; check the path and its permissions"
    )
    assert results(tmp_path / "out") == []
