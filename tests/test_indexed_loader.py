"""The loader: rank slices, state, prefetching, documents."""

from __future__ import annotations

import gc
import json
import multiprocessing
import pickle
import threading
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles_indexed import make, numbered

from megadata.errors import ConfigError, IndexFormatError
from megadata.indexed.batch import Batch, gpt_batch
from megadata.indexed.blend import Blend, Phase, Source
from megadata.indexed.loader import Loader
from megadata.indexed.masking import MaskedSamples
from megadata.indexed.meta import Meta
from megadata.indexed.samples import Samples

L = 16
SPECIAL = {"eod": 0, "cls": 1, "sep": 2, "mask": 3, "pad": 4}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    meta = Meta(vocabulary_size=10_000, eod=0, special_tokens=SPECIAL)
    return {
        n: numbered(folder / n, size, at, meta)
        for n, size, at in (("a", 3000, 1000), ("b", 1000, 6000), ("c", 700, 8000))
    }


@pytest.fixture(scope="module")
def samples(data):
    return Blend.of(data, {"a": 3, "b": 2, "c": 1}, max_epochs={"b": 1}).samples(L)


def equal(one: Batch, other: Batch) -> bool:
    pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in fields(Batch)]
    return all((a is None) == (b is None) and (a is None or np.array_equal(a, b)) for a, b in pairs)


def take(loader: Loader, count: int) -> list[Batch]:
    found = [next(loader) for _ in range(count)]
    loader.close()
    return found


@given(batch_size=st.integers(1, 24), world=st.integers(1, 24), start=st.integers(0, 500), prefetch=st.integers(0, 3))
@settings(max_examples=40)
def test_the_parts_of_all_ranks_make_the_global_batch(samples, batch_size, world, start, prefetch):
    if batch_size < world:
        return
    parts = [take(Loader(samples, batch_size, rank, world, start, prefetch=prefetch), 3) for rank in range(world)]
    for step in range(3):
        whole = np.concatenate([part[step].input_ids for part in parts])
        first = start + step * batch_size
        assert whole.tolist() == samples.batch(first, first + batch_size)[:, :-1].tolist()


@pytest.fixture(params=["gpt", "documents", "masked"])
def fresh(request, samples):
    """How to make a loader of each kind."""
    if request.param == "masked":
        return lambda **more: Loader(MaskedSamples(samples, seed=3), 6, **more)
    options = {"document_aware": True, "mask_eod_loss": True} if request.param == "documents" else {}
    return lambda **more: Loader(samples, 6, **options, **more)


@given(steps=st.integers(0, 12), more=st.integers(1, 4), prefetch=st.integers(0, 2))
@settings(max_examples=12)
def test_restored_at_any_step_the_rest_is_the_same(fresh, steps, more, prefetch):
    undisturbed = take(fresh(prefetch=0), steps + more)
    loader = fresh(prefetch=prefetch)
    for batch in undisturbed[:steps]:
        assert equal(next(loader), batch)
    state = json.loads(json.dumps(loader.state_dict()))
    loader.close()
    resumed = fresh(prefetch=prefetch)
    resumed.load_state_dict(state)
    assert resumed.step == steps
    assert all(equal(now, then) for now, then in zip(take(resumed, more), undisturbed[steps:], strict=True))


def test_worlds_of_other_sizes_continue_the_same_sequence(samples):
    found, state = [], None
    for world in (1, 4, 2, 3):
        loaders = [Loader(samples, 12, rank, world) for rank in range(world)]
        for loader in loaders:
            if state is not None:
                loader.load_state_dict(state)
        for _ in range(5):
            found += [next(loader).input_ids for loader in loaders]
        states = [loader.state_dict() for loader in loaders]
        assert all(other == states[0] for other in states)
        state = states[0]
        for loader in loaders:
            loader.close()
    assert np.concatenate(found).tolist() == samples.batch(0, 12 * 20)[:, :-1].tolist()


def test_another_batch_size_goes_on_at_the_same_sample(samples):
    loader = Loader(samples, 12)
    take(loader, 3)
    other = Loader(samples, 5)
    other.load_state_dict(loader.state_dict())
    assert next(other).input_ids.tolist() == samples.batch(36, 41)[:, :-1].tolist()
    assert (other.position, other.step) == (41, 4)
    other.close()


def state_after(blend: Blend, batches: int) -> dict:
    loader = Loader(blend.samples(L), 10, prefetch=0)
    take(loader, batches)
    return loader.state_dict()


def test_weights_after_the_position_may_change_and_sources_may_join(data):
    old = Blend.of({"a": data["a"], "b": data["b"]}, {"a": 3, "b": 2})
    state = state_after(old, 4)
    new = old.with_phase(40 * L, {"a": 1, "c": 5}, [Source(name="c", data=(data["c"],))])
    loader = Loader(new.samples(L), 10, prefetch=0)
    loader.load_state_dict(state)
    assert next(loader).input_ids.tolist() == new.samples(L).batch(40, 50)[:, :-1].tolist()
    assert state["blend"]["cursors"] == {"a": 24, "b": 16}
    assert loader.state_dict()["blend"]["cursors"]["a"] > 24


def refusal(data: dict[str, str], state: dict, blend: Blend, length: int = L) -> str:
    with pytest.raises(ConfigError) as error:
        Loader(blend.samples(length), 10).load_state_dict(state)
    return str(error.value)


def test_what_would_change_the_past_is_refused_with_the_difference(data, tmp_path):
    two = {"a": data["a"], "b": data["b"]}
    state = state_after(Blend.of(two, {"a": 3, "b": 2}), 4)
    found = refusal(data, state, Blend.of(two, {"a": 1, "b": 2}))
    assert found.startswith(
        "blend: from sample 0 on the weights were a=3, b=2 when the state was taken, they are a=1, b=2 from"
    )
    found = refusal(data, state, Blend.of(two, {"a": 3, "b": 2}, seed=1))
    assert found.startswith(
        "blend: seed was 0 when the state was taken, it is 1 now; go on with the blend the run started with"
    )
    found = refusal(data, state, Blend.of({"a": data["a"]}))
    assert found.startswith("blend: source 'b' was drawn from and is gone")
    early = Blend.of(two, {"a": 3, "b": 2}, phases=[Phase(from_tokens=39 * L, weights={"a": 9})])
    assert refusal(data, state, early).startswith(
        "blend: the weights change to a=9, b=2 at sample 39, before the state's sample 40"
    )
    other = numbered(tmp_path / "b", 1001, 6000)
    found = refusal(data, state, Blend.of({"a": data["a"], "b": other}, {"a": 3, "b": 2}))
    assert found.startswith("blend: the data of source 'b' had 1,000 tokens, it has 1,001 now; it is not what the")
    other = numbered(tmp_path / "b", 1000, 6001)
    found = refusal(data, state, Blend.of({"a": data["a"], "b": other}, {"a": 3, "b": 2}))
    assert "the data of source 'b' had digest" in found
    found = refusal(data, state, Blend.of(two, {"a": 3, "b": 2}), length=8)
    assert found.startswith("loader: the state was taken with samples of 16 tokens, this run has 8")


def test_a_finite_blend_ends_with_the_last_whole_batch(data):
    samples = Blend.of({"c": data["c"]}, max_epochs={"c": 1}).samples(L)
    loader = Loader(samples, 10)
    assert len(list(loader)) == samples.total // 10 == 4
    assert threading.active_count() == 1 or not any(t.name == "megadata-prefetch" for t in threading.enumerate())


def documents_by_hand(row: list[int], eod: int) -> tuple[list[int], list[int]]:
    positions, lengths = [], [0]
    for token in row:
        positions.append(lengths[-1])
        lengths[-1] += 1
        if token == eod:
            lengths.append(0)
    return positions, [n for n in lengths if n]


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 3), min_size=9, max_size=9), min_size=n, max_size=n)
    )
)
def test_positions_start_again_after_each_eod(rows):
    tokens = np.array(rows, np.int64)
    batch = gpt_batch(tokens, eod=0, document_aware=True, mask_eod_loss=True)
    for i, row in enumerate(tokens[:, :-1].tolist()):
        positions, lengths = documents_by_hand(row, 0)
        assert batch.position_ids[i].tolist() == positions
        assert [n for n in batch.document_lengths[i].tolist() if n] == lengths
        assert batch.loss_mask[i].tolist() == [float(token != 0) for token in row]
    assert batch.document_lengths.sum(axis=1).tolist() == [8] * len(rows)
    assert batch.labels.tolist() == tokens[:, 1:].tolist()


def test_without_options_a_batch_is_as_gpt_2_was_trained():
    batch = gpt_batch(np.arange(10).reshape(2, 5))
    assert batch.position_ids.tolist() == [[0, 1, 2, 3]] * 2
    assert batch.document_lengths.tolist() == [[4], [4]]
    assert batch.loss_mask.all()
    assert [len(part) for part in batch.micro(1)] == [1, 1]
    assert equal(next(batch.micro(2)), batch)
    assert batch.rows(1, 2).input_ids.tolist() == [[5, 6, 7, 8]]


def samples_of_bert(folder):
    meta = Meta(vocabulary_size=1000, special_tokens=SPECIAL)
    return Blend.of({"d": make(folder / "bert", 500, meta=meta)}).samples(L)


def test_document_options_need_an_eod(tmp_path):
    samples = Blend.of({"d": make(tmp_path / "d", 500)}).samples(L)
    with pytest.raises(ConfigError, match="the data's sidecars do not say it; give eod, or write the sidecar"):
        Loader(samples, 2, document_aware=True)
    given = int(samples[0][3])
    batch = Loader(samples, 2, document_aware=True, eod=given, prefetch=0).batch_at(0)
    assert batch.document_lengths[0, 0] == samples[0].tolist().index(given) + 1
    with pytest.raises(ConfigError, match="MaskedSamples make whole batches; give document_aware"):
        Loader(MaskedSamples(samples_of_bert(tmp_path)), 2, document_aware=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((4, 4, 4), "rank must lie in 0 to 3, got 4"),
        ((3, 0, 4), "a global batch of 3 samples cannot feed 4 ranks"),
        ((3, 0, 1, -1), "start must not be negative, got -1"),
    ],
)
def test_a_loader_that_cannot_be_is_refused(samples, arguments, message):
    with pytest.raises(ConfigError, match=message):
        Loader(samples, *arguments)


def test_an_error_in_the_thread_is_raised_where_the_batch_is_taken(samples, monkeypatch):
    calls = []

    def fails(self: Samples, source: np.ndarray, start: np.ndarray) -> np.ndarray:
        calls.append(start)
        raise IndexFormatError("d.bin: gone")

    loader = Loader(samples, 4)
    monkeypatch.setattr(Samples, "read", fails)
    for _ in range(2):
        with pytest.raises(IndexFormatError, match=r"d\.bin: gone"):
            next(loader)
    assert loader.position == 0
    monkeypatch.undo()
    assert len(next(loader)) == 4
    loader.close()


def test_the_thread_ends_with_its_loader(samples):
    loader = Loader(samples, 4)
    next(loader)
    assert any(t.name == "megadata-prefetch" for t in threading.enumerate())
    copy = pickle.loads(pickle.dumps(loader))
    assert equal(next(copy), next(loader))
    del loader, copy
    gc.collect()
    assert not any(t.name == "megadata-prefetch" and t.is_alive() for t in threading.enumerate())


def next_in_child(pipe: object, loader: Loader) -> None:
    pipe.send(next(loader).input_ids.tolist())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_loader_goes_on_in_a_forked_process(samples):
    loader = Loader(samples, 4)
    next(loader)
    here, there = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=next_in_child, args=(there, loader))
    child.start()
    assert here.recv() == samples.batch(4, 8)[:, :-1].tolist()
    child.join(10)
    assert child.exitcode == 0
    loader.close()
