from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import count

import numpy as np
import pyarrow.parquet as pq
import pytest
from oracles_tokenize import corpus, digests, ids_of, shuffle_order, sized_tokenizer, small_tokenizer, write_jsonl

from megadata.documents import fields, inputs
from megadata.errors import ConfigError, CorpusError, OutputError, TokenizerError
from megadata.indexed.format import parse_index
from megadata.indexed.meta import read_meta
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.verify import verify
from megadata.runtime import exchange
from megadata.runtime.settings import RunSettings
from megadata.tokenize import encode, layout, step, unit, write
from megadata.tokenize.config import TokenizeConfig
from megadata.tokenize.convert import byte_level
from megadata.tokenize.load import from_content, load_tokenizer
from megadata.tokenize.patterns import byte_alphabet
from megadata.tokenize.records import DOCS_SCHEMA
from megadata.tokenize.sentences import split_sentences
from megadata.tokenize.specials import added_token
from megadata.tokenize.step import tokenize

RECORDS = corpus(150)
TEXT_OF = {r["id"]: r["text"] for r in RECORDS}
GOLDEN = {"bin": "29a43ce8761fd56e", "idx": "863a3bcf88e9b290", "tokenizer.json": "1326cbf6e77814dd"}


@pytest.fixture
def many_units(monkeypatch):
    """Units and key ranges of a few documents, in this process."""
    monkeypatch.setattr(step, "plan", lambda files: inputs.plan(files, 4096))
    monkeypatch.setattr(layout, "RANGE_BYTES", 1 << 14)
    monkeypatch.setattr(exchange, "MIN_RANGE_BYTES", 1 << 14)


def run(folder, files, workers=1, tokenizer=None, memory=4 << 30, **config):
    folder.mkdir(exist_ok=True)
    settings = RunSettings(workers=workers, memory=memory)
    return tokenize(files, folder / "web", tokenizer or small_tokenizer(), TokenizeConfig(**config), settings)


def documents(prefix):
    """(id, token ids) of each document, in order."""
    data = IndexedDataset(str(prefix))
    ids = pq.read_table(f"{prefix}.docs.parquet")["id"].to_pylist()
    return [(own, data.document(number).tolist()) for number, own in enumerate(ids)]


def expected(text, tokenizer=None, eod=True):
    tokenizer = tokenizer or small_tokenizer()
    ids = ids_of(tokenizer, text)
    return [*ids, tokenizer.eod] if ids and eod else ids


def test_every_document_is_there_once_in_shuffled_order(tmp_path, many_units):
    file = write_jsonl(tmp_path / "a.jsonl", RECORDS)
    report = run(tmp_path / "out", [file])
    found = documents(tmp_path / "out" / "web")
    assert [own for own, _ in found] == shuffle_order(TEXT_OF, 0)
    assert all(ids == expected(TEXT_OF[own]) for own, ids in found)
    assert report.documents == 150
    assert report.empty == sum(1 for text in TEXT_OF.values() if not text) > 0
    assert report.tokens == sum(len(ids) for _, ids in found)
    assert report.encoder == "gigatoken"
    assert verify(str(tmp_path / "out" / "web"), deep=True)


def test_the_same_documents_give_the_same_bytes_in_every_version(tmp_path):
    """When this fails on purpose, `step.VERSION` must rise."""
    alphabet = {letter: number for number, letter in enumerate(sorted(byte_alphabet()))}
    vocabulary = {**alphabet, "th": 256, "the": 257, "Ġthe": 258}
    pairs = [("t", "h"), ("th", "e"), ("Ġ", "the")]
    tokenizer = from_content(byte_level(vocabulary, pairs, [added_token("<|endoftext|>", 259)], "gpt2"), "fixed")
    records = [{"id": f"doc-{n}", "text": f"the {n} other\n\n the th" * (n % 4), "url": "u"} for n in range(40)]
    run(tmp_path / "out", [write_jsonl(tmp_path / "a.jsonl", records)], tokenizer=tokenizer, seed=1)
    found = digests(tmp_path / "out")
    assert step.VERSION == "2"
    assert {name: found[f"web.{name}"][:16] for name in ("bin", "idx", "tokenizer.json")} == GOLDEN


def test_an_empty_document_keeps_its_place_without_sequence_or_end_token(tmp_path):
    file = write_jsonl(
        tmp_path / "a.jsonl", [{"id": "a", "text": "x"}, {"id": "b", "text": ""}, {"id": "c", "text": "y"}]
    )
    run(tmp_path / "out", [file], shuffle=False)
    index = parse_index(tmp_path / "out" / "web")
    assert (index.documents, index.sequences) == (3, 2)
    assert [len(ids) for _, ids in documents(tmp_path / "out" / "web")] == [2, 0, 2]


def test_without_shuffle_the_order_is_that_of_the_input(tmp_path, many_units):
    files = [write_jsonl(tmp_path / f"{n}.jsonl", RECORDS[n::3]) for n in range(3)]
    run(tmp_path / "out", files, shuffle=False, eod=False)
    found = documents(tmp_path / "out" / "web")
    assert [own for own, _ in found] == [r["id"] for n in range(3) for r in RECORDS[n::3]]
    assert all(ids == expected(TEXT_OF[own], eod=False) for own, ids in found)
    meta = read_meta(tmp_path / "out" / "web")
    assert (meta.shuffled, meta.seed, meta.appended_eod) == (False, None, False)


def test_order_and_tokens_do_not_depend_on_files_units_or_memory(tmp_path, monkeypatch):
    files = [write_jsonl(tmp_path / f"{n}.jsonl", RECORDS[n::3]) for n in range(3)]
    found = []
    monkeypatch.setattr(exchange, "MIN_RANGE_BYTES", 1 << 12)
    monkeypatch.setattr(fields, "BATCH_DOCUMENTS", 7)
    for unit_bytes, range_bytes in ((2000, 1 << 16), (8 << 20, 128 << 20), (5000, 1 << 13)):
        monkeypatch.setattr(unit, "CHUNK_BYTES", range_bytes // 64)
        monkeypatch.setattr(step, "plan", lambda f, size=unit_bytes: inputs.plan(f, size))
        monkeypatch.setattr(layout, "RANGE_BYTES", range_bytes)
        out = tmp_path / f"out-{unit_bytes}"
        run(out, files if unit_bytes != 5000 else [write_jsonl(tmp_path / "all.jsonl", RECORDS)], seed=3)
        found.append((digests(out)["web.bin"], digests(out)["web.idx"]))
        assert [own for own, _ in documents(out / "web")] == shuffle_order(TEXT_OF, 3)
    assert len(set(found)) == 1


def test_every_byte_is_the_same_for_one_two_and_five_workers(tmp_path, monkeypatch):
    files = [write_jsonl(tmp_path / f"{n}.jsonl", RECORDS[n::3]) for n in range(3)]
    monkeypatch.setattr(step, "plan", lambda f: inputs.plan(f, 4096))
    found = []
    for workers in (1, 2, 5):
        out = tmp_path / f"out-{workers}"
        run(out, files, workers, split={"train": 0.9, "validation": 0.1}, memory=64 << 20 if workers == 5 else 4 << 30)
        found.append(digests(out))
    assert found[0] == found[1] == found[2]
    assert {"web-train.bin", "web-validation.bin"} <= set(found[0])


class Killed(BaseException):
    """What a test raises where a process is to end."""


def _dying(function, call):
    """`function`, whose call of that number ends the run."""
    calls = count(1)

    def until(*arguments, **named):
        if next(calls) == call:
            raise Killed
        return function(*arguments, **named)

    return until


@pytest.mark.parametrize("sentences", [False, True])
def test_a_run_killed_anywhere_goes_on_to_the_same_bytes(tmp_path, many_units, monkeypatch, sentences):
    file = write_jsonl(tmp_path / "a.jsonl", RECORDS)
    options = {"split": {"train": 0.8, "validation": 0.2}, "sentences": sentences}
    run(tmp_path / "whole", [file], **options)
    places = [
        (unit, "interleave", 7),
        (unit.EncodeUnit, "_records", 3),
        (layout.CountRange, "__call__", 1),
        (write, "preallocate", 3),
        (write.PlaceRange, "__call__", 2),
        (write, "docs_table", 3),
        (step, "complete", 2),
        (write, "finish", 1),
        (step, "_files_of", 1),
    ]
    for owner, name, call in places:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, _dying(getattr(owner, name), call))
            with pytest.raises(Killed):
                run(tmp_path / "killed", [file], **options)
    report = run(tmp_path / "killed", [file], **options)
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")
    assert not report.skipped
    assert run(tmp_path / "killed", [file], **options) == replace(report, skipped=True)


def test_a_damaged_temporary_is_written_again(tmp_path, many_units, monkeypatch):
    file = write_jsonl(tmp_path / "a.jsonl", RECORDS)
    run(tmp_path / "whole", [file])
    with monkeypatch.context() as patch:
        patch.setattr(step, "complete", lambda *a: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tmp_path / "killed", [file])
    (tmp_path / "killed" / "web.bin.tmp").unlink()
    run(tmp_path / "killed", [file])
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")


def test_what_is_done_is_not_done_again_and_what_changed_is(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", RECORDS)
    first = run(tmp_path / "out", [file])
    assert run(tmp_path / "out", [file]).skipped
    moved = shutil.move(tmp_path / "a.jsonl", tmp_path / "b")
    assert run(tmp_path / "out", [replace(file, path=str(moved))]).skipped
    changed = write_jsonl(tmp_path / "a.jsonl", [*RECORDS, {"id": "new", "text": "one more"}])
    report = run(tmp_path / "out", [changed])
    assert not report.skipped
    assert report.documents == first.documents + 1
    assert not run(tmp_path / "out", [changed], seed=1).skipped
    assert not run(tmp_path / "out", [changed], seed=1, tokenizer=small_tokenizer("qwen")).skipped
    (tmp_path / "out" / "web.bin").unlink()
    assert not run(tmp_path / "out", [changed], seed=1, tokenizer=small_tokenizer("qwen")).skipped


def test_one_dataset_for_each_value_and_split(tmp_path, many_units):
    file = write_jsonl(tmp_path / "a.jsonl", [*RECORDS, {"id": "none", "text": "x"}])
    report = run(tmp_path / "out", [file], by="language", split={"train": 0.9, "validation": 0.1})
    names = {d.prefix.rsplit("/", 1)[1]: d for d in report.datasets}
    assert {"web-en-train", "web-de-train", "web-fr-train", "web-en-validation"} <= set(names)
    assert sum(d.documents for d in report.datasets) == 151
    for record in RECORDS[:20]:
        owners = [
            d for d in names if record["id"] in pq.read_table(tmp_path / "out" / f"{d}.docs.parquet")["id"].to_pylist()
        ]
        assert len(owners) == 1
        assert owners[0].startswith(f"web-{record['metadata']['language']}-")
    assert any(name.startswith("web-unknown-") for name in names)
    for name in names:
        found = documents(tmp_path / "out" / name)
        assert [own for own, _ in found] == shuffle_order([own for own, _ in found], 0)
        assert all(ids == expected(TEXT_OF.get(own, "x")) for own, ids in found)


def test_datasets_of_an_earlier_configuration_are_removed(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", RECORDS)
    run(tmp_path / "out", [file], by="language")
    (tmp_path / "out" / "other.bin").touch()
    run(tmp_path / "out", [file])
    names = {p.name.split(".")[0] for p in (tmp_path / "out").iterdir() if not p.name.startswith(".")}
    assert names == {"web", "other"}


def test_documents_keep_their_split_as_the_corpus_grows(tmp_path):
    split = {"train": 0.7, "validation": 0.3}
    run(tmp_path / "small", [write_jsonl(tmp_path / "a.jsonl", RECORDS[:60])], split=split)
    run(tmp_path / "large", [write_jsonl(tmp_path / "b.jsonl", RECORDS)], split=split, seed=9)
    for name in split:
        small = {own for own, _ in documents(tmp_path / "small" / f"web-{name}")}
        large = {own for own, _ in documents(tmp_path / "large" / f"web-{name}")}
        assert small == large & {r["id"] for r in RECORDS[:60]}


def test_a_split_without_documents_is_told(tmp_path):
    report = run(
        tmp_path / "out", [write_jsonl(tmp_path / "a.jsonl", RECORDS[:3])], split={"train": 0.999, "validation": 0.001}
    )
    assert report.notes == ("split validation has no documents, so nothing was written for it",)
    assert [d.prefix for d in report.datasets] == [str(tmp_path / "out" / "web-train")]


def test_files_hold_at_most_the_tokens_asked_for(tmp_path, many_units):
    file = write_jsonl(tmp_path / "a.jsonl", RECORDS)
    run(tmp_path / "one", [file])
    report = run(tmp_path / "many", [file], max_tokens_per_file=2000)
    assert [d.prefix.rsplit("/", 1)[1] for d in report.datasets][:2] == ["web-00000", "web-00001"]
    assert all(d.tokens <= 2000 for d in report.datasets)
    together = [one for d in report.datasets for one in documents(d.prefix)]
    assert together == documents(tmp_path / "one" / "web")
    first = len(documents(report.datasets[0].prefix))
    assert report.datasets[0].tokens + len(together[first][1]) > 2000
    few = write_jsonl(tmp_path / "few.jsonl", RECORDS[:8])
    alone = run(tmp_path / "alone", [few], max_tokens_per_file=1)
    assert all(d.tokens for d in alone.datasets)
    assert len(alone.datasets) == sum(1 for r in RECORDS[:8] if r["text"])


def test_sequences_are_sentences_where_that_is_asked_for(tmp_path, many_units):
    file = write_jsonl(tmp_path / "a.jsonl", RECORDS)
    run(tmp_path / "out", [file], sentences=True)
    data = IndexedDataset(str(tmp_path / "out" / "web"))
    meta = read_meta(tmp_path / "out" / "web")
    assert meta.level == "sentence"
    ids = pq.read_table(tmp_path / "out" / "web.docs.parquet")["id"].to_pylist()
    assert ids == shuffle_order(TEXT_OF, 0)
    language = {r["id"]: r["metadata"]["language"] for r in RECORDS}
    at = 0
    for own in ids:
        sentences = [ids_of(small_tokenizer(), s) for s in split_sentences(TEXT_OF[own], language[own])]
        sentences = [s for s in sentences if s]
        for number, sentence in enumerate(sentences):
            last = [small_tokenizer().eod] if number == len(sentences) - 1 else []
            assert data[at].tolist() == [*sentence, *last]
            at += 1
    assert at == len(data)
    assert parse_index(tmp_path / "out" / "web").documents == len(ids)


def test_provenance_lies_beside_the_tokens(tmp_path, many_units):
    records = [*RECORDS, {"id": "bare", "text": "x"}, {"id": "odd", "text": "y", "metadata": {"cluster_size": "many"}}]
    files = [write_jsonl(tmp_path / f"{n}.jsonl", records[n::2]) for n in range(2)]
    run(tmp_path / "out", files)
    table = pq.read_table(tmp_path / "out" / "web.docs.parquet")
    assert table.schema == DOCS_SCHEMA
    rows = {row["id"]: row for row in table.to_pylist()}
    assert rows["doc-00003"] == {
        "id": "doc-00003",
        "source": "text",
        "url": "https://example.org/3",
        "shard": "1.jsonl",
        "cluster_size": 4,
        "key": rows["doc-00003"]["key"],
    }
    assert (rows["bare"]["url"], rows["bare"]["cluster_size"], rows["odd"]["cluster_size"]) == (None, None, None)
    keys = table["key"].to_pylist()
    assert keys == sorted(keys)


def test_row_groups_do_not_depend_on_key_ranges(tmp_path, monkeypatch, many_units):
    monkeypatch.setattr(write, "ROW_GROUP", 40)
    run(tmp_path / "out", [write_jsonl(tmp_path / "a.jsonl", RECORDS)])
    metadata = pq.ParquetFile(tmp_path / "out" / "web.docs.parquet").metadata
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [40, 40, 40, 30]


def test_the_sidecar_says_what_the_tokens_cannot(tmp_path):
    run(tmp_path / "out", [write_jsonl(tmp_path / "a.jsonl", RECORDS)], seed=5)
    meta = read_meta(tmp_path / "out" / "web")
    tokenizer = small_tokenizer()
    assert (meta.vocabulary_size, meta.eod, meta.appended_eod) == (1500, 0, True)
    assert meta.special_tokens == tokenizer.special
    assert meta.tokenizer_sha256 == tokenizer.sha256
    assert load_tokenizer(tmp_path / "out" / meta.tokenizer_path) == tokenizer
    assert meta.word_starts().tolist() == tokenizer.word_start.tolist()
    assert (meta.shuffled, meta.seed, meta.level, meta.dtype) == (True, 5, "document", "uint16")
    assert meta.config["shuffle"] is True


@pytest.mark.parametrize(
    ("size", "policy", "dtype"),
    [
        (65_499, "auto", "uint16"),
        (65_500, "auto", "uint16"),
        (65_536, "auto", "uint16"),
        (65_537, "auto", "int32"),
        (65_499, "megatron", "uint16"),
        (65_500, "megatron", "int32"),
        (65_536, "megatron", "int32"),
        (65_537, "megatron", "int32"),
        (65_536, "uint16", "uint16"),
        (2_000, "int32", "int32"),
    ],
)
def test_tokens_are_as_wide_as_the_vocabulary_needs(tmp_path, size, policy, dtype):
    tokenizer = sized_tokenizer(size)
    report = run(tmp_path / "out", [write_jsonl(tmp_path / "a.jsonl", RECORDS[:20])], tokenizer=tokenizer, dtype=policy)
    assert report.dtype == parse_index(tmp_path / "out" / "web").dtype.name == dtype
    for own, ids in documents(tmp_path / "out" / "web"):
        assert ids == expected(TEXT_OF[own])


def test_a_vocabulary_too_large_for_the_type_asked_for_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"65537 entries does not fit dtype uint16"):
        run(
            tmp_path / "o",
            [write_jsonl(tmp_path / "a.jsonl", RECORDS)],
            tokenizer=sized_tokenizer(65_537),
            dtype="uint16",
        )


def test_special_tokens_in_documents_do_not_end_them(tmp_path):
    records = [{"id": "a", "text": "one<|endoftext|>two [MASK] <|endoftext|>"}]
    run(tmp_path / "out", [write_jsonl(tmp_path / "a.jsonl", records)])
    ((_, ids),) = documents(tmp_path / "out" / "web")
    assert [i for i in ids if i in small_tokenizer().special.values()] == [small_tokenizer().eod]
    assert small_tokenizer().decode(ids[:-1]) == records[0]["text"]


@pytest.mark.parametrize("encoder", ["gigatoken", "tokenizers"])
def test_special_tokens_in_documents_are_ids_where_that_is_asked_for(tmp_path, monkeypatch, encoder):
    if encoder == "tokenizers":
        monkeypatch.setattr(unit, "choose_encoder", lambda *a: encode.Choice("tokenizers", "asked"))
    records = [{"id": "a", "text": "one<|endoftext|>two [MASK] <|endoftext|>"}, *RECORDS[:20]]
    report = run(tmp_path / "out", [write_jsonl(tmp_path / "a.jsonl", records)], parse_special=True)
    assert report.encoder == encoder
    ids = dict(documents(tmp_path / "out" / "web"))["a"]
    special = small_tokenizer().special
    assert [i for i in ids if i in special.values()] == [special[r] for r in ("eod", "mask", "eod", "eod")]


def test_repeated_ids_keep_the_order_of_the_input(tmp_path, many_units):
    records = [{"id": "same", "text": f"text {n}"} for n in range(50)]
    run(tmp_path / "out", [write_jsonl(tmp_path / "a.jsonl", records)])
    found = documents(tmp_path / "out" / "web")
    assert [ids for _, ids in found] == [expected(r["text"]) for r in records]


def test_when_the_encoders_differ_the_whole_run_uses_tokenizers(tmp_path, many_units, monkeypatch):
    file = write_jsonl(tmp_path / "a.jsonl", [*RECORDS, {"id": "zebra", "text": "zebra " * 50}])
    right = encode.backend
    used = []

    class Wrong:
        def encode(self, text, offsets):
            ids, lengths = right(small_tokenizer(), "gigatoken").encode(text, offsets)
            return (np.zeros_like(ids) if b"zebra" in text.tobytes() else ids), lengths

    def backend(tokenizer, name):
        used.append(name)
        return Wrong() if name == "gigatoken" else right(tokenizer, name)

    monkeypatch.setattr(encode, "backend", backend)
    monkeypatch.setattr(encode, "_MIN_SAMPLE", 1 << 20)
    report = run(tmp_path / "out", [file])
    assert report.encoder == "tokenizers"
    assert report.notes[0].startswith("encoded with `tokenizers`: unit ")
    found = dict(documents(tmp_path / "out" / "web"))
    assert found["zebra"] == expected("zebra " * 50)
    assert all(found[own] == expected(text) for own, text in TEXT_OF.items())
    assert run(tmp_path / "out", [file]).skipped
    monkeypatch.setattr(encode, "backend", right)


def test_a_run_that_changed_its_encoder_and_was_killed_does_not_try_the_first_again(tmp_path, many_units, monkeypatch):
    file = write_jsonl(tmp_path / "a.jsonl", RECORDS)

    def differs(self, text, offsets, run, unit):
        raise unit_module.EncoderDiffersError("they differ")

    unit_module = unit
    monkeypatch.setattr(unit.EncodeUnit, "_compare", differs)
    with monkeypatch.context() as patch:
        patch.setattr(step, "cut_ranges", lambda *a: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tmp_path / "out", [file])
    monkeypatch.undo()
    report = run(tmp_path / "out", [file])
    assert report.encoder == "tokenizers"
    assert report.notes == ("encoded with `tokenizers`: they differ",)


def test_damaged_records_are_counted(tmp_path):
    path = tmp_path / "a.jsonl"
    file = write_jsonl(path, RECORDS[:3])
    path.write_bytes(path.read_bytes() + b"{broken\n")
    report = run(tmp_path / "out", [replace(file, size=path.stat().st_size)])
    assert report.documents == 3
    assert sum(report.problems.values()) == 1
    assert "1 records: bad_json" in report.table()


def test_inputs_without_documents_are_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"expected documents in 1 files, found none"):
        run(tmp_path / "out", [write_jsonl(tmp_path / "a.jsonl", [])])


def test_a_tokenizer_without_an_end_token_needs_to_be_told(tmp_path):
    content = small_tokenizer().document
    added = [t for t in content["added_tokens"] if t["content"] != "<|endoftext|>"]
    bare = from_content({**content, "added_tokens": added}, "bare")
    file = write_jsonl(tmp_path / "a.jsonl", RECORDS[:5])
    with pytest.raises(TokenizerError, match=r"no end-of-document token .* write without one \(--no-eod\)"):
        run(tmp_path / "out", [file], tokenizer=bare)
    run(tmp_path / "out", [file], tokenizer=bare, eod=False)
    assert read_meta(tmp_path / "out" / "web").eod is None


def test_a_folder_is_no_prefix(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", RECORDS[:5])
    with pytest.raises(
        ConfigError, match=r"expected the beginning of file names, found a folder; add a name, as in .*/corpus"
    ):
        tokenize([file], tmp_path, small_tokenizer(), TokenizeConfig(), RunSettings(workers=1))


def test_files_of_a_dataset_that_we_did_not_make_are_not_replaced(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", RECORDS[:5])
    (tmp_path / "out").mkdir()
    for name, config in (("web.bin", {}), ("web-train.idx", {"split": {"train": 1.0}})):
        (tmp_path / "out" / name).write_text("mine")
        with pytest.raises(OutputError, match=rf"out/{name}: expected none of this name, .* choose another -o"):
            run(tmp_path / "out", [file], **config)
        assert (tmp_path / "out" / name).read_text() == "mine"
        (tmp_path / "out" / name).unlink()
        assert run(tmp_path / "out", [file], **config).documents == 5
        assert run(tmp_path / "out", [file], seed=7, **config).documents == 5, "our own are replaced"
