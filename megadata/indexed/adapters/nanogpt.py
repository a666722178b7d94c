"""Tokens as the flat files that nanoGPT maps: ``train.bin`` and ``val.bin``, uint16, no header."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from megadata.indexed.foreign.flat import write_nanogpt
from megadata.indexed.reader import IndexedDataset


def nanogpt(splits: Mapping[str, IndexedDataset | str | Path], folder: str | Path) -> list[Path]:
    """Write FOLDER/NAME.bin for each split; nanoGPT looks for ``train`` and ``val``.

    Parameters
    ----------
    splits : mapping of name to dataset or prefix
    folder : str or Path
        Made where it is not there.

    Returns
    -------
    list of Path
        The files, in the order of the splits.

    Raises
    ------
    ConfigError
        If an id does not fit uint16.
    """
    out = []
    for name, data in splits.items():
        dataset = data if isinstance(data, IndexedDataset) else IndexedDataset(data)
        out += write_nanogpt(dataset, Path(folder), name)
    return out
