"""The trainer's data: what its settings make of a blend, and runs that go on from other data."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from training_data import make_blend, tiny_config  # noqa: E402

from megadata.errors import ConfigError  # noqa: E402
from megadata.indexed.batch import Batch  # noqa: E402
from megadata.indexed.blend import Blend  # noqa: E402
from megadata.pipeline.trace import trace  # noqa: E402
from megadata.trainer import train  # noqa: E402
from megadata.trainer.config import replaced  # noqa: E402
from megadata.trainer.data import open_data  # noqa: E402
from megadata.trainer.inputs import model_inputs, pinned  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def blend(tmp_path_factory):
    return make_blend(tmp_path_factory.mktemp("blend"))


def test_settings_of_masked_samples_reach_them(blend):
    loaded = Blend.load(blend)
    config = tiny_config("bert", data={"mask_unit": "spans", "pairs": "next"})
    data = open_data(config, loaded)
    batch = next(data.loader(0, 1))
    assert batch.is_swapped is not None
    assert data.samples.masking.unit == "spans"
    assert next(iter(data.validation.values())).masking.pairs == "next"
    plain = open_data(replaced(config, "data", pairs="none"), loaded)
    assert "order" not in model_inputs(next(plain.loader(0, 1)), torch.device("cpu"), "bert")


def test_infilling_without_its_tokens_is_refused_before_training(blend):
    with pytest.raises(ConfigError, match="the data's tokenizer has no 'fim_prefix' token"):
        open_data(tiny_config(data={"infilling": 0.5}), Blend.load(blend))
    with pytest.raises(ConfigError, match=r"data\.infilling must lie between 0 and 1, got 2"):
        tiny_config(data={"infilling": 2.0})


def test_pinned_batches_hold_the_same_and_are_made_ahead(blend, monkeypatch):
    pins = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pins.append(tensor.shape) or tensor.clone())
    data = open_data(tiny_config(), Blend.load(blend))
    loader, plain = data.loader(0, 1, pinned), data.loader(0, 1)
    one, other = next(loader), next(plain)
    loader.close()
    plain.close()
    assert len(pins) % 5 == 0
    assert len(pins) >= 5
    for f in fields(Batch):
        a, b = getattr(one, f.name), getattr(other, f.name)
        assert (a is None) == (b is None)
        assert a is None or np.array_equal(a, b)
    inputs = [model_inputs(batch, torch.device("cpu"), "gpt") for batch in (one, other)]
    assert all(torch.equal(inputs[0][name], inputs[1][name]) for name in inputs[1])
    assert int(inputs[0]["labels"].min()) >= 0


def test_a_run_goes_on_from_other_weights_and_another_length_when_told_so(blend, tmp_path):
    config = tiny_config(trainer={"steps": 2}, checkpoint={"every": 2})
    train(config, blend, tmp_path / "first")
    loaded = Blend.load(blend)
    names = [source.name for source in loaded.sources]
    other = Blend.of({s.name: s.data for s in loaded.sources}, dict(zip(names, (1, 9), strict=True)), seed=loaded.seed)
    changed = other.save(tmp_path / "other.yaml")
    longer = tiny_config(trainer={"steps": 5}, checkpoint={"every": 1}, data={"sequence_length": 16})
    with pytest.raises(ConfigError, match="samples of 32 tokens, this run has 16"):
        train(longer, changed, tmp_path / "no", resume=tmp_path / "first")
    heard: list[dict] = []
    rebase = replaced(longer, "data", rebase=True)
    train(rebase, changed, tmp_path / "second", resume=tmp_path / "first", report=heard.append)
    notes = [event["text"] for event in heard if event["event"] == "note"]
    assert any("begins epoch 1;" in text and "of the epoch before are not read" in text for text in notes)
    lines = [json.loads(line) for line in (tmp_path / "second" / "metrics.jsonl").read_text().splitlines()]
    steps = {line["step"]: line["first_sample"] for line in lines if "first_sample" in line}
    assert steps == {3: 32, 4: 40, 5: 48}  # 16 samples of 32 tokens are as many as 32 of 16
    assert [sample.sample for sample in trace(tmp_path / "second", 4)] == list(range(40, 48))
    assert {sample.epoch for sample in trace(tmp_path / "second", 4)} == {1}
