"""Write an indexed dataset: streaming, in bounded memory, complete or not there at all.

`IndexedWriter` appends documents in order. Writers that know where every token goes (the second pass of a shuffle) use the plain
functions beneath it from as many processes as they like: `preallocate`, `write_tokens` and, once, `finish`.

Everything is written under a temporary name, flushed to disk, and renamed: .bin, then .idx, then .meta.json, whose presence says
that the dataset is complete. Other sidecars are to be put in place before `finish`.
"""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from megadata.errors import ConfigError, OutputError
from megadata.indexed.files import Bytes, open_bytes
from megadata.indexed.format import Tokens, bin_path, docs_path, idx_path, meta_path, token_dtype, write_index
from megadata.indexed.meta import BLOCK_BYTES, Meta, digest_of_blocks, meta_temporary, write_meta
from megadata.indexed.reader import sampled_fingerprint

READ_BYTES = 4 << 20
NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
"""What file systems that cannot claim room answer."""


def bin_temporary(prefix: str | Path) -> Path:
    """Where the tokens of PREFIX are written before they are complete."""
    return Path(f"{prefix}.bin.tmp")


def refuse_foreign(prefix: str | Path) -> None:
    """Refuse to replace a .bin or .idx that no writer of ours left there: ours have a sidecar, complete or under way.

    Raises
    ------
    OutputError
        If there is one.
    """
    if meta_path(prefix).exists() or meta_temporary(prefix).exists():
        return
    for path in (bin_path(prefix), idx_path(prefix)):
        if path.exists():
            raise OutputError(
                f"{path}: expected none of this name, or one with a sidecar of megadata, found another, which would be "
                "replaced; move it away or choose another -o"
            )


def preallocate(path: str | Path, size: int) -> None:
    """Make `path` a file of `size` bytes, claiming the room on disk now rather than at the last token.

    Raises
    ------
    OutputError
        If the disk has no room for it.
    """
    try:
        with Path(path).open("wb") as file:
            file.truncate(size)
            if size and hasattr(os, "posix_fallocate"):
                try:
                    os.posix_fallocate(file.fileno(), 0, size)
                except OSError as error:
                    if error.errno not in NOT_SUPPORTED:
                        raise
    except OSError as error:
        Path(path).unlink(missing_ok=True)
        raise OutputError(
            f"{path}: no room for {size} bytes of tokens: {error.strerror}; free space or write elsewhere"
        ) from error


def write_tokens(path: str | Path, dtype: DTypeLike, offset: int, tokens: ArrayLike, *, sync: bool = False) -> int:
    """Write `tokens` at token `offset` of a preallocated file; safe from many processes at once. Return the next offset.

    Raises
    ------
    ConfigError
        If an id does not fit `dtype`.
    OutputError
        If the disk is full.
    """
    kind = token_dtype(dtype)
    data = fitting(tokens, kind).data.cast("B")
    descriptor = os.open(path, os.O_WRONLY)
    try:
        position = offset * kind.itemsize
        while data:
            written = os.pwrite(descriptor, data, position)
            position += written
            data = data[written:]
        if sync:
            os.fsync(descriptor)
    except OSError as error:
        raise _full(path, error) from error
    finally:
        os.close(descriptor)
    return position // kind.itemsize


def _full(path: str | Path, error: OSError) -> OutputError:
    return OutputError(f"{path}: cannot write: {error.strerror}; free space and run the same command again")


def fitting(tokens: ArrayLike, dtype: np.dtype[Any]) -> Tokens:
    """`tokens` as a flat array of `dtype`, or `ConfigError` that names the id which does not fit."""
    array = np.asarray(tokens)
    if array.dtype == dtype:
        return np.ascontiguousarray(array).reshape(-1)
    if array.size and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = int(array.min()), int(array.max())
        if low < limits.min or high > limits.max:
            raise ConfigError(
                f"token id {low if low < limits.min else high} does not fit {dtype.name} ({limits.min} to {limits.max}); "
                "write the dataset as int32"
            )
    return np.ascontiguousarray(array, dtype).reshape(-1)


def digest_blocks(path: str | Path, workers: int = 1) -> tuple[str, ...]:
    """SHA-256 of each 64 MiB of a file or object, computed by `workers` threads."""
    source = open_bytes(path)
    blocks = range(-(-source.size // BLOCK_BYTES))
    if workers <= 1 or len(blocks) <= 1:
        return tuple(_digest(source, block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES) for block in blocks)
    with ThreadPoolExecutor(workers) as threads:
        return tuple(threads.map(lambda b: _digest(open_bytes(path), b * BLOCK_BYTES, (b + 1) * BLOCK_BYTES), blocks))


def digest_file(path: str | Path) -> str:
    """SHA-256 of a whole file or object."""
    source = open_bytes(path)
    return _digest(source, 0, source.size)


def _digest(source: Bytes, start: int, stop: int) -> str:
    digest = sha256()
    for at in range(start, min(stop, source.size), READ_BYTES):
        digest.update(source.read(at, min(at + READ_BYTES, stop)))
    return digest.hexdigest()


def finish(
    prefix: str | Path,
    *,
    dtype: DTypeLike,
    lengths: NDArray[Any],
    document_indices: NDArray[Any],
    meta: Meta | None = None,
    workers: int = 1,
) -> Meta:
    """Complete a dataset whose tokens lie in ``PREFIX.bin.tmp``: digests, index, names, sidecar.

    Parameters
    ----------
    prefix : str or Path
        What all files of the dataset share.
    dtype : dtype
        Type of a token.
    lengths : integer array, shape (S,)
        Tokens of each sequence, in the order of the tokens; may be a memory map.
    document_indices : integer array, shape (D + 1,)
        Document d is the sequences [document_indices[d], document_indices[d + 1]).
    meta : Meta, optional
        What is known of the vocabulary, the tokenizer and the order; counts, type, digests and fingerprint are filled in here.
    workers : int
        Threads that compute digests.

    Returns
    -------
    Meta
        The sidecar as written.

    Raises
    ------
    OutputError
        If the tokens written are not as many as the lengths say.
    """
    kind = token_dtype(dtype)
    temporary, index = bin_temporary(prefix), Path(f"{prefix}.idx.tmp")
    size = temporary.stat().st_size
    tokens = sum(int(np.sum(part, dtype=np.int64)) for part in _chunks(lengths))
    if tokens * kind.itemsize != size:
        raise OutputError(
            f"{temporary}: the lengths add up to {tokens} {kind.name} tokens, {tokens * kind.itemsize} bytes, found {size}; "
            "run the same command again"
        )
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    blocks = digest_blocks(temporary, workers)
    idx_sha256 = write_index(index, kind, lengths, document_indices)
    for stale in (meta_path(prefix), idx_path(prefix)):
        stale.unlink(missing_ok=True)
    meta_temporary(prefix).touch()
    temporary.replace(bin_path(prefix))
    index.replace(idx_path(prefix))
    complete = dataclasses.replace(
        meta or Meta(),
        tokens=tokens,
        sequences=len(lengths),
        documents=len(document_indices) - 1,
        dtype=kind.name,
        blocks=blocks,
        bin_sha256=digest_of_blocks(blocks),
        idx_sha256=idx_sha256,
        docs_sha256=digest_file(docs_path(prefix)) if docs_path(prefix).exists() else None,
        fingerprint=sampled_fingerprint(prefix),
    )
    write_meta(prefix, complete)
    sync_folder(Path(prefix).parent)
    return complete


def _chunks(array: NDArray[Any], size: int = 1 << 20) -> Iterable[NDArray[Any]]:
    return (array[start : start + size] for start in range(0, len(array), size))


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class IndexedWriter:
    """Append documents to a new dataset; memory does not grow with their number.

    Use as a context manager: leaving it normally completes the dataset, an exception removes what was written.

    Parameters
    ----------
    prefix : str or Path
        What all files of the dataset share; the folder is made.
    dtype : dtype
        Type of a token (`best_dtype`).
    meta : Meta, optional
        What is known of the vocabulary and the tokenizer.
    workers : int
        Threads that compute digests at the end.
    """

    def __init__(self, prefix: str | Path, dtype: DTypeLike, meta: Meta | None = None, *, workers: int = 1) -> None:
        self.prefix = Path(prefix)
        self.dtype = token_dtype(dtype)
        self.meta = meta
        self.workers = workers
        self.sequences = 0
        self.documents = 0
        self.tokens = 0
        self._open = 0
        """Sequences of the document that is not ended yet."""
        self.prefix.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._bin: BinaryIO = bin_temporary(prefix).open("wb")
            self._lengths: BinaryIO = self._side("lengths").open("wb")
            self._bounds: BinaryIO = self._side("bounds").open("wb")
        except OSError as error:
            raise OutputError(f"{self.prefix}: cannot write: {error.strerror}; choose another folder") from error
        self._bounds.write(np.zeros(1, "<i8").tobytes())

    def __enter__(self) -> IndexedWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.discard()

    def add_sequence(self, tokens: ArrayLike) -> None:
        """Append one sequence to the document in progress."""
        array = fitting(tokens, self.dtype)
        self._write(array, np.array(array.size))
        self.sequences += 1
        self._open += 1
        self.tokens += array.size

    def end_document(self) -> None:
        """End the document in progress; one without sequences is recorded as empty."""
        self._bounds.write(np.array(self.sequences, "<i8").tobytes())
        self.documents += 1
        self._open = 0

    def add_document(self, tokens: ArrayLike, lengths: ArrayLike | None = None) -> None:
        """Append a whole document: its tokens, and the lengths of its sequences where they are more than one."""
        array = fitting(tokens, self.dtype)
        self.add_documents(
            array, np.array([array.size]) if lengths is None else lengths, None if lengths is None else [0]
        )

    def add_documents(self, tokens: ArrayLike, lengths: ArrayLike, first: ArrayLike | None = None) -> None:
        """Append many documents at once.

        Parameters
        ----------
        tokens : integer array, shape (N,)
            Tokens of all sequences, one after another.
        lengths : integer array, shape (S,)
            Tokens of each sequence; they add up to N.
        first : integer array, shape (D,), optional
            The sequence each document starts with, rising from 0; default: one sequence a document.

        Raises
        ------
        ConfigError
            If the lengths do not add up, `first` does not rise from 0, or a document is still in progress.
        """
        array = fitting(tokens, self.dtype)
        sizes = np.asarray(lengths, np.int64).reshape(-1)
        heads = np.arange(sizes.size) if first is None else np.asarray(first, np.int64).reshape(-1)
        if self._open:
            raise ConfigError(
                f"{self.prefix}: a document of {self._open} sequences is in progress; call end_document first"
            )
        if int(sizes.sum()) != array.size or (sizes.size and int(sizes.min()) < 0):
            raise ConfigError(f"{self.prefix}: the lengths add up to {int(sizes.sum())}, the tokens are {array.size}")
        ends = np.append(heads[1:], sizes.size) if heads.size else heads
        if (heads.size and heads[0] != 0) or (heads.size == 0 and sizes.size) or bool((ends < heads).any()):
            raise ConfigError(f"{self.prefix}: documents must start at rising sequences from 0 to {sizes.size}")
        self._write(array, sizes)
        self._bounds.write((ends + self.sequences).astype("<i8").tobytes())
        self.sequences += sizes.size
        self.documents += heads.size
        self.tokens += array.size

    def finish(self) -> Meta:
        """Complete the dataset and return its sidecar; a document in progress is ended."""
        if self._open:
            self.end_document()
        self._close()
        try:
            return finish(
                self.prefix,
                dtype=self.dtype,
                lengths=_side_array(self._side("lengths")),
                document_indices=_side_array(self._side("bounds")),
                meta=self.meta,
                workers=self.workers,
            )
        finally:
            self._remove()

    def discard(self) -> None:
        """Remove what was written."""
        self._close()
        bin_temporary(self.prefix).unlink(missing_ok=True)
        self._remove()

    def _write(self, tokens: Tokens, lengths: NDArray[Any]) -> None:
        try:
            self._bin.write(tokens.data.cast("B"))
            self._lengths.write(lengths.astype("<i8").tobytes())
        except OSError as error:
            raise _full(self.prefix, error) from error

    def _side(self, name: str) -> Path:
        return Path(f"{self.prefix}.{name}.tmp")

    def _close(self) -> None:
        for file in (self._bin, self._lengths, self._bounds):
            file.close()

    def _remove(self) -> None:
        for path in (self._side("lengths"), self._side("bounds"), Path(f"{self.prefix}.idx.tmp")):
            path.unlink(missing_ok=True)


def _side_array(path: Path) -> NDArray[np.int64]:
    if path.stat().st_size == 0:
        return np.empty(0, np.int64)
    return np.memmap(path, np.int64, "r")
