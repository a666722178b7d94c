"""The same samples and tokens for other libraries; each is imported when its adapter is called.

>>> import megadata
>>> dataset = megadata.adapters.torch_dataset(samples)            # doctest: +SKIP
>>> dataset = megadata.adapters.hf_dataset(samples)               # doctest: +SKIP
>>> megadata.adapters.nanogpt({"train": ds, "val": held_out}, "data/mine")  # doctest: +SKIP
"""

from megadata.indexed.adapters.hugging_face import hf_dataset
from megadata.indexed.adapters.nanogpt import nanogpt
from megadata.indexed.adapters.pytorch import torch_dataset

__all__ = ["hf_dataset", "nanogpt", "torch_dataset"]
