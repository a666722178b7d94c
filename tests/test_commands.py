"""The commands one after another, as a user types them, with their printed answers."""

from __future__ import annotations

import os
import random
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result
from pipelines import text

from megadata.cli import cli
from megadata.errors import MegadataError


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    if isinstance(result.exception, MegadataError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder in which clean, dedup, train-tokenizer, tokenize and blend have been typed."""
    folder = tmp_path_factory.mktemp("project")
    before = Path.cwd()
    os.chdir(folder)
    try:
        rng = random.Random(2)
        pages = [{"id": f"p{i}", "text": text(rng, 150), "url": f"http://a/{i}"} for i in range(60)]
        pages += [{"id": "copy", "text": pages[3]["text"]}, {"id": "tiny", "text": "No."}]
        Path("pages.jsonl").write_bytes(b"".join(orjson.dumps(p) + b"\n" for p in pages))
        Path("book.txt").write_text("\n\n".join(text(rng, 200) for _ in range(20)))
        outputs = {
            "clean": call("clean", "web=pages.jsonl", "-o", "clean/web", "--workers", 1).output,
            "books": call("clean", "book.txt", "--source", "books", "-o", "clean/books", "--workers", 1).output,
            "dedup": call("dedup", "web=clean/web", "books=clean/books", "-o", "unique", "--workers", 1).output,
            "train": call(
                "train-tokenizer", "unique/web", "unique/books", "-o", "tok.json", "--vocab-size", 400, "--workers", 1
            ).output,
            "web": call(
                *("tokenize", "unique/web", "-o", "data/web", "--tokenizer", "tok.json", "--workers", 1),
                *("--split", "train=.8,validation=.2"),
            ).output,
            "data": call(
                "tokenize", "unique/books", "-o", "data/books", "--tokenizer", "tok.json", "--workers", 1
            ).output,
            "blend": call(
                *("blend", "web=data/web-train:3", "books=data/books:1", "--validation", "web=data/web-validation"),
                *("-o", "blend.yaml", "--tokens", "50K", "--sequence-length", 64),
            ).output,
        }
        yield folder, outputs
    finally:
        os.chdir(before)


def rows(output: str) -> dict[str, list[str]]:
    """Lines of a table by their first word."""
    return {line.split()[0]: line.split()[1:] for line in output.splitlines() if line.strip()}


def test_clean_tells_what_was_kept_and_why_not(project):
    _, outputs = project
    assert rows(outputs["clean"])["web"][:4] == ["62", "61", "1", "0"]
    assert "quality.too_few_words" in outputs["clean"]


def test_dedup_tells_exact_and_near_copies_by_source(project):
    _, outputs = project
    assert rows(outputs["dedup"])["web"][:4] == ["61", "60", "1", "0"]
    assert "copy" in call("dedup", "x", "-o", "unique", "--explain", "p3").output


def test_decontaminate_tells_what_was_found_of_each_set(project):
    folder, _ = project
    texts = [orjson.loads(line)["text"] for line in (folder / "pages.jsonl").read_bytes().splitlines()]
    for name, places in (("quiz.jsonl", (5, 9)), ("exam.jsonl", (9, 11))):
        items = [{"question": {"stem": texts[n][200:400]}, "label": str(n)} for n in places]
        Path(name).write_bytes(b"".join(orjson.dumps(item) + b"\n" for item in items))
    words = [
        "decontaminate",
        "web=unique/web",
        "-o",
        "clear",
        "--workers",
        1,
        "--against",
        "quiz=quiz.jsonl",
        "exam.jsonl",
    ]
    output = call(*words, "--mode", "drop").output
    shown = rows(output.partition("evaluation sets")[2])
    assert shown["quiz"][:3] == shown["exam.jsonl"][:3] == ["2", "2", "2"]
    assert rows(output)["web"][:5] == ["60", "57", "0", "0", "3"]
    report = orjson.loads(call(*words, "--fields", "question.stem", "--json").stdout)
    assert {one["name"]: one["matched"] for one in report["sets"]} == {"quiz": 2, "exam.jsonl": 2}
    (found,) = orjson.loads(call("why", "p9", "--in", "clear", "--json").stdout)
    assert found["verdict"].startswith("removed: decontaminate.nothing_left (value ")
    assert ", matched: quiz: " in found["verdict"]


def test_a_dry_run_of_dedup_prints_the_curve_and_writes_nothing(project):
    output = call("dedup", "web=clean/web", "-o", "nowhere", "--dry-run").output
    assert "13 bands of 8 rows" in output
    assert "0.80" in output
    assert not Path("nowhere").exists()


def test_the_plan_of_a_blend_shows_shares(project):
    _, outputs = project
    assert rows(outputs["blend"])["web"][-1].startswith("7")


def test_inspect_knows_everything_that_was_written(project):
    for path, kind in (
        ("clean/web", "documents"),
        ("data/web-train", "indexed dataset"),
        ("blend.yaml", "blend"),
        ("tok.json", "tokenizer"),
        ("pages.jsonl", "raw input"),
        ("clean/web/manifest.json", "manifest"),
    ):
        assert orjson.loads(call("inspect", path, "--json").output)["kind"] == kind
    shown = call("inspect", "data/web-train", "--document", 1).output
    assert "|" in shown
    assert "unigram entropy" in shown


def test_verify_merge_and_export(project):
    assert "nothing is wrong" in call("verify", "data/web-train").output
    call("merge", "data/web-train", "data/books", "-o", "data/all", "--shuffle")
    report = orjson.loads(call("verify", "data/all", "--json").output)
    assert report["problems"] == []
    paths = orjson.loads(call("export-dataset", "data/all", "-o", "nano", "--to", "nanogpt", "--json").stdout)[
        "outputs"
    ]
    assert Path(paths[0]).stat().st_size == 2 * report["tokens"]


def test_verify_of_a_damaged_dataset_fails_and_says_where(project):
    folder, _ = project
    for name in ("bin", "idx", "meta.json"):
        (folder / f"data/bad.{name}").write_bytes((folder / f"data/books.{name}").read_bytes())
    data = bytearray((folder / "data/bad.bin").read_bytes())
    data[100] ^= 1
    (folder / "data/bad.bin").write_bytes(data)
    result = CliRunner().invoke(cli, ["verify", "data/bad"])
    assert result.exit_code == 1
    assert "problem: " in result.output


def test_why_follows_a_document(project):
    output = call("why", "p3", "--in", ".").output
    assert "kept" in output
    assert "removed: dedup.exact" in " ".join(output.split())


def test_init_writes_a_recipe_that_run_reads(project):
    from megadata.pipeline.recipe import load_recipe

    output = call("init", "pages.jsonl", "books=book.txt", "-o", "recipe.yaml").output
    assert "books: books" in output
    recipe = load_recipe(Path("recipe.yaml"))
    assert list(recipe.sources) == ["text", "books"]
    again = CliRunner().invoke(cli, ["init", "pages.jsonl", "-o", "recipe.yaml"])
    assert "a recipe lies here already; choose another -o, or delete it first" in again.output


def test_init_puts_every_file_of_a_mixed_folder_into_one_source(tmp_path):
    from megadata.documents.inputs import expand
    from megadata.pipeline.init import init
    from megadata.pipeline.recipe import load_recipe

    rng = random.Random(3)
    for name in ("crawl/a.html", "crawl/b.html", "more/c.html"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(f"<html><body><p>{text(rng, 60)}</p></body></html>")
    (tmp_path / "in/more/d.jsonl").write_bytes(orjson.dumps({"text": text(rng, 60)}) + b"\n")
    (tmp_path / "in/novel.txt").write_text("\n\n".join(text(rng, 500) for _ in range(60)))
    init([str(tmp_path / "in")], tmp_path / "recipe.yaml")
    recipe = load_recipe(tmp_path / "recipe.yaml")
    found = {name: one.input for name, one in recipe.sources.items()}
    assert found == {"web": ("in/crawl", "in/more/c.html"), "text": ("in/more/d.jsonl",), "books": ("in/novel.txt",)}
    names = [f.path for inputs in found.values() for f in expand([str(tmp_path / one) for one in inputs]).files]
    assert len(names) == len(set(names)) == 5


def test_rules_that_remove_nearly_all_are_named(tmp_path):
    rng = random.Random(4)
    lines = [{"id": f"d{i}", "text": text(rng, 200) if i < 2 else f"No {i}."} for i in range(30)]
    (tmp_path / "a.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    output = call("clean", tmp_path / "a.jsonl", "-o", tmp_path / "out", "--workers", 1).output
    assert "only 2 of 30 documents were kept, quality.too_few_words alone removed 28: look at some with" in output


def test_doctor_names_the_kernel_cache(project):
    assert "kernel cache" in call("doctor").output


def test_train_and_generate_from_the_command_line(project):
    pytest.importorskip("torch")
    changes = {
        "model.num_layers": 1,
        "model.hidden_size": 32,
        "model.num_attention_heads": 2,
        "data.sequence_length": 32,
        "data.batch_size": 4,
        "trainer.steps": 6,
        "trainer.threads": 1,
    }
    sets = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    result = orjson.loads(
        call("train", "--config", "gpt-tiny", "--data", "blend.yaml", "-o", "run", "--json", *sets).stdout
    )
    assert result["step"] == 6
    assert set(result["validation"]) == {"web"}
    said = call("generate", "run", "--prompt", "The", "--max-tokens", 5, "--temperature", 0).output
    assert said.startswith("The")
    assert said == call("generate", "run", "--prompt", "The", "--max-tokens", 5, "--temperature", 0).output
    assert orjson.loads(call("inspect", "run", "--json").output)["kind"] == "training run"


def test_inspect_shows_tokens_with_their_borders(project):
    shown = call("inspect", "data/web-train", "--document", "-1").stdout
    assert "in the median" in shown
    assert "its id" in shown
    found = orjson.loads(call("inspect", "data/web-train.idx", "--json").stdout)
    assert "".join(found["pieces"][:-1])
    assert found["pieces"][-1] == "<|endoftext|>"
    assert "|".join(found["pieces"][:3]) in call("inspect", "data/web-train").stdout
    result = CliRunner().invoke(cli, ["inspect", "data/web-train", "--document", "100000"])
    assert "expected a document from 0 to" in result.output
    call("export-dataset", "data/web-train", "-o", "lit", "--to", "litdata")
    assert "token files of litdata" in call("inspect", "lit").stdout
