"""What is refused before anything starts, schedules, and decay groups."""

from __future__ import annotations

import itertools
import math
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megadata.config import build, to_dict
from megadata.errors import ConfigError
from megadata.trainer.config import ScheduleConfig, TrainConfig, config_from, load_config, presets, replaced
from megadata.trainer.layouts import Axes, micro_batch, resolve_layout, stage_layers
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
        (
            "scaling.minimum=100000",
            "scaling.minimum must be above 0 and at most scaling.initial (65536.0), got 100000.0",
        ),
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
        ("parallel", {"data": 3}, 2, "parallel.data is 3, but there are 2 processes; give --nproc 3 or leave it out"),
        (
            "data",
            {"batch_size": 10},
            4,
            "data.batch_size (10) cannot be shared evenly by 4 processes; the nearest that can is 8",
        ),
        ("data", {"batch_size": 1}, 4, "the nearest that can is 4"),
        ("data", {"batch_size": 8}, 0, "--nproc must be at least 1, got 0"),
        (
            "parallel",
            {"tensor": 3},
            6,
            "parallel.tensor (3) must divide model.num_attention_heads (4);"
            " the nearest layout of 6 processes that works is parallel.tensor=2 parallel.pipeline=3",
        ),
        (
            "parallel",
            {"tensor": 2, "pipeline": 2},
            6,
            "parallel.tensor x pipeline x context is 4, which does not divide 6 processes; give --nproc 8; the nearest",
        ),
        ("parallel", {"shard": 3}, 4, "parallel.shard (3) must divide parallel.data (4); the nearest that does is 2"),
        (
            "parallel",
            {"pipeline": 8},
            8,
            "a pipeline of 8 stages needs as many layers, model.num_layers is 4; the nearest layout of 8 processes",
        ),
        (
            "parallel",
            {"pipeline": 2, "layers": [3, 2]},
            2,
            "parallel.layers [3, 2] must give 2 stages at least one layer each and 4 in all (model.num_layers)",
        ),
        (
            "parallel",
            {"expert": 2},
            2,
            "parallel.expert (2) must divide model.experts (0); the nearest that does is 1",
        ),
        ("parallel", {"context": 3}, 3, "parallel.context (3) must divide data.sequence_length (256)"),
        (
            "parallel",
            {"context": 2, "tensor": 2, "data": 2},
            4,
            "there are 4 processes for 4 a replica; give --nproc 8",
        ),
    ],
)
def test_impossible_layouts_are_refused_with_a_sentence(section, fields, world, message):
    config = replaced(load_config("gpt-tiny"), section, **fields)
    with pytest.raises(ConfigError) as caught:
        resolve_layout(config, world)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("parallel", "micro_batch", "message"),
    [
        (
            {"pipeline": 4},
            8,
            "the schedule 1f1b needs at least 4 micro-batches a step, a replica has 2 (data.batch_size 16 / 1 replicas /"
            " micro-batches of 8); set data.batch_size=32 or parallel.schedule=gpipe",
        ),
        (
            {"pipeline": 2, "schedule": "interleaved"},
            16,
            "the schedule interleaved needs a multiple of 2 micro-batches a step, a replica has 1",
        ),
        (
            {"pipeline": 2},
            3,
            "trainer.micro_batch (3) must divide the 16 samples of a replica under a pipeline; the nearest",
        ),
    ],
)
def test_pipelines_that_would_not_fill_are_refused(parallel, micro_batch, message):
    config = replaced(load_config("gpt-tiny"), "parallel", **parallel)
    config = replaced(replaced(config, "trainer", micro_batch=micro_batch), "data", batch_size=16)
    with pytest.raises(ConfigError) as caught:
        resolve_layout(config, parallel["pipeline"])
    assert message in str(caught.value)


def test_a_pipeline_chooses_micro_batches_that_fill_it():
    config = replaced(load_config("gpt-tiny"), "data", batch_size=24)
    for pipeline, schedule, size in ((2, "1f1b", 12), (4, "1f1b", 6), (4, "gpipe", 24), (3, "interleaved", 8)):
        chosen = replaced(config, "parallel", pipeline=pipeline, schedule=schedule)
        assert micro_batch(chosen, Axes(pipeline=pipeline)) == size


@given(
    world=st.sampled_from([1, 2, 4, 6, 8, 12]),
    tensor=st.integers(1, 4),
    pipeline=st.integers(1, 6),
    context=st.integers(1, 4),
    batch=st.integers(1, 24),
)
def test_the_layout_that_a_refusal_names_works(world, tensor, pipeline, context, batch):
    config = replaced(load_config("gpt-tiny"), "data", batch_size=batch)
    config = replaced(config, "parallel", tensor=tensor, pipeline=pipeline, context=context)
    try:
        axes = resolve_layout(config, world)
    except ConfigError as error:
        _, found, named = str(error).partition("that works is ")
        if found:
            sizes = {"tensor": 1, "pipeline": 1, "context": 1, "data": 1}
            sizes |= {key: int(size) for key, size in re.findall(r"parallel\.(\w+)=(\d+)", named)}
            assert resolve_layout(replaced(config, "parallel", **sizes), world).world == world
        return
    assert axes.world == world
    assert sum(stage_layers(config)) == config.model.num_layers


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
    torch = pytest.importorskip("torch")
    from megadata.trainer.config import OptimizerConfig
    from megadata.trainer.models.build import build_model
    from megadata.trainer.optimizers import build_optimizer
    from megadata.trainer.parallel.layout import Layout
    from megadata.trainer.parallel.weights import weights_of

    model = build_model("gpt-tiny", vocab_size=300)
    optimizer = build_optimizer(
        weights_of([model], Layout(device=torch.device("cpu"))), OptimizerConfig(weight_decay=0.3)
    )
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
    from megadata.trainer.parallel.layout import Layout
    from megadata.trainer.parallel.weights import weights_of

    model = build_model("gpt-tiny", vocab_size=300)
    before = [p.detach().clone() for p in model.parameters()]
    weights = weights_of([model], Layout(device=torch.device("cpu")))
    optimizer = build_optimizer(weights, OptimizerConfig(name=name))
    prime(optimizer)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert len(state_tensors(weights, optimizer)) == len(before) * (1 if name == "sgd" else 2)
