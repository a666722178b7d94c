"""The body of an HTTP response as archived: chunks joined, compression undone, within a limit of size."""

from __future__ import annotations

import bz2
import io
import re
from dataclasses import dataclass

import zstandard
from fastwarc.stream_io import BrotliReader
from zlib_ng import zlib_ng

MAX_CODINGS = 5
"""Content codings of one body that are undone: a body can be made that each decoding gives again."""
_ZLIB_ERROR: type[Exception] = vars(zlib_ng)["error"]  # its stub says it is an instance
_CHUNK = re.compile(rb"[ \t]*([0-9a-fA-F]{1,12})[ \t]*(?:;[^\r\n]*)?\r?\n")
_BLANK = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/[\d.]+[ \t]+(\d{3})\b")
_CHARSET = re.compile(r"""charset\s*=\s*["']?([^\s"';,]+)""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """Status and content of a response."""

    status: int
    media_type: str
    """Lower case, without parameters; empty where none is given."""
    charset: str | None
    body: bytes
    problem: str = ""
    """What could not be decoded, where something could not; `body` then holds what came before."""


def parse_response(data: bytes, max_bytes: int, start: int = 0, stop: int | None = None) -> Response | None:
    """Parse the archived response data[start:stop]; None where no HTTP header stands at the start."""
    stop = len(data) if stop is None else stop
    status = _STATUS.match(data, start, stop)
    if status is None:
        return None
    blank = _BLANK.search(data, status.end(), stop)
    headers = fields(data[status.end() : stop if blank is None else blank.start()].decode("latin-1"))
    body = data[blank.end() : stop] if blank is not None else b""
    problem = ""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body, problem = unchunk(body)
    codings = [c.strip().lower() for c in headers.get("content-encoding", "").split(",") if c.strip()]
    if len(codings) > MAX_CODINGS:
        body, problem, codings = b"", f"{len(codings)} content codings, at most {MAX_CODINGS} are undone", []
    for coding in reversed(codings):
        body, wrong = decompress(body, coding, max_bytes)
        problem = problem or wrong
    kind = headers.get("content-type", "")
    return Response(int(status[1]), media_type(kind), charset(kind), body, problem)


def media_type(field: str) -> str:
    """Media type of a Content-Type field, without parameters."""
    return field.partition(";")[0].partition(",")[0].strip().lower()


def charset(field: str) -> str | None:
    """Charset parameter of a Content-Type field."""
    found = _CHARSET.search(field)
    return found[1] if found is not None else None


def fields(head: str) -> dict[str, str]:
    """Fields behind the first line of a header by lower-case name; the first of a kind counts, continued lines are joined."""
    found: dict[str, list[str]] = {}
    last = ""
    for line in head.split("\n")[1:]:
        if line[:1] in (" ", "\t") and last:
            found[last].append(line.strip())
            continue
        name, colon, value = line.partition(":")
        if colon:
            last = name.strip().lower()
            found.setdefault(last, [value.strip()])
    return {name: " ".join(values) for name, values in found.items()}


def unchunk(body: bytes) -> tuple[bytes, str]:
    """Join chunks. A body that is not chunked after all (archives often store it joined) comes back as it is."""
    parts: list[bytes] = []
    at = 0
    while found := _CHUNK.match(body, at):
        size = int(found[1], 16)
        if size == 0:
            return b"".join(parts), ""
        parts.append(body[found.end() : found.end() + size])
        at = found.end() + size
        if at > len(body):
            return b"".join(parts), "the last chunk is not complete"
        if body[at : at + 2] == b"\r\n":
            at += 2
        elif body[at : at + 1] == b"\n":
            at += 1
        elif len(parts) == 1:
            return body, ""
    if not parts or at == 0:
        return body, ""
    return b"".join(parts), "" if at >= len(body) else "chunks end before the body does"


def decompress(body: bytes, coding: str, max_bytes: int) -> tuple[bytes, str]:
    """Undo one content coding, up to `max_bytes`. A body that is not compressed after all comes back as it is."""
    if coding in ("", "identity", "none", "utf-8") or not body:
        return body, ""
    try:
        if coding in ("gzip", "x-gzip"):
            return _inflate(body, 31, max_bytes) if body.startswith(b"\x1f\x8b") else (body, "")
        if coding == "deflate":
            decoded, problem = _inflate(body, 15, max_bytes)
            return (decoded, problem) if decoded or problem == "too_large" else _inflate(body, -15, max_bytes)
        if coding == "br":
            return _limit(BrotliReader(io.BytesIO(body)).read(max_bytes + 1), max_bytes)
        if coding == "zstd":
            reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(io.BytesIO(body))
            return _limit(reader.read(max_bytes + 1), max_bytes)
        if coding in ("bzip2", "x-bzip2"):
            return _limit(bz2.BZ2Decompressor().decompress(body, max_bytes + 1), max_bytes)
    except (OSError, ValueError, zstandard.ZstdError) as error:
        if body.lstrip()[:1] == b"<":
            return body, ""
        return b"", f"{coding}: {error}"
    return b"", f"unknown content coding {coding!r}"


def _inflate(body: bytes, window: int, max_bytes: int) -> tuple[bytes, str]:
    decoder = zlib_ng.decompressobj(window)
    parts: list[bytes] = []
    size = 0
    try:
        for at in range(0, len(body), 1 << 14):
            part = decoder.decompress(body[at : at + (1 << 14)], max_bytes + 1 - size)
            parts.append(part)
            size += len(part)
            if size > max_bytes:
                return b"", "too_large"
            if decoder.eof:
                break
    except _ZLIB_ERROR as error:
        return b"".join(parts), str(error)
    return b"".join(parts), "" if decoder.eof else "the compressed body is cut off"


def _limit(data: bytes, max_bytes: int) -> tuple[bytes, str]:
    return (data, "") if len(data) <= max_bytes else (b"", "too_large")
