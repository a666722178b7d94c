"""The contract of all samplers and loaders: restored at any step, in any layout, the rest is the same."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracles_indexed import make, numbered

from megadata.errors import ConfigError
from megadata.indexed.batch import Batch
from megadata.indexed.blend import Blend, Group, Phase, Source
from megadata.indexed.gpt import GptSamples
from megadata.indexed.infilling import Infilling
from megadata.indexed.loader import Loader, rebased
from megadata.indexed.masking import MaskedSamples, Masking
from megadata.indexed.megatronsamples import MegatronOrder
from megadata.indexed.meta import Meta
from megadata.indexed.samples import Origin
from megadata.indexed.writer import IndexedWriter

L, G = 16, 12
SPECIAL = {
    **{"eod": 0, "cls": 1, "sep": 2, "mask": 3, "pad": 4},
    **{"fim_prefix": 5, "fim_middle": 6, "fim_suffix": 7},
}
META = Meta(vocabulary_size=1000, eod=0, special_tokens=SPECIAL)


@dataclass(frozen=True)
class Data:
    """Datasets of each kind."""

    folder: str
    plain: dict[str, str]
    sentences: str
    packed: str


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contract")
    plain = {name: make(folder / name, size, seed=i, meta=META) for i, (name, size) in enumerate(SIZES.items())}
    rng = np.random.default_rng(7)
    with IndexedWriter(folder / "s", np.uint16, replace(META, level="sentence")) as writer:
        for _ in range(80):
            for _ in range(int(rng.integers(1, 8))):
                writer.add_sequence(rng.integers(10, 1000, rng.integers(1, 12)))
            writer.end_document()
    with IndexedWriter(folder / "p", np.uint16, replace(META, pack=L, padding=0)) as writer:
        for _ in range(90):
            writer.add_document([*rng.integers(10, 1000, 9), 0, *rng.integers(10, 1000, 3), 0, 0, 0])
    return Data(str(folder), plain, str(folder / "s"), str(folder / "p"))


SIZES = {"a": 3000, "b": 1000, "c": 700}
PHASES = [Phase(from_tokens=40 * L, weights={"c": 3}), Phase(from_tokens=90 * L, to_tokens=200 * L, weights={"a": 1})]
WEIGHTS = {"a": 3, "b": 2, "c": 1}


def of(data: Data, **more: object) -> Blend:
    return Blend.of(data.plain, WEIGHTS, **{"phases": PHASES, "max_epochs": {"b": 1}, "seed": 5, **more})


def grouped(data: Data) -> Blend:
    one, two, three = (Source(name=n, data=(p,), weight=WEIGHTS[n]) for n, p in data.plain.items())
    group = Group(name="g", weight=2, sources=(two, three), max_epochs=3)
    return Blend(sources=(one, group), phases=(Phase(from_tokens=30 * L, weights={"g/c": 4}),))


def spans(data: Data) -> MaskedSamples:
    masking = Masking(unit="spans", pairs="next")
    return MaskedSamples(Blend.of({"s": data.sentences}).samples(L), seed=2, masking=masking)


SAMPLERS: dict[str, Callable[[Data], object]] = {
    "windows": lambda data: of(data).samples(L),
    "locality": lambda data: of(data, locality=True).samples(L),
    "groups": lambda data: grouped(data).samples(L),
    "documents": lambda data: GptSamples(of(data).samples(L), document_aware=True, mask_eod_loss=True),
    "infilling": lambda data: GptSamples(of(data).samples(L), infilling=Infilling(rate=1), seed=4),
    "packed": lambda data: Blend.of({"p": data.packed, **data.plain}).samples(L),
    "masked": lambda data: MaskedSamples(of(data).samples(L), seed=3),
    "sentences": lambda data: MaskedSamples(Blend.of({"s": data.sentences}).samples(L), seed=3),
    "spans": spans,
    "validation": lambda data: of(data, split=(3, 7, 0)).validation(L)["a"],
    "megatron": lambda data: Blend.of(data.plain, WEIGHTS, megatron=MegatronOrder(samples=2000)).samples(L),
    "rebased": lambda data: rebased(of(data).samples(L), Origin(0, {"a": 33, "c": 7})),
}


@pytest.fixture(scope="module", params=SAMPLERS)
def sampler(request, data):
    """How to make a sampler of each kind anew, as another process would."""
    return lambda: SAMPLERS[request.param](data)


def equal(one: Batch, other: Batch) -> bool:
    pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in fields(Batch)]
    return all((a is None) == (b is None) and (a is None or np.array_equal(a, b)) for a, b in pairs)


def joined(parts: list[Batch]) -> list[list[int]]:
    return np.concatenate([part.input_ids for part in parts]).tolist()


@given(steps=st.integers(0, 5), world=st.integers(1, G), prefetch=st.integers(0, 2), more=st.integers(1, 3))
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_restored_at_any_step_in_any_world_the_rest_is_the_same(sampler, steps, world, prefetch, more):
    with_all = Loader(sampler(), G, prefetch=0)
    undisturbed = [next(with_all) for _ in range(steps + more)]
    before = Loader(sampler(), G, prefetch=prefetch)
    for batch in undisturbed[:steps]:
        assert equal(next(before), batch)
    state = json.loads(json.dumps(before.state_dict()))
    before.close()
    ranks = [Loader(sampler(), G, rank, world, prefetch=prefetch) for rank in range(world)]
    for rank in ranks:
        rank.load_state_dict(state)
        assert rank.step == steps
    for batch in undisturbed[steps:]:
        parts = [next(rank) for rank in ranks]
        assert joined(parts) == batch.input_ids.tolist()
        assert np.concatenate([part.labels for part in parts]).tolist() == batch.labels.tolist()
    assert all(rank.state_dict() == ranks[0].state_dict() for rank in ranks)
    for rank in ranks:
        rank.close()


def test_a_run_killed_in_worlds_of_1_4_2_and_3_sees_the_undisturbed_sequence(sampler):
    undisturbed = Loader(sampler(), G, prefetch=0)
    found, expected, state = [], [], None
    for world in (1, 4, 2, 3):
        ranks = [Loader(sampler(), G, rank, world, prefetch=1) for rank in range(world)]
        for rank in ranks:
            if state is not None:
                rank.load_state_dict(state)
        for _ in range(2):
            found += joined([next(rank) for rank in ranks])
            expected += next(undisturbed).input_ids.tolist()
        state = json.loads(json.dumps(ranks[0].state_dict()))
        for rank in ranks:
            next(rank)  # seen after the last checkpoint, and seen again after the kill
            rank.close()
    assert found == expected


@given(other=st.integers(1, 20), micro=st.integers(1, 9))
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_another_batch_size_or_micro_batch_goes_on_at_the_same_sample(sampler, other, micro):
    loader = Loader(sampler(), G, prefetch=0)
    next(loader)
    resumed = Loader(sampler(), other, prefetch=0)
    resumed.load_state_dict(loader.state_dict())
    expected = [row for _ in range(2) for row in next(loader).input_ids.tolist()]
    found = [
        row for _ in range(-(-24 // other)) for part in next(resumed).micro(micro) for row in part.input_ids.tolist()
    ]
    assert found[:24] == expected


def tokens_seen(loader: Loader, batches: int) -> np.ndarray:
    found = np.concatenate([next(loader).input_ids.ravel() for _ in range(batches)])
    loader.close()
    return found


def test_new_weights_and_a_new_source_in_mid_run_repeat_and_skip_no_token(tmp_path):
    """Three legs of one epoch: as begun, with other weights, with one more source. Every token of each source comes once."""
    names = {"a": (1600, 0), "b": (800, 10_000), "c": (480, 20_000)}
    data = {name: numbered(tmp_path / name, size, at) for name, (size, at) in names.items()}
    once = dict.fromkeys("ab", 1)
    first = Blend.of({n: data[n] for n in "ab"}, {"a": 1, "b": 1}, max_epochs=once)
    second = first.with_phase(3 * G * L, {"a": 1, "b": 5})
    third = second.with_phase(6 * G * L, {"a": 2, "c": 2}, [Source(name="c", data=(data["c"],), max_epochs=1)])
    seen, state = [], None
    for blend, world in ((first, 1), (second, 2), (third, 3)):
        samples = blend.samples(L)
        ranks = [Loader(samples, G, rank, world) for rank in range(world)]
        for rank in ranks:
            if state is not None:
                rank.load_state_dict(state)
        legs = range(3) if blend is not third else itertools.count()
        for _ in legs:
            try:
                seen += [next(rank).input_ids.ravel() for rank in ranks]
            except StopIteration:
                break
        state = ranks[0].state_dict()
        for rank in ranks:
            rank.close()
    counts = np.bincount(np.concatenate(seen), minlength=20_480)
    assert counts.max() == 1
    whole = sum(size // L for size, _ in names.values())
    assert counts.sum() == whole // G * G * L
    assert counts[20_000:].sum() > 300


def test_other_weights_in_the_past_are_rebased_without_repeating_or_skipping(data, tmp_path):
    names = {"a": (1600, 0), "b": (800, 10_000)}
    files = {name: numbered(tmp_path / name, size, at) for name, (size, at) in names.items()}
    once = dict.fromkeys("ab", 1)
    loader = Loader(Blend.of(files, {"a": 3, "b": 1}, max_epochs=once).samples(L), 10, prefetch=0)
    seen = [next(loader).input_ids.ravel() for _ in range(5)]
    other = Loader(Blend.of(files, {"a": 1, "b": 4}, max_epochs=once).samples(L), 10, prefetch=1)
    with pytest.raises(ConfigError, match="from sample 0 on the weights were a=3, b=1"):
        other.load_state_dict(loader.state_dict())
    assert other.rebase(loader.state_dict()) == []
    assert (other.position, other.step) == (50, 5)
    first = next(other)
    assert (first.input_ids[:, 0] >= 10_000).sum() == 8
    state = json.loads(json.dumps(other.state_dict()))
    seen += [first.input_ids.ravel(), *(batch.input_ids.ravel() for batch in other)]
    counts = np.bincount(np.concatenate(seen))
    assert counts.max() == 1
    assert counts.sum() == 150 * L
    again = Loader(Blend.of(files, {"a": 1, "b": 4}, max_epochs=once).samples(L), 10, prefetch=0)
    again.load_state_dict(state)
    assert np.concatenate([batch.input_ids.ravel() for batch in again]).tolist() == np.concatenate(seen[6:]).tolist()
    for k in (49, 500):
        with pytest.raises(IndexError):
            again.samples.places([k])


def test_another_sequence_length_begins_new_epochs_and_says_what_is_not_read(data):
    blend = of(data, phases=[Phase(from_tokens=100 * L, weights={"c": 30})], max_epochs=None)
    loader = Loader(blend.samples(L), G, prefetch=0)
    for _ in range(7):
        next(loader)
    state = loader.state_dict()
    cursors = state["blend"]["cursors"]
    longer = Loader(blend.samples(40), 5, prefetch=0)
    with pytest.raises(ConfigError, match="samples of 16 tokens, this run has 40; sample numbers mean other tokens"):
        longer.load_state_dict(state)
    notes = longer.rebase(state)
    unread = (187 - cursors["a"] % 187) * L
    assert notes[0] == f"a begins epoch 1; {unread:,} tokens of the epoch before are not read"
    assert longer.position == -(-84 * L // 40) == 34
    plain = blend.samples(40)
    source, rank, _ = longer.samples.places(np.arange(34, 134))
    for i, name in enumerate(plain.names):
        epoch = -(-cursors[name] // (SIZES[name] // L))
        mine = rank[source == i]
        assert mine.tolist() == list(range(epoch * (SIZES[name] // 40), epoch * (SIZES[name] // 40) + mine.size))
    share = (source[6:] == plain.names.index("c")).mean()
    assert share > 0.8, "phases count tokens, whatever the length of samples"
    counts = np.bincount(tokens_seen(longer, 3), minlength=1000)
    assert counts.sum() == 3 * 5 * 40
    state = longer.state_dict()
    resumed = Loader(blend.samples(40), 5, prefetch=0)
    resumed.load_state_dict(json.loads(json.dumps(state)))
    assert equal(next(resumed), next(longer))


def test_changed_and_lost_data_is_named_when_a_run_is_rebased(data, tmp_path):
    loader = Loader(of(data).samples(L), G, prefetch=0)
    next(loader)
    state = loader.state_dict()
    other = make(tmp_path / "b", 900, seed=9, meta=META)
    changed = Loader(Blend.of({"a": data.plain["a"], "b": other}, seed=5).samples(L), G, prefetch=0)
    assert changed.rebase(state) == ["b holds other data than before and begins anew", "c was drawn from and is gone"]
    assert changed.samples.counts(12) == {"a": state["blend"]["cursors"]["a"], "b": 0}
    masked = Loader(MaskedSamples(Blend.of(data.plain, seed=5).samples(L)), G, prefetch=0)
    masked.rebase(state)
    assert masked.state_dict()["blend"]["origin"]["base"] == {n: c for n, c in state["blend"]["cursors"].items() if c}
    held_out = Loader(of(data, split=(5, 5, 0)).validation(L)["a"], 4)
    with pytest.raises(ConfigError, match="only a blend in our order can go on from other samples"):
        held_out.rebase(state)
