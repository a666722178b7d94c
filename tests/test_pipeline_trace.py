"""From a training step to its documents, and from a document to the steps that saw it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from oracles_tokenize import corpus, small_tokenizer, write_jsonl

from megadata.cli import cli
from megadata.errors import ConfigError, CorpusError, IndexFormatError
from megadata.indexed.blend import Blend, Phase
from megadata.pipeline import whydata
from megadata.pipeline.trace import trace
from megadata.pipeline.why import why
from megadata.pipeline.whydata import find_document
from megadata.runtime.settings import RunSettings
from megadata.tokenize import pack, write
from megadata.tokenize.config import TokenizeConfig
from megadata.tokenize.step import tokenize
from megadata.trainer.config import config_from
from megadata.trainer.runfolder import write_run_config

L, G, STEPS = 64, 4, 30
RECORDS = [{**r, "url": f"http://a/{r['id']}"} for r in corpus(160)]


def write_run(run: Path, blend: Blend, kind: str, first: list[int], **data: object) -> None:
    """A run folder as the trainer leaves it after a step for each entry of `first`, its first sample."""
    run.mkdir(parents=True)
    model = {"kind": kind, "num_layers": 1, "hidden_size": 8, "num_attention_heads": 1, "max_position_embeddings": L}
    sizes = {"sequence_length": L, "batch_size": G, **data}
    config = config_from({"model": model, "data": sizes, "trainer": {"steps": len(first)}})
    write_run_config(run, config)
    blend.save(run / "blend.yaml")
    lines = [{"step": step, "loss": 1.0, "first_sample": sample} for step, sample in enumerate(first, 1)]
    lines.append({"step": len(first), "validation": {"a": 1.0}})
    (run / "metrics.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two datasets of 80 documents each (the second twice over, in packed rows, with repeats), and three runs on them."""
    folder = tmp_path_factory.mktemp("trace")
    patch = pytest.MonkeyPatch()
    for module in (write, pack):
        patch.setattr(module, "ROW_GROUP", 16)
    for name, records, config in (
        ("web", RECORDS[:80], TokenizeConfig(seed=3)),
        ("books", RECORDS[80:], TokenizeConfig(seed=4, repeat="cluster_size=2-:2")),
        ("packed", RECORDS[80:], TokenizeConfig(pack=L)),
    ):
        file = write_jsonl(folder / f"{name}.jsonl", records)
        tokenize([file], folder / "data" / name, small_tokenizer(), config, RunSettings(workers=1))
    patch.undo()
    two = Blend.of(
        {name: str(folder / "data" / name) for name in ("web", "books")},
        {"web": 2, "books": 1},
        phases=[Phase(from_tokens=20 * G * L, weights={"books": 3})],
        seed=6,
    )
    write_run(folder / "runs" / "gpt", two, "gpt", list(range(0, STEPS * G, G)))
    write_run(folder / "runs" / "bert", two, "bert", list(range(0, STEPS * G, G)))
    rows = Blend.of({"packed": str(folder / "data" / "packed")})
    write_run(folder / "runs" / "packed", rows, "gpt", [0, 2, 4, *range(6, 26, G)])
    return folder


@pytest.mark.parametrize("run", ["gpt", "bert", "packed"])
def test_trace_and_why_agree_on_every_document_and_step(folder, run):
    seen: dict[str, set[int]] = {}
    path = folder / "runs" / run
    steps = 8 if run == "packed" else STEPS
    for step in range(1, steps + 1):
        samples = trace(path, step)
        if run == "packed":
            first = [0, 2, 4, *range(6, 26, G)][step - 1]
            assert [s.sample for s in samples] == list(range(first, first + (2 if step < 4 else G)))
        else:
            assert [s.sample for s in samples] == list(range((step - 1) * G, step * G))
        for sample in samples:
            assert sample.documents
            for span in sample.documents:
                assert span.url == f"http://a/{span.id}"
                seen.setdefault(span.id, set()).add(step)
    assert len(seen) > 20
    for record in RECORDS[:: 4 if run == "packed" else 7]:
        found = [v for v in why(record["id"], folder) if v.stage == str(path)]
        told = set(found[0].record["steps"]) if found else set()
        assert told == seen.get(record["id"], set())


def test_the_tokens_of_a_document_are_told(folder):
    from megadata.indexed.reader import IndexedDataset

    tokenizer = small_tokenizer()
    for record in RECORDS[:80:9]:
        (place,) = find_document(str(folder / "data" / "web"), record["id"])
        data = IndexedDataset(place.prefix)
        assert data.window(place.start, place.stop - place.start).tolist() == data.document(place.document).tolist()
        assert tokenizer.decode(data.document(place.document)[:-1].tolist()) == record["text"]
    repeated = next(r for r in RECORDS[80:] if r["metadata"]["cluster_size"] > 1)
    assert len(find_document(str(folder / "data" / "books"), repeated["id"])) == 2
    assert find_document(str(folder / "data" / "web"), "nobody") == []


def test_pieces_of_packed_documents_are_told(folder):
    from megadata.indexed.reader import IndexedDataset

    tokenizer = small_tokenizer()
    data = IndexedDataset(folder / "data" / "packed")
    for record in RECORDS[80::11]:
        places = find_document(data.prefix, record["id"])
        tokens = [t for p in places for t in data.window(p.start, p.stop - p.start).tolist()]
        expected = tokenizer.encode(record["text"]).tolist()
        assert sorted(tokens) == sorted([*expected, tokenizer.eod] if expected else [])


def test_one_row_group_is_read(folder, monkeypatch):
    file = pq.ParquetFile(folder / "data" / "web.docs.parquet")
    assert file.metadata.num_row_groups == 5
    read = []
    matches = whydata._matches
    monkeypatch.setattr(whydata, "_matches", lambda f, group, *rest: read.append(group) or matches(f, group, *rest))
    assert find_document(str(folder / "data" / "web"), RECORDS[5]["id"])
    assert len(read) == 1


def test_a_dataset_whose_order_is_not_that_of_its_keys_is_searched_whole(folder, tmp_path):
    file = write_jsonl(tmp_path / "in.jsonl", RECORDS[:50])
    tokenize([file], tmp_path / "plain", small_tokenizer(), TokenizeConfig(shuffle=False), RunSettings(workers=1))
    (place,) = find_document(str(tmp_path / "plain"), RECORDS[7]["id"])
    assert place.document == 7


def test_commands_print_both_ways(folder):
    result = CliRunner().invoke(cli, ["trace", str(folder / "runs" / "gpt"), "--step", "21", "--json"])
    samples = orjson.loads(result.output)
    assert [sample["sample"] for sample in samples] == [80, 81, 82, 83]
    own = samples[0]["documents"][0]["id"]
    table = CliRunner().invoke(cli, ["trace", str(folder / "runs" / "gpt"), "--step", "21"], terminal_width=200).output
    assert "step 21" in table
    assert "80" in table
    told = CliRunner().invoke(cli, ["why", own, "--in", str(folder), "--json"])
    found = {Path(row["stage"]).name: row for row in orjson.loads(told.output)}
    assert 21 in found["gpt"]["record"]["steps"]
    assert found["gpt"]["verdict"].startswith(f"seen {len(found['gpt']['record']['steps'])} times in 30 steps, at ")


def test_what_cannot_be_traced_is_told_in_a_sentence(folder, tmp_path):
    with pytest.raises(ConfigError, match="step 31 asked for, the run has taken the steps 1 to 30"):
        trace(folder / "runs" / "gpt", 31)
    with pytest.raises(ConfigError, match=r"expected a training run with its config\.yaml"):
        trace(folder / "data", 1)
    with pytest.raises(CorpusError, match="knows a document of this id"):
        why("nobody", folder)
    with pytest.raises(CorpusError, match=r"expected an output of clean or dedup with a keys\.idx, or of tokenize"):
        why("nobody", tmp_path)
    for end in ("bin", "idx", "meta.json"):
        (tmp_path / f"w.{end}").write_bytes((folder / "data" / f"web.{end}").read_bytes())
    (tmp_path / "w.docs.parquet").write_bytes((folder / "data" / "books.docs.parquet").read_bytes())
    with pytest.raises(IndexFormatError, match="it belongs to another dataset"):
        find_document(str(tmp_path / "w"), "x")
    (tmp_path / "w.docs.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(IndexFormatError, match="cannot be read as Parquet"):
        find_document(str(tmp_path / "w"), "x")


def test_a_run_without_a_step_is_told(folder, tmp_path):
    blend = Blend.load(folder / "runs" / "gpt" / "blend.yaml")
    write_run(tmp_path / "run", replace(blend, phases=()), "gpt", [0])
    (tmp_path / "run" / "metrics.jsonl").write_bytes(b"")
    with pytest.raises(ConfigError, match="the run has not taken a step yet"):
        trace(tmp_path / "run", 1)
