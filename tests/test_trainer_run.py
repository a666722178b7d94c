"""Training runs: the loss falls, and neither layout, accumulation nor kills change what is learnt."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from training_data import make_blend, tiny_config  # noqa: E402

from megadata.errors import ConfigError, OutputError, TrainingError  # noqa: E402
from megadata.trainer import train  # noqa: E402
from megadata.trainer.checkpointfiles import checkpoints_folder, find_checkpoint  # noqa: E402
from megadata.trainer.config import replaced  # noqa: E402

pytestmark = pytest.mark.train

TIMES = ("seconds", "tokens_per_s", "validation_seconds")


@pytest.fixture(scope="session")
def blend(tmp_path_factory) -> Path:
    return make_blend(tmp_path_factory.mktemp("blend"))


def metrics(run: Path) -> list[dict]:
    """The lines of metrics.jsonl without times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def fingerprints(run: Path) -> dict[str, str]:
    found, passed = find_checkpoint(checkpoints_folder(run))
    assert found is not None
    assert passed == []
    return found.fingerprints


def steps(run: Path) -> list[dict]:
    return [line for line in metrics(run) if "loss" in line]


@pytest.mark.parametrize("kind", ["gpt", "bert"])
def test_the_loss_falls_below_what_token_counts_alone_can_reach(blend, tmp_path, kind):
    steps, size, rate = (120, 8, 1e-2) if kind == "gpt" else (300, 16, 5e-3)
    config = tiny_config(
        kind,
        model={"dropout": 0.0, "attention_dropout": 0.0, "positions": "learned" if kind == "gpt" else "rope"},
        data={"batch_size": size},
        trainer={"steps": steps, "validate_every": steps // 2},
        optimizer={"lr": rate},
        checkpoint={"every": None},
    )
    heard: list[dict] = []
    result = train(config, blend, tmp_path / "run", report=heard.append)
    assert result.finished
    assert result.first_loss > 5.0
    assert set(result.validation) == {"web", "books"}
    # A sentence has nine tokens. Two are free and say the same, so a GPT may reach ln(5) / 9 = 0.18; single tokens have an
    # entropy of 2.6 nats, where a BERT that has not learnt to look around stays.
    assert max(result.validation.values()) < (0.6 if kind == "gpt" else 2.3)
    assert result.tokens == steps * size * 32
    assert [line["first_sample"] for line in metrics(tmp_path / "run") if "loss" in line] == list(
        range(0, steps * size, size)
    )
    assert [event["event"] for event in heard].count("step") == steps
    assert [event["step"] for event in heard if event["event"] == "validation"] == [steps // 2, steps]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "blend.yaml",
        "checkpoints",
        "config.yaml",
        "metrics.jsonl",
        "tokenizer.json",
    ]


@pytest.mark.parametrize("kind", ["gpt", "bert"])
def test_two_processes_learn_what_one_learns(blend, tmp_path, kind):
    config = tiny_config(kind, trainer={"precision": "fp64"}, checkpoint={"every": None})
    one = train(config, blend, tmp_path / "one")
    two = train(config, blend, tmp_path / "two", nproc=2)
    # Float64 sums in another order, through six steps of Adam: a few hundred roundings of 1e-16.
    for a, b in zip(steps(tmp_path / "one"), steps(tmp_path / "two"), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-12)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-12)
    assert one.validation == pytest.approx(two.validation, rel=1e-11)


@pytest.mark.parametrize(("kind", "size"), [("gpt", 1), ("gpt", 3), ("bert", 3)])
def test_accumulation_is_exact_to_the_token(blend, tmp_path, kind, size):
    config = tiny_config(kind, trainer={"precision": "fp64"}, checkpoint={"every": None}, data={"document_mask": False})
    whole = train(config, blend, tmp_path / "whole")
    parts = train(replaced(config, "trainer", micro_batch=size), blend, tmp_path / "parts")
    for a, b in zip(steps(tmp_path / "whole"), steps(tmp_path / "parts"), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-12)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-12)
    assert whole.validation == pytest.approx(parts.validation, rel=1e-11)


def test_two_processes_in_bfloat16_do_the_same_arithmetic(blend, tmp_path):
    config = tiny_config("gpt", trainer={"precision": "bf16", "steps": 3, "micro_batch": 2}, checkpoint={"every": None})
    train(config, blend, tmp_path / "one")
    train(config, blend, tmp_path / "two", nproc=2)
    # The same products in the same precision, one micro-batch of two samples at a time; only fp32 sums of them are ordered
    # otherwise, and the last bit of an update may round to another bfloat16 weight.
    for a, b in zip(steps(tmp_path / "one"), steps(tmp_path / "two"), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
    assert steps(tmp_path / "one")[0]["loss"] == pytest.approx(steps(tmp_path / "two")[0]["loss"], rel=1e-6)


def test_documents_masked_from_each_other_give_another_loss(blend, tmp_path):
    config = tiny_config("gpt", trainer={"steps": 1})
    train(config, blend, tmp_path / "plain")
    train(replaced(config, "data", document_mask=True), blend, tmp_path / "masked")
    assert steps(tmp_path / "plain")[0]["loss"] != steps(tmp_path / "masked")[0]["loss"]


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from training_data import tiny_config
from megadata.trainer import train

def hear(event):
    if event["event"] == "step":
        print(event["step"], flush=True)

if __name__ == "__main__":
    config = tiny_config(trainer={{"steps": {steps}, "validate_every": 5}}, checkpoint={{"every": 3}})
    result = train(config, {blend!r}, {run!r}, nproc={nproc}, report=hear)
    print("finished" if result.finished else "stopped", flush=True)
"""


def started(
    blend: Path, run: Path, nproc: int = 1, steps: int = 40, folder: Path | None = None
) -> subprocess.Popen[str]:
    tests = str(Path(__file__).parent)
    script = run.with_suffix(".py")
    script.write_text(SCRIPT.format(tests=tests, steps=steps, blend=str(blend), run=str(run), nproc=nproc))
    package = str(Path(tests).parent)
    environment = {**os.environ, "PYTHONPATH": package, "PYTHONWARNINGS": "default"}
    return subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        cwd=folder,
    )


def wait_for_step(process: subprocess.Popen[str], step: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == str(step):
            return
    raise AssertionError("the run ended before the step")


def test_a_killed_run_goes_on_as_if_nothing_had_happened(blend, tmp_path):
    config = tiny_config(trainer={"steps": 40, "validate_every": 5}, checkpoint={"every": 3})
    train(config, blend, tmp_path / "undisturbed")
    step = random.randint(2, 30)
    with started(blend, tmp_path / "killed") as process:
        wait_for_step(process, step)
        process.kill()
    result = train(config, blend, tmp_path / "killed")
    assert result.finished, step
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "undisturbed"), step
    assert fingerprints(tmp_path / "killed") == fingerprints(tmp_path / "undisturbed"), step


@pytest.mark.parametrize("step", range(1, 8))
def test_a_run_interrupted_at_any_step_goes_on_as_if_nothing_had_happened(blend, tmp_path, step):
    config = tiny_config("bert", trainer={"steps": 8, "validate_every": 3}, checkpoint={"every": 2})

    def interrupt(event):
        if event.get("step") == step and event["event"] == "step":
            raise KeyboardInterrupt

    if not (blend.parent / "undisturbed").exists():
        train(config, blend, blend.parent / "undisturbed")
    with pytest.raises(KeyboardInterrupt):
        train(config, blend, tmp_path, report=interrupt)
    train(config, blend, tmp_path)
    assert metrics(tmp_path) == metrics(blend.parent / "undisturbed")
    assert fingerprints(tmp_path) == fingerprints(blend.parent / "undisturbed")


def test_sigterm_saves_and_ends_and_the_run_goes_on(blend, tmp_path):
    run = tmp_path / "run"
    with started(blend, run, nproc=2, steps=100_000) as process:
        wait_for_step(process, 4)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.splitlines()[-1] == "stopped"
    found, _ = find_checkpoint(checkpoints_folder(run))
    assert found is not None
    assert found.step == steps(run)[-1]["step"] >= 4
    more = found.step + 3
    config = tiny_config(trainer={"steps": more, "validate_every": 5}, checkpoint={"every": 3})
    heard: list[dict] = []
    assert train(config, blend, run, report=heard.append).finished
    assert next(event["step"] for event in heard if event["event"] == "start") == found.step
    assert [line["step"] for line in steps(run)] == list(range(1, more + 1))


@pytest.mark.parametrize("end", ["parent killed", "child killed", "Ctrl-C"])
def test_no_process_outlives_the_others(blend, tmp_path, end):
    psutil = pytest.importorskip("psutil")
    with started(blend, tmp_path / "run", nproc=2, steps=100_000) as process:
        wait_for_step(process, 2)
        family = psutil.Process(process.pid).children(recursive=True)
        workers = [child for child in family if len(child.threads()) > 3]
        assert len(workers) == 2
        if end == "Ctrl-C":
            process.send_signal(signal.SIGINT)
        else:
            (process if end == "parent killed" else workers[1]).kill()
        _, alive = psutil.wait_procs(family if end == "Ctrl-C" else workers, timeout=30)
    assert not alive


def test_a_run_goes_on_with_another_number_of_processes(blend, tmp_path):
    config = tiny_config(trainer={"precision": "fp64", "steps": 4}, checkpoint={"every": 2})
    train(config, blend, tmp_path / "whole")
    for first, second in ((1, 2), (2, 1)):
        run = tmp_path / f"{first}-{second}"
        train(replaced(config, "trainer", steps=2), blend, run, nproc=first)
        train(replaced(config, "trainer", steps=4), blend, run, nproc=second)
        # the schedule of a two-step run differs, so only the second half's starting point is compared
        assert steps(run)[2]["step"] == 3
    a, b = (steps(tmp_path / name) for name in ("1-2", "2-1"))
    for one, other in zip(a, b, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-12)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-12)


def test_a_damaged_checkpoint_is_passed_over_with_a_sentence(blend, tmp_path):
    run = tmp_path / "run"
    config = tiny_config()
    train(config, blend, run)
    wanted, before = metrics(run), fingerprints(run)
    newest = checkpoints_folder(run) / "step-00000006"
    (shard,) = (newest / "model").iterdir()
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    heard: list[dict] = []
    train(config, blend, run, report=heard.append)
    notes = [event["text"] for event in heard if event["event"] == "note"]
    name = shard.relative_to(newest)
    assert notes == [
        f"{newest}: this checkpoint is damaged: {name} is not as it was written; the checkpoint before it is used"
    ]
    assert [event["step"] for event in heard if event["event"] == "start"] == [4]
    assert metrics(run) == wanted
    assert fingerprints(run) == before


def test_only_the_newest_checkpoints_stay(blend, tmp_path):
    train(tiny_config(checkpoint={"every": 1, "keep": 3}), blend, tmp_path)
    names = sorted(path.name for path in checkpoints_folder(tmp_path).iterdir())
    assert names == ["latest", "step-00000004", "step-00000005", "step-00000006"]
    assert (checkpoints_folder(tmp_path) / "latest").read_text() == "step-00000006\n"


def test_a_checkpoint_that_could_not_be_written_leaves_the_one_before(blend, tmp_path, monkeypatch):
    from megadata.trainer import checkpoint

    config = tiny_config()
    train(config, blend, tmp_path / "undisturbed")
    calls = []

    def full(path, content):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        original(path, content)

    original = checkpoint.write_json
    monkeypatch.setattr(checkpoint, "write_json", full)
    with pytest.raises(OutputError, match="step-00000004: the disk is full; free some space"):
        train(config, blend, tmp_path / "run")
    monkeypatch.undo()
    assert (checkpoints_folder(tmp_path / "run") / "latest").read_text() == "step-00000002\n"
    train(config, blend, tmp_path / "run")
    assert metrics(tmp_path / "run") == metrics(tmp_path / "undisturbed")
    assert fingerprints(tmp_path / "run") == fingerprints(tmp_path / "undisturbed")


def test_a_run_may_start_from_another_runs_checkpoint(blend, tmp_path):
    config = tiny_config()
    train(config, blend, tmp_path / "first")
    heard: list[dict] = []
    longer = replaced(config, "trainer", steps=8)
    train(longer, blend, tmp_path / "second", resume=tmp_path / "first", report=heard.append)
    assert heard[0]["step"] == 6
    assert [line["step"] for line in steps(tmp_path / "second")] == [7, 8]


def test_a_finished_run_is_not_trained_again(blend, tmp_path):
    config = tiny_config()
    first = train(config, blend, tmp_path)
    heard: list[dict] = []
    assert train(config, blend, tmp_path, report=heard.append) == first
    assert [event["event"] for event in heard] == []


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(blend, tmp_path, monkeypatch):
    from megadata.trainer.loop import Training

    original = Training.update

    def poisoned(self):
        if self.step == 2:
            with torch.no_grad():
                self.model.norm.weight[0] = float("nan")
        return original(self)

    monkeypatch.setattr(Training, "update", poisoned)
    with pytest.raises(TrainingError, match=r"step 3: the loss is not finite \(nan\); lower optimizer.lr or raise"):
        train(tiny_config(), blend, tmp_path)
    assert [line["step"] for line in steps(tmp_path)] == [1, 2]


def test_a_run_that_exists_may_be_refused(blend, tmp_path):
    train(tiny_config(), blend, tmp_path)
    with pytest.raises(OutputError, match="holds a training run already; choose another -o, or --resume auto"):
        train(tiny_config(), blend, tmp_path, resume="never")


def test_going_on_with_another_model_is_refused(blend, tmp_path):
    train(tiny_config(), blend, tmp_path)
    other = replaced(tiny_config(), "model", num_layers=3)
    with pytest.raises(
        ConfigError, match=r"this run has model.num_layers 2, the configuration says 3; choose another -o"
    ):
        train(other, blend, tmp_path)


def test_going_on_with_another_learning_rate_is_said(blend, tmp_path):
    train(replaced(tiny_config(), "trainer", steps=2), blend, tmp_path)
    heard: list[dict] = []
    train(replaced(tiny_config(), "optimizer", lr=1e-3), blend, tmp_path, report=heard.append)
    notes = [event["text"] for event in heard if event["event"] == "note"]
    assert notes == ["trainer.steps changes from 2 to 6", "optimizer.lr changes from 0.003 to 0.001"]


def test_a_vocabulary_too_small_for_the_data_is_refused(blend, tmp_path):
    small = replaced(tiny_config(), "model", vocab_size=100)
    with pytest.raises(ConfigError, match=r"model.vocab_size is 100, but the data's vocabulary has \d+ entries"):
        train(small, blend, tmp_path)
    assert not (tmp_path / "config.yaml").exists()


def test_missing_data_is_refused_before_any_process_starts(tmp_path):
    with pytest.raises(ConfigError, match=r"blend.yaml.* cannot be read"):
        train(tiny_config(), tmp_path / "blend.yaml", tmp_path / "run", nproc=2)
    assert not (tmp_path / "run").exists()


def test_a_blend_without_validation_trains_without_it(blend, tmp_path):
    from megadata.indexed.blend import Blend

    folder = blend.parent
    plain = Blend.of({"web": folder / "web"}).save(tmp_path / "plain.yaml")
    result = train(tiny_config(), plain, tmp_path / "run")
    assert result.validation == {}
    assert result.finished


def test_a_step_without_a_loss_is_left_out_of_the_summary(blend, tmp_path):
    from megadata.pipeline.inspect import inspect
    from megadata.trainer.run import summarize

    train(tiny_config(trainer={"steps": 2}), blend, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    wanted = next(line["loss"] for line in lines if line.get("step") == 1 and "loss" in line)
    for line in lines:
        if line["step"] == 2 and "loss" in line:
            line["loss"] = line["grad_norm"] = None  # NaN, as JSON has it
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert summarize(tmp_path, tiny_config()).last_loss == wanted
    assert f"{wanted:.3f} -> not finite" in str(inspect(tmp_path))


def test_modules_of_the_current_folder_are_not_taken_for_ours(blend, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "torch.py").write_text("")
    with started(blend, tmp_path / "run", nproc=2, steps=2, folder=tmp_path / "here") as process:
        out, _ = process.communicate(timeout=60)
    assert out.splitlines()[-1:] == ["finished"]


def test_torchrun_trains_too(blend, tmp_path):
    tests = str(Path(__file__).parent)
    script = tmp_path / "job.py"
    script.write_text(SCRIPT.format(tests=tests, steps=4, blend=str(blend), run=str(tmp_path / "run"), nproc=1))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(Path(tests).parent), "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("finished") == 2  # both write to one pipe, and their lines may run together
    assert [line["step"] for line in steps(tmp_path / "run")] == [1, 2, 3, 4]


def test_an_error_in_one_process_is_told_in_one_sentence(blend, tmp_path):
    from megadata.trainer.launch import launch

    with pytest.raises(TrainingError) as caught:
        launch(2, fails_in_one, (), print)
    message = "process 1 of 2 failed with ValueError: the second one gives up; all processes were ended"
    assert str(caught.value) == message
    assert "fails_in_one" in str(caught.value.__cause__)


def test_our_own_errors_come_back_as_they_were_raised(blend, tmp_path):
    from megadata.trainer.launch import launch

    with pytest.raises(ConfigError, match=r"^no such thing$"):
        launch(2, refuses, (), print)


def test_the_result_and_the_reports_come_from_the_children():
    from megadata.trainer.launch import launch

    heard: list[dict] = []
    assert launch(3, answers, (20,), heard.append) == 20
    assert sorted(event["rank"] for event in heard) == [0, 1, 2]


def fails_in_one(place, report):
    if place.rank == 1:
        raise ValueError("the second one gives up\nand says more")
    time.sleep(60)


def refuses(place, report):
    if place.rank == 1:
        raise ConfigError("no such thing")
    time.sleep(60)


def answers(place, report, base):
    report({"event": "note", "rank": place.rank})
    return base + place.rank


def test_the_run_folder_can_move(blend, tmp_path):
    config = tiny_config()
    train(replaced(config, "trainer", steps=4), blend, tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    heard: list[dict] = []
    train(config, blend, tmp_path / "there", report=heard.append)
    assert next(event["step"] for event in heard if event["event"] == "start") == 4
