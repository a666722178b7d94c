"""Exports and imports: the same documents again, files to the byte, and damage told in a sentence."""

from __future__ import annotations

import gzip
import json
import random
import struct
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles_indexed import make, mmididx, write_pair

from megadata.cli import cli
from megadata.errors import ConfigError, CorpusError, IndexFormatError, MegadataError, OutputError
from megadata.indexed.foreign import files, flat, litdata, mds, tables
from megadata.indexed.foreign.flat import split_all
from megadata.indexed.foreign.run import export_dataset, import_dataset, recognise
from megadata.indexed.meta import Meta
from megadata.indexed.provenance import document_rows
from megadata.indexed.reader import IndexedDataset
from megadata.tokenize.load import load_tokenizer

EOD = 9
DOCUMENT = st.lists(st.integers(10, 60_000), max_size=8).map(lambda tokens: [*tokens, EOD])
DOCUMENTS = st.lists(st.one_of(st.just([]), DOCUMENT), min_size=1, max_size=12)
KEEPS_BOUNDS = ("litdata", "mds", "arrow", "parquet")


@pytest.fixture
def small(monkeypatch):
    """Files of few documents, and reading in small pieces."""
    for module in (files, litdata, mds):
        monkeypatch.setattr(module, "SHARD_BYTES", 24)
    for module in (files, flat):
        monkeypatch.setattr(module, "READ_BYTES", 10)
    monkeypatch.setattr(flat, "LLMC_TOKENS", 11)
    monkeypatch.setattr(tables, "FILE_BYTES", 24)
    monkeypatch.setattr(tables, "GROUP_TOKENS", 4)


def dataset(folder: Path, documents: list[list[int]], code: int = 8, name: str = "d") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    return write_pair(folder / name, *mmididx([[d] if d else [] for d in documents], code))


def listed(prefix: Path | str) -> list[list[int]]:
    data = IndexedDataset(prefix)
    return [data.document(i).tolist() for i in range(data.documents)]


@pytest.mark.parametrize("target", KEEPS_BOUNDS)
@given(documents=DOCUMENTS, code=st.sampled_from([4, 8]))
@settings(max_examples=12)
def test_formats_that_keep_documents_give_the_same_files_back(tmp_path_factory, small, target, documents, code):
    folder = tmp_path_factory.mktemp("d")
    prefix = dataset(folder, documents, code)
    export_dataset(prefix, folder / "out", target)
    made = import_dataset(folder / "out", folder / "back", eod=EOD)
    assert (made.kind, made.meta.appended_eod) == (target, any(documents))
    for end in (".bin", ".idx"):
        assert Path(f"{folder}/back{end}").read_bytes() == Path(f"{prefix}{end}").read_bytes()
    assert IndexedDataset(folder / "back").verify(deep=True).ok


@pytest.mark.parametrize("target", ["nanogpt", "llmc"])
@given(documents=DOCUMENTS.filter(any), code=st.sampled_from([4, 8]))
@settings(max_examples=12)
def test_flat_files_give_the_documents_with_tokens_back(tmp_path_factory, small, target, documents, code):
    folder = tmp_path_factory.mktemp("d")
    export_dataset(dataset(folder, documents, code), folder / "out", target)
    made = import_dataset(folder / "out", folder / "back", eod=EOD)
    filled = [document for document in documents if document]
    assert listed(folder / "back") == filled
    assert made.kind == target
    assert IndexedDataset(folder / "back").tokens == sum(map(len, documents))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 9))
@settings(max_examples=150)
def test_streams_are_split_as_the_plain_rule_says_for_any_size_of_pieces(monkeypatch_module, tokens, piece):
    monkeypatch_module.setattr(flat, "READ_BYTES", 4 * piece)
    stream = np.array(tokens, np.int32)
    if 0 not in tokens:
        with pytest.raises(ConfigError, match=f"f: the EOD 0 occurs nowhere in {len(tokens)} tokens"):
            list(split_all([(Path("f"), stream)], 0))
        return
    batches = list(split_all([(Path("f"), stream)], 0))
    expected: list[list[int]] = [[]]
    leads = tokens[0] == 0 and tokens[-1] != 0
    for place, token in enumerate(tokens):
        if leads and token == 0 and place:
            expected.append([])
        expected[-1].append(token)
        if not leads and token == 0:
            expected.append([])
    found = [part.tolist() for batch in batches for part in np.split(batch.tokens, np.cumsum(batch.lengths)[:-1])]
    assert found == [document for document in expected if document]


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_llm_c_files_are_its_header_and_the_tokens(tmp_path, monkeypatch):
    monkeypatch.setattr(flat, "LLMC_TOKENS", 5)
    narrow = dataset(tmp_path, [[1, 2, 9], [3, 9], [4, 5, 6, 7, 8, 9]])
    names = [path.name for path in export_dataset(narrow, tmp_path / "n", "llmc")]
    assert names == ["d_000000.bin", "d_000001.bin"]
    header = struct.pack("<256i", 20240520, 1, 5, *[0] * 253)
    assert (tmp_path / "n" / names[0]).read_bytes() == header + struct.pack("<5H", 1, 2, 9, 3, 9)
    wide = dataset(tmp_path, [[70_000, 9]], 4, "w")
    (path,) = export_dataset(wide, tmp_path / "w4", "llmc")
    assert path.read_bytes() == struct.pack("<256i", 20240801, 7, 2, *[0] * 253) + struct.pack("<2I", 70_000, 9)


def test_llm_c_shards_whose_documents_begin_with_the_eod_are_read(tmp_path):
    header = struct.pack("<256i", 20240520, 1, 6, *[0] * 253)
    (tmp_path / "fineweb_train_000001.bin").write_bytes(header + struct.pack("<6H", 9, 1, 2, 9, 9, 3))
    made = import_dataset(tmp_path / "*_train_*.bin", tmp_path / "d", eod=9)
    assert listed(tmp_path / "d") == [[9, 1, 2], [9], [9, 3]]
    assert (made.meta.eod, made.meta.appended_eod) == (9, False)


@pytest.mark.parametrize(
    ("prefix", "name"), [("web-train", "train.bin"), ("web-validation", "val.bin"), ("web", "web.bin")]
)
def test_nanogpt_files_have_the_names_it_looks_for(tmp_path, prefix, name):
    (path,) = export_dataset(make(tmp_path / prefix, 100), tmp_path / "out", "nanogpt")
    assert path.name == name


def test_raw_olmo_arrays_are_read_with_their_table(tmp_path):
    (tmp_path / "part-0.npy").write_bytes(np.array([1, 2, 9, 3, 9], "<u4").tobytes())
    rows = "0,3,a,web/x.jsonl.gz,0\n3,5,b,web/x.jsonl.gz,1\n"
    (tmp_path / "part-0.csv.gz").write_bytes(gzip.compress(rows.encode()))
    (tmp_path / "part-1.npy").write_bytes(np.array([7, 9], "<u4").tobytes())
    (tmp_path / "part-1.csv.gz").write_bytes(gzip.compress(b"0,2,c,web/y.jsonl.gz,0\n"))
    made = import_dataset(tmp_path, tmp_path / "out" / "d", eod=9)
    assert made.meta.dtype == "int32"
    assert listed(tmp_path / "out" / "d") == [[1, 2, 9], [3, 9], [7, 9]]
    rows_read = document_rows(str(tmp_path / "out" / "d"), range(3))
    assert [row["id"] for row in rows_read] == ["a", "b", "c"]
    assert rows_read[2]["source"] == "web/y.jsonl.gz"
    (tmp_path / "part-1.csv.gz").unlink()
    with pytest.raises(
        ConfigError, match=r"part-1\.npy: a raw array does not say how wide its tokens are; add --dtype"
    ):
        import_dataset(tmp_path, tmp_path / "out" / "d", eod=9)
    np.save(tmp_path / "x.npy", np.array([5, 9], np.uint16))
    import_dataset(tmp_path / "x.npy", tmp_path / "out" / "x", eod=9)
    assert listed(tmp_path / "out" / "x") == [[5, 9]]


def test_datatrove_files_tell_their_width_and_refuse_to_lose_loss_masks(tmp_path):
    (tmp_path / "a.ds").write_bytes(np.array([1, 9, 3], "<u4").tobytes())
    (tmp_path / "a.ds.index").write_bytes(np.array([2, 3], "<u8").tobytes())
    import_dataset(tmp_path, tmp_path / "d")
    assert listed(tmp_path / "d") == [[1, 9], [3]]
    (tmp_path / "a.ds.index").unlink()
    with pytest.raises(ConfigError, match=r"a\.ds: no \.ds\.index beside it; add --dtype"):
        import_dataset(tmp_path / "a.ds", tmp_path / "d", eod=9)
    (tmp_path / "a.ds.metadata").write_text("tok.json|4\n3\n3.00 T")
    import_dataset(tmp_path / "a.ds", tmp_path / "d", eod=9)
    assert listed(tmp_path / "d") == [[1, 9], [3]]
    (tmp_path / "a.ds.loss").write_bytes(b"\1\1\0")
    with pytest.raises(ConfigError, match=r"a\.ds\.loss: loss masks are not kept in an indexed dataset"):
        import_dataset(tmp_path / "a.ds", tmp_path / "d", eod=9)


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_tables_carry_provenance_both_ways(tmp_path, form, small):
    prefix = dataset(tmp_path, [[1, 9], [], [2, 3, 9]])
    rows = {"id": ["a", "b", "c"], "source": ["s"] * 3, "url": [None, "u", None], "key": [1, 2, 3]}
    pq.write_table(pa.table(rows), f"{prefix}.docs.parquet")
    export_dataset(prefix, tmp_path / "out", form)
    import_dataset(tmp_path / "out", tmp_path / "back")
    found = document_rows(str(tmp_path / "back"), range(3))
    assert found == [{"id": i, "source": "s", "url": "u" if i == "b" else None} for i in "abc"]


LISTS = {
    "list<int64>": pa.list_(pa.int64()),
    "large_list<uint16>": pa.large_list(pa.uint16()),
    "fixed": pa.list_(pa.int32(), 2),
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_any_kind_in_parts_of_files_are_read(tmp_path, kind):
    table = pa.table({"n": [0, 1, 2], "ids": pa.array([[1, 2], [3, 4], [5, 6]], LISTS[kind])})
    with pa.ipc.new_file(tmp_path / "t.arrow", table.schema) as writer:
        writer.write_table(table, 2)
    import_dataset(tmp_path / "t.arrow", tmp_path / "d")
    assert listed(tmp_path / "d") == [[1, 2], [3, 4], [5, 6]]
    pq.write_table(table.slice(1), tmp_path / "t.parquet")
    import_dataset(tmp_path / "t.parquet", tmp_path / "e", column="ids")
    assert listed(tmp_path / "e") == [[3, 4], [5, 6]]


REFUSED = {
    "no eod": (
        lambda t: t.joinpath("train.bin").write_bytes(bytes(8)),
        {},
        r"nothing in the file says where documents",
    ),
    "odd size": (
        lambda t: t.joinpath("train.bin").write_bytes(bytes(7)),
        {"eod": 0},
        r"whole uint16 tokens of 2 bytes",
    ),
    "two splits": (
        lambda t: [t.joinpath(name).write_bytes(bytes(8)) for name in ("train.bin", "val.bin")],
        {"eod": 0},
        r"holds the splits train, val; import each by itself, for example '.*\*train\*\.bin'",
    ),
    "two kinds": (
        lambda t: [t.joinpath(name).write_bytes(bytes(8)) for name in ("a.bin", "b.npy")],
        {"eod": 0},
        r"files of several kinds \(\*\.npy, \*\.bin\)",
    ),
    "megatron": (
        lambda t: write_pair(t / "m", *mmididx([[[1]]])),
        {},
        r"m\.bin: is an indexed dataset already and read as it is",
    ),
    "nothing": (lambda t: None, {}, r"expected files .*, found none"),
    "short llm.c": (
        lambda t: t.joinpath("x.bin").write_bytes(struct.pack("<256i", 20240520, 1, 6, *[0] * 253)),
        {"eod": 9},
        r"x\.bin: the header promises 6 uint16 tokens, 12 bytes, found 0",
    ),
    "text": (
        lambda t: pq.write_table(pa.table({"text": ["a"]}), t / "x.parquet"),
        {},
        r"column of lists of integers named input_ids or tokens, found no such column among text",
    ),
    "null": (
        lambda t: pq.write_table(pa.table({"ids": pa.array([[1], None])}), t / "x.parquet"),
        {},
        r"row 1 of ids is null",
    ),
    "vocabulary": (
        lambda t: pq.write_table(pa.table({"ids": pa.array([[1], [], [2, 7]])}), t / "x.parquet"),
        {"vocabulary": Meta(vocabulary_size=7)},
        r"document 2 holds the id 7, expected ids from 0 to 6; another tokenizer",
    ),
    "eod outside": (
        lambda t: None,
        {"eod": 7, "vocabulary": Meta(vocabulary_size=7)},
        r"--eod 7: the vocabulary has ids",
    ),
    "other type": (lambda t: None, {"dtype": "float32"}, r"--dtype float32: expected one of uint16, uint32"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_imported_is_told_in_a_sentence(tmp_path, name):
    lay, options, message = REFUSED[name]
    (tmp_path / "in").mkdir()
    lay(tmp_path / "in")
    with pytest.raises(MegadataError, match=message):
        import_dataset(tmp_path / "in", tmp_path / "out" / "d", **options)
    assert not list(tmp_path.glob("out/*.bin"))
    assert not list(tmp_path.glob("out/*.tmp"))


def test_an_export_replaces_an_earlier_one_and_nothing_else(tmp_path, small):
    prefix = dataset(tmp_path, [[i, 9] for i in range(10, 40)])
    first = export_dataset(prefix, tmp_path / "out", "litdata")
    assert export_dataset(prefix, tmp_path / "out", "litdata") == first
    dataset(tmp_path, [[1, 9]])
    export_dataset(prefix, tmp_path / "out", "litdata")
    assert sorted(path.name for path in tmp_path.glob("out/[!.]*")) == ["chunk-0-0.bin", "index.json"]
    export_dataset(prefix, tmp_path / "out", "nanogpt")
    (tmp_path / "out" / "chunk-0-1.bin").write_bytes(b"mine")
    with pytest.raises(
        OutputError, match=r"chunk-0-1\.bin: expected none of this name, or one that megadata wrote here"
    ):
        export_dataset(prefix, tmp_path / "out", "litdata")
    (tmp_path / "nano").mkdir()
    (tmp_path / "nano" / "d.bin").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"d\.bin: expected none of this name"):
        export_dataset(prefix, tmp_path / "nano", "nanogpt")
    assert (tmp_path / "nano" / "d.bin").read_bytes() == b"mine"


def test_a_damaged_dataset_is_not_exported(tmp_path):
    raw, index = mmididx([[[1, 2]], [[3]]])
    prefix = write_pair(tmp_path / "d", raw, index[:42] + struct.pack("<q", 6) + index[50:])
    with pytest.raises(IndexFormatError, match="sequence 0 should start at byte 0"):
        export_dataset(prefix, tmp_path / "out", "parquet")


def damaged(rng: random.Random, raw: bytes) -> bytes:
    """One way to damage a file."""
    made = bytearray(raw)
    at = rng.randrange(len(made))
    kind = rng.randrange(4)
    if kind == 0:
        made[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del made[at:]
    elif kind == 2:
        made[at : at + 4] = rng.choice([b"\xff" * 4, b"\0" * 4, b"\xff\xff\xff\x7f"])
    else:
        made += rng.randbytes(rng.randrange(1, 9))
    return bytes(made)


@pytest.mark.parametrize("target", ["llmc", *KEEPS_BOUNDS])
def test_damaged_files_are_imported_or_refused(tmp_path, target):
    rng = random.Random(target)
    prefix = dataset(tmp_path, [[1, 2, 9], [], [3] * 20 + [9], [9]])
    paths = export_dataset(prefix, tmp_path / "in", target)
    originals = {path: path.read_bytes() for path in paths if path.suffix != ".json" or path.name == "index.json"}
    refused = 0
    for _ in range(60):
        path = rng.choice(list(originals))
        path.write_bytes(damaged(rng, originals[path]))
        try:
            import_dataset(tmp_path / "in", tmp_path / "out", kind=target, eod=9)
            assert IndexedDataset(tmp_path / "out").verify(deep=True).ok
        except MegadataError:
            refused += 1
        path.write_bytes(originals[path])
    assert 10 < refused < 60


def test_recognition_goes_by_names_and_first_bytes(tmp_path):
    with pytest.raises(CorpusError, match=r"x\.txt: expected \.bin, \.npy, \.ds, \.parquet, \.arrow or a folder"):
        (tmp_path / "x.txt").write_text("")
        recognise(tmp_path / "x.txt")
    (tmp_path / "index.json").write_text("[]")
    with pytest.raises(CorpusError, match=r"index\.json: expected an object"):
        recognise(tmp_path)


def test_the_commands_export_and_import_with_a_tokenizer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = {f"w{i}": i for i in range(20)} | {"<|endoftext|>": 20}
    tokens = [{"id": 20, "content": "<|endoftext|>", "special": True}]
    tokens = [{**t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False} for t in tokens]
    model = {"type": "WordLevel", "vocab": words, "unk_token": "w0"}
    Path("tok.json").write_text(json.dumps({"added_tokens": tokens, "model": model}))
    dataset(tmp_path, [[1, 2, 20], [3, 20]], name="web-train")

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(cli, [*arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    (path,) = orjson.loads(call("export-dataset", "web-train", "-o", "nano", "--to", "nanogpt", "--json"))["outputs"]
    assert path == "nano/train.bin"
    text = call("import-dataset", path, "-o", "back/web", "--tokenizer", "tok.json")
    assert "back/web: 2 documents, 5 uint16 tokens, read as nanogpt\nevery document ends with the EOD 20\n" in text
    meta = IndexedDataset("back/web").meta
    assert meta is not None
    assert (meta.vocabulary_size, meta.eod, meta.tokenizer_path) == (21, 20, "web.tokenizer.json")
    assert load_tokenizer("back/web.tokenizer.json").sha256 == meta.tokenizer_sha256


def tntidx(documents: list[list[list[int]]], bounds: list[int] | None = None) -> tuple[bytes, bytes]:
    """The bytes of .bin and .idx as GPT-NeoX's `IndexedDatasetBuilder` writes them."""
    sequences = [sequence for document in documents for sequence in document]
    ends = np.cumsum([0, *map(len, documents)]).tolist() if bounds is None else bounds
    index = b"TNTIDX\0\0" + struct.pack("<6Q", 1, 4, 4, len(sequences), len(sequences), len(ends))
    offsets = np.cumsum([0, *map(len, sequences)])
    for array in (range(len(sequences) + 1), offsets, map(len, sequences), ends):
        index += np.array(list(array), "<i8").tobytes()
    return np.concatenate([np.empty(0, "<i4"), *sequences]).astype("<i4").tobytes(), index


@given(st.lists(st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=3), min_size=1, max_size=8))
@settings(max_examples=40)
def test_the_format_before_mmididx_is_read(tmp_path_factory, small, documents):
    folder = tmp_path_factory.mktemp("d")
    prefix = write_pair(folder / "old", *tntidx(documents))
    with pytest.raises(
        IndexFormatError, match=r"found a file that starts with b'TNTIDX.* `megadata import-dataset` reads"
    ):
        IndexedDataset(prefix)
    made = import_dataset(folder / "old.idx", folder / "new")
    assert made.kind == "tntidx"
    data, index = mmididx(documents, 4)
    assert (folder / "new.bin").read_bytes() == data
    assert (folder / "new.idx").read_bytes() == index
    assert made.meta.level == ("sentence" if sum(map(len, documents)) > len(documents) else "document")


def test_lost_bounds_and_damage_of_the_older_format(tmp_path):
    raw, index = tntidx([[[1, 2]], [[3]]], [0])
    write_pair(tmp_path / "old", raw, index)
    import_dataset(tmp_path / "old", tmp_path / "new")
    assert listed(tmp_path / "new") == [[1, 2], [3]]
    rng = random.Random(0)
    refused = 0
    for _ in range(60):
        end, original = rng.choice([(".bin", raw), (".idx", index)])
        Path(f"{tmp_path}/old{end}").write_bytes(damaged(rng, original))
        try:
            import_dataset(tmp_path / "old", tmp_path / "new", kind="tntidx")
        except MegadataError:
            refused += 1
        write_pair(tmp_path / "old", raw, index)
    assert 20 < refused < 60
