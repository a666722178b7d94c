"""Stages of a pipeline on torch.distributed.pipelining: GPipe, 1F1B, interleaved.

Stage s of a looped schedule lies on process s mod P. Every stage gets every keyword argument of the model, cut into
micro-batches, so that dropout keys, positions, documents and labels are where they are needed and only hidden states travel.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe, ScheduleInterleaved1F1B

from megadata.trainer.config import TrainConfig
from megadata.trainer.layouts import micro_batch, stage_layers
from megadata.trainer.models.bert import BERT
from megadata.trainer.models.build import bare_model
from megadata.trainer.models.gpt import GPT
from megadata.trainer.models.trunk import Trunk
from megadata.trainer.parallel.layout import Layout


def build_stages(config: TrainConfig, layout: Layout) -> list[GPT | BERT]:
    """This process's stages, without memory; the whole model where there is no pipeline."""
    counts = stage_layers(config)
    stages: list[GPT | BERT] = []
    for number in range(layout.place("pipeline"), len(counts), layout.axes.pipeline):
        model = bare_model(config.model, config.trainer.precision)
        first = sum(counts[:number])
        model.keep_stage(range(first, first + counts[number]), first=number == 0, last=number == len(counts) - 1)
        stages.append(model)
    return stages


class Pipeline:
    """The stages of this process and their schedule."""

    def __init__(self, stages: Sequence[Trunk], config: TrainConfig, layout: Layout) -> None:
        self.stages, self.layout = stages, layout
        self.group = layout.groups["pipeline"]
        self.size = micro_batch(config, layout.axes)
        """Samples of a micro-batch."""
        self.count = config.data.batch_size // layout.axes.data // self.size
        """Micro-batches of a step."""
        self.length = config.data.sequence_length
        self.shape = (self.size, self.length // layout.split.parts, config.model.hidden_size)
        self.dtype = stages[0].compute_dtype
        self.numbers = range(self.group.rank, len(stages) * self.group.size, self.group.size)
        self.last = len(stages) * self.group.size - 1
        self.losses = len(stages[0].losses)
        self.wide = torch.float64 if self.dtype == torch.float64 else torch.float32
        self._schedule = self._make_schedule(config)
        self._per_loss = torch.ones(self.losses)
        self._sums = torch.zeros(self.losses)

    def train(self, inputs: Mapping[str, Tensor], per_loss: Tensor) -> Tensor:
        """Forward and backward of all micro-batches of a step.

        Parameters
        ----------
        inputs
            Keyword arguments of the model for this replica's part of the batch.
        per_loss : tensor
            What each of the model's losses is multiplied by before the backward pass.

        Returns
        -------
        The summed losses on the last stage, zeros elsewhere.
        """
        self._per_loss = per_loss
        self._sums = torch.zeros(self.losses, dtype=torch.float64, device=self.layout.device)
        rest = {name: value for name, value in inputs.items() if name != "tokens"}
        args = (inputs["tokens"],) if self.stages[0].first else ()
        last = self.stages[-1].last
        target = torch.zeros(len(inputs["tokens"]), device=self.layout.device) if last else None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\.distributed")
            self._schedule.step(*args, target=target, return_outputs=False, **rest)
        return self._sums

    def evaluate(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The summed losses of one micro-batch of any size on the last stage, zeros elsewhere; no gradients."""
        out = torch.zeros(self.losses, dtype=torch.float64, device=self.layout.device)
        rest = {name: value for name, value in inputs.items() if name != "tokens"}
        shape = (len(inputs["tokens"]), *self.shape[1:])
        with torch.no_grad():
            for number, stage in zip(self.numbers, self.stages, strict=True):
                read = inputs["tokens"]
                if not stage.first:
                    read = torch.empty(shape, dtype=self.dtype, device=self.layout.device)
                    dist.recv(read, group=self.group.handle, group_src=(number - 1) % self.group.size)
                found = stage(read, **rest)
                if stage.last:
                    out += found
                else:
                    dist.send(found.contiguous(), group=self.group.handle, group_dst=(number + 1) % self.group.size)
        return out

    def _loss(self, losses: Tensor, target: Tensor) -> Tensor:
        self._sums += losses.detach()
        return (losses * self._per_loss.to(losses.dtype)).sum()

    def _make_schedule(self, config: TrainConfig) -> Any:
        made = [self._stage(number, stage) for number, stage in zip(self.numbers, self.stages, strict=True)]
        options: dict[str, Any] = {"n_microbatches": self.count, "loss_fn": self._loss, "scale_grads": False}
        if config.parallel.schedule == "interleaved":
            return ScheduleInterleaved1F1B(made, **options)  # type: ignore[arg-type]
        kind = ScheduleGPipe if config.parallel.schedule == "gpipe" else Schedule1F1B
        return kind(made[0], **options)

    def _stage(self, number: int, stage: Trunk) -> PipelineStage:
        """A stage that knows the shapes it reads and gives, so that nothing is run to find them out."""
        hidden = torch.empty(self.shape, dtype=self.dtype, device="meta", requires_grad=True)
        tokens = torch.empty(self.shape[0], self.length, dtype=torch.int64, device="meta")
        losses = torch.empty(self.losses, dtype=self.wide, device="meta", requires_grad=True)
        return PipelineStage(
            stage,
            number,
            self.last + 1,
            self.layout.device,
            input_args=(tokens if stage.first else hidden,),
            output_args=(losses if stage.last else hidden,),
            group=self.group.handle,
        )
