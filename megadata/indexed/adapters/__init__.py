"""The same samples and tokens for other libraries; each is imported when its adapter is called.

>>> import megadata
>>> dataset = megadata.adapters.torch_dataset(samples)             # doctest: +SKIP
>>> batches = megadata.adapters.torch_batches(loader)              # doctest: +SKIP
>>> dataset = megadata.adapters.hf_dataset(samples)                # doctest: +SKIP
>>> source = megadata.adapters.grain_source(samples)               # doctest: +SKIP
>>> batches = megadata.adapters.jax_batches(loader)                # doctest: +SKIP
>>> data = megadata.adapters.lightning_data(blend, 1024, 32, 1000) # doctest: +SKIP
>>> megadata.adapters.nanogpt({"train": ds, "val": held_out}, "data/mine")  # doctest: +SKIP
"""

from megadata.indexed.adapters.grain import grain_source
from megadata.indexed.adapters.hugging_face import hf_dataset
from megadata.indexed.adapters.jax_arrays import jax_batches
from megadata.indexed.adapters.lightning import lightning_data
from megadata.indexed.adapters.nanogpt import nanogpt
from megadata.indexed.adapters.pytorch import torch_batches, torch_dataset

__all__ = ["grain_source", "hf_dataset", "jax_batches", "lightning_data", "nanogpt", "torch_batches", "torch_dataset"]
