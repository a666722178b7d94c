"""The training loop of one process: batches, forward, backward, update, metrics, validation, checkpoints."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from megadata.config import build, dump_yaml, parse_yaml, to_dict
from megadata.errors import ConfigError, TrainingError
from megadata.indexed.blend import Blend
from megadata.trainer.checkpoint import load_optimizer, load_weights, save_checkpoint
from megadata.trainer.checkpointfiles import Checkpoint, checkpoints_folder, find_checkpoint, open_checkpoint
from megadata.trainer.config import TrainConfig, replaced
from megadata.trainer.data import RunData, label_counts, open_data
from megadata.trainer.environment import device_of, on_termination, threads
from megadata.trainer.inputs import model_inputs, pinned
from megadata.trainer.launch import Place, Report
from megadata.trainer.layouts import micro_batch, resolve_layout
from megadata.trainer.metrics import MetricsFile
from megadata.trainer.models.build import initialize
from megadata.trainer.optimizers import build_optimizer, set_learning_rate
from megadata.trainer.parallel.gradients import clip_factor, gather_gradients, gradient_norm, scale_gradients
from megadata.trainer.parallel.layout import Layout, from_leader, joined, lay_out
from megadata.trainer.parallel.pipeline import Pipeline, build_stages
from megadata.trainer.parallel.sharding import free_gathered, reduce_gradients, spread
from megadata.trainer.parallel.weights import weights_of
from megadata.trainer.precision import resolve_precision
from megadata.trainer.randomness import sample_keys
from megadata.trainer.runfolder import Job, write_run_config
from megadata.trainer.scaling import LossScaler
from megadata.trainer.schedules import learning_rate


def work(place: Place, report: Report, job: Job) -> bool:
    """Train, as one of `place.world` processes; returns whether the run came to its last step."""
    config = job.config
    device = device_of(config.trainer.device, place.local_rank)
    timeout = config.trainer.timeout
    with (
        threads(config, place),
        joined(rank=place.rank, world=place.world, device=device, timeout=timeout, store=place.store),
    ):
        config = _leaders_config(config, place.world)
        config = replaced(config, "trainer", precision=resolve_precision(config.trainer.precision, device))
        axes = resolve_layout(config, place.world)
        layout = lay_out(axes, rank=place.rank, device=device, timeout=timeout)
        if layout.leads:
            write_run_config(job.run, config)
        training = Training(config, open_data(config, Blend.load(job.blend)), job.run, layout, report)
        training.resume(job.start)
        return training.run_to_end()


class Training:
    """The state of a run in one process."""

    def __init__(self, config: TrainConfig, data: RunData, run: Path, layout: Layout, report: Report) -> None:
        self.config, self.data, self.run, self.layout = config, data, run, layout
        self.report: Report = report if layout.leads else lambda event: None
        self.stages = build_stages(config, layout)
        """The whole model, or this process's stages of the pipeline."""
        for stage in self.stages:
            stage.recompute(config.trainer.recompute, config.trainer.recompute_every)
            spread(stage, layout)
            stage.to_empty(device=layout.device)
            initialize(stage, config.trainer.seed)
        self.model = self.stages[0]
        self.weights = weights_of(self.stages, layout)
        self.optimizer = build_optimizer(self.weights, config.optimizer)
        self.pipeline = Pipeline(self.stages, config, layout) if layout.axes.pipeline > 1 else None
        self.scaler = LossScaler(config.scaling) if config.trainer.precision == "fp16" else None
        prepare = pinned if layout.device.type == "cuda" else None
        self.loader = data.loader(layout.data_rank, layout.axes.data, prepare)
        self.step = 0
        self.tokens = 0
        self.asked_to_stop = False
        """This process got a SIGTERM."""
        self.stopping = False
        """All processes have agreed to end after this step."""

    def resume(self, start: Path | None) -> None:
        """Load the newest checkpoint of this run, else `start`, else keep the initial weights."""
        chosen = ""
        if self.layout.leads:
            found, passed = find_checkpoint(checkpoints_folder(self.run))
            for sentence in passed:
                self.report({"event": "note", "text": sentence})
            if found is None and start is not None:
                found = _foreign(start)
            chosen = str(found.path) if found is not None else ""
        chosen = from_leader(chosen) if self.layout.world > 1 else chosen
        if chosen:
            checkpoint = open_checkpoint(Path(chosen), verify=False)
            alone = self.layout.world == 1
            load_weights(checkpoint, *self.stages, alone=alone)
            load_optimizer(checkpoint, self.weights, self.optimizer, alone=alone)
            self._place(checkpoint.state["loader"])
            if self.scaler is not None and "scaler" in checkpoint.state:
                self.scaler.load_state_dict(checkpoint.state["scaler"])
            self.step, self.tokens = checkpoint.step, int(checkpoint.state["tokens"])
        self.report(
            {
                "event": "start",
                "step": self.step,
                "steps": self.config.trainer.steps,
                "parameters": self.config.model.parameters,
                "precision": self.config.trainer.precision,
                "device": str(self.layout.device),
                "processes": self.layout.world,
                "layout": self.layout.axes.sizes,
                "checkpoint": chosen or None,
            }
        )

    def _place(self, state: dict[str, Any]) -> None:
        """Have the loader go on from a state; from one of other data only with `data.rebase`."""
        try:
            self.loader.load_state_dict(state)
        except ConfigError:
            if not self.config.data.rebase:
                raise
            for sentence in self.loader.rebase(state):
                self.report({"event": "note", "text": sentence})

    def run_to_end(self) -> bool:
        """Train until the last step or a SIGTERM; true at the last step."""
        config = self.config
        last = config.trainer.steps
        with on_termination(self.ask_to_stop), self._metrics() as metrics:
            while self.step < last and not self.stopping:
                line = self.update()
                self._write(metrics, "step", line)
                at_end = self.step == last
                if at_end or _due(self.step, config.trainer.validate_every):
                    self._validate(metrics)
                if at_end or self.stopping or _due(self.step, config.checkpoint.every):
                    self._save(metrics)
        self.loader.close()
        if self.step < last:
            self.report({"event": "stopped", "step": self.step, "steps": last})
        return self.step >= last

    def ask_to_stop(self) -> None:
        """End after the step that all processes agree on, with a checkpoint."""
        self.asked_to_stop = True

    def update(self) -> dict[str, Any]:
        """One optimizer step; returns its line of metrics. fp16: gradients that are not finite skip the step, and it is counted.

        Raises
        ------
        TrainingError
            If the loss or the gradient is not finite; weights are then still those of the step before.
        """
        began = time.perf_counter()
        config = self.config
        first_sample = self.loader.position
        losses = self._accumulate()
        loss = sum(losses.values())
        routers = self._router_losses()
        self.gather_gradients()
        scale = 1.0 if self.scaler is None else self.scaler.scale
        norm = gradient_norm(self.weights, self.layout) / scale
        overflow = self.scaler is not None and not math.isfinite(norm)
        rate = learning_rate(config.schedule, config.optimizer.lr, self.step, config.trainer.steps)
        if overflow:
            assert self.scaler is not None
            self.scaler.overflowed()
        else:
            self._check_finite(loss, norm)
            scale_gradients(self.weights, clip_factor(norm, config.trainer.clip) / scale)
            set_learning_rate(self.optimizer, rate)
            self.optimizer.step()
            if self.scaler is not None:
                self.scaler.succeeded()
        for weight in self.weights:
            weight.drop_gradient()
        seen = config.data.batch_size * config.data.sequence_length
        self.step += 1
        self.tokens += seen
        seconds = time.perf_counter() - began
        return {
            "step": self.step,
            "loss": loss,
            **({f"loss_{name}": value for name, value in losses.items()} if len(losses) > 1 else {}),
            **routers,
            "grad_norm": norm,
            "lr": rate,
            **({} if self.scaler is None else {"loss_scale": scale, "skipped": self.scaler.skipped}),
            "tokens": self.tokens,
            "first_sample": first_sample,
            "tokens_per_s": round(seen / seconds, 1),
            "seconds": round(seconds, 6),
        }

    def gather_gradients(self) -> None:
        """Make gradients whole over all processes."""
        gather_gradients(self.weights, self.layout)

    def _accumulate(self) -> dict[str, float]:
        """Gradients of the next batch, micro-batch by micro-batch; returns the batch's mean losses by name.

        Each loss is a sum divided by the number of its labels in the whole batch of all processes, so that neither processes nor
        micro-batches change what a token counts.
        """
        config, kind, device, layout = self.config, self.config.model.kind, self.layout.device, self.layout
        first = self.loader.position + layout.data_rank * config.data.batch_size // layout.axes.data
        batch = next(self.loader)
        here = label_counts(batch, kind) if layout.speaks else [0.0] * len(self.model.losses)
        *counts, wishes = self._totals([*here, float(self.asked_to_stop)])
        self.stopping = wishes > 0
        scale = 1.0 if self.scaler is None else self.scaler.scale
        for stage in self.stages:
            stage.auxiliary, stage.auxiliary_scale = None, scale / config.data.batch_size
        per_label = torch.tensor([1.0 / max(count, 1.0) for count in counts], dtype=torch.float64, device=device)
        numbers = torch.arange(first, first + len(batch), device=device)
        keys = sample_keys(config.trainer.seed, self.step, numbers) if self._drops else None
        if self.pipeline is not None:
            inputs = model_inputs(batch, device, kind)
            sums = self.pipeline.train(inputs if keys is None else {**inputs, "keys": keys}, per_label * scale)
        else:
            sums = torch.zeros_like(per_label)
            size = micro_batch(config, layout.axes)
            for start in range(0, len(batch), size):
                stop = min(start + size, len(batch))
                reduce_gradients(self.model, stop == len(batch))
                inputs = model_inputs(batch.rows(start, stop), device, kind)
                losses = self.model(**inputs, keys=None if keys is None else keys[start:stop])
                (losses * (per_label * scale).to(losses.dtype)).sum().backward()
                sums += losses.detach()
        named = zip(self.model.losses, self._loss_totals(sums.tolist()), counts, strict=True)
        return {name: total / count for name, total, count in named if count}

    def _router_losses(self) -> dict[str, float]:
        """Balance and z loss of the step, means over samples of sums over layers; without experts nothing."""
        if not self.config.model.experts:
            return {}
        here = self.layout.place("tensor") == self.layout.place("context") == 0  # which all compute alike
        found = [stage.auxiliary.tolist() for stage in self.stages if stage.auxiliary is not None and here]
        balance, flat = self._totals([sum(losses[i] for losses in found) for i in range(2)])
        size = self.config.data.batch_size
        return {"loss_balance": balance / size, "loss_router": flat / size}

    def _check_finite(self, loss: float, norm: float) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        what, value = ("gradient", norm) if math.isfinite(loss) else ("loss", loss)
        raise TrainingError(
            f"{self.run}: step {self.step + 1}: the {what} is not finite ({value}); lower optimizer.lr or raise"
            " schedule.warmup, the newest checkpoint holds good weights"
        )

    def validate(self) -> dict[str, dict[str, float]]:
        """Losses of each validation source by name, over at most `data.validation_batches` batches; every process calls it."""
        out = {}
        for source, samples in self.data.validation.items():
            windows = min(samples.total or 0, self.config.data.validation_batches * self.config.data.batch_size)
            if windows:
                out[source] = self._measure(source, windows)
        for stage in self.stages:
            free_gathered(stage)
        return out

    @torch.no_grad()
    def _measure(self, source: str, windows: int) -> dict[str, float]:
        kind, layout = self.config.model.kind, self.layout
        parts = layout.axes.data
        size = min(micro_batch(self.config, layout.axes), -(-self.config.data.batch_size // parts))
        sums: list[float] = [0.0] * len(self.model.losses)
        counts = list(sums)
        for start in range(0, windows, size * parts):
            mine = min(start + layout.data_rank * size, windows)
            idle = mine == windows  # all processes take part in every forward pass
            part = self.data.windows(source, *((0, 1) if idle else (mine, min(mine + size, windows))))
            inputs = model_inputs(part, layout.device, kind)
            losses = self.model(**inputs) if self.pipeline is None else self.pipeline.evaluate(inputs)
            if not idle:
                sums = [a + b for a, b in zip(sums, losses.tolist(), strict=True)]
                if layout.speaks:
                    counts = [a + b for a, b in zip(counts, label_counts(part, kind), strict=True)]
        named = zip(self.model.losses, self._loss_totals(sums), self._totals(counts), strict=True)
        return {name: total / count for name, total, count in named if count}

    @property
    def _drops(self) -> bool:
        return self.config.model.dropout > 0 or self.config.model.attention_dropout > 0

    def _loss_totals(self, values: list[float]) -> list[float]:
        """Sums of losses over processes; those of the tensor axis all have the same ones."""
        return self._totals(values if self.layout.place("tensor") == 0 else [0.0] * len(values))

    def _totals(self, values: list[float]) -> list[float]:
        """Sums over processes."""
        if self.layout.world == 1:
            return list(values)
        totals: list[float] = self.layout.total(
            torch.tensor(values, dtype=torch.float64, device=self.layout.device)
        ).tolist()
        return totals

    @contextlib.contextmanager
    def _metrics(self) -> Iterator[MetricsFile | None]:
        if not self.layout.leads:
            yield None
            return
        with MetricsFile(self.run, step=self.step) as file:
            yield file

    def _write(self, metrics: MetricsFile | None, event: str, line: dict[str, Any]) -> None:
        if metrics is not None:
            metrics.write(line)
            self.report({"event": event, "steps": self.config.trainer.steps, **line})

    def _validate(self, metrics: MetricsFile | None) -> None:
        began = time.perf_counter()
        sources = self.validate()
        if sources:
            main = self.model.losses[0]
            line = {
                "step": self.step,
                "validation": {source: losses[main] for source, losses in sources.items() if main in losses},
                "validation_seconds": round(time.perf_counter() - began, 6),
            }
            self._write(metrics, "validation", line)

    def _save(self, metrics: MetricsFile | None) -> None:
        if metrics is not None:
            metrics.sync()
        state = {"tokens": self.tokens, "loader": self.loader.state_dict(), "torch": torch.__version__}
        if self.scaler is not None:
            state["scaler"] = self.scaler.state_dict()
        path = save_checkpoint(
            checkpoints_folder(self.run),
            self.step,
            self.weights,
            self.optimizer,
            state,
            self.layout,
            keep=self.config.checkpoint.keep,
        )
        self.report({"event": "checkpoint", "step": self.step, "path": str(path)})


def _foreign(start: Path) -> Checkpoint:
    """The checkpoint of another run, given as its folder or the run's."""
    if (start / "state.json").exists():
        return open_checkpoint(start)
    found, _ = find_checkpoint(checkpoints_folder(start))
    if found is None:
        raise TrainingError(f"{start}: expected a checkpoint or a run that has one, found none; check --resume")
    return found


def _leaders_config(config: TrainConfig, world: int) -> TrainConfig:
    """The first process's configuration: under torchrun only that one has looked into RUN."""
    if world == 1:
        return config
    text = from_leader(dump_yaml(to_dict(config)))
    return build(TrainConfig, parse_yaml(text, "train"), "train")


def _due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0
