"""Lines, paragraphs and sentences that repeat: cut, counted and removed as their definition says."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
import zstandard
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from megadata.cli import cli
from megadata.corpus.dedup import explain, records
from megadata.corpus.dedup.spans import SpanConfig, SpanReport, dedup_spans, frame, run, survey
from megadata.corpus.dedup.spans.config import DEFAULTS
from megadata.corpus.dedup.spans.cut import SEEN, Spans, cut, gathered
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import expand
from megadata.errors import ConfigError
from megadata.runtime.settings import RunSettings

Record = dict[str, Any]
TEXTS = st.lists(st.text(st.sampled_from("ab.!?\n \t\u3002\u4e00\u00e9'\""), max_size=30), max_size=6)


def config_of(mode: str, **changes: Any) -> SpanConfig:
    return SpanConfig(mode=mode, **{**DEFAULTS[mode], **changes})  # type: ignore[arg-type]


def pieces(docs: DocBatch, mode: str) -> list[list[str]]:
    spans = cut(docs, config_of(mode))
    raw, starts = bytes(docs.text), spans.starts
    each = [raw[a:b].decode() for a, b in pairwise(starts)]
    return [each[a:b] for a, b in pairwise(spans.bounds)]


def paragraphs(text: str) -> list[str]:
    """Lines up to the last of a run of blank ones."""
    found: list[str] = []
    blank = False
    for line in text.splitlines(keepends=True):
        if found and not (line.strip() and blank):
            found[-1] += line
        else:
            found.append(line)
            blank = False
        blank = blank or not line.strip()
    return found


@given(texts=TEXTS)
def test_lines_and_paragraphs_are_cut_as_python_cuts_them(texts: list[str]):
    docs = DocBatch.of([str(i) for i in range(len(texts))], texts)
    assert pieces(docs, "lines") == [text.splitlines(keepends=True) for text in texts]
    assert pieces(docs, "paragraphs") == [paragraphs(text) for text in texts]


@given(texts=TEXTS, mode=st.sampled_from(["lines", "paragraphs", "sentences"]))
def test_spans_cover_their_documents(texts: list[str], mode: str):
    docs = DocBatch.of([str(i) for i in range(len(texts))], texts)
    assert ["".join(spans) for spans in pieces(docs, mode)] == texts


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One here. Two there!  Three?", ["One here. ", "Two there!  ", "Three?"]),
        ('He said "Stop." Then he went.', ['He said "Stop." ', "Then he went."]),
        ("Version 3.5 is out. Good", ["Version 3.5 is out. ", "Good"]),
        ("A heading\nA line without an end\n\nAnother.", ["A heading\n", "A line without an end\n\n", "Another."]),
        ("你好。再见！走", ["你好。", "再见！", "走"]),
        ("  \n ", ["  \n "]),
        ("", []),
    ],
)
def test_sentences_end_at_end_marks_and_at_ends_of_lines(text: str, sentences: list[str]):
    assert pieces(DocBatch.of(["a"], [text]), "sentences") == [sentences]


def norm(span: str) -> str:
    return " ".join(span.lower().split())


def by_definition(docs: list[Record], mode: str, config: SpanConfig) -> dict[str, str]:
    """Texts after the removal, of documents whose spans hold nothing but words and blanks."""
    cutters = {"lines": lambda text: text.splitlines(keepends=True), "paragraphs": paragraphs}
    spans = {d["id"]: cutters[mode](d["text"]) for d in docs}
    places: dict[tuple[str, ...], list[tuple[int, int, str]]] = {}
    windows: dict[str, list[tuple[list[int], tuple[str, ...]]]] = {}
    for doc in docs:
        told = [i for i, s in enumerate(spans[doc["id"]]) if norm(s) and len("".join(s.split())) >= config.shortest]
        names = [norm(spans[doc["id"]][i]) for i in told]
        count = max(len(told) - config.window + 1, 0)
        windows[doc["id"]] = [(told[i : i + config.window], tuple(names[i : i + config.window])) for i in range(count)]
        key = int(records.hash_strings(records.names_of(DocBatch.of([doc["id"]], [""]), ["in.jsonl"]))[0])
        for at, (_, window) in enumerate(windows[doc["id"]]):
            places.setdefault(window, []).append((key, at, doc["id"]))
    result = {}
    for doc in docs:
        gone: set[int] = set()
        for at, (members, window) in enumerate(windows[doc["id"]]):
            found = places[window]
            number = len({name for _, _, name in found}) if config.count == "documents" else len(found)
            first = min(found)[1:] == (at, doc["id"])
            if number > config.more_than and not (config.keep_first and first):
                gone.update(members)
        text = "".join(s for i, s in enumerate(spans[doc["id"]]) if i not in gone)
        result[doc["id"]] = text.strip() if gone else text
    return result


def corpus(count: int, seed: int) -> list[Record]:
    rng = random.Random(seed)
    common = [f"common line number {'abcdefghij'[i]}" for i in range(3)]
    docs = []
    for number in range(count):
        lines = [
            rng.choice(common)
            if rng.random() < 0.8
            else f"own words {'abcdefghij'[rng.randrange(10)]} {'xyz' * rng.randrange(1, 20)}"
            for _ in range(rng.randrange(0, 12))
        ]
        blanks = [rng.choice(["\n", "\n\n", "\n\n", " \n \n"]) for _ in lines]
        docs.append({"id": f"d{number:03d}", "text": "".join(a + b for a, b in zip(lines, blanks, strict=True))})
    return docs


def write(path: Path, docs: list[Record]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(orjson.dumps(d, option=orjson.OPT_APPEND_NEWLINE) for d in docs))
    return path


def go(path: Path, output: Path, mode: str, workers: int = 1, **changes: Any) -> SpanReport:
    config = config_of(mode, **{"unit_bytes": 900, "shard_bytes": 2_500, **changes})
    return dedup_spans(expand([str(path)]), output, config, RunSettings(workers=workers))


def lines_of(folder: Path) -> list[Record]:
    found: list[Record] = []
    for shard in sorted(folder.glob("docs-*")):
        with zstandard.open(shard, "rb") as file:
            found += [orjson.loads(line) for line in file.read().splitlines()]
    return found


def tree(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file() and ".megadata" not in p.parts)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


@pytest.mark.parametrize("mode", ["lines", "paragraphs"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"more_than": 1, "keep_first": True, "count": "occurrences"},
        {"more_than": 2, "keep_first": True, "count": "documents"},
        {"more_than": 1, "window": 3, "keep_first": True, "count": "occurrences"},
        {"more_than": 3, "window": 2, "keep_first": False, "shortest": 16},
    ],
)
def test_what_goes_is_what_the_definition_says(tmp_path: Path, mode: str, changes: dict[str, Any]):
    docs = corpus(60, 3)
    report = go(write(tmp_path / "in.jsonl", docs), tmp_path / "out", mode, **changes)
    expected = by_definition(docs, mode, config_of(mode, **changes))
    before = {d["id"]: d["text"] for d in docs}
    assert {d["id"]: d["text"] for d in lines_of(tmp_path / "out")} == {
        name: text for name, text in expected.items() if text or text == before[name]
    }
    gone = lines_of(tmp_path / "out" / "removed")
    assert {d["id"] for d in gone} == {name for name, text in expected.items() if not text and before[name]}
    assert all(d["reason"] == f"dedup.{mode}" and d["text"] == before[d["id"]] for d in gone)
    (row,) = report.rows()
    assert (row.documents, row.kept) == (60, 60 - len(gone))
    assert row.removed == pq.read_table(tmp_path / "out" / "spans.parquet").num_rows > 0


def test_three_sentences_that_are_in_another_document_go_and_two_stay(tmp_path: Path):
    shared = "The old mill stood by the water. Nobody had lived there for years. The wheel had stopped."
    docs = [
        {"id": "a", "text": f"{shared} An ending of its own."},
        {"id": "b", "text": f"A beginning of its own. {shared.upper()}"},
        {"id": "c", "text": " ".join(shared.split(". ")[:2]) + ". Something else. Then the end."},
    ]
    go(write(tmp_path / "in.jsonl", docs), tmp_path / "out", "sentences")
    left = {d["id"]: d["text"] for d in lines_of(tmp_path / "out")}
    first, second = sorted(
        "ab", key=lambda name: records.hash_strings(records.names_of(DocBatch.of([name], [""]), ["in.jsonl"]))[0]
    )
    own = {"a": "An ending of its own.", "b": "A beginning of its own."}
    assert left[first] == next(d["text"] for d in docs if d["id"] == first)
    assert left[second] == own[second]
    assert left["c"] == docs[2]["text"]


def test_the_record_names_each_span_by_its_place_in_the_text_as_it_was(tmp_path: Path):
    docs = corpus(40, 5)
    go(write(tmp_path / "in.jsonl", docs), tmp_path / "out", "lines", more_than=2)
    before = {d["id"]: d["text"].encode() for d in docs}
    rows = pq.read_table(tmp_path / "out" / "spans.parquet").to_pylist()
    assert rows
    counted = Counter(norm(line) for d in docs for line in set(map(norm, d["text"].splitlines())))
    for row in rows:
        assert before[row["id"]][row["start"] : row["stop"]].decode() == row["text"]
        assert row["occurrences"] == counted[norm(row["text"])] > 2
    changed = Counter(row["id"] for row in rows)
    for doc in lines_of(tmp_path / "out"):
        assert doc.get("metadata", {}).get("spans_removed", 0) == changed[doc["id"]]


def test_order_workers_and_units_change_nothing_but_the_order(tmp_path: Path):
    docs = corpus(50, 7)
    path = write(tmp_path / "one" / "in.jsonl", docs)
    turned = write(tmp_path / "two" / "in.jsonl", docs[::-1])
    more: dict[str, Any] = {"more_than": 1, "keep_first": True, "count": "occurrences"}
    go(path, tmp_path / "a", "lines", **more)
    go(path, tmp_path / "b", "lines", workers=3, **more)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    go(turned, tmp_path / "c", "lines", unit_bytes=100_000, **more)
    assert sorted(map(str, lines_of(tmp_path / "a"))) == sorted(map(str, lines_of(tmp_path / "c")))


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize(
    ("module", "name"), [(survey.Exchange, "write"), (run, "atomic_write"), (frame, "publish_outputs")]
)
def test_a_run_that_is_killed_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
):
    path = write(tmp_path / "in.jsonl", corpus(40, 1))
    go(path, tmp_path / "whole", "lines")
    true = getattr(module, name)
    for survive in (0, 2):
        left = survive

        def die(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return true(*arguments, **more)

        with monkeypatch.context() as patch:
            patch.setattr(module, name, die)
            with suppress(Killed):
                go(path, tmp_path / "out", "lines")
    go(path, tmp_path / "out", "lines")
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    assert go(path, tmp_path / "out", "lines").current


def test_named_inputs_stay_apart_and_the_preferred_one_keeps_the_first(tmp_path: Path):
    line = "a line that both of them have"
    a = write(tmp_path / "a.jsonl", [{"id": "1", "text": f"{line}\nmore of a"}, {"id": "2", "text": "else"}])
    b = write(tmp_path / "b.jsonl", [{"id": "3", "text": f"{line}\nmore of b"}, {"id": "4", "text": line}])
    config = config_of("lines", more_than=1, keep_first=True, prefer=("b", "a"), removed="ids")
    dedup_spans(expand([f"a={a}", f"b={b}"]), tmp_path / "out", config, RunSettings(workers=1))
    assert [d["text"] for d in lines_of(tmp_path / "out" / "a")] == ["more of a", "else"]
    left = [d["text"] for d in lines_of(tmp_path / "out" / "b")] + [
        d["id"] for d in lines_of(tmp_path / "out" / "b" / "removed")
    ]
    assert left in ([f"{line}\nmore of b", "4"], ["more of b", line])
    assert pq.read_table(tmp_path / "out" / "spans.parquet")["text"].null_count == 2


def test_explain_tells_what_a_document_lost(tmp_path: Path):
    docs = [{"id": str(number), "text": f"A menu of the page\nText {'abc'[number]}"} for number in range(3)]
    go(write(tmp_path / "in.jsonl", docs), tmp_path / "out", "lines", more_than=2)
    assert explain(tmp_path / "out", "1").splitlines() == [
        "1 lost 19 bytes in 1 piece:",
        "  bytes 0 to 19, in a span that occurs 3 times:",
        "    A menu of the page",
    ]


def test_digests_that_agree_in_their_first_half_alone_are_told_apart():
    table = np.zeros(3, SEEN)
    table["key"], table["rest"], table["count"] = [5, 5, 9], [1, 3, 1], [10, 30, 90]
    rows = np.zeros(5, SEEN)
    rows["key"], rows["rest"] = [5, 5, 5, 9, 4], [1, 2, 3, 1, 1]
    assert survey.is_frequent(table, rows, False).tolist() == [10, 0, 30, 90, 0]


def test_counts_that_pass_32_bits_stay_at_the_most():
    rows = np.zeros(2, SEEN)
    rows["count"] = 3_000_000_000
    assert gathered(rows, False)["count"].tolist() == [(1 << 32) - 1]


def test_a_window_longer_than_a_document_compares_nothing():
    spans: Spans = cut(DocBatch.of(["a", "b"], ["one\ntwo", "one\ntwo"]), config_of("lines", window=3))
    assert spans.windows.size == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"more_than": 0}, "dedup --mode lines: more_than must be at least 1, got 0"),
        ({"window": 0}, "dedup --mode lines: window must be from 1 to 100, got 0"),
        ({"shortest": -1}, "dedup --mode lines: shortest must be at least 0, got -1"),
        ({"prefer": ("a", "a")}, "dedup --mode lines: prefer must name each source once, got a,a"),
    ],
)
def test_settings_that_mean_nothing_are_refused(values: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as caught:
        config_of("lines", **values)
    assert str(caught.value) == message


def test_the_result_for_a_fixed_corpus_is_the_one_this_version_of_the_step_stands_for(tmp_path: Path):
    """When this fails on purpose, raise VERSION in run.py with it: outputs of the old and new code must not be mixed."""
    go(write(tmp_path / "in.jsonl", corpus(60, 2)), tmp_path / "out", "lines")
    shards = b"".join(path.read_bytes() for path in sorted((tmp_path / "out").rglob("docs-*")))
    assert run.VERSION == "2"
    assert hashlib.sha256(shards).hexdigest()[:16] == "02a98d170ee85cd5"  # with the compressor of constraints.txt


@pytest.mark.parametrize("mode", ["documents", "lines", "paragraphs", "sentences", "substrings"])
def test_inputs_without_a_text_field_end_every_mode_with_one_sentence(tmp_path: Path, mode: str):
    good, bad = write(tmp_path / "good.jsonl", corpus(10, 2)), tmp_path / "bad.jsonl"
    bad.write_bytes(b'{"body": "no text here"}\n' * 3)
    for inputs in ([str(bad)], [f"a={good}", f"b={bad}"]):
        out = tmp_path / f"out{len(inputs)}"
        shown = CliRunner().invoke(cli, ["dedup", *inputs, "-o", str(out), "--mode", mode, "--workers", "1"])
        assert shown.exit_code == 1
        assert "expected a text field 'text', found fields body; name it with --text-field" in shown.output
        assert {path.name for path in out.iterdir()} == {".megadata"}


def test_the_command_tells_what_went_and_refuses_options_of_the_other_mode(tmp_path: Path):
    path = write(tmp_path / "in.jsonl", corpus(40, 2))
    out = str(tmp_path / "out")
    shown = CliRunner().invoke(cli, ["dedup", str(path), "-o", out, "--mode", "lines", "--workers", "1"])
    assert shown.exit_code == 0, shown.output
    assert "dedup: lines" in shown.output
    wrong = CliRunner().invoke(cli, ["dedup", str(path), "-o", out, "--mode", "lines", "--threshold", "0.7"])
    assert wrong.exit_code == 2
    assert "--threshold is for --mode documents; --mode lines takes --set (see docs/dedup.md)" in wrong.output
