"""`clean` as a whole: what is kept, what is set aside and why, ids, forms of output, and looking a document up."""

from __future__ import annotations

import random
import re
import zipfile
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pipelines import text

from megadata.corpus import finish as module
from megadata.corpus.clean import CleanConfig, CleanReport, clean
from megadata.documents.fields import listed
from megadata.documents.ids import find
from megadata.documents.inputs import expand
from megadata.errors import ConfigError, CorpusError
from megadata.pipeline.why import why
from megadata.runtime.settings import RunSettings
from megadata.runtime.streams import open_decoded

GOOD = text(random.Random(1), 120)


def put(path: Path, *records: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(r if isinstance(r, bytes) else orjson.dumps(r) + b"\n" for r in records))
    return path


def run(tmp_path: Path, *inputs: object, workers: int = 1, **config) -> CleanReport:
    given = expand([str(i) for i in inputs])
    return clean(given, tmp_path / "out", CleanConfig(**config), RunSettings(workers=workers))


def shard_lines(folder: Path) -> list[dict]:
    lines = []
    for path in sorted(folder.glob("docs-*.jsonl.zst")):
        with open_decoded(str(path)) as stream:
            lines += [orjson.loads(line) for line in stream]
    return lines


def test_documents_in_are_documents_kept_removed_and_unreadable(tmp_path):
    path = put(
        tmp_path / "a.jsonl",
        {"id": "good", "text": GOOD},
        {"id": "short", "text": "Too few."},
        b'{"id": "half\n',
        {"id": "mojibake", "text": GOOD + " It\u00e2\u20ac\u2122s here."},
    )
    report = run(tmp_path, path, rules="web")
    kept, removed = shard_lines(tmp_path / "out"), shard_lines(tmp_path / "out" / "removed")
    assert [d["id"] for d in kept] == ["good", "mojibake"]
    assert kept[1]["text"].endswith(" It\u2019s here.")
    assert kept[0]["metadata"] == {"path": "a.jsonl"}
    assert [d["id"].split(":")[0] for d in removed] == ["short", "a.jsonl"]
    assert removed[0]["text"] == "Too few."
    assert removed[1]["reason"] == "unreadable.bad_json"
    assert (report.total("documents_in"), report.total("documents_kept"), report.total("unreadable")) == (3, 2, 1)
    assert [row[1] for row in report.reasons()] == [1]


def test_removed_documents_may_be_kept_as_ids_or_not_at_all(tmp_path):
    path = put(tmp_path / "a.jsonl", {"id": "good", "text": GOOD}, {"id": "short", "text": "Too few."})
    run(tmp_path / "ids", path, rules="web", removed="ids")
    assert [(d["id"], d["text"]) for d in shard_lines(tmp_path / "ids/out/removed")] == [("short", "")]
    run(tmp_path / "none", path, rules="web", removed="none")
    assert not (tmp_path / "none/out/removed").exists()


def test_ids_that_repeat_are_qualified_by_their_paths(tmp_path):
    for name in ("one", "two"):
        put(tmp_path / "in" / f"{name}.jsonl", {"id": "a", "text": f"{GOOD} {name}"}, {"id": name, "text": GOOD})
    put(tmp_path / "in" / "twice.jsonl", {"id": "b", "text": GOOD + "x"}, {"id": "b", "text": GOOD + "y"})
    report = run(tmp_path, tmp_path / "in")
    assert [d["id"] for d in shard_lines(tmp_path / "out")] == [
        "one.jsonl:a",
        "one",
        "twice.jsonl:b",
        "twice.jsonl:b#1",
        "two.jsonl:a",
        "two",
    ]
    assert report.total("ids_qualified") == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_a_document_is_found_by_its_id_without_a_scan(tmp_path, workers):
    records = [{"id": f"d{i}", "text": f"{GOOD} This is {i}."} for i in range(300)] + [{"id": "bad", "text": "x"}]
    path = put(tmp_path / "a.jsonl", *records)
    run(tmp_path, path, rules="web", unit_bytes=5000, shard_bytes=40_000, workers=workers)
    assert len(list((tmp_path / "out").glob("docs-*.zst"))) > 3
    for i in (0, 7, 299):
        ((stream, record),) = find(tmp_path / "out", f"d{i}")
        assert (stream, record["text"]) == ("kept", f"{GOOD} This is {i}.")
        assert record["id"] == f"d{i}"
    (verdict,) = why("bad", tmp_path)
    assert re.match(r"removed: \w+\.\w+ \(value \d", verdict.verdict)
    with pytest.raises(CorpusError, match=r"nobody: no output in .* knows a document of this id, URL or path"):
        why("nobody", tmp_path)


def test_a_document_is_found_by_its_url_or_file_as_well(tmp_path):
    path = put(tmp_path / "a.jsonl", {"id": "x", "text": GOOD, "url": "http://here/"}, {"id": "y", "text": GOOD + "."})
    run(tmp_path, path)
    assert [v.record["id"] for v in why("http://here/", tmp_path)] == ["x"]
    assert [v.record["id"] for v in why("a.jsonl", tmp_path)] == ["x", "y"]


def test_parquet_shards_hold_the_same_documents(tmp_path):
    path = put(
        tmp_path / "a.jsonl", *({"id": f"d{i}", "text": GOOD + str(i), "url": f"http://x/{i}"} for i in range(50))
    )
    run(tmp_path / "lines", path, unit_bytes=4000)
    run(tmp_path / "table", path, unit_bytes=4000, form="parquet")
    table = pq.read_table(tmp_path / "table/out/docs-00000.parquet").to_pylist()
    lines = shard_lines(tmp_path / "lines/out")
    assert [(r["id"], r["text"], r["source"], r["url"]) for r in table] == [
        (r["id"], r["text"], r["source"], r["url"]) for r in lines
    ]
    again = clean(
        expand([str(tmp_path / "table/out")]), tmp_path / "again", CleanConfig(rules="none"), RunSettings(workers=1)
    )
    assert again.total("documents_kept") == 50


def test_the_output_of_clean_is_an_input(tmp_path):
    path = put(tmp_path / "a.jsonl", {"id": "good", "text": GOOD}, {"id": "short", "text": "Too few."})
    run(tmp_path, path, rules="web")
    again = clean(expand([str(tmp_path / "out")]), tmp_path / "again", CleanConfig(rules="web"), RunSettings(workers=1))
    assert again.total("documents_in") == 1
    assert shard_lines(tmp_path / "again") == shard_lines(tmp_path / "out")


def test_an_unfinished_output_is_no_input(tmp_path):
    (tmp_path / "out" / ".megadata").mkdir(parents=True)
    with pytest.raises(CorpusError, match="the step that writes here is not finished; run its command again first"):
        expand([str(tmp_path / "out")])


def test_nothing_readable_still_makes_a_finished_output(tmp_path):
    path = put(tmp_path / "a.jsonl", b"not json\n")
    report = run(tmp_path, path)
    assert (report.total("documents_in"), report.total("unreadable")) == (0, 1)
    assert (tmp_path / "out" / "manifest.json").exists()


def test_an_input_that_grew_after_a_kill_loses_nothing(tmp_path, monkeypatch):
    rows = [{"id": f"d{i}", "text": f"{GOOD} This is {i}."} for i in range(24)]
    path = put(tmp_path / "a.jsonl", *rows[:16])
    size = path.stat().st_size // 4

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "publish", die)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, path, unit_bytes=size)
    put(path, *rows)
    run(tmp_path, path, unit_bytes=size)
    assert [d["id"] for d in shard_lines(tmp_path / "out")] == [f"d{i}" for i in range(24)]


def test_an_output_below_its_input_is_not_read_back(tmp_path):
    path = put(tmp_path / "data" / "a.jsonl", {"id": "good", "text": GOOD})
    for _ in range(2):
        inputs = expand([str(path.parent)], exclude=path.parent / "out")
        report = clean(inputs, path.parent / "out", CleanConfig(rules="none"), RunSettings(workers=1))
        assert report.total("documents_in") == 1
    assert report.current


def test_an_output_is_never_written_over_its_own_input(tmp_path):
    run(tmp_path, put(tmp_path / "a.jsonl", {"id": "good", "text": GOOD}))
    with pytest.raises(
        ConfigError, match=r"out: holds docs-00000\.jsonl\.zst, which is one of the inputs; write to another"
    ):
        clean(expand([str(tmp_path / "out")]), tmp_path / "out", CleanConfig(), RunSettings(workers=1))
    assert [d["id"] for d in shard_lines(tmp_path / "out")] == ["good"]


def test_a_folder_of_outputs_stands_for_what_they_kept(tmp_path):
    path = put(tmp_path / "a.jsonl", {"id": "good", "text": GOOD}, {"id": "short", "text": "Too few."})
    run(tmp_path / "all", path, rules="web")
    assert [f.name for f in expand([str(tmp_path / "all")]).files] == ["out/docs-00000.jsonl.zst"]


def tables(folder: Path) -> Path:
    """A folder with one file of texts and three that hold none, whole or a member of an archive."""
    put(folder / "good.jsonl", {"id": "good", "text": GOOD})
    put(folder / "a.tsv", b"pair\tjaccard\n1\t0.5\n")
    put(folder / "utf16.csv", "text,n\nhello,1\n".encode("utf-16"))
    pq.write_table(pa.table({"n": list(range(100_000))}), folder / "b.parquet", row_group_size=1000)
    with zipfile.ZipFile(folder / "c.zip", "w") as archive:
        archive.writestr("inside.csv", "name,n\nx,1\n")
        archive.writestr("inside.txt", GOOD)
    return folder


def test_tables_without_text_below_a_folder_are_set_aside_once_each_and_the_rest_is_read(tmp_path):
    report = run(tmp_path, tables(tmp_path / "in"), rules="none", unit_bytes=1 << 14)
    assert report.total("documents_in") == 2
    assert report.of("unreadable", "text|no_text_field") == 3
    assert report.of("unreadable", "text|not_utf8") == 1
    removed = {d["id"]: d["metadata"]["detail"] for d in shard_lines(tmp_path / "out/removed")}
    assert removed["a.tsv"].startswith("expected a text column 'text', found columns pair, jaccard; name it with")
    assert removed["b.parquet"] == "expected a text column 'text', found columns n; name it with --text-field"
    assert set(removed) == {"a.tsv", "b.parquet", "c.zip/inside.csv", "utf16.csv"}


def test_a_table_without_text_that_is_named_or_alone_ends_the_run(tmp_path):
    folder = tables(tmp_path / "in")
    for number, name in enumerate(("a.tsv", "b.parquet", "utf16.csv")):
        with pytest.raises(CorpusError, match=rf"^{name}: expected "):
            run(tmp_path / str(number), folder / name, rules="none")
    for name in ("good.jsonl", "c.zip"):
        (folder / name).unlink()
    with pytest.raises(CorpusError, match=r"^a\.tsv: expected a text column 'text', found columns pair, jaccard; "):
        run(tmp_path / "all", folder, rules="none")


def test_long_and_many_names_of_columns_are_told_in_short():
    assert listed(["a" * 100, *"bc"]) == "a" * 40 + "..., b, c"
    assert listed([str(n) for n in range(30)]).endswith("18, 19 and 10 more")
