"""From tokens back to samples, against a search through all samples."""

from __future__ import annotations

import numpy as np
import oracles_indexed as oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles_indexed import make, numbered

from megadata.indexed.blend import Blend, Phase
from megadata.indexed.gpt import GptSamples
from megadata.indexed.inverse import ascend, unpermute_locally
from megadata.indexed.masking import MaskedSamples
from megadata.indexed.meta import Meta
from megadata.indexed.mixture import Tree
from megadata.indexed.order import permute, permute_locally, unpermute
from megadata.indexed.writer import IndexedWriter

U64 = st.integers(0, 2**64 - 1)
L = 16


def column(value: int, like: np.ndarray) -> np.ndarray:
    return np.full(like.shape, value, np.uint64)


@given(size=st.integers(1, 4000), key=U64, block=st.integers(1, 90))
@settings(max_examples=120)
def test_backwards_undoes_forwards(size, key, block):
    places = np.arange(size, dtype=np.uint64)
    sizes, keys, blocks = column(size, places), column(key, places), column(block, places)
    assert unpermute(permute(places, sizes, keys), sizes, keys).tolist() == places.tolist()
    local = permute_locally(places, sizes, keys, blocks)
    assert unpermute_locally(local, sizes, keys, blocks).tolist() == places.tolist()


@given(st.lists(st.tuples(st.integers(1, 2**61), U64, U64), min_size=1, max_size=30))
def test_backwards_undoes_forwards_at_any_size(rows):
    sizes = np.array([size for size, _, _ in rows], np.uint64)
    keys = np.array([key for _, key, _ in rows], np.uint64)
    places = np.array([place % size for size, _, place in rows], np.uint64)
    assert unpermute(permute(places, sizes, keys), sizes, keys).tolist() == places.tolist()


@given(
    st.lists(st.integers(0, 2**26), min_size=1, max_size=20).filter(any),
    st.lists(st.integers(0, 2**50), min_size=1, max_size=20),
)
@settings(max_examples=150)
def test_a_rank_leads_back_to_its_sample(weights, numbers):
    tree = Tree.build(weights, [f"{oracles.mix(i):016x}" for i in range(len(weights))])
    samples = np.array(numbers, np.int64)
    source, rank = tree.descend(samples)
    for i in np.unique(source).tolist():
        mine = source == i
        assert ascend(tree, i, rank[mine]).tolist() == samples[mine].tolist()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return {
        "a": [numbered(folder / "a0", 700), numbered(folder / "a1", 333, 5000)],
        "b": numbered(folder / "b", 410, 100_000),
        "c": numbered(folder / "c", 97, 200_000),
    }


@given(
    source=st.sampled_from("abc"),
    start=st.integers(0, 1032),
    size=st.integers(1, 200),
    before=st.integers(0, 250),
    locality=st.booleans(),
)
@settings(max_examples=40)
def test_the_samples_of_a_range_are_found_without_a_search(data, source, start, size, before, locality):
    phases = [Phase(from_tokens=900, weights={"c": 3}), Phase(from_tokens=2000, to_tokens=4000, weights={"a": 1})]
    blend = Blend.of(data, {"a": 3, "b": 2, "c": 1}, phases=phases, max_epochs={"b": 2}, locality=locality, seed=8)
    samples = blend.samples(L)
    total = samples.sources[samples.names.index(source)].stream.tokens
    start %= total
    stop = min(total, start + size)
    found = samples.showing(source, start, stop, before).tolist()
    expected = []
    for k in range(before):
        where = samples.locate(k)
        covered = set(((where.start + np.arange(where.length)) % total).tolist())
        if where.source == source and covered & set(range(start, stop)):
            expected.append(k)
    assert found == expected
    assert GptSamples(samples).showing(source, start, stop, before).tolist() == expected


def test_a_long_run_is_answered_at_once(data):
    samples = Blend.of(data, {"a": 3, "b": 2, "c": 1}).samples(L)
    found = samples.showing("c", 3, 5, 10**7)[-50:]
    source, _, start = samples.places(found)
    assert {samples.names[i] for i in source.tolist()} == {"c"}
    assert all({3, 4} & {(s + i) % 97 for i in range(L + 1)} for s in start.tolist())


def test_packed_rows_show_no_label_of_the_next(tmp_path):
    with IndexedWriter(tmp_path / "p", np.uint16, Meta(eod=0, pack=L, padding=0)) as writer:
        for row in range(20):
            writer.add_document(range(row * L, (row + 1) * L))
    samples = Blend.of({"p": tmp_path / "p"}).samples(L)
    found = samples.showing("p", 5 * L, 6 * L, 200).tolist()
    assert found == [k for k in range(200) if samples.locate(k).start == 5 * L]
    assert samples.locate(found[0]).length == L


@pytest.mark.parametrize("level", ["sentence", "document"])
def test_masked_samples_are_found_by_their_documents(tmp_path, level):
    rng = np.random.default_rng(3)
    special = {"cls": 1, "sep": 2, "mask": 3, "pad": 4}
    with IndexedWriter(
        tmp_path / "d", np.uint16, Meta(vocabulary_size=500, special_tokens=special, level=level)
    ) as out:
        for _ in range(60):
            for _ in range(int(rng.integers(1, 9)) if level == "sentence" else 1):
                out.add_sequence(rng.integers(5, 500, rng.integers(1, 30)))
            out.end_document()
    masked = MaskedSamples(Blend.of({"d": tmp_path / "d"}, split=(8, 1, 1)).samples(40))
    data = masked.samples.sources[0].stream.pieces[0].dataset
    borders = data.document_starts(np.arange(49)).tolist()
    spans = [masked.ranges(k) for k in range(150)]
    for document in range(48):
        start, stop = borders[document : document + 2]
        expected = [
            k for k, ranges in enumerate(spans) if any(r.start < stop and r.start + r.length > start for r in ranges)
        ]
        assert masked.showing("d", start, stop, 150).tolist() == expected


def test_documents_of_many_samples_are_told_at_once(tmp_path):
    prefix = make(tmp_path / "d", 3000, document=20)
    samples = Blend.of({"d": prefix}).samples(50)
    from megadata.indexed.provenance import documents_of_all

    assert documents_of_all([samples.ranges(k) for k in range(30)]) == [samples.provenance(k) for k in range(30)]
