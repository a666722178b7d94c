"""`train`: check everything, start the processes, and say what came of it. Torch is imported by the processes only."""

from __future__ import annotations

import dataclasses
import importlib.util
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import fmean
from typing import Any

from megadata.errors import ConfigError
from megadata.indexed.blend import Blend
from megadata.runtime.files import lock_folder
from megadata.trainer.config import TrainConfig, replaced
from megadata.trainer.data import open_data
from megadata.trainer.launch import Place, Report, launch, torchrun_place
from megadata.trainer.layouts import resolve_layout
from megadata.trainer.metrics import read_metrics
from megadata.trainer.runfolder import Job, finished, prepare

SUMMARY_STEPS = 10
"""Steps whose loss is averaged for the start and the end of a run."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What came of a run."""

    run: Path
    step: int
    """Optimizer steps done, those before a resume among them."""
    steps: int
    """Steps of the whole run."""
    first_loss: float
    """Loss of the first step."""
    last_loss: float
    """Mean loss of the last ten steps that have one."""
    validation: dict[str, float]
    """Last validation loss of each source."""
    first_validation: dict[str, float]
    """First validation loss of each source."""
    tokens: int
    """Tokens trained on."""
    tokens_per_s: float
    """Tokens per second of training steps, validation and checkpoints left out."""

    @property
    def finished(self) -> bool:
        """Whether the run came to its last step."""
        return self.step >= self.steps


def train(
    config: TrainConfig,
    blend: Path | str,
    run: Path | str,
    *,
    nproc: int = 1,
    resume: str | Path = "auto",
    report: Report | None = None,
) -> TrainResult:
    """Train a GPT or BERT on a blend, or go on with a run.

    Parameters
    ----------
    config
        What to train; `model.vocab_size` may be left to the data.
    blend
        A blend.yaml.
    run
        Folder of the run; see `runfolder`.
    nproc
        Processes to start on this machine. Under torchrun this process is one of those it started, and `nproc` is not used.
    resume
        ``auto``: go on where `run` stopped. ``never``: `run` must be new. A path: start from this checkpoint or run, and go on
        with `run` if that has a checkpoint of its own.
    report
        Hears of everything that happens: mappings with ``event`` among start, step, validation, checkpoint, note, stopped.

    Raises
    ------
    ConfigError
        If settings, layout and data do not fit; before any process starts.
    TrainingError
        If the run fails: a loss that is not finite, a process that died.
    OutputError
        If `run` cannot be written.
    """
    if importlib.util.find_spec("torch") is None:
        raise ConfigError("training needs torch, which is not installed; install it with `pip install '.[train]'`")
    blend, run = Path(blend), Path(run)
    hear = report if report is not None else _silence
    under = torchrun_place()
    world = nproc if under is None else under.world
    config = replaced(config, "parallel", data=resolve_layout(config, world).data)
    loaded = Blend.load(blend)
    config, tokenizer = fit_to_data(config, loaded)
    resolve_layout(config, world)  # the vocabulary is known by now
    job = Job(config=config, blend=blend, run=run, start=None if resume in ("auto", "never") else Path(resume))
    if under is not None and under.rank > 0:
        _work(under, hear, job)
        return summarize(run, config)
    with lock_folder(run):
        config, notes = prepare(run, config, loaded, tokenizer, str(resume))
        for text in notes:
            hear({"event": "note", "text": text})
        job = dataclasses.replace(job, config=config)
        if finished(run, config.trainer.steps) and under is None:
            return summarize(run, config)
        if under is not None or world == 1:
            _work(under or Place(), hear, job)
        else:
            launch(world, _work, (job,), hear)
    return summarize(run, config)


def fit_to_data(config: TrainConfig, blend: Blend) -> tuple[TrainConfig, Path | None]:
    """The configuration with the data's vocabulary, and the data's tokenizer where there is a copy.

    Raises
    ------
    ConfigError
        If the model's vocabulary is smaller than the data's, or the data does not suffice.
    """
    data = open_data(config, blend)
    size, wanted = data.vocabulary_size, config.model.vocab_size
    if size is None and wanted is None:
        raise ConfigError(f"{blend.origin}: the data does not say how large its vocabulary is; set model.vocab_size")
    if wanted is None:
        config = replaced(config, "model", vocab_size=size)
    elif size is not None and wanted < size:
        raise ConfigError(
            f"model.vocab_size is {wanted}, but the data's vocabulary has {size} entries; set model.vocab_size=null"
        )
    return config, data.tokenizer


def summarize(run: Path, config: TrainConfig) -> TrainResult:
    """What a run's metrics say."""
    lines = list(read_metrics(run))
    steps = [line for line in lines if "loss" in line]
    validations = [line["validation"] for line in lines if "validation" in line]
    seconds = sum(line["seconds"] for line in steps[1:]) or sum(line["seconds"] for line in steps)
    losses = [line["loss"] for line in steps if line["loss"] is not None]  # a step that fp16 skips may have none
    timed = steps[1:] or steps  # the first step allocates
    tokens = config.data.batch_size * config.data.sequence_length * len(timed)
    return TrainResult(
        run=run,
        step=steps[-1]["step"] if steps else 0,
        steps=config.trainer.steps,
        first_loss=losses[0] if losses else nan,
        last_loss=fmean(losses[-SUMMARY_STEPS:]) if losses else nan,
        validation=dict(validations[-1]) if validations else {},
        first_validation=dict(validations[0]) if validations else {},
        tokens=steps[-1]["tokens"] if steps else 0,
        tokens_per_s=tokens / seconds if seconds else 0.0,
    )


def _work(place: Place, report: Report, job: Job) -> bool:
    from megadata.trainer.loop import work

    return work(place, report, job)


def _silence(event: dict[str, Any]) -> None:
    """Hear nothing."""
