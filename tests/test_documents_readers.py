"""JSON lines, Parquet and batches: what is read, what is set aside, and that spans change nothing."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megadata.documents.batch import DocBatch
from megadata.documents.jsonl import Jsonl
from megadata.documents.parquet import ParquetFile
from megadata.documents.shards import encode_lines
from megadata.documents.source import Problems, ReadOptions
from megadata.errors import CorpusError
from megadata.runtime.units import InputFile, Span

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=8)


def file_at(path: Path, kind: str = "jsonl") -> InputFile:
    status = path.stat()
    return InputFile(path.name, str(path), status.st_size, status.st_mtime_ns, kind, "mine", "text")


def read_all(source, file, unit_bytes=1 << 20, **options):
    problems = Problems()
    batches = [
        batch
        for span in source.spans(file, unit_bytes)
        for batch in source.read(span, ReadOptions(**options), problems)
    ]
    return DocBatch.concat(batches), problems


def write_lines(path: Path, *records: object) -> InputFile:
    path.write_bytes(b"".join(r if isinstance(r, bytes) else orjson.dumps(r) + b"\n" for r in records))
    return file_at(path)


@given(texts=TEXTS)
def test_a_batch_gives_flat_views_of_its_texts(texts):
    docs = DocBatch.of([str(i) for i in range(len(texts))], texts)
    data, offsets = docs.text.tobytes(), docs.offsets
    assert [data[a:b].decode() for a, b in pairwise(offsets)] == texts
    keep = np.arange(len(texts)) % 2 == 0
    assert docs.select(keep).texts == texts[::2]
    assert docs.slice(1, len(texts)).texts == texts[1:] if texts else True
    part = docs.slice(len(texts) // 2, len(texts))
    data, offsets = part.text.tobytes(), part.offsets
    assert [data[a:b].decode() for a, b in pairwise(offsets)] == texts[len(texts) // 2 :]
    assert docs.with_flat_text(docs.text, docs.offsets).texts == texts


def test_views_do_not_copy():
    docs = DocBatch.of(["a"], ["text"])
    assert docs.text.ctypes.data == docs.records.column("text").buffers()[2].address
    assert not docs.text.flags.writeable


@given(texts=TEXTS)
def test_lines_of_documents_are_read_back_the_same(tmp_path_factory, texts):
    docs = DocBatch.of(
        [f"id{i}" for i in range(len(texts))],
        texts,
        "web",
        [None if i % 2 else f"http://a/{i}" for i in range(len(texts))],
        ['{"path":"x","n":1.5}'] * len(texts),
    )
    path = tmp_path_factory.mktemp("lines") / "docs.jsonl"
    path.write_bytes(b"".join(encode_lines(docs)))
    back, problems = read_all(Jsonl(), file_at(path))
    assert list(back) == list(docs)
    assert not problems.counts


def test_bad_lines_are_counted_and_the_good_ones_around_them_kept(tmp_path):
    file = write_lines(
        tmp_path / "a.jsonl",
        {"text": "one", "id": "first"},
        b'{"text": "half\n',
        b'{"text": "\xff\xfe"}\n',
        b"[1, 2]\n",
        {"txet": "typo"},
        {"text": 7},
        b"\n",
        {"text": "two", "id": 5, "score": 0.5, "metadata": {"own": 1}},
        b'{"text": "x", "pad": "' + b"y" * 300 + b'"}\n',
        {"text": "last, without a line end"},
    )
    docs, problems = read_all(Jsonl(), file, max_record_bytes=200)
    assert docs.texts == ["one", "two", "last, without a line end"]
    assert docs.ids[:2] == ["first", "5"]
    assert docs.ids[2].startswith("a.jsonl:")
    assert orjson.loads(docs.column("metadata")[1] or "") == {"own": 1, "score": 0.5, "path": "a.jsonl"}
    assert dict(problems.counts) == {
        "bad_json": 2,
        "not_an_object": 1,
        "no_text_field": 2,
        "record_too_large": 1,
    }
    details = {item["detail"] for item in problems.items}
    assert "not UTF-8" in details
    assert "expected a text field 'text', found fields txet" in details
    assert "expected text in the field 'text', found int" in details


def test_fields_are_named_by_dotted_paths(tmp_path):
    file = write_lines(tmp_path / "a.jsonl", {"data": {"body": "deep", "key": "k1"}}, {"data": "flat"})
    docs, problems = read_all(Jsonl(), file, text_field="data.body", id_field="data.key")
    assert (docs.ids, docs.texts) == (["k1"], ["deep"])
    assert problems.counts["no_text_field"] == 1


def test_a_field_that_has_no_column_stays_in_the_metadata(tmp_path):
    record = {"text": "x", "meta": {"id": "m1", "lang": "en"}, "url": ["a", "b"], "source": {"name": "s"}, "id": [1]}
    docs, _ = read_all(Jsonl(), write_lines(tmp_path / "a.jsonl", record), id_field="meta.id")
    assert docs.ids == ["m1"]
    kept = orjson.loads(docs.column("metadata")[0] or "")
    assert kept == {k: v for k, v in record.items() if k != "text"} | {"path": "a.jsonl"}


def test_a_byte_order_mark_costs_no_record(tmp_path):
    docs, problems = read_all(
        Jsonl(), write_lines(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"text": "first"}\n', {"text": "second"})
    )
    assert docs.texts == ["first", "second"]
    assert not problems.counts


def test_a_truncated_gzip_keeps_its_good_lines(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    whole = gzip.compress(b"".join(orjson.dumps({"text": f"{i} {i * 7919}"}) + b"\n" for i in range(5000)))
    path.write_bytes(whole[:-2000])
    docs, problems = read_all(Jsonl(), file_at(path))
    assert 1000 < len(docs) < 5000
    assert problems.counts["damaged_compression"] == 1


@pytest.mark.parametrize("unit_bytes", [50, 333, 1 << 20])
def test_spans_change_neither_documents_nor_ids(tmp_path, unit_bytes):
    file = write_lines(tmp_path / "a.jsonl", *({"text": "x" * (i % 90)} for i in range(200)))
    docs, _ = read_all(Jsonl(), file, unit_bytes)
    assert list(docs) == list(read_all(Jsonl(), file)[0])
    assert len(docs) == 200


@pytest.mark.parametrize("unit_bytes", [1, 1000, 1 << 20])
def test_parquet_row_groups_are_read_whatever_the_spans(tmp_path, unit_bytes):
    path = tmp_path / "a.parquet"
    table = pa.table(
        {"id": [f"d{i}" for i in range(90)], "text": [f"text {i}" * 9 for i in range(90)], "n": list(range(90))}
    )
    pq.write_table(table, path, row_group_size=10)
    docs, problems = read_all(ParquetFile(), file_at(path, "parquet"), unit_bytes)
    assert docs.ids == [f"d{i}" for i in range(90)]
    assert orjson.loads(docs.column("metadata")[3] or "") == {"n": 3, "path": "a.parquet"}
    assert not problems.counts


def test_a_parquet_file_without_the_column_names_those_it_has(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"body": ["x"], "lang": ["en"]}), path)
    with pytest.raises(
        CorpusError, match=r"a\.parquet: expected a text column 'text', found columns body, lang; name it with"
    ):
        read_all(ParquetFile(), file_at(path, "parquet"))


def test_a_damaged_parquet_file_is_set_aside(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["x"] * 100}), path)
    path.write_bytes(path.read_bytes()[:-20])
    docs, problems = read_all(ParquetFile(), file_at(path, "parquet"))
    assert len(docs) == 0
    assert problems.counts == {"damaged_parquet": 1}


@given(content=st.binary(max_size=400))
def test_no_bytes_make_the_reader_fail(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "a.jsonl"
    path.write_bytes(content)
    docs, problems = read_all(Jsonl(), file_at(path), 64)
    lines = [line for line in content.split(b"\n") if line.strip()]
    assert len(docs) + sum(problems.counts.values()) <= max(len(lines), 0) + content.count(b"\r")
    assert Span(file_at(path), 0, -1).label == "a.jsonl"
