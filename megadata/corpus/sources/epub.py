"""EPUB 2 and 3: the pages of the spine, in order, from a zip file that is never unpacked to disk."""

from __future__ import annotations

import lzma
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from megadata.corpus.sources.charset import decode
from megadata.corpus.sources.safexml import XmlError, parse
from megadata.corpus.sources.xhtml import page_text

MAX_ENTRIES = 20_000
_ENTRY = b"PK\x01\x02"
"""Begins what the directory of a zip file says of one entry."""
_PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document")
_FRAME = frozenset(
    ("cover", "toc", "index", "copyright-page", "loi", "lot", "imprint", "colophon", "landmarks", "page-list")
)
_TYPES = re.compile(r"""\bepub:type\s*=\s*["']([^"'>]{1,200})["']""")
_BODY = re.compile(r"<body\b[^<>]*>", re.IGNORECASE)
_SECTION = re.compile(r"<(?:section|div|nav)\b[^<>]*>", re.IGNORECASE)
_ANCHOR = re.compile(r"<a\b([^<>]*)>|</a\s*>", re.IGNORECASE)
_HREF = re.compile(r"\bhref\b", re.IGNORECASE)
_MARKUP = re.compile(r"<[^<>]*>")
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, RuntimeError, ValueError,
)  # fmt: skip
"""What the zip reader raises on damage, unknown compression and passwords."""
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_FONT_ALGORITHMS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


class EpubError(Exception):
    """A file that is no readable EPUB; `reason` is the name it is counted under."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Book:
    """What an EPUB holds."""

    text: str
    title: str
    authors: list[str]
    language: str
    missing: list[str] = field(default_factory=list)
    """Pages of the spine that could not be read, and why."""


def read_epub(stream: BinaryIO, max_bytes: int) -> Book:
    """Read a book.

    Raises
    ------
    EpubError
        When the file is no zip file, has no package document, is encrypted, or unpacks to more than `max_bytes`.
    """
    count = stream.read().count(_ENTRY)
    if count > MAX_ENTRIES:  # before the zip reader makes an object of each
        raise EpubError("bad_epub", f"{count} entries, at most {MAX_ENTRIES} are read")
    try:
        with zipfile.ZipFile(stream) as archive:
            return _read(_Archive(archive, max_bytes))
    except _UNREADABLE as error:
        raise EpubError("bad_epub", f"{type(error).__name__}: {error}") from error


class _Archive:
    """Entries of the zip file by name, within a budget of unpacked bytes."""

    def __init__(self, archive: zipfile.ZipFile, max_bytes: int) -> None:
        self._archive, self._left, self._max = archive, max_bytes, max_bytes
        names = archive.namelist()
        self._names = {name.lower(): name for name in reversed(names)} | {name: name for name in names}

    def find(self, ending: str) -> str | None:
        return next((name for name in self._archive.namelist() if name.lower().endswith(ending)), None)

    def read(self, name: str) -> bytes | None:
        known = self._names.get(name) or self._names.get(name.lower())
        if known is None:
            return None
        with self._archive.open(known) as entry:
            data = entry.read(self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise EpubError("record_too_large", f"unpacks to more than {self._max} bytes")
        return data


def _read(archive: _Archive) -> Book:
    container = archive.read("META-INF/container.xml")
    root = _xml(container, "META-INF/container.xml") if container else None
    found = root.find(".//rootfile") if root is not None else None
    place = unquote(found.get("full-path", "")) if found is not None else archive.find(".opf")
    data = archive.read(place) if place else None
    if not place or data is None:
        raise EpubError("bad_epub", "no package document (.opf)")
    package = _xml(data, place)
    folder = posixpath.dirname(place)
    items = {item.get("id", ""): item for item in package.iter("item")}
    left_out = _frame_pages(package, folder)
    encrypted = _encrypted(archive)
    pages: list[str] = []
    missing: list[str] = []
    for itemref in package.iter("itemref"):
        item = items.get(itemref.get("idref", ""))
        if item is None or itemref.get("linear") == "no" or "nav" in (item.get("properties") or "").split():
            continue
        if item.get("media-type", _PAGES[0]) not in _PAGES:
            continue
        path = entry_path(folder, item.get("href", ""))
        if path is None or path in encrypted:
            missing.append(f"{item.get('href')}: {'outside the book' if path is None else 'encrypted'}")
            continue
        if path in left_out:
            continue
        page = archive.read(path)
        if page is None:
            missing.append(f"{path}: not in the file")
            continue
        html = decode(page)
        if not is_frame(html) and (text := page_text(html)):
            pages.append(text)
    if encrypted and not pages:
        raise EpubError("encrypted_epub", "the pages are encrypted (DRM)")
    return Book(
        "\n\n".join(pages),
        _first(package, "title"),
        [text for e in package.iter("creator") if (text := " ".join("".join(e.itertext()).split()))],
        _first(package, "language"),
        missing,
    )


def entry_path(folder: str, href: str) -> str | None:
    """Name of the entry that a link in `folder` means; None where it leads out of the book."""
    path = posixpath.normpath(posixpath.join(folder, unquote(href.partition("#")[0])))
    return None if path == "." or path.startswith(("/", "..")) or _SCHEME.match(href) else path


def is_frame(html: str) -> bool:
    """Whether a page is part of the book's frame: by its declared type, or since it holds little but links."""
    body = _BODY.search(html)
    start = body.start() if body is not None else 0
    section = _SECTION.search(html, start)
    for tag in (body, section):
        types = _TYPES.search(tag[0]) if tag is not None else None
        if types is not None and _FRAME & set(types[1].split()):
            return True
    links = list(_links(html, start))
    if len(links) < 5:
        return False
    linked = sum(len(_MARKUP.sub("", text).strip()) for text in links)
    whole = len(" ".join(_MARKUP.sub(" ", html[start:]).split()))
    return linked * 10 > whole * 6


def _links(html: str, start: int) -> Iterator[str]:
    """What stands between the tags of links."""
    opened: int | None = None
    for tag in _ANCHOR.finditer(html, start):
        if tag[1] is None and opened is not None:
            yield html[opened : tag.start()]
            opened = None
        elif tag[1] is not None and opened is None and _HREF.search(tag[1]):
            opened = tag.end()


def _frame_pages(package: Element, folder: str) -> set[str]:
    """Entries that the guide of EPUB 2 names as cover, contents and the like."""
    pages = set()
    for reference in package.iter("reference"):
        href = reference.get("href", "")
        # A table of contents inside a chapter's file ("part1.xhtml#toc") does not make the file one.
        if reference.get("type", "").lower() in _FRAME and "#" not in href and (path := entry_path(folder, href)):
            pages.add(path)
    return pages


def _encrypted(archive: _Archive) -> set[str]:
    data = archive.read("META-INF/encryption.xml")
    if not data:
        return set()
    names = set()
    for entry in _xml(data, "META-INF/encryption.xml").iter("EncryptedData"):
        method, reference = entry.find("EncryptionMethod"), entry.find(".//CipherReference")
        algorithm = method.get("Algorithm", "") if method is not None else ""
        if reference is not None and algorithm not in _FONT_ALGORITHMS:
            names.add(unquote(reference.get("URI", "")))
    return names


def _xml(data: bytes, name: str) -> Element:
    try:
        return parse(data)
    except XmlError as error:
        raise EpubError("bad_epub", f"{name}: {error}") from error


def _first(package: Element, tag: str) -> str:
    metadata = package.find(".//metadata")
    found = next(iter((metadata if metadata is not None else package).iter(tag)), None)
    return " ".join("".join(found.itertext()).split()) if found is not None else ""
