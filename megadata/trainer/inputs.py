"""Batches as tensors: the keyword arguments of a model's forward."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from megadata.indexed.batch import Batch
from megadata.trainer.data import document_numbers


def model_inputs(batch: Batch, device: torch.device, kind: str) -> dict[str, Tensor]:
    """A batch as keyword arguments of the model's forward."""
    inputs = {
        "tokens": _tensor(batch.input_ids, device),
        "labels": _tensor(batch.labels, device).clamp(min=0),
        "weights": _tensor(batch.loss_mask, device),
    }
    if not bool((batch.position_ids == np.arange(batch.position_ids.shape[1])).all()):
        inputs["positions"] = _tensor(batch.position_ids, device)
    documents = document_numbers(batch)
    if documents is not None:
        inputs["documents"] = _tensor(documents, device)
    if kind == "bert":
        if batch.token_type_ids is not None:
            inputs["segments"] = _tensor(batch.token_type_ids, device)
        if batch.is_swapped is not None:
            inputs["order"] = _tensor(batch.is_swapped.astype(np.int64), device)
    return inputs


def pinned(batch: Batch) -> Batch:
    """The batch with its arrays in memory that a GPU reads by itself, so that copies to it need not be waited for."""
    arrays = {f.name: getattr(batch, f.name) for f in fields(batch)}
    return replace(
        batch,
        **{
            name: torch.from_numpy(np.require(array, requirements=("C", "W"))).pin_memory().numpy()
            for name, array in arrays.items()
            if array is not None
        },
    )


def _tensor(values: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(np.require(values, requirements=("C", "W"))).to(device, non_blocking=True)
