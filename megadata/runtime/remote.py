"""Files behind URLs as streams: ranges with read-ahead where the storage gives them, from the start on where it does not."""

from __future__ import annotations

from io import SEEK_CUR, SEEK_END, SEEK_SET, BufferedReader, RawIOBase
from typing import Any, BinaryIO

from megadata.errors import CorpusError
from megadata.runtime.stores import Stat, Store, attempt, store

FIRST_BYTES = 256 << 10
"""Bytes of the first range; each that follows on is four times as long, up to `MOST_BYTES`."""
MOST_BYTES = 8 << 20

_known: dict[str, Stat] = {}
"""What this process has seen of each URL, to ask once and to notice an object that changes while it is read."""


def stat(url: str, told: Store | None = None) -> Stat:
    """Size and identity of an object, asked now."""
    one = told or store(url)
    _known[url] = attempt(url, one.stat)
    return _known[url]


def seen(url: str) -> Stat:
    """Size and identity of an object, as this process saw it first."""
    return _known.get(url) or stat(url)


def open_url(url: str) -> BinaryIO:
    """The stored bytes of an object.

    Raises
    ------
    CorpusError
        When it cannot be reached, or differs from what was seen before.
    """
    one = store(url)
    before, now = _known.get(url), attempt(url, one.stat)
    if before is not None and (before.size, before.stamp) != (now.size, now.stamp):
        raise CorpusError(
            f"{url}: expected the object that was there at the start, found another (size or ETag differ); "
            "run the command again when nothing writes to it"
        )
    _known[url] = now
    if now.ranged and now.size is not None:
        return BufferedReader(_Ranges(url, one, now.size), FIRST_BYTES)
    return BufferedReader(_Forward(url, one, now.size), FIRST_BYTES)


class _Ranges(RawIOBase):
    """A stream over ranges. What is read in order is fetched ahead in growing blocks; a jump begins small again."""

    def __init__(self, url: str, one: Store, size: int) -> None:
        self._url, self._store, self._size = url, one, size
        self._at = 0
        self._start, self._block = 0, b""
        self._ahead = FIRST_BYTES

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        self._at = max(0, offset + {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._size or not len(buffer):
            return 0
        if not self._start <= self._at < self._start + len(self._block):
            self._fetch(len(buffer))
        inside = self._at - self._start
        count = min(len(buffer), len(self._block) - inside)
        buffer[:count] = self._block[inside : inside + count]
        self._at += count
        return count

    def _fetch(self, wanted: int) -> None:
        follows = self._block and self._at == self._start + len(self._block)
        self._ahead = min(self._ahead * 4, MOST_BYTES) if follows else FIRST_BYTES
        start = self._at
        stop = min(start + max(self._ahead, min(wanted, MOST_BYTES)), self._size)
        self._block = b""

        def whole() -> bytes:
            data = self._store.fetch(start, stop)
            if len(data) != stop - start:
                raise OSError(f"expected {stop - start} bytes at {start}, found {len(data)}")
            return data

        self._start, self._block = start, attempt(self._url, whole)


class _Forward(RawIOBase):
    """A stream that is read from its start; going back, or on after an interruption, begins it again."""

    def __init__(self, url: str, one: Store, size: int | None) -> None:
        self._url, self._store, self._size = url, one, size
        self._at = 0
        self._inner: BinaryIO | None = None
        self._inner_at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        if whence == SEEK_END:
            raise CorpusError(
                f"{self._url}: this kind of file needs bytes from its end, and the server gives no ranges; "
                "download it first, or take it from a server that does"
            )
        self._at = max(0, offset + (self._at if whence == SEEK_CUR else 0))
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = attempt(self._url, lambda: self._read(len(buffer)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _read(self, count: int) -> bytes:
        try:
            if self._inner is None or self._inner_at > self._at:
                self._drop()
                self._inner = self._store.stream()
            while self._inner_at < self._at:
                block = self._inner.read(min(MOST_BYTES, self._at - self._inner_at))
                if not block:
                    break
                self._inner_at += len(block)
            data = self._inner.read(count)
            if not data and count and self._size is not None and self._inner_at < self._size:
                raise OSError(f"the answer ended after {self._inner_at} of {self._size} bytes")
            self._inner_at += len(data)
            return data
        except Exception:
            self._drop()
            raise

    def _drop(self) -> None:
        inner, self._inner, self._inner_at = self._inner, None, 0
        if inner is not None:
            inner.close()

    def close(self) -> None:
        self._drop()
        super().close()
