"""Whether a layout can be: checked before any process group starts, with the nearest layout that works. No torch.

Axes, and what each must divide: `data` the batch, `context` and `sequence` the tokens of a sample, `tensor` the heads, the
feed-forward and the padded vocabulary; `pipeline` needs a layer for every stage and enough micro-batches.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from megadata.errors import ConfigError
from megadata.trainer.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Axes:
    """Processes along each axis."""

    replicate: int = 1
    """Processes that hold the same weights and different samples."""
    shard: int = 1
    """Processes that hold different parts of the weights and different samples."""
    context: int = 1
    tensor: int = 1
    pipeline: int = 1
    expert: int = 1
    """Neighbours among the shard and context axes that share the experts."""
    sequence: bool = False
    """Whether the tensor axis shares the tokens between matrices."""

    @property
    def data(self) -> int:
        """Parts that a batch is cut into."""
        return self.replicate * self.shard

    @property
    def sizes(self) -> dict[str, int]:
        """The axes that have more than one process, by the names of the configuration."""
        names = ("data", "tensor", "pipeline", "context", "expert")
        return {name: size for name in names if (size := getattr(self, name)) > 1}

    @property
    def world(self) -> int:
        """Number of processes."""
        return self.data * self.context * self.tensor * self.pipeline


ALONE = Axes()
"""One process."""


def resolve_layout(config: TrainConfig, world: int) -> Axes:
    """The axes of `world` processes.

    Raises
    ------
    ConfigError
        If the layout cannot be; the sentence names the nearest that can.
    """
    if world < 1:
        raise ConfigError(f"--nproc must be at least 1, got {world}")
    parallel = config.parallel
    inner = parallel.context * parallel.tensor * parallel.pipeline
    if world % inner:
        product = f"parallel.tensor x pipeline x context is {inner}"
        near = max(inner, round(world / inner) * inner)
        raise ConfigError(
            f"{product}, which does not divide {world} processes; give --nproc {near}{_nearest(config, world)}"
        )
    data = parallel.data if parallel.data is not None else world // inner
    if data * inner != world:
        raise ConfigError(
            f"parallel.data is {data}, but there are {world} processes"
            f"{f' for {inner} a replica' if inner > 1 else ''}; give --nproc {data * inner} or leave it out"
        )
    if parallel.shard is not None and data % parallel.shard:
        raise ConfigError(
            f"parallel.shard ({parallel.shard}) must divide parallel.data ({data}); the nearest that does is"
            f" {_nearest_divisor(data, parallel.shard)}"
        )
    size = config.data.batch_size
    if size % data:
        near = max(data, round(size / data) * data)
        raise ConfigError(
            f"data.batch_size ({size}) cannot be shared evenly by {data} processes; the nearest that can is {near}"
        )
    shard = data if parallel.shard is None else parallel.shard
    axes = Axes(
        replicate=data // shard,
        shard=shard,
        context=parallel.context,
        tensor=parallel.tensor,
        pipeline=parallel.pipeline,
        expert=parallel.expert,
        sequence=parallel.sequence and parallel.tensor > 1,
    )
    if wrong := _expert_problem(config, axes):
        raise ConfigError(wrong)
    if wrong := _problem(config, axes):
        raise ConfigError(f"{wrong}{_nearest(config, world)}")
    return axes


def _expert_problem(config: TrainConfig, axes: Axes) -> str:
    """What is wrong with how experts are shared; empty where nothing is."""
    if axes.expert == 1:
        return ""
    holders = axes.shard * axes.context
    for name, whole in (("model.experts", config.model.experts), ("parallel.shard x context", holders)):
        if whole % axes.expert or whole == 0:
            near = _nearest_divisor(max(whole, 1), axes.expert)
            return f"parallel.expert ({axes.expert}) must divide {name} ({whole}); the nearest that does is {near}"
    return ""


def stages_of(config: TrainConfig) -> int:
    """Parts that the layers are cut into."""
    parallel = config.parallel
    return parallel.pipeline * (parallel.chunks if parallel.schedule == "interleaved" else 1)


def stage_layers(config: TrainConfig) -> list[int]:
    """Layers of each stage. Without `parallel.layers` as even as can be; the last, which also predicts, gets the fewest."""
    if config.parallel.layers is not None:
        return list(config.parallel.layers)
    stages = stages_of(config) if config.parallel.pipeline > 1 else 1
    least, more = divmod(config.model.num_layers, stages)
    return [least + (number < more) for number in range(stages)]


def micro_batch(config: TrainConfig, axes: Axes) -> int:
    """Samples of one forward pass of one process.

    Without a pipeline the last pass of an accumulation may be smaller. Under one all are equal; where `trainer.micro_batch` is
    not set, the largest that fills the pipeline.
    """
    size = config.micro_batch
    if axes.pipeline == 1 or config.trainer.micro_batch is not None:
        return size
    share = config.data.batch_size // axes.data
    fitting = (n for n in range(min(size, share), 0, -1) if share % n == 0 and _fills(config, axes, share // n))
    return next(fitting, 1)


def _fills(config: TrainConfig, axes: Axes, count: int) -> bool:
    """Whether `count` micro-batches are what the schedule takes."""
    if config.parallel.schedule == "gpipe":
        return True
    return count % axes.pipeline == 0 if config.parallel.schedule == "interleaved" else count >= axes.pipeline


def _problem(config: TrainConfig, axes: Axes) -> str:
    """What is wrong with a layout of the right number of processes; empty where nothing is."""
    return next((text for text in _problems(config, axes) if text), "")


def _problems(config: TrainConfig, axes: Axes) -> Iterator[str]:
    model, length = config.model, config.data.sequence_length
    dividends = [
        ("model.num_attention_heads", model.num_attention_heads),
        ("model.num_key_value_heads", model.kv_heads),
        ("model.intermediate_size", model.ffn_size),
    ]
    if model.vocab_size is not None:
        dividends.append(("the padded vocabulary", model.padded_vocabulary))
    for name, value in dividends:
        if value % axes.tensor:
            yield f"parallel.tensor ({axes.tensor}) must divide {name} ({value})"
    parts = axes.context * (axes.tensor if axes.sequence else 1)
    if length % parts:
        axis = "parallel.context x tensor" if axes.sequence else "parallel.context"
        yield f"{axis} ({parts}) must divide data.sequence_length ({length})"
    if config.data.batch_size % axes.data:
        yield f"data.batch_size ({config.data.batch_size}) cannot be shared evenly by {axes.data} processes"
    if axes.pipeline > 1:
        yield from _pipeline_problems(config, axes)


def _pipeline_problems(config: TrainConfig, axes: Axes) -> Iterator[str]:
    parallel, layers = config.parallel, config.model.num_layers
    stages = axes.pipeline * (parallel.chunks if parallel.schedule == "interleaved" else 1)
    if parallel.layers is not None:
        if len(parallel.layers) != stages or sum(parallel.layers) != layers or min(parallel.layers) < 1:
            yield (
                f"parallel.layers {list(parallel.layers)} must give {stages} stages at least one layer each and"
                f" {layers} in all (model.num_layers)"
            )
    elif stages > layers:
        yield f"a pipeline of {stages} stages needs as many layers, model.num_layers is {layers}"
    share = config.data.batch_size // axes.data
    size = micro_batch(config, axes)
    if share % size:
        yield (
            f"trainer.micro_batch ({size}) must divide the {share} samples of a replica under a pipeline; the nearest that"
            f" does is {_nearest_divisor(share, size)}"
        )
    elif not _fills(config, axes, share // size):
        rule = "a multiple of" if parallel.schedule == "interleaved" else "at least"
        near = -(-share // (axes.pipeline * size)) * axes.pipeline * size * axes.data
        yield (
            f"the schedule {parallel.schedule} needs {rule} {axes.pipeline} micro-batches a step, a replica has"
            f" {share // size} (data.batch_size {config.data.batch_size} / {axes.data} replicas / micro-batches of {size});"
            f" set data.batch_size={near} or parallel.schedule=gpipe"
        )


def _nearest_divisor(whole: int, wanted: int) -> int:
    return min((n for n in range(1, whole + 1) if whole % n == 0), key=lambda n: (abs(n - wanted), n))


def _nearest(config: TrainConfig, world: int) -> str:
    """A clause that names the layout of `world` processes that works and is nearest to what was asked for."""
    parallel = config.parallel
    wanted = (parallel.data or 1, parallel.tensor, parallel.pipeline, parallel.context)
    best: tuple[float, tuple[int, ...]] | None = None
    for data, tensor, pipeline in _factors(world):
        context = world // (data * tensor * pipeline)
        found = (data, tensor, pipeline, context)
        axes = Axes(
            shard=data,
            tensor=tensor,
            pipeline=pipeline,
            context=context,
            expert=parallel.expert,
            sequence=parallel.sequence and tensor > 1,
        )
        other = _with(config, data=data, tensor=tensor, pipeline=pipeline, context=context)
        if _expert_problem(other, axes) or _problem(other, axes):
            continue
        first = 1 if parallel.data is None else 0  # what is left to the other axes is not missed
        distance = sum(abs(math.log2(a / b)) for a, b in zip(found[first:], wanted[first:], strict=True))
        best = min(best or (math.inf, found), (distance, found))
    if best is None:
        return f"; no layout of {world} processes fits this model and batch"
    names = ("data", "tensor", "pipeline", "context")
    text = " ".join(f"parallel.{name}={size}" for name, size in zip(names, best[1], strict=True) if size > 1)
    return f"; the nearest layout of {world} processes that works is {text or 'parallel.data=1'}"


def _with(config: TrainConfig, **sizes: int) -> TrainConfig:
    """`config` with other axes, in its own schedule where the pipeline allows it."""
    parallel = config.parallel
    keeps = parallel.layers is not None and sizes["pipeline"] == parallel.pipeline
    rest: dict[str, Any] = {**sizes, "shard": None, "layers": parallel.layers if keeps else None}
    changed = dataclasses.replace(parallel, **rest)
    return dataclasses.replace(config, parallel=changed)


def _factors(world: int) -> Iterator[tuple[int, int, int]]:
    divisors = [n for n in range(1, world + 1) if world % n == 0]
    for data in divisors:
        for tensor in divisors:
            for pipeline in divisors:
                if world % (data * tensor * pipeline) == 0:
                    yield data, tensor, pipeline
