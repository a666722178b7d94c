"""Web archives: WARC 1.0 and 1.1, plain or compressed by record (gzip, zstd) or as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby
from typing import ClassVar

from resiliparse.parse.encoding import detect_mime

from megadata.corpus.sources.charset import decode
from megadata.corpus.sources.extract import Unread, admit, admit_stored, tidy
from megadata.corpus.sources.http import Response, charset, fields, media_type, parse_response
from megadata.corpus.sources.members import GZIP, Codec, Members, Piece, zstd, zstd_dictionary
from megadata.corpus.sources.pagebatches import texts_of
from megadata.corpus.sources.pagefacts import page_facts
from megadata.corpus.sources.warcframe import (
    HEADER_BYTES,
    WARC,
    Framed,
    Framing,
    Grammar,
    RecordIndex,
    find_record,
    one_record,
    opens_record,
    record_type,
)
from megadata.documents.batch import DocBatch, Record
from megadata.documents.damage import Damage
from megadata.documents.source import Problems, ReadOptions, batches
from megadata.runtime.entering import Stretch, decoded_length, open_at
from megadata.runtime.streams import compression_of, is_url, open_raw
from megadata.runtime.units import InputFile, Span, cut

_HTML = ("text/html", "application/xhtml+xml")
_TEXT = ("text/plain",)
_READ = ("response", "resource", "conversion")
_MARKUP = re.compile(r"[\ufeff\s]*<(?:\?xml\s|!--|[a-z][\w:.-]*[\s>])", re.IGNORECASE)
"""Begins a text that is no text but a tree of elements."""
_NOT_PAGES = ("metadata:", "urn:", "dns:", "whois:", "filedesc:")
_PROBE_BYTES = 1 << 20
_WHOLE_BYTES = 1 << 22
"""Members of up to this size are looked at as one record before they are taken apart."""


@dataclass(frozen=True, slots=True)
class Found:
    """A document as its record holds it."""

    content: str | Unread
    """Its text, or the page of which the text is yet to be extracted."""
    id: str | None = None
    url: str | None = None
    date: str | None = None


class Warc:
    """Pages of a web archive: response and resource records with HTML or plain text, and conversion records.

    A record belongs to the span that holds its first stored byte; what else an archive holds (requests, metadata, images,
    redirects) is counted and left out.
    """

    kind: ClassVar[str] = "warc"
    default_source: ClassVar[str] = "web"
    version: ClassVar[str] = "9"
    suffixes: ClassVar[tuple[str, ...]] = (".warc",)
    ranges: ClassVar[bool] = True

    grammar: ClassVar[Grammar] = WARC

    def sniff(self, head: bytes, name: str) -> bool:
        """A file that opens with a WARC header."""
        return opens_record(head)

    def spans(self, file: InputFile, unit_bytes: int) -> list[Span]:
        """Ranges of stored bytes where records are compressed one by one, of plain bytes where they are not compressed."""
        if _codec(file, self.grammar) is not None:
            return cut(file, file.size, unit_bytes)
        length = decoded_length(file)
        return [Span(file, 0, -1)] if length is None else cut(file, length, unit_bytes)

    def read(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
        """Documents of the records that begin in the span."""
        yield from batches(self._records(span, options, problems), span.file)

    def _records(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[tuple[int, Record]]:
        found = (((at, one), one.content) for at, one in self._found(span, options, problems))
        for (position, one), text in texts_of(found, options, problems):
            facts = page_facts(one.content.page) if isinstance(one.content, Unread) else {}
            if one.date:
                facts["date"] = one.date  # when it was crawled
            yield position, Record(text, one.id, one.url, facts or None)

    def _found(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[tuple[int, Found]]:
        for position, framed in _frames(span, self.grammar, options, problems):
            if framed.problem:
                problems.add(framed.problem, f"{span.file.name}:{position}", framed.detail)
                continue
            document = self.document(framed, options, f"{span.file.name}:{position}", problems)
            if document is not None:
                yield position, document

    def document(self, framed: Framed, options: ReadOptions, where: str, problems: Problems) -> Found | None:
        """The document in one record, or None where it is left out or set aside."""
        return _document(framed, options, where, problems)


@lru_cache(maxsize=64)
def _codec(file: InputFile, grammar: Grammar) -> Codec | None:
    """Codec of a file whose records are compressed one by one; None for plain files and for whole-file compression.

    In such a file the first member ends where a record does.
    """
    compression = compression_of(file.path)
    if file.unpacked is not None or compression not in ("gzip", "zstd") or decoded_length(file) is not None:
        return None
    with open_raw(file.path) as raw:
        dictionary = zstd_dictionary(raw) if compression == "zstd" else None
        codec = GZIP if compression == "gzip" else zstd(dictionary)
        members = Members(raw, codec, grammar.opens, lambda position, detail: None)
        size, first = 0, []
        for piece in members.read(0, _PROBE_BYTES):
            size += len(piece.data)
            first.append(piece.data)
            if piece.damaged:
                return codec
            if piece.last:
                framed = list(Framing(iter(first), _PROBE_BYTES, grammar))
                return None if not framed or framed[-1].problem == "truncated_record" else codec
            if size > _PROBE_BYTES:
                return None
    return codec


def _frames(span: Span, grammar: Grammar, options: ReadOptions, problems: Problems) -> Iterator[tuple[int, Framed]]:
    """Records that begin in the span, with their positions in the file."""
    codec = _codec(span.file, grammar)
    if codec is not None:
        yield from _member_frames(span, codec, grammar, options, problems)
        return
    file = span.file
    damage = Damage(span, problems)
    length = decoded_length(file)
    stop = length if span.stop == -1 else span.stop
    broken = file.unpacked is not None and bool(file.unpacked.damage)
    start = 0 if stop is None else _first_record(span, stop, options.max_record_bytes, grammar, damage)
    while start is not None:
        stretch = Stretch(file, start, damage)
        room = None if length is None or broken else length - start
        for framed in Framing(iter(stretch), options.max_record_bytes, grammar, room):
            position = start + framed.offset
            # A broken header is found by no later span: it belongs to the record before it.
            if stop is not None and position >= stop and framed.problem != "bad_warc_record":
                return
            if not (damage.ended and framed.problem == "truncated_record"):
                yield position, framed
        behind = stretch.resumes
        start = None if behind is None or stop is None else _find_record(file, behind, behind, stop, grammar, damage)


def _first_record(span: Span, stop: int, max_bytes: int, grammar: Grammar, damage: Damage) -> int | None:
    """Where the first record of a span begins; None where none does."""
    file = span.file
    if span.start == 0:
        return 0
    if file.unpacked is not None or is_url(file.path) or compression_of(file.path) is not None:
        return _find_record(file, max(span.start - 4, 0), span.start, stop, grammar, damage)
    return _index(file, max_bytes, grammar).first(span.start, stop)


def _find_record(file: InputFile, at: int, start: int, stop: int, grammar: Grammar, damage: Damage) -> int | None:
    """The first record in [start, stop) of those found by reading from `at` on; None where there is none."""
    while at < stop:
        stretch = Stretch(file, at, damage)
        found = find_record(_until(stop + HEADER_BYTES - at, iter(stretch)), max(start - at, 0), stop - at, grammar)
        if found is not None:
            return at + found
        if stretch.resumes is None:
            return None
        at = stretch.resumes
    return None


@lru_cache(maxsize=8)
def _index(file: InputFile, max_bytes: int, grammar: Grammar) -> RecordIndex:
    return RecordIndex(lambda: open_at(file, 0), file.size, max_bytes, grammar)


def _until(size: int, found: Iterator[bytes]) -> Iterator[bytes]:
    """The first `size` bytes."""
    for block in found:
        yield block[:size]
        size -= len(block)
        if size <= 0:
            return


def _member_frames(
    span: Span, codec: Codec, grammar: Grammar, options: ReadOptions, problems: Problems
) -> Iterator[tuple[int, Framed]]:
    damaged: list[int] = []

    def on_damage(position: int, detail: str) -> None:
        damaged.append(position)
        problems.add("damaged_compression", f"{span.file.name}:{position}", detail)

    stop = span.file.size if span.stop == -1 else span.stop
    with open_raw(span.file.path) as raw:
        members = Members(raw, codec, grammar.opens, on_damage).read(span.start, stop)
        for position, pieces in groupby(members, key=lambda piece: piece.position):
            start, whole = _start_of(pieces)
            if whole and (record := one_record(start, options.max_record_bytes, grammar)) is not None:
                yield position, record
                continue
            held: Framed | None = None
            for framed in Framing(chain((start,), (piece.data for piece in pieces)), options.max_record_bytes, grammar):
                if held is not None:
                    yield position, held
                held = framed
            # The last record of a damaged member is not whole, or cannot be trusted.
            if held is not None and position not in damaged:
                yield position, held


def _start_of(pieces: Iterator[Piece]) -> tuple[bytes, bool]:
    """The first bytes of a member, and whether they are all of it."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece.data)
        size += len(piece.data)
        if piece.last or size > _WHOLE_BYTES:
            return b"".join(held), piece.last and not piece.damaged
    return b"".join(held), False


def _document(framed: Framed, options: ReadOptions, where: str, problems: Problems) -> Found | None:
    """The document in one record, or None where it is left out or set aside."""
    kind = record_type(framed)
    if kind not in _READ:
        problems.skip(kind)
        return None
    headers = fields(framed.data[: framed.content].decode("utf-8", "replace"))
    declared = headers.get("content-type", "")
    if kind == "resource" and (_url(headers) or "").startswith(_NOT_PAGES):
        problems.skip("crawler_notes")
        return None
    page: Response | None
    if kind == "response":
        page = archived_response(framed, declared, options, where, problems)
    else:
        page = stored(framed, declared)
        if kind == "conversion" and page.media_type not in _HTML:
            text = plain_text(decode(page.body, page.charset, markup=False), where, problems)
            return _with_headers(text, headers) if text is not None else None
    content = content_of(page, _url(headers), options, where, problems) if page is not None else None
    return _with_headers(content, headers) if content is not None else None


def stored(framed: Framed, declared: str) -> Response:
    """The content of a record as a page, of the Content-Type that the record declares."""
    return Response(200, media_type(declared), charset(declared), framed.data[framed.content : framed.stop])


def archived_response(
    framed: Framed, declared: str, options: ReadOptions, where: str, problems: Problems
) -> Response | None:
    """The page in a record of an HTTP response; None where it is left out or set aside.

    Some tools write pages without the HTTP header; the record then declares HTML.
    """
    response = parse_response(framed.data, options.max_record_bytes, framed.content, framed.stop)
    if response is not None:
        if 200 <= response.status < 300:
            return response
        problems.skip("http_status")
    elif media_type(declared) in _HTML:
        return stored(framed, declared)
    elif media_type(declared) in ("application/http", ""):
        content = framed.data[framed.content : framed.content + 200]
        problems.add("bad_http", where, "expected an HTTP status line", content.decode("utf-8", "replace"))
    else:
        problems.skip("not_http")
    return None


def content_of(
    page: Response, url: str | None, options: ReadOptions, where: str, problems: Problems
) -> str | Unread | None:
    """A page of HTML, or a plain text; None where it is left out or set aside."""
    body = page.body
    media = page.media_type or detect_mime(body[:_PROBE_BYTES])
    if media not in _HTML + _TEXT:
        problems.skip("media_type")
        return None
    if page.problem == "too_large":
        problems.add("record_too_large", where, f"more than {options.max_record_bytes} bytes when decompressed")
        return None
    if page.problem and not body:
        problems.add("bad_http", where, page.problem)
        return None
    if not body or body.isspace():
        problems.skip("empty_body")
        return None
    if media in _TEXT:
        text = decode(body, page.charset, markup=False)
        if not text.lstrip()[:15].lower().startswith(("<!doctype html", "<html")):
            if _MARKUP.match(text) and text.endswith(">", 0, len(text.rstrip())):
                problems.skip("media_type")  # a playlist, a feed, a script: servers call anything plain text
                return None
            return plain_text(text, where, problems)
        return admit(text, url, options, where, problems)
    return admit_stored(body, page.charset, url, options, where, problems)


def plain_text(text: str, where: str, problems: Problems) -> str | None:
    """A text as it stands, tidied; None where there is none."""
    text = tidy(text)
    if not text:
        problems.add("no_text", where, "the record holds no text")
    return text or None


def _with_headers(content: str | Unread, headers: dict[str, str]) -> Found:
    own = headers.get("warc-record-id", "").strip("<>")
    return Found(content, own or None, _url(headers), headers.get("warc-date"))


def _url(headers: dict[str, str]) -> str | None:
    return headers.get("warc-target-uri", "").strip("<>") or None
