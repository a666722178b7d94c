"""A saved index: what documents were kept, so that later documents can be compared with them.

``INDEX/index.json`` lists *parts*, one for each deduplication that was saved, in order. A part is one file: a JSON header that
says how signatures were made and where the documents lie, then columns of numbers, each from a multiple of 64 bytes, mapped into
memory when they are read. Documents are sorted by digest, band values by value, so both are found by binary search.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from megadata import formats
from megadata.corpus.dedup import normaliser
from megadata.corpus.dedup.config import MinHashConfig
from megadata.errors import ConfigError, CorpusError
from megadata.runtime.files import atomic_write, lock_folder, read_json, write_json
from megadata.runtime.manifest import STATE

LIST = "index.json"
_MAGIC = b"MDDEDUP\0"
_HEAD = struct.Struct("<8sII")  # magic, version, bytes of the header
_ALIGN = 64
_SIGNATURES = "affine32"
_SHINGLE_HASH = 1
"""Version of how shingles and band values are hashed, see `kernels.shingles` and `kernels.minhash`."""


def scheme(config: MinHashConfig) -> dict[str, Any]:
    """All that two sides must have in common for their band values to be comparable."""
    bands, rows = config.shape
    return {
        "signatures": _SIGNATURES,
        "seed": config.seed,
        "bands": bands,
        "rows": rows,
        "shingle": config.shingle,
        "width": config.width,
        "normaliser": normaliser.VERSION,
        "shingle_hash": _SHINGLE_HASH,
    }


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a part."""

    name: str
    dtype: str
    count: int

    @property
    def bytes(self) -> int:
        """Its size on disk, without the padding."""
        return np.dtype(self.dtype).itemsize * self.count


def _places(start: int, columns: Iterable[Column]) -> Iterator[tuple[Column, int]]:
    at = start
    for column in columns:
        at = -(-at // _ALIGN) * _ALIGN
        yield column, at
        at += column.bytes


class PartWriter:
    """Fills the columns of a part, each from its start on, in any order."""

    def __init__(self, file: BinaryIO, header: dict[str, Any], columns: list[Column]) -> None:
        content = {**header, "columns": [[c.name, c.dtype, c.count] for c in columns]}
        raw = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        file.write(_HEAD.pack(_MAGIC, formats.VERSIONS["dedup_index"], len(raw)) + raw)
        self._file = file
        self._next: dict[str, tuple[int, int, np.dtype[Any]]] = {}
        for column, at in _places(_HEAD.size + len(raw), columns):
            self._next[column.name] = (at, at + column.bytes, np.dtype(column.dtype))
            file.truncate(max(at + column.bytes, file.seek(0, os.SEEK_END)))

    def add(self, name: str, values: NDArray[Any]) -> None:
        """Append values to a column."""
        at, stop, dtype = self._next[name]
        data = np.ascontiguousarray(values, dtype).view(np.uint8).reshape(-1)
        if at + data.size > stop:
            raise ValueError(f"column {name}: {at + data.size - stop} bytes too many")
        self._file.seek(at)
        self._file.write(data.data)
        self._next[name] = (at + data.size, stop, dtype)

    def check(self) -> None:
        """All columns must be full."""
        for name, (at, stop, _) in self._next.items():
            if at != stop:
                raise ValueError(f"column {name}: {stop - at} bytes are missing")


@contextmanager
def write_part(path: Path, header: dict[str, Any], columns: list[Column]) -> Iterator[PartWriter]:
    """Write a part that appears when all of it is there."""
    with atomic_write(path) as file:
        writer = PartWriter(file, header, columns)
        yield writer
        writer.check()


@dataclass(frozen=True)
class Part:
    """One part, opened; columns are mapped when they are asked for."""

    path: Path

    @cached_property
    def _head(self) -> tuple[dict[str, Any], int]:
        try:
            with self.path.open("rb") as file:
                raw = file.read(_HEAD.size)
                magic, version, size = _HEAD.unpack(raw) if len(raw) == _HEAD.size else (b"", 0, 0)
                if magic != _MAGIC:
                    raise CorpusError(
                        f"{self.path}: expected a part of a deduplication index, found another kind of file"
                    )
                if version > formats.VERSIONS["dedup_index"]:
                    raise CorpusError(
                        f"{self.path}: index version {version}, this megadata reads up to "
                        f"{formats.VERSIONS['dedup_index']}; upgrade megadata or save the index again"
                    )
                content: dict[str, Any] = orjson.loads(file.read(size))
        except OSError as error:
            raise CorpusError(f"{self.path}: cannot be read: {error.strerror}; check the path") from error
        except orjson.JSONDecodeError as error:
            raise CorpusError(f"{self.path}: the header is damaged; save the index again") from error
        ends = [at + column.bytes for column, at in _places(_HEAD.size + size, _columns(content))]
        if self.path.stat().st_size < max(ends, default=0):
            raise CorpusError(
                f"{self.path}: expected {max(ends)} bytes, found {self.path.stat().st_size}; save the index again"
            )
        return content, _HEAD.size + size

    @property
    def header(self) -> dict[str, Any]:
        """What the part says of itself."""
        return self._head[0]

    @property
    def documents(self) -> int:
        """Documents in the part."""
        return int(self.header["documents"])

    @property
    def has_sets(self) -> bool:
        """Whether the shingle sets themselves are stored."""
        return any(name == "sets" for name, _, _ in self.header["columns"])

    def column(self, name: str) -> NDArray[Any]:
        """A column, mapped."""
        for column, at in _places(self._head[1], _columns(self.header)):
            if column.name == name:
                return (
                    np.memmap(self.path, column.dtype, "r", at, (column.count,))
                    if column.count
                    else np.zeros(0, column.dtype)
                )
        raise KeyError(name)

    def shard_paths(self) -> list[Path] | None:
        """The shards that hold the documents; None where they are not all there, or are not as they were."""
        folder = self.header["folder"]
        for base in (self.path.parent / folder["relative"], Path(folder["absolute"])):
            paths = [base / shard["name"] for shard in self.header["shards"]]
            sizes = [shard["size"] for shard in self.header["shards"]]
            if all(p.is_file() and p.stat().st_size == size for p, size in zip(paths, sizes, strict=True)):
                return paths
        return None

    def lies_in(self, output: Path) -> bool:
        """Whether the part was saved by a deduplication into `output`."""
        folder = self.header["folder"]
        bases = ((self.path.parent / folder["relative"]).resolve(), Path(folder["absolute"]))
        return output.resolve() in bases


def _columns(header: dict[str, Any]) -> list[Column]:
    return [Column(name, dtype, count) for name, dtype, count in header["columns"]]


def _listed(folder: Path) -> list[Path]:
    content = formats.check("dedup_index", read_json(folder / LIST), folder / LIST)
    return [folder / Path(one["name"]).name for one in content["parts"]]


def load_parts(folder: Path, config: MinHashConfig) -> list[Part]:
    """The parts of an index whose scheme is that of `config`.

    Raises
    ------
    CorpusError
        If there is no index, or a part of it is missing or damaged.
    ConfigError
        If it was made with other settings.
    """
    if not (folder / LIST).is_file():
        raise CorpusError(
            f"{folder}: expected an index, found none; make one with `megadata dedup INPUT... -o DIR --save-index {folder}`"
        )
    parts = [Part(path) for path in _listed(folder)]
    wanted = scheme(config)
    for part in parts:
        found = part.header["scheme"]
        different = [name for name in wanted if found.get(name) != wanted[name]]
        if different:
            told = ", ".join(f"{name} {found.get(name)} and not {wanted[name]}" for name in different)
            settable = [name for name in different if hasattr(config, name)]
            if {"bands", "rows"}.intersection(settable):
                settable = [*(n for n in settable if n not in ("bands", "rows")), "bands", "rows"]
            mend = " ".join(f"--set {name}={found.get(name)}" for name in settable)
            raise ConfigError(
                f"{part.path}: the index was made with {told}; "
                + (f"give {mend}, or save a new index" if mend else "save a new index with this megadata")
            )
    return parts


@contextmanager
def held_for_saving(folder: Path, output: Path, labels: Sequence[str]) -> Iterator[None]:
    """Hold the folder of an index from before its parts are read until they are listed anew, so that no other run's part is lost.

    Raises
    ------
    ConfigError
        If something else than an index lies there, or will.
    OutputError
        If another run holds it.
    """
    _refuse_unfit_folder(folder, output, labels)
    try:
        with lock_folder(folder, "--save-index"):
            yield
    finally:
        with suppress(OSError):  # it is empty where nothing was saved
            folder.rmdir()


def _refuse_unfit_folder(folder: Path, output: Path, labels: Sequence[str]) -> None:
    taken = [output / label / below for label in ("", *labels) for below in ("", "removed")]
    if folder.resolve() in (place.resolve() for place in taken):
        raise ConfigError(f"--save-index {folder}: the shards of this run go there; give the index a folder of its own")
    if (folder / "manifest.json").exists() or (folder / STATE).exists():
        raise ConfigError(
            f"--save-index {folder}: expected an index or a new folder, found the output of another step; "
            "give the index a folder of its own"
        )
    foreign = [path.name for path in sorted(folder.glob("*.idx")) if not _is_part(path)]
    if foreign:
        raise ConfigError(
            f"--save-index {folder}: expected an index or a new folder, found {foreign[0]}, which is of another kind; "
            "give the index a folder of its own"
        )


def _is_part(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def append_part(folder: Path, name: str, base: list[Part]) -> None:
    """List the parts of `base`, copied into `folder` where they lie elsewhere, and the new part `name`, which lies there.

    Parts that were listed and are no more are deleted, and no other file. The caller holds the folder (`held_for_saving`).
    """
    before = _listed(folder) if (folder / LIST).exists() else []
    listed = []
    for part in [*base, Part(folder / name)]:
        target = folder / part.path.name
        if not target.exists() or not target.samefile(part.path):
            _adopt(part, target)
        listed.append({"name": target.name, "documents": part.documents, "size": target.stat().st_size})
    write_json(folder / LIST, formats.stamp("dedup_index", {"parts": listed}))
    kept = {one["name"] for one in listed}
    for old in before:
        if old.name not in kept:
            old.unlink(missing_ok=True)


def _adopt(part: Part, target: Path) -> None:
    """Copy a part of another index; its way to the shards is written anew."""
    folder = part.header["folder"]
    place = (part.path.parent / folder["relative"]).resolve()
    base = place if place.is_dir() else Path(folder["absolute"])
    header = {**part.header, "folder": folder_of(base, target.parent)}
    columns = _columns(header)
    with write_part(target, {k: v for k, v in header.items() if k != "columns"}, columns) as writer:
        for column in columns:
            values = part.column(column.name)
            for start in range(0, values.size, 1 << 22):
                writer.add(column.name, values[start : start + (1 << 22)])


def folder_of(output: Path, index: Path) -> dict[str, str]:
    """How a part names the folder of its shards: relative to the index, so that both can move together, and as it is."""
    return {"relative": os.path.relpath(output.resolve(), index.resolve()), "absolute": str(output.resolve())}
