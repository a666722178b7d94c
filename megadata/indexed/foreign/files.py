"""What exports and imports share: cutting a dataset into files, files that appear whole, documents on the way in."""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from megadata.errors import ConfigError, CorpusError, OutputError
from megadata.indexed.format import Integers, Tokens
from megadata.indexed.reader import IndexedDataset

SHARD_BYTES = 64 << 20
"""Bytes of tokens in a file of the chunked formats."""
READ_BYTES = 32 << 20
"""Bytes of tokens that an import holds at a time."""
MOST_DOCUMENTS = 1 << 20
"""Documents in a file of the chunked formats, and rows handled at a time."""

NOTE = Path(".megadata") / "files.json"
"""Where a folder's note of the files that are ours lies (as `megadata.runtime.owned` keeps it)."""
INDEXES = {"index.json", "state.json"}
"""Files whose presence says that an export is complete: written last."""

Advance = Callable[[int], object]
"""Told how many bytes more are done."""


def quiet(_: int) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole documents on their way into a dataset."""

    tokens: Tokens
    """Tokens of all documents, one after another."""
    lengths: Integers
    """Tokens of each document, shape (D,); with `bounds` of each sequence, shape (S,)."""
    rows: dict[str, list[str | None]] = field(default_factory=dict)
    """What is known of the documents: columns ``id``, ``source``, ``url`` of D entries, where there are any."""
    bounds: Integers | None = None
    """Document d is the sequences [bounds[d], bounds[d + 1]), shape (D + 1,); None where a document is one sequence."""

    @property
    def ends(self) -> Integers:
        """Token behind the last of each document, shape (D,)."""
        ends: Integers = np.concatenate(([0], np.cumsum(self.lengths, dtype=np.int64)))
        return ends[1:] if self.bounds is None else ends[self.bounds[1:]]

    @property
    def sequences(self) -> tuple[Integers, Integers]:
        """Tokens of each sequence, and the first one of each document: one without tokens has none, as Megatron writes it."""
        if self.bounds is not None:
            return self.lengths, self.bounds[:-1]
        filled = self.lengths > 0
        return self.lengths[filled], np.cumsum(filled) - filled


def cut(
    data: IndexedDataset,
    most_tokens: int,
    most_documents: int = MOST_DOCUMENTS,
    first: int = 0,
    last: int | None = None,
) -> Iterator[tuple[int, int]]:
    """Cut the documents [first, last) into ranges of at most so many tokens and documents; a longer one is a range of its own."""

    def start(document: int) -> int:
        return int(data.document_starts(np.array([document]))[0])

    end = data.documents if last is None else last
    while first < end:
        ends = range(first + 1, min(end, first + most_documents) + 1)
        stop = first + max(1, bisect_right(ends, start(first) + most_tokens, key=start))
        yield first, stop
        first = stop


def documents(data: IndexedDataset, first: int, last: int) -> tuple[Tokens, Integers]:
    """Tokens of the documents [first, last), and the length of each."""
    borders = data.document_starts(np.arange(first, last + 1))
    return data.window(int(borders[0]), int(borders[-1] - borders[0])), np.diff(borders)


class Folder:
    """A folder being written: each file appears whole, nothing stale stays beside the new ones, and files that are not ours stay.

    The names of what was written are kept in ``.megadata/files.json``, so that the same export may be written again.

    Parameters
    ----------
    path : Path
        Made where it is not there.
    pattern : str
        Glob of the files that readers of this export look for.
    names : iterable of str
        The files that will be written.

    Raises
    ------
    OutputError
        If files of these names or of the pattern lie there which no export of ours wrote.
    """

    def __init__(self, path: Path, pattern: str, names: Iterable[str]) -> None:
        self.path = path
        self.written: list[Path] = []
        note = path / NOTE
        expected = set(names)
        try:
            path.mkdir(parents=True, exist_ok=True)
            there = {one.name for one in path.glob(pattern)} | {name for name in expected if (path / name).exists()}
            ours = set(json.loads(note.read_bytes())) if note.exists() else set()
            for name in sorted(there - ours):
                raise OutputError(
                    f"{path / name}: expected none of this name, or one that megadata wrote here, found another, which would be "
                    "replaced or read as a part of the export; move it away or choose another folder"
                )
            for name in there - expected:
                (path / name).unlink()
            note.parent.mkdir(exist_ok=True)
            note.write_text(json.dumps(sorted((ours - there) | expected)), encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}; choose another folder") from error
        except ValueError as error:
            raise OutputError(f"{note}: expected a list of names, found something else; delete it") from error
        for name in INDEXES & expected:
            (path / name).unlink(missing_ok=True)

    def write(self, name: str, pieces: Iterable[Any]) -> int:
        """Write one file from pieces of bytes; return its size."""
        target = self.path / name
        temporary = self.path / f".{name}.tmp"
        size = 0
        try:
            with temporary.open("wb") as file:
                for piece in pieces:
                    size += file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except OSError as error:
            raise OutputError(
                f"{target}: cannot be written: {error.strerror}; free space or choose another folder"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        self.written.append(target)
        return size

    def adopt(self, temporary: Path, name: str) -> None:
        """Give a finished temporary file of this folder its name."""
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(self.path / name)
        self.written.append(self.path / name)


def raw(array: Tokens) -> memoryview:
    """The little-endian bytes of a flat array."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data.cast("B")


def narrow(tokens: Tokens, where: str, whose: str) -> Tokens:
    """`tokens` as uint16, or `ConfigError` that names the id which does not fit."""
    if tokens.size and tokens.dtype != np.uint16:
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= 1 << 16:
            raise ConfigError(
                f"{where}: {whose} hold uint16, id {low if low < 0 else high} does not fit; "
                "tokenize with a vocabulary of at most 65,536 entries"
            )
    return tokens.astype("<u2", copy=False)


def mapped(path: Path, dtype: Any = np.uint8, offset: int = 0) -> Tokens:
    """The entries of a file from byte `offset` on as a read-only array; a rest that is no whole entry is an error."""
    kind = np.dtype(dtype)
    try:
        size = path.stat().st_size - offset
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}; check the path") from error
    if size < 0 or size % kind.itemsize:
        raise CorpusError(
            f"{path}: expected whole {kind.name} tokens of {kind.itemsize} bytes, found {max(0, size)} bytes; "
            "the file was cut short, or its tokens are of another type (--dtype)"
        )
    if size == 0:
        return np.empty(0, kind)
    return np.memmap(path, kind, "r", offset, (size // kind.itemsize,))


def files_of(path: Path, *patterns: str) -> list[Path]:
    """The files that `path` stands for, in order of their names: itself, those of a glob, or those of a folder that match.

    Raises
    ------
    CorpusError
        If there is none.
    """
    if path.is_dir():
        found = sorted({one for pattern in patterns for one in path.glob(pattern) if one.is_file()})
    elif path.exists():
        found = [path]
    else:
        found = sorted(one for one in path.parent.glob(path.name) if one.is_file())
    if not found:
        raise CorpusError(
            f"{path}: expected files ({', '.join(patterns)}), found none; check the path, or name the format with --from"
        )
    return found


def in_batches(tokens: Tokens, lengths: Integers) -> Iterator[Batch]:
    """Whole documents of a long array, about `READ_BYTES` at a time."""
    most = max(1, READ_BYTES // tokens.dtype.itemsize)
    ends = np.cumsum(lengths, dtype=np.int64)
    first = 0
    while first < lengths.size:
        start = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, start + most, side="right")))
        yield Batch(np.array(tokens[start : int(ends[last - 1])]), lengths[first:last])
        first = last
