"""Datasets behind URLs: the same answers as local files, few requests, no stale or torn block, nothing lost after a fork."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles_indexed import make, mmididx, write_pair
from servers import Web, web_server

import megadata
from megadata.errors import CorpusError, IndexFormatError
from megadata.indexed import files
from megadata.indexed.files import RangeArray, RemoteBytes, open_bytes
from megadata.indexed.merge import merge
from megadata.indexed.meta import Meta
from megadata.indexed.provenance import document_rows
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.verify import verify


@pytest.fixture
def web(tmp_path, monkeypatch) -> Iterator[Web]:
    """A web server, an empty cache, and blocks of 1,000 bytes."""
    monkeypatch.setenv("MEGADATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "BLOCK_BYTES", 1000)
    monkeypatch.setattr("megadata.runtime.stores.WAITS", ())
    with web_server(Web({})) as server:
        yield server


def serve(web: Web, prefix: str, name: str = "d") -> str:
    """Put the files of a dataset on the server; return the URL of its prefix."""
    for end in (".bin", ".idx", ".meta.json", ".docs.parquet", ".tokenizer.json"):
        if Path(f"{prefix}{end}").exists():
            web.objects[f"/{name}{end}"] = Path(f"{prefix}{end}").read_bytes()
    return f"{web.url}/{name}"


def both(web: Web, folder: Path, tokens: int = 5000) -> tuple[IndexedDataset, IndexedDataset]:
    prefix = make(folder / "d", tokens, meta=Meta(vocabulary_size=1000))
    return IndexedDataset(prefix), IndexedDataset(serve(web, prefix))


def test_a_dataset_behind_a_url_answers_as_a_local_one(tmp_path, web):
    local, remote = both(web, tmp_path)
    assert (len(remote), remote.documents, remote.tokens, remote.dtype) == (
        len(local),
        local.documents,
        5000,
        local.dtype,
    )
    assert [one.tolist() for one in remote[:]] == [one.tolist() for one in local[:]]
    assert [remote.document(i).tolist() for i in (0, 5, -1)] == [local.document(i).tolist() for i in (0, 5, -1)]
    assert [one.tolist() for one in remote.take([7, 3, -1])] == [local[i].tolist() for i in (7, 3, -1)]
    assert remote.window(1234, 2000).tolist() == local.window(1234, 2000).tolist()
    assert remote.circular(4990, 5020).tolist() == local.circular(4990, 5020).tolist()
    assert np.asarray(remote.lengths).tolist() == local.lengths.tolist()
    places = np.array([[0, 4999], [17, 2500]])
    assert remote.sequence_at(places).tolist() == local.sequence_at(places).tolist()
    assert remote.document_starts(np.arange(11)).tolist() == local.document_starts(np.arange(11)).tolist()
    assert remote.meta == local.meta
    assert remote.fingerprint == local.fingerprint
    assert not remote[3].flags.writeable
    assert verify(remote.prefix, deep=True).checked == verify(local.prefix, deep=True).checked
    assert verify(remote.prefix, deep=True, workers=2).ok
    for bad in (len(local), -len(local) - 1):
        with pytest.raises(IndexError, match="asked for, the dataset has"):
            remote[bad]


def test_a_block_is_fetched_once_for_all_processes(tmp_path, web):
    _, remote = both(web, tmp_path)
    whole = remote.window(0, 5000).tolist()
    web.requests.clear()
    again = IndexedDataset(remote.prefix)
    assert again.window(0, 5000).tolist() == whole
    asked = [wanted for path, wanted in web.requests if path == "/d.bin"]
    assert set(asked) == {"bytes=0-0"}, "only the size and identity are asked for"
    assert remote.window(100, 50).tolist() == whole[100:150]


def test_blocks_that_follow_one_another_are_one_request(tmp_path, web):
    _, remote = both(web, tmp_path)
    remote[0]
    web.requests.clear()
    remote.window(1000, 3000)
    assert [wanted for path, wanted in web.requests if path == "/d.bin"] == ["bytes=2000-7999"]


def test_a_damaged_block_of_the_cache_is_fetched_again(tmp_path, web):
    local, remote = both(web, tmp_path)
    remote.window(0, 5000)
    blocks = [path for path in (tmp_path / "cache" / "blocks").rglob("*") if path.is_file()]
    assert len(blocks) >= 10
    for number, path in enumerate(blocks):
        raw = bytearray(path.read_bytes())
        raw[number * 7 % len(raw)] ^= 4
        path.write_bytes(bytes(raw) if number % 3 else bytes(raw[: number * 5]))
    again = IndexedDataset(remote.prefix)
    assert again.window(0, 5000).tolist() == local.window(0, 5000).tolist()
    assert [one.tolist() for one in again[:]] == [one.tolist() for one in local[:]]


def test_an_object_that_changes_is_never_mixed_with_the_old_one(tmp_path, web, monkeypatch):
    _, remote = both(web, tmp_path)
    remote.window(0, 500)
    raw = pickle.dumps(remote)
    serve(web, make(tmp_path / "e", 5000, seed=3))
    assert IndexedDataset(remote.prefix).window(0, 20).tolist() == IndexedDataset(tmp_path / "e").window(0, 20).tolist()
    monkeypatch.setattr(files, "LOOK_SECONDS", -1.0)
    with pytest.raises(IndexFormatError, match=r"d\.bin: the object changed since it was opened"):
        remote.window(3000, 1000)
    serve(web, make(tmp_path / "f", 400, seed=3))
    with pytest.raises(IndexFormatError, match="the dataset changed between two processes"):
        pickle.loads(raw)


def read_in_child(data: IndexedDataset) -> list[int]:
    return [*data[3].tolist(), *data.window(2000, 1500).tolist()]


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.timeout(60)
def test_processes_open_their_own_connections(tmp_path, web, method):
    local, remote = both(web, tmp_path)
    assert remote[3].tolist() == local[3].tolist()
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(read_in_child, (remote,)) == read_in_child(local)


def test_the_cache_keeps_within_its_bounds(tmp_path, web, monkeypatch):
    monkeypatch.setenv("MEGADATA_CACHE_BYTES", "16000")
    _, remote = both(web, tmp_path, 40_000)
    for start in range(0, 40_000, 500):
        remote.window(start, 500)
    held = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert 8_000 < held < 20_000


def test_blends_samples_merges_and_provenance_read_urls(tmp_path, web):
    prefix = make(tmp_path / "d", 5000, meta=Meta(vocabulary_size=1000, tokenizer_sha256="ab"))
    rows = [{"id": f"p{i}", "source": "s"} for i in range(IndexedDataset(prefix).documents)]
    pq.write_table(pa.Table.from_pylist(rows), f"{prefix}.docs.parquet", row_group_size=10)
    Path(f"{prefix}.tokenizer.json").write_text("{}")
    url = serve(web, prefix)
    blend = megadata.Blend.of({"d": url})
    blend.save(tmp_path / "blend.yaml")
    samples = megadata.Blend.load(tmp_path / "blend.yaml").samples(64)
    local = megadata.Blend.of({"d": prefix}).samples(64)
    assert samples.batch(0, 70).tolist() == local.batch(0, 70).tolist()
    assert samples.provenance(3)[0].id == local.provenance(3)[0].id
    assert document_rows(url, [0, 40])[1] == {"id": "p40", "source": "s"}
    for shuffle in (False, True):
        merge([url, prefix], tmp_path / "m", shuffle=shuffle)
        merge([prefix, prefix], tmp_path / "n", shuffle=shuffle)
        for end in (".bin", ".idx", ".docs.parquet", ".tokenizer.json"):
            assert Path(f"{tmp_path}/m{end}").read_bytes() == Path(f"{tmp_path}/n{end}").read_bytes()


def test_what_is_wrong_with_a_url_is_told_in_a_sentence(tmp_path, web):
    with pytest.raises(IndexFormatError, match=r"/none\.bin: expected an object, found none \(HTTP 404\)"):
        IndexedDataset(f"{web.url}/none")
    prefix = write_pair(tmp_path / "x", *mmididx([[[1, 2]]]))
    url = serve(web, prefix, "x")
    web.objects["/x.bin"] = b"\0\0"
    with pytest.raises(IndexFormatError, match=r"x\.bin: x\.idx ends at byte 4 \(uint16 tokens\), found 2 bytes"):
        IndexedDataset(url)
    web.ranges = False
    with pytest.raises(IndexFormatError, match=r"x\.bin: the server gives no ranges of bytes"):
        IndexedDataset(url)
    with pytest.raises(IndexFormatError, match="unknown protocol nope://"):
        IndexedDataset("nope://x/y")


def test_any_file_system_of_fsspec_is_read(tmp_path, monkeypatch):
    import fsspec

    monkeypatch.setenv("MEGADATA_CACHE", str(tmp_path / "cache"))
    prefix = make(tmp_path / "d", 3000)
    memory = fsspec.filesystem("memory")
    for end in (".bin", ".idx"):
        memory.pipe_file(f"/indexed/d{end}", Path(f"{prefix}{end}").read_bytes())
    remote = IndexedDataset("memory://indexed/d")
    assert [one.tolist() for one in remote[:]] == [one.tolist() for one in IndexedDataset(prefix)[:]]
    assert remote.meta is None
    assert remote.fingerprint == IndexedDataset(prefix).fingerprint


@given(st.lists(st.integers(-40, 40), max_size=30), st.integers(-45, 45), st.integers(-45, 45), st.integers(-3, 3))
@settings(max_examples=200)
def test_range_arrays_index_as_arrays_do(tmp_path_factory, values, first, last, step):
    array = np.array(values, np.int32)
    path = tmp_path_factory.mktemp("a") / "f"
    path.write_bytes(b"xyz" + array.tobytes())
    lazy = RangeArray(open_bytes(path), 3, array.size, "<i4")
    if step:
        assert lazy[first:last:step].tolist() == array[first:last:step].tolist()
    assert np.asarray(lazy).tolist() == values
    places = np.array([first, last, 0])
    for key in (places, first, places[:0], array > 3):
        try:
            expected = array[key]
        except IndexError:
            with pytest.raises(IndexError):
                lazy[key]
            continue
        found = lazy[key]
        assert (found.dtype, found.tolist()) == (expected.dtype, expected.tolist())


def test_a_short_answer_is_an_error_and_not_other_bytes(web):
    web.objects["/f"] = bytes(range(200)) * 20
    source = RemoteBytes(f"{web.url}/f")
    assert source.read(990, 1010) == web.objects["/f"][990:1010]
    web.objects["/f"] = web.objects["/f"][:2500]
    with pytest.raises(CorpusError, match=r"/f: cannot be read \(expected 1000 bytes at 2000, found 500\)"):
        source.read(2100, 2200)
