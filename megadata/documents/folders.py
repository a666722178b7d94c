"""Which files of a folder are inputs: our own shards, datasets of Hugging Face's libraries, else everything that is not hidden.

The rules work on the names of the files below a folder, so they are the same for local folders and for those behind URLs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from megadata import formats
from megadata.errors import CorpusError
from megadata.runtime.manifest import STATE

MANIFEST = "manifest.json"
_SAVED = ("state.json", "dataset_info.json")
_NOTES = frozenset({"dataset_info.json", "dataset_dict.json", "dataset_infos.json"})
"""Files that `datasets` writes beside its data."""

Load = Callable[[str], bytes]
"""Bytes of a file by its path below the folder."""
_Tree = dict[str, Any]
"""Name -> tree of a folder, or None for a file."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A file of a folder that is an input."""

    name: str
    """Path below the folder."""
    named: bool = False
    """Whether something names the file itself, so that it must be readable."""


@dataclass(slots=True)
class Contents:
    """The inputs of a folder, in order, and the identities of the megadata steps that made some of them."""

    files: list[Chosen] = field(default_factory=list)
    upstream: list[str] = field(default_factory=list)


def contents(names: Iterable[str], load: Load, place: str) -> Contents:
    """Choose among all files below a folder, in the order of their names.

    - A folder that megadata wrote stands for its shards.
    - One that `datasets` saved to disk stands for the data files that its ``state.json`` names.
    - The cache of a repository of Hugging Face's hub stands for one snapshot: what ``refs/main`` names, else the last by name.
    - Of any other folder, all files are inputs whose path holds no name that begins with a dot.

    Parameters
    ----------
    names : paths below the folder, with ``/``; a path that ends in ``/`` is a folder that is there and not listed.
    place : the folder, as messages name it.

    Raises
    ------
    CorpusError
        Where a step that writes into a folder below is not finished, or a dataset lacks a file that it names.
    """
    tree: _Tree = {}
    for name in names:
        *folders, last = name.split("/")
        below = tree
        for folder in folders:
            below = below.setdefault(folder, {})
        if last:
            below[last] = None
    found = Contents()
    _visit(tree, "", load, place, found)
    return found


def _visit(tree: _Tree, path: str, load: Load, place: str, found: Contents) -> None:
    here = f"{place}/{path}".rstrip("/")
    if MANIFEST in tree and (manifest := _manifest(load(path + MANIFEST), here)) is not None:
        found.upstream.append(manifest["identity"])
        found.files += [Chosen(path + name, True) for name in _shards(manifest)]
        return
    if STATE in tree:
        raise CorpusError(f"{here}: the step that writes here is not finished; run its command again first")
    if all(name in tree for name in _SAVED):
        found.files += [Chosen(path + name, True) for name in _saved(tree, load(path + _SAVED[0]), here)]
        return
    if tree.get("snapshots") and "blobs" in tree:
        revision = _revision(tree, path, load)
        _visit(tree["snapshots"][revision], f"{path}snapshots/{revision}/", load, place, found)
        return
    for name, below in sorted(tree.items()):
        if name.startswith("."):
            continue
        if below is not None:
            _visit(below, f"{path}{name}/", load, place, found)
        elif name not in _NOTES:
            found.files.append(Chosen(path + name))


def _manifest(data: bytes, here: str) -> dict[str, Any] | None:
    """A manifest of ours; None for other people's files of that name."""
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(content, dict) or content.get("format") != "manifest":
        return None
    checked = formats.check("manifest", content, f"{here}/{MANIFEST}")
    return checked if "identity" in checked and "outputs" in checked else None


def _shards(manifest: dict[str, Any]) -> Iterator[str]:
    for name in sorted(output["name"] for output in manifest["outputs"]):
        *folders, last = name.split("/")
        if last.startswith("docs-") and "removed" not in folders:
            yield name


def _saved(tree: _Tree, state: bytes, here: str) -> Iterator[str]:
    """Data files of a dataset saved to disk, in the order of its rows."""
    try:
        files = [str(one["filename"]) for one in orjson.loads(state)["_data_files"]]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise CorpusError(
            f"{here}/{_SAVED[0]}: expected the data files of a saved dataset, found none; save the dataset again"
        ) from error
    for name in files:
        if name not in tree:
            raise CorpusError(f"{here}/{name}: {_SAVED[0]} names this file, and it is not there; copy the whole folder")
        yield name


def _revision(tree: _Tree, path: str, load: Load) -> str:
    snapshots: _Tree = tree["snapshots"]
    if "main" in (tree.get("refs") or {}):
        main = load(f"{path}refs/main").decode("utf-8", "replace").strip()
        if main in snapshots:
            return main
    return max(name for name in snapshots)
