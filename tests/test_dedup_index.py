"""A saved index: later documents lose against it as they would against its documents, and it refuses what it cannot know."""

from __future__ import annotations

import random
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from megadata import formats
from megadata.corpus.dedup import (
    DedupConfig,
    DedupReport,
    against,
    dedup,
    explain,
    find_duplicates,
    indexfile,
    phases,
    records,
)
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import expand
from megadata.documents.source import Problems, ReadOptions
from megadata.errors import ConfigError, CorpusError, OutputError
from megadata.runtime.exchange import Partition
from megadata.runtime.settings import RunSettings

Record = dict[str, Any]
SETTINGS: dict[str, Any] = {"unit_bytes": 4_000, "shard_bytes": 9_000, "threshold": 0.6}


def corpus(name: str, count: int, seed: int) -> list[Record]:
    """Documents of families that all corpora share, exact copies and short texts among them."""
    families = random.Random(0)
    bases = [[f"w{families.randrange(900)}" for _ in range(families.randrange(20, 60))] for _ in range(25)]
    rng = random.Random(seed)
    records = []
    for number in range(count):
        words = list(rng.choice(bases))
        for _ in range(rng.randrange(0, 5)):
            words[rng.randrange(len(words))] = f"w{rng.randrange(900)}"
        text = rng.choice(["", "short", "五个字很短"]) if rng.random() < 0.05 else " ".join(words)
        records.append({"id": f"{name}{number:03d}", "text": text, "source": "web"})
    return records


def write(path: Path, records: list[Record]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(r, option=orjson.OPT_APPEND_NEWLINE) for r in records))
    return path


def run(path: Path, output: Path, workers: int = 1, **more: Any) -> DedupReport:
    against, save = more.pop("against", None), more.pop("save_index", None)
    config = DedupConfig(**{**SETTINGS, **more})
    return dedup(expand([str(path)]), output, config, RunSettings(workers=workers), against, save)


def decoded(path: Path) -> bytes:
    with zstandard.open(path, "rb") as file:
        content: bytes = file.read()
    return content


def kept(folder: Path) -> list[Record]:
    return [orjson.loads(line) for path in sorted(folder.glob("docs-*")) for line in decoded(path).splitlines()]


def evidence(folder: Path) -> dict[str, tuple[str, float, str]]:
    rows = pq.read_table(folder / "duplicates.parquet").to_pylist()
    return {r["removed_id"]: (r["kept_id"], r["similarity"], r["rule"]) for r in rows}


def expected(saved: list[Record], new: list[Record]) -> dict[str, tuple[str, float, str]]:
    """What the definition removes when the documents of the index come first in rank."""
    both = [*saved, *new]
    sources = ["saved"] * len(saved) + ["web"] * len(new)
    docs = DocBatch.of([r["id"] for r in both], [r["text"] for r in both], sources)
    found = find_duplicates(docs, DedupConfig(**SETTINGS, prefer=("saved",))).duplicates
    assert all(d.removed >= len(saved) for d in found)
    return {docs.ids[d.removed]: (docs.ids[d.kept], d.similarity, d.rule) for d in found}


@pytest.fixture
def first(tmp_path: Path) -> tuple[Path, Path]:
    """(output, index) of a first corpus."""
    output, index = tmp_path / "a", tmp_path / "index"
    run(write(tmp_path / "a.jsonl", corpus("a", 120, 1)), output, save_index=index)
    return output, index


@pytest.mark.parametrize("with_sets", [False, True])
@pytest.mark.parametrize("workers", [1, 2])
def test_new_documents_lose_against_the_index_by_the_definition(tmp_path: Path, with_sets: bool, workers: int):
    index = tmp_path / "index"
    run(write(tmp_path / "a.jsonl", corpus("a", 150, 1)), tmp_path / "a", save_index=index, index_with_sets=with_sets)
    if with_sets:
        shutil.move(tmp_path / "a", tmp_path / "elsewhere")  # nothing of it is needed
    saved = kept(tmp_path / ("elsewhere" if with_sets else "a"))
    new = corpus("b", 150, 2)
    report = run(write(tmp_path / "b.jsonl", new), tmp_path / "b", workers, against=index)
    found = evidence(tmp_path / "b")
    assert found == expected(saved, new)
    assert {r["id"] for r in kept(tmp_path / "b")} == {r["id"] for r in new} - set(found)
    mine = {r["id"] for r in saved}
    assert report.counts["against"] == sum(kept_id in mine for kept_id, _, _ in found.values()) > 20
    assert {rule for _, _, rule in found.values()} == {"exact", "minhash"}


def test_an_index_grows_part_by_part_and_each_part_removes(tmp_path: Path, first: tuple[Path, Path]):
    output, index = first
    run(write(tmp_path / "b.jsonl", corpus("b", 120, 2)), tmp_path / "b", against=index, save_index=index)
    assert [p.documents for p in indexfile.load_parts(index, DedupConfig(**SETTINGS))] == [
        len(kept(output)),
        len(kept(tmp_path / "b")),
    ]
    new = corpus("c", 120, 3)
    run(write(tmp_path / "c.jsonl", new), tmp_path / "c", against=index)
    assert evidence(tmp_path / "c") == expected(kept(output) + kept(tmp_path / "b"), new)


def test_the_grown_index_may_lie_elsewhere_and_the_old_one_stays(tmp_path: Path, first: tuple[Path, Path]):
    output, index = first
    before = {p.name: p.read_bytes() for p in index.iterdir()}
    path = write(tmp_path / "b.jsonl", corpus("b", 80, 2))
    run(path, tmp_path / "b", against=index, save_index=tmp_path / "deep" / "larger")
    assert {p.name: p.read_bytes() for p in index.iterdir()} == before
    new = corpus("c", 80, 3)
    run(write(tmp_path / "c.jsonl", new), tmp_path / "c", against=tmp_path / "deep" / "larger")
    assert evidence(tmp_path / "c") == expected(kept(output) + kept(tmp_path / "b"), new)


def test_the_same_command_again_finds_itself_done_and_does_not_remove_its_own_documents(
    tmp_path: Path, first: tuple[Path, Path]
):
    _, index = first
    path = write(tmp_path / "b.jsonl", corpus("b", 100, 2))
    assert not run(path, tmp_path / "b", against=index, save_index=index).current
    files = {p: p.read_bytes() for p in [*index.glob("*.idx"), index / "index.json", *(tmp_path / "b").glob("docs-*")]}
    assert run(path, tmp_path / "b", against=index, save_index=index).current
    (tmp_path / "b" / "manifest.json").unlink()  # as if it had been killed in its last moment
    assert not run(path, tmp_path / "b", against=index, save_index=index).current
    assert {p: p.read_bytes() for p in files} == files
    assert len(list(index.glob("*.idx"))) == 2


def test_an_index_that_was_lost_is_saved_again(tmp_path: Path, first: tuple[Path, Path]):
    output, index = first
    shutil.rmtree(index)
    assert not run(tmp_path / "a.jsonl", output, save_index=index).current
    assert len(indexfile.load_parts(index, DedupConfig(**SETTINGS))) == 1


def test_any_number_of_workers_saves_the_same_index(tmp_path: Path, first: tuple[Path, Path]):
    output, index = first
    before = {p.name: p.read_bytes() for p in index.iterdir()}
    shutil.rmtree(index)
    shutil.rmtree(output)
    run(tmp_path / "a.jsonl", output, workers=3, save_index=index)
    assert {p.name: p.read_bytes() for p in index.iterdir()} == before


def test_index_and_shards_can_move_together(tmp_path: Path, first: tuple[Path, Path]):
    output, index = first
    saved = kept(output)
    (tmp_path / "moved").mkdir()
    shutil.move(output, tmp_path / "moved" / "a")
    shutil.move(index, tmp_path / "moved" / "index")
    new = corpus("b", 60, 2)
    run(write(tmp_path / "b.jsonl", new), tmp_path / "b", against=tmp_path / "moved" / "index")
    assert evidence(tmp_path / "b") == expected(saved, new)


def test_named_inputs_and_parquet_can_be_indexed(tmp_path: Path):
    one, two = corpus("x", 60, 1), corpus("y", 60, 2)
    inputs = expand([f"x={write(tmp_path / 'x.jsonl', one)}", f"y={write(tmp_path / 'y.jsonl', two)}"])
    config = DedupConfig(**SETTINGS, form="parquet")
    dedup(inputs, tmp_path / "xy", config, RunSettings(workers=1), save_index=tmp_path / "index")
    gone = evidence(tmp_path / "xy")
    saved = [r for r in [*one, *two] if r["id"] not in gone]
    new = corpus("b", 60, 3)
    run(write(tmp_path / "b.jsonl", new), tmp_path / "b", against=tmp_path / "index")
    assert evidence(tmp_path / "b") == expected(saved, new)


def test_only_exact_copies_need_no_shards(tmp_path: Path, first: tuple[Path, Path]):
    output, index = first
    saved = {r["text"] for r in kept(output)}
    shutil.rmtree(output)
    new = [*corpus("b", 100, 2), {"id": "same", "text": next(t for t in saved if len(t) > 20), "source": "web"}]
    run(write(tmp_path / "b.jsonl", new), tmp_path / "b", against=index, exact_only=True)
    assert evidence(tmp_path / "b")["same"][1:] == (1.0, "exact")


def test_an_index_of_other_settings_is_refused_with_the_settings_to_give(tmp_path: Path, first: tuple[Path, Path]):
    _, index = first
    path = write(tmp_path / "b.jsonl", corpus("b", 10, 2))
    (part,) = index.glob("*.idx")
    bands, rows = DedupConfig(**SETTINGS).shape
    with pytest.raises(ConfigError) as caught:
        run(path, tmp_path / "b", against=index, bands=4, rows=3, width=4)
    assert str(caught.value) == (
        f"{part}: the index was made with bands {bands} and not 4, rows {rows} and not 3, width 5 and not 4; "
        f"give --set width=5 --set bands={bands} --set rows={rows}, or save a new index"
    )
    assert not (tmp_path / "b" / "manifest.json").exists()


def test_shards_that_are_gone_are_refused_and_an_estimate_is_marked(tmp_path: Path, first: tuple[Path, Path]):
    output, index = first
    saved = kept(output)
    (part,) = index.glob("*.idx")
    shutil.rmtree(output)
    new = corpus("b", 120, 2)
    path = write(tmp_path / "b.jsonl", new)
    with pytest.raises(ConfigError) as caught:
        run(path, tmp_path / "b", against=index)
    assert str(caught.value) == (
        f"{part}: expected the shards of the saved documents in {output}, found them gone or changed; "
        "put them back, save the index with --index-with-sets, or give --estimate to remove without verifying"
    )
    run(path, tmp_path / "b", against=index, estimate=True)
    found = evidence(tmp_path / "b")
    mine = {r["id"] for r in saved}
    guessed = {r for r, (k, _, rule) in found.items() if rule == "minhash_estimated" and k in mine}
    assert len(guessed) > 20
    assert {rule for k, _, rule in found.values() if k in mine} == {"exact", "minhash_estimated"}
    truly = {r for r, (k, _, rule) in expected(saved, new).items() if k in mine and rule == "minhash"}
    assert len(guessed & truly) > 0.8 * len(guessed | truly)


def test_shards_with_other_documents_are_noticed(tmp_path: Path, first: tuple[Path, Path]):
    output, index = first
    shards = sorted(output.glob("docs-*"))
    for shard in shards:
        raw = decoded(shard)
        size = shard.stat().st_size
        made = zstandard.ZstdCompressor(1).compress(b"".join(reversed(raw.splitlines(keepends=True))))
        shard.write_bytes(made.ljust(size, b"\0") if len(made) <= size else made)
    part = indexfile.load_parts(index, DedupConfig(**SETTINGS))[0]
    sizes = [path.stat().st_size for path in shards]
    listed = [{**shard, "size": size} for shard, size in zip(part.header["shards"], sizes, strict=True)]
    header = {**part.header, "shards": listed}
    columns = [indexfile.Column(*c) for c in header.pop("columns")]
    values = {c.name: part.column(c.name).copy() for c in columns}
    with indexfile.write_part(part.path, header, columns) as writer:
        for name, array in values.items():
            writer.add(name, array)
    with pytest.raises(CorpusError, match="expected the documents that the index was made of, found others"):
        run(write(tmp_path / "b.jsonl", corpus("b", 120, 2)), tmp_path / "b", against=index)


def test_an_index_of_other_documents_is_not_replaced(tmp_path: Path, first: tuple[Path, Path]):
    _, index = first
    with pytest.raises(ConfigError) as caught:
        run(write(tmp_path / "b.jsonl", corpus("b", 10, 2)), tmp_path / "b", save_index=index)
    assert str(caught.value) == (
        f"{index}: holds an index of other documents; give --against {index} as well to extend it, "
        "or save to another folder"
    )


@given(
    column=st.lists(st.integers(0, 40), max_size=60).map(sorted),
    keys=st.lists(st.integers(0, 40), max_size=30).map(sorted),
    block=st.integers(1, 7),
)
def test_keys_are_found_in_a_column_wherever_they_occur(column: list[int], keys: list[int], block: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(against, "_BLOCK", block)
        pairs = list(against.occurrences(np.array(column, np.uint64), np.array(keys, np.uint64)))
    found = [(at, row) for ats, rows in pairs for at, row in zip(ats.tolist(), rows.tolist(), strict=True)]
    assert found == [(at, row) for at, key in enumerate(keys) for row, one in enumerate(column) if one == key]


@pytest.mark.parametrize("kind", ["copies", "bands"])
def test_a_few_documents_are_looked_up_in_a_large_index_without_going_through_it(tmp_path: Path, kind: str):
    size, every = 1_000_000, 100_000
    saved = np.arange(size, dtype=np.uint64) * np.uint64(1 << 40)
    names = {"copies": ("key", "rest"), "bands": ("values", "holders")}[kind]
    types = {"key": "<u8", "rest": "<u8", "values": "<u8", "holders": "<u4"}
    with indexfile.write_part(
        tmp_path / "p.idx", {}, [indexfile.Column(name, types[name], size) for name in names]
    ) as part:
        part.add(names[0], saved)
        part.add(names[1], np.arange(size))
    numbering = records.Numbering.of([size // every])
    more: dict[str, Any] = {"source": tmp_path, "target": tmp_path, "numbering": numbering, "memory": 1}
    task: Any = against.FindKnownCopies(parts=(tmp_path / "p.idx",), **more)
    if kind == "bands":
        task = against.FindKnownBands(parts=(tmp_path / "p.idx",), pairs=(False,), remembered=1, **more)
    rows = np.zeros(size // every, records.COPIES if kind == "copies" else records.BANDS)
    rows["key"], rows["index"] = saved[::every], np.arange(rows.size)
    if kind == "copies":
        rows["rest"] = np.arange(size)[::every]
        rows["rest"][1] += 1  # of another document
    nothing = np.zeros(0, np.uint8), np.zeros(rows.size + 1, np.int64)
    tracemalloc.start()
    found = task.work(Partition(rows, *nothing))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    expected = np.arange(size)[::every].tolist()
    if kind == "copies":
        assert found["numbers0"].tolist() == [expected[0], *expected[2:]]
    else:
        assert (found["values0"].tolist(), found["holders0"].tolist()) == (saved[::every].tolist(), expected)
    assert most < size / 10  # not even a bit for each of its documents


def test_saved_documents_are_read_whatever_their_size(
    tmp_path: Path, first: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    """The usual limit of a record is 256 MiB; a millionth of it stands for it."""
    output, index = first
    read_span = against.read_span

    def with_a_millionth(span: Any, options: ReadOptions, problems: Problems) -> Any:
        return read_span(span, replace(options, max_record_bytes=max(options.max_record_bytes >> 20, 1)), problems)

    monkeypatch.setattr(against, "read_span", with_a_millionth)
    assert max(len(r["text"]) for r in kept(output)) > ReadOptions().max_record_bytes >> 20
    new = corpus("b", 60, 2)
    run(write(tmp_path / "b.jsonl", new), tmp_path / "b", against=index)
    assert evidence(tmp_path / "b") == expected(kept(output), new)


def test_an_index_is_not_saved_where_something_else_lies(tmp_path: Path, first: tuple[Path, Path]):
    output, _ = first
    path = write(tmp_path / "b.jsonl", corpus("b", 40, 2))
    tokens = tmp_path / "tok"
    tokens.mkdir()
    (tokens / "tokens.idx").write_bytes(b"MMIDIDX")
    own = "give the index a folder of its own"
    for index, found in (
        (tmp_path / "b", "the shards of this run go there"),
        (tmp_path / "b" / "removed", "the shards of this run go there"),
        (output, "expected an index or a new folder, found the output of another step"),
        (tokens, "expected an index or a new folder, found tokens.idx, which is of another kind"),
    ):
        before = {p: p.read_bytes() for p in tmp_path.rglob("*.idx")}
        with pytest.raises(ConfigError) as caught:
            run(path, tmp_path / "b", save_index=index)
        assert str(caught.value) == f"--save-index {index}: {found}; {own}"
        assert {p: p.read_bytes() for p in tmp_path.rglob("*.idx")} == before
    assert not (tmp_path / "b").exists()


def test_parts_that_are_replaced_go_and_no_other_file_of_the_index(tmp_path: Path, first: tuple[Path, Path]):
    output, index = first
    (old,) = index.glob("*.idx")
    shutil.copy(old, index / "backup.idx")
    run(write(tmp_path / "a.jsonl", corpus("a", 60, 5)), output, save_index=index)
    (new,) = indexfile.load_parts(index, DedupConfig(**SETTINGS))
    assert {p.name for p in index.iterdir()} == {"index.json", "backup.idx", new.path.name}
    assert new.path != old


def test_a_second_run_waits_for_its_turn_to_extend_an_index(
    tmp_path: Path, first: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    _, index = first
    one, two = (write(tmp_path / f"{name}.jsonl", corpus(name, 60, seed)) for name, seed in (("b", 2), ("c", 3)))
    decide = phases.Phases.decide

    def meanwhile(self: phases.Phases) -> None:
        with monkeypatch.context() as patch, pytest.raises(OutputError) as caught:
            patch.setattr(phases.Phases, "decide", decide)
            run(two, tmp_path / "c", against=index, save_index=index)
        assert str(caught.value) == (
            f"{index}: another megadata run is writing here; wait for it or choose another --save-index"
        )
        decide(self)

    with monkeypatch.context() as patch:
        patch.setattr(phases.Phases, "decide", meanwhile)
        run(one, tmp_path / "b", against=index, save_index=index)
    run(two, tmp_path / "c", against=index, save_index=index)
    assert len(indexfile.load_parts(index, DedupConfig(**SETTINGS))) == 3
    assert not (index / ".lock").exists()


def test_a_run_that_fails_leaves_no_empty_index(tmp_path: Path):
    path = write(tmp_path / "b.jsonl", corpus("b", 10, 2))
    with pytest.raises(CorpusError, match="expected an index, found none"):
        run(path, tmp_path / "b", against=tmp_path / "none", save_index=tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_what_is_no_index_is_refused(tmp_path: Path, first: tuple[Path, Path]):
    _, index = first
    path = write(tmp_path / "b.jsonl", corpus("b", 10, 2))
    empty = tmp_path / "empty"
    with pytest.raises(CorpusError) as caught:
        run(path, tmp_path / "b", against=empty)
    assert str(caught.value) == (
        f"{empty}: expected an index, found none; make one with `megadata dedup INPUT... -o DIR --save-index {empty}`"
    )
    (part,) = index.glob("*.idx")
    whole = part.read_bytes()
    part.write_bytes(whole[:-1])
    with pytest.raises(
        CorpusError, match=rf"expected {len(whole)} bytes, found {len(whole) - 1}; save the index again"
    ):
        run(path, tmp_path / "b", against=index)
    part.write_bytes(b"MDDEDUP\0" + (formats.VERSIONS["dedup_index"] + 1).to_bytes(4, "little") + whole[12:])
    with pytest.raises(CorpusError, match="upgrade megadata or save the index again"):
        run(path, tmp_path / "b", against=index)
    part.write_bytes(b"x" * 100)
    with pytest.raises(CorpusError, match="expected a part of a deduplication index, found another kind of file"):
        run(path, tmp_path / "b", against=index)


@pytest.mark.parametrize("where", ["_near", "write", "save_part"])
def test_a_run_that_is_stopped_goes_on_to_the_same_bytes(
    tmp_path: Path, first: tuple[Path, Path], where: str, monkeypatch: pytest.MonkeyPatch
):
    _, index = first
    copy = tmp_path / "copy"
    shutil.copytree(index, copy)
    path = write(tmp_path / "b.jsonl", corpus("b", 100, 2))
    run(path, tmp_path / "whole", against=index, save_index=tmp_path / "whole-index")

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(phases.Phases, where, stop)
        with pytest.raises(KeyboardInterrupt):
            run(path, tmp_path / "b", against=index, save_index=index)
    run(path, tmp_path / "b", against=index, save_index=index)
    for name in ("docs-00000.jsonl.zst", "duplicates.parquet", "keys.idx"):
        assert (tmp_path / "b" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert len(indexfile.load_parts(index, DedupConfig(**SETTINGS))) == 2


def test_explain_tells_a_document_of_the_index_from_the_one_it_removed_by_the_same_id(tmp_path: Path):
    words = [f"w{i}" for i in range(60)]
    index, old = tmp_path / "index", {"id": "page", "text": " ".join([*words, "tail"])}
    run(write(tmp_path / "a.jsonl", [old]), tmp_path / "a", save_index=index)
    run(write(tmp_path / "b.jsonl", [{"id": "page", "text": " ".join(words)}]), tmp_path / "b", against=index)
    assert explain(tmp_path / "b", "page").splitlines() == [
        "page was removed (minhash): similarity 0.9825 to page, which stands for 2 documents.",
        "That document is in the index of --against, and not in " + str(tmp_path / "b") + ".",
    ]
    assert explain(tmp_path / "a", "page") == "page is kept; nothing was removed for it."
