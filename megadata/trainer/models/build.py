"""Make a model and give it its initial weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from megadata.config import build, to_dict
from megadata.errors import ConfigError
from megadata.trainer.config import load_config
from megadata.trainer.models.bert import BERT
from megadata.trainer.models.config import ModelConfig
from megadata.trainer.models.gpt import GPT
from megadata.trainer.parallel.sharding import Part, local_part
from megadata.trainer.precision import dtype_of
from megadata.trainer.randomness import fill_normal

Place = Callable[[Tensor], tuple[Tensor, Part]]
"""The block of a parameter that this process holds, and where it lies in the whole."""


def model_config(source: str | Mapping[str, Any] | ModelConfig, vocab_size: int | None = None) -> ModelConfig:
    """The config of a preset's name, of a mapping of fields, or the config itself; `vocab_size` fills in a missing one.

    A mapping with `type_vocab_size` and without `kind` means a BERT with the original's block.
    """
    if isinstance(source, ModelConfig):
        config = source
    elif isinstance(source, str):
        config = load_config(source).model
    else:
        values = dict(source)
        if "type_vocab_size" in values and "kind" not in values:
            original = {"kind": "bert", "norm_position": "post", "activation": "gelu", "norm_epsilon": 1e-12}
            values = {**original, "dropout": 0.1, "attention_dropout": 0.1, **values}
        config = build(ModelConfig, values, "model")
    if config.vocab_size is None and vocab_size is not None:
        config = build(ModelConfig, {**to_dict(config), "vocab_size": vocab_size}, "model")
    return config


def build_model(
    source: str | Mapping[str, Any] | ModelConfig,
    device: str | torch.device = "cpu",
    precision: str = "fp32",
    *,
    seed: int = 0,
    vocab_size: int | None = None,
) -> GPT | BERT:
    """A GPT or BERT with initial weights that depend on the seed and the parameters' names only.

    Parameters
    ----------
    source
        Name of a shipped configuration (``gpt2-124m``), a mapping of `ModelConfig` fields, or a `ModelConfig`.
    precision
        Arithmetic: ``fp32``, ``bf16``, ``fp16``, ``fp64``. Weights stay fp32 (fp64 for ``fp64``).

    Raises
    ------
    ConfigError
        If there is no such configuration or precision, or the vocabulary's size is not known.
    """
    config = model_config(source, vocab_size)
    model = bare_model(config, precision).to_empty(device=device)
    initialize(model, seed)
    return model


def bare_model(config: ModelConfig, precision: str = "fp32") -> GPT | BERT:
    """The model without memory behind its parameters (torch's meta device)."""
    compute = dtype_of(precision)
    if config.vocab_size is None:
        raise ConfigError("model.vocab_size is not set; give the number of entries of the vocabulary")
    with torch.device("meta"):
        model = BERT(config) if config.kind == "bert" else GPT(config)
    model.compute_dtype = compute
    return model.to(torch.float64) if compute == torch.float64 else model


def initialize(model: GPT | BERT, seed: int, place: Place = local_part) -> None:
    """Fill every parameter, or the block that `place` says this process holds, from (seed, parameter name)."""
    rows = model.config.vocabulary
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            values, part = place(parameter)
            if name.endswith(".bias"):
                values.zero_()
            elif parameter.dim() == 1:
                values.fill_(1.0)
            else:
                used = rows if name in ("tokens.weight", "head.weight") else parameter.shape[0]
                _fill(values, part, name, seed, _std(model, name), used)


def _fill(values: Tensor, part: Part, name: str, seed: int, std: float, used: int) -> None:
    """Normal values up to row `used` of the whole parameter, zeros in the rows that pad the vocabulary."""
    first, width = part.offset[0], math.prod(part.whole[1:])
    count = min(max(used - first, 0), values.shape[0])
    values[count:].zero_()
    if not count:
        return
    whole = values.shape[1:] == part.whole[1:]
    rows = values[:count] if whole else torch.empty(count, *part.whole[1:])
    fill_normal(rows, name, seed, std, first * width, used * width)
    if not whole:
        for dim in range(1, values.dim()):
            rows = rows.narrow(dim, part.offset[dim], values.shape[dim])
        values[:count].copy_(rows)


def _std(model: GPT | BERT, name: str) -> float:
    """Layers that write to the residual stream start smaller (Radford et al. 2019)."""
    config = model.config
    writes = name.startswith("layers.") and name.endswith((".output.weight", ".experts.output"))
    return config.init_std / math.sqrt(2 * config.num_layers) if writes else config.init_std
