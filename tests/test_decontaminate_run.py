"""The whole of `decontaminate`: what it writes, for any workers, order of files and kill."""

from __future__ import annotations

import hashlib
import io
import random
from pathlib import Path
from typing import Any

import oracles_decontaminate as oracles
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from megadata.corpus.decontaminate import DecontaminateConfig, DecontaminateReport, decontaminate
from megadata.corpus.decontaminate import write as write_module
from megadata.corpus.decontaminate.run import VERSION
from megadata.corpus.dedup import normaliser
from megadata.documents.inputs import expand
from megadata.errors import ConfigError, CorpusError
from megadata.pipeline.why import why
from megadata.runtime import receipts, shards
from megadata.runtime.exchange import Exchange
from megadata.runtime.manifest import Manifest
from megadata.runtime.progress import Reporter
from megadata.runtime.settings import RunSettings

Record = dict[str, Any]
TABLE = normaliser.table().tolist()


def sentence(rng: random.Random, words: int) -> str:
    return " ".join(f"w{rng.randrange(5000)}" for _ in range(words)).capitalize() + "."


def prose(rng: random.Random, sentences: int) -> list[str]:
    return [sentence(rng, rng.randrange(6, 14)) for _ in range(sentences)]


def corpus(count: int = 80, seed: int = 3) -> tuple[list[Record], list[Record]]:
    """Documents, some of which hold whole evaluation texts at one place or at many, and the evaluation items."""
    rng = random.Random(seed)
    items = [
        {"id": f"q{n}", "question": sentence(rng, 18), "choices": {"text": [sentence(rng, 9), "no"]}, "label": "A"}
        for n in range(30)
    ]
    records: list[Record] = []
    for number in range(count):
        lines = prose(rng, rng.randrange(4, 40))
        kind = rng.randrange(4)
        if kind == 0:
            item = rng.choice(items)
            lines.insert(rng.randrange(len(lines)), rng.choice([item["question"].upper(), item["choices"]["text"][0]]))
        if number % 20 == 7:  # many pieces
            lines = [line for _ in range(14) for line in [*prose(rng, 20), rng.choice(items)["question"]]]
        if number % 20 == 13:  # nothing left
            lines = [items[0]["question"]]
        source = rng.choice(["web", "books"])
        records.append({"id": f"id-{number:03d}", "text": " ".join(lines), "source": source, "metadata": {"n": number}})
    return records, items


def write(path: Path, records: list[Record]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(orjson.dumps(r, option=orjson.OPT_APPEND_NEWLINE) for r in records))
    return path


def run(
    inputs: list[Path | str], against: list[Path | str], output: Path, workers: int = 1, **changes: Any
) -> DecontaminateReport:
    config = DecontaminateConfig(**{"unit_bytes": 6_000, "shard_bytes": 30_000, **changes})
    found = expand([str(one) for one in inputs])
    return decontaminate(found, [str(one) for one in against], output, config, RunSettings(workers=workers))


def read(folder: Path) -> list[Record]:
    lines: list[Record] = []
    for shard in sorted(folder.glob("docs-*.jsonl.zst")):
        with zstandard.open(shard, "rb") as file:
            lines += [orjson.loads(line) for line in file.read().splitlines()]
    return lines


def evidence(folder: Path) -> list[Record]:
    rows: list[Record] = pq.read_table(folder / "contamination.parquet").to_pylist()
    return rows


def tree(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file() and ".megadata" not in p.parts)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


@pytest.fixture
def project(tmp_path: Path) -> tuple[Path, Path, list[Record], list[Record]]:
    """A file of documents and one of items, and what they hold."""
    records, items = corpus()
    return write(tmp_path / "in.jsonl", records), write(tmp_path / "evals" / "quiz.jsonl", items), records, items


def texts_of(item: Record) -> list[tuple[str, str]]:
    return [("question", item["question"]), ("choices.text[0]", item["choices"]["text"][0])]


def expected(records: list[Record], items: list[Record]) -> dict[str, tuple[str, list[str]]]:
    """Document -> what becomes of it and its pieces, by the definition; documents without matches are left out."""
    known: set[tuple[str, ...]] = set()
    for item in items:
        for _, text in texts_of(item):
            known |= oracles.ngrams(text, TABLE, 13, 8)
    fates: dict[str, tuple[str, list[str]]] = {}
    for record in records:
        tokens = oracles.tokens(record["text"], TABLE)
        names = tuple(name for name, _, _ in tokens)
        hits = [
            (at, at + len(ngram)) for ngram in known for at in range(len(names)) if names[at : at + len(ngram)] == ngram
        ]
        spans = [(tokens[start][1], tokens[stop - 1][2]) for start, stop in hits]
        if spans:
            left = oracles.pieces(record["text"], spans, 200, 200, DecontaminateConfig().ends)
            fate = "nothing_left" if not left else "too_many_pieces" if len(left) > 10 else "cut"
            fates[record["id"]] = fate, left
    return fates


def test_documents_are_cut_as_the_definition_says(project, tmp_path):
    path, evals, records, items = project
    run([path], [evals], tmp_path / "out")
    fates = expected(records, items)
    assert {fate for fate, _ in fates.values()} == {"cut", "too_many_pieces", "nothing_left"}
    wanted: list[Record] = []
    for record in records:
        base = {**record, "metadata": {**record["metadata"], "path": "in.jsonl"}}
        if record["id"] not in fates:
            wanted.append(base)
        elif fates[record["id"]][0] == "cut":
            pieces = enumerate(fates[record["id"]][1], 1)
            wanted += [{**base, "id": f"{record['id']}/piece-{n}", "text": piece} for n, piece in pieces]
    assert read(tmp_path / "out") == wanted
    removed = {r["id"]: r for r in read(tmp_path / "out" / "removed")}
    assert {name: r["reason"].removeprefix("decontaminate.") for name, r in removed.items()} == {
        name: fate for name, (fate, _) in fates.items()
    }
    texts = {r["id"]: r["text"] for r in records}
    assert all(r["text"] == texts[name] for name, r in removed.items())
    assert all(removed[name]["value"] == len(left) for name, (fate, left) in fates.items() if fate == "cut")


def test_the_evidence_says_which_document_held_what_of_which_item(project, tmp_path):
    path, evals, records, items = project
    report = run([path], [f"quiz={evals}"], tmp_path / "out")
    texts = {r["id"]: r["text"] for r in records}
    rows = {(r["item"], r["field"], r["document"]): r for r in evidence(tmp_path / "out")}
    found: dict[tuple[str, str, str], tuple[int, int]] = {}
    for item in items:
        for field, text in texts_of(item):
            ngrams = oracles.ngrams(text, TABLE, 13, 8)
            for record in records:
                held = (
                    {one for _, _, one in oracles.matches(record["text"], ngrams, TABLE)}
                    if any(n in record["text"].lower() for n in [text.lower()[:30]])
                    else set()
                )
                if held:
                    found[item["id"], field, record["id"]] = len(held), len(ngrams)
    assert {key: (row["found"], row["of"]) for key, row in rows.items()} == found
    for (_, _, document), row in rows.items():
        passage = texts[document][row["start"] : row["end"]]
        assert [name for name, _, _ in oracles.tokens(passage, TABLE)] == row["ngram"].split()
        assert row["eval_set"] == "quiz"
    (quiz,) = report.sets
    assert quiz.items == quiz.searched == 30
    assert quiz.matched == len({item for item, _, _ in found})
    assert quiz.documents == len({document for _, _, document in found})
    assert report.ngrams[0][1] >= report.ngrams[-1][1] >= 1


def test_a_second_pass_finds_nothing(project, tmp_path):
    path, evals, _, _ = project
    run([path], [evals], tmp_path / "once")
    again = run([tmp_path / "once"], [evals], tmp_path / "twice")
    assert evidence(tmp_path / "twice") == []
    assert read(tmp_path / "twice") == read(tmp_path / "once")
    assert [one.matched for one in again.sets] == [0]


def test_whole_documents_are_dropped_in_mode_drop(project, tmp_path):
    path, evals, records, items = project
    run([path], [evals], tmp_path / "out", mode="drop")
    fates = expected(records, items)
    assert [r["id"] for r in read(tmp_path / "out")] == [r["id"] for r in records if r["id"] not in fates]
    removed = read(tmp_path / "out" / "removed")
    assert [r["id"] for r in removed] == [r["id"] for r in records if r["id"] in fates]
    assert {r["reason"] for r in removed} == {"decontaminate.contaminated"}


def test_mode_report_writes_the_evidence_alone(project, tmp_path):
    path, evals, _, _ = project
    run([path], [evals], tmp_path / "cut")
    report = run([path], [evals], tmp_path / "report", mode="report")
    assert set(tree(tmp_path / "report")) == {"contamination.parquet", "manifest.json", "stats.json"}
    whole = [{**row, "outcome": "reported"} for row in evidence(tmp_path / "cut")]
    assert evidence(tmp_path / "report") == whole
    assert report.of("documents_kept", "web") == report.of("documents_in", "web")
    assert run([path], [evals], tmp_path / "report", mode="report").current


def test_the_result_for_a_fixed_corpus_is_the_one_this_version_of_the_step_stands_for(project, tmp_path):
    """When this fails on purpose, raise VERSION in run.py with it: outputs of the old and new code must not be mixed."""
    path, evals, _, _ = project
    run([path], [evals], tmp_path / "out")
    lines = [read(tmp_path / "out"), read(tmp_path / "out/removed"), evidence(tmp_path / "out")]
    assert VERSION == "1"
    assert hashlib.sha256(orjson.dumps(lines)).hexdigest()[:16] == "b0f7d76cc8688832"


@pytest.mark.parametrize("changes", [{}, {"common": 2}, {"mode": "report"}])
def test_any_number_of_workers_writes_the_same_bytes(project, tmp_path, changes):
    path, evals, _, _ = project
    for workers in (1, 3):
        run([f"web={path}"], [evals], tmp_path / f"out{workers}", workers, **changes)
    assert tree(tmp_path / "out1") == tree(tmp_path / "out3")


def test_what_becomes_of_a_document_does_not_depend_on_the_order_of_the_files(project, tmp_path):
    _, evals, records, _ = project
    first, second = write(tmp_path / "a.jsonl", records[:40]), write(tmp_path / "b.jsonl", records[40:])
    run([first, second], [evals], tmp_path / "ab")
    run([second, first], [evals], tmp_path / "ba")
    for below in ("", "removed"):
        one, other = (sorted(read(tmp_path / name / below), key=lambda r: r["id"]) for name in ("ab", "ba"))
        assert one == other
    key = ("item", "field", "document")
    one, other = (sorted(evidence(tmp_path / n), key=lambda r: [r[k] for k in key]) for n in ("ab", "ba"))
    assert one == other


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (receipts, "write_json"),
        (shards, "write_json"),
        (write_module, "atomic_write"),
        (Exchange, "write"),
        (Manifest, "save"),
    ],
)
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bytes(project, tmp_path, monkeypatch, module, name):
    path, evals, _, _ = project
    inputs = [f"web={path}"]
    run(inputs, [evals], tmp_path / "whole", common=1)
    kills = 0
    for survived in range(100):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, dies_after(survived, getattr(module, name)))
            try:
                run(inputs, [evals], tmp_path / "killed", common=1)
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


def test_named_inputs_stay_apart(project, tmp_path):
    path, evals, records, _ = project
    other = write(tmp_path / "more.jsonl", records[:25])
    run([f"one={path}", f"two={other}"], [evals], tmp_path / "out")
    alone = run([other], [evals], tmp_path / "alone")
    ids = [r["id"] for r in read(tmp_path / "alone")]
    assert len(read(tmp_path / "out" / "two")) == len(ids)
    assert {r["source"] for r in evidence(tmp_path / "out")} == {"one", "two"}
    assert run([f"one={path}", f"two={other}"], [evals], tmp_path / "out").current
    assert sum(one.documents for one in alone.sets) < sum(
        one.documents for one in run([f"one={path}", f"two={other}"], [evals], tmp_path / "out").sets
    )
    run([f"one={path}"], [evals], tmp_path / "out")
    assert not (tmp_path / "out" / "two").exists()


def test_ids_that_occur_twice_are_told_apart_in_the_evidence_too(project, tmp_path):
    path, evals, records, _ = project
    write(tmp_path / "x" / "a.jsonl", records)
    write(tmp_path / "x" / "b.jsonl", records)
    run([tmp_path / "x"], [evals], tmp_path / "out")
    ids = [r["id"] for r in [*read(tmp_path / "out"), *read(tmp_path / "out" / "removed")]]
    assert len(set(ids)) == len(ids)
    assert {r["document"] for r in evidence(tmp_path / "out")} == {r["id"] for r in read(tmp_path / "out" / "removed")}
    assert path.exists()


def test_why_tells_what_a_document_held(project, tmp_path):
    path, evals, records, items = project
    run([path], [f"quiz={evals}"], tmp_path / "out")
    name = next(name for name, (fate, left) in expected(records, items).items() if fate == "cut" and len(left) == 2)
    (verdict,) = why(name, tmp_path / "out")
    assert verdict.verdict.startswith("removed: decontaminate.cut (value 2), matched: quiz: w")
    assert verdict.verdict.endswith(f", kept instead: {name}/piece-1, {name}/piece-2")
    assert [one.verdict for one in why(f"{name}/piece-2", tmp_path / "out")] == ["kept"]


def test_common_ngrams_are_passed_over_when_asked(tmp_path):
    rng = random.Random(1)
    creed, secret = sentence(rng, 20), sentence(rng, 20)
    records = [{"id": f"d{n}", "text": " ".join([*prose(rng, 30), creed])} for n in range(6)]
    records[2]["text"] += " " + secret
    path = write(tmp_path / "in.jsonl", records)
    evals = write(tmp_path / "e.jsonl", [{"text": creed}, {"text": secret}])
    assert {r["document"] for r in evidence_of(tmp_path / "all", path, evals)} == {f"d{n}" for n in range(6)}
    assert {r["document"] for r in evidence_of(tmp_path / "six", path, evals, common=6)} == {f"d{n}" for n in range(6)}
    assert {r["document"] for r in evidence_of(tmp_path / "five", path, evals, common=5)} == {"d2"}
    assert run([path], [evals], tmp_path / "five", common=5).ignored == 8


def evidence_of(output: Path, path: Path, evals: Path, **changes: Any) -> list[Record]:
    run([path], [evals], output, **changes)
    return evidence(output)


def test_documents_without_words_pass_and_inputs_without_documents_are_no_error(project, tmp_path):
    _, evals, _, _ = project
    records = [{"id": "a", "text": ""}, {"id": "b", "text": "word"}, {"id": "c", "text": "... !"}]
    report = run([write(tmp_path / "few.jsonl", records)], [evals], tmp_path / "few")
    assert [r["text"] for r in read(tmp_path / "few")] == ["", "word", "... !"]
    assert [one.matched for one in report.sets] == [0]
    assert evidence_of(tmp_path / "none", write(tmp_path / "none.jsonl", []), evals) == []


def test_unreadable_records_are_set_aside_and_counted(project, tmp_path):
    path, evals, _, _ = project
    path.write_bytes(b"{\n" + path.read_bytes())
    report = run([path], [evals], tmp_path / "out")
    assert report.of("unreadable", "text|bad_json") == 1
    removed = read(tmp_path / "out" / "removed")
    assert removed[0]["reason"] == "unreadable.bad_json"
    assert {r["document"] for r in evidence(tmp_path / "out")} == {r["id"] for r in removed[1:]}


def test_shards_may_be_parquet(project, tmp_path):
    path, evals, _, _ = project
    run([path], [evals], tmp_path / "lines")
    run([path], [evals], tmp_path / "tables", form="parquet")
    for below in ("", "removed"):
        tables = [pq.read_table(one) for one in sorted((tmp_path / "tables" / below).glob("docs-*.parquet"))]
        rows = pa.concat_tables(tables).to_pylist()
        lines = read(tmp_path / "lines" / below)
        assert [(r["id"], r["text"]) for r in rows] == [(r["id"], r["text"]) for r in lines]
        assert [r.get("value") for r in rows] == [r.get("value") for r in lines]


@pytest.mark.parametrize("mode", ["ids", "none"])
def test_texts_of_removed_documents_may_be_left_out(project, tmp_path, mode):
    path, evals, _, _ = project
    run([path], [evals], tmp_path / "out", removed=mode)
    removed = read(tmp_path / "out" / "removed")
    assert {r["text"] for r in removed} == ({""} if mode == "ids" else set())
    assert evidence(tmp_path / "out")


def test_changed_evaluation_sets_and_settings_are_noticed(project, tmp_path):
    path, evals, _, items = project
    assert not run([path], [evals], tmp_path / "out").current
    assert run([path], [evals], tmp_path / "out").current
    write(evals, items[:-1])
    assert not run([path], [evals], tmp_path / "out").current
    assert not run([path], [evals], tmp_path / "out", words=12).current


def test_sets_are_read_from_any_kind_of_file(project, tmp_path):
    """The same item as JSON lines, JSON, csv, tsv, Parquet, Arrow and plain text."""
    path, _, records, items = project
    item = items[0]
    row = {"id": item["id"], "question": item["question"], "answer": "no"}
    folder = tmp_path / "kinds"
    write(folder / "a.jsonl", [{**row, "question": {"stem": [row["question"]]}}])
    (folder / "b.json").write_bytes(orjson.dumps([row], option=orjson.OPT_INDENT_2))
    for name, mark in (("c.csv", ","), ("d.tsv", "\t")):
        (folder / name).write_text(f"id{mark}question\n{row['id']}{mark}{row['question']}\n")
    pq.write_table(pa.Table.from_pylist([row]), folder / "e.parquet")
    table = pa.Table.from_pylist([{**row, "choices": [{"text": row["question"]}]}])
    with pa.OSFile(str(folder / "f.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    (folder / "g.txt").write_text(row["question"])
    report = run([path], [folder], tmp_path / "out")
    assert [(one.name, one.items, one.matched) for one in report.sets] == [
        (f"{name}", 1, 1) for name in ("a.jsonl", "b.json", "c.csv", "d.tsv", "e.parquet", "f.arrow", "g.txt")
    ]
    rows = evidence(tmp_path / "out")
    assert {(r["eval_set"], r["item"], r["field"]) for r in rows} >= {
        ("a.jsonl", "q0", "question.stem[0]"),
        ("c.csv", "q0", "question"),
        ("f.arrow", "q0", "choices[0].text"),
        ("g.txt", "g.txt", "text"),
    }
    assert records


def test_the_lists_of_squad_and_of_other_nested_sets_are_items(project, tmp_path):
    path, _, _, items = project
    questions = [
        {"id": f"x{n}", "question": one["question"], "answers": [{"text": "no"}]} for n, one in enumerate(items)
    ]
    squad = {"version": "1.1", "data": [{"title": "T", "paragraphs": [{"context": "C.", "qas": questions}]}]}
    (tmp_path / "dev.json").write_bytes(orjson.dumps(squad))
    report = run([path], [tmp_path / "dev.json"], tmp_path / "out", fields=("question",))
    assert [one.searched for one in report.sets] == [30]
    assert {r["item"] for r in evidence(tmp_path / "out")} <= {f"x{n}" for n in range(30)}
    other = write(tmp_path / "other.jsonl", [{"id": "race", "article": "A.", "questions": questions[:3]}])
    report = run([path], [other], tmp_path / "other", items=("questions",))
    assert [(one.items, one.searched) for one in report.sets] == [(4, 3)]


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        (b"", {}, "empty.jsonl: expected evaluation items with text, found none; name files of questions or passages"),
        (b'{"id": 7, "label": 1}\n', {}, "empty.jsonl: expected evaluation items with text, found none"),
        (
            b'{"q": "far too short"}\n',
            {},
            "--against: expected texts of at least 8 words, found 1 shorter ones; name whole items, or lower",
        ),
    ],
)
def test_evaluation_sets_without_text_are_refused(project, tmp_path, content, changes, message):
    path, _, _, _ = project
    (tmp_path / "empty.jsonl").write_bytes(content)
    with pytest.raises(CorpusError, match="^" + message.replace("(", r"\(")):
        run([path], [tmp_path / "empty.jsonl"], tmp_path / "out", **changes)


def test_files_without_text_below_a_folder_of_sets_are_told_of(project, tmp_path):
    path, evals, _, _ = project
    (evals.parent / "labels.jsonl").write_bytes(b'{"id": 7, "label": 1}\n')
    (evals.parent / "labels.lst").write_bytes(b"\x00\x01")
    said = io.StringIO()
    settings = RunSettings(workers=1, progress=Reporter(said))
    report = decontaminate(
        expand([str(path)]), [str(evals.parent)], tmp_path / "out", DecontaminateConfig(mode="report"), settings
    )
    assert "labels.jsonl: holds no text of evaluation items" in said.getvalue()
    assert "of the evaluation sets, 1 files are not read: labels.lst" in said.getvalue()
    assert {one.name: one.matched > 0 for one in report.sets} == {"labels.jsonl": False, "quiz.jsonl": True}


def test_sets_that_are_not_named_or_not_there_are_refused(project, tmp_path):
    path, evals, _, _ = project
    with pytest.raises(ConfigError, match="--against: expected evaluation sets to look for, found none; name their"):
        run([path], [], tmp_path / "out")
    with pytest.raises(CorpusError, match="nowhere: expected files to read, found none; check the path"):
        run([path], [tmp_path / "nowhere"], tmp_path / "out")
    with pytest.raises(
        ConfigError, match="fields: expected fields of the evaluation sets, found 'quesion', which none of"
    ):
        run([path], [evals], tmp_path / "out", fields=("quesion",))
    with pytest.raises(ConfigError, match=r"removed=\.\.\.: the name is taken"):
        run([f"removed={path}"], [evals], tmp_path / "out")


def test_real_evaluation_sets_planted_into_real_text_are_found_and_cut(real_data, tmp_path):
    """A hundred real questions in real novels: all found, nothing else, and the text around them stays."""
    questions = (real_data / "eval" / "gsm8k" / "test.jsonl").read_bytes().splitlines()[:100]
    novel = sorted((real_data / "books" / "100_english_novels").glob("*.txt"))[0].read_text("utf-8", "replace")
    size = len(novel) // 101
    chapters = [novel[n * size : (n + 1) * size] for n in range(100)]
    planted = [
        {
            "id": f"c{n}",
            "text": f"{chapter[: size // 2]}\n\n{orjson.loads(question)['question']}\n\n{chapter[size // 2 :]}",
        }
        for n, (chapter, question) in enumerate(zip(chapters, questions, strict=True))
    ]
    clean = [{"id": f"clean{n}", "text": chapter} for n, chapter in enumerate(chapters)]
    path = write(tmp_path / "in.jsonl", [*planted, *clean])
    evals = real_data / "eval" / "gsm8k" / "test.jsonl"
    report = run([path], [evals], tmp_path / "out", unit_bytes=1 << 20)
    rows = evidence(tmp_path / "out")
    assert {r["document"] for r in rows} == {f"c{n}" for n in range(100)}
    assert all(r["found"] == r["of"] for r in rows if r["field"] == "question")
    assert report.of("bytes_kept", "text") > 0.8 * report.of("bytes_in", "text")
    run([tmp_path / "out"], [evals], tmp_path / "again")
    assert evidence(tmp_path / "again") == []
