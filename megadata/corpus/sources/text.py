"""Plain text files, and the ``<doc>`` files that wikiextractor writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from megadata.corpus.sources.charset import decode
from megadata.corpus.sources.elements import Elements, span_chunks
from megadata.corpus.sources.entities import unescape
from megadata.corpus.sources.extract import tidy
from megadata.corpus.sources.pages import is_paged, unpage
from megadata.corpus.sources.whole import decoded_text, read_whole
from megadata.corpus.sources.wikinames import database_of
from megadata.documents.batch import DocBatch, Record
from megadata.documents.damage import Damage
from megadata.documents.source import Problems, ReadOptions, batches
from megadata.runtime.entering import decoded_length
from megadata.runtime.units import InputFile, Span, cut

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_DOC = re.compile(rb'<doc (?=id="|url="|title=")')
_DOC_END = b"</doc>"
_ATTRIBUTE = re.compile(r'\b(\w+)="([^"]*)"')
_TAG = re.compile(r"</?[^\W\d][^<>\n]{0,200}>")
_LEFT_OVER = re.compile(
    r"</?(?:templatestyles|onlyinclude|includeonly|noinclude|poem|section|ref|br|nowiki|gallery|div|span)\b[^<>\n]*/?>"
    r"|__[A-Z]{4,}__",
    re.IGNORECASE,
)
_PASSED_OVER = frozenset({"license", "licence", "copying", "makefile", "dockerfile", "changelog", "authors", "notice"})


class PlainText:
    """A text file is one document; its id is its path. Text that came out of pages (PDF, OCR) is made running text."""

    kind: ClassVar[str] = "txt"
    default_source: ClassVar[str] = "text"
    version: ClassVar[str] = "3"
    suffixes: ClassVar[tuple[str, ...]] = (".txt", ".text", ".md")

    def sniff(self, head: bytes, name: str) -> bool:
        """A file with one of our endings, or without any, whose first bytes hold no control characters."""
        last = name.rpartition("/")[2].lower()
        named = last.endswith(self.suffixes) or ("." not in last and last not in _PASSED_OVER)
        return named and bool(head.strip()) and _CONTROL.search(head) is None

    def spans(self, file: InputFile, unit_bytes: int) -> list[Span]:
        """A document is read whole."""
        return [Span(file, 0, -1)]

    def read(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
        """The document of the file."""
        yield from batches(self._records(span, options, problems), span.file)

    def _records(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[tuple[int, Record]]:
        data = read_whole(span.file, options, problems)
        text = None if data is None else decoded_text(data, span.file, problems)
        if text is None:
            return
        text = tidy(unpage(text) if is_paged(text) else text)
        if text:
            yield 0, Record(text, id=span.file.name)
        else:
            problems.add("no_text", span.file.name, "nothing but blanks")


class WikiDoc:
    """Articles as wikiextractor writes them: ``<doc id="12" url="..." title="...">``, the title, the text, ``</doc>``."""

    kind: ClassVar[str] = "wikidoc"
    default_source: ClassVar[str] = "wikipedia"
    version: ClassVar[str] = "2"
    suffixes: ClassVar[tuple[str, ...]] = (".wiki",)
    ranges: ClassVar[bool] = True

    def sniff(self, head: bytes, name: str) -> bool:
        """A file that opens with such an element."""
        return _DOC.match(head.lstrip(b"\xef\xbb\xbf \t\r\n")) is not None

    def spans(self, file: InputFile, unit_bytes: int) -> list[Span]:
        """Byte ranges of decoded text; one span where the file can only be read from its start."""
        length = decoded_length(file)
        return [Span(file, 0, -1)] if length is None else cut(file, length, unit_bytes)

    def read(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
        """Documents of the elements that begin in the span."""
        yield from batches(self._records(span, options, problems), span.file)

    def _records(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[tuple[int, Record]]:
        damage = Damage(span, problems)
        for element in Elements(span_chunks(span, damage), _DOC, _DOC_END, options.max_record_bytes):
            position = span.start + element.offset
            where = f"{span.file.name}:{position}"
            if element.problem:
                if not damage.ended:
                    problems.add(element.problem, where, element.detail)
                continue
            record = _article(element.data)
            if record is None:
                problems.add(
                    "no_text", where, "no text besides the title", element.data[:500].decode("utf-8", "replace")
                )
            else:
                yield position, record


def _without_comments(text: str) -> str:
    """Text without comments that begin and end in one line."""
    if "<!--" not in text:
        return text
    lines = text.split("\n")
    for number, line in enumerate(lines):
        kept: list[str] = []
        at = 0
        while (start := line.find("<!--", at)) >= 0 and (end := line.find("-->", start + 4)) >= 0:
            kept.append(line[at:start])
            at = end + 3
        lines[number] = "".join(kept) + line[at:]
    return "\n".join(lines)


def _article(data: bytes) -> Record | None:
    head, _, body = decode(data, markup=False).partition("\n")
    attributes = {name: unescape(value) for name, value in _ATTRIBUTE.findall(head)}
    title, url, number = (attributes.get(name, "") for name in ("title", "url", "id"))
    body = body.removesuffix(_DOC_END.decode())
    body = _LEFT_OVER.sub("", unescape(_TAG.sub("", _without_comments(body)))).replace("\xa0", " ")
    first, _, rest = body.lstrip("\n").partition("\n")
    text = tidy(rest if title and first.strip() == title.strip() else body)
    if not text.strip():
        return None
    wiki = database_of(url)
    own = f"{wiki}:{number}" if wiki and number else number or None
    return Record(text.strip(), id=own, url=url or None, metadata={"title": title} if title else None)
