"""The demo's web crawl: pydoc pages dressed as pages of web sites, with the copies and the damage that crawls have."""

from __future__ import annotations

import html
import re
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from megadata.pipeline.demo_corpus import warc
from megadata.pipeline.demo_corpus.modules import PACKAGES, QUICK, STANDARD_LIBRARY
from megadata.pipeline.demo_corpus.pages import Page, render_modules
from megadata.runtime.files import atomic_write

FIRST_FETCH = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
"""When the crawl says it began; every exchange takes one second."""

EXACT_EVERY = 45
NEAR_EVERY = 25
"""One page in so many is crawled again at another address, unchanged or as a later edition."""

STYLE = "body { font-family: sans-serif } nav ul { list-style: none } .decor { background: #eee } .code { white-space: pre }"
SCRIPT = (
    "document.querySelectorAll('.menu').forEach(m => m.addEventListener('click', () => m.classList.toggle('open')));"
)
NOTICE = "This site uses cookies to remember which version of the documentation you read. Accept or decline."
EDITION = "You are reading the second edition of this page. A few remarks have been removed since the first edition."


@dataclass(frozen=True, slots=True)
class WebReport:
    """What `build_web` wrote."""

    path: Path
    pages: int
    """HTML pages, copies included."""
    html_bytes: int
    records: int
    exact_copies: tuple[tuple[str, str], ...]
    """(address of the copy, address of the original), same HTML."""
    near_copies: tuple[tuple[str, str], ...]
    """(address of the later edition, address of the original)."""
    broken: tuple[tuple[str, str], ...]
    """(address, what is wrong with the record)."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """One exchange with a server, as the crawler saw it."""

    url: str
    body: bytes
    content_type: str = "text/html; charset=utf-8"
    status: str = "200 OK"
    location: str = ""
    fault: str = ""


def _address(page: Page, folder: str = "reference") -> str:
    return f"https://{page.name.partition('.')[0]}.example/{folder}/{page.name}.html"


def _dress(page: Page, before: Page | None, after: Page | None, charset: str) -> str:
    """A whole HTML page: the article inside the menus, notices and footers of its site."""
    site = page.name.partition(".")[0]
    links = [f'<a href="{p.name}.html">{word}</a>' for word, p in (("previous", before), ("next", after)) if p]
    head = f'<meta charset="{charset}">\n<title>{html.escape(page.title)}</title>\n<style>{STYLE}</style>'
    menu = "".join(f'<li><a href="/{part}/">{part.title()}</a></li>' for part in ("home", "reference", "news", "about"))
    body = page.body
    if zlib.crc32(site.encode()) % 2:  # two kinds of site: elements that say what they are, and tables
        body = (
            f'<header><nav class="menu"><ul>{menu}</ul></nav><aside class="cookie-banner">{NOTICE}</aside></header>\n'
            f'<main><article>\n{body}\n</article></main>\n<nav class="pager">{" | ".join(links)}</nav>\n'
            f"<footer><p>{site}.example. All pages are made from the documentation of the software.</p></footer>"
        )
    else:
        body = (
            f'<div id="menu" class="menu"><ul>{menu}</ul></div>\n<div id="content">\n{body}\n</div>\n'
            f'<div id="footer" class="footer">{" | ".join(links)}<br>{NOTICE}<br>Contact | Imprint | Top of page</div>'
        )
    body = f"<body>\n{body}\n<script>{SCRIPT}</script>\n</body>"
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n{body}\n</html>\n'


def _later_edition(page: Page) -> Page:
    """The same article with a notice, and without a few lines of its text."""
    lines = page.body.split("<br>\n")
    kept = [line for number, line in enumerate(lines) if number % 60 != 40 or "</" in line]
    return Page(page.name, f"{page.title}, second edition", f"<p>{EDITION}</p>\n" + "<br>\n".join(kept))


def _article_fetches(pages: Sequence[Page]) -> Iterator[tuple[Fetch, str, str]]:
    """Every page, and its copies, with (kind of copy, address of the original)."""
    for number, page in enumerate(pages):
        before = pages[number - 1] if number else None
        after = pages[number + 1] if number + 1 < len(pages) else None
        charset = "iso-8859-1" if number % 5 == 3 else "utf-8"
        declared = "text/html" if number % 7 == 5 else f"text/html; charset={charset}"  # some servers do not say
        body = _dress(page, before, after, charset).encode(charset, "xmlcharrefreplace")
        original = _address(page)
        yield Fetch(original, body, declared), "", ""
        if number % EXACT_EVERY == 10:
            yield Fetch(_address(page, "print"), body, declared), "exact", original
        if number % NEAR_EVERY == 5 and page.body.count("<br>\n") >= 60:
            later = _dress(_later_edition(page), before, after, charset).encode(charset, "xmlcharrefreplace")
            yield Fetch(_address(page, "v2"), later, declared), "near", original


def _faulty_fetches(sample: bytes) -> list[Fetch]:
    """What a crawler also brings home."""
    noise = bytes(zlib.crc32(b"%d" % number) & 0xFF for number in range(6000))
    image = b"\x89PNG\r\n\x1a\n" + noise
    missing = b"<!DOCTYPE html><title>404</title><h1>Not found</h1><p>There is no page at this address.</p>"
    host = "https://mirror.example"
    return [
        Fetch(f"{host}/gone.html", missing, status="404 Not Found"),
        Fetch(f"{host}/old.html", b"", status="301 Moved Permanently", location=f"{host}/new.html"),
        Fetch(f"{host}/logo.png", image, "image/png"),
        Fetch(f"{host}/index.json", b'{"pages": ["abc", "argparse"], "version": 3}', "application/json"),
        Fetch(f"{host}/empty.html", b""),
        Fetch(f"{host}/image-called-page.html", image, fault="binary payload"),
        Fetch(f"{host}/cut-coding.html", sample, fault="gzip content ends early"),
        Fetch(f"{host}/bad-chunks.html", sample, fault="chunk sizes are not numbers"),
        Fetch(f"{host}/wrong-length.html", sample, fault="Content-Length too long"),
        Fetch(f"{host}/no-http.html", sample, fault="no HTTP headers"),
    ]


def _response(fetch: Fetch, number: int) -> bytes:
    """The HTTP response, in one of the codings that servers use."""
    headers = [("Server", "example/1.0"), ("Content-Type", fetch.content_type)]
    if fetch.location:
        headers.append(("Location", fetch.location))
    body = fetch.body
    if number % 4 == 2 or fetch.fault.startswith("gzip"):
        body = warc.member(body)
        headers.append(("Content-Encoding", "gzip"))
    if fetch.fault.startswith("gzip"):
        body = body[: len(body) // 2]
    if number % 3 == 1 or fetch.fault.startswith("chunk"):
        headers.append(("Transfer-Encoding", "chunked"))
        body = warc.chunked(body)
        if fetch.fault.startswith("chunk"):
            body = re.sub(rb"\r\n[0-9a-f]+\r\n", b"\r\nxyz\r\n", body)
    else:
        headers.append(("Content-Length", str(len(body))))
    return fetch.body if fetch.fault.startswith("no HTTP") else warc.http(f"HTTP/1.1 {fetch.status}", headers, body)


def _exchange(fetch: Fetch, number: int) -> tuple[bytes, bytes]:
    """The request record and the response record of a fetch, before compression."""
    date = (FIRST_FETCH + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
    host, _, path = fetch.url.removeprefix("https://").partition("/")
    target = [("WARC-Target-URI", fetch.url)]
    asked = warc.http(f"GET /{path} HTTP/1.1", [("Host", host), ("User-Agent", "megadata-demo")])
    answer = _response(fetch, number)
    identity = warc.record_id("response", fetch.url)
    request = warc.record(
        "request",
        warc.record_id("request", fetch.url),
        date,
        [*target, ("WARC-Concurrent-To", identity), ("Content-Type", "application/http; msgtype=request")],
        asked,
    )
    response = warc.record(
        "response",
        identity,
        date,
        [
            *target,
            ("WARC-Payload-Digest", warc.digest(fetch.body)),
            ("Content-Type", "application/http; msgtype=response"),
        ],
        answer,
        len(answer) + 5000 if fetch.fault.startswith("Content-Length") else None,
    )
    return request, response


def build_web(path: Path, *, quick: bool = False) -> WebReport:
    """Write a WARC file of pages that pydoc renders from the modules this Python holds.

    The same Python with the same packages gives the same bytes. Some pages are there twice, some as a slightly different
    second edition, and some records are broken; the report names them.

    Raises
    ------
    CorpusError
        If pydoc can render nothing.
    """
    lists = [QUICK] if quick else [sorted(STANDARD_LIBRARY), PACKAGES]
    with ThreadPoolExecutor(len(lists)) as pool:  # each thread waits for a process of its own
        pages = [page for rendered in pool.map(render_modules, lists) for page in rendered]
    pages.sort(key=lambda page: (page.name.partition(".")[0], page.name))
    copies: dict[str, list[tuple[str, str]]] = {"exact": [], "near": []}
    fetches = []
    for fetch, kind, original in _article_fetches(pages):
        fetches.append(fetch)
        if kind:
            copies[kind].append((fetch.url, original))
    html_pages = len(fetches)
    html_bytes = sum(len(fetch.body) for fetch in fetches)
    faulty = _faulty_fetches(fetches[0].body)
    broken = [(fetch.url, fetch.fault) for fetch in faulty if fetch.fault]
    step = max(1, len(fetches) // (len(faulty) + 1))
    for place, fetch in enumerate(faulty, start=1):
        fetches.insert(place * (step + 1) - 1, fetch)
    last = Fetch("https://mirror.example/cut-off.html", fetches[0].body, fault="the file ends inside this record")
    broken.append((last.url, last.fault))
    about = b"software: megadata demo corpus\r\nformat: WARC File Format 1.1\r\n"
    about_headers = [("WARC-Filename", path.name), ("Content-Type", "application/warc-fields")]
    date = FIRST_FETCH.strftime("%Y-%m-%dT%H:%M:%SZ")
    with atomic_write(path) as out:
        out.write(
            warc.member(warc.record("warcinfo", warc.record_id("warcinfo", path.name), date, about_headers, about))
        )
        for number, fetch in enumerate(fetches):
            for one in _exchange(fetch, number):
                out.write(warc.member(one))
        cut = warc.member(_exchange(last, len(fetches))[1])
        out.write(cut[: len(cut) // 2])
    return WebReport(
        path=path,
        pages=html_pages,
        html_bytes=html_bytes,
        records=2 * len(fetches) + 2,
        exact_copies=tuple(copies["exact"]),
        near_copies=tuple(copies["near"]),
        broken=tuple(broken),
    )
