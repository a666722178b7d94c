"""Pages and records of MEGADATA_REAL_DATA, as texts in which personal data was marked by hand.

A page is named by its path, a record of JSON lines by its path and line: ``jsonl/x.jsonl#12``. HTML becomes all visible text,
not only the article, because that is where addresses and numbers of people stand.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import orjson
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import detect_encoding
from resiliparse.parse.html import HTMLTree

FOLDERS = {
    "web": ("web/**/*.html", "web/**/*.html.gz", "web/**/GoldStandard/*.txt"),
    "web_debian": ("web_debian/**/*.html",),
    "wikipedia": ("wikipedia/extracted-*/*", "wikipedia/wtf_wikipedia-pages/**/*.txt"),
    "jsonl": ("jsonl/**/*.jsonl", "jsonl/reuters21578/**/training/*"),
    "eval": ("eval/**/*.txt", "eval/**/*.jsonl", "eval/**/*.html", "messy/ungoliant-garbage/*.txt"),
}
"""Family of sources -> where its pages lie."""

PAGE = 20_000
"""Characters of a page that were looked at."""


def _records(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(path.read_bytes().splitlines()):
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(record, dict) and isinstance(record.get("text"), str):
            yield f"#{number}", record["text"]


def _html(data: bytes) -> str:
    tree = HTMLTree.parse_from_bytes(data, detect_encoding(data))
    return extract_plain_text(tree, main_content=False, alt_texts=False)


def pages(place: Path, family: str) -> list[tuple[Path, str]]:
    """(path, what follows it in the page's name) of every page, in order."""
    found: list[tuple[Path, str]] = []
    for path in sorted({path for pattern in FOLDERS[family] for path in place.glob(pattern) if path.is_file()}):
        if path.suffix == ".jsonl":
            found += [(path, number) for number, _ in _records(path)]
        else:
            found.append((path, ""))
    return found


def text_of(path: Path, number: str = "") -> str:
    """The text of a page or record."""
    if number:
        return dict(_records(path))[number][:PAGE]
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if ".htm" in path.name:
        return _html(data)[:PAGE]
    return data.decode("utf-8", "replace")[:PAGE]


def key(span: str) -> str:
    """What stands for a span where its text may not be copied."""
    return hashlib.sha256(span.encode()).hexdigest()[:16]
