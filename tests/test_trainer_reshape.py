"""A run goes on in any other layout, at any step, with the next token."""

from __future__ import annotations

import contextlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from test_trainer_layouts import LAYOUTS, ORDER, config_of  # noqa: E402
from training_data import make_blend  # noqa: E402

from megadata.indexed.blend import Blend  # noqa: E402
from megadata.trainer import train  # noqa: E402
from megadata.trainer.checkpoint import load_optimizer, load_weights, save_checkpoint  # noqa: E402
from megadata.trainer.checkpointfiles import checkpoints_folder, open_checkpoint  # noqa: E402
from megadata.trainer.config import TrainConfig, replaced  # noqa: E402
from megadata.trainer.data import open_data  # noqa: E402
from megadata.trainer.launch import launch  # noqa: E402
from megadata.trainer.layouts import resolve_layout  # noqa: E402
from megadata.trainer.loop import Training  # noqa: E402
from megadata.trainer.parallel.layout import joined, lay_out  # noqa: E402

pytestmark = [pytest.mark.train, pytest.mark.timeout(120)]

CHAIN = ["fsdp x tp x pp", "pp interleaved", "hybrid", "tp+sp", "pp uneven", "cp x tp+sp", "dp"]


@pytest.fixture(scope="module")
def blend(tmp_path_factory) -> Path:
    return make_blend(tmp_path_factory.mktemp("reshape"))


class Enough(Exception):
    """The run is to end here."""


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def advance(config: TrainConfig, blend: Path, run: Path, layout: str | None, stop: int) -> None:
    """Train in a layout, in one process without, until step `stop` is saved."""
    world, parallel = LAYOUTS[layout] if layout else (1, {})
    config = replaced(config, "parallel", **parallel)

    def hear(event: dict[str, Any]) -> None:
        if event["event"] == "checkpoint" and event["step"] == stop and stop < config.trainer.steps:
            raise Enough

    with contextlib.suppress(Enough):
        train(config, blend, run, nproc=world, report=hear)


def assert_same_lines(found: Path, wanted: Path) -> None:
    for a, b in zip(metrics(found), metrics(wanted), strict=True):
        assert a["step"] == b["step"]
        if "validation" in a:
            assert a["validation"] == pytest.approx(b["validation"], rel=ORDER)
        else:
            assert (a["first_sample"], a["tokens"]) == (b["first_sample"], b["tokens"])
            assert a["loss"] == pytest.approx(b["loss"], rel=ORDER)
            assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=ORDER)


@pytest.mark.parametrize(
    ("model", "layouts"),
    [
        ("gpt", [None, *CHAIN, None]),
        ("bert", [None, "fsdp x tp x pp", "cp", None]),
        ("switch", ["ep x tp+sp x pp", "ep x hybrid", "ep x cp", None]),
    ],
)
def test_a_run_that_changes_its_layout_every_step_learns_what_one_process_learns(blend, tmp_path, model, layouts):
    settings = {"trainer": {"steps": len(layouts), "validate_every": 4}, "checkpoint": {"every": 1, "keep": 1}}
    config = config_of(model, **settings)
    train(config, blend, tmp_path / "one")
    for step, layout in enumerate(layouts):
        advance(config, blend, tmp_path / "many", layout, step + 1)
    assert_same_lines(tmp_path / "many", tmp_path / "one")


def write_again(place, report, config: TrainConfig, blend: Path, source: Path, target: Path) -> None:
    """Read a checkpoint in a layout and write it as it was read."""
    device = torch.device("cpu")
    with joined(rank=place.rank, world=place.world, device=device, timeout=60, store=place.store):
        layout = lay_out(resolve_layout(config, place.world), rank=place.rank, device=device, timeout=60)
        training = Training(config, open_data(config, Blend.load(blend)), target, layout, report)
        checkpoint = open_checkpoint(source)
        load_weights(checkpoint, *training.stages, alone=False)
        load_optimizer(checkpoint, training.weights, training.optimizer, alone=False)
        written = dict(checkpoint.state)
        state = {key: written[key] for key in ("tokens", "loader", "torch")}
        save_checkpoint(target, checkpoint.step, training.weights, training.optimizer, state, layout, keep=1)


def test_a_checkpoint_read_and_written_in_every_layout_has_the_same_bits(blend, tmp_path):
    config = config_of("gpt", "fp32", trainer={"steps": 2})
    train(config, blend, tmp_path / "run")
    source = checkpoints_folder(tmp_path / "run") / "step-00000002"
    wanted = open_checkpoint(source)
    for layout, (world, parallel) in LAYOUTS.items():
        if layout not in ("hybrid", "pp uneven", "cp x tp+sp", "fsdp x tp x pp"):
            continue
        target = tmp_path / layout
        launch(world, write_again, (replaced(config, "parallel", **parallel), blend, source, target), print)
        source = target / "step-00000002"
        found = open_checkpoint(source)
        assert found.fingerprints == wanted.fingerprints, layout
        assert found.state["scalars"] == wanted.state["scalars"], layout
    train(replaced(config, "trainer", steps=3), blend, tmp_path / "again", resume=source)
    assert metrics(tmp_path / "again")[0]["first_sample"] == 16


def test_a_run_in_fp16_goes_on_with_its_scale(blend, tmp_path):
    settings = {
        "trainer": {"steps": 6},
        "checkpoint": {"every": 2},
        "scaling": {"window": 2, "initial": 2.0**24, "hysteresis": 1},  # the first steps overflow
    }
    config = config_of("gpt", "fp16", **settings)
    world, parallel = LAYOUTS["tp+sp"]
    train(replaced(config, "parallel", **parallel), blend, tmp_path / "whole", nproc=world)
    for stop in (2, 4, 6):
        advance(config, blend, tmp_path / "parts", "tp+sp", stop)
    times = {"seconds", "tokens_per_s", "validation_seconds"}
    found, wanted = (
        [{key: value for key, value in line.items() if key not in times} for line in metrics(tmp_path / name)]
        for name in ("parts", "whole")
    )
    assert json.dumps(found) == json.dumps(wanted)
    assert found[-2]["skipped"] > 0
    assert len({line["loss_scale"] for line in found if "loss_scale" in line}) > 2


@pytest.mark.long
@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(LAYOUTS, 2)))
def test_any_layout_goes_on_as_any_other(blend, tmp_path, first, second):
    config = config_of("modern", trainer={"steps": 4}, checkpoint={"every": 1})
    one = blend.parent / "one"
    if not one.exists():
        train(config, blend, one)
    advance(config, blend, tmp_path, first, 2)
    advance(config, blend, tmp_path, second, 4)
    assert_same_lines(tmp_path, one)
