"""A blend in Megatron-core's order: what it may say, and how its words become Megatron's arguments.

A source is an entry of ``--data-path``, its weight the number before it. With `split` the blend is ``--data-path`` and
``--split``, without it ``--train-data-path``, where a lone dataset is read without a blend around it whatever its weight.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from megadata.errors import ConfigError
from megadata.indexed.megatron import split_range
from megadata.indexed.megatronsamples import MegatronOrder, MegatronSamples
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.sources import Group, exact
from megadata.indexed.stream import Piece
from megadata.indexed.vocabulary import common_vocabulary

if TYPE_CHECKING:
    from megadata.indexed.blend import Blend


def check_megatron(blend: Blend) -> None:
    """Refuse, with `ConfigError`, what Megatron has no order for."""
    unknown = {
        "phases": bool(blend.phases),
        "locality": blend.locality,
        f"weigh_by {blend.weigh_by}": blend.weigh_by not in (None, "explicit"),
        "temperature": blend.temperature != 1,
        "groups of sources": any(isinstance(node, Group) for node in blend.sources),
        "max_epochs": any(node.max_epochs is not None for node in blend.sources),
    }
    for what, there in unknown.items():
        if there:
            raise ConfigError(f"{blend.origin}: Megatron's order knows no {what}; remove that or `order: megatron`")
    for source in blend.leaves:
        if len(source.data) > 1:
            raise ConfigError(
                f"{blend.origin}: Megatron's order weighs each dataset by itself, source {source.name!r} has "
                f"{len(source.data)}; make each of them a source"
            )
    weights = [source.weight for source in blend.sources]
    if any(weight is not None for weight in weights) and not all(weights):
        name = next(source.name for source in blend.sources if not source.weight)
        raise ConfigError(
            f"{blend.origin}: Megatron's order needs a weight above 0 for every source or for none, {name!r} has not"
        )


def megatron_samples(
    blend: Blend, order: MegatronOrder, sequence_length: int, part: int, count: int | None
) -> MegatronSamples:
    """The samples of a blend, or of its validation or test part (1, 2), in Megatron's order; see `Blend.samples`."""
    sources = blend.leaves
    datasets = [IndexedDataset(source.data[0]) for source in sources]
    if order.samples is None or part > 0:
        order = dataclasses.replace(order, samples=count)
    for source, dataset in zip(sources, datasets, strict=True):
        if dataset.meta is not None and dataset.meta.pack is not None:
            raise ConfigError(
                f"{blend.origin}: source {source.name!r} is packed, Megatron's order is that of plain token files; "
                "tokenize without --pack"
            )
    weights = [None if source.weight is None else float(exact(source.weight)) for source in sources]
    given = [weight for weight in weights if weight is not None]
    single = len(datasets) == 1 and (not given or blend.split is None)
    return MegatronSamples(
        [source.name for source in sources],
        datasets,
        [split_range(blend.split, part, len(dataset)) for dataset in datasets],
        None if single or not given else given,
        single=single,
        sequence_length=sequence_length,
        seed=blend.seed,
        vocabulary=common_vocabulary(datasets),
        order=order,
    )


def cut_as_megatron(prefix: str, split: Sequence[int], part: int) -> Piece:
    """The `part`-th range of a dataset, cut where Megatron cuts: at sequences."""
    dataset = IndexedDataset(prefix)
    sequences = split_range(split, part, len(dataset))
    start, stop = dataset.starts(np.array([sequences.start, sequences.stop])).tolist()
    return Piece(dataset, start, stop)
