"""`clean --newest`: of several crawls of one address the newest stays, whatever the files, units, workers and kills."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import orjson
import pytest
from pipelines import contents

from megadata.corpus.clean import CleanConfig, CleanReport, clean
from megadata.documents import settle
from megadata.documents.crawls import UNDATED, moment
from megadata.documents.inputs import expand
from megadata.documents.urls import canonical
from megadata.pipeline.why import why
from megadata.runtime.settings import RunSettings
from megadata.runtime.streams import open_decoded


def put(path: Path, *records: dict[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
    return path


def crawl(name: str, url: str | None, date: str | None, text: str = "") -> dict[str, object]:
    return {"id": name, "text": text or f"text of {name}", "url": url, "metadata": {"date": date} if date else {}}


def run(source: Path, output: Path, workers: int = 1, memory: int = 1 << 30, **config: object) -> CleanReport:
    values: dict[str, object] = {"rules": "none", "newest": True, **config}
    settings = RunSettings(workers=workers)
    object.__setattr__(settings, "memory", memory)  # less than users may give, for many ranges of keys
    return clean(expand([str(source)]), output, CleanConfig(**values), settings)


def lines(folder: Path) -> list[dict]:
    found = []
    for path in sorted(folder.glob("docs-*.jsonl.zst")):
        with open_decoded(str(path)) as stream:
            found += [orjson.loads(line) for line in stream]
    return found


def test_the_newest_crawl_of_an_address_is_kept_across_files(tmp_path: Path) -> None:
    put(
        tmp_path / "in/a.jsonl",
        crawl("a1", "http://x.example/", "2024-05-18T01:58:10Z"),
        crawl("a2", "http://x.example/other", "2023-01-01T00:00:00Z"),
        crawl("a3", None, "2023-01-01T00:00:00Z"),
    )
    put(
        tmp_path / "in/b.jsonl",
        crawl("b1", "https://X.example#top", "2024-05-18T01:58:11Z", "ünique"),
        crawl("b2", "http://x.example:80", "20240518015809"),
        crawl("b3", "http://x.example", None),
        crawl("b4", None, "2023-01-01T00:00:00Z"),
    )
    report = run(tmp_path / "in", tmp_path / "out")
    assert [d["id"] for d in lines(tmp_path / "out")] == ["a2", "a3", "b1", "b4"]
    removed = lines(tmp_path / "out/removed")
    assert [d["id"] for d in removed] == ["a1", "b2", "b3"]
    assert {(d["reason"], d["value"], d["metadata"]["duplicate_of"]) for d in removed} == {
        ("url.older_crawl", None, "b1")
    }
    assert removed[0]["text"] == "text of a1"
    assert report.reasons() == [("url.older_crawl", 3, 30)]
    assert report.total("documents_in") == report.total("documents_kept") + 3
    assert report.total("bytes_in") == report.total("bytes_kept") + 30
    (verdict,) = why("b3", tmp_path / "out")
    assert verdict.verdict == "removed: url.older_crawl, kept instead: b1"
    assert run(tmp_path / "in", tmp_path / "out").current


def test_without_being_asked_all_crawls_stay(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", crawl("a1", "http://x/", "2024-05-18"), crawl("a2", "http://x/", "2024-05-19"))
    assert run(path, tmp_path / "out", newest=False).total("documents_kept") == 2


def test_of_equal_dates_the_least_id_stays_and_then_the_first(tmp_path: Path) -> None:
    put(tmp_path / "in/a.jsonl", crawl("n2", "http://x/", "2024-05-18"), crawl("m", "http://y/", "2024-05-18", "first"))
    put(tmp_path / "in/b.jsonl", crawl("n1", "http://x/", "2024-05-18"), crawl("m", "http://y/", "2024-05-18", "other"))
    run(tmp_path / "in", tmp_path / "out")
    kept, removed = lines(tmp_path / "out"), lines(tmp_path / "out/removed")
    assert [(d["id"], d["text"]) for d in kept] == [("a.jsonl:m", "first"), ("n1", "text of n1")]
    # Ids that others have as well are named as they are in the output.
    assert [(d["id"], d["metadata"]["duplicate_of"]) for d in removed] == [("n2", "n1"), ("b.jsonl:m", "a.jsonl:m")]


def test_what_the_rules_remove_is_no_newer_crawl(tmp_path: Path) -> None:
    path = put(
        tmp_path / "a.jsonl",
        crawl("old", "http://x/", "2023-01-01"),
        crawl("new", "http://x/", "2024-01-01", "Few"),
    )
    (tmp_path / "r.yaml").write_text("rules: 1\nsteps:\n- filter: {label: q, drop: {few: words < 2}}\n")
    run(path, tmp_path / "out", rules=str(tmp_path / "r.yaml"))
    assert [d["id"] for d in lines(tmp_path / "out")] == ["old"]


@pytest.mark.parametrize(("removed", "texts"), [("ids", [""]), ("none", [])])
def test_older_crawls_are_kept_as_removed_documents_are(tmp_path: Path, removed: str, texts: list[str]) -> None:
    path = put(tmp_path / "a.jsonl", crawl("a1", "http://x/", "2024-05-18"), crawl("a2", "http://x/", "2024-05-19"))
    report = run(path, tmp_path / "out", removed=removed)
    assert [d["text"] for d in lines(tmp_path / "out/removed")] == texts
    assert report.reasons() == [("url.older_crawl", 1, 10)]


def random_crawls(folder: Path, seed: int) -> dict[str, str]:
    """Files of crawls; the id that must stay for each canonical address."""
    chance = random.Random(seed)
    best: dict[str, tuple[int, str]] = {}
    for file in range(4):
        rows = []
        for number in range(150):
            name = f"{file}-{number:03d}"
            url = f"http://{chance.choice('abc')}.example/{chance.randrange(60)}{chance.choice(['', '/', '#x'])}"
            date = f"2024-0{chance.randrange(1, 10)}-01"
            rows.append(crawl(name, url, date, " ".join(chance.choices(["some", "words", "of", "a", "page"], k=30))))
            mine = (-moment(date), name)
            key = str(canonical(url))
            best[key] = min(best.get(key, mine), mine)
        put(folder / f"{file}.jsonl", *rows)
    return {key: name for key, (_, name) in best.items()}


@pytest.mark.timeout(120)
def test_any_workers_memory_and_interruption_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = random_crawls(tmp_path / "in", seed=3)
    small = {"unit_bytes": 8000, "shard_bytes": 60_000}
    run(tmp_path / "in", tmp_path / "out", **small)
    expected = contents(tmp_path / "out")
    assert sorted(d["id"] for d in lines(tmp_path / "out")) == sorted(best.values())
    run(tmp_path / "in", tmp_path / "two", workers=2, memory=1 << 20, **small)
    assert contents(tmp_path / "two") == expected

    whole, calls = settle.Settle.__call__, 0

    def stopped(self: settle.Settle, unit: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise KeyboardInterrupt
        return whole(self, unit)  # type: ignore[arg-type]

    monkeypatch.setattr(settle.Settle, "__call__", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "in", tmp_path / "three", **small)
    run(tmp_path / "in", tmp_path / "three", memory=1 << 21, **small)
    assert contents(tmp_path / "three") == expected


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1),
        ("1970-01-01T01:00:01+01:00", 1),
        ("1970-01-01T00:00:01", 1),
        ("19700101000001", 1),
        ("1970-01-02", 86_400),
        ("1970-01-01T00:00:00.25Z", 0.25),
        ("1969-12-31T23:59:59Z", -1),
    ],
)
def test_dates_are_read_in_the_forms_crawlers_write(date: str, seconds: float) -> None:
    assert moment(date) == int(seconds * 1_000_000)


@pytest.mark.parametrize("date", ["", "yesterday", "99999999999999", None, 7, "2024-13-01"])
def test_what_is_no_date_is_older_than_all_dates(date: object) -> None:
    assert moment(date) == UNDATED < np.iinfo(np.int64).min // 4 < moment("0001-01-01")
