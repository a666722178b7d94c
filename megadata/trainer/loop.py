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
from megadata.errors import TrainingError
from megadata.indexed.blend import Blend
from megadata.trainer.checkpoint import load_optimizer, load_weights, save_checkpoint
from megadata.trainer.checkpointfiles import Checkpoint, checkpoints_folder, find_checkpoint, open_checkpoint
from megadata.trainer.config import TrainConfig, replaced
from megadata.trainer.data import RunData, label_counts, open_data
from megadata.trainer.environment import device_of, on_termination, threads
from megadata.trainer.inputs import model_inputs
from megadata.trainer.launch import Place, Report
from megadata.trainer.metrics import MetricsFile
from megadata.trainer.models.build import bare_model, initialize
from megadata.trainer.optimizers import build_optimizer, clip, gradient_norm, set_learning_rate
from megadata.trainer.parallel import Layout, free_gathered, layout_of, local_part, reduce_gradients, shard
from megadata.trainer.precision import resolve_precision
from megadata.trainer.randomness import sample_keys
from megadata.trainer.runfolder import Job, write_run_config
from megadata.trainer.schedules import learning_rate


def work(place: Place, report: Report, job: Job) -> bool:
    """Train, as one of `place.world` processes; returns whether the run came to its last step."""
    config = job.config
    device = device_of(config.trainer.device)
    with (
        threads(config, place),
        layout_of(
            rank=place.rank,
            world=place.world,
            local_rank=place.local_rank,
            device=device,
            timeout=config.trainer.timeout,
            store=place.store,
        ) as layout,
    ):
        config = _leaders_config(config, layout)
        config = replaced(config, "trainer", precision=resolve_precision(config.trainer.precision, layout.device))
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
        self.model = bare_model(config.model, config.trainer.precision)
        shard(self.model, layout)
        self.model.to_empty(device=layout.device)
        initialize(self.model, config.trainer.seed, local_part)
        self.optimizer = build_optimizer(self.model, config.optimizer)
        self.loader = data.loader(layout.rank, layout.world)
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
        chosen = self.layout.from_leader(chosen)
        if chosen:
            checkpoint = open_checkpoint(Path(chosen), verify=False)
            alone = self.layout.mesh is None
            load_weights(checkpoint, self.model, alone=alone)
            load_optimizer(checkpoint, self.model, self.optimizer, alone=alone)
            self.loader.load_state_dict(checkpoint.state["loader"])
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
                "checkpoint": chosen or None,
            }
        )

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
        """One optimizer step; returns its line of metrics.

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
        norm = gradient_norm(self.model.parameters())
        self._check_finite(loss, float(norm))
        if config.trainer.clip is not None:
            clip(self.model.parameters(), config.trainer.clip, norm)
        rate = learning_rate(config.schedule, config.optimizer.lr, self.step, config.trainer.steps)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        seen = config.data.batch_size * config.data.sequence_length
        self.step += 1
        self.tokens += seen
        seconds = time.perf_counter() - began
        return {
            "step": self.step,
            "loss": loss,
            **({f"loss_{name}": value for name, value in losses.items()} if len(losses) > 1 else {}),
            "grad_norm": float(norm),
            "lr": rate,
            "tokens": self.tokens,
            "first_sample": first_sample,
            "tokens_per_s": round(seen / seconds, 1),
            "seconds": round(seconds, 6),
        }

    def _accumulate(self) -> dict[str, float]:
        """Gradients of the next batch, micro-batch by micro-batch; returns the batch's mean losses by name.

        Each loss is a sum divided by the number of its labels in the whole batch of all processes, so that neither processes nor
        micro-batches change what a token counts.
        """
        config, kind, device = self.config, self.config.model.kind, self.layout.device
        first = self.loader.position + self.layout.rank * config.data.batch_size // self.layout.world
        batch = next(self.loader)
        *counts, wishes = self._totals([*label_counts(batch, kind), float(self.asked_to_stop)])
        self.stopping = wishes > 0
        per_label = torch.tensor([1.0 / max(count, 1.0) for count in counts], dtype=torch.float64, device=device)
        sums = torch.zeros_like(per_label)
        size = config.micro_batch
        for start in range(0, len(batch), size):
            part = batch.rows(start, min(start + size, len(batch)))
            reduce_gradients(self.model, start + size >= len(batch))
            numbers = torch.arange(first + start, first + start + len(part), device=device)
            keys = sample_keys(config.trainer.seed, self.step, numbers) if self._drops else None
            losses = self.model(**model_inputs(part, device, kind), keys=keys)
            (losses * per_label.to(losses.dtype)).sum().backward()
            sums += losses.detach()
        named = zip(self.model.losses, self._totals(sums.tolist()), counts, strict=True)
        return {name: total / count for name, total, count in named if count}

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
        free_gathered(self.model)
        return out

    @torch.no_grad()
    def _measure(self, source: str, windows: int) -> dict[str, float]:
        kind, world = self.config.model.kind, self.layout.world
        share = -(-self.config.data.batch_size // world)
        size = min(self.config.micro_batch, share)
        sums: list[float] = [0.0] * (2 * len(self.model.losses))
        for start in range(0, windows, size * world):
            mine = min(start + self.layout.rank * size, windows)
            part = self.data.windows(source, mine, min(mine + size, windows)) if mine < windows else None
            if part is None:  # all processes take part in every forward pass
                idle = self.data.windows(source, 0, 1)
                self.model(**model_inputs(idle, self.layout.device, kind))
                continue
            losses = self.model(**model_inputs(part, self.layout.device, kind)).tolist()
            sums = [a + b for a, b in zip(sums, [*losses, *label_counts(part, kind)], strict=True)]
        totals = self._totals(sums)
        half = len(self.model.losses)
        named = zip(self.model.losses, totals[:half], totals[half:], strict=True)
        return {name: total / count for name, total, count in named if count}

    @property
    def _drops(self) -> bool:
        return self.config.model.dropout > 0 or self.config.model.attention_dropout > 0

    def _totals(self, values: list[float]) -> list[float]:
        """Sums over processes."""
        if self.layout.mesh is None:
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
        path = save_checkpoint(
            checkpoints_folder(self.run),
            self.step,
            self.model,
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


def _leaders_config(config: TrainConfig, layout: Layout) -> TrainConfig:
    """The first process's configuration: under torchrun only that one has looked into RUN."""
    text = layout.from_leader(dump_yaml(to_dict(config)))
    return build(TrainConfig, parse_yaml(text, "train"), "train")


def _due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0
