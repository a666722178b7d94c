"""For tests of sources: files written by hand, and reading them whole or in spans."""

from __future__ import annotations

import bz2
import gzip
import io
import re
import zipfile
from pathlib import Path
from typing import Any

from fastwarc.warc import ArchiveIterator

from megadata.documents.registry import source
from megadata.documents.source import Problems, ReadOptions
from megadata.runtime.damage import DamagedStream
from megadata.runtime.streams import open_decoded
from megadata.runtime.units import UNIT_BYTES, InputFile

Documents = list[dict[str, Any]]


def input_file(path: Path, kind: str, family: str | None = None) -> InputFile:
    """The file as the command line would name it."""
    family = family or source(kind).default_source
    status = path.stat()
    return InputFile(path.name, str(path), status.st_size, status.st_mtime_ns, kind, family, family)


def read(
    path: Path, kind: str, unit_bytes: int = UNIT_BYTES, family: str | None = None, **options: Any
) -> tuple[Documents, Problems]:
    """Documents of all spans of a file, in order, and what was set aside."""
    one = source(kind)
    problems = Problems()
    documents: Documents = []
    for span in one.spans(input_file(path, kind, family), unit_bytes):
        for batch in one.read(span, ReadOptions(**options), problems):
            documents.extend(batch)
    return documents, problems


def refuse(damage: DamagedStream) -> None:
    """For readers of what is whole."""
    raise damage


def pages_in(path: Path) -> int:
    """Pages of a dump, counted by their tags alone."""
    with open_decoded(str(path)) as stream:
        return len(re.findall(rb"<page>", stream.read().replace(b"\0", b"")))


def records_in(path: Path, kind: str) -> int | None:
    """Records of an archive as another reader counts them; None for archives it cannot read through."""
    if kind == "arc":
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        line = rb"(?:https?|dns|filedesc):[^\n]+ [0-9.]+ \d{14} \S+ \d+\n(?=HTTP/|\d{14}\n|1 \d)"
        return None if path.name == "bad.arc" else len(re.findall(line, data))
    try:
        with path.open("rb") as stream:
            return sum(1 for _ in ArchiveIterator(stream, parse_http=False))
    except OSError:
        return None


def texts(documents: Documents) -> list[str]:
    """The documents' texts."""
    return [d["text"] for d in documents]


def page(body: str, title: str = "A page") -> str:
    """An HTML page whose article extractors find."""
    return (
        f"<!DOCTYPE html><html><head><title>{title}</title></head><body><nav><ul><li><a href='/'>Home</a></li></ul></nav>"
        f"<main><article><h1>{title}</h1>{body}</article></main><footer>All rights reserved</footer></body></html>"
    )


def paragraph(subject: str) -> str:
    """A paragraph long enough to be taken for text."""
    return (
        f"<p>{subject} is the subject of this paragraph, which goes on for a while so that it looks like the main text of "
        "a page, with commas, clauses and a full stop at the end.</p>"
    )


def warc_record(kind: str, content: bytes, number: int, version: str = "1.0", **fields: str) -> bytes:
    """One WARC record; `fields` by name with underscores, None to leave one out."""
    header = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:uuid:{number:032x}>",
        "WARC-Date": "2024-05-18T01:58:10Z",
        "Content-Length": str(len(content)),
    } | {name.replace("_", "-"): value for name, value in fields.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in header.items() if value is not None)
    return f"WARC/{version}\r\n{lines}\r\n".encode() + content + b"\r\n\r\n"


def arc_record(
    url: str, content: bytes, media: str = "text/html", more: str = "", date: str = "20080430204825"
) -> bytes:
    """One record of an ARC file, version 1 or (with `more`) 2."""
    return f"{url} 10.0.0.1 {date} {media} {more}{len(content)}\n".encode() + content + b"\n"


def http_response(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    """An HTTP response with these header lines."""
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode() + body


def response_record(body: bytes, number: int, *fields: str, version: str = "1.0", status: str = "200 OK") -> bytes:
    """A response record for a page."""
    content = http_response(body, *(fields or ("Content-Type: text/html; charset=utf-8",)), status=status)
    return warc_record(
        "response",
        content,
        number,
        version,
        Content_Type="application/http; msgtype=response",
        WARC_Target_URI=f"http://example.org/{number}",
    )


def gzip_members(records: list[bytes]) -> bytes:
    """Each record compressed by itself."""
    return b"".join(gzip.compress(record, mtime=0) for record in records)


SITEINFO = """  <siteinfo>
    <sitename>Wikipedia</sitename>
    <dbname>{database}</dbname>
    <base>https://{language}.wikipedia.org/wiki/Main_Page</base>
    <case>first-letter</case>
    <namespaces>
      <namespace key="-2" case="first-letter">Media</namespace>
      <namespace key="0" case="first-letter" />
      <namespace key="1" case="first-letter">Talk</namespace>
      <namespace key="6" case="first-letter">{file}</namespace>
      <namespace key="14" case="first-letter">{category}</namespace>
    </namespaces>
  </siteinfo>
"""


def dump_head(language: str = "en", file: str = "File", category: str = "Category") -> str:
    """Start of a dump."""
    site = SITEINFO.format(database=f"{language}wiki", language=language, file=file, category=category)
    return f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="{language}">\n{site}'


def dump_page(number: int, text: str, title: str = "", namespace: int | None = 0, extra: str = "") -> str:
    """One page of a dump; `text` is escaped here."""
    text, title = (s.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for s in (text, title))
    ns = f"    <ns>{namespace}</ns>\n" if namespace is not None else ""
    return (
        f"  <page>\n    <title>{title or f'Page {number}'}</title>\n{ns}    <id>{number}</id>\n{extra}"
        f"    <revision>\n      <id>{number}00</id>\n      <timestamp>2024-01-0{number % 9 + 1}T00:00:00Z</timestamp>\n"
        f"      <contributor><username>A</username><id>7</id></contributor>\n      <model>wikitext</model>\n"
        f'      <format>text/x-wiki</format>\n      <text bytes="1" xml:space="preserve">{text}</text>\n'
        f"    </revision>\n  </page>\n"
    )


def multistream(head: str, groups: list[str]) -> bytes:
    """A dump as Wikimedia packs it: the head, each group of pages, and the end tag as bzip2 streams of their own."""
    return b"".join(bz2.compress(part.encode()) for part in [head, *groups, "</mediawiki>\n"])


CONTAINER = (
    '<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)


def epub_file(
    chapters: dict[str, str | bytes], spine: list[str] | None = None, more: str = "", guide: str = "", **entries: str
) -> bytes:
    """An EPUB whose pages lie in OEBPS/text."""
    nav = {"nav.xhtml": 'properties="nav" '}
    items = "".join(
        f'<item id="i{n}" href="text/{name}" {nav.get(name, "")}media-type="application/xhtml+xml"/>'
        for n, name in enumerate(chapters)
    )
    order = spine if spine is not None else [f"i{n}" for n in range(len(chapters))]
    refs = "".join(f'<itemref idref="{one}"/>' for one in order)
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<dc:title>The  Book</dc:title><dc:creator>A. B.</dc:creator><dc:creator>C. D.</dc:creator><dc:language>en</dc:language>"
        f"</metadata><manifest>{items}{more}</manifest><spine>{refs}</spine>{guide}</package>"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr("OEBPS/book.opf", package)
        for name, text in chapters.items():
            archive.writestr(f"OEBPS/text/{name}", text)
        for name, text in entries.items():
            archive.writestr(name, text)
    return out.getvalue()
