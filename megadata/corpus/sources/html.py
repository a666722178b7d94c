"""Bare HTML files: one file, one document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from megadata.corpus.sources.bookcontents import without_contents
from megadata.corpus.sources.charset import decode
from megadata.corpus.sources.extract import extract, tidy
from megadata.corpus.sources.gutenberg import strip_frame
from megadata.corpus.sources.pagefacts import page_facts
from megadata.corpus.sources.whole import read_whole
from megadata.corpus.sources.xhtml import page_text
from megadata.documents.batch import DocBatch, Record
from megadata.documents.source import Problems, ReadOptions, batches
from megadata.runtime.units import InputFile, Span

_LOOKS_LIKE_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body|meta|title|div|p|table)\b", re.IGNORECASE)
_CANONICAL = re.compile(r"""<link[^>]{0,300}\brel\s*=\s*["']?canonical["'\s][^>]{0,1000}>""", re.IGNORECASE)
_HREF = re.compile(r"""\bhref\s*=\s*["']?(https?://[^"'\s>]+)""", re.IGNORECASE)


class Html:
    """A saved page. Its id is its path; its URL is the canonical one where the page names it.

    Where the user says that the pages are books, all their text counts, not only what looks like an article.
    """

    kind: ClassVar[str] = "html"
    default_source: ClassVar[str] = "web"
    version: ClassVar[str] = "7"
    suffixes: ClassVar[tuple[str, ...]] = (".html", ".htm", ".xhtml", ".shtml")

    def sniff(self, head: bytes, name: str) -> bool:
        """A file that opens with a doctype or one of the elements every page has."""
        start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
        return start.startswith(b"<") and b"<mediawiki" not in head and bool(_LOOKS_LIKE_HTML.search(head))

    def spans(self, file: InputFile, unit_bytes: int) -> list[Span]:
        """A page is read whole."""
        return [Span(file, 0, -1)]

    def read(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
        """The document of the file."""
        yield from batches(self._records(span, options, problems), span.file)

    def _records(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[tuple[int, Record]]:
        data = read_whole(span.file, options, problems)
        if data is None:
            return
        html = decode(data)
        url = canonical_url(html)
        if span.file.family == "books":
            text = whole_page(html, span.file.name, problems)
        else:
            text = extract(html, url, options, span.file.name, problems)
        if text is not None:
            yield 0, Record(text, id=span.file.name, url=url, metadata=page_facts(html) or None)


def canonical_url(html: str) -> str | None:
    """Address that a page gives for itself, or None."""
    link = _CANONICAL.search(html)
    address = _HREF.search(link[0]) if link is not None else None
    return address[1] if address is not None else None


def whole_page(html: str, where: str, problems: Problems) -> str | None:
    """Text of a book that is one page; None where it is set aside."""
    text = tidy(without_contents(strip_frame(page_text(html))))
    if not text:
        problems.add("no_text", where, "no text, or too deep to be parsed", html[:500])
    return text or None
