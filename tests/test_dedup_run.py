"""The whole of `dedup`: equal to its definition, for any workers, memory, kill and order of files."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
import zstandard

from megadata.corpus.dedup import DedupConfig, DedupReport, dedup, explain, find_duplicates, ranges, verdicts
from megadata.corpus.dedup.run import VERSION
from megadata.documents.batch import DocBatch
from megadata.documents.ids import find
from megadata.documents.inputs import expand
from megadata.errors import ConfigError
from megadata.runtime import exchange, receipts, shards
from megadata.runtime.exchange import Exchange
from megadata.runtime.manifest import Manifest
from megadata.runtime.settings import RunSettings

Record = dict[str, Any]
SMALL_UNITS = 6_000


def corpus(count: int = 260, seed: int = 7) -> list[Record]:
    """Documents in families of near and exact copies, with short and empty ones among them."""
    rng = random.Random(seed)
    bases = [[f"w{rng.randrange(3000)}" for _ in range(rng.randrange(30, 90))] for _ in range(count // 6 + 1)]
    records: list[Record] = []
    for number in range(count):
        words = list(rng.choice(bases))
        for _ in range(rng.randrange(0, 4)):
            words[rng.randrange(len(words))] = f"w{rng.randrange(3000)}"
        text = (
            rng.choice(["", "short", "Short.", "五个字很短", " ".join(words[:3])])
            if rng.random() < 0.1
            else " ".join(words)
        )
        source = rng.choice(["web", "books"])
        records.append({"id": f"id-{number:04d}", "text": text, "source": source, "metadata": {"n": number}})
    return records


def write(path: Path, records: list[Record]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(orjson.dumps(r, option=orjson.OPT_APPEND_NEWLINE) for r in records))
    return path


def run(inputs: list[Path | str], output: Path, workers: int = 1, **changes: Any) -> DedupReport:
    config = DedupConfig(**{"unit_bytes": SMALL_UNITS, "shard_bytes": 30_000, "threshold": 0.7, **changes})
    return dedup(expand([str(i) for i in inputs]), output, config, RunSettings(workers=workers))


def read(folder: Path) -> list[Record]:
    lines: list[Record] = []
    for shard in sorted(folder.glob("docs-*.jsonl.zst")):
        with zstandard.open(shard, "rb") as file:
            lines += [orjson.loads(line) for line in file.read().splitlines()]
    return lines


def tree(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file() and ".megadata" not in p.parts)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def evidence(folder: Path) -> list[Record]:
    rows: list[Record] = pq.read_table(folder / "duplicates.parquet").to_pylist()
    return rows


def expected(records: list[Record], **changes: Any) -> set[tuple[str, str, float, str]]:
    docs = DocBatch.of([r["id"] for r in records], [r["text"] for r in records], [r["source"] for r in records])
    found = find_duplicates(docs, DedupConfig(**{"threshold": 0.7, **changes})).duplicates
    return {(docs.ids[d.removed], docs.ids[d.kept], d.similarity, d.rule) for d in found}


@contextmanager
def many_ranges(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Key ranges of the least size there is, as if memory were scarce."""
    whole = Exchange.ranges
    with monkeypatch.context() as patch:
        patch.setattr(Exchange, "ranges", lambda self, memory, workers, least=1: whole(self, 0, 1))
        yield


def test_the_driver_finds_what_the_definition_finds(tmp_path: Path):
    records = corpus()
    report = run([write(tmp_path / "in.jsonl", records)], tmp_path / "out")
    rows = evidence(tmp_path / "out")
    assert {(r["removed_id"], r["kept_id"], r["similarity"], r["rule"]) for r in rows} == expected(records)
    removed = {r["removed_id"]: r for r in rows}
    assert [r["id"] for r in read(tmp_path / "out")] == [r["id"] for r in records if r["id"] not in removed]
    assert sum(row.documents for row in report.rows()) == len(records)
    assert sum(row.exact + row.near for row in report.rows()) == len(removed) > 50
    assert {row.source for row in report.rows()} == {"web", "books"}


def test_the_result_for_a_fixed_corpus_is_the_one_this_version_of_the_step_stands_for(tmp_path: Path):
    """When this fails on purpose, raise VERSION in run.py with it: outputs of the old and new code must not be mixed."""
    run([write(tmp_path / "in.jsonl", corpus())], tmp_path / "out", threshold=0.8)
    lines = [read(tmp_path / "out"), read(tmp_path / "out/removed"), evidence(tmp_path / "out")]
    assert VERSION == "3"
    assert hashlib.sha256(orjson.dumps(lines)).hexdigest()[:16] == "2f4ba14fd8fe55f2"
    shards = b"".join(path.read_bytes() for path in sorted((tmp_path / "out").rglob("docs-*")))
    assert hashlib.sha256(shards).hexdigest()[:16] == "08f886bc93642a47"  # with the compressor of constraints.txt


def test_kept_documents_are_unchanged_but_for_the_size_of_their_cluster(tmp_path: Path):
    records = corpus()
    run([write(tmp_path / "in.jsonl", records)], tmp_path / "out")
    originals = {r["id"]: r for r in records}
    rows = evidence(tmp_path / "out")
    sizes = {r["kept_id"]: 1 + sum(other["kept_id"] == r["kept_id"] for other in rows) for r in rows}
    assert all(r["cluster_size"] == sizes[r["kept_id"]] for r in rows)
    for record in read(tmp_path / "out"):
        original = originals[record["id"]]
        assert (record["text"], record["source"]) == (original["text"], original["source"])
        assert record["metadata"].pop("cluster_size", 1) == sizes.get(record["id"], 1)
        assert record["metadata"] == {**original["metadata"], "path": "in.jsonl"}


def test_removed_documents_are_kept_with_their_reason_and_their_keeper(tmp_path: Path):
    records = corpus()
    run([write(tmp_path / "in.jsonl", records)], tmp_path / "out")
    rows = {r["removed_id"]: r for r in evidence(tmp_path / "out")}
    texts = {r["id"]: r["text"] for r in records}
    removed = read(tmp_path / "out" / "removed")
    assert {r["id"] for r in removed} == set(rows)
    for record in removed:
        row = rows[record["id"]]
        assert record["text"] == texts[record["id"]]
        assert (record["reason"], record["value"]) == (f"dedup.{row['rule']}", row["similarity"])
        assert record["metadata"]["duplicate_of"] == row["kept_id"]


@pytest.mark.parametrize("mode", ["ids", "none"])
def test_texts_of_removed_documents_may_be_left_out(tmp_path: Path, mode: str):
    run([write(tmp_path / "in.jsonl", corpus(60))], tmp_path / "out", removed=mode)
    removed = read(tmp_path / "out" / "removed")
    assert {r["text"] for r in removed} == ({""} if mode == "ids" else set())
    assert evidence(tmp_path / "out")


def test_any_number_of_workers_writes_the_same_bytes(tmp_path: Path):
    path = write(tmp_path / "in.jsonl", corpus())
    for workers in (1, 2, 5):
        run([f"web={path}"], tmp_path / f"out{workers}", workers)
    assert tree(tmp_path / "out1") == tree(tmp_path / "out2") == tree(tmp_path / "out5")
    assert len(tree(tmp_path / "out1")) > 8


def test_scarce_memory_writes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "in.jsonl", corpus(500))
    run([path], tmp_path / "out")
    with many_ranges(monkeypatch):
        run([path], tmp_path / "scarce")
    assert tree(tmp_path / "out") == tree(tmp_path / "scarce")


def test_a_component_that_does_not_fit_in_memory_is_put_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "in.jsonl", corpus(300))
    run([path], tmp_path / "out")
    scratched = []
    whole = exchange._space
    monkeypatch.setattr(exchange, "_space", lambda size, scratch: scratched.append(scratch) or whole(size, scratch))
    monkeypatch.setattr("megadata.corpus.dedup.phases.range_bytes", lambda memory, workers: 0)
    run([path], tmp_path / "disk")
    assert any(scratch is not None and scratch.name == "scratch" for scratch in scratched)
    assert tree(tmp_path / "out") == tree(tmp_path / "disk")


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (receipts, "write_json"),
        (shards, "write_json"),
        (ranges.records, "save_arrays"),
        (verdicts, "atomic_write"),
        (Exchange, "write"),
        (Manifest, "save"),
    ],
)
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
):
    """Each attempt dies a little later, before a file of one kind is written."""
    path = write(tmp_path / "in.jsonl", corpus(120))
    run([f"web={path}"], tmp_path / "whole")
    kills = 0
    for survived in range(100):
        with monkeypatch.context() as patch, many_ranges(monkeypatch):
            patch.setattr(module, name, dies_after(survived, getattr(module, name)))
            try:
                run([f"web={path}"], tmp_path / "killed")
                break
            except Killed:
                kills += 1
    assert kills > 0
    assert tree(tmp_path / "whole") == tree(tmp_path / "killed")


def dies_after(calls: int, function: Any) -> Any:
    left = [calls]

    def limited(*arguments: Any, **named: Any) -> Any:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return function(*arguments, **named)

    return limited


def test_a_changed_input_is_noticed_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = corpus(120)
    path = write(tmp_path / "in.jsonl", first)
    with monkeypatch.context() as patch:
        patch.setattr(shards, "write_json", dies_after(0, shards.write_json))
        with pytest.raises(Killed):
            run([path], tmp_path / "out")
    write(path, [*first[:-1], {**first[-1], "text": first[0]["text"] + " and more"}])
    run([path], tmp_path / "out")
    write(tmp_path / "fresh" / "in.jsonl", orjson_lines(path))
    run([tmp_path / "fresh" / "in.jsonl"], tmp_path / "whole")
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def orjson_lines(path: Path) -> list[Record]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_what_is_done_is_not_done_again(tmp_path: Path):
    path = write(tmp_path / "in.jsonl", corpus(60))
    assert not run([path], tmp_path / "out").current
    again = run([path], tmp_path / "out")
    assert again.current
    assert again.rows() == run([path], tmp_path / "out").rows()
    assert not run([path], tmp_path / "out", threshold=0.9).current


def test_the_order_of_the_files_does_not_matter(tmp_path: Path):
    records = corpus()
    one, other = write(tmp_path / "a.jsonl", records[:130]), write(tmp_path / "b.jsonl", records[130:])
    run([one, other], tmp_path / "ab")
    run([other, one], tmp_path / "ba")
    assert (tmp_path / "ab/duplicates.parquet").read_bytes() == (tmp_path / "ba/duplicates.parquet").read_bytes()
    assert {r["id"] for r in read(tmp_path / "ab")} == {r["id"] for r in read(tmp_path / "ba")}


def test_deduplicating_the_result_removes_nothing_and_changes_no_document(tmp_path: Path):
    run([write(tmp_path / "in.jsonl", corpus())], tmp_path / "out")
    report = run([tmp_path / "out"], tmp_path / "again")
    assert sum(row.exact + row.near for row in report.rows()) == 0
    assert read(tmp_path / "again") == read(tmp_path / "out")


def test_cluster_sizes_add_up_over_several_deduplications(tmp_path: Path):
    records = corpus()
    run([write(tmp_path / "one.jsonl", records[:130])], tmp_path / "one")
    run([write(tmp_path / "two.jsonl", records[130:])], tmp_path / "two")
    run([tmp_path / "one", tmp_path / "two"], tmp_path / "both")
    assert len(read(tmp_path / "both")) < len(read(tmp_path / "one")) + len(read(tmp_path / "two"))
    assert sum(r["metadata"].get("cluster_size", 1) for r in read(tmp_path / "both")) == len(records)


def test_named_inputs_stay_apart_and_the_preferred_one_keeps_its_documents(tmp_path: Path):
    records = corpus()
    web, books = write(tmp_path / "w.jsonl", records[:180]), write(tmp_path / "b.jsonl", records[100:])
    for record in records:
        record["source"] = "other"
    write(books, [{**r, "id": "book-" + r["id"], "text": r["text"][:-1]} for r in records[100:]])
    report = run([f"web={web}", f"books={books}"], tmp_path / "out", prefer=("books", "web"))
    assert [row.source for row in report.rows()] == ["books", "web"]
    rows = evidence(tmp_path / "out")
    for name, prefix in (("web", "id-"), ("books", "book-")):
        kept, removed = read(tmp_path / "out" / name), read(tmp_path / "out" / name / "removed")
        assert kept
        assert removed
        assert {r["id"][: len(prefix)] for r in kept + removed} == {prefix}
        manifest = orjson.loads((tmp_path / "out" / name / "manifest.json").read_bytes())
        assert all((tmp_path / "out" / name / one["name"]).is_file() for one in manifest["outputs"])
        assert next(find(tmp_path / "out" / name, kept[3]["id"]))[0] == "kept"
    assert not any(r["removed_id"].startswith("book-") and r["kept_id"].startswith("id-") for r in rows)
    assert any(r["removed_id"].startswith("id-") and r["kept_id"].startswith("book-") for r in rows)
    again = run([f"web={tmp_path / 'out/web'}", f"books={tmp_path / 'out/books'}"], tmp_path / "again")
    assert sum(row.documents for row in again.rows()) == len(read(tmp_path / "out/web")) + len(
        read(tmp_path / "out/books")
    )


def test_the_folder_of_named_outputs_is_an_input_without_its_removed_documents(tmp_path: Path):
    path = write(tmp_path / "in.jsonl", corpus(80))
    run([f"web={path}"], tmp_path / "out")
    assert [f.name for f in expand([str(tmp_path / "out")]).files] == ["web/docs-00000.jsonl.zst"]


def test_an_input_may_not_be_named_like_the_folder_of_removed_documents(tmp_path: Path):
    path = write(tmp_path / "in.jsonl", corpus(3))
    with pytest.raises(ConfigError, match=r"removed=\.\.\.: the name is taken by the folder of removed documents"):
        run([f"removed={path}"], tmp_path / "out")


def test_the_driver_ranks_by_quality_with_any_number_of_workers(tmp_path: Path):
    rng = random.Random(9)
    records = [{**r, "metadata": {"quality": rng.choice([None, 0.25, 0.5, -1])}} for r in corpus(200)]
    path = write(tmp_path / "in.jsonl", records)
    for workers in (1, 3):
        run([f"web={path}"], tmp_path / f"out{workers}", workers, quality_first=True)
    assert tree(tmp_path / "out1") == tree(tmp_path / "out3")
    metadata = [orjson.dumps(r["metadata"]).decode() for r in records]
    docs = DocBatch.of([r["id"] for r in records], [r["text"] for r in records], "", None, metadata)
    found = find_duplicates(docs, DedupConfig(threshold=0.7, quality_first=True)).duplicates
    rows = evidence(tmp_path / "out1")
    assert {(r["removed_id"], r["kept_id"]) for r in rows} == {(docs.ids[d.removed], docs.ids[d.kept]) for d in found}
    score = {r["id"]: r["metadata"]["quality"] or 0 for r in records}
    assert rows
    assert all(score[r["kept_id"]] >= score[r["removed_id"]] for r in rows)


def test_exact_only_removes_equal_texts_alone(tmp_path: Path):
    records = corpus()
    run([write(tmp_path / "in.jsonl", records)], tmp_path / "out", exact_only=True)
    rows = evidence(tmp_path / "out")
    assert {(r["removed_id"], r["kept_id"], r["similarity"], r["rule"]) for r in rows} == expected(
        records, exact_only=True
    )
    assert {r["rule"] for r in rows} == {"exact"}


def test_repeated_ids_are_qualified_by_their_path_in_documents_and_evidence(tmp_path: Path):
    text = " ".join(f"w{i}" for i in range(50))
    one = write(tmp_path / "a.jsonl", [{"id": 1, "text": text}, {"id": 2, "text": "quite another"}])
    other = write(tmp_path / "b.jsonl", [{"id": 1, "text": text + " tail"}, {"id": 1, "text": "third"}])
    run([one, other], tmp_path / "out")
    assert [r["id"] for r in read(tmp_path / "out")] == ["2", "b.jsonl:1", "b.jsonl:1#1"]
    assert [(r["removed_id"], r["kept_id"]) for r in evidence(tmp_path / "out")] == [("a.jsonl:1", "b.jsonl:1")]
    assert next(find(tmp_path / "out", "b.jsonl:1#1"))[1]["text"] == "third"


def test_unreadable_lines_are_counted_and_set_aside(tmp_path: Path):
    path = write(tmp_path / "in.jsonl", corpus(4))
    path.write_bytes(path.read_bytes() + b'{"id": 7, "text"\n{"id": 8}\n')
    report = run([path], tmp_path / "out")
    assert {k: v for k, v in report.counts.items() if k.startswith("unreadable")} == {
        "unreadable|text|bad_json": 1,
        "unreadable|text|no_text_field": 1,
    }
    assert [r["reason"] for r in read(tmp_path / "out/removed")][-2:] == [
        "unreadable.bad_json",
        "unreadable.no_text_field",
    ]


def test_an_input_of_no_documents_gives_an_output_of_none(tmp_path: Path):
    path = write(tmp_path / "in.jsonl", [])
    report = run([path], tmp_path / "out")
    assert report.rows() == []
    assert evidence(tmp_path / "out") == []


def test_parquet_shards_hold_the_same_documents(tmp_path: Path):
    path = write(tmp_path / "in.jsonl", corpus(80))
    run([path], tmp_path / "lines")
    run([path], tmp_path / "table", form="parquet")
    table = pq.read_table(tmp_path / "table/docs-00000.parquet").to_pylist()
    assert [r["id"] for r in table] == [r["id"] for r in read(tmp_path / "lines")][: len(table)]


def test_explain_shows_both_texts_where_they_differ(tmp_path: Path):
    words = [f"w{i}" for i in range(60)]
    near = [*words[:30], "changed", *words[31:]]
    records = [
        {"id": "long", "text": " ".join([*words, "tail"])},
        {"id": "near", "text": " ".join(near)},
        {"id": "lone", "text": "nothing like the others, not at all"},
    ]
    run([write(tmp_path / "in.jsonl", records)], tmp_path / "out")
    said = explain(tmp_path / "out", "near").splitlines()
    assert said[0] == "near was removed (minhash): similarity 0.8226 to long, which stands for 2 documents."
    assert said[1] == f"... {' '.join(words[22:30])} [-w30-] {{+changed+}} {' '.join(words[31:39])} ..."
    assert said[2] == f"... {' '.join(words[52:])} [-tail-] ..."
    assert explain(tmp_path / "out", "long").splitlines() == [
        "long is kept, and stands for 2 documents:",
        "  near  minhash  similarity 0.8226",
    ]
    assert explain(tmp_path / "out", "lone") == "lone is kept; nothing was removed for it."
    with pytest.raises(ConfigError, match=r"nobody: expected the id of a document in .*, found none"):
        explain(tmp_path / "out", "nobody")


def test_seven_thousand_equal_documents_become_one(tmp_path: Path):
    text = " ".join(f"w{i}" for i in range(40))
    run(
        [write(tmp_path / "in.jsonl", [{"id": f"{i:06d}", "text": text} for i in range(7000)])],
        tmp_path / "out",
        unit_bytes=1 << 20,
    )
    (kept,) = read(tmp_path / "out")
    assert (kept["id"], kept["metadata"]["cluster_size"]) == ("000000", 7000)
    assert len(evidence(tmp_path / "out")) == 6999


def test_planted_duplicates_in_real_text_are_found_as_the_curve_says(tmp_path: Path, real_data: Path):
    lines = (real_data / "jsonl/openwebtext_1000_decoded/owt_000-699.jsonl").read_bytes().splitlines()
    texts = [orjson.loads(line)["text"] for line in lines]
    rng = np.random.default_rng(1)
    records = [{"id": f"own-{i}", "text": text} for i, text in enumerate(texts)]
    for i, text in enumerate(texts):
        words = text.split(" ")
        for at in rng.choice(len(words), max(1, len(words) // 60), replace=False):
            words[at] = "planted"
        records.append({"id": f"copy-{i}", "text": " ".join(words)})
    run([write(tmp_path / "in.jsonl", records)], tmp_path / "out", threshold=0.8, unit_bytes=1 << 20)
    pairs = {tuple(sorted((r["removed_id"], r["kept_id"]))) for r in evidence(tmp_path / "out")}
    planted = sum((f"copy-{i}", f"own-{i}") in pairs for i in range(len(texts)))
    assert planted > 0.9 * len(texts)
    assert all(r["similarity"] >= 0.8 for r in evidence(tmp_path / "out"))


def test_folders_of_inputs_that_are_not_named_any_more_go(tmp_path: Path) -> None:
    records = corpus(60)
    one, two = write(tmp_path / "one.jsonl", records[:30]), write(tmp_path / "two.jsonl", records[30:])
    out = tmp_path / "out"
    run([f"web={one}", f"books={two}"], out)
    (out / "books" / "mine.txt").write_text("kept")
    run([f"web={one}", f"old={two}"], out)
    assert sorted(p.name for p in (out / "books").iterdir()) == ["mine.txt"]
    run([f"web={one}"], out)
    assert not (out / "old").exists()
    run([one], out)
    assert not (out / "web").exists()
    assert (out / "docs-00000.jsonl.zst").exists()
    run([f"web={one}"], out)
    left = sorted(p.name for p in out.iterdir() if not p.name.startswith("."))
    assert left == ["books", "duplicates.parquet", "manifest.json", "stats.json", "web"]
