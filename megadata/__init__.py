"""From raw web pages, books and Wikipedia dumps to a trained GPT or BERT.

What a user needs is here by name and loaded when it is first asked for, so that ``import megadata`` costs nothing and needs
neither torch nor numpy::

    import megadata

    ds = megadata.IndexedDataset("data/web")
    blend = megadata.Blend.load("blend.yaml")
    loader = megadata.Loader(blend.samples(1024), batch_size=32)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from megadata import errors, trainer
    from megadata.indexed import adapters
    from megadata.indexed.batch import Batch
    from megadata.indexed.blend import Blend
    from megadata.indexed.loader import Loader
    from megadata.indexed.masking import MaskedSamples
    from megadata.indexed.reader import IndexedDataset
    from megadata.indexed.writer import IndexedWriter

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "Blend",
    "IndexedDataset",
    "IndexedWriter",
    "Loader",
    "MaskedSamples",
    "__version__",
    "adapters",
    "errors",
    "trainer",
]

_NAMES = {
    "Batch": "megadata.indexed.batch",
    "Blend": "megadata.indexed.blend",
    "IndexedDataset": "megadata.indexed.reader",
    "IndexedWriter": "megadata.indexed.writer",
    "Loader": "megadata.indexed.loader",
    "MaskedSamples": "megadata.indexed.masking",
}
_MODULES = {"adapters": "megadata.indexed.adapters", "errors": "megadata.errors", "trainer": "megadata.trainer"}


def __getattr__(name: str) -> Any:
    """Load a public name at its first use."""
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    if name in _MODULES:
        return import_module(_MODULES[name])
    raise AttributeError(f"module 'megadata' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
