"""Wikitext to text beside a bare ``mwparserfromhell.parse`` of the same pages, and a dump end to end; hours for a full dump.

::

    MEGADATA_REAL_DATA=... python benchmarks/bench_wikitext.py [STEP]

With STEP only each so-manieth page is taken.
The parse and our conversion take turns over the same pages of real dumps, in processor time, so that a busy machine slows both.
The dump end to end is a multistream bzip2 file of those pages, read, decompressed and converted by 1 and 2 workers, in wall time.
"""

from __future__ import annotations

import bz2
import json
import os
import re
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from html import unescape
from pathlib import Path
from xml.sax.saxutils import escape

import mwparserfromhell
from harness import machine

from megadata.corpus.sources.mediawiki import MediaWiki
from megadata.corpus.sources.wikitext import Wikitext
from megadata.documents.source import Problems, ReadOptions
from megadata.runtime.streams import open_decoded
from megadata.runtime.units import InputFile, Span

SOURCES = (
    "gensim/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
    "json-wikipedia-it/it_small-dump.xml.gz",
    "special-export/NickShatalov-wiki.xml",
    "dbpedia-minidumps/enwiki.xml.bz2",
)
FULL_DECODED_GB, FULL_STORED_GB = 95, 24
"""A current dump of the English Wikipedia's articles: XML, and the multistream bzip2 it is stored as."""
HEAD = '<mediawiki xml:lang="en"><siteinfo><dbname>enwiki</dbname><base>https://en.wikipedia.org/wiki/Main_Page</base></siteinfo>\n'


def pages(folder: Path) -> list[str]:
    """Wikitext of articles of the real dumps."""
    found = []
    for name in SOURCES:
        with open_decoded(str(folder / "wikipedia" / name)) as stream:
            data = stream.read().decode("utf-8", "replace")
        texts = re.findall(r"<text[^>]*>(.*?)</text>", data, re.DOTALL)
        found += [unescape(t) for t in texts if len(t) > 1000 and not Wikitext.is_redirect(t)]
    return found


def interleaved(texts: list[str], repeats: int) -> None:
    """Processor time of both over the same pages, in turns of a few pages."""
    megabytes = sum(len(t.encode()) for t in texts) / 1e6
    converter = Wikitext()
    converter.text(texts[0])
    ratios = []
    for _ in range(repeats):
        spent = {"parse": 0.0, "ours": 0.0}
        for at in range(0, len(texts), 10):
            began = time.process_time()
            for text in texts[at : at + 10]:
                mwparserfromhell.parse(text)
            middle = time.process_time()
            for text in texts[at : at + 10]:
                converter.text(text)
            spent["parse"] += middle - began
            spent["ours"] += time.process_time() - middle
        ratios.append({name: megabytes / seconds for name, seconds in spent.items()})
    parse, ours = (statistics.median(r[name] for r in ratios) for name in ("parse", "ours"))
    line = {
        "bench": "wikitext/pages",
        "unit": "MB of wikitext/s of processor",
        "ours": round(ours, 2),
        "peer": round(parse, 2),
    }
    print(json.dumps({**line, "ratio": round(ours / parse, 2), "megabytes": round(megabytes, 1), "machine": machine()}))


def dump(texts: list[str], path: Path, copies: int) -> int:
    """Write a multistream dump of the pages, 100 a stream as Wikimedia packs them; its decoded bytes."""
    number = decoded = 0
    with path.open("wb") as out:
        out.write(bz2.compress(HEAD.encode()))
        block: list[str] = []
        for _ in range(copies):
            for text in texts:
                number += 1
                block.append(
                    f"<page><title>Page {number}</title><ns>0</ns><id>{number}</id><revision><id>{number}</id>"
                    f"<text>{escape(text)}</text></revision></page>\n"
                )
                if len(block) == 100:
                    decoded += _stream(out, block)
        decoded += _stream(out, block)
        out.write(bz2.compress(b"</mediawiki>\n"))
    return decoded


def _stream(out: object, block: list[str]) -> int:
    data = "".join(block).encode()
    block.clear()
    out.write(bz2.compress(data))  # type: ignore[attr-defined]
    return len(data)


def _read(span: Span) -> int:
    return sum(len(batch) for batch in MediaWiki().read(span, ReadOptions(), Problems()))


def end_to_end(texts: list[str], copies: int) -> None:
    """A dump through the reader, by 1 and 2 workers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wiki.xml.bz2"
        decoded = dump(texts, path, copies) / 1e6
        status = path.stat()
        file = InputFile(
            path.name, str(path), status.st_size, status.st_mtime_ns, "mediawiki", "wikipedia", "wikipedia"
        )
        spans = MediaWiki().spans(file, 1 << 20)
        began = time.process_time()
        for span in spans:
            _read(span)
        core = decoded / (time.process_time() - began)
        print(
            json.dumps({"bench": "wikitext/dump", "unit": "MB of XML/s of processor", "median": round(core, 2)}),
            flush=True,
        )
        for workers in (1, 2, 8, 32):
            hours = FULL_DECODED_GB * 1000 / (core * workers) / 3600
            about = f"{FULL_DECODED_GB} GB of XML in {FULL_STORED_GB} GB of bzip2, {workers} workers, a core like this for each"
            print(json.dumps({"bench": "wikitext/full", "hours": round(hours, 2), "assumes": about}), flush=True)
        rates = {}
        for workers in (1, 2):
            with ProcessPoolExecutor(workers) as pool:
                list(pool.map(_read, spans[:workers]))  # imports and tables, outside the clock
                began = time.perf_counter()
                found = sum(pool.map(_read, spans))
                rates[workers] = decoded / (time.perf_counter() - began)
    for workers, rate in rates.items():
        line = {
            "bench": f"wikitext/dump/{workers}",
            "unit": "MB of XML/s",
            "median": round(rate, 2),
            "documents": found,
        }
        print(json.dumps({**line, "decoded_mb": round(decoded, 1), "spans": len(spans), "threads": workers}))


if __name__ == "__main__":
    if "MEGADATA_REAL_DATA" not in os.environ:
        sys.exit("MEGADATA_REAL_DATA: expected a folder of real data")
    step = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    articles = pages(Path(os.environ["MEGADATA_REAL_DATA"]))[::step]
    interleaved(articles, 3)
    end_to_end(articles, 3 * step)
