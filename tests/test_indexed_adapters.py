"""Other libraries see the same samples."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from oracles_indexed import make, mmididx, write_pair

import megadata
from megadata.errors import ConfigError
from megadata.indexed.blend import Blend
from megadata.indexed.loader import Loader


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return Blend.of({"d": make(tmp_path_factory.mktemp("data") / "d", 3000)}).samples(32)


@pytest.mark.train
@pytest.mark.parametrize("workers", [0, 1])
def test_torch_gets_the_samples_in_order(samples, workers):
    from torch.utils.data import DataLoader

    dataset = megadata.adapters.torch_dataset(samples)
    assert len(dataset) == samples.epoch == 93
    loader = DataLoader(
        dataset, batch_size=10, num_workers=workers, multiprocessing_context="spawn" if workers else None
    )
    batches = list(loader)
    found = np.concatenate([np.asarray(batch["input_ids"]) for batch in batches])
    labels = np.concatenate([np.asarray(batch["labels"]) for batch in batches])
    whole = samples.batch(0, 93)
    assert found.tolist() == whole[:, :-1].tolist()
    assert labels.tolist() == whole[:, 1:].tolist()


@pytest.mark.train
def test_a_torch_dataset_has_a_length_and_ends(samples):
    dataset = megadata.adapters.torch_dataset(samples, 5)
    assert dataset[-1]["input_ids"].tolist() == samples[4][:-1].tolist()
    with pytest.raises(IndexError, match="sample 5 asked for, there are 5"):
        dataset[5]
    assert pickle.loads(pickle.dumps(dataset))[2]["labels"].tolist() == samples[2][1:].tolist()
    with pytest.raises(ConfigError, match="0 samples asked for, there are endless"):
        megadata.adapters.torch_dataset(samples, 0)


@pytest.mark.train
@pytest.mark.parametrize("workers", [0, 2])
def test_torch_gets_a_loaders_batches_in_order_from_any_number_of_workers(samples, workers):
    from torch.utils.data import DataLoader

    stream = megadata.adapters.torch_batches(Loader(samples, 8, rank=1, world_size=2, start=16), 7)
    assert len(stream) == 7
    context = "spawn" if workers else None
    batches = list(DataLoader(stream, batch_size=None, num_workers=workers, multiprocessing_context=context))
    expected = [samples.batch(16 + 8 * i + 4, 16 + 8 * i + 8) for i in range(7)]
    assert [batch["labels"].tolist() for batch in batches] == [tokens[:, 1:].tolist() for tokens in expected]
    assert set(batches[0]) == {"input_ids", "labels", "loss_mask", "position_ids"}
    batches[0]["loss_mask"] += 1


@pytest.mark.train
@pytest.mark.parametrize("taken", range(5))
def test_batches_for_torch_restored_at_any_step_the_rest_is_the_same(samples, taken):
    def stream():
        return megadata.adapters.torch_batches(Loader(samples, 8, document_aware=True, eod=12), 4)

    whole = [batch["input_ids"].tolist() for batch in stream()]
    first = stream()
    batches = iter(first)
    for _ in range(taken):
        next(batches)
    again = stream()
    again.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert [batch["input_ids"].tolist() for batch in again] == whole[taken:]
    again.load_state_dict(first.state_dict())
    assert list(again)[-1:] == [] or taken < 4
    assert next(iter(again))["input_ids"].tolist() == samples.batch(32, 40)[:, :-1].tolist()
    assert "document_lengths" in next(iter(stream()))
    with pytest.raises(ConfigError, match="batches must not be negative"):
        megadata.adapters.torch_batches(Loader(samples, 8), -1)


def test_labels_for_models_that_shift_themselves_are_the_inputs(samples):
    source = megadata.adapters.grain_source(samples, 5, shifted=False)
    assert len(source) == 5
    assert source[3]["labels"].tolist() == source[3]["input_ids"].tolist() == samples[3][:-1].tolist()
    assert repr(source) == repr(pickle.loads(pickle.dumps(source)))
    assert repr(source) != repr(megadata.adapters.grain_source(samples, 6))


@pytest.mark.peers
def test_hugging_face_gets_the_samples_in_order(samples):
    rows = list(megadata.adapters.hf_dataset(samples, 50))
    assert np.array([row["input_ids"] for row in rows]).tolist() == samples.batch(0, 50)[:, :-1].tolist()
    assert np.array([row["labels"] for row in rows]).tolist() == samples.batch(0, 50)[:, 1:].tolist()


def test_nanogpt_maps_what_was_exported(tmp_path):
    train = make(tmp_path / "d", 1000)
    wide = write_pair(tmp_path / "w", *mmididx([[[1, 2, 65_535]]], 4))
    paths = megadata.adapters.nanogpt({"train": train, "val": megadata.IndexedDataset(wide)}, tmp_path / "out")
    assert [path.name for path in paths] == ["train.bin", "val.bin"]
    mapped = np.memmap(paths[0], dtype=np.uint16, mode="r")
    assert mapped.tolist() == megadata.IndexedDataset(train).window(0, 1000).tolist()
    assert np.memmap(paths[1], dtype=np.uint16, mode="r").tolist() == [1, 2, 65_535]
    too_wide = write_pair(tmp_path / "x", *mmididx([[[65_536]]], 4))
    with pytest.raises(ConfigError, match=r"nanoGPT's files hold uint16, id 65536 does not fit"):
        megadata.adapters.nanogpt({"train": too_wide}, tmp_path / "out")
