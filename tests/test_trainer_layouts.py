"""Every parallel layout gives one answer: loss, gradients, norm and weights of a process alone, dropout on."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from layouts import Outcome, Poison, outcome  # noqa: E402
from training_data import make_blend, tiny_config  # noqa: E402

from megadata.trainer.config import TrainConfig  # noqa: E402

pytestmark = [pytest.mark.train, pytest.mark.timeout(120)]

ORDER = 1e-11
"""What the order of a sum may change in float64, as a part of its largest term: the longest have 2 * 10^5 terms (256 tokens x 384
entries of the vocabulary, twice), each rounded to 1.1 * 10^-16 at worst; a few layers deep, where errors mostly cancel."""

MODELS: dict[str, dict[str, Any]] = {
    "gpt": {"kind": "gpt"},
    "modern": {
        "kind": "gpt",
        "num_key_value_heads": 2,
        "normalization": "rmsnorm",
        "positions": "rope",
        "activation": "swiglu",
        "bias": False,
        "qk_norm": True,
        "tied": False,
        "logit_softcap": 5.0,
    },
    "gshard": {
        "kind": "gpt",
        "experts": 4,
        "capacity_factor": 1.0,  # some tokens find no room
        "balance_loss": 0.5,
        "router_loss": 0.1,
    },
    "switch": {"kind": "gpt", "activation": "swiglu", "experts": 4, "experts_per_token": 1, "expert_every": 2},
    "bert": {"kind": "bert", "type_vocab_size": 2, "activation": "gelu"},
    "post-bert": {"kind": "bert", "type_vocab_size": 2, "activation": "gelu", "norm_position": "post"},
}


@pytest.fixture(scope="session")
def blend(tmp_path_factory) -> Path:
    return make_blend(tmp_path_factory.mktemp("layouts"))


def config_of(model: str, precision: str = "fp64", **sections: dict[str, Any]) -> TrainConfig:
    """Four layers, so that an interleaved pipeline has one a stage."""
    shape = {"vocab_size": 300, "num_layers": 4, "num_attention_heads": 4, "init_std": 0.1}
    values: dict[str, dict[str, Any]] = {
        "model": {**shape, **MODELS[model]},
        "data": {"document_mask": model == "modern", "validation_batches": 1},
        "trainer": {"precision": precision, "micro_batch": 2},
        # an update is at most lr / epsilon times as wrong as the gradient
        "optimizer": {"epsilon": 1e-3, "lr": 1e-3},
    }
    for name, changes in sections.items():
        values.setdefault(name, {}).update(changes)
    return tiny_config(values["model"]["kind"], **values)


@functools.cache
def alone(blend: Path, model: str, precision: str, poisoned: Poison | None = None) -> Outcome:
    """What one process makes of it."""
    return outcome(config_of(model, precision), blend, poison=poisoned)


def assert_same(found: Outcome, wanted: Outcome, rounding: float, elements: float = 1.0) -> None:
    """Losses and norms agree to `rounding`, gradients and weights, element by element, to `elements` times it."""
    for a, b in zip(found.lines, wanted.lines, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=rounding)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=rounding)
        assert a.keys() == b.keys()
        for name in (name for name in b if name.startswith("loss_")):
            assert a[name] == pytest.approx(b[name], rel=rounding)
    for step, (a, b) in enumerate(zip(found.gradients, wanted.gradients, strict=True)):
        assert_close(a, b, rounding * elements, f"gradient of step {step + 1}")
    assert_close(found.weights, wanted.weights, rounding * elements, "weights after the last step")
    assert found.validation[0] == {
        source: pytest.approx(losses, rel=rounding) for source, losses in wanted.validation[0].items()
    }


def assert_close(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray], rounding: float, what: str) -> None:
    assert found.keys() == wanted.keys()
    largest = max(float(np.abs(values).max()) for values in wanted.values())
    for name, values in wanted.items():
        worst = float(np.abs(found[name] - values).max())
        assert worst <= rounding * largest, f"{what}: {name} differs by {worst:.3g} (largest of all {largest:.3g})"


Layout = tuple[int, dict[str, Any]]
LAYOUTS: dict[str, Layout] = {
    "dp": (2, {"shard": 1}),
    "fsdp": (2, {}),
    "hybrid": (4, {"shard": 2}),
    "tp": (2, {"tensor": 2}),
    "tp+sp": (2, {"tensor": 2, "sequence": True}),
    "cp": (2, {"context": 2}),
    "pp gpipe": (2, {"pipeline": 2, "schedule": "gpipe"}),
    "pp 1f1b": (2, {"pipeline": 2}),
    "pp uneven": (3, {"pipeline": 3, "layers": [1, 2, 1]}),
    "pp interleaved": (2, {"pipeline": 2, "schedule": "interleaved"}),
    "ep": (2, {"expert": 2}),
    "ep x fsdp": (4, {"expert": 2}),
    "ep x hybrid": (4, {"expert": 2, "shard": 2}),
    "ep x cp": (4, {"expert": 4, "context": 2}),
    "ep x tp+sp x pp": (8, {"expert": 2, "tensor": 2, "pipeline": 2, "sequence": True}),
    "tp x pp": (4, {"tensor": 2, "pipeline": 2, "sequence": True}),
    "cp x tp+sp": (4, {"tensor": 2, "context": 2, "sequence": True}),
    "cp x pp": (4, {"context": 2, "pipeline": 2}),
    "fsdp x tp": (4, {"tensor": 2, "data": 2}),
    "fsdp x pp": (4, {"pipeline": 2, "data": 2}),
    "fsdp x tp x pp": (8, {"data": 2, "tensor": 2, "pipeline": 2, "sequence": True}),
}
SHORT = [
    *((name, "gpt") for name in LAYOUTS if name not in ("cp x pp", "hybrid") and "ep" not in name),
    *((name, "gshard") for name in ("tp", "pp interleaved", "ep", "ep x cp", "ep x tp+sp x pp")),
    *((name, "switch") for name in ("ep x fsdp", "ep x hybrid")),
    *((name, "modern") for name in ("hybrid", "tp", "cp", "fsdp x tp x pp")),
    *((name, "bert") for name in ("fsdp", "tp+sp", "cp x tp+sp", "fsdp x tp x pp")),
    ("cp x pp", "post-bert"),
]
"""Every layout once, and the others where the model has something of its own to get wrong."""


@pytest.mark.parametrize(("layout", "model"), SHORT)
def test_a_layout_learns_what_one_process_learns(blend, layout, model):
    world, parallel = LAYOUTS[layout]
    found = outcome(config_of(model, parallel=parallel), blend, world)
    assert_same(found, alone(blend, model, "fp64"), ORDER)


@pytest.mark.parametrize("layout", ["fsdp", "tp+sp", "pp interleaved"])
@pytest.mark.parametrize("what", ["attention", "block"])
def test_recomputed_activations_change_nothing(blend, layout, what):
    world, parallel = LAYOUTS[layout]
    trainer = {"recompute": what, "recompute_every": 2 if what == "block" else 1}
    found = outcome(config_of("gpt", parallel=parallel, trainer=trainer), blend, world)
    assert_same(found, alone(blend, "gpt", "fp64"), ORDER)


@pytest.mark.parametrize(("layout", "size"), [("fsdp", 4), ("fsdp", 3), ("tp", 1), ("pp 1f1b", 1), ("pp gpipe", 4)])
def test_micro_batches_change_nothing(blend, layout, size):
    world, parallel = LAYOUTS[layout]
    found = outcome(config_of("bert", parallel=parallel, trainer={"micro_batch": size}), blend, world)
    assert_same(found, alone(blend, "bert", "fp64"), ORDER)


def test_both_copies_of_a_tied_embedding_stay_equal_to_the_bit(blend):
    world, parallel = LAYOUTS["pp uneven"]
    first, between, last = outcome(config_of("gpt", "fp32", parallel=parallel), blend, world, steps=5).copies
    assert between == b""
    assert first == last != b""


# A float32 product rounds to 6e-8, a float16 one to 5e-4 and a bfloat16 one to 4e-3 of its size; some twenty of them lie between
# the first weight and the loss and twenty more on the way back, and errors add up like a random walk: seven times one rounding.
# An element of a gradient also sums 256 tokens, whose errors walk sixteen times as far: 23 in all, which is 7 * ELEMENTS.
# Weights move by lr / epsilon times the gradient's error.
ROUNDINGS = {"fp32": 7 * 2**-24, "fp16": 7 * 2**-11, "bf16": 7 * 2**-8}
ELEMENTS = 23 / 7


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("layout", ["tp+sp", "fsdp x tp x pp"])
def test_a_layout_does_the_same_arithmetic_in_less_precision(blend, layout, precision):
    world, parallel = LAYOUTS[layout]
    found = outcome(config_of("gpt", precision, parallel=parallel), blend, world)
    assert_same(found, alone(blend, "gpt", precision), ROUNDINGS[precision], ELEMENTS)


SCALING = {"initial": 1024.0, "hysteresis": 1, "window": 2}


@pytest.mark.parametrize(
    ("layout", "rank", "name"),
    [
        ("fsdp", 1, "layers.3.feed_forward.up.weight"),
        ("tp+sp", 1, "layers.2.attention.output.bias"),
        ("cp", 0, "positions.weight"),
        ("pp 1f1b", 0, "tokens.weight"),
        ("pp 1f1b", 1, "tokens.weight"),
        ("pp interleaved", 1, "norm.weight"),
        ("fsdp x tp x pp", 5, "tokens.weight"),
        ("fsdp x tp x pp", 2, "layers.0.attention.query.bias"),
    ],
)
def test_an_overflow_in_one_process_skips_the_step_in_all(blend, layout, rank, name):
    world, parallel = LAYOUTS[layout]
    config = config_of("gpt", "fp16", parallel=parallel, scaling=SCALING)
    found = outcome(config, blend, world, steps=5, poison=Poison(1, rank, name))
    single = config_of("gpt", "fp16", scaling=SCALING)
    wanted = _poisoned(blend, single)
    for key in ("loss_scale", "skipped", "lr", "first_sample"):
        assert [line[key] for line in found.lines] == [line[key] for line in wanted.lines]
    assert [line["loss_scale"] for line in found.lines] == [1024, 1024, 512, 512, 1024]
    assert [line["skipped"] for line in found.lines] == [0, 1, 1, 1, 1]
    for step in (0, 2, 3, 4):
        a, b = found.lines[step], wanted.lines[step]
        assert a["loss"] == pytest.approx(b["loss"], rel=ROUNDINGS["fp16"])
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=ROUNDINGS["fp16"])
        assert_close(
            found.gradients[step], wanted.gradients[step], ELEMENTS * ROUNDINGS["fp16"], f"gradient of step {step + 1}"
        )
    assert_close(found.weights, wanted.weights, ELEMENTS * ROUNDINGS["fp16"], "weights after the last step")


@functools.cache
def _poisoned(blend: Path, config: TrainConfig) -> Outcome:
    return outcome(config, blend, steps=5, poison=Poison(1, 0, "tokens.weight"))


def test_a_skipped_step_leaves_the_weights_as_they_were(blend):
    config = config_of("gpt", "fp16", scaling=SCALING, schedule={"name": "constant", "warmup": 0})
    poison = Poison(1, 0, "tokens.weight")
    after = outcome(config, blend, steps=2, poison=poison)
    before = outcome(config, blend, steps=1)
    assert all(np.array_equal(after.weights[name], values) for name, values in before.weights.items())
    assert after.lines[1]["first_sample"] == 8


@pytest.mark.long
@pytest.mark.parametrize(
    ("layout", "model"),
    [pair for pair in itertools.product(LAYOUTS, MODELS) if "ep" not in pair[0] or "experts" in MODELS[pair[1]]],
)
def test_every_layout_of_every_model_learns_what_one_process_learns(blend, layout, model):
    world, parallel = LAYOUTS[layout]
    for trainer in ({}, {"recompute": "block"}, {"micro_batch": 1}):
        found = outcome(config_of(model, parallel=parallel, trainer=trainer), blend, world)
        assert_same(found, alone(blend, model, "fp64"), ORDER)
    for precision in ("fp32", "fp16", "bf16"):
        if "experts" in MODELS[model] and precision != "fp32":
            continue  # a rounding may send a token to another expert
        found = outcome(config_of(model, precision, parallel=parallel), blend, world)
        assert_same(found, alone(blend, model, precision), ROUNDINGS[precision], ELEMENTS)
