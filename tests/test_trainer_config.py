"""What is refused before anything starts, schedules, and decay groups."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import pytest

from megadata.config import build, to_dict
from megadata.errors import ConfigError
from megadata.trainer.config import ScheduleConfig, TrainConfig, config_from, load_config, presets, replaced
from megadata.trainer.run import check_layout
from megadata.trainer.schedules import learning_rate


def test_every_preset_loads_and_survives_a_round_trip():
    assert presets() == [
        "bert-110m",
        "bert-mini",
        "bert-tiny",
        "gpt-mini",
        "gpt-tiny",
        "gpt2-124m",
        "gpt2-355m",
        "llama-tiny",
    ]
    for name in presets():
        config = load_config(name)
        assert build(TrainConfig, to_dict(config), name) == config


def test_settings_on_top_of_a_preset_change_one_field():
    config = load_config("gpt-tiny", ["trainer.steps=7", "model.num_layers=1"])
    assert (config.trainer.steps, config.model.num_layers) == (7, 1)
    assert config.model.hidden_size == load_config("gpt-tiny").model.hidden_size


def test_a_mapping_may_start_from_a_preset():
    config = config_from({"preset": "bert-tiny", "trainer": {"steps": 3}})
    assert (config.trainer.steps, config.model.kind, config.trainer.validate_every) == (3, "bert", 300)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("trainer.stepps=3", "gpt-tiny: unknown key 'trainer.stepps'; did you mean \"steps\"?"),
        ("trainer.steps=0", "trainer.steps must be at least 1, got 0"),
        (
            "trainer.precision=fp8",
            "gpt-tiny: trainer.precision: Input should be 'auto', 'fp32', 'bf16', 'fp16' or 'fp64'",
        ),
        ("trainer.precision=fp16", "fp16 needs loss scaling, which this version does not have; use bf16 or fp32"),
        ("data.sequence_length=300", "data.sequence_length (300) is above model.max_position_embeddings (256)"),
        ("optimizer.lr=0", "optimizer.lr must be above 0, got 0.0"),
        ("schedule.final=2", "schedule.final must lie between 0 and 1, got 2.0"),
        ("parallel.tensor=0", "parallel.tensor must be at least 1, got 0"),
        ("checkpoint.keep=0", "checkpoint.keep must be at least 1, got 0"),
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(setting, message):
    with pytest.raises(ConfigError) as caught:
        load_config("gpt-tiny", [setting])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("section", "fields", "world", "message"),
    [
        (
            "parallel",
            {"tensor": 2},
            2,
            "parallel.tensor: 2 asked for, this version has the data axis only; set parallel.tensor=1",
        ),
        ("parallel", {"pipeline": 4}, 4, "parallel.pipeline: 4 asked for"),
        ("parallel", {"data": 3}, 2, "parallel.data is 3, but there are 2 processes; give --nproc 3 or leave it out"),
        (
            "data",
            {"batch_size": 10},
            4,
            "data.batch_size (10) cannot be shared evenly by 4 processes; the nearest that can is 8",
        ),
        ("data", {"batch_size": 1}, 4, "the nearest that can is 4"),
        ("data", {"batch_size": 8}, 0, "--nproc must be at least 1, got 0"),
    ],
)
def test_impossible_layouts_are_refused_with_a_sentence(section, fields, world, message):
    config = replaced(load_config("gpt-tiny"), section, **fields)
    with pytest.raises(ConfigError) as caught:
        check_layout(config, world)
    assert message in str(caught.value)


def test_checking_a_run_needs_no_torch():
    code = "import sys, megadata.trainer.run, megadata.trainer.launch, megadata.trainer.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


SCHEDULES = [
    ScheduleConfig(name=name, warmup=warmup, final=final, decay=0.25)
    for name in ("cosine", "linear", "wsd", "constant", "inverse_sqrt")
    for warmup in (0.1, 7, 0)
    for final in (0.0, 0.3)
]


@pytest.mark.parametrize("config", SCHEDULES, ids=lambda c: f"{c.name}-{c.warmup}-{c.final}")
def test_a_schedule_warms_up_evenly_and_never_rises_again(config):
    steps, highest = 40, 0.5
    rates = [learning_rate(config, highest, step, steps) for step in range(steps)]
    warmup = {0.1: 4, 7: 7, 0: 0}[config.warmup]
    assert rates[:warmup] == pytest.approx([highest * (i + 1) / warmup for i in range(warmup)])
    after = rates[max(0, warmup - 1) :]
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(after))
    assert max(rates) <= highest
    if config.name in ("cosine", "linear", "wsd"):
        assert rates[-1] == pytest.approx(highest * config.final)


def test_the_curves_have_their_published_shapes():
    cosine = ScheduleConfig(name="cosine", warmup=0, final=0.0)
    assert learning_rate(cosine, 1.0, 49, 100) == pytest.approx(0.5)
    assert learning_rate(cosine, 1.0, 24, 100) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    stable = ScheduleConfig(name="wsd", warmup=0, final=0.0, decay=0.5)
    assert [learning_rate(stable, 1.0, step, 100) for step in (0, 49, 74, 99)] == pytest.approx([1.0, 1.0, 0.5, 0.0])
    root = ScheduleConfig(name="inverse_sqrt", warmup=4)
    assert learning_rate(root, 1.0, 15, 100) == pytest.approx(0.5)


@pytest.mark.train
def test_matrices_decay_and_vectors_do_not():
    pytest.importorskip("torch")
    from megadata.trainer.config import OptimizerConfig
    from megadata.trainer.models.build import build_model
    from megadata.trainer.optimizers import build_optimizer

    model = build_model("gpt-tiny", vocab_size=300)
    optimizer = build_optimizer(model, OptimizerConfig(weight_decay=0.3))
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert len(decays) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert decays[id(parameter)] == (0.3 if parameter.dim() > 1 else 0.0), name


@pytest.mark.train
@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_making_an_optimizers_state_changes_no_weight(name):
    torch = pytest.importorskip("torch")
    from megadata.trainer.config import OptimizerConfig
    from megadata.trainer.models.build import build_model
    from megadata.trainer.optimizers import build_optimizer, prime, state_tensors

    model = build_model("gpt-tiny", vocab_size=300)
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = build_optimizer(model, OptimizerConfig(name=name))
    prime(optimizer)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert len(state_tensors(model, optimizer)) == len(before) * (1 if name == "sgd" else 2)
