"""Parquet and Arrow: any column of text, any spans, bounded batches, damage that costs only itself, datasets saved to disk."""

from __future__ import annotations

import contextlib
import gzip
import multiprocessing
import random
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megadata.documents.inputs import expand, plan, read_unit
from megadata.documents.parquetfooter import row_groups
from megadata.documents.source import BATCH_BYTES, Problems, ReadOptions
from megadata.errors import CorpusError
from megadata.runtime.units import InputFile

TEXTS = ["plain", "", "two\nlines", "héé ‱ 😀", "x" * 1000] * 40


def docs(path: Path, unit_bytes: int = 1 << 20, **options):
    read, problems = ReadOptions(**options), Problems()
    units = plan(expand([str(path)], read=read).files, unit_bytes)
    batches = [batch for unit in units for batch in read_unit(unit, read, problems)]
    assert all(b.sizes.sum() <= BATCH_BYTES or len(b) == 1 for b in batches)
    return [d for batch in batches for d in batch], problems


def write(path: Path, table: pa.Table, rows: int = 20) -> Path:
    """The table in the form that the ending says."""
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=rows)
    else:
        make = pa.ipc.new_file if path.suffix == ".feather" else pa.ipc.new_stream
        with make(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=rows)
    return path


def in_type(kind: str) -> pa.Array:
    plain = pa.array(TEXTS, pa.string())
    return plain.dictionary_encode() if kind == "dictionary" else plain.cast(getattr(pa, kind)())


@pytest.mark.parametrize("unit_bytes", [1, 3000, 1 << 20])
@pytest.mark.parametrize("ending", [".parquet", ".arrow", ".feather"])
@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "dictionary", "binary"])
def test_a_column_of_any_kind_of_text_is_read_whatever_the_spans(tmp_path, kind, ending, unit_bytes):
    table = pa.table({"text": in_type(kind), "id": [f"d{i}" for i in range(len(TEXTS))], "n": range(len(TEXTS))})
    found, problems = docs(write(tmp_path / f"a{ending}", table), unit_bytes)
    assert [d["text"] for d in found] == TEXTS
    assert [d["id"] for d in found] == [f"d{i}" for i in range(len(TEXTS))]
    assert orjson.loads(found[3]["metadata"]) == {"n": 3, "path": f"a{ending}"}
    assert not problems.counts


@pytest.mark.parametrize("unit_bytes", [1, 1 << 20])
@pytest.mark.parametrize("ending", [".parquet", ".arrow", ".feather"])
def test_ids_do_not_depend_on_spans(tmp_path, ending, unit_bytes):
    path = write(tmp_path / f"a{ending}", pa.table({"text": TEXTS}))
    found = [d["id"] for d in docs(path, unit_bytes)[0]]
    assert found == [d["id"] for d in docs(path)[0]]
    assert len(set(found)) == len(TEXTS)


@pytest.mark.parametrize("ending", [".parquet", ".arrow"])
def test_text_and_id_inside_structs_are_named_by_dotted_paths(tmp_path, ending):
    rows = [{"doc": {"body": "one", "key": 7, "lang": "en"}, "n": 1}, {"doc": None, "n": 2}]
    path = write(tmp_path / f"a{ending}", pa.Table.from_pylist(rows))
    found, problems = docs(path, text_field="doc.body", id_field="doc.key")
    assert [(d["id"], d["text"]) for d in found] == [("7", "one")]
    assert orjson.loads(found[0]["metadata"]) == {"doc": {"key": 7, "lang": "en"}, "n": 1, "path": f"a{ending}"}
    assert problems.counts == {"no_text_field": 1}


@pytest.mark.parametrize("ending", [".parquet", ".arrow"])
def test_a_table_without_such_a_column_names_those_it_has(tmp_path, ending):
    path = write(tmp_path / f"a{ending}", pa.table({"doc": [{"body": "x"}], "n": [1]}))
    with pytest.raises(
        CorpusError, match=r"expected a text column 'text', found columns doc, doc\.body, n; name it with --text"
    ):
        docs(path)
    with pytest.raises(CorpusError, match=r"expected text in the column 'n', found int64; name a column of text"):
        docs(path, text_field="n")


@pytest.mark.parametrize("ending", [".parquet", ".arrow"])
def test_rows_that_are_no_text_are_set_aside_one_by_one(tmp_path, ending):
    table = pa.table(
        {"text": pa.array([b"good", b"\xff\xfe", None, b"long" * 100, b"too"], pa.binary()), "b": [b"\xff"] * 5}
    )
    found, problems = docs(write(tmp_path / f"a{ending}", table), max_record_bytes=100)
    assert [d["text"] for d in found] == ["good", "too"]
    assert problems.counts == {"not_utf8": 1, "no_text_field": 1, "record_too_large": 1}
    assert orjson.loads(found[0]["metadata"])["b"] == "<1 bytes>"


def test_text_that_only_claims_to_be_utf8_is_set_aside(tmp_path):
    buffers = [None, pa.py_buffer(b"\x00\x00\x00\x00\x02\x00\x00\x00\x04\x00\x00\x00"), pa.py_buffer(b"ok\xff\xfe")]
    table = pa.table({"text": pa.Array.from_buffers(pa.string(), 2, buffers)})
    found, problems = docs(write(tmp_path / "a.parquet", table))
    assert [d["text"] for d in found] == ["ok"]
    assert problems.counts == {"not_utf8": 1}


def test_a_dictionary_of_long_texts_is_spelled_out_in_bounded_batches(tmp_path):
    long = "word " * 200_000
    table = pa.table({"text": pa.array([long, "short"] * 300).dictionary_encode()})
    for ending in (".parquet", ".arrow"):
        found, _ = docs(write(tmp_path / f"a{ending}", table, 600))  # `docs` looks at the batches' bytes
        assert [len(d["text"]) for d in found] == [len(long), 5] * 300


def test_a_damaged_row_group_costs_itself_alone(tmp_path):
    rng = random.Random(0)
    table = pa.table({"text": [f"{i} {rng.random()}" for i in range(300)]})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=100, compression="zstd", use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    middle = column.data_page_offset + column.total_compressed_size // 2
    data[middle - 50 : middle + 50] = bytes(100)
    path.write_bytes(data)
    found, problems = docs(path)
    assert [d["text"].split()[0] for d in found] == [str(i) for i in (*range(100), *range(200, 300))]
    assert problems.counts == {"damaged_parquet": 1}


def test_row_groups_are_found_as_arrow_tells_them(tmp_path):
    rows = [{"text": f"Row {n} " * (n % 5), "tags": ["a", "b"] * (n % 3), "meta": {"n": n}} for n in range(100)]
    table = pa.Table.from_pylist(rows)
    for how in (
        {},
        {"use_dictionary": False},
        {"version": "1.0", "write_statistics": False},
        {"write_page_index": True},
    ):
        path = tmp_path / "a.parquet"
        pq.write_table(table, path, row_group_size=30, **how)
        told = pq.ParquetFile(path).metadata
        row_groups.cache_clear()
        found = row_groups(InputFile("a", str(path), path.stat().st_size, 0, "parquet", "", ""))
        assert [group.rows for group in found] == [30, 30, 30, 10]
        for group, ours in enumerate(found):
            theirs = [told.row_group(group).column(n) for n in range(told.num_columns)]
            assert [c.bytes for c in ours.columns] == [c.total_uncompressed_size for c in theirs]
            assert [c.dictionary for c in ours.columns] == [c.has_dictionary_page for c in theirs]
            assert [c.start for c in ours.columns] == [c.dictionary_page_offset or c.data_page_offset for c in theirs]


def read_with_wrong_bits(path: Path) -> None:
    """Read a Parquet file once for each byte of its footer, with a bit of it wrong."""
    whole = path.read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for at in range(footer, len(whole)):
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        path.write_bytes(data)
        row_groups.cache_clear()
        with contextlib.suppress(CorpusError):
            docs(path, kind="parquet")


def test_wrong_bits_of_a_footer_do_not_end_the_process(tmp_path):
    path = write(tmp_path / "a.parquet", pa.table({"text": ["one", "two"], "tags": [["x"], []]}))
    context = multiprocessing.get_context("forkserver")
    child = context.Process(target=read_with_wrong_bits, args=(path,))
    child.start()
    child.join()
    assert child.exitcode == 0


@pytest.mark.parametrize("ending", [".parquet", ".arrow", ".feather"])
@pytest.mark.parametrize("name", ["text", "other", "inner"])
def test_names_of_columns_that_are_no_text_are_told(tmp_path, ending, name):
    path = write(tmp_path / f"a{ending}", pa.table({"text": ["x"], "other": ["y"], "deep": [{"inner": 1}]}))
    path.write_bytes(path.read_bytes().replace(name.encode(), name.encode()[:-1] + b"\xf8"))
    with pytest.raises(
        CorpusError,
        match=rf"^a\{ending}: expected names of columns in UTF-8, found b'.*{name[:-1]}\\xf8'; write the file",
    ):
        docs(path)


def test_a_row_group_whose_dictionary_lacks_values_costs_itself_alone(tmp_path):
    texts = [f"value {n}" for n in range(50)]
    path = tmp_path / "a.parquet"
    table = pa.table({"text": pa.array(texts * 2).dictionary_encode()})
    pq.write_table(table, path, row_group_size=50, compression="none")
    data = path.read_bytes()
    page = data.index(b"\x07\x00\x00\x00value 0")
    head = data[:page].rindex(b"\x64")  # Thrift's form of 50, the number of values in the dictionary page
    path.write_bytes(data[:head] + b"\x02" + data[head + 1 :])
    found, problems = docs(path)
    assert [d["text"] for d in found] == texts
    assert problems.counts == {"damaged_parquet": 1}


def test_a_truncated_arrow_file_keeps_its_whole_batches(tmp_path):
    path = write(tmp_path / "a.arrow", pa.table({"text": TEXTS}))
    path.write_bytes(path.read_bytes()[:-700])
    found, problems = docs(path, 1000)
    assert [d["text"] for d in found] == TEXTS[: len(found)]
    assert len(found) >= len(TEXTS) - 40
    assert problems.counts == {"damaged_arrow": 1}


def test_compressed_streams_and_names_that_say_nothing(tmp_path):
    path = write(tmp_path / "a.arrow", pa.table({"text": TEXTS}))
    (tmp_path / "b.arrow.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.rename(tmp_path / "data")
    assert [d["text"] for d in docs(tmp_path / "b.arrow.gz")[0]] == TEXTS
    assert [d["text"] for d in docs(tmp_path / "data")[0]] == TEXTS


@settings(max_examples=150)
@given(seed=st.integers(0, 10**6), ending=st.sampled_from([".parquet", ".arrow", ".feather"]))
def test_no_damage_makes_a_reader_fail(tmp_path_factory, seed, ending):
    rng = random.Random(seed)
    folder = tmp_path_factory.mktemp("damage")
    path = write(folder / f"a{ending}", pa.table({"text": TEXTS[:50], "n": list(range(50))}))
    data = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 6)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data[: rng.randint(1, len(data))] if rng.random() < 0.3 else data)
    with contextlib.suppress(CorpusError):  # the damage may lie in the name of the column
        found, problems = docs(path, 500, kind="parquet" if ending == ".parquet" else "arrow")
        assert len(found) == 50 or problems.counts


def test_a_dataset_saved_to_disk_is_its_data_files(tmp_path):
    place = tmp_path / "saved"
    for split, count in (("train", 2), ("test", 1)):
        (place / split).mkdir(parents=True)
        names = [f"data-{i:05d}-of-{count:05d}.arrow" for i in range(count)]
        for name in (*names, "cache-1234.arrow"):
            write(place / split / name, pa.table({"text": [f"{split} {name}"]}))
        (place / split / "dataset_info.json").write_text("{}")
        (place / split / "state.json").write_bytes(orjson.dumps({"_data_files": [{"filename": n} for n in names]}))
    (place / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    found = expand([str(place)])
    assert [f.name for f in found.files] == [
        "test/data-00000-of-00001.arrow",
        "train/data-00000-of-00002.arrow",
        "train/data-00001-of-00002.arrow",
    ]
    assert found.passed_over == []
    (place / "train" / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(
        CorpusError, match=r"train/data-00001-of-00002\.arrow: state\.json names this file, and it is not there"
    ):
        expand([str(place)])


def test_the_cache_of_a_hub_repository_is_its_main_snapshot(tmp_path):
    hub = tmp_path / "datasets--org--name"
    (hub / "blobs").mkdir(parents=True)
    write(hub / "blobs/a.parquet", pa.table({"text": ["new"]})).rename(hub / "blobs/aaaa")
    (hub / "blobs/card").write_text("---\nlicense: mit\n---\n# A card\n")
    for revision in ("111", "222"):
        (hub / "snapshots" / revision / "data").mkdir(parents=True)
        (hub / "snapshots" / revision / "data/train-00000-of-00001.parquet").symlink_to(hub / "blobs/aaaa")
        (hub / "snapshots" / revision / "README.md").symlink_to(hub / "blobs/card")
    (hub / "refs").mkdir()
    (hub / "refs/main").write_text("111")
    found = expand([str(hub)])
    assert [f.name for f in found.files] == ["snapshots/111/data/train-00000-of-00001.parquet"]
    assert found.passed_over == ["snapshots/111/README.md (a dataset card)"]


@pytest.mark.peers
def test_saved_datasets_hold_the_rows_that_the_datasets_library_reads(real_data):
    datasets = pytest.importorskip("datasets")
    for name, column in (("boolq/none", "passage"), ("ai2_arc/ARC-Easy", "question"), ("sciq/none", "support")):
        place = real_data / "eval/olmo_hf_arrow" / name / "validation"
        theirs = datasets.Dataset.load_from_disk(str(place))
        found, problems = docs(place, 1 << 16, text_field=column)
        assert [d["text"] for d in found] == list(theirs[column])
        assert not problems.counts
