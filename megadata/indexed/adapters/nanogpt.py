"""Tokens as the flat files that nanoGPT maps: ``train.bin`` and ``val.bin``, uint16, no header."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from megadata.errors import ConfigError
from megadata.indexed.reader import IndexedDataset

CHUNK = 1 << 24
"""Tokens converted at a time."""


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
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, data in splits.items():
        dataset = data if isinstance(data, IndexedDataset) else IndexedDataset(data)
        path = Path(folder) / f"{name}.bin"
        temporary = path.with_name(path.name + ".tmp")
        with temporary.open("wb") as file:
            for start in range(0, dataset.tokens, CHUNK):
                tokens = dataset.window(start, min(CHUNK, dataset.tokens - start))
                if tokens.dtype != np.uint16 and (tokens.min() < 0 or tokens.max() >= 1 << 16):
                    raise ConfigError(
                        f"{dataset.prefix}: nanoGPT's files hold uint16, id {tokens.max()} does not fit; "
                        "tokenize with a vocabulary of at most 65,536 entries"
                    )
                file.write(tokens.astype("<u2").tobytes())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        out.append(path)
    return out
