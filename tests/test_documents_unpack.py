"""Files that can only be read from their start: copied once, read by many, and the same documents as without a copy."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import random
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard
from pipelines import text
from sources_support import input_file, page, warc_record

from megadata.corpus.clean import CleanConfig, clean
from megadata.documents import unpack as module
from megadata.documents.inputs import expand, plan, read_unit
from megadata.documents.source import Problems, ReadOptions
from megadata.documents.unpack import unpack
from megadata.errors import OutputError
from megadata.runtime.executor import LocalExecutor
from megadata.runtime.progress import Reporter
from megadata.runtime.settings import RunSettings
from megadata.runtime.units import InputFile

UNIT = 4096
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}


def jsonl() -> bytes:
    rng = random.Random(3)
    return b"".join(orjson.dumps({"id": f"d{i}", "text": text(rng, 60)}) + b"\n" for i in range(80))


def dump() -> bytes:
    rng = random.Random(4)
    pages = (
        f"<page><title>T{i}</title><ns>0</ns><id>{i}</id><revision><id>{i}</id><text>{text(rng, 90)}</text></revision></page>\n"
        for i in range(1, 60)
    )
    site = "<siteinfo><dbname>xwiki</dbname></siteinfo>"
    return f"<mediawiki>{site}\n{''.join(pages)}</mediawiki>\n".encode()


def wikidoc() -> bytes:
    rng = random.Random(5)
    return "".join(
        f'<doc id="{i}" url="https://x.wikipedia.org/?curid={i}" title="T{i}">\nT{i}\n\n{text(rng, 90)}\n</doc>\n'
        for i in range(60)
    ).encode()


def warc() -> bytes:
    rng = random.Random(6)
    body = [page("".join(f"<p>{text(rng, 60)}</p>" for _ in range(60)), f"Page {i}") for i in range(60)]
    return b"".join(
        warc_record("resource", one.encode(), i, **{"Content-Type": "text/html"}) for i, one in enumerate(body)
    )


CONTENT: dict[str, tuple[str, Callable[[], bytes]]] = {
    "jsonl": (".jsonl", jsonl),
    "mediawiki": (".xml", dump),
    "wikidoc": (".wiki", wikidoc),
    "warc": (".warc", warc),
}


def unpacked(file: InputFile, folder: Path, **options: Any) -> InputFile:
    return unpack(LocalExecutor(1), [file], folder, Reporter(), ReadOptions(**options), UNIT)[0]


def documents(file: InputFile, **options: Any) -> tuple[int, list[dict[str, Any]], Problems]:
    """Units, documents (without the path, in which the ending shows) and problems."""
    problems = Problems()
    units = plan([file], UNIT)
    found = [d for unit in units for batch in read_unit(unit, ReadOptions(**options), problems) for d in batch]
    for one in found:
        one["metadata"] = {k: v for k, v in orjson.loads(one["metadata"]).items() if k != "path"}
    return len(units), found, problems


@pytest.mark.parametrize("packing", list(PACKERS))
@pytest.mark.parametrize("kind", list(CONTENT))
def test_a_copy_is_read_in_many_units_and_gives_the_documents_of_the_plain_file(
    kind: str, packing: str, tmp_path: Path
) -> None:
    ending, make = CONTENT[kind]
    plain, packed = tmp_path / f"a{ending}", tmp_path / f"a{ending}{packing}"
    plain.write_bytes(make())
    packed.write_bytes(PACKERS[packing](make()))
    _, expected, _ = documents(input_file(plain, kind))
    file = input_file(packed, kind)
    assert documents(file)[0] == 1
    units, found, problems = documents(unpacked(file, tmp_path / "copies"))
    assert found == expected
    assert units > 2
    assert not problems.items
    assert len(expected) > 30


@pytest.mark.parametrize("kind", list(CONTENT))
def test_a_damaged_stream_gives_what_lies_before_the_damage_and_is_told_of_once(kind: str, tmp_path: Path) -> None:
    ending, make = CONTENT[kind]
    packed = tmp_path / f"a{ending}.gz"
    whole = gzip.compress(make(), compresslevel=1)
    for cut in (len(whole) // 3, len(whole) * 2 // 3, len(whole) - 5):
        packed.write_bytes(whole[:cut])
        file = input_file(packed, kind)
        _, expected, before = documents(file)
        units, found, problems = documents(unpacked(file, tmp_path / "copies"))
        assert found == expected
        assert problems.counts == before.counts
        assert problems.items == before.items
        assert problems.counts["damaged_compression"] == 1
        assert units > 1


def test_clean_gives_the_same_bytes_for_any_workers_and_leaves_no_copy(tmp_path: Path) -> None:
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(jsonl()))
    made = []
    for workers in (1, 2, 5):
        out = tmp_path / f"out{workers}"
        clean(expand([str(packed)]), out, CleanConfig(rules="none", unit_bytes=UNIT), RunSettings(workers=workers))
        made.append(
            {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file() and ".megadata" not in p.parts}
        )
        assert not list(out.rglob("unpacked"))
    assert made[0] == made[1] == made[2]


def test_an_original_that_was_touched_is_up_to_date_and_one_that_changed_is_not(tmp_path: Path) -> None:
    packed, out = tmp_path / "a.jsonl.gz", tmp_path / "out"
    packed.write_bytes(gzip.compress(jsonl()))

    def run() -> bool:
        config = CleanConfig(rules="none", unit_bytes=UNIT)
        return clean(expand([str(packed)]), out, config, RunSettings(workers=1)).current

    assert not run()
    assert run()
    os.utime(packed, ns=(1, 1))
    assert run()
    packed.write_bytes(gzip.compress(jsonl().replace(b"d7", b"D7")))
    assert not run()
    assert (
        b"D7"
        in zstandard.ZstdDecompressor()
        .stream_reader((out / "docs-00000.jsonl.zst").read_bytes(), read_across_frames=True)
        .read()
    )


def test_a_copy_that_is_whole_is_not_made_again_and_half_a_copy_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(jsonl()))
    file = input_file(packed, "jsonl")
    first = unpacked(file, tmp_path / "copies")
    monkeypatch.setattr(module, "decode", lambda raw, path: pytest.fail("decoded again"))
    assert unpacked(file, tmp_path / "copies") == first
    monkeypatch.undo()
    assert first.unpacked is not None
    Path(first.unpacked.path).write_bytes(b"half")
    again = unpacked(file, tmp_path / "copies")
    assert again == first
    assert documents(again)[1] == documents(file)[1]


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, os.path.dirname(sys.argv[3]))
import test_documents_unpack as tests
tests.module._read = lambda stream, size: os._exit(9)
tests.unpacked(tests.input_file(Path(sys.argv[1]), "jsonl"), Path(sys.argv[2]))
"""


def test_a_run_killed_while_it_copies_leaves_nothing_behind_and_the_next_makes_the_same_copy(tmp_path: Path) -> None:
    packed, folder = tmp_path / "a.jsonl.gz", tmp_path / "copies"
    packed.write_bytes(gzip.compress(jsonl()))
    file = input_file(packed, "jsonl")
    command = [sys.executable, "-c", KILLED, str(packed), str(folder), __file__]
    assert subprocess.run(command, check=False, timeout=60).returncode == 9
    assert [path.suffix for path in folder.iterdir()] == [".tmp"]
    made = unpacked(file, folder)
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".zst"]
    assert documents(made)[1] == documents(file)[1]


def test_a_disk_that_fills_while_a_copy_is_made_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(jsonl()))

    def full(sizes: object) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "seek_table_bytes", full)
    with pytest.raises(OutputError, match=r"the disk is full; free some space and run the same command again"):
        unpacked(input_file(packed, "jsonl"), tmp_path / "copies")
    assert not list((tmp_path / "copies").iterdir())


def test_a_bomb_ends_at_the_limit_and_what_lies_before_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FREE_EXPANSION", 5 << 20)
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(jsonl() + b" " * (30 << 20)))
    file = unpacked(input_file(packed, "jsonl"), tmp_path / "copies", max_expansion=10)
    _, found, problems = documents(file)
    assert len(found) == 80
    (item,) = problems.items
    assert item["reason"] == "damaged_compression"
    assert item["detail"].startswith(
        "a.jsonl.gz: expected at most 10 decoded bytes for each stored one, found more after 4194304"
    )


def test_copies_that_cannot_fit_are_refused_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(jsonl()))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage(10, 9, 1))
    with pytest.raises(
        OutputError, match=r"1 files that cannot be split need about .* found 1 B free; free some space"
    ):
        unpacked(input_file(packed, "jsonl"), tmp_path / "copies")


def test_what_need_not_be_split_is_read_where_it_lies(tmp_path: Path) -> None:
    small, page_file = tmp_path / "small.jsonl.gz", tmp_path / "page.html.gz"
    small.write_bytes(gzip.compress(b'{"text": "x"}\n'))
    page_file.write_bytes(gzip.compress(os.urandom(3 * UNIT)))
    plain = tmp_path / "plain.jsonl"
    plain.write_bytes(jsonl())
    files = [input_file(small, "jsonl"), input_file(page_file, "html"), input_file(plain, "jsonl")]
    assert unpack(LocalExecutor(1), files, tmp_path / "copies", Reporter(), ReadOptions(), UNIT) == files
    assert not (tmp_path / "copies").exists()
