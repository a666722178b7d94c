"""Strings that occur before: found as a plain search finds them, taken out in whole sentences or lines, and told of."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest
import zstandard
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles_dedup import repeated_bytes

from megadata.cli import cli
from megadata.config import build, to_dict
from megadata.corpus.dedup import explain, records
from megadata.corpus.dedup.spans import frame
from megadata.corpus.dedup.spans.cut import span_starts
from megadata.corpus.dedup.spans.report import SpanReport
from megadata.corpus.dedup.substrings import SubstringConfig, collect, dedup_substrings, find, run, stretches, survey
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import expand
from megadata.errors import ConfigError
from megadata.kernels import substrings as kernels
from megadata.runtime.settings import RunSettings

Record = dict[str, Any]
Cut = Literal["sentences", "lines", "characters"]


def write(path: Path, docs: list[Record]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(orjson.dumps(d, option=orjson.OPT_APPEND_NEWLINE) for d in docs))
    return path


def go(path: Path, output: Path, workers: int = 1, memory: int = 4 << 30, **changes: Any) -> SpanReport:
    config = SubstringConfig(**{"unit_bytes": 900, "shard_bytes": 2_500, **changes})
    return dedup_substrings(expand([str(path)]), output, config, RunSettings(workers=workers, memory=memory))


def lines_of(folder: Path) -> list[Record]:
    found: list[Record] = []
    for shard in sorted(folder.glob("docs-*")):
        with zstandard.open(shard, "rb") as file:
            found += [orjson.loads(line) for line in file.read().splitlines()]
    return found


def spans_of(folder: Path) -> list[Record]:
    rows: list[Record] = pq.read_table(folder / "spans.parquet").to_pylist()
    return rows


def tree(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file() and ".megadata" not in p.parts)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def in_rank(docs: list[Record], path: str = "in.jsonl") -> list[Record]:
    """The documents in the order in which the first occurrence is looked for."""
    keys = records.hash_strings(
        records.names_of(DocBatch.of([d["id"] for d in docs], [""] * len(docs)), [path] * len(docs))
    )
    return [docs[at] for at in np.argsort(keys, kind="stable")]


def pieces(text: str, cut: Cut) -> list[str]:
    if cut == "characters":
        return list(text)
    starts, _ = span_starts(DocBatch.of(["a"], [text]), cut)
    return [text.encode()[a:b].decode() for a, b in pairwise(starts.tolist())]


def parted(text: str, repeated: Sequence[bool] | NDArray[np.bool_], cut: Cut) -> tuple[str, str]:
    """What stays of a text and what goes."""
    kept = taken = ""
    at = 0
    for piece in pieces(text, cut):
        inked = piece if cut == "characters" else piece.strip()
        first = at + len(piece[: piece.find(inked)].encode())
        if inked and np.asarray(repeated[first : first + len(inked.encode())]).all():
            taken += piece
        else:
            kept += piece
        at += len(piece.encode())
    return kept.strip() if taken else text, taken


def by_definition(docs: list[Record], length: int, cut: Cut) -> dict[str, tuple[str, str]]:
    """What stays of texts and what goes, of documents with different ids."""
    ranked = in_rank(docs)
    repeated = repeated_bytes([d["text"].encode() for d in ranked], length)
    return {doc["id"]: parted(doc["text"], own, cut) for doc, own in zip(ranked, repeated, strict=True)}


def check(docs: list[Record], output: Path, length: int, cut: Cut) -> None:
    """Compare an output with the definition, and its record with the texts."""
    expected = by_definition(docs, length, cut)
    before = {d["id"]: d["text"] for d in docs}
    kept = {d["id"]: d["text"] for d in lines_of(output)}
    assert kept == {own: text for own, (text, _) in expected.items() if text or not before[own]}
    assert {d["id"] for d in lines_of(output / "removed")} == set(expected) - set(kept)
    rank = {doc["id"]: at for at, doc in enumerate(in_rank(docs))}
    told: dict[str, list[str]] = {own: [] for own in expected}
    last: dict[str, int] = {}
    for row in spans_of(output):
        text, other = before[row["id"]].encode(), before[row["kept_id"]].encode()
        assert text[row["start"] : row["stop"]] == row["text"].encode()
        same = row["kept_stop"] - row["kept_start"]  # less where the last character is that of two matches
        assert row["stop"] - row["start"] - 3 <= same <= row["stop"] - row["start"]
        assert text[row["start"] :][:same] == other[row["kept_start"] : row["kept_stop"]]
        assert row["length"] >= length
        assert row["start"] >= last.get(row["id"], 0), "bytes are told of once"
        last[row["id"]] = row["stop"]
        there, here = (rank[row["kept_id"]], row["kept_start"]), (rank[row["id"]], row["start"])
        assert there[0] < here[0] or (there[0] == here[0] and there[1] + length <= here[1])
        told[row["id"]].append(row["text"])
    for own, texts in told.items():  # what went is told of, but for blanks at its ends
        assert "".join("".join(texts).split()) == "".join(expected[own][1].split())


SMALL = st.text(st.sampled_from("ab. \n\u4e00\u3002"), max_size=60)
PARTS = ["abc abc. ", "ab" * 12, "\u4e00" * 7 + "\u3002", "One two three. ", "a" * 30, "\n", "x"]
BLOCKS = st.lists(st.sampled_from(PARTS), max_size=8)
TEXTS = st.lists(st.one_of(SMALL, BLOCKS.map("".join)), max_size=6)


@settings(max_examples=120, deadline=None)
@given(texts=TEXTS, length=st.integers(8, 14), cut=st.sampled_from(["sentences", "lines", "characters"]))
@example(texts=["a" * 100], length=8, cut="characters")
@example(texts=["ab" * 50, "ba" * 50], length=9, cut="characters")
@example(texts=["One two three. " * 5], length=8, cut="sentences")
@example(texts=["\u4e00" * 7 + "\u3002" + ("abc abc. " + "\u4e00" * 7 + "\u3002") * 2], length=12, cut="sentences")
@example(texts=["", " ", ""], length=8, cut="lines")
@example(texts=["\u4e00\u4e8c\u4e09\u3002" * 4, "\u4e00\u4e8c\u4e09\u3002" * 2], length=10, cut="characters")
def test_what_goes_is_what_a_plain_search_finds(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], length: int, cut: Cut
):
    folder = tmp_path_factory.mktemp("substrings")
    docs = [{"id": f"d{i}", "text": text} for i, text in enumerate(texts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretches, "CHUNK", 37)  # borders between chunks everywhere
        if docs:
            go(write(folder / "in.jsonl", docs), folder / "out", length=length, cut=cut, unit_bytes=150)
            check(docs, folder / "out", length, cut)


def corpus(count: int, seed: int) -> list[Record]:
    """Documents of sentences, some of which come from a few passages that many of them share, others from one another."""
    rng = random.Random(seed)
    words = ["alpha", "beta", "gamma", "delta", "omega", "\u4e00\u4e8c\u4e09", "n\u00e9", "kappa"]

    def sentences(number: int) -> str:
        told = (" ".join(rng.choice(words) for _ in range(rng.randrange(3, 12))) for _ in range(number))
        return " ".join(f"{one.capitalize()}." for one in told)

    passages = [sentences(4) for _ in range(4)]
    docs: list[Record] = []
    for number in range(count):
        parts = [rng.choice(passages) if rng.random() < 0.4 else sentences(2) for _ in range(rng.randrange(0, 6))]
        text = rng.choice([" ", "\n", "\n\n"]).join(parts)
        if docs and rng.random() < 0.2:
            other = rng.choice(docs)["text"]
            text += other[len(other) // 3 : 2 * len(other) // 3]
        docs.append({"id": f"d{number:03d}", "text": text})
    return docs


@pytest.mark.parametrize("cut", ["sentences", "lines", "characters"])
@pytest.mark.parametrize("length", [20, 100])
def test_planted_passages_go_by_the_definition(tmp_path: Path, length: int, cut: Cut):
    docs = [*corpus(40, length), {"id": "same", "text": "Ha ha.\n" * 80}, {"id": "line", "text": "-" * 700 + "\nEnd."}]
    docs += [{"id": f"copy{i}", "text": docs[3]["text"]} for i in range(3)]
    report = go(write(tmp_path / "in.jsonl", docs), tmp_path / "out", length=length, cut=cut)
    check(docs, tmp_path / "out", length, cut)
    (row,) = report.rows()
    left = lines_of(tmp_path / "out")
    assert (row.documents, row.kept) == (len(docs), len(left))
    assert row.bytes_kept == sum(len(d["text"].encode()) for d in left) < row.bytes_in
    assert sum(d["metadata"].get("spans_removed", 0) for d in left) <= row.removed <= row.spans


def test_of_equal_documents_one_stays(tmp_path: Path):
    text = "A passage that is long enough to be found again, word for word, in every one of these documents."
    docs = [{"id": str(i), "text": text} for i in range(50)]
    go(write(tmp_path / "in.jsonl", docs), tmp_path / "out", length=60)
    assert [d["text"] for d in lines_of(tmp_path / "out")] == [text]
    removed = lines_of(tmp_path / "out" / "removed")
    assert len(removed) == 49
    assert {d["reason"] for d in removed} == {"dedup.substrings"}
    (kept,) = lines_of(tmp_path / "out")
    assert {row["kept_id"] for row in spans_of(tmp_path / "out")} == {kept["id"]}


def test_a_string_one_byte_short_of_the_length_stays(tmp_path: Path):
    shared = "".join(chr(97 + i % 26) for i in range(50))
    docs = [{"id": "a", "text": f"1{shared}2"}, {"id": "b", "text": f"3{shared}4"}]
    path = write(tmp_path / "in.jsonl", docs)
    go(path, tmp_path / "out", length=51, cut="characters")
    assert sorted(d["text"] for d in lines_of(tmp_path / "out")) == sorted(d["text"] for d in docs)
    go(path, tmp_path / "out", length=50, cut="characters")
    assert sorted(len(d["text"]) for d in lines_of(tmp_path / "out")) == [2, 52]


def test_a_string_that_overlaps_itself_alone_is_no_repetition(tmp_path: Path):
    docs = [{"id": "a", "text": "ab" * 60}]
    go(write(tmp_path / "in.jsonl", docs), tmp_path / "out", length=100, cut="characters")
    assert lines_of(tmp_path / "out")[0]["text"] == "ab" * 60
    docs = [{"id": "a", "text": "ab" * 100}]
    go(write(tmp_path / "in.jsonl", docs), tmp_path / "out", length=100, cut="characters")
    assert lines_of(tmp_path / "out")[0]["text"] == "ab" * 50


def test_hashes_that_are_all_equal_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Equal hashes of grams, of windows and of stretches prove nothing: bytes are compared."""
    docs = corpus(6, 9)
    path = write(tmp_path / "in.jsonl", docs)
    go(path, tmp_path / "a", length=30)

    def same(left: Any, at: int, right: Any, to: int, size: int) -> bool:
        return bool((left[at : at + size] == right[to : to + size]).all())

    monkeypatch.setattr(kernels, "_same", same)
    monkeypatch.setattr(kernels, "_power", lambda _: np.uint64(0))
    monkeypatch.setattr(kernels, "mix64", lambda _: np.uint64(7))
    for kernel in ("repeated_windows", "first_equal"):
        monkeypatch.setattr(kernels, kernel, getattr(kernels, kernel).function)
    monkeypatch.setattr(kernels, "hash_ranges", lambda *arguments: arguments[-1].fill(7))
    monkeypatch.setattr(collect, "are_among", lambda hashes, _: np.ones(hashes.size, np.bool_))
    with np.errstate(over="ignore"):
        go(path, tmp_path / "b", length=30)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_little_memory_looks_at_a_few_distances_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    periods = [{"id": f"p{i}", "text": ("x" * i + "ab" * 40 + "y" * i + "abc" * 30)[i:]} for i in range(12)]
    path = write(tmp_path / "in.jsonl", [*corpus(40, 4), *periods])
    go(path, tmp_path / "a", length=30)
    true, seen = find.FindFirst._block, []

    def counted(self: Any, part: Any, leads: Any, windows: Any, low: int, high: int, found: Any) -> None:
        seen.append((low, high))
        true(self, part, leads, windows, low, high, found)

    monkeypatch.setattr(find, "_ROOM", 1 << 20)
    monkeypatch.setattr(find.FindFirst, "_block", counted)
    go(path, tmp_path / "b", length=30, memory=64 << 20)
    assert len(seen) > 3
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_order_workers_and_units_change_nothing_but_the_order(tmp_path: Path):
    docs = corpus(50, 7)
    path = write(tmp_path / "one" / "in.jsonl", docs)
    turned = write(tmp_path / "two" / "in.jsonl", docs[::-1])
    go(path, tmp_path / "a", length=40)
    go(path, tmp_path / "b", workers=3, memory=64 << 20, length=40)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    go(turned, tmp_path / "c", unit_bytes=100_000, length=40)
    assert sorted(map(str, lines_of(tmp_path / "a"))) == sorted(map(str, lines_of(tmp_path / "c")))
    assert sorted(map(str, spans_of(tmp_path / "a"))) == sorted(map(str, spans_of(tmp_path / "c")))


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (survey.Exchange, "write"),
        (run, "atomic_write"),
        (collect.records, "save_arrays"),
        (find.FindFirst, "_block"),
        (run, "mark_spent"),
        (frame, "publish_outputs"),
    ],
)
def test_a_run_that_is_killed_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
):
    path = write(tmp_path / "in.jsonl", corpus(30, 1))
    go(path, tmp_path / "whole")
    true = getattr(module, name)
    for survive, memory in ((0, 1 << 30), (2, 1 << 30), (8, 2 << 30)):
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
                go(path, tmp_path / "out", memory=memory)
    go(path, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    assert go(path, tmp_path / "out").current


def test_named_inputs_stay_apart_and_the_preferred_one_keeps_the_first(tmp_path: Path):
    shared = "This sentence is shared by both of the inputs, and it is longer than fifty bytes."
    a = write(tmp_path / "a.jsonl", [{"id": "1", "text": f"{shared} More of a."}, {"id": "2", "text": "else"}])
    b = write(tmp_path / "b.jsonl", [{"id": "3", "text": f"{shared} More of b."}, {"id": "4", "text": shared}])
    config = SubstringConfig(length=50, prefer=("b", "a"), removed="ids")
    dedup_substrings(expand([f"a={a}", f"b={b}"]), tmp_path / "out", config, RunSettings(workers=1))
    assert [d["text"] for d in lines_of(tmp_path / "out" / "a")] == ["More of a.", "else"]
    left = [d["text"] for d in lines_of(tmp_path / "out" / "b")]
    assert left in ([f"{shared} More of b."], ["More of b.", shared])
    rows = spans_of(tmp_path / "out")
    assert {row["kept_id"] for row in rows} <= {"3", "4"}
    assert {row["text"] for row in rows} == {None}


def test_explain_tells_what_a_document_lost_and_for_which(tmp_path: Path):
    shared = "This sentence is shared by both of the inputs, and it is longer than fifty bytes."
    docs = [
        {"id": "a", "text": f"{shared} More of a."},
        {"id": "b", "text": f"{shared} More of b."},
        {"id": "c", "text": "c"},
    ]
    go(write(tmp_path / "in.jsonl", docs), tmp_path / "out", length=50)
    first, second = (doc["id"] for doc in in_rank(docs[:2]))
    assert explain(tmp_path / "out", second).splitlines() == [
        f"{second} lost 82 bytes in 1 piece:",
        f"  bytes 0 to 82, first in {first} at 0 to 82, in a string of 90 bytes that both have:",
        f"    {shared}",
    ]
    assert explain(tmp_path / "out", first).splitlines() == [
        f"{first} lost nothing.",
        f"1 other document lost what occurs first in {first}:",
        f"  {second}",
    ]
    assert explain(tmp_path / "out", "c") == "c lost nothing."
    with pytest.raises(
        ConfigError, match=r"nobody: expected the id of a document in .*, found none; ids are case-sensitive"
    ):
        explain(tmp_path / "out", "nobody")


def test_ids_that_several_documents_have_are_told_as_they_are_written(tmp_path: Path):
    shared = "A sentence of more than forty bytes that both of the files hold. "
    write(tmp_path / "in" / "one.jsonl", [{"id": "x", "text": f"{shared}One."}])
    write(tmp_path / "in" / "two.jsonl", [{"id": "x", "text": f"{shared}Two."}])
    config = SubstringConfig(length=40)
    dedup_substrings(expand([str(tmp_path / "in")]), tmp_path / "out", config, RunSettings(workers=1))
    ids = {d["id"] for d in lines_of(tmp_path / "out")}
    (row,) = spans_of(tmp_path / "out")
    assert {row["id"], row["kept_id"]} == ids
    assert len(ids) == 2


@pytest.mark.parametrize("docs", [[{"id": "a", "text": ""}], [{"id": "a", "text": "short"}]])
def test_documents_shorter_than_the_length_pass(tmp_path: Path, docs: list[Record]):
    go(write(tmp_path / "in.jsonl", docs), tmp_path / "out")
    assert [d["text"] for d in lines_of(tmp_path / "out")] == [docs[0]["text"]]
    assert spans_of(tmp_path / "out") == []


def test_the_defaults_are_these():
    held = to_dict(SubstringConfig())
    assert (held["length"], held["cut"], held["removed"]) == (100, "sentences", "text")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"length": 7}, "dedup --mode substrings: length must be from 8 to 10,000 bytes, got 7"),
        ({"length": 10_001}, "dedup --mode substrings: length must be from 8 to 10,000 bytes, got 10001"),
        ({"prefer": ("a", "a")}, "dedup --mode substrings: prefer must name each source once, got a,a"),
    ],
)
def test_settings_that_mean_nothing_are_refused(values: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as caught:
        build(SubstringConfig, values, "dedup --mode substrings")
    assert str(caught.value) == message


def test_the_result_for_a_fixed_corpus_is_the_one_this_version_of_the_step_stands_for(tmp_path: Path):
    """When this fails on purpose, raise VERSION in run.py with it: outputs of the old and new code must not be mixed."""
    go(write(tmp_path / "in.jsonl", corpus(60, 2)), tmp_path / "out", length=60)
    shards = b"".join(path.read_bytes() for path in sorted((tmp_path / "out").rglob("docs-*")))
    assert run.VERSION == "3"
    assert hashlib.sha256(shards).hexdigest()[:16] == "46f3ed67f5d677cf"  # with the compressor of constraints.txt


def test_the_command_tells_what_went_and_refuses_what_the_mode_has_not(tmp_path: Path):
    path = write(tmp_path / "in.jsonl", corpus(40, 2))
    command = ["dedup", str(path), "-o", str(tmp_path / "out"), "--mode", "substrings", "--workers", "1"]
    shown = CliRunner().invoke(cli, command)
    assert shown.exit_code == 0, shown.output
    assert "dedup: substrings" in shown.output
    assert "sentences" in shown.output
    wrong = CliRunner().invoke(cli, [*command, "--threshold", "0.7"])
    assert wrong.exit_code == 2
    assert "--threshold is for --mode documents; --mode substrings takes --set (see docs/dedup.md)" in wrong.output
    unknown = CliRunner().invoke(cli, [*command, "--set", "cut=words"])
    assert unknown.exit_code == 1
    assert "cut" in unknown.output
    other = CliRunner().invoke(cli, [*command, "--set", "more_than=2"])
    assert other.exit_code == 1
    assert "unknown key 'more_than'" in other.output


def repeated_by_sorting(texts: list[bytes], length: int) -> list[NDArray[np.bool_]]:
    """What `oracles_dedup.repeated_bytes` says, by ranks of all strings of 1, 2, 4, ... bytes (Karp, Miller, Rosenberg 1972)."""
    whole = np.frombuffer(b"".join(texts), np.uint8)
    if whole.size == 0:
        return [np.zeros(0, np.bool_) for _ in texts]
    rank, size = whole.astype(np.uint64), 1
    while size < length:
        step = min(size, length - size)  # two strings of `size` bytes that overlap make a longer one
        behind = np.append(rank, np.zeros(step, np.uint64))[step:]
        _, inverse = np.unique((rank << np.uint64(32)) | behind, return_inverse=True)
        rank, size = inverse.astype(np.uint64), size + step
    bounds = np.cumsum([0, *map(len, texts)])
    document = np.repeat(np.arange(len(texts)), np.diff(bounds))
    places = np.flatnonzero(np.arange(whole.size) + length <= bounds[document + 1])
    strings = rank[places].astype(np.int64)
    first = np.zeros(int(rank.max()) + 1, np.int64)
    first[strings[::-1]] = places[::-1]  # the least place is written last
    where = first[strings]
    before = places[(document[where] != document[places]) | (where + length <= places)]
    borders = np.zeros(whole.size + length + 1, np.int64)
    np.add.at(borders, before, 1)
    np.add.at(borders, before + length, -1)
    repeated = np.cumsum(borders)[: whole.size] > 0
    return [repeated[a:b] for a, b in pairwise(bounds.tolist())]


@given(texts=TEXTS, length=st.integers(2, 14))
def test_the_search_by_sorting_is_the_plain_one(texts: list[str], length: int):
    encoded = [text.encode() for text in texts]
    assert [own.tolist() for own in repeated_by_sorting(encoded or [b""], length)] == (
        repeated_bytes(encoded or [b""], length)
    )


REAL = (
    "books/gutenberg_copies/**/*",
    "books/gutenberg_orig/**/*",
    "books/68_german_novels/*.txt",
    "wikipedia/extracted-de/*",
)
REAL_BYTES = 20_000_000


@pytest.mark.long
def test_what_goes_of_real_books_is_what_sorting_all_strings_finds(tmp_path: Path, real_data: Path):
    docs: list[Record] = []
    for pattern in REAL:
        size = 0
        for file in sorted(real_data.glob(pattern)):
            if file.is_file() and size < REAL_BYTES // len(REAL):
                text = file.read_bytes().decode("utf-8", "replace")[:2_000_000]
                docs.append({"id": file.relative_to(real_data).as_posix(), "text": text})
                size += len(text.encode())
    rng = random.Random(6)
    for _ in range(200):  # passages of one inside another, and of a book inside itself
        source, target = rng.choice(docs)["text"], rng.choice(docs)
        start = rng.randrange(len(source))
        at = rng.randrange(len(target["text"]))
        target["text"] = target["text"][:at] + source[start : start + rng.randrange(80, 3_000)] + target["text"][at:]
    assert sum(len(d["text"].encode()) for d in docs) > REAL_BYTES * 0.9
    ranked = in_rank(docs)
    repeated = repeated_by_sorting([d["text"].encode() for d in ranked], 100)
    assert 0.01 < np.concatenate(repeated).mean() < 0.9
    path = write(tmp_path / "in.jsonl", docs)
    for cut in ("sentences", "lines"):
        expected = {d["id"]: parted(d["text"], own, cut) for d, own in zip(ranked, repeated, strict=True)}
        go(path, tmp_path / cut, workers=2, cut=cut, unit_bytes=1 << 20, shard_bytes=1 << 30)
        left = {d["id"]: d["text"] for d in lines_of(tmp_path / cut)}
        assert left == {own: text for own, (text, _) in expected.items() if text}
        assert {d["id"] for d in lines_of(tmp_path / cut / "removed")} == set(expected) - set(left)
    go(path, tmp_path / "all", workers=2, cut="characters", unit_bytes=4 << 20, shard_bytes=1 << 30)
    left = {d["id"]: d["text"] for d in lines_of(tmp_path / "all")}
    for doc, own in zip(ranked, repeated, strict=True):
        raw = np.frombuffer(doc["text"].encode(), np.uint8)
        leads = np.flatnonzero(raw & 0xC0 != 0x80)
        whole = np.repeat(np.minimum.reduceat(own, leads), np.diff(np.append(leads, raw.size)))
        stays = bytes(raw[~whole]).decode()
        assert left.get(doc["id"], "") == (stays.strip() if whole.any() else stays)
