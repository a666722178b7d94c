"""An S3 server on the loopback: every splittable kind gives the same bytes as locally, and faults are one sentence."""

from __future__ import annotations

import bz2
import gzip
import shutil
import tarfile
import zipfile
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from sources_support import dump_head, dump_page, gzip_members, multistream, page, paragraph, response_record

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

from servers import s3_server

from megadata.corpus.clean import CleanConfig, clean
from megadata.documents.inputs import expand
from megadata.errors import CorpusError
from megadata.runtime import remote, stores
from megadata.runtime.settings import RunSettings

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(120)]

ROWS = [{"id": f"d{i}", "text": f"document {i} has words. " * (i % 40 + 1)} for i in range(3000)]
LINES = b"".join(orjson.dumps(row) + b"\n" for row in ROWS)


@pytest.fixture(scope="module")
def server():
    with s3_server() as bucket:
        yield bucket


@pytest.fixture
def bucket(server, monkeypatch):
    """The server, reached by this process and its workers through the environment alone."""
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(stores, "WAITS", (0.0,))
    monkeypatch.setattr(remote, "_known", {})
    s3fs.S3FileSystem.clear_instance_cache()
    server.fault = lambda request: None
    yield server
    server.fault = lambda request: None
    s3fs.S3FileSystem.clear_instance_cache()


def upload(folder: Path, name: str) -> str:
    import s3fs

    system = s3fs.S3FileSystem()
    if not system.exists("corpus"):
        system.mkdir("corpus")
    system.put(str(folder), f"corpus/{name}", recursive=True)
    return f"s3://corpus/{name}"


@pytest.fixture
def corpus(tmp_path):
    """A folder with a file of each splittable kind."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(LINES)
    (folder / "b.jsonl.zst").write_bytes(
        b"".join(zstandard.compress(LINES[a : a + 50_000]) for a in range(0, 500_000, 50_000))
    )
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(LINES, 1, mtime=0))
    (folder / "d.jsonl.bz2").write_bytes(bz2.compress(LINES[:200_000]))
    pages = [response_record(page(paragraph(f"Thing {i}"), f"T{i}").encode(), i) for i in range(60)]
    (folder / "e.warc.gz").write_bytes(gzip_members(pages))
    groups = [
        "".join(dump_page(n, f"Article {n} tells of things. " * 30) for n in range(g * 9, g * 9 + 9))
        for g in range(1, 9)
    ]
    (folder / "f.xml.bz2").write_bytes(multistream(dump_head(), groups))
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table, folder / "g.parquet", row_group_size=500)
    with pa.ipc.new_stream(str(folder / "h.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=200)
    (folder / "i.csv").write_text("text,n\n" + "".join(f'"Words, and\nmore of {n}",{n}\n' for n in range(500)))
    with zipfile.ZipFile(folder / "j.zip", "w") as archive:
        for n in range(40):
            archive.writestr(f"{n}.txt", f"A file of its own, number {n}. " * 99)
    with tarfile.open(folder / "k.tar.gz", "w:gz") as tar:
        tar.add(folder / "g.parquet", "g.parquet")
    return folder


def output(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.glob("docs-*"))} | {
        "manifest": (folder / "manifest.json").read_bytes()
    }


def run(tmp_path: Path, name: str, where: str, workers: int) -> dict[str, bytes]:
    config = CleanConfig(rules="none", unit_bytes=1 << 16)
    clean(expand([where]), tmp_path / name, config, RunSettings(workers=workers))
    return output(tmp_path / name)


def test_all_kinds_give_the_same_bytes_as_locally_with_several_workers(tmp_path, corpus, bucket):
    where = upload(corpus, "all")
    local = run(tmp_path, "local", str(corpus), 1)
    assert local == run(tmp_path, "far", where, 2)
    assert clean(
        expand([where]), tmp_path / "far", CleanConfig(rules="none", unit_bytes=1 << 16), RunSettings(workers=1)
    ).current


def test_an_output_of_ours_on_s3_stands_for_its_shards(tmp_path, corpus, bucket):
    run(tmp_path, "made", str(corpus / "a.jsonl"), 1)
    shutil.rmtree(tmp_path / "made/.megadata")
    where = upload(tmp_path / "made", "made")
    local, far = expand([str(tmp_path / "made")]), expand([where])
    assert [f.name for f in far.files] == [f.name for f in local.files]
    assert far.upstream == local.upstream


def is_read(request) -> bool:
    return request["REQUEST_METHOD"] == "GET" and "list-type" not in request["QUERY_STRING"]


def test_faults_that_pass_are_passed_over(tmp_path, corpus, bucket):
    where = upload(corpus / "a.jsonl", "faults.jsonl")
    count = iter(range(10_000))
    bucket.fault = lambda request: 500 if is_read(request) and next(count) % 2 == 0 else None
    far = run(tmp_path, "far", where, 1)
    shutil.copy(corpus / "a.jsonl", corpus / "faults.jsonl")
    assert far == run(tmp_path, "local", str(corpus / "faults.jsonl"), 1)


@pytest.mark.parametrize(
    ("status", "workers", "message"),
    [
        (500, 1, "cannot be read .*, 2 times in a row; check the network and the storage"),
        (403, 1, "access was refused .*; check the credentials for s3://"),
    ],
)
def test_faults_that_stay_are_one_sentence(tmp_path, corpus, bucket, status, workers, message):
    where = upload(corpus / "a.jsonl", "stay.jsonl")
    found = expand([where])
    bucket.fault = lambda request: status if is_read(request) else None
    settings = RunSettings(workers=workers)
    with pytest.raises(CorpusError, match=f"^{where}: {message}"):
        clean(found, tmp_path / "out", CleanConfig(rules="none", unit_bytes=1 << 16), settings)
    bucket.fault = lambda request: None
    assert (
        clean(found, tmp_path / "out", CleanConfig(rules="none", unit_bytes=1 << 16), settings).total("documents_in")
        == 3000
    )


def test_missing_credentials_are_one_sentence(bucket, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(
        CorpusError, match=r"^s3://corpus/x.jsonl: access was refused \(.*credentials.*\); check the credentials"
    ):
        expand(["s3://corpus/x.jsonl"])


def test_a_server_that_is_not_there_is_one_sentence(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(
        CorpusError, match=r"^s3://corpus/x.jsonl: cannot be read \(.*127.0.0.1:9.*\), 2 times in a row"
    ):
        expand(["s3://corpus/x.jsonl"])


def test_nothing_there_is_one_sentence(bucket, corpus):
    upload(corpus / "a.jsonl", "one.jsonl")
    for where in ("s3://corpus/none.jsonl", "s3://corpus/none/", "s3://no-such-bucket/a.jsonl", "s3://corpus/*.nope"):
        with pytest.raises(CorpusError, match=r"expected files to read, found none; check the path or the pattern$"):
            expand([where])
