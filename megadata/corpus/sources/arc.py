"""ARC files of the Internet Archive (1996 to about 2009, versions 1 and 2), plain or compressed by record."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar

from megadata.corpus.sources.http import media_type
from megadata.corpus.sources.warc import Found, Warc, archived_response, content_of
from megadata.corpus.sources.warcframe import Framed, Grammar
from megadata.documents.source import Problems, ReadOptions

_OPENING = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]{0,15}:")
_NEXT = re.compile(rb"(?=(?:https?|ftp|gopher)://|(?:dns|whois|filedesc|warcinfo|metadata):)")
_LINE_BYTES = 1 << 13
_MOST_FIELDS = 20
_IP = re.compile(rb"[0-9A-Fa-f.:]{1,45}")
_DATE = re.compile(rb"\d{8,18}")


@dataclass(frozen=True, slots=True)
class _Header:
    """The line before a record."""

    url: str
    date: str
    media: str
    length: int
    size: int
    """Bytes of the line."""


def _read_header(buffer: bytes | bytearray, at: int) -> _Header | None:
    """URL, IP address, date, media type, in version 2 more fields, length; the URL may hold spaces."""
    stop = buffer.find(b"\n", at, at + _LINE_BYTES)
    if stop == -1:
        return None
    fields = bytes(buffer[at:stop]).rstrip(b"\r").rsplit(b" ", _MOST_FIELDS)
    if not fields[-1].isdigit() or len(fields[-1]) > 15 or not _OPENING.match(fields[0]):
        return None
    for place in range(len(fields) - 3, 1, -1):
        if _DATE.fullmatch(fields[place]) and _IP.fullmatch(fields[place - 1]):
            url, date, media = (
                part.decode("utf-8", "replace")
                for part in (b" ".join(fields[: place - 1]), fields[place], fields[place + 1])
            )
            return _Header(url, date, media, int(fields[-1]), stop + 1 - at)
    return None


def _parse_header(buffer: bytes | bytearray, at: int) -> tuple[int, int] | str:
    found = _read_header(buffer, at)
    if found is None:
        line = bytes(buffer[at : at + 100]).partition(b"\n")[0]
        return f"expected URL, IP address, date, media type and length, found {line!r}"
    return found.size, found.length


def _opens(data: bytes) -> bool:
    return _OPENING.match(data) is not None


class Arc(Warc):
    """Pages of an ARC file, named by their place in it: ARC records have no id."""

    kind: ClassVar[str] = "arc"
    version: ClassVar[str] = "6"
    suffixes: ClassVar[tuple[str, ...]] = (".arc",)
    grammar: ClassVar[Grammar] = Grammar(_opens, _parse_header, _NEXT)

    def sniff(self, head: bytes, name: str) -> bool:
        """A file that opens with the description of an ARC file."""
        return head.startswith(b"filedesc:")

    def document(self, framed: Framed, options: ReadOptions, where: str, problems: Problems) -> Found | None:
        """The document in one record, or None where it is left out or set aside."""
        header = _read_header(framed.data, 0)
        if header is None:
            raise AssertionError("a framed record has a header")
        url, media = header.url, header.media
        if not url.lower().startswith(("http:", "https:")):
            problems.skip("filedesc" if url.lower().startswith("filedesc:") else "not_http")
            return None
        declared = media if media_type(media).endswith("html") else ""
        page = archived_response(framed, declared, options, where, problems)
        if page is None:
            return None
        page = replace(page, media_type=page.media_type or media_type(media))
        content = content_of(page, url, options, where, problems)
        return Found(content, url=url, date=_iso(header.date)) if content is not None else None


def _iso(stamp: str) -> str | None:
    """A date of fourteen digits as WARC writes it."""
    try:
        return datetime.strptime(stamp[:14], "%Y%m%d%H%M%S").strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return None
