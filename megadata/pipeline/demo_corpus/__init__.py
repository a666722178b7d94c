"""Text that every Python installation holds, as real instances of the three kinds of source. Nothing is downloaded.

- web: a WARC file of HTML pages that `pydoc` renders from the modules of this Python (`web`);
- books: the language reference inside `pydoc_data`, as volumes of plain text (`book`);
- wikipedia: a small MediaWiki export that was written for this project and ships with it (``articles.xml``).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from megadata.errors import CorpusError
from megadata.pipeline.demo_corpus.book import BookReport, build_book
from megadata.pipeline.demo_corpus.modules import PACKAGES
from megadata.pipeline.demo_corpus.web import WebReport, build_web
from megadata.runtime.files import atomic_write, read_json, write_json

__all__ = ["BookReport", "DemoCorpus", "WebReport", "build", "build_articles", "build_book", "build_web"]


@dataclass(frozen=True, slots=True)
class DemoCorpus:
    """Where the demo's raw input lies, and how large it is."""

    web: Path
    """A WARC file."""
    book: Path
    """A folder of text files."""
    articles: Path
    """A MediaWiki export."""
    sizes: dict[str, int]
    """Stored bytes by source: web, books, wikipedia."""


def build_articles(path: Path) -> Path:
    """Copy the shipped MediaWiki export to `path`."""
    content = files(__package__).joinpath("articles.xml").read_bytes()
    with atomic_write(path, sync=False) as out:
        out.write(content)
    return path


def _identity(quick: bool) -> dict[str, Any]:
    """What the corpus depends on: this code, this Python and the packages whose pages are rendered."""
    code = hashlib.sha256()
    for source in sorted(Path(__file__).parent.iterdir()):
        if source.suffix in (".py", ".xml"):
            code.update(source.read_bytes())
    packages = {}
    for name in sorted({module.partition(".")[0] for module in PACKAGES}):
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = "absent"
    return {"code": code.hexdigest(), "python": platform.python_version(), "packages": packages, "quick": quick}


def _sizes(folder: Path) -> dict[str, int]:
    web, book, articles = folder / "web.warc.gz", folder / "books", folder / "articles.xml"
    volumes = sum(path.stat().st_size for path in sorted(book.glob("*.txt")))
    return {"web": web.stat().st_size, "books": volumes, "wikipedia": articles.stat().st_size}


def build(folder: Path, *, quick: bool = False) -> DemoCorpus:
    """Build the demo corpus in `folder`, or leave it as it is where the same one is complete already.

    The same Python with the same packages gives the same bytes. `quick` builds a small one, for tests.

    Raises
    ------
    CorpusError
        If this Python lacks the parts of the standard library that the corpus is made from.
    OutputError
        If `folder` cannot be written.
    """
    note = folder / "corpus.json"
    identity = _identity(quick)
    corpus = DemoCorpus(folder / "web.warc.gz", folder / "books", folder / "articles.xml", {})
    try:
        if read_json(note) == {"identity": identity, "sizes": _sizes(folder)}:
            return DemoCorpus(corpus.web, corpus.book, corpus.articles, _sizes(folder))
    except (CorpusError, OSError):
        pass
    note.unlink(missing_ok=True)
    build_web(corpus.web, quick=quick)
    build_book(corpus.book, quick=quick)
    build_articles(corpus.articles)
    sizes = _sizes(folder)
    write_json(note, {"identity": identity, "sizes": sizes})
    return DemoCorpus(corpus.web, corpus.book, corpus.articles, sizes)
