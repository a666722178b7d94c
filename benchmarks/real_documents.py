"""Real documents of many kinds and languages, for comparisons of decisions: pages, articles, chapters, records, sentences.

They are read from MEGADATA_REAL_DATA by megadata's own readers. Books are cut into chapters of about `CHAPTER` characters and
files of single sentences into documents of `SENTENCES` lines, so that a few files do not make up all of the text.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from megadata.documents.inputs import expand, plan, read_unit
from megadata.documents.source import Problems, ReadOptions

READ = (
    ("wikipedia/dbpedia-minidumps", 12_000), ("wikipedia/dumpster-dive", 2_500), ("wikipedia/gensim", 300),
    ("wikipedia/special-export", 500), ("wikipedia/json-wikipedia-it", 500), ("wikipedia/wtf_wikipedia-pages", 100),
    ("web/trafilatura", 700), ("web/dragnet", 450), ("web/cleaneval-final", 750), ("web/daniel", 830),
    ("web/gne-chinese-news", 60), ("web/mozilla-readability", 150), ("web/warc", 400), ("web_debian/apache2-doc", 500),
    ("web_debian/installation-guide-amd64", 400), ("web_debian/debian-faq-fr", 20), ("web_debian/libreoffice-help-hi", 300),
    ("jsonl/openwebtext_1000_decoded", 1_000), ("jsonl/dolma", 2_000), ("jsonl/olmo-c4", 1_000), ("jsonl/dclm", 600),
    ("jsonl/data-juicer", 1_000), ("jsonl/c4_pf", 600),
)  # fmt: skip
"""Inputs that megadata reads as they are, and the most documents taken of each."""

TEXTS = (("jsonl/reuters21578", "**/training/*", 3_000), ("wikipedia/extracted-de", "wiki_*", 2_500),
         ("wikipedia/extracted-en", "wiki_*", 800), ("messy/ungoliant-garbage", "*", 500),
         ("messy/blns", "*.txt", 10))  # fmt: skip
"""Files of plain text: folder, pattern, most documents."""

BOOKS = (("books/100_english_novels", 12), ("books/100_polish_novels", 6), ("books/68_german_novels", 6))
LINES = (("messy/flores200_dev", 20), ("messy/langid-lingua", 20), ("messy/udhr", 0))
CHAPTER = 6_000
LONGEST = 60_000
"""Characters; longer documents are cut there, so that the slow peer ends some day."""


def _read(folder: Path, most: int) -> Iterator[tuple[str, str]]:
    """Documents of a folder, evenly taken from all of its files."""
    found: list[tuple[str, str]] = []
    for unit in plan(expand([str(folder)]).files):
        for batch in read_unit(unit, ReadOptions(), Problems()):
            found += zip(batch.ids, batch.texts, strict=True)
    step = max(1, -(-len(found) // most))
    yield from found[::step]


def _pieces(text: str, size: int) -> Iterator[str]:
    """Text cut at blank lines (at line ends where there are none) into pieces of at least `size` characters."""
    border = "\n\n" if "\n\n" in text else "\n"
    piece: list[str] = []
    length = 0
    for paragraph in text.split(border):
        piece.append(paragraph)
        length += len(paragraph)
        if length >= size:
            yield border.join(piece)
            piece, length = [], 0
    if piece:
        yield border.join(piece)


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")


def documents(place: Path) -> Iterator[tuple[str, str]]:
    """(id, text) of every document, ids unique; the same in every run."""
    for folder, most in READ:
        if (place / folder).is_dir():
            yield from ((f"{folder}/{n}/{i}", text) for n, (i, text) in enumerate(_read(place / folder, most)))
    for folder, pattern, most in TEXTS:
        files = [path for path in sorted((place / folder).glob(pattern)) if path.is_file()]
        files = files[:: max(1, -(-len(files) // most))]
        number = 0
        for path in files:
            whole = _text(path)
            parts = whole.split("</doc>") if "<doc " in whole[:200] else list(_pieces(whole, CHAPTER))
            for part in parts[: max(1, most // max(len(files), 1) + 1)]:
                yield f"{folder}/{number}", part
                number += 1
    for folder, most in BOOKS:
        for path in sorted((place / folder).glob("*.txt"))[:most]:
            for number, chapter in enumerate(_pieces(_text(path), CHAPTER)):
                yield f"{folder}/{path.name}/{number}", chapter
    for folder, size in LINES:
        for path in sorted((place / folder).rglob("*")):
            if path.is_file():
                lines = _text(path).splitlines()
                for at in range(0, len(lines), size or 400):
                    yield f"{path.relative_to(place)}/{at}", "\n".join(lines[at : at + (size or 400)])


def real_documents() -> list[tuple[str, str]]:
    """All of them, cut to `LONGEST` characters; a `SystemExit` says so when there is no real data."""
    place = os.environ.get("MEGADATA_REAL_DATA")
    if not place:
        raise SystemExit("MEGADATA_REAL_DATA: not set; this script compares on real documents")
    found = [(i, text[:LONGEST]) for i, text in documents(Path(place))]
    assert len({i for i, _ in found}) == len(found)
    return found
