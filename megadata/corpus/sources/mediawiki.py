"""MediaWiki XML exports: Wikipedia dumps, plain or compressed, and pages from Special:Export."""

from __future__ import annotations

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar
from urllib.parse import quote
from xml.etree import ElementTree

from megadata.config import nearest
from megadata.corpus.sources.elements import Chunk, Elements, span_chunks
from megadata.corpus.sources.members import BZIP2, Members
from megadata.corpus.sources.safexml import MAX_ELEMENTS
from megadata.corpus.sources.wikinames import CANONICAL_NAMESPACES, database_of, split_address, target_of
from megadata.corpus.sources.wikitext import Wikitext, WikitextError
from megadata.documents.batch import DocBatch, Record
from megadata.documents.damage import Damage
from megadata.documents.source import Problems, ReadOptions, batches
from megadata.errors import ConfigError, CorpusError
from megadata.runtime.damage import DamagedStream
from megadata.runtime.entering import decoded_length, open_at
from megadata.runtime.streams import compression_of, open_raw, read_block
from megadata.runtime.units import InputFile, Span, cut

_PAGE = re.compile(rb"<page(?=[\s>])")
_PAGE_END = b"</page>"
_HEAD_BYTES = 4 << 20
_SITEINFO, _SITEINFO_END = b"<siteinfo>", b"</siteinfo>"
_LANGUAGE = re.compile(rb"""<mediawiki[^<>]*?\bxml:lang\s*=\s*["']([^"'<>]+)["']""")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WIDE = (BOM_UTF16_LE, BOM_UTF16_BE)
_FIRST_STREAM_BYTES = 8 << 20
_RATIO = 4
"""Decoded bytes of a dump for each byte that bzip2 stores, about: units are measured in what must be parsed."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a dump says of its wiki."""

    database: str
    base: str
    """Address up to the page's title (``https://en.wikipedia.org/wiki/``), or empty."""
    language: str
    namespaces: tuple[tuple[int, str], ...]


class MediaWiki:
    """Articles of a dump: pages of the namespaces asked for, redirects and disambiguations only where they are wanted.

    A page belongs to the span that holds its first byte; in a bzip2 file of many streams, to the span that holds the first byte
    of the stream it begins in. Entities other than XML's own are unknown to the parser, which sees one page at a time and never a
    document type, so that no entity is ever expanded or fetched.
    """

    kind: ClassVar[str] = "mediawiki"
    default_source: ClassVar[str] = "wikipedia"
    version: ClassVar[str] = "4"
    suffixes: ClassVar[tuple[str, ...]] = (".xml",)
    ranges: ClassVar[bool] = True

    def sniff(self, head: bytes, name: str) -> bool:
        """A file whose root element is `mediawiki`."""
        return b"<mediawiki" in (head.replace(b"\0", b"") if head.startswith(_WIDE) else head)

    def spans(self, file: InputFile, unit_bytes: int) -> list[Span]:
        """Ranges of plain bytes, or of stored bytes where bzip2 streams follow one another; else the whole."""
        if _is_wide(file):
            return [Span(file, 0, -1)]
        if _is_multistream(file):
            return cut(file, file.size, max(unit_bytes // _RATIO, 1))
        length = decoded_length(file)
        return [Span(file, 0, -1)] if length is None else cut(file, length, unit_bytes)

    def read(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
        """Documents of the pages that begin in the span."""
        yield from batches(self._records(span, options, problems), span.file)

    def _records(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[tuple[int, Record]]:
        site = read_site(span.file)
        own = options.wiki_templates if isinstance(options.wiki_templates, dict) else None
        converter = Wikitext(site.namespaces, site.language, options.wiki_tables == "flatten", own)
        wanted = _numbers(options.namespaces, site)
        damage = Damage(span, problems)
        for element in Elements(_chunks(span, problems, damage), _PAGE, _PAGE_END, options.max_record_bytes):
            where = f"{span.label}+{element.offset}"
            if element.problem:
                if not damage.ended:
                    problems.add(element.problem, where, element.detail)
                continue
            record = _article(element.data, site, converter, wanted, options, where, problems)
            if record is not None:
                yield span.start + element.offset, record


@lru_cache(maxsize=64)
def _is_wide(file: InputFile) -> bool:
    """Whether a dump was saved as UTF-16, as some editors do."""
    try:
        with open_at(file, 0) as stream:
            return read_block(stream, 2).startswith(_WIDE)
    except DamagedStream:
        return False


@lru_cache(maxsize=64)
def _is_multistream(file: InputFile) -> bool:
    """Whether a bzip2 file has a small first stream with another behind it, as multistream dumps have."""
    if compression_of(file.path) != "bzip2" or file.unpacked is not None:
        return False
    with open_raw(file.path) as raw:
        decoded = 0
        for piece in Members(raw, BZIP2, None, lambda position, detail: None).read(0, 1, beyond=True):
            decoded += len(piece.data)
            if piece.position > 0 or decoded > _FIRST_STREAM_BYTES:
                return piece.position > 0
    return False


def _chunks(span: Span, problems: Problems, damage: Damage) -> Iterator[Chunk]:
    """Decoded bytes from the span's start on; beyond its stop they are marked as not owned."""
    file = span.file
    if _is_wide(file):
        decoder = getincrementaldecoder("utf-16")("replace")
        for chunk in span_chunks(span, damage):
            yield Chunk(decoder.decode(chunk.data).encode(), gap=chunk.gap)
        return
    if _is_multistream(file):
        stop = file.size if span.stop == -1 else span.stop

        def on_damage(position: int, detail: str) -> None:
            problems.add("damaged_compression", f"{file.name}:{position}", detail)

        with open_raw(file.path) as raw:
            for piece in Members(raw, BZIP2, None, on_damage).read(span.start, stop, beyond=True):
                yield Chunk(piece.data, piece.position < stop, gap=piece.damaged)
        return
    yield from span_chunks(span, damage)


@lru_cache(maxsize=64)
def read_site(file: InputFile) -> Site:
    """Site information from the head of a dump; what is missing is made up from the language and the file's name."""
    blocks = bytearray()
    try:
        with open_at(file, 0) as stream:
            while len(blocks) < _HEAD_BYTES and b"</siteinfo>" not in blocks and b"<page>" not in blocks:
                block = read_block(stream, 1 << 16)
                if not block:
                    break
                blocks += block
    except CorpusError:
        pass
    if blocks.startswith(_WIDE):
        blocks = bytearray(blocks.decode("utf-16", "replace").encode())
    language = _LANGUAGE.search(blocks)
    tongue = language[1].decode("ascii", "replace") if language is not None else ""
    start = blocks.find(_SITEINFO)
    end = blocks.find(_SITEINFO_END, start)
    root = _parse(bytes(blocks[start : end + len(_SITEINFO_END)])) if 0 <= start < end else None
    if root is None:
        return Site(file.name.rpartition("/")[2].partition(".")[0], "", tongue, ())
    address = split_address(root.findtext("base") or "")
    base = f"{address.scheme}://{address.netloc}{address.path.rpartition('/')[0]}/" if address.netloc else ""
    database = root.findtext("dbname") or database_of(root.findtext("base") or "")
    names = [
        (int(n.get("key", "0")), n.text or "")
        for n in root.iter("namespace")
        if re.fullmatch(r"-?\d{1,9}", n.get("key", ""))
    ]
    database = database or file.name.rpartition("/")[2].partition(".")[0]
    return Site(database, base, tongue or address.netloc.partition(".")[0], tuple(names))


def _parse(data: bytes) -> ElementTree.Element | None:
    """The element in `data`, which begins with its opening tag; bytes and characters that XML forbids are passed over.

    None for what is no XML, or has more tags and attributes than a tree should hold.
    """
    if data.count(b"<") + data.count(b'="') + data.count(b"='") > 2 * MAX_ELEMENTS:
        return None
    try:
        return ElementTree.fromstring(data)
    except ElementTree.ParseError:
        pass
    text = _NOT_XML.sub("", data.decode("utf-8", "replace"))
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        return None


def _numbers(namespaces: tuple[int | str, ...], site: Site) -> frozenset[int]:
    """Numbers of the namespaces asked for; names are those of the dump or of the English Wikipedia."""
    known = {name.casefold(): number for number, name in site.namespaces}
    known = {name.casefold(): number for name, number in CANONICAL_NAMESPACES.items()} | known
    found = set()
    for one in namespaces:
        name = str(one).replace("_", " ").strip().casefold()
        if re.fullmatch(r"-?\d{1,9}", name):
            found.add(int(name))
        elif name in known:
            found.add(known[name])
        else:
            raise ConfigError(f"read.namespaces: this dump has no namespace {one!r}{nearest(name, known)}")
    return frozenset(found)


def _article(
    data: bytes, site: Site, converter: Wikitext, wanted: frozenset[int], options: ReadOptions, where: str, problems: Problems
) -> Record | None:  # fmt: skip
    """The document of a page, or None where it is left out or set aside."""
    page = _parse(data)
    if page is None:
        problems.add("bad_xml", where, "the page is not well-formed XML", data[:500].decode("utf-8", "replace"))
        return None
    title = (page.findtext("title") or "").strip()
    if _namespace(page.findtext("ns"), title, site) not in wanted:
        problems.skip("namespace")
        return None
    revisions = page.findall("revision")
    if not revisions:
        problems.add("no_text", where, f"page {title!r} has no revision")
        return None
    revision = max(revisions, key=lambda r: r.findtext("timestamp") or "")
    source = revision.findtext("text") or ""
    redirect = page.find("redirect")
    if redirect is not None or converter.is_redirect(source):
        if options.redirects == "skip":
            problems.skip("redirect")
            return None
        target = (redirect.get("title") if redirect is not None else None) or target_of(source)
        if not target:
            problems.add("no_text", where, f"redirect {title!r} names no target", source[:500])
            return None
        return _record(target, page, revision, title, site, {"redirect": target})
    if (model := revision.findtext("model")) not in (None, "wikitext"):
        problems.skip(f"model_{model}")
        return None
    if options.disambiguations == "skip" and converter.is_disambiguation(source):
        problems.skip("disambiguation")
        return None
    try:
        text = converter.text(source, title)
    except WikitextError as error:
        problems.add("bad_wikitext", where, f"{title}: {error}", source[:500])
        return None
    if not text:
        problems.add("no_text", where, f"page {title!r} holds no text besides markup", source[:500])
        return None
    return _record(text, page, revision, title, site, {})


def _record(
    text: str, page: ElementTree.Element, revision: ElementTree.Element, title: str, site: Site, more: dict[str, str]
) -> Record:
    number, version = page.findtext("id") or "", revision.findtext("id") or ""
    stamp = revision.findtext("timestamp")
    return Record(
        text,
        id=f"{site.database}:{number}:{version}" if number else None,
        url=site.base + quote(title.replace(" ", "_"), safe="/:(),!*'@;$") if site.base and title else None,
        metadata={"title": title, **({"timestamp": stamp} if stamp else {}), **more},
    )


def _namespace(given: str | None, title: str, site: Site) -> int:
    """Number of a page's namespace; exports before 0.6 tell it by the title alone."""
    if given is not None:
        return int(given) if re.fullmatch(r"\s*-?\d{1,9}\s*", given) else 0
    prefix, colon, _ = title.partition(":")
    names = {name.casefold(): key for key, name in site.namespaces if key != 0 and name}
    return names.get(prefix.strip().casefold(), 0) if colon else 0
