"""The configuration of a training run: sections model, data, trainer, optimizer, schedule, parallel, scaling,
checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from megadata.config import build, configclass, load_yaml, nearest, override, parse_yaml, to_dict
from megadata.errors import ConfigError
from megadata.trainer.models.config import ModelConfig

Precision = Literal["auto", "fp32", "bf16", "fp16", "fp64"]


@configclass
class DataConfig:
    """What a sample is and how many make a step."""

    sequence_length: int = 256
    """Tokens of one sample."""
    batch_size: int = 16
    """Samples of one step, over all processes and accumulation steps."""
    document_mask: bool = False
    """Keep tokens of different documents in one sample from seeing each other."""
    mask_probability: float = 0.15
    """BERT: part of the tokens that must be predicted."""
    mask_unit: Literal["words", "tokens", "spans"] = "words"
    """BERT: what is hidden as a whole."""
    pairs: Literal["order", "next", "none"] = "order"
    """BERT: what is told of two segments: whether they were swapped, whether the second is from elsewhere, or nothing."""
    infilling: float = 0.0
    """GPT: part of the documents that are rearranged to learn to fill in the middle, half of them suffix first."""
    rebase: bool = False
    """Go on from a checkpoint whose data, weights, seed or sample length were others: sources that cannot go on where they were
    begin their next epoch."""
    validation_batches: int = 8
    """Batches (of `batch_size` samples) a validation source is measured on, or fewer where it is smaller."""

    def __post_init__(self) -> None:
        for name in ("sequence_length", "batch_size", "validation_batches"):
            _at_least(f"data.{name}", getattr(self, name), 1)
        if not 0 < self.mask_probability < 1:
            raise ConfigError(f"data.mask_probability must lie between 0 and 1, got {self.mask_probability}")
        if not 0 <= self.infilling <= 1:
            raise ConfigError(f"data.infilling must lie between 0 and 1, got {self.infilling}")


@configclass
class TrainerConfig:
    """How long, how precisely, and what is measured on the way."""

    steps: int = 1000
    """Optimizer steps of the run."""
    precision: Precision = "auto"
    """``fp32``; ``bf16``, ``fp16``: that arithmetic over fp32 master weights, fp16 with dynamic loss scaling (section `scaling`);
    ``auto``: bf16 where the hardware computes in it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto``: a GPU when there is one."""
    micro_batch: int | None = None
    """Samples of one forward pass of one process; none takes as many as make 16,384 tokens. Changes memory and speed only."""
    recompute: Literal["none", "attention", "block"] = "none"
    """Activations made again in the backward pass instead of being kept: those inside attention (Korthikanti et al. 2022,
    arXiv:2205.05198), or of whole blocks (Chen et al. 2016, arXiv:1604.06174). Changes memory and speed only."""
    recompute_every: int = 1
    """``block`` and ``attention``: every k-th block only."""
    seed: int = 0
    """Seed of initial weights and dropout."""
    clip: float | None = 1.0
    """Largest global norm of the gradient; none does not clip."""
    validate_every: int | None = 100
    """Steps between validations (the last step always validates); none validates at the end only."""
    threads: int | None = None
    """CPU threads of one process; none shares the cores out."""
    timeout: float = 600.0
    """Seconds a process waits for the others before it gives up."""

    def __post_init__(self) -> None:
        _at_least("trainer.steps", self.steps, 1)
        for name in ("micro_batch", "recompute_every", "validate_every", "threads"):
            if getattr(self, name) is not None:
                _at_least(f"trainer.{name}", getattr(self, name), 1)
        if self.clip is not None and not self.clip > 0:
            raise ConfigError(f"trainer.clip must be above 0, or null for no clipping, got {self.clip}")
        if not self.timeout > 0:
            raise ConfigError(f"trainer.timeout must be above 0 seconds, got {self.timeout}")


@configclass
class ScalingConfig:
    """fp16: the loss is multiplied by what the gradients bear (Micikevicius et al. 2017, arXiv:1710.03740)."""

    initial: float = 65536.0
    """Scale of the first step."""
    growth: float = 2.0
    """Factor after `window` steps in a row without overflow."""
    backoff: float = 0.5
    """Factor after an overflow, once `hysteresis` of them have come."""
    window: int = 1000
    """Steps without overflow before the scale grows."""
    hysteresis: int = 2
    """Overflows the scale bears before it shrinks; growing makes it bear as many again."""
    minimum: float = 1.0
    """Smallest scale; an overflow at it ends the run."""

    def __post_init__(self) -> None:
        for name in ("window", "hysteresis"):
            _at_least(f"scaling.{name}", getattr(self, name), 1)
        if not 0 < self.minimum <= self.initial:
            raise ConfigError(
                f"scaling.minimum must be above 0 and at most scaling.initial ({self.initial}), got {self.minimum}"
            )
        if not (self.growth > 1 and 0 < self.backoff < 1):
            raise ConfigError("scaling.growth must be above 1 and scaling.backoff between 0 and 1")


@configclass
class OptimizerConfig:
    """How gradients become updates."""

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    """``adamw`` (decoupled weight decay, Loshchilov and Hutter 2017, arXiv:1711.05101), ``adam``, ``sgd``."""
    lr: float = 1e-3
    """Highest learning rate."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the mean of gradients; momentum for sgd."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """Decay of the mean of squared gradients."""
    epsilon: float = 1e-8
    """Added to the root of the mean square."""
    weight_decay: float = 0.1
    """Of matrices and embeddings; biases and norms are never decayed."""

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ConfigError(f"optimizer.lr must be above 0, got {self.lr}")
        if self.weight_decay < 0 or self.epsilon < 0:
            raise ConfigError("optimizer.weight_decay and optimizer.epsilon must not be negative")


@configclass
class ScheduleConfig:
    """How the learning rate moves: linear warm-up, then the named curve down to `final` times the highest."""

    name: Literal["cosine", "linear", "wsd", "constant", "inverse_sqrt"] = "cosine"
    """``wsd``: warm-up, stable, decay (Hu et al. 2024, arXiv:2404.06395); ``inverse_sqrt`` ignores `final`."""
    warmup: float = 0.02
    """Steps of warm-up: a part of the run when below 1, else a number of steps."""
    final: float = 0.1
    """Learning rate at the end, as a part of the highest."""
    decay: float = 0.2
    """``wsd`` only: steps of the decay at the end: a part of the run when at most 1, else a number of steps."""

    def __post_init__(self) -> None:
        if self.warmup < 0 or self.decay < 0:
            raise ConfigError("schedule.warmup and schedule.decay must not be negative")
        if not 0 <= self.final <= 1:
            raise ConfigError(f"schedule.final must lie between 0 and 1, got {self.final}")


@configclass
class ParallelConfig:
    """Processes along each axis of the layout; data x tensor x pipeline x context is the number of processes."""

    data: int | None = None
    """Parts a batch is cut into; none takes all processes the other axes leave."""
    shard: int | None = None
    """Processes of the data axis that share weights, gradients and optimizer states out (FSDP); none: all of them; 1: each holds
    all; between: shards within groups of this size, replicas of it across them (hybrid)."""
    tensor: int = 1
    """Processes that share each matrix, the vocabulary and the attention heads."""
    sequence: bool = False
    """Let the tensor axis share the tokens between matrices too: norms and dropout of a part of them each, less memory."""
    pipeline: int = 1
    """Processes that share the layers."""
    schedule: Literal["1f1b", "gpipe", "interleaved"] = "1f1b"
    """Order of a pipeline's micro-batches; ``interleaved`` gives each process `chunks` separate runs of layers."""
    chunks: int = 2
    """``interleaved`` only: runs of layers of one process."""
    layers: list[int] | None = None
    """Layers of each stage of the pipeline, first to last; none shares them out evenly."""
    context: int = 1
    """Processes that share each sequence; keys and values are gathered from all of them."""
    expert: int = 1
    """Processes of the shard and context axes that share the experts; it adds none. Tokens travel to the experts they go to."""

    def __post_init__(self) -> None:
        for axis in ("data", "shard", "tensor", "pipeline", "chunks", "expert", "context"):
            if getattr(self, axis) is not None:
                _at_least(f"parallel.{axis}", getattr(self, axis), 1)


@configclass
class CheckpointConfig:
    """When weights, optimizer and position in the data are written."""

    every: int | None = 100
    """Steps between checkpoints (the last step always writes one); none writes at the end only."""
    keep: int = 2
    """Newest checkpoints that stay."""

    def __post_init__(self) -> None:
        _at_least("checkpoint.keep", self.keep, 1)
        if self.every is not None:
            _at_least("checkpoint.every", self.every, 1)


@configclass
class TrainConfig:
    """A training run."""

    model: ModelConfig = Field(default_factory=ModelConfig)
    data: DataConfig = Field(default_factory=DataConfig)
    trainer: TrainerConfig = Field(default_factory=TrainerConfig)
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    parallel: ParallelConfig = Field(default_factory=ParallelConfig)
    scaling: ScalingConfig = Field(default_factory=ScalingConfig)
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)

    def __post_init__(self) -> None:
        longest = self.model.max_position_embeddings
        if self.data.sequence_length > longest:
            raise ConfigError(
                f"data.sequence_length ({self.data.sequence_length}) is above model.max_position_embeddings ({longest});"
                " lower the first or raise the second"
            )
        if self.model.kind == "bert" and self.data.sequence_length < 8:
            raise ConfigError(f"data.sequence_length must be at least 8 for a BERT, got {self.data.sequence_length}")

    @property
    def micro_batch(self) -> int:
        """Samples of one forward pass of one process."""
        return self.trainer.micro_batch or max(1, MICRO_BATCH_TOKENS // self.data.sequence_length)


MICRO_BATCH_TOKENS = 16_384
"""Tokens of one forward pass where `trainer.micro_batch` does not say how many samples."""


def presets() -> list[str]:
    """Names of the shipped training configurations."""
    folder = resources.files("megadata") / "configs" / "models"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_config(name_or_file: str | Path, overrides: Iterable[str] = ()) -> TrainConfig:
    """Load a preset by name or a YAML file, with ``--set a.b=value`` assignments on top.

    Raises
    ------
    ConfigError
        If there is no such preset or file, or a setting is unknown or wrong.
    """
    where = str(name_or_file)
    return build(TrainConfig, override(_values(name_or_file), overrides), where)


def config_from(values: Mapping[str, Any], where: str = "train") -> TrainConfig:
    """Make a config from plain values, such as the ``train`` section of a recipe; ``preset: NAME`` is the base of the rest."""
    rest = dict(values)
    base = rest.pop("preset", None)
    if base is not None:
        start = _values(str(base))
        rest = {**start, **{key: _merged(start.get(key), value) for key, value in rest.items()}}
    return build(TrainConfig, rest, where)


def replaced(config: TrainConfig, section: str, **changes: Any) -> TrainConfig:
    """`config` with fields of one section changed."""
    values = to_dict(config)
    values[section].update(changes)
    return build(TrainConfig, values, section)


def _merged(base: Any, value: Any) -> Any:
    return {**base, **value} if isinstance(base, Mapping) and isinstance(value, Mapping) else value


def _values(name_or_file: str | Path) -> dict[str, Any]:
    text = str(name_or_file)
    if text.endswith((".yaml", ".yml")) or Path(text).is_file():
        return load_yaml(text)
    if text not in presets():
        raise ConfigError(f"{text!r} is neither a file nor a shipped configuration{nearest(text, presets())}")
    path = resources.files("megadata") / "configs" / "models" / f"{text}.yaml"
    return parse_yaml(path.read_text(encoding="utf-8"), text)


def _at_least(name: str, value: float, least: float) -> None:
    if value < least:
        raise ConfigError(f"{name} must be at least {least}, got {value}")
