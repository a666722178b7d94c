"""Random numbers that do not know the layout."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from megadata.trainer import randomness  # noqa: E402
from megadata.trainer.randomness import (  # noqa: E402
    dropout,
    fill_normal,
    fingerprint,
    hash64,
    keep_mask,
    mix64_,
    sample_keys,
)

pytestmark = pytest.mark.train

INT64 = st.integers(-(2**63), 2**63 - 1)


def splitmix(value: int) -> int:
    """SplitMix64's finaliser with Python's integers."""
    value &= 2**64 - 1
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB % 2**64
    return value ^ (value >> 31)


@given(values=st.lists(INT64, min_size=1, max_size=8))
def test_mixing_equals_splitmix64(values):
    mixed = mix64_(torch.tensor(values, dtype=torch.int64)).tolist()
    assert [value % 2**64 for value in mixed] == [splitmix(value) for value in values]


def test_dropout_drops_its_share_and_keeps_the_mean():
    keys = sample_keys(0, 0, torch.arange(16))
    keep = keep_mask(keys, 5, 64, 96, 0.1)
    rate = float((~keep).double().mean())
    assert abs(rate - 0.1) < 5 * (0.1 * 0.9 / keep.numel()) ** 0.5
    assert float(dropout(torch.ones(16, 64, 96), 0.1, keys, 5).mean()) == pytest.approx((1 - rate) / 0.9, rel=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_masks_of_neighbours_have_nothing_in_common(axis):
    keep = keep_mask(sample_keys(0, 3, torch.arange(64)), 9, 64, 64, 0.5).double().numpy()
    first, second = (np.take(keep, range(start, 63 + start), axis=axis).ravel() for start in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / first.size**0.5


def test_masks_differ_by_step_seed_sample_and_site():
    samples = torch.arange(2)
    one = keep_mask(sample_keys(0, 0, samples), 1, 8, 32, 0.5)
    for keys, site in (
        (sample_keys(0, 1, samples), 1),
        (sample_keys(1, 0, samples), 1),
        (sample_keys(0, 0, samples), 2),
    ):
        assert not torch.equal(one, keep_mask(keys, site, 8, 32, 0.5))
    assert not torch.equal(one[0], one[1])


@given(cut=st.integers(1, 7))
def test_a_mask_does_not_depend_on_who_computes_which_samples(cut):
    keys = sample_keys(7, 2, torch.arange(8))
    whole = keep_mask(keys, 3, 4, 10, 0.3)
    parts = [keep_mask(part, 3, 4, 10, 0.3) for part in (keys[:cut], keys[cut:])]
    assert torch.equal(whole, torch.cat(parts))


def test_dropout_without_keys_does_nothing():
    hidden = torch.randn(2, 3, 4)
    assert dropout(hidden, 0.5, None, 1) is hidden


@given(start=st.integers(0, 900), length=st.integers(1, 300))
def test_any_slice_of_a_parameter_has_the_values_of_the_whole(start, length):
    before, randomness.BLOCK = randomness.BLOCK, 256
    try:
        whole, part = torch.empty(1200), torch.empty(length)
        fill_normal(whole, "w", 1, 0.5, 0)
        fill_normal(part, "w", 1, 0.5, start, 1200)
    finally:
        randomness.BLOCK = before
    assert torch.equal(part, whole[start : start + length])
    assert not torch.equal(whole[:256], whole[256:512])


@given(cut=st.integers(0, 1000), seed=st.integers(0, 100))
def test_fingerprints_of_slices_add_up(cut, seed):
    values = torch.randn(1000, generator=torch.Generator().manual_seed(seed))
    parts = fingerprint(values[:cut]) + fingerprint(values[cut:], cut)
    assert parts % 2**64 == fingerprint(values)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int8])
def test_a_fingerprint_sees_every_bit_and_every_place(dtype):
    values = torch.arange(1, 60).to(dtype)
    whole = fingerprint(values)
    for change in (values.flip(0), values.roll(1), values * 0 + 1):
        assert fingerprint(change) != whole
    changed = values.clone()
    changed[17] += 1
    assert fingerprint(changed) != whole


def test_hashes_are_stable_across_processes_and_versions():
    assert hash64(0, "layers.0.attention.query.weight", 0) == hash64("0", "layers.0.attention.query.weight", "0")
    assert hash64("a", "b") != hash64("ab")
    assert hash64(0, "tokens.weight", 0) == 5991827164826102405
