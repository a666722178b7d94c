"""litdata, mosaicml-streaming, datatrove, NeMo and `datasets` read what we write, and we read what they write."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles_indexed import mmididx, write_pair

from megadata.indexed.foreign import files, litdata, mds
from megadata.indexed.foreign.run import export_dataset, import_dataset
from megadata.indexed.reader import IndexedDataset

pytestmark = [pytest.mark.peers, pytest.mark.timeout(300)]

ROOT = Path(__file__).parent.parent
PEERS = Path(os.environ.get("MEGADATA_PEERS") or ROOT / ".peers")
DOCUMENTS = [[1, 2, 3, 9], [9], [*range(10, 310), 9], [4, 9], [65_000] * 70 + [9], list(range(70)), [5, 9]]
KINDS = {8: "uint16", 4: "int32"}


def peer(environment: str, script: str, *arguments: object, documents: list[Any] | None = None) -> Any:
    """Run a script of benchmarks/peers in its environment; what it prints as JSON."""
    done = subprocess.run(
        [PEERS / environment / "bin" / "python", ROOT / "benchmarks" / "peers" / script, *map(str, arguments)],
        input=json.dumps(documents or []),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout) if done.stdout.strip() else None


def dataset(folder: Path, code: int, documents: list[list[int]] = DOCUMENTS) -> IndexedDataset:
    return IndexedDataset(write_pair(folder / f"d{code}", *mmididx([[d] if d else [] for d in documents], code)))


def listed(prefix: Path) -> list[list[int]]:
    data = IndexedDataset(prefix)
    return [data.document(i).tolist() for i in range(data.documents)]


@pytest.fixture
def small_shards(monkeypatch):
    """Files of about 500 bytes of tokens."""
    for module in (files, litdata, mds):
        monkeypatch.setattr(module, "SHARD_BYTES", 500)


@pytest.mark.parametrize("code", KINDS)
def test_litdata_reads_our_chunks_as_blocks(tmp_path, code, small_shards):
    data = dataset(tmp_path, code, [*DOCUMENTS, []])
    made = export_dataset(data.prefix, tmp_path / "out", "litdata")
    assert len(made) > 3
    blocks = peer("litdata", "litdata_tokens.py", "read", tmp_path / "out", 8)
    expected = []
    for chunk in json.loads((tmp_path / "out" / "index.json").read_text())["chunks"]:
        body = np.fromfile(tmp_path / "out" / chunk["filename"], data.dtype, offset=4 * (chunk["chunk_size"] + 2))
        expected += body[: body.size // 8 * 8].reshape(-1, 8).tolist()
    assert blocks == expected
    assert len(blocks) * 8 > data.tokens - 8 * (len(made) - 1)


@pytest.mark.parametrize("kind", ["uint16", "int32"])
def test_we_read_what_litdata_writes(tmp_path, kind):
    peer("litdata", "litdata_tokens.py", "write", tmp_path / "in", kind, documents=DOCUMENTS)
    made = import_dataset(tmp_path / "in", tmp_path / "d", eod=9)
    assert (made.kind, made.meta.dtype, made.meta.appended_eod) == ("litdata", kind, False)
    assert listed(tmp_path / "d") == DOCUMENTS


@pytest.mark.parametrize("code", KINDS)
def test_streaming_reads_our_shards(tmp_path, code, small_shards):
    data = dataset(tmp_path, code, [*DOCUMENTS, [], [1]])
    assert len(export_dataset(data.prefix, tmp_path / "out", "mds")) > 3
    assert peer("mds", "mds_tokens.py", "read", tmp_path / "out") == [*DOCUMENTS, [], [1]]


@pytest.mark.parametrize(("kind", "compression"), [("uint16", None), ("int64", "zstd:3"), ("int32", "gz")])
def test_we_read_what_streaming_writes(tmp_path, kind, compression):
    extra = [compression] if compression else []
    peer("mds", "mds_tokens.py", "write", tmp_path / "in", kind, *extra, documents=DOCUMENTS)
    made = import_dataset(tmp_path / "in", tmp_path / "d")
    assert made.kind == "mds"
    assert listed(tmp_path / "d") == DOCUMENTS


@pytest.mark.parametrize("width", [2, 4])
def test_we_read_datatroves_files(tmp_path, width):
    peer("datatrove", "datatrove_tokens.py", "ds", tmp_path / "in", width, documents=DOCUMENTS)
    made = import_dataset(tmp_path / "in", tmp_path / "d")
    assert (made.kind, made.meta.dtype) == ("datatrove", "uint16" if width == 2 else "int32")
    assert listed(tmp_path / "d") == DOCUMENTS
    (tmp_path / "in" / "tokens.ds.index").unlink()
    ended = [document for document in DOCUMENTS if document[-1] == 9]
    peer("datatrove", "datatrove_tokens.py", "ds", tmp_path / "ended", width, documents=ended)
    (tmp_path / "ended" / "tokens.ds.index").unlink()
    import_dataset(tmp_path / "ended", tmp_path / "e", eod=9)
    assert listed(tmp_path / "e") == ended


@pytest.mark.parametrize("width", [2, 4])
def test_we_read_datatroves_megatron_files(tmp_path, width):
    peer("datatrove", "datatrove_tokens.py", "megatron", tmp_path / "in", width, documents=DOCUMENTS)
    assert listed(tmp_path / "in" / "tokens") == DOCUMENTS
    assert IndexedDataset(tmp_path / "in" / "tokens").verify(deep=True).ok


@pytest.mark.parametrize("code", KINDS)
def test_hugging_face_reads_our_tables(tmp_path, code):
    data = dataset(tmp_path, code, [*DOCUMENTS, []])
    expected = {"rows": [{"input_ids": d} for d in [*DOCUMENTS, []]], "columns": ["input_ids"]}
    for form in ("parquet", "arrow"):
        export_dataset(data.prefix, tmp_path / form, form)
        assert peer("datatrove", "datatrove_tokens.py", form, f"{tmp_path}/{form}/*.{form}") == expected
    assert peer("datatrove", "datatrove_tokens.py", "disk", tmp_path / "arrow") == expected


NESTED = [[[1, 2], [3]], [], [[4, 5, 6]], [[7], [8], [9]]]


@pytest.mark.parametrize("code", KINDS)
@pytest.mark.filterwarnings("ignore:.*document bounds are missing")
def test_nemo_and_we_read_and_write_the_same_files(tmp_path, code):
    ours = write_pair(tmp_path / "ours", *mmididx(NESTED, code))
    sequences = [sequence for document in NESTED for sequence in document]
    bounds = IndexedDataset(ours).bounds.tolist()
    assert peer("nemo", "nemo_tokens.py", "read", ours) == {"sequences": sequences, "bounds": bounds}
    peer("nemo", "nemo_tokens.py", "write", tmp_path / "theirs", KINDS[code], documents=NESTED)
    for end in (".bin", ".idx"):
        assert Path(f"{tmp_path}/theirs{end}").read_bytes() == Path(f"{ours}{end}").read_bytes()
    peer("nemo", "nemo_tokens.py", "merge", tmp_path / "both", KINDS[code], ours, tmp_path / "theirs")
    merged = IndexedDataset(tmp_path / "both")
    assert [one.tolist() for one in merged[:]] == sequences * 2
    assert merged.documents == 2 * len(sequences)


@pytest.mark.parametrize("kind", ["float64", "int64", "uint8"])
def test_types_that_nemo_numbers_its_own_way_are_read(tmp_path, kind):
    peer("nemo", "nemo_tokens.py", "write", tmp_path / "d", kind, documents=NESTED)
    data = IndexedDataset(tmp_path / "d")
    assert data.dtype.name == kind
    assert [one.tolist() for one in data[:]] == [sequence for document in NESTED for sequence in document]
