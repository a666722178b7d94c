"""Megatron-core's own classes give the arrays and samples of our Megatron order, for any documents, weights and seeds."""

from __future__ import annotations

import json
from pathlib import Path

import megatron_support as support
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from megadata.indexed.megatron import Epochs, Greedy, normalize, sample_index
from megadata.indexed.writer import IndexedWriter

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]


def test_the_golden_file_is_what_megatron_says(tmp_path):
    prefixes = support.write(tmp_path)
    golden = json.loads((Path(__file__).parent / "golden" / "megatron.json").read_text(encoding="utf-8"))
    assert golden == {case: support.golden(prefixes, case) for case in support.CASES}


@given(
    data=st.data(),
    lengths=st.lists(st.lists(st.integers(0, 60), min_size=4, max_size=30), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
    samples=st.integers(1, 300),
    mode=st.sampled_from(["weights", "none", "exhaustive"]),
    split=st.sampled_from([None, "50,50,0"]),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_arrays_and_samples_are_equal(tmp_path_factory, data, lengths, seed, samples, mode, split):
    folder = tmp_path_factory.mktemp("d")
    prefixes, weights = {}, {}
    for i, given_lengths in enumerate(lengths):
        # Megatron goes on for ever over a part without tokens, and has no epoch of less than a sample.
        mine = np.array([30, *given_lengths, 30])
        rng = np.random.default_rng(i)
        with IndexedWriter(folder / f"s{i}", np.uint16) as writer:
            writer.add_documents(rng.integers(0, 1000, int(mine.sum())).astype(np.uint16), mine)
        prefixes[f"s{i}"] = str(folder / f"s{i}")
        weights[f"s{i}"] = data.draw(st.floats(0.01, 100)) if mode == "weights" else None
    case = (weights, None if mode == "exhaustive" else samples, seed, split)
    try:
        theirs = support.theirs(prefixes, *case)
    except IndexError:  # the blend oversamples
        with pytest.raises(ValueError, match=r"raise order\.surplus"):
            support.ours(prefixes, *case)
        return
    ours = support.ours(prefixes, *case)
    datasets, blend = support.parts(theirs)
    for mine, other in zip(ours.datasets, datasets, strict=True):
        for name in ("documents", "samples", "shuffle"):
            array = getattr(mine.arrays, name)
            expected = getattr(other, f"{name.removesuffix('s')}_index")
            assert array.dtype == expected.dtype
            assert np.array_equal(array, expected)
    if blend is not None:
        found = ours._greedy.find(np.arange(ours.total))
        assert np.array_equal(found[0], blend.dataset_index)
        assert np.array_equal(found[1], blend.dataset_sample_index)
    assert np.array_equal(ours.batch(0, ours.total), support.tokens_of(theirs))


def test_a_hundred_thousand_samples_of_a_hundred_datasets_are_blended_alike():
    from megatron.core.datasets import helpers

    rng = np.random.default_rng(0)
    for weights in (rng.random(100) ** 3, rng.integers(1, 10, 7)):
        shares, size = normalize(normalize([float(w) for w in weights])), 100_000
        datasets, samples = np.zeros(size, np.int16), np.zeros(size, np.int64)
        helpers.build_blending_indices(datasets, samples, shares, len(shares), size, False)
        found = Greedy(shares, size).find(np.arange(size))
        assert np.array_equal(found[0], datasets)
        assert np.array_equal(found[1], samples)


def test_a_million_documents_are_cut_alike():
    from megatron.core.datasets import helpers

    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 2000, 1_000_000).astype(np.int32)
    documents = rng.permutation(np.tile(np.arange(lengths.size, dtype=np.int32), 2))
    tokens = int(lengths.sum())
    theirs = helpers.build_sample_idx(lengths, documents, 2048, 2, tokens, True, True)
    ours = sample_index(lengths, documents, Epochs(2, tokens, 2048, None))
    assert ours.dtype == theirs.dtype
    assert np.array_equal(ours, theirs)
