"""Megatron-core's order: the golden arrays of its own classes, laws, resuming, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path

import megatron_support as support
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles_indexed import make

from megadata.errors import ConfigError
from megadata.indexed import megatron
from megadata.indexed.blend import Blend, MegatronOrder, Phase, Source
from megadata.indexed.loader import Loader
from megadata.indexed.masking import MaskedSamples
from megadata.indexed.megatron import BLOCK, Epochs, Greedy, sample_index

GOLDEN = json.loads((Path(__file__).parent / "golden" / "megatron.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def prefixes(tmp_path_factory):
    return support.write(tmp_path_factory.mktemp("megatron"))


@pytest.mark.parametrize("case", support.CASES)
def test_the_arrays_are_those_of_megatrons_classes(prefixes, case):
    ours, expected = support.ours(prefixes, *support.CASES[case]), GOLDEN[case]
    for dataset, theirs in zip(ours.datasets, expected["datasets"], strict=True):
        assert support.plain(dataset.arrays.documents) == theirs["document"]
        assert support.plain(dataset.arrays.samples) == theirs["sample"]
        assert support.plain(dataset.arrays.shuffle) == theirs["shuffle"]
    if "dataset_index" in expected:
        datasets, samples = ours._greedy.find(np.arange(ours.total))
        assert support.plain(datasets) == expected["dataset_index"]
        assert support.plain(samples) == expected["dataset_sample_index"]
    assert support.digest(ours.batch(0, ours.total)) == expected["tokens"]


def walk(lengths, documents, length, samples):
    """Megatron's rows by walking token by token."""
    owners = [(place, token) for place, d in enumerate(documents) for token in range(lengths[d])]
    return [(0, 0)] + [owners[k * length] for k in range(1, samples + 1)]


@given(data=st.data(), lengths=st.lists(st.integers(0, 6), min_size=1, max_size=12), length=st.integers(1, 5))
@settings(max_examples=80)
def test_rows_are_where_every_lth_token_lies(monkeypatch, data, lengths, length):
    monkeypatch.setattr(megatron, "CHUNK", data.draw(st.integers(1, 5)))
    documents = data.draw(st.permutations(range(len(lengths))))
    if sum(lengths) < 1:
        return
    epochs = Epochs(1, sum(lengths), length, None)
    found = sample_index(np.array(lengths, np.int32), np.array(documents, np.int32), epochs)
    assert [tuple(row) for row in found.tolist()] == walk(lengths, documents, length, epochs.samples)


@given(weights=st.lists(st.integers(1, 1000), min_size=1, max_size=6), exhaust=st.booleans(), data=st.data())
@settings(max_examples=60)
def test_the_blend_takes_what_lags_most(weights, exhaust, data):
    sizes = data.draw(st.lists(st.integers(1, 40), min_size=len(weights), max_size=len(weights)))
    shares = megatron.normalize(sizes if exhaust else weights)
    size = sum(sizes)
    greedy = Greedy(shares, size, sizes if exhaust else None)
    given = [0] * len(shares)
    expected = []
    for k in range(size):
        lags = [w * max(k, 1) - n for w, n in zip(shares, given, strict=True)]
        open_ones = [i for i, n in enumerate(given) if not exhaust or n < sizes[i]]
        one = max(open_ones, key=lambda i: (lags[i], -i))
        expected.append((one, given[one]))
        given[one] += 1
    steps = np.array(data.draw(st.permutations(range(size))))
    found = greedy.find(steps)
    pairs = list(zip(found[0].tolist(), found[1].tolist(), strict=True))
    assert pairs == [expected[k] for k in steps.tolist()]
    assert greedy.counts(size).tolist() == given


def test_blocks_of_a_blend_are_found_again_and_gone_on_from():
    greedy = Greedy([0.5, 0.3, 0.2], 30 * BLOCK)
    steps = np.arange(20 * BLOCK, 20 * BLOCK + 50)
    late = greedy.find(steps)
    early = greedy.find(np.arange(50))
    assert len(greedy._blocks) <= megatron.KEPT_BLOCKS
    resumed = pickle.loads(pickle.dumps(Greedy([0.5, 0.3, 0.2], 30 * BLOCK)))
    resumed.resume(*greedy.mark(20 * BLOCK + 17))
    assert [a.tolist() for a in resumed.find(steps)] == [a.tolist() for a in late]
    assert 1 not in resumed._before
    assert [a.tolist() for a in resumed.find(np.arange(50))] == [a.tolist() for a in early]


@pytest.mark.parametrize("short", [0, 10_000])
def test_long_and_short_documents_are_read_alike(prefixes, monkeypatch, short):
    monkeypatch.setattr("megadata.indexed.megatronsamples.SHORT_PIECE", short)
    ours = support.ours(prefixes, *support.CASES["uneven weights"])
    assert support.digest(ours.batch(0, ours.total)) == GOLDEN["uneven weights"]["tokens"]


def test_provenance_covers_the_sample(prefixes):
    ours = support.ours(prefixes, *support.CASES["weights"])
    for k in (0, 70, 149):
        where = ours.locate(k)
        found = [t for r in where.ranges for t in open_tokens(r)]
        assert found == ours[k].tolist()
        spans = ours.provenance(k)
        assert sum(span.length for span in spans) == support.LENGTH + 1
        assert {span.prefix for span in spans} == {prefixes[where.source]}
    with pytest.raises(IndexError, match=r"sample 150 asked for, Megatron's order has 150"):
        ours.take([150])


@pytest.mark.parametrize("case", ["weights", "many epochs", "uneven weights"])
def test_samples_that_show_given_tokens_are_found(prefixes, case):
    ours = support.ours(prefixes, *support.CASES[case])
    for number, source in enumerate(ours.sources):
        piece = source.stream.pieces[0]
        shown = [
            {t - piece.start for r in ours.ranges(k) for t in range(r.start, r.start + r.length)}
            if ours.locate(k).source == source.name
            else set()
            for k in range(ours.total)
        ]
        rng = np.random.default_rng(number)
        for _ in range(12):
            start = int(rng.integers(0, source.stream.tokens - 1))
            stop = min(start + int(rng.integers(1, 40)), source.stream.tokens)
            before = int(rng.integers(1, ours.total + 1))
            expected = [k for k in range(before) if shown[k] & set(range(start, stop))]
            assert ours.showing(source.name, start, stop, before).tolist() == expected


def open_tokens(tokens):
    from megadata.indexed.reader import IndexedDataset

    return IndexedDataset(tokens.prefix).window(tokens.start, tokens.length).tolist()


def test_restored_at_any_step_the_rest_is_the_same_in_worlds_of_any_size(prefixes):
    def samples():
        return pickle.loads(pickle.dumps(support.ours(prefixes, *support.CASES["weights"])))

    found, state = [], None
    for world in (1, 4, 2, 3):
        loaders = [Loader(samples(), 12, rank, world) for rank in range(world)]
        for loader in loaders:
            if state is not None:
                loader.load_state_dict(state)
        for _ in range(3):
            found += [next(loader).input_ids for loader in loaders]
        states = [loader.state_dict() for loader in loaders]
        assert all(other == states[0] for other in states)
        state = json.loads(json.dumps(states[0]))
        for loader in loaders:
            loader.close()
    assert np.concatenate(found).tolist() == samples().batch(0, 12 * 12)[:, :-1].tolist()
    assert len(list(Loader(samples(), 12))) == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 151}, r"samples was 150 when the state was taken, it is 15\d now"),
        ({"seed": 5}, r"seed was 1234 when the state was taken, it is 5 now"),
        ({"weights": {"a": 0.4, "b": 0.3, "d": 0.3}}, r"weights was \[0.3"),
        ({"split": "75,25,0"}, r"samples built was .*Megatron's order follows from all of these"),
    ],
)
def test_what_would_be_another_order_is_refused(prefixes, change, message):
    weights, samples, seed, split = support.CASES["weights"]
    given = {"weights": weights, "samples": samples, "seed": seed, "split": split}
    loader = Loader(support.ours(prefixes, *given.values()), 10, prefetch=0)
    next(loader)
    with pytest.raises(ConfigError, match=message):
        Loader(support.ours(prefixes, *(given | change).values()), 10).load_state_dict(loader.state_dict())
    plain = Blend.of({name: prefixes[name] for name in weights}).samples(support.LENGTH)
    with pytest.raises(ConfigError, match=r"the order was Megatron's when the state was taken, it is not now"):
        Loader(plain, 10).load_state_dict(loader.state_dict())


def test_a_file_says_the_order_and_the_split_is_megatrons(prefixes, tmp_path):
    order = MegatronOrder(samples=150, surplus=0.01)
    blend = Blend.of({"a": prefixes["a"], "c": prefixes["c"]}, {"a": 1, "c": 2}, split=(75, 25, 0), megatron=order)
    loaded = Blend.load(blend.save(tmp_path / "blend.yaml"))
    assert loaded.megatron == order
    assert loaded.samples(16).batch(0, 20).tolist() == blend.samples(16).batch(0, 20).tolist()
    train, held_out = blend.samples(16).sources[0].stream, blend.validation(16)["a"].stream
    assert (train.pieces[0].stop, held_out.pieces[0].stop) == (held_out.pieces[0].start, 454)
    (tmp_path / "short.yaml").write_text("{format: blend, version: 1, order: megatron, sources: {a: {data: [x]}}}")
    assert Blend.load(tmp_path / "short.yaml").megatron == MegatronOrder()
    (tmp_path / "bad.yaml").write_text("{format: blend, version: 1, order: {kind: nemo}, sources: {a: {data: [x]}}}")
    with pytest.raises(ConfigError, match=r"order: kind must be megatron, found 'nemo'"):
        Blend.load(tmp_path / "bad.yaml")


def test_a_plan_counts_what_the_order_gives(prefixes):
    blend = Blend.of({"a": prefixes["a"], "c": prefixes["c"]}, {"a": 1, "c": 3}, megatron=MegatronOrder())
    assert [row.drawn for row in blend.plan(16 * 100, 16).rows] == [25 * 16, 75 * 16]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phases": [Phase(from_tokens=9, weights={"a": 2})]}, "Megatron's order knows no phases"),
        ({"locality": True}, "knows no locality"),
        ({"weigh_by": "tokens"}, "knows no weigh_by tokens"),
        ({"temperature": 2}, "knows no temperature"),
        ({"max_epochs": {"a": 2}}, "knows no max_epochs"),
        ({"weights": {"a": 1}}, "a weight above 0 for every source or for none, 'b' has not"),
        ({"megatron": MegatronOrder()}, "follows from the samples of the whole run; give order.samples"),
    ],
)
def test_what_megatron_has_no_order_for_is_refused(prefixes, change, message):
    given = {"weights": {"a": 1, "b": 1}, "megatron": MegatronOrder(samples=10)} | change
    with pytest.raises(ConfigError, match=message):
        Blend.of({"a": prefixes["a"], "b": prefixes["b"]}, **given).samples(16)


def test_more_refusals(prefixes, tmp_path):
    two = Blend(sources=(Source(name="x", data=("p", "q")),))
    with pytest.raises(ConfigError, match=r"source 'x' has 2; make each of them a source"):
        Blend(sources=two.sources, megatron=MegatronOrder())
    tiny = make(tmp_path / "tiny", 10)
    with pytest.raises(ConfigError, match=r"source 'tiny' has 10 tokens, too few for a sample of 16"):
        Blend.of({"tiny": tiny}, megatron=MegatronOrder()).samples(16)
    with pytest.raises(ConfigError, match=r"BERT has none of it"):
        MaskedSamples.of(Blend.of({"a": prefixes["a"]}, megatron=MegatronOrder(samples=4)), 16)
    many = {f"s{i}": make(tmp_path / f"s{i}", 17, seed=i) for i in range(30)} | {
        "big": make(tmp_path / "big", 90 * 16 + 1)
    }
    weights = {name: 90.0 if name == "big" else 10 / 30 for name in many}
    with pytest.raises(
        ConfigError, match=r"asks source 'big' for 107 samples, it is built with 90; raise order.surplus"
    ):
        Blend.of(many, weights, megatron=MegatronOrder(samples=100, surplus=0)).samples(16)


@pytest.mark.train
def test_a_run_is_trained_in_megatrons_order_and_goes_on_after_an_interrupt(tmp_path):
    pytest.importorskip("torch")
    from click.testing import CliRunner
    from training_data import make_blend, tiny_config

    from megadata.cli import cli
    from megadata.trainer import train

    made = Blend.load(make_blend(tmp_path))
    sources = tuple(dataclasses.replace(source, weight=w) for source, w in zip(made.sources, (3, 1), strict=True))
    blend = dataclasses.replace(made, sources=sources, megatron=MegatronOrder()).save(tmp_path / "megatron.yaml")
    config = tiny_config(trainer={"steps": 4})

    def interrupt(event):
        if event.get("step") == 3 and event["event"] == "step":
            raise KeyboardInterrupt

    train(config, blend, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(config, blend, tmp_path / "parts", report=interrupt)
    train(config, blend, tmp_path / "parts")
    losses = [
        [json.loads(line).get("loss") for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("whole", "parts")
    ]
    assert losses[0] == losses[1]
    told = CliRunner().invoke(cli, ["trace", str(tmp_path / "whole"), "--step", "2", "--json"])
    assert told.exit_code == 0, told.output
    assert {row["sample"] for row in json.loads(told.output)} == set(range(8, 16))
    longer = tiny_config(trainer={"steps": 6})
    with pytest.raises(ConfigError, match=r"samples was 32 when the state was taken, it is 48 now"):
        train(longer, blend, tmp_path / "parts")
