"""Bytes of files, here or behind a URL: their size, and any range of them.

Objects behind URLs are read by ranges in blocks of `BLOCK_BYTES`, which are kept in memory (a few) and on disk: in the folder
that the environment variable ``MEGADATA_CACHE`` names, else in ``~/.cache/megadata``, up to ``MEGADATA_CACHE_BYTES`` (8 GiB). A
block on disk carries its checksum, and the name of its folder the object's size and identity (ETag), so that no stale or torn
block is ever read. Objects whose storage tells no identity are kept in memory alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import threading
import time
import zlib
from collections import OrderedDict
from io import SEEK_CUR, SEEK_END, SEEK_SET, RawIOBase
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from megadata.errors import IndexFormatError
from megadata.runtime.stores import Stat, Store, attempt, store

BLOCK_BYTES = 1 << 20
"""Bytes of a block; a block on disk has its CRC-32 behind it."""
HELD_BLOCKS = 64
"""Blocks of an object kept in memory."""
FETCH_BLOCKS = 16
"""Most blocks asked for in one request."""
CACHE_BYTES = 8 << 30
LOOK_SECONDS = 60.0
"""An object that has not been looked at for so long is looked at before more of it is read."""


class Bytes(Protocol):
    """The bytes of one file."""

    @property
    def size(self) -> int:
        """Number of bytes."""
        ...

    def read(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop); fewer where the file ends before."""
        ...

    def peek(self, start: int, stop: int) -> bytes:
        """The same for a few bytes, without fetching or keeping the block around them."""
        ...


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether a path or prefix lies behind a URL (``s3://...``)."""
    return "://" in os.fspath(path)


def open_bytes(path: str | os.PathLike[str]) -> Bytes:
    """The bytes of a local file or an object behind a URL.

    Raises
    ------
    OSError
        If there is no such local file.
    CorpusError
        If the object cannot be reached.
    """
    name = os.fspath(path)
    return RemoteBytes(name) if is_url(name) else LocalBytes(name)


def open_sidecar(path: str) -> Bytes | None:
    """The bytes of a file that need not be there; None where it is not.

    A storage that does not let its objects be listed refuses access to one that is missing: that counts as missing too.
    """
    try:
        return open_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IndexFormatError:
        raise
    except Exception as error:
        from megadata.runtime.stores import _is_missing, _is_refusal

        if is_url(path) and error.__cause__ and (_is_missing(error.__cause__) or _is_refusal(error.__cause__)):
            return None
        raise


class LocalBytes:
    """A local file, read without mapping it."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self._descriptor).st_size

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.close(self._descriptor)

    def read(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop); fewer where the file ends before."""
        data = os.pread(self._descriptor, stop - start, start)
        while data and len(data) < stop - start:
            more = os.pread(self._descriptor, stop - start - len(data), start + len(data))
            if not more:
                break
            data += more
        return data

    peek = read

    def fileno(self) -> int:
        """The descriptor of the open file, closed with this object."""
        return self._descriptor


class RemoteBytes:
    """An object behind a URL. Safe for threads and forks; not pickled, each process opens its own.

    Raises
    ------
    CorpusError
        If it cannot be reached.
    IndexFormatError
        If it cannot be read by ranges, or changes while it is in use.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._pid = os.getpid()
        self._store: Store = store(url)
        self._stat: Stat = attempt(url, self._store.stat)
        if self._stat.size is None or not self._stat.ranged:
            raise IndexFormatError(
                f"{url}: the server gives no ranges of bytes; copy the dataset to a disk, or take it from a server that does"
            )
        self.size: int = self._stat.size
        self._looked = time.monotonic()
        self._held: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()
        identity = f"{url}\n{self.size}\n{self._stat.stamp}"
        self._folder = cache_folder() / hashlib.sha256(identity.encode()).hexdigest()[:32] if self._stat.stamp else None

    def read(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop); missing blocks that follow one another are one request."""
        stop = min(stop, self.size)
        if start >= stop:
            return b""
        first, last = start // BLOCK_BYTES, -(-stop // BLOCK_BYTES)
        with self._lock:
            blocks = self._blocks(first, last)
        data = blocks[0] if len(blocks) == 1 else b"".join(blocks)
        return data[start - first * BLOCK_BYTES : stop - first * BLOCK_BYTES]

    def peek(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop) in one small request."""
        stop = min(stop, self.size)
        return self._fetch(start, stop) if start < stop else b""

    def _blocks(self, first: int, last: int) -> list[bytes]:
        found = {number: self._kept(number) for number in range(first, last)}
        number = first
        while number < last:
            if found[number] is not None:
                number += 1
                continue
            end = number + 1
            while end < last and end - number < FETCH_BLOCKS and found[end] is None:
                end += 1
            fetched = self._fetch(number * BLOCK_BYTES, min(end * BLOCK_BYTES, self.size))
            for place in range(number, end):
                begin = (place - number) * BLOCK_BYTES
                found[place] = fetched[begin : begin + BLOCK_BYTES]
                self._keep(place, fetched[begin : begin + BLOCK_BYTES])
            number = end
        return [found[number] or b"" for number in range(first, last)]

    def _kept(self, number: int) -> bytes | None:
        """A block from memory or disk."""
        if (block := self._held.get(number)) is not None:
            self._held.move_to_end(number)
            return block
        if self._folder is None:
            return None
        path = self._folder / f"{number}"
        try:
            raw = path.read_bytes()
        except OSError:
            return None
        size = min(BLOCK_BYTES, self.size - number * BLOCK_BYTES)
        block = raw[:size]
        if len(raw) != size + 4 or zlib.crc32(block).to_bytes(4, "little") != raw[size:]:
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        self._hold(number, block)
        return block

    def _hold(self, number: int, block: bytes) -> None:
        self._held[number] = block
        while len(self._held) > HELD_BLOCKS:
            self._held.popitem(last=False)

    def _keep(self, number: int, block: bytes) -> None:
        """Put a block into memory and onto disk; a full or read-only disk costs speed and nothing else."""
        self._hold(number, block)
        if self._folder is None:
            return
        temporary = self._folder / f".{number}.{secrets.token_hex(4)}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(block + zlib.crc32(block).to_bytes(4, "little"))
            temporary.replace(self._folder / f"{number}")
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        make_room(len(block))

    def _fetch(self, start: int, stop: int) -> bytes:
        if os.getpid() != self._pid:  # file systems of fsspec do not survive a fork
            self._pid, self._store, self._lock = os.getpid(), store(self.url), threading.Lock()
        if time.monotonic() - self._looked > LOOK_SECONDS:
            now = attempt(self.url, self._store.stat)
            if (now.size, now.stamp) != (self._stat.size, self._stat.stamp):
                raise IndexFormatError(f"{self.url}: the object changed since it was opened; open the dataset again")
            self._looked = time.monotonic()

        def whole() -> bytes:
            data = self._store.fetch(start, stop)
            if len(data) != stop - start:
                raise OSError(f"expected {stop - start} bytes at {start}, found {len(data)}")
            return data

        return attempt(self.url, whole)


def cache_folder() -> Path:
    """Where blocks lie on this machine."""
    if place := os.environ.get("MEGADATA_CACHE"):
        return Path(place) / "blocks"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "megadata" / "blocks"


_written = 0
"""Bytes this process has put into the cache since it last looked at the whole of it."""


def make_room(added: int) -> None:
    """Delete the blocks that were used longest ago where the cache holds more than it may; looks at it now and then."""
    global _written
    limit = int(os.environ.get("MEGADATA_CACHE_BYTES") or CACHE_BYTES)
    _written += added
    if _written < limit // 16:
        return
    _written = 0
    blocks = []
    for path in cache_folder().glob("*/*"):
        with contextlib.suppress(OSError):
            stat = path.stat()
            blocks.append((stat.st_mtime_ns, stat.st_size, path))
    total = sum(size for _, size, _ in blocks)
    for _, size, path in sorted(blocks):
        if total <= limit * 7 // 8:
            break
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size


def local_copy(path: str) -> Path | None:
    """A local file with the content of `path`, a local path or URL; None where there is none. Meant for small files."""
    if not is_url(path):
        return Path(path) if Path(path).exists() else None
    source = open_sidecar(path)
    if source is None:
        return None
    data = source.read(0, source.size)
    target = cache_folder().parent / "files" / hashlib.sha256(data).hexdigest()[:32] / path.rpartition("/")[2]
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        temporary.write_bytes(data)
        temporary.replace(target)
    return target


class BytesFile(RawIOBase):
    """A file object over `Bytes`, for libraries that read files."""

    def __init__(self, source: Bytes) -> None:
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        self._at = max(0, offset + {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self._source.size}[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(self._at, self._at + len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class RangeArray:
    """Entries of an object behind a URL that are read when they are asked for: the part of an array's manners that readers use.

    Indexing with an integer, a slice of step 1 or an array of integers gives what it would give for an array.
    """

    def __init__(self, source: Bytes, offset: int, count: int, dtype: DTypeLike) -> None:
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.shape = (count,)
        self.size = count
        self._source, self._offset = source, offset

    def __len__(self) -> int:
        return self.size

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self._read(0, self.size).astype(dtype or self.dtype, copy=False)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            start, stop, step = key.indices(self.size)
            return self._read(start, max(start, stop))[::step] if step > 0 else self._read(0, self.size)[key]
        if isinstance(key, (int, np.integer)):
            return self.dtype.type(self.item(int(key)))
        return self._gather(np.asarray(key))

    def item(self, key: int) -> Any:
        """One entry as a Python number."""
        place = key + self.size if key < 0 else key
        if not 0 <= place < self.size:
            raise IndexError(f"entry {key} of {self.size}")
        return self._read(place, place + 1)[0].item()

    def part(self, start: int, length: int) -> RangeArray:
        """The entries [start, start + length), not read yet."""
        return RangeArray(self._source, self._offset + start * self.dtype.itemsize, length, self.dtype)

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        size = self.dtype.itemsize
        raw = self._source.read(self._offset + start * size, self._offset + stop * size)
        return np.frombuffer(raw, self.dtype)

    def _gather(self, places: NDArray[Any]) -> NDArray[Any]:
        """Entries at `places`, each stretch of neighbouring ones read once."""
        if places.dtype == np.bool_:
            places = np.flatnonzero(places)
        flat = places.reshape(-1).astype(np.int64)
        flat = np.where(flat < 0, flat + self.size, flat)
        if flat.size and (int(flat.min()) < 0 or int(flat.max()) >= self.size):
            raise IndexError(f"entries {flat.min()} to {flat.max()} of {self.size}")
        out = np.empty(flat.size, self.dtype)
        order = np.argsort(flat, kind="stable")
        rising = flat[order]
        near = max(1, BLOCK_BYTES // self.dtype.itemsize)
        groups = np.split(order, np.flatnonzero(np.diff(rising // near)) + 1) if flat.size else []
        for group in groups:
            first, last = int(flat[group[0]]), int(flat[group[-1]])
            out[group] = self._read(first, last + 1)[flat[group] - first]
        return out.reshape(places.shape)
