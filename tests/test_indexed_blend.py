"""Blends: the file, the weights, the samples, and what may change during a run."""

from __future__ import annotations

import dataclasses
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles_indexed import make, mmididx, numbered, write_pair

from megadata.errors import ConfigError
from megadata.indexed.blend import Blend, Phase, Source
from megadata.indexed.meta import Meta
from megadata.indexed.reader import IndexedDataset

L = 16


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three datasets that share no token: a counts from 0, b from 100,000, c from 200,000."""
    folder = tmp_path_factory.mktemp("data")
    return {
        name: numbered(folder / name, size, offset)
        for name, size, offset in (("a", 5003, 0), ("b", 2000, 100_000), ("c", 777, 200_000))
    }


def blend(data: dict[str, str], **changes: object) -> Blend:
    return Blend.of(data, **{"weights": {"a": 3, "b": 2, "c": 1}, "seed": 4, **changes})


def test_a_sample_is_a_window_of_its_source_and_its_label_is_the_next_token(data):
    samples = blend(data).samples(L)
    sizes = {"a": (5003, 0), "b": (2000, 100_000), "c": (777, 200_000)}
    for k in range(300):
        where = samples.locate(k)
        size, offset = sizes[where.source]
        expected = (where.start + np.arange(L + 1)) % size + offset
        assert samples[k].tolist() == expected.tolist()
        ranges = [np.arange(r.start, r.start + r.length) + offset for r in where.ranges]
        assert np.concatenate(ranges).tolist() == expected.tolist()
        assert where.prefix == data[where.source]


def test_one_by_one_and_together_give_the_same(data):
    samples = blend(data, max_epochs={"a": 1, "b": 1, "c": 1}).samples(L)
    total = samples.total
    assert total == 312 + 125 + 48 == samples.epoch
    whole = samples.batch(0, total)
    assert np.stack([samples[k] for k in range(total)]).tolist() == whole.tolist()
    numbers = np.random.default_rng(0).permutation(total)
    assert samples.take(numbers).tolist() == whole[numbers].tolist()
    assert np.stack(list(samples)).tolist() == whole.tolist()
    assert samples[3:7].tolist() == whole[3:7].tolist()
    assert pickle.loads(pickle.dumps(samples)).batch(0, total).tolist() == whole.tolist()
    for wrong in (-1, total):
        with pytest.raises(IndexError, match=f"sample {wrong} asked for"):
            _ = samples[wrong]


@given(st.integers(1, 60), st.integers(0, 2**70), st.booleans())
@settings(max_examples=40)
def test_one_epoch_of_all_sources_holds_every_token_once_up_to_the_tails(data, length, seed, locality):
    samples = Blend.of(data, seed=seed, max_epochs=dict.fromkeys(data, 1), locality=locality).samples(length)
    seen = np.bincount(samples.batch(0, samples.total)[:, :-1].ravel(), minlength=200_777)
    assert seen.max() == 1
    for offset, size in ((0, 5003), (100_000, 2000), (200_000, 777)):
        assert (seen[offset : offset + size] == 0).sum() == size % length


@given(st.integers(1, 10**6))
@settings(max_examples=30)
def test_seeds_give_other_orders_of_the_same_samples(data, seed):
    one, other = (Blend.of({"a": data["a"]}, seed=s).samples(L) for s in (0, seed))
    assert one.batch(0, 40).tolist() != other.batch(0, 40).tolist()


def test_the_order_of_sources_in_the_file_changes_nothing(data, tmp_path):
    forward = blend(data)
    backward = dataclasses.replace(forward, sources=forward.sources[::-1])
    assert forward.samples(L).batch(0, 500).tolist() == backward.samples(L).batch(0, 500).tolist()
    renamed = Blend.of({"z": data["a"], "y": data["b"], "x": data["c"]}, {"z": 3, "y": 2, "x": 1}, seed=4)
    assert renamed.samples(L).batch(0, 500).tolist() == forward.samples(L).batch(0, 500).tolist()


def test_the_place_of_the_files_changes_nothing(data, tmp_path):
    for name in data:
        for end in (".bin", ".idx"):
            (tmp_path / f"moved-{name}{end}").write_bytes(Path(f"{data[name]}{end}").read_bytes())
    moved = {name: str(tmp_path / f"moved-{name}") for name in data}
    assert blend(moved).samples(L).batch(0, 300).tolist() == blend(data).samples(L).batch(0, 300).tolist()


@given(st.integers(0, 400), st.integers(0, 9), st.integers(1, 9))
@settings(max_examples=40)
def test_a_new_phase_or_source_leaves_everything_before_it(data, tmp_path_factory, at, weight, other):
    before = blend({name: data[name] for name in "ab"}, weights={"a": 3, "b": 2})
    joined = before.with_phase(at * L + 1, {"a": weight, "c": other}, [Source(name="c", data=(data["c"],))])
    old, new = before.samples(L), joined.samples(L)
    assert old.batch(0, at + 1).tolist() == new.batch(0, at + 1).tolist()
    counts = new.counts(at + 1)
    assert counts["c"] == 0
    later = new.counts(at + 1 + 12 * (weight + 2 + other))
    gained = {name: later[name] - counts[name] for name in "abc"}
    assert abs(gained["c"] - 12 * other) <= 2
    assert abs(gained["a"] - 12 * weight) <= 2


def test_no_token_is_repeated_or_skipped_when_weights_change(data):
    changing = blend(
        data,
        max_epochs=dict.fromkeys(data, 1),
        phases=[Phase(from_tokens=1000, weights={"c": 9}), Phase(from_tokens=3000, weights={"b": 0.5})],
    )
    samples = changing.samples(L)
    seen = np.bincount(samples.batch(0, samples.total)[:, :-1].ravel())
    assert seen.max() == 1
    assert seen.sum() == samples.epoch * L


def test_a_source_stays_within_its_epochs_and_the_plan_says_so(data):
    plan = blend(data, max_epochs={"c": 2}).plan(100_000, L)
    rows = {row.name: row for row in plan.rows}
    assert rows["c"].epochs == 2
    assert rows["c"].drawn == 2 * 48 * L
    assert sum(row.drawn for row in plan.rows) == plan.tokens == 100_000
    assert abs(rows["a"].drawn / rows["b"].drawn - 1.5) < 0.01
    text = "\n".join(plan.lines())
    assert "c reaches its max_epochs; the other sources take its share from then on" in text
    assert "a is seen 11.8 times; beyond 4 repeats teach little" in text
    assert "a, b, c are not known to be shuffled" in text
    capped = blend(data, max_epochs=dict.fromkeys(data, 1)).plan(10**6, L)
    assert capped.tokens == 485 * L
    assert capped.warnings[-1] == "the run ends after 7,760 tokens: every source has reached its max_epochs"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"weights": None}, {"a": 5003, "b": 2000, "c": 777}),
        ({"weights": {"a": 1, "b": 1, "c": 10}, "weigh_by": "tokens"}, {"a": 5003, "b": 2000, "c": 7770}),
        ({"weights": None, "weigh_by": "equal"}, {"a": 1, "b": 1, "c": 1}),
        ({"weights": None, "weigh_by": "documents"}, {"a": 1, "b": 1, "c": 1}),
        ({"weights": {"a": 0.1, "b": 0.2, "c": 0.7}}, {"a": 1, "b": 2, "c": 7}),
        ({"weights": None, "temperature": 2}, {"a": 5003**0.5, "b": 2000**0.5, "c": 777**0.5}),
    ],
)
def test_weights_weigh_what_they_say(data, changes, expected):
    samples = blend(data, **changes).samples(L)
    counts = samples.counts(100_000)
    total = sum(expected.values())
    for name, share in expected.items():
        assert abs(counts[name] - 100_000 * share / total) < 2


def test_prefixes_of_one_source_are_one_stream(data):
    samples = Blend.of({"all": [data["b"], IndexedDataset(data["c"])]}).samples(L)
    seen = np.bincount(samples.batch(0, samples.epoch)[:, :-1].ravel())
    assert (seen > 0).sum() == (2777 // L) * L
    across = [k for k in range(samples.epoch) if len(samples.locate(k).ranges) > 1]
    assert 1 <= len(across) <= 2
    for k in across:
        where = samples.locate(k)
        tokens = np.concatenate([IndexedDataset(r.prefix).window(r.start, r.length) for r in where.ranges])
        assert tokens.tolist() == samples[k].tolist()


def test_a_blend_survives_its_file_and_a_move(data, tmp_path):
    original = blend(
        data,
        max_epochs={"c": 2.5},
        validation={"a": data["c"]},
        phases=[Phase(from_tokens=4000, weights={"b": 7})],
        temperature=2,
        weigh_by="tokens",
        locality=True,
    )
    path = original.save(tmp_path / "run" / "blend.yaml")
    assert "../" in path.read_text()
    loaded = Blend.load(path)
    again = Blend.load(loaded.save(tmp_path / "elsewhere" / "deeper" / "blend.yaml"))
    expected = original.samples(L).batch(0, 600).tolist()
    assert loaded.samples(L).batch(0, 600).tolist() == again.samples(L).batch(0, 600).tolist() == expected
    assert [source.max_epochs for source in again.sources] == [None, None, 2.5]
    assert sorted(again.validation(L)) == ["a"]


def test_validation_windows_run_through_the_stream_in_order(data):
    windows = blend(data, validation={"a": data["c"]}).validation(L)["a"]
    assert len(windows) == (777 - 1) // L
    whole = windows.batch(0, len(windows))
    assert whole[:, :-1].ravel().tolist() == list(range(200_000, 200_000 + len(windows) * L))
    assert (whole[:, 1:] == whole[:, :-1] + 1).all()
    with pytest.raises(IndexError, match="window 48 of a asked for, there are 48"):
        _ = windows[48]


def test_validation_shorter_than_a_window_is_left_out_with_a_warning(data):
    with pytest.warns(
        UserWarning, match=r"the validation data of source 'a' has 777 tokens, fewer than a window of 1000"
    ):
        assert blend(data, validation={"a": data["c"]}).validation(1000) == {}


def test_a_split_cuts_at_documents_and_nothing_lies_on_two_sides(tmp_path):
    prefix = make(tmp_path / "d", 20_000)
    cut = Blend.of({"d": prefix}, split=(8, 1, 1))
    streams = [
        cut.samples(L).sources[0].stream,
        *(cut.validation(L, part)["d"].stream for part in ("validation", "test")),
    ]
    (train,), (validation,), (test,) = (stream.pieces for stream in streams)
    assert (train.start, validation.start, test.start) == (0, train.stop, validation.stop)
    assert test.stop == 20_000
    documents = IndexedDataset(prefix).documents
    starts = IndexedDataset(prefix).document_starts(np.arange(documents + 1)).tolist()
    assert {train.stop, validation.stop} <= set(starts)
    assert starts.index(train.stop) == round(documents * 0.8)
    assert streams[0].documents + streams[1].documents + streams[2].documents == documents


@pytest.mark.parametrize("split", [(949, 50, 1), (98, 2, 0), (1, 1, 1), (7, 2, 3)])
def test_a_split_rounds_as_megatron(tmp_path, split):
    """`parse_and_normalize_split` and `convert_split_vector_to_split_matrix` of Megatron-core, then `int(round(...))`."""
    prefix = make(tmp_path / "d", 9000, document=9)
    starts = IndexedDataset(prefix).document_starts(np.arange(IndexedDataset(prefix).documents + 1)).tolist()
    shares = (np.array([float(part) for part in split]) / np.sum([float(part) for part in split])).tolist()
    ends = [0, shares[0], shares[0] + shares[1], shares[0] + shares[1] + shares[2]]
    blend = Blend.of({"d": prefix}, split=split)
    for number, part in enumerate(("train", "validation", "test")):
        begin, end = (round(at * float(len(starts) - 1)) for at in ends[number : number + 2])
        pieces = blend._stream(blend.leaves[0], part).pieces
        found = [(piece.start, piece.stop) for piece in pieces]
        assert found == ([(starts[begin], starts[end])] if end > begin else [])


def test_provenance_names_every_document_of_a_sample(tmp_path):
    prefix = make(tmp_path / "d", 4000, document=20)
    data = IndexedDataset(prefix)
    rows = [{"id": f"doc{i}", "source": "web", "url": None} for i in range(data.documents)]
    pq.write_table(pa.Table.from_pylist(rows), f"{prefix}.docs.parquet", row_group_size=11)
    samples = Blend.of({"d": prefix}).samples(100)
    for k in range(60):
        spans = samples.provenance(k)
        tokens = [data.document(s.document)[s.start : s.start + s.length] for s in spans]
        assert np.concatenate(tokens).tolist() == samples[k].tolist()
        assert [s.id for s in spans] == [f"doc{s.document}" for s in spans]
        assert {s.source for s in spans} == {"web"}


REFUSED = [
    ({"max_epochs": {"x": 1}}, "max_epochs names 'x', which is no source; sources: a, b, c"),
    ({"weights": {"a": 1}}, "source 'b' has no weight, others have; give it one, or set weigh_by to tokens"),
    ({"weights": dict.fromkeys("abc", 0)}, "all weights are 0 at the start; give a source a weight above 0"),
    ({"weights": {"a": -1, "b": 1, "c": 1}}, "blend source 'a': weight must not be negative, got -1"),
    ({"weights": {"a": float("nan"), "b": 1, "c": 1}}, "blend source 'a': weight must be a finite number, got nan"),
    ({"temperature": 0}, "temperature must be above 0, got 0"),
    ({"split": (1, 2)}, r"split must be three parts like 949,50,1, got \[1, 2\]"),
    ({"phases": [Phase(from_tokens=9, weights={"q": 1})]}, "from 9 tokens weighs 'q', which is no source"),
    ({"max_epochs": {"a": 0}}, "max_epochs must be above 0, got 0"),
    ({"weigh_by": "length"}, "weigh_by 'length' is not known; use explicit, tokens, documents, equal"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_a_wrong_blend_is_refused_in_a_sentence(data, changes, message):
    with pytest.raises(ConfigError, match=message):
        blend(data, **changes).samples(L)


def test_data_too_short_or_named_twice_or_of_two_tokenizers_is_refused(data, tmp_path):
    with pytest.raises(
        ConfigError, match=r"source 'c' has 777 tokens, fewer than one sample of 1024; leave the source out"
    ):
        blend(data).samples(1024)
    with pytest.raises(ConfigError, match="sources 'a' and 'twin' hold the same data; name it once"):
        Blend.of({"a": data["a"], "twin": data["a"]}).samples(L)
    one = make(tmp_path / "one", 500, meta=Meta(vocabulary_size=10))
    two = make(tmp_path / "two", 500, seed=1, meta=Meta(vocabulary_size=11))
    with pytest.raises(ConfigError, match=r"two: size is 11, but 10 in .*one; datasets of one blend"):
        Blend.of({"one": one, "two": two}).samples(L)


FILES = [
    ("sources: {a: {data: [p]}}", r"expected a megadata blend file, found None"),
    ("format: blend\nversion: 2\nsources: {}", "blend version 2, this megadata reads up to 1"),
    ("format: blend\nversion: 1", "sources is missing; it must be a mapping of names to sources"),
    ("format: blend\nversion: 1\nsouces: {}", "unknown key 'souces'; did you mean \"sources\"?"),
    (
        "format: blend\nversion: 1\nsources: {a: {data: [p], wieght: 1}}",
        "source 'a': unknown key 'wieght'; did you mean \"weight\"?",
    ),
    ("format: blend\nversion: 1\nsources: {a: {data: 3}}", "source 'a': data must be a list of prefixes, found 3"),
    ("format: blend\nversion: 1\nsources: {a: {weight: 3}}", "source 'a': data is missing"),
    ("format: blend\nversion: 1\nsources: {a: [b]}", "source 'a': expected a name with a mapping under it"),
    (
        "format: blend\nversion: 1\norder: {local: true}\nsources: {a: {data: [p]}}",
        "order: unknown key 'local'; did you mean \"locality\"?",
    ),
    ("a: [", r"line 1 is not valid YAML"),
]


@pytest.mark.parametrize(("text", "message"), FILES)
def test_a_wrong_file_is_refused_in_a_sentence(tmp_path, text, message):
    path = tmp_path / "blend.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        Blend.load(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_vocabulary_and_fingerprints_come_from_the_sidecars(tmp_path):
    meta = Meta(vocabulary_size=1000, eod=3, special_tokens={"eod": 3, "cls": 4})
    prefix = make(tmp_path / "d", 500, meta=meta)
    bare = write_pair(tmp_path / "bare", *mmididx([[list(range(40))]]))
    (tmp_path / "d.tokenizer.json").write_text("{}")
    vocabulary = Blend.of({"d": prefix, "bare": bare}).vocabulary()
    assert (vocabulary.size, vocabulary.eod, vocabulary.tokenizer) == (1000, 3, tmp_path / "d.tokenizer.json")
    assert vocabulary.special("cls") == 4
    with pytest.raises(ConfigError, match=r"the data's tokenizer has no 'mask' token \(it has cls, eod\)"):
        vocabulary.special("mask")
    assert Blend.of({"d": prefix}).fingerprints() == {"d": IndexedDataset(prefix).fingerprint}


def test_sources_of_a_long_run_keep_their_shares(data):
    samples = blend(data).samples(L)
    names = samples.names
    source, _, _ = samples.places(np.arange(10**6, 10**6 + 6000))
    counts = Counter(names[i] for i in source.tolist())
    assert all(abs(counts[name] - 1000 * weight) <= 2 for name, weight in (("a", 3), ("b", 2), ("c", 1)))
