"""Large inputs of each kind, made of real text, pages and dumps (MEGADATA_REAL_DATA), repeated under new ids.

Nothing of this is timed. Without the real data the texts are those that Python ships, and there are no dumps and archives.
"""

from __future__ import annotations

import bz2
import gzip
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from real_text import pieces, texts

from megadata.runtime.streams import open_decoded

_DUMPS = (
    "wikipedia/dumpster-dive/smallwiki-latest-pages-articles.xml",
    "wikipedia/gensim/*.bz2",
    "wikipedia/dbpedia-minidumps/enwiki.xml.bz2",
)
_PAGE = re.compile(rb"<page>.*?</page>", re.DOTALL)
_ID = re.compile(rb"<id>(\d+)</id>")
_STREAM_PAGES = 100
"""Pages in each stream of a multistream dump, as Wikimedia has it."""


def _place() -> Path:
    place = os.environ.get("MEGADATA_REAL_DATA")
    if not place:
        raise SystemExit("MEGADATA_REAL_DATA: not set; this input is made of real dumps and pages")
    return Path(place)


def records(size: int) -> Iterator[bytes]:
    """JSON lines of at least `size` bytes in all."""
    documents = pieces(texts()).texts
    held = 0
    for number in count():
        line = orjson.dumps({"id": f"d{number}", "text": documents[number % len(documents)]}) + b"\n"
        yield line
        held += len(line)
        if held >= size:
            return


def wiki_pages(size: int) -> Iterator[bytes]:
    """Page elements of real dumps, each with a page id of its own, of at least `size` bytes in all."""
    found: list[bytes] = []
    for pattern in _DUMPS:
        for path in sorted(_place().glob(pattern)):
            with open_decoded(str(path)) as stream:
                found += _PAGE.findall(stream.read())
    held = 0
    for number in count():
        page = _ID.sub(b"<id>%d</id>" % (number + 1), found[number % len(found)], count=1) + b"\n"
        yield page
        held += len(page)
        if held >= size:
            return


def web_records(size: int) -> Iterator[bytes]:
    """WARC response records of real HTML pages, of at least `size` bytes in all."""
    found = [path.read_bytes() for path in sorted(_place().glob("web/**/*.html")) if path.stat().st_size < 1 << 20][
        :2000
    ]
    held = 0
    for number in count():
        body = found[number % len(found)]
        block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body
        record = (
            b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:%08d-0000-4000-8000-000000000000>\r\n"
            b"WARC-Date: 2024-01-01T00:00:00Z\r\nWARC-Target-URI: http://example.org/%d\r\n"
            b"Content-Type: application/http; msgtype=response\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n"
            % (number, number, len(block), block)
        )
        yield record
        held += len(record)
        if held >= size:
            return


_HEAD = (
    b'<mediawiki xml:lang="en"><siteinfo><sitename>Wikipedia</sitename><dbname>enwiki</dbname>'
    b"<base>https://en.wikipedia.org/wiki/Main_Page</base><namespaces>"
    b'<namespace key="0" /><namespace key="1">Talk</namespace><namespace key="6">File</namespace>'
    b'<namespace key="10">Template</namespace><namespace key="14">Category</namespace></namespaces></siteinfo>\n'
)
_TAIL = b"</mediawiki>\n"


def _dump(size: int) -> Iterator[bytes]:
    yield _HEAD
    yield from wiki_pages(size)
    yield _TAIL


def _plain(path: Path, blocks: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(blocks)


def _packed(path: Path, blocks: Iterator[bytes], *command: str) -> None:
    """One stream, by a program where there is one (it runs beside the generator)."""
    with path.open("wb") as file, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file) as process:
        assert process.stdin is not None
        process.stdin.writelines(blocks)


def _each(path: Path, blocks: Iterator[bytes], pack: Callable[[bytes], bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(map(pack, blocks))


def _zstd(path: Path, blocks: Iterator[bytes]) -> None:
    with path.open("wb") as file, zstandard.ZstdCompressor(level=3).stream_writer(file) as writer:
        for block in blocks:
            writer.write(block)


def _multistream(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.write(bz2.compress(_HEAD))
        held: list[bytes] = []
        for page in wiki_pages(size):
            held.append(page)
            if len(held) == _STREAM_PAGES:
                file.write(bz2.compress(b"".join(held)))
                held = []
        file.write(bz2.compress(b"".join(held) + _TAIL))


def _parquet(path: Path, size: int) -> None:
    writer: pq.ParquetWriter | None = None
    rows: list[dict[str, str]] = []
    for line in records(size):
        rows.append(orjson.loads(line))
        if len(rows) == 2_000:
            table = pa.Table.from_pylist(rows)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
            rows = []
    assert writer is not None
    writer.close()


KINDS: dict[str, Callable[[Path, int], None]] = {
    "jsonl": lambda path, size: _plain(path, records(size)),
    "jsonl.gz": lambda path, size: _packed(path, records(size), "gzip", "-c", "-4"),
    "jsonl.zst": lambda path, size: _zstd(path, records(size)),
    "parquet": _parquet,
    "warc": lambda path, size: _plain(path, web_records(size)),
    "warc.gz": lambda path, size: _each(path, web_records(size), lambda one: gzip.compress(one, 4)),
    "xml": lambda path, size: _plain(path, _dump(size)),
    "multistream.xml.bz2": _multistream,
    "xml.bz2": lambda path, size: _packed(path, _dump(size), "bzip2", "-c"),
}
"""Ending of a file's name -> what writes it: (path, decoded bytes)."""
