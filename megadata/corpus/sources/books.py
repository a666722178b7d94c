"""Books: plain text (Project Gutenberg's or anyone's), EPUB and TEI. One file, one document."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import ClassVar

from megadata.corpus.sources.aozora import is_aozora, strip_aozora
from megadata.corpus.sources.bookcontents import without_contents
from megadata.corpus.sources.epub import EpubError, read_epub
from megadata.corpus.sources.extract import tidy
from megadata.corpus.sources.gutenberg import is_gutenberg, strip_frame
from megadata.corpus.sources.pages import is_paged, unpage
from megadata.corpus.sources.rewrap import rewrap
from megadata.corpus.sources.safexml import XmlError
from megadata.corpus.sources.tei import read_tei
from megadata.corpus.sources.whole import decoded_text, read_whole
from megadata.documents.batch import DocBatch, Record
from megadata.documents.source import Problems, ReadOptions, batches
from megadata.runtime.units import InputFile, Span


class _OneBook:
    """A file that is one book."""

    kind: ClassVar[str]
    default_source: ClassVar[str] = "books"
    version: ClassVar[str] = "5"

    def spans(self, file: InputFile, unit_bytes: int) -> list[Span]:
        """A book is read whole."""
        return [Span(file, 0, -1)]

    def read(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
        """The document of the file."""
        yield from batches(self._records(span.file, options, problems), span.file)

    def _records(self, file: InputFile, options: ReadOptions, problems: Problems) -> Iterator[tuple[int, Record]]:
        data = read_whole(file, options, problems)
        if data is None:
            return
        record = self._book(data, file, options, problems)
        if record is None:
            return
        if record.text:
            yield 0, record
        else:
            problems.add("no_text", file.name, "the book holds no text")

    def _book(self, data: bytes, file: InputFile, options: ReadOptions, problems: Problems) -> Record | None:
        raise TypeError(f"{type(self).__name__} does not say how it reads a book")


class PlainBook(_OneBook):
    """A book as plain text: the frame of Project Gutenberg and contents taken off, broken lines joined to paragraphs."""

    kind: ClassVar[str] = "gutenberg"
    suffixes: ClassVar[tuple[str, ...]] = (".txt",)

    def sniff(self, head: bytes, name: str) -> bool:
        """A text with Project Gutenberg's header."""
        return is_gutenberg(head)

    def _book(self, data: bytes, file: InputFile, options: ReadOptions, problems: Problems) -> Record | None:
        text = decoded_text(data, file, problems)
        if text is None:
            return None
        if is_paged(text):
            text = unpage(strip_frame(text))
        else:
            text = strip_aozora(text) if is_aozora(text) else without_contents(rewrap(strip_frame(text)))
        return Record(tidy(text), id=file.name)


class Epub(_OneBook):
    """An EPUB file: the pages of its spine in order, without cover, contents and licence."""

    kind: ClassVar[str] = "epub"
    suffixes: ClassVar[tuple[str, ...]] = (".epub",)

    def sniff(self, head: bytes, name: str) -> bool:
        """A zip file whose first entry says it is an EPUB."""
        return head.startswith(b"PK\x03\x04") and b"application/epub+zip" in head[:120]

    def _book(self, data: bytes, file: InputFile, options: ReadOptions, problems: Problems) -> Record | None:
        try:
            book = read_epub(io.BytesIO(data), options.max_record_bytes)
        except EpubError as error:
            problems.add(error.reason, file.name, str(error))
            return None
        for _ in book.missing:
            problems.skip("epub_page")
        notes: dict[str, object] = {"title": book.title, "authors": book.authors, "language": book.language}
        text = tidy(without_contents(strip_frame(book.text)))
        return Record(text, id=file.name, metadata={name: value for name, value in notes.items() if value})


class Tei(_OneBook):
    """A TEI XML file: the body's text."""

    kind: ClassVar[str] = "tei"
    suffixes: ClassVar[tuple[str, ...]] = (".xml", ".tei")

    def sniff(self, head: bytes, name: str) -> bool:
        """An XML file whose root is a TEI document."""
        return b"<TEI" in head or b"http://www.tei-c.org/ns/" in head

    def _book(self, data: bytes, file: InputFile, options: ReadOptions, problems: Problems) -> Record | None:
        try:
            book = read_tei(data)
        except XmlError as error:
            problems.add("bad_xml", file.name, str(error), data[:500].decode("utf-8", "replace"))
            return None
        notes = {"title": book.title, "author": book.author, "language": book.language}
        return Record(tidy(book.text), id=file.name, metadata={name: value for name, value in notes.items() if value})
