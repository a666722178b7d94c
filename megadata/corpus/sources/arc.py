"""ARC files of the Internet Archive (1996 to about 2009, versions 1 and 2), plain or compressed by record."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

from megadata.corpus.sources.http import media_type
from megadata.corpus.sources.warc import Warc, archived_response, page_text
from megadata.corpus.sources.warcframe import HEADER_BYTES, Framed, Grammar
from megadata.documents.batch import Record
from megadata.documents.source import Problems, ReadOptions

_OPENING = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]{0,15}:")
_NEXT = re.compile(rb"(?=(?:https?|ftp|gopher)://|(?:dns|whois|filedesc|warcinfo|metadata):)")
_HEADER = re.compile(
    rb"([A-Za-z][A-Za-z0-9+.\-]{0,15}:[^\n]{0,4096}?) ([0-9A-Fa-f.:]{1,45}) (\d{8,18}) (\S+) (?:[^\n]{0,4096} )?(\d{1,15})\r?\n"
)
"""Address, which may hold spaces; IP address; date; media type; in version 2 more; length."""


def _parse_header(buffer: bytes | bytearray, at: int) -> tuple[int, int] | str:
    found = _HEADER.match(buffer, at, at + HEADER_BYTES)
    if found is None:
        line = bytes(buffer[at : at + 100]).partition(b"\n")[0]
        return f"expected URL, IP address, date, media type and length, found {line!r}"
    return found.end() - at, int(found[5])


def _opens(data: bytes) -> bool:
    return _OPENING.match(data) is not None


class Arc(Warc):
    """Pages of an ARC file, named by their place in it: ARC records have no id."""

    kind: ClassVar[str] = "arc"
    version: ClassVar[str] = "1"
    suffixes: ClassVar[tuple[str, ...]] = (".arc",)
    grammar: ClassVar[Grammar] = Grammar(_opens, _parse_header, _NEXT)

    def sniff(self, head: bytes, name: str) -> bool:
        """A file that opens with the description of an ARC file."""
        return head.startswith(b"filedesc:")

    def document(self, framed: Framed, options: ReadOptions, where: str, problems: Problems) -> Record | None:
        """The document of one record, or None where it is left out or set aside."""
        header = _HEADER.match(framed.data)
        if header is None:
            raise AssertionError("a framed record has a header")
        url, _, stamp, media, _ = (part.decode("utf-8", "replace") for part in header.groups())
        if not url.lower().startswith(("http:", "https:")):
            problems.skip("filedesc" if url.lower().startswith("filedesc:") else "not_http")
            return None
        declared = media if media_type(media).endswith("html") else ""
        page = archived_response(framed, declared, options, where, problems)
        if page is None:
            return None
        text = page_text(replace(page, media_type=page.media_type or media_type(media)), url, options, where, problems)
        date = _iso(stamp)
        return Record(text, url=url, metadata={"date": date} if date else None) if text is not None else None


def _iso(stamp: str) -> str | None:
    """A date of fourteen digits as WARC writes it."""
    try:
        return datetime.strptime(stamp[:14], "%Y%m%d%H%M%S").strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return None
