"""Which files of an output folder are ours: no others are replaced or deleted.

The manifest names the shards. From before the first of them is moved to its place a note in ``.megadata`` names them too, and the
files beside them, so that what a kill leaves in an output without a manifest is known as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from megadata.errors import OutputError
from megadata.runtime.files import read_json, write_json
from megadata.runtime.manifest import STATE, Manifest

NOTE = "files.json"
_SHARD = re.compile(r"docs-\d{5,}\.(?:jsonl\.zst|parquet)")


def is_shard(name: str) -> bool:
    """Whether a file's name is one that we give to shards."""
    return _SHARD.fullmatch(name) is not None


def known(output: Path, beside: Iterable[str] = ()) -> set[str]:
    """Names, relative to an output, of the files that its manifest or the note says are ours.

    An output whose ``.megadata`` was deleted has its manifest alone, which is taken to vouch for the files `beside` the shards.
    """
    manifest, note = Manifest.load(output), output / STATE / NOTE
    mine = {one["name"] for one in manifest.outputs} if manifest is not None else set()
    if note.exists():
        return mine.union(read_json(note))
    return mine.union(beside) if manifest is not None else mine


def refuse_foreign(output: Path, folders: Iterable[str | Path], beside: Iterable[str]) -> None:
    """Refuse an output that holds files of the names we write, shards in `folders` or files `beside` them, which are not ours.

    Raises
    ------
    OutputError
        That names the first such file.
    """
    there = [name for name in beside if (output / name).exists()]
    for folder in folders:
        if (output / folder).is_dir():
            there += [(Path(folder) / p.name).as_posix() for p in (output / folder).iterdir() if is_shard(p.name)]
    _refuse(output, there, known(output, beside))


def claim(output: Path, names: Iterable[str], beside: Iterable[str] = ()) -> set[str]:
    """Note, before they are written, that files are ours; the names of all that are."""
    names = {*names, *beside}
    mine = known(output, beside)
    _refuse(output, [name for name in names if (output / name).exists()], mine)
    write_json(output / STATE / NOTE, sorted(mine | names))
    return mine | names


def settle_claim(output: Path, names: Iterable[str]) -> None:
    """Note which files of a finished output are ours: `names` and what was ours before, of these the ones that are there."""
    ours = known(output).union(names)
    write_json(output / STATE / NOTE, sorted(name for name in ours if (output / name).exists()))


def _refuse(output: Path, there: Iterable[str], mine: set[str]) -> None:
    for name in sorted(set(there) - mine):
        raise OutputError(
            f"{os.path.normpath(output / name)}: expected none of this name, or one that megadata made here, found another, "
            "which would be replaced; move it away or choose another -o"
        )
