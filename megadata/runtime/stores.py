"""Storage behind URLs: what an object is (size, identity) and its bytes, with retries and one sentence when they are exhausted.

``http`` and ``https`` need nothing but the standard library; every other protocol is fsspec's. Nothing is copied to disk.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, TypeVar, cast

from megadata.errors import CorpusError

T = TypeVar("T")

WAITS = (0.2, 0.6, 1.8, 5.0)
"""Seconds between tries of a request that failed in a way that may pass."""
TIMEOUT = 60.0
"""Seconds after which a silent HTTP server is given up for this try."""

PACKAGES = {
    "s3": ("s3fs", "s3"),
    "s3a": ("s3fs", "s3"),
    "gs": ("gcsfs", "gs"),
    "gcs": ("gcsfs", "gs"),
    "hf": ("huggingface_hub", "hf"),
    "http": ("aiohttp", "http"),
    "https": ("aiohttp", "http"),
}
"""Protocol -> package that reads it, and the extra of megadata that installs it."""

_IDENTITY: tuple[str, ...] = (
    "ETag",
    "etag",
    "md5Hash",
    "crc32c",
    "generation",
    "blob_id",
    "sha",
    "LastModified",
    "Last-Modified",
)
_IDENTITY += ("last_modified", "mtime", "updated", "created")
_ONE_TRY = {"retries": {"total_max_attempts": 1}}
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_REFUSED = {401, 403, 407}


@dataclass(frozen=True, slots=True)
class Stat:
    """What a storage tells of an object."""

    size: int | None
    """Stored bytes; None where the server does not say."""
    stamp: int
    """A number that changes when the object does (from ETag, checksum or time); 0 where the storage tells nothing."""
    ranged: bool = True
    """Whether bytes can be read from any position."""


class Store(Protocol):
    """One object."""

    def stat(self) -> Stat:
        """Size and identity now."""
        ...

    def fetch(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop); fewer only at the end of the object."""
        ...

    def stream(self) -> BinaryIO:
        """All bytes from the first on, for objects that cannot be entered anywhere."""
        ...


class _Passing(OSError):
    """An answer that may be another at the next try."""


def stamp_of(info: dict[str, Any]) -> int:
    """A number for an object's identity, from what its storage tells; 0 where it tells nothing."""
    for key in _IDENTITY:
        if info.get(key):  # the first alone: listings tell less than a look at one object
            told = str(info[key]).strip('"')
            return int.from_bytes(hashlib.blake2b(told.encode(), digest_size=8).digest()) >> 1 or 1
    return 0


@dataclass(slots=True)
class HttpObject:
    """An object on a web server, read by ranges where the server gives them."""

    url: str

    def _open(self, span: str | None) -> Any:
        import urllib.request

        headers = {"User-Agent": "megadata"} | ({"Range": f"bytes={span}"} if span else {})
        return urllib.request.urlopen(urllib.request.Request(self.url, headers=headers), timeout=TIMEOUT)

    def stat(self) -> Stat:
        """One byte is asked for: the answer tells size, identity and whether ranges are given."""
        import urllib.error

        try:
            with self._open("0-0") as answer:
                headers = answer.headers
                identity = stamp_of({key: headers.get(key) for key in ("ETag", "Last-Modified")})
                if answer.status == 206:
                    total = (headers.get("Content-Range") or "").rpartition("/")[2]
                    return Stat(int(total), identity) if total.isdigit() else Stat(None, identity, False)
                length = headers.get("Content-Length") or ""
                return Stat(int(length) if length.isdigit() else None, identity, False)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # no first byte
                return Stat(0, stamp_of(dict(error.headers)))
            raise

    def fetch(self, start: int, stop: int) -> bytes:
        """One range; an answer that is cut short is tried again."""
        with self._open(f"{start}-{stop - 1}") as answer:
            if answer.status != 206:
                raise _Passing("the server gave the whole object where a range was asked for")
            data = bytes(answer.read(stop - start))
            wanted = answer.headers.get("Content-Length") or ""
            if wanted.isdigit() and len(data) < min(int(wanted), stop - start):
                raise _Passing(f"the answer ended after {len(data)} of {wanted} bytes")
            return data

    def stream(self) -> BinaryIO:
        """The body of one answer."""
        return cast("BinaryIO", self._open(None))


@dataclass(slots=True)
class FsspecObject:
    """An object of a file system that fsspec knows."""

    system: Any
    path: str
    told: dict[str, Any] | None = None
    """What a listing said of it, if there was one."""

    def stat(self) -> Stat:
        """From the listing, else asked for."""
        if self.told is None:
            self.system.invalidate_cache()
        info, self.told = self.told or self.system.info(self.path), None
        if info.get("type") == "directory":
            raise IsADirectoryError(self.path)
        size = info.get("size")
        return Stat(int(size) if size is not None else None, stamp_of(info), size is not None)

    def fetch(self, start: int, stop: int) -> bytes:
        """One range."""
        return bytes(self.system.cat_file(self.path, start=start, end=stop))

    def stream(self) -> BinaryIO:
        """The file as the file system opens it."""
        return cast("BinaryIO", self.system.open(self.path, "rb"))


def protocol_of(url: str) -> str:
    """What stands before ``://``."""
    return url.partition("://")[0].lower()


def store(url: str) -> Store:
    """The object behind a URL; nothing is asked of the storage yet."""
    if protocol_of(url) in ("http", "https"):
        return HttpObject(url)
    system, path = attempt(url, lambda: file_system(url))
    return FsspecObject(system, path)


def file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path in it."""
    import fsspec

    if protocol_of(url) not in ("s3", "s3a"):
        system, path = fsspec.core.url_to_fs(url)
        return system, path
    # `attempt` tries again; without this botocore and s3fs would as well, and a dead server would take minutes to tell
    own = {} if "config_kwargs" in fsspec.config.conf.get("s3", {}) else {"config_kwargs": _ONE_TRY}
    system, path = fsspec.core.url_to_fs(url, **own)
    system.retries = 1
    return system, path


def attempt(url: str, action: Callable[[], T], again: bool = True) -> T:
    """The action's result, after some tries where it fails in a way that may pass.

    Raises
    ------
    CorpusError
        One sentence that names the URL, what is wrong and what to do.
    """
    for wait in (*WAITS, None) if again else (None,):
        try:
            return action()
        except CorpusError:
            raise
        except Exception as error:
            if wait is None or not _may_pass(error):
                raise CorpusError(f"{url}: {_why(url, error)}") from error
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _status(error: BaseException) -> int | None:
    for one in (error, error.__cause__, error.__context__):
        for name in ("code", "status", "status_code"):
            value = getattr(one, name, None)
            if isinstance(value, int) and 100 <= value < 600:
                return value
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            value = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            if isinstance(value, int):
                return value
    return None


def _is_refusal(error: BaseException) -> bool:
    names = [type(one).__name__ for one in (error, error.__cause__, error.__context__) if one is not None]
    return (
        isinstance(error, PermissionError)
        or any("Credential" in name or "TokenRetrieval" in name for name in names)
        or _status(error) in _REFUSED
    )


def _is_missing(error: BaseException) -> bool:
    return isinstance(error, FileNotFoundError) or _status(error) in (404, 410)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, (ImportError, IsADirectoryError, NotImplementedError)):
        return False
    if _is_refusal(error) or _is_missing(error):
        return False
    status = _status(error)
    if status is not None:
        return status in _PASSING
    import http.client
    import socket
    import urllib.error

    if isinstance(error, (OSError, http.client.HTTPException, EOFError)):
        return not isinstance(error, urllib.error.URLError) or not isinstance(error.reason, socket.gaierror)
    return not isinstance(error, (ValueError, TypeError, KeyError, AttributeError))


def _why(url: str, error: BaseException) -> str:
    protocol = protocol_of(url)
    said = " ".join(str(getattr(error, "reason", None) or error).split()) or type(error).__name__
    if isinstance(error, ImportError):
        package, extra = PACKAGES.get(protocol, (error.name or protocol, ""))
        install = f"megadata[{extra}]" if extra else package
        return f"{protocol}:// is read by the package {package}, which is not installed; pip install '{install}'"
    if isinstance(error, ValueError) and "rotocol not known" in said:
        return f"unknown protocol {protocol}://; expected one of fsspec's, such as s3, gs, hf, http, https or memory"
    if _is_missing(error):
        status = _status(error)
        told = "" if status is None else f" (HTTP {status})"
        return f"expected an object, found none{told}; check the address"
    if isinstance(error, IsADirectoryError):
        return "expected an object, found a folder; name the folder itself as the input"
    if _is_refusal(error):
        return f"access was refused ({said}); check the credentials for {protocol}:// and who may read the object"
    if _may_pass(error):
        tries = len(WAITS) + 1
        return (
            f"cannot be read ({said}), {tries} times in a row; check the network and the storage, then run the same "
            "command again: what is done is kept"
        )
    return f"cannot be read ({said}); check the address"
