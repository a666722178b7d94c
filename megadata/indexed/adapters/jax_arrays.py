"""The batches of a loader as JAX arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from megadata.indexed.loader import Loader


def jax_batches(loader: Loader, sharding: Any | None = None) -> Iterator[dict[str, Any]]:
    """Mappings of ``input_ids``, ``labels``, ``loss_mask`` and ``position_ids``; integers as int32, which JAX has by default.

    The loader goes on as they are taken, so its `state_dict` is the state. For numpy arrays take the loader itself.

    Parameters
    ----------
    loader : Loader
        With several processes each has its own: ``rank=jax.process_index(), world_size=jax.process_count()``.
    sharding : jax.sharding.Sharding, optional
        How the global batch is laid out over devices; each process gives its rows. By default all lies on the default device.
    """
    import jax

    for batch in loader:
        arrays = {
            "input_ids": batch.input_ids.astype(np.int32),
            "labels": batch.labels.astype(np.int32),
            "loss_mask": np.ascontiguousarray(batch.loss_mask),
            "position_ids": batch.position_ids.astype(np.int32),
        }
        if sharding is None:
            yield {name: jax.numpy.asarray(array) for name, array in arrays.items()}
        else:
            yield {
                name: jax.make_array_from_process_local_data(sharding, array, (loader.batch_size, *array.shape[1:]))
                for name, array in arrays.items()
            }
