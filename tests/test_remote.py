"""Inputs behind URLs: the same documents as locally, in streams, with retries, and one sentence when nothing helps."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import re
import tarfile
import zipfile

import fsspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from servers import Web, web_server
from sources_support import gzip_members, page, paragraph, response_record

from megadata.documents.inputs import expand, plan, read_unit
from megadata.documents.source import Problems, ReadOptions
from megadata.errors import CorpusError
from megadata.runtime import remote, stores
from megadata.runtime.streams import open_raw

LINES = b"".join(orjson.dumps({"id": f"d{i}", "text": f"document {i} " * (i % 50)}) + b"\n" for i in range(10_000))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(stores, "WAITS", (0.0, 0.0))
    monkeypatch.setattr(remote, "_known", {})


def documents(*arguments: str, unit_bytes: int = 1 << 20, **options) -> list[tuple[str, str]]:
    read = ReadOptions(**options)
    units = plan(expand(arguments, read=read).files, unit_bytes)
    batches = [batch for unit in units for batch in read_unit(unit, read, Problems())]
    return [pair for batch in batches for pair in zip(batch.ids, batch.texts, strict=True)]


EXPECTED = [(f"d{i}", f"document {i} " * (i % 50)) for i in range(10_000)]
FORMS = {
    "a.jsonl": LINES,
    "a.jsonl.gz": gzip.compress(LINES, 1),
    "a.jsonl.bz2": bz2.compress(LINES, 1),
    "a.jsonl.zst": zstandard.compress(LINES),
}


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("name", FORMS)
def test_a_web_server_gives_the_documents_with_ranges_and_without(name, ranges):
    with web_server(Web({f"/{name}": FORMS[name]}, ranges)) as web:
        found = documents(f"{web.url}/{name}?token=secret")
    assert found == EXPECTED


def test_ranges_are_read_once_and_ahead_in_growing_blocks():
    with web_server(Web({"/a.jsonl": LINES})) as web:
        with open_raw(f"{web.url}/a.jsonl") as stream:
            assert stream.read(10) == LINES[:10]
            assert web.sent <= remote.FIRST_BYTES + 1
            assert hashlib.sha256(LINES[:10] + stream.read()).digest() == hashlib.sha256(LINES).digest()
        sizes = [int(b) - int(a) for _, span in web.requests[1:] for a, b in [span.removeprefix("bytes=").split("-")]]
        assert sizes[0] < sizes[1] < sizes[2]
        assert web.sent == len(LINES) + 1


def test_a_server_without_ranges_is_read_in_one_unit_from_the_start():
    with web_server(Web({"/a.jsonl": LINES}, ranges=False)) as web:
        units = plan(expand([f"{web.url}/a.jsonl"]).files, 1 << 16)
        assert [(s.start, s.stop) for u in units for s in u.spans] == [(0, -1)]
        with open_raw(f"{web.url}/a.jsonl") as stream:
            stream.seek(1_000_000)
            assert stream.read(100) == LINES[1_000_000:1_000_100]
            with pytest.raises(
                CorpusError, match=r"needs bytes from its end, and the server gives no ranges; download it"
            ):
                stream.seek(-10, 2)


@pytest.mark.parametrize("fault", ["error", "cut"])
@pytest.mark.parametrize("ranges", [True, False])
def test_what_fails_once_is_tried_again(fault, ranges):
    count = iter(range(1000))
    with web_server(Web({"/a.jsonl": LINES}, ranges, lambda *_: fault if next(count) % 3 == 1 else None)) as web:
        assert documents(f"{web.url}/a.jsonl") == EXPECTED


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (
            503,
            r"cannot be read \(Service Unavailable\), 3 times in a row; check the network and the storage, then run the same",
        ),
        (403, r"access was refused \(Forbidden\); check the credentials for http:// and who may read the object$"),
        (404, r"expected an object, found none \(HTTP 404\); check the address$"),
        (400, r"cannot be read \(Bad Request\); check the address$"),
    ],
)
def test_what_goes_on_failing_is_one_sentence(status, message):
    with web_server(Web({"/a.jsonl": LINES}, fault=lambda *_: "error", status=status)) as web:
        with pytest.raises(CorpusError, match=f"^{re.escape(web.url)}/a.jsonl: {message}"):
            documents(f"{web.url}/a.jsonl")


def test_a_failure_in_the_middle_is_no_damage_of_the_file():
    for name in ("a.jsonl", "a.jsonl.gz"):
        with web_server(Web({f"/{name}": FORMS[name]})) as web:
            units = plan(expand([f"{web.url}/{name}"]).files)
            web.fault = lambda *_: "error"
            problems = Problems()
            with pytest.raises(CorpusError, match="3 times in a row"):
                [batch for unit in units for batch in read_unit(unit, ReadOptions(), problems)]
            assert not problems.counts


def test_a_server_that_is_not_there_and_one_that_is_silent(monkeypatch):
    with web_server(Web({})) as web:
        gone = web.url
    with pytest.raises(CorpusError, match=r"a.jsonl: cannot be read \(.*refused.*\), 3 times in a row"):
        documents(f"{gone}/a.jsonl")
    monkeypatch.setattr(stores, "TIMEOUT", 0.2)
    with web_server(Web({"/a.jsonl": LINES})) as web:
        units = plan(expand([f"{web.url}/a.jsonl"]).files)
        web.fault = lambda *_: "stall"
        with pytest.raises(CorpusError, match=r"a.jsonl: cannot be read \(.*timed out.*\), 3 times in a row"):
            list(read_unit(units[0], ReadOptions(), Problems()))


def test_an_object_that_changes_is_noticed():
    with web_server(Web({"/a.jsonl": LINES})) as web:
        url = f"{web.url}/a.jsonl"
        before = expand([url]).files[0]
        assert expand([url]).files[0] == before
        web.objects["/a.jsonl"] = LINES.replace(b"document", b"Document")
        with pytest.raises(CorpusError, match="expected the object that was there at the start, found another"):
            list(read_unit(plan([before])[0], ReadOptions(), Problems()))
        after = expand([url]).files[0]
        assert (after.size, after.mtime_ns) != (before.size, before.mtime_ns)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nowhere://x/a.jsonl", r"unknown protocol nowhere://; expected one of fsspec's, such as s3, gs, hf, http"),
        ("memory://none/a.jsonl", r"expected files to read, found none; check the path or the pattern$"),
    ],
)
def test_addresses_that_lead_nowhere(url, message):
    with pytest.raises(CorpusError, match=f"^{re.escape(url)}: {message}"):
        expand([url])


def test_a_missing_package_is_named_with_how_to_install_it(monkeypatch):
    def missing(url, **_):
        raise ImportError("Install s3fs to access S3", name="s3fs")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    expected = (
        r"^s3://b/a.jsonl: s3:// is read by the package s3fs, which is not installed; pip install 'megadata\[s3\]'$"
    )
    with pytest.raises(CorpusError, match=expected):
        expand(["s3://b/a.jsonl"])


def test_folders_and_patterns_of_urls_choose_as_local_ones_do(tmp_path):
    names = ["b/x.jsonl", "b.jsonl", ".hidden/y.jsonl", "b/.z.jsonl", "c [1].jsonl"]
    memory = fsspec.filesystem("memory")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b'{"text": "x"}\n')
        memory.pipe(f"/choose/{name}", b'{"text": "x"}\n')
    local, far = expand([str(tmp_path)]), expand(["memory://choose"])
    assert [f.name for f in local.files] == [f.name for f in far.files] == ["b/x.jsonl", "b.jsonl", "c [1].jsonl"]
    patterns = [f"{place}/**/*.jsonl" for place in (tmp_path, "memory://choose")]
    near, there = ([f.name for f in expand([pattern]).files] for pattern in patterns)
    assert sorted(near) == sorted(there) == ["b.jsonl", "c [1].jsonl", "x.jsonl"]
    assert [f.name for f in expand(["memory://choose/c [1].jsonl"]).files] == ["c [1].jsonl"]
    assert documents("memory://choose") == [(f"{n}:0", "x") for n in ("b/x.jsonl", "b.jsonl", "c [1].jsonl")]


def test_inspect_and_init_take_urls(tmp_path):
    from megadata.pipeline.init import init
    from megadata.pipeline.inspect import inspect

    with web_server(Web({"/a.jsonl": LINES, "/b.csv": b"body,n\nx,1\n"})) as web:
        found = inspect(f"{web.url}/a.jsonl")
        assert (found.rows["files"], found.rows["first document"]) == ("1 jsonl", "d0")
        assert "name it with --text-field" in inspect(f"{web.url}/b.csv").rows["not read"]
        init([f"{web.url}/a.jsonl"], tmp_path / "recipe.yaml")
        assert f'- "{web.url}/a.jsonl"' in (tmp_path / "recipe.yaml").read_text()


def test_all_stages_read_objects_in_memory(tmp_path):
    from megadata.corpus.dedup import DedupConfig, dedup
    from megadata.runtime.settings import RunSettings
    from megadata.tokenize.config import TokenizeConfig
    from megadata.tokenize.step import tokenize
    from megadata.tokenize.train import TokenizerConfig, train_tokenizer

    fsspec.filesystem("memory").pipe("/stages/a.jsonl", LINES[:400_000])
    alone = RunSettings(workers=1)
    where = ["memory://stages"]
    train_tokenizer(expand(where), tmp_path / "t.json", TokenizerConfig(vocab_size=300), alone)
    report = tokenize(expand(where), tmp_path / "tokens", tmp_path / "t.json", TokenizeConfig(), alone)
    assert report.documents > 500
    assert dedup(expand(where), tmp_path / "unique", DedupConfig(), alone).as_dict()


@pytest.mark.parametrize(
    "name", ["a.parquet", "a.arrow", "a.zip", "a.tar.gz", "a.csv", "a.json", "a.warc.gz", "a.html"]
)
def test_no_kind_takes_a_failing_network_for_damage(tmp_path, name):
    path = tmp_path / name
    table = pa.table({"text": [f"text {i} " * 9 for i in range(500)]})
    if name == "a.parquet":
        pq.write_table(table, path, row_group_size=50)
    elif name == "a.arrow":
        with pa.ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=50)
    elif name == "a.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "text " * 99)
    elif name == "a.tar.gz":
        with tarfile.open(path, "w:gz") as archive:
            (tmp_path / "a.txt").write_text("text " * 99)
            archive.add(tmp_path / "a.txt", "a.txt")
    elif name == "a.csv":
        path.write_text("text,n\n" + "some,1\n" * 99)
    elif name == "a.json":
        path.write_text('[{"text": "x"}]')
    elif name == "a.warc.gz":
        path.write_bytes(gzip_members([response_record(page(paragraph("Rain")).encode(), 1)]))
    else:
        path.write_text(page(paragraph("Rain")))
    with web_server(Web({f"/{name}": path.read_bytes()})) as web:
        units = plan(expand([f"{web.url}/{name}"]).files, 1000)
        good = [b for unit in units for b in read_unit(unit, ReadOptions(), Problems())]
        assert good
        web.fault = lambda *_: "error"
        problems = Problems()
        with pytest.raises(CorpusError, match="3 times in a row"):
            list(read_unit(units[0], ReadOptions(), problems))
        assert not problems.counts
