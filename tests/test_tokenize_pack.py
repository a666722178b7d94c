"""Repeated and packed documents: what is written, and that readers know it."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from oracles_tokenize import corpus, digests, ids_of, shuffle_order, small_tokenizer, write_jsonl

from megadata.documents import inputs
from megadata.errors import ConfigError, TokenizerError
from megadata.indexed.batch import IGNORED, gpt_batch
from megadata.indexed.blend import Blend
from megadata.indexed.gpt import GptSamples
from megadata.indexed.merge import merge
from megadata.indexed.meta import read_meta
from megadata.indexed.packing import pack
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.verify import verify
from megadata.runtime import exchange
from megadata.runtime.settings import RunSettings
from megadata.tokenize import layout, step, write
from megadata.tokenize import pack as packing
from megadata.tokenize.config import TokenizeConfig
from megadata.tokenize.load import from_content
from megadata.tokenize.repeat import parse_repeat
from megadata.tokenize.step import tokenize

RECORDS = corpus(120)
TEXT_OF = {r["id"]: r["text"] for r in RECORDS}
SIZE_OF = {r["id"]: r["metadata"]["cluster_size"] for r in RECORDS}
LENGTH = 128
PAD = small_tokenizer().special["pad"]
EOD = small_tokenizer().eod


@pytest.fixture
def many_units(monkeypatch):
    """Units, key ranges and windows of a few documents."""
    monkeypatch.setattr(step, "plan", lambda files: inputs.plan(files, 4096))
    monkeypatch.setattr(layout, "RANGE_BYTES", 1 << 13)
    monkeypatch.setattr(exchange, "MIN_RANGE_BYTES", 1 << 13)
    monkeypatch.setattr(packing, "WINDOW_TOKENS", 4000)


def run(folder, records=RECORDS, workers=1, tokenizer=None, **config):
    folder.mkdir(exist_ok=True)
    file = write_jsonl(folder.parent / "in.jsonl", records)
    return tokenize(
        [file], folder / "web", tokenizer or small_tokenizer(), TokenizeConfig(**config), RunSettings(workers=workers)
    )


def ids_in(prefix):
    return pq.read_table(f"{prefix}.docs.parquet")["id"].to_pylist()


def test_documents_are_repeated_by_a_field_and_copies_lie_apart(tmp_path, many_units):
    run(tmp_path / "plain")
    report = run(tmp_path / "out", repeat="cluster_size=1:1,2-3:2,4-:5")
    times = {own: {1: 1, 2: 2, 3: 2, 4: 5}[size] for own, size in SIZE_OF.items()}
    found = ids_in(tmp_path / "out" / "web")
    assert {own: found.count(own) for own in times} == times
    assert report.documents == 120
    assert report.copies == len(found) - 120
    assert f"{report.copies} copies of documents were written besides the 120 documents" in report.table()
    data = IndexedDataset(str(tmp_path / "out" / "web"))
    for number, own in enumerate(found):
        ids = ids_of(small_tokenizer(), TEXT_OF[own])
        assert data.document(number).tolist() == ([*ids, EOD] if ids else [])
    firsts = [own for own in found if times[own] == 1]
    assert firsts == [own for own in ids_in(tmp_path / "plain" / "web") if times[own] == 1]
    places = [np.flatnonzero(np.array(found) == own) for own in times if times[own] == 5]
    gaps = np.concatenate([np.diff(place) for place in places])
    assert gaps.mean() > len(found) / 15, "copies are spread over the dataset"
    keys = pq.read_table(tmp_path / "out" / "web.docs.parquet")["key"].to_pylist()
    assert keys == sorted(keys)


def test_without_shuffle_copies_follow_their_document(tmp_path):
    run(tmp_path / "out", RECORDS[:4], repeat="cluster_size=2-:2", shuffle=False)
    assert ids_in(tmp_path / "out" / "web") == [f"doc-0000{n}" for n in (0, 1, 1, 2, 2, 3, 3)]


def test_documents_are_repeated_by_the_text_of_a_field(tmp_path):
    run(tmp_path / "out", repeat="language=de:3")
    found = ids_in(tmp_path / "out" / "web")
    assert all(found.count(r["id"]) == (3 if r["metadata"]["language"] == "de" else 1) for r in RECORDS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cluster_size", r"expected FIELD=VALUE:COPIES,..., for example cluster_size=1:1"),
        ("cluster_size=1", r"found '1'"),
        ("a=1:x", r"found '1:x'"),
        ("a=1:0", r"expected 1 to 100 copies, found 0; documents that are not wanted are removed by `megadata clean`"),
        ("a=1:101", r"found 101"),
        ("a=4-2:2", r"expected a range that rises, found '4-2'"),
        ("a=1-3:2,3-:4", r"3 lies in two ranges"),
        ("a=1-:2,5:4", r"5 lies in two ranges"),
        ("a=en:2,en:3", r"'en' is named twice"),
    ],
)
def test_a_wrong_table_of_copies_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_repeat(text)


def test_what_the_table_does_not_name_is_written_once():
    table = parse_repeat("a.b=2-4:3,x:2")
    values = [{"a": {"b": v}} for v in (1, 2, 4, 5, "x", "y", True, 2.0, None)]
    assert table.copies([*values, {}]) == [1, 3, 3, 1, 2, 1, 1, 1, 1, 1]


def rows_of(prefix):
    """(documents: id, start, tokens; token ids) of each row."""
    data = IndexedDataset(str(prefix))
    table = pq.read_table(f"{prefix}.docs.parquet").to_pylist()
    assert len(table) == len(data) == data.documents
    names = ("id", "start", "tokens")
    return [(list(zip(*(row[n] for n in names), strict=True)), data.document(d)) for d, row in enumerate(table)]


def test_packed_rows_hold_every_token_once_and_padding_behind_them(tmp_path, many_units):
    report = run(tmp_path / "out", pack=LENGTH)
    rows = rows_of(tmp_path / "out" / "web")
    pieces = {own: {} for own in TEXT_OF}
    padding = 0
    for documents, tokens in rows:
        assert tokens.size == LENGTH
        at = 0
        for own, start, size in documents:
            pieces[own][start] = tokens[at : at + size].tolist()
            at += size
        assert (tokens[at:] == PAD).all()
        padding += LENGTH - at
    whole = {own: [token for start in sorted(parts) for token in parts[start]] for own, parts in pieces.items()}
    for own, text in TEXT_OF.items():
        assert whole[own] == ([*ids_of(small_tokenizer(), text), EOD] if text else [])
    lengths = [len(ids) for ids in whole.values()]
    cut = sum(length > LENGTH for length in lengths)
    told = (
        f"packed into {len(rows):,} rows of 128 tokens: {padding / (len(rows) * LENGTH):.2%} padding, nothing left out"
    )
    assert report.notes == (f"{told}, {cut} documents longer than a row were cut",)
    assert len(rows) <= pack(lengths, LENGTH).rows * 1.1, "windows cost few rows"
    order = [own for own in shuffle_order(TEXT_OF, 0) if TEXT_OF[own]]
    firsts = [min(order.index(own) for own, _, _ in documents) for documents, _ in rows]
    assert np.corrcoef(firsts, np.arange(len(firsts)))[0, 1] > 0.9, "rows lie in the order of the shuffle"
    assert verify(str(tmp_path / "out" / "web"), deep=True)
    meta = read_meta(tmp_path / "out" / "web")
    assert (meta.pack, meta.padding, meta.appended_eod, meta.shuffled) == (LENGTH, PAD, False, True)


def test_packed_bytes_do_not_depend_on_workers_units_or_kills(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "WINDOW_TOKENS", 4000)
    config = {"pack": 64, "split": {"train": 0.8, "validation": 0.2}, "max_tokens_per_file": 640}
    run(tmp_path / "whole", workers=2, **config)
    monkeypatch.setattr(step, "plan", lambda files: inputs.plan(files, 4096))
    monkeypatch.setattr(layout, "RANGE_BYTES", 1 << 13)
    monkeypatch.setattr(exchange, "MIN_RANGE_BYTES", 1 << 13)
    places = [
        (write.PlaceRange, "__call__", 2),
        (step, "complete", 2),
        (packing, "pack_datasets", 1),
        (packing, "packing_of", 4),
        (packing.PlaceRows, "__call__", 2),
        (packing, "write_piece", 9),
        (step, "complete", 5),
    ]
    for owner, name, call in places:
        with monkeypatch.context() as patch:
            real, calls = getattr(owner, name), [0]

            def dying(*a, real=real, calls=calls, call=call):
                calls[0] += 1
                if calls[0] == call:
                    raise KeyboardInterrupt
                return real(*a)

            patch.setattr(owner, name, dying)
            if (owner, name) == (packing, "pack_datasets"):
                patch.setattr(step, name, dying)
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path / "killed", **config)
    report = run(tmp_path / "killed", **config)
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")
    assert all(d.tokens <= 640 and d.tokens % 64 == 0 for d in report.datasets)
    assert [p.name for p in (tmp_path / "killed" / ".web.megadata" / ".megadata").glob("work")] == []
    assert run(tmp_path / "killed", **config).skipped


def test_every_sample_of_packed_data_is_a_row_in_every_epoch(tmp_path, many_units):
    run(tmp_path / "out", pack=LENGTH)
    rows = {tokens.tobytes() for _, tokens in rows_of(tmp_path / "out" / "web")}
    samples = Blend.of({"web": str(tmp_path / "out" / "web")}).samples(LENGTH)
    for epoch in range(3):
        taken = samples.batch(epoch * samples.epoch, (epoch + 1) * samples.epoch)[:, :-1]
        assert {row.astype(np.uint16).tobytes() for row in taken} == rows
    for k in range(5):
        at = 0
        for span in samples.provenance(k):
            ids = [*ids_of(small_tokenizer(), TEXT_OF[span.id]), EOD][span.start : span.start + span.length]
            place = (
                at if samples[k][at : at + span.length].tolist() == ids else LENGTH
            )  # the last label is of another row
            assert samples[k][place : place + span.length].tolist() == ids
            at += span.length
    with pytest.raises(
        ConfigError, match=r"'web' was packed into rows of 128 tokens, the samples have 64; use samples of"
    ):
        Blend.of({"web": str(tmp_path / "out" / "web")}).samples(64)


def test_padding_has_no_loss(tmp_path, many_units):
    run(tmp_path / "out", pack=LENGTH)
    samples = Blend.of({"web": str(tmp_path / "out" / "web")}).samples(LENGTH)
    batch = GptSamples(samples).batch(0, samples.epoch)
    padding = batch.input_ids == PAD
    assert padding.any()
    useless = padding | (batch.input_ids == EOD)  # what ends a document predicts none of the next
    useless[:, -1] = True
    assert ((batch.loss_mask == 0) == useless).all()
    assert ((batch.labels == IGNORED) == useless).all()
    assert (batch.position_ids[:, 1:][batch.input_ids[:, :-1] == EOD] == 0).all()
    row = gpt_batch(np.array([[5, 1, 1, 1, 7]]), eod=1, padding=1, packed=np.array([True]))
    assert row.loss_mask.tolist() == [[1, 0, 0, 0]]
    assert row.document_lengths.tolist() == [[2, 2]]


def test_rows_are_filled_with_the_end_token_where_there_is_no_padding_token(tmp_path):
    content = small_tokenizer().document
    added = [t for t in content["added_tokens"] if t["content"] == "<|endoftext|>"]
    tokenizer = from_content({**content, "added_tokens": added}, "bare")
    run(tmp_path / "out", tokenizer=tokenizer, pack=LENGTH)
    assert read_meta(tmp_path / "out" / "web").padding == EOD
    none = from_content({**content, "added_tokens": []}, "none")
    with pytest.raises(TokenizerError, match=r"--pack: the tokenizer has no token to fill rows with"):
        run(tmp_path / "none", tokenizer=none, pack=LENGTH, eod=False)


def test_packed_datasets_are_merged_with_their_like_alone(tmp_path):
    prefixes = []
    for name, config in (("a", {"pack": 64}), ("b", {"pack": 64, "seed": 1}), ("c", {}), ("d", {"pack": 32})):
        run(tmp_path / name, RECORDS[:30], **config)
        prefixes.append(str(tmp_path / name / "web"))
    merge(prefixes[:2], tmp_path / "ab")
    assert (read_meta(tmp_path / "ab").pack, read_meta(tmp_path / "ab").padding) == (64, PAD)
    assert rows_of(tmp_path / "ab")[0][0] == rows_of(prefixes[0])[0][0]
    with pytest.raises(ConfigError, match=r"documents that are not packed and rows of 64 tokens; merge those"):
        merge([prefixes[0], prefixes[2]], tmp_path / "ac")
    with pytest.raises(ConfigError, match=r"rows of different lengths, or not all packed"):
        Blend.of({"x": [prefixes[0], prefixes[3]]}).samples(64)


def test_packing_that_makes_no_sense_is_refused():
    for config, message in (
        ({"pack": 1}, r"pack must be 2 to 4194304 tokens, got 1"),
        ({"pack": 64, "sentences": True}, r"leave one of them out"),
        ({"pack": 64, "max_tokens_per_file": 10}, r"must hold a row of 64 tokens, got 10"),
    ):
        with pytest.raises(ConfigError, match=message):
            TokenizeConfig(**config)
