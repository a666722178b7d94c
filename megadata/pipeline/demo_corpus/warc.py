"""The few lines of WARC/1.1 (ISO 28500:2017) that the demo needs: one gzip member for every record."""

from __future__ import annotations

import base64
import gzip
import hashlib
import uuid
from collections.abc import Iterable, Sequence

NAMESPACE = uuid.UUID("6d656761-6461-5461-8000-64656d6f0000")
Headers = Sequence[tuple[str, str]]


def record_id(kind: str, key: str) -> str:
    """A record id that follows from what the record is, so that a corpus built twice is the same."""
    return f"<urn:uuid:{uuid.uuid5(NAMESPACE, f'{kind} {key}')}>"


def digest(data: bytes) -> str:
    """SHA-1 in base 32, as crawlers write it."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode()


def member(data: bytes) -> bytes:
    """One gzip member without a time stamp."""
    return gzip.compress(data, 6, mtime=0)


def record(kind: str, identity: str, date: str, headers: Headers, block: bytes, length: int | None = None) -> bytes:
    """A record as bytes, before compression. `length` overrules the true Content-Length, for records broken on purpose."""
    lines = [
        "WARC/1.1",
        f"WARC-Type: {kind}",
        f"WARC-Record-ID: {identity}",
        f"WARC-Date: {date}",
        *(f"{name}: {value}" for name, value in headers),
        f"WARC-Block-Digest: {digest(block)}",
        f"Content-Length: {len(block) if length is None else length}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def http(start: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """An HTTP/1.1 message: `start` is its request or status line."""
    return "\r\n".join([start, *(f"{name}: {value}" for name, value in headers)]).encode() + b"\r\n\r\n" + body


def chunked(body: bytes, size: int = 4096) -> bytes:
    """`body` in the chunked transfer coding (RFC 9112, section 7.1)."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
