"""Tables over all of Unicode, made once for a machine: what takes a tenth of a second to make is mapped into memory in none.

They lie beside the compiled kernels, named by all that they follow from, and processes that map one share its memory.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from megadata.errors import OutputError
from megadata.kernels.base import cache_root
from megadata.runtime.files import atomic_write, write_json

Table = NDArray[np.generic]


def kept_tables(
    name: str, sources: Sequence[str], libraries: Sequence[str], make: Callable[[], tuple[Table, ...]]
) -> tuple[Table, ...]:
    """What `make` returns, read-only, from the cache where it is there.

    Parameters
    ----------
    sources : files of Python whose code the tables follow from.
    libraries : names and versions of what else they follow from; Unicode's own need not be among them.
    """
    digest = hashlib.sha256(" ".join((unicodedata.unidata_version, np.__version__, *libraries)).encode())
    for source in sources:
        digest.update(Path(source).read_bytes())
    folder = cache_root() / "tables" / f"{name}-{digest.hexdigest()[:16]}"
    try:
        return _load(folder)
    except (OSError, ValueError):  # not made yet, or damaged
        made = make()
    try:
        for at, table in enumerate(made):
            with atomic_write(folder / f"{at}.npy") as file:
                np.save(file, table)
        write_json(folder / "digests.json", [_digest(table) for table in made])
    except (OSError, OutputError):  # the cache is there to save time only
        pass
    for table in made:
        table.setflags(write=False)
    return made


def _load(folder: Path) -> tuple[Table, ...]:
    digests = orjson.loads((folder / "digests.json").read_bytes())
    found = tuple(np.asarray(np.load(folder / f"{at}.npy", mmap_mode="r")) for at in range(len(digests)))
    if [_digest(table) for table in found] != digests:
        raise ValueError("a table is damaged")
    return found


def _digest(table: Table) -> str:
    return hashlib.sha256(np.ascontiguousarray(table).data).hexdigest()
