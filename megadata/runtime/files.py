"""Files that appear whole or not at all: atomic writes, JSON, digests, and the lock of an output folder."""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import io
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

import orjson

from megadata.errors import CorpusError, OutputError

_BLOCK = 1 << 20
_TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp", re.DOTALL)
"""Names that `temporary_name` gives."""


def temporary_name(path: Path) -> Path:
    """A name beside `path` that no other process uses; files so named are never read and may be deleted."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def explain(error: OSError, path: Path | str) -> OutputError:
    """The sentence for a failed write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(
            f"{path}: the disk is full; free some space and run the same command again, it goes on where it stopped"
        )
    return OutputError(f"{path}: cannot be written: {error.strerror}; check the path and its permissions")


@contextmanager
def atomic_write(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file and rename it to `path` when the block ends well.

    With `sync` the bytes are on disk before the rename, so a power cut leaves the old file or the new one, never half of it.
    What fails in the block for other reasons than writing here, such as reading elsewhere, keeps its own error.
    """
    temporary = temporary_name(path)
    try:
        with _failed_write_of(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = io.BufferedWriter(_Target(temporary, path))
        with file:
            yield file
            with _failed_write_of(path):
                file.flush()
                if sync:
                    os.fsync(file.fileno())
        with _failed_write_of(path):
            temporary.replace(path)
            if sync:
                sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def _failed_write_of(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise explain(error, path) from error


class _Target(io.FileIO):
    """A temporary file whose failures are told of the file it is for."""

    def __init__(self, temporary: Path, path: Path) -> None:
        super().__init__(temporary, "w")
        self._path = path

    def write(self, data: Any, /) -> int:
        with _failed_write_of(self._path):
            return super().write(data)

    def truncate(self, size: int | None = None, /) -> int:
        with _failed_write_of(self._path):
            return super().truncate(size)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any, *, sync: bool = True) -> None:
    """Write JSON, indented, atomically."""
    with atomic_write(path, sync=sync) as file:
        file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def read_json(path: Path) -> Any:
    """Read a JSON file; `CorpusError` names the file when it is missing or damaged."""
    try:
        return orjson.loads(path.read_bytes())
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}; check the path") from error
    except orjson.JSONDecodeError as error:
        raise CorpusError(
            f"{path}: expected JSON, found something else ({error}); delete it or write it again"
        ) from error


def digest_of(file: IO[bytes], length: int = -1) -> str:
    """SHA-256, in hexadecimal, of the next `length` bytes (all that are left when negative)."""
    digest = hashlib.sha256()
    left = length
    while left != 0:
        block = file.read(_BLOCK if left < 0 else min(_BLOCK, left))
        if not block:
            break
        digest.update(block)
        left -= len(block) if left > 0 else 0
    return digest.hexdigest()


def digest_file(path: Path | str) -> str:
    """SHA-256 of a local file, in hexadecimal."""
    with open(path, "rb") as file:
        return digest_of(file)


def remove_temporaries(folder: Path) -> None:
    """Delete what killed runs left half-written directly in `folder`."""
    for leftover in folder.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(leftover.name) and leftover.is_file():
            leftover.unlink(missing_ok=True)


def remove_temporaries_of(path: Path) -> None:
    """Delete what killed runs left half-written of one file."""
    for leftover in path.parent.glob(f"{glob.escape(f'.{path.name}.')}*.tmp"):
        if _TEMPORARY.fullmatch(leftover.name):
            leftover.unlink(missing_ok=True)


@contextmanager
def lock_folder(folder: Path, option: str = "-o") -> Iterator[None]:
    """Hold `folder` for this process; a second run that wants it gets one clear sentence, with the `option` that named it."""
    path = folder / ".lock"
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = path.open("a+b")
        except OSError as error:
            for place in (*reversed(folder.parents), folder):
                if place.exists() and not place.is_dir():
                    raise OutputError(f"{place}: expected a folder, found a file; choose another {option}") from error
            raise explain(error, folder) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise OutputError(
                f"{folder}: another megadata run is writing here; wait for it or choose another {option}"
            ) from error
        if _same_file(file, path):
            break
        file.close()  # its holder deleted it between our opening and locking it
    with file:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _same_file(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
