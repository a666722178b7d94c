"""Texts whose language is known, of MEGADATA_REAL_DATA: sentences, paragraphs, articles, and pieces of given length.

Sets:

``sentences``
    Every fifth sentence of lingua's test data (Leipzig Corpora), 75 languages.
``paragraphs``
    Five sentences of lingua's test data, one after another, joined by spaces. They do not belong together.
``flores``
    Three sentences of FLORES-200 dev, one after another as in the article that they were taken from, 35 languages and scripts.
``declaration``
    Paragraphs of at least 80 characters of the Universal Declaration of Human Rights. Models have often been trained on it.
``wikipedia``
    Lines of at least 200 characters of articles, as megadata converts dumps of some eighty editions. The language is the
    edition's, also where the line is a list of names.
``N characters``
    The beginnings of ten sentences of lingua's test data, cut after N characters.

``documents``
    Forty sentences of lingua's test data, joined by newlines: some thousand characters.
``pages``
    What people marked as the text of web pages. Their language is not known, so they serve for speed and for comparisons alone.

A label is the first part of the shortest code (BCP 47), Norwegian is one language, and editions of mixed or doubtful language
are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from labelled_pages import labelled_pages

from megadata.documents.inputs import expand, plan, read_unit
from megadata.documents.source import Problems, ReadOptions

LENGTHS = (20, 50, 100, 200, 500, 1000)
TEN = ("en", "es", "fr", "de", "zh", "ar", "ru", "ja", "hi", "pt")
_SAME = {
    "nb": "no",
    "iw": "he",
    "jw": "jv",
    "fil": "tl",
    "cmn": "zh",
    "zho": "zh",
    "simple": "en",
    "arb": "ar",
    "als": "sq",
}
_NO_LANGUAGE = ("als", "commons", "wikidata", "wikidata.org", "sh", "ku", "nds", "qu", "war", "ceb")
"""Names of dumps: no language, another one than the code's, or articles by robots that are hardly text."""
DUMPS = (
    "dbpedia-minidumps/*",
    "dumpster-dive/smallwiki*",
    "gensim/bgwiki*",
    "json-wikipedia-it/small*",
    "extracted-de/wiki_0*",
)
_EDITION = re.compile(r"(\w+?)wiki[-.]")
_OTHERS = {"dumpster-dive": "ltgwiki.", "json-wikipedia-it": "itwiki.", "extracted-de": "dewiki."}
"""Folder -> the edition, where the file's name does not tell."""
_DECLARED = re.compile(r"f='(\S+)'\s+iso639-3='(\w+)'\s+iso15924='(\w+)'\s+bcp47='([^']*)'.*?stage='(\d)'")
_PARAGRAPH = re.compile(r"<para>(.*?)</para>", re.DOTALL)


class Labelled(NamedTuple):
    """A text and its language."""

    set: str
    code: str
    text: str


class Codes:
    """Codes of all kinds to those of this module."""

    def __init__(self, place: Path) -> None:
        index = (place / "messy/udhr/index.xml").read_text("utf-8")
        self.declared = _DECLARED.findall(index)
        self._short = {code: short.partition("-")[0] for _, code, _, short, _ in self.declared if code != "und"}

    def plain(self, code: str) -> str:
        """The shortest code of a language."""
        first = re.split("[-_]", code.lower())[0]
        first = _SAME.get(first, self._short.get(first, first))
        return _SAME.get(first, first)


def _joined(lines: list[str], size: int) -> Iterator[str]:
    for at in range(0, len(lines) - size + 1, size):
        yield " ".join(lines[at : at + size])


def _wikipedia(place: Path, codes: Codes, most: int) -> Iterator[Labelled]:
    taken: Counter[str] = Counter()
    for path in sorted(path for pattern in DUMPS for path in (place / "wikipedia").glob(pattern)):
        name = _EDITION.match(_OTHERS.get(path.parent.name, path.name))
        code = codes.plain(name[1]) if name else ""
        if not code or code in _NO_LANGUAGE:
            continue
        for unit in plan(expand([str(path)], "wikipedia").files):
            for batch in read_unit(unit, ReadOptions(), Problems()):
                for line in (line for text in batch.texts for line in text.splitlines()):
                    if len(line) >= 200 and taken[code] < most:
                        taken[code] += 1
                        yield Labelled("wikipedia", code, line)


def labelled(place: Path, most: int = 60) -> list[Labelled]:
    """All texts of all sets, in the order above; at most `most` lines of a language's Wikipedia."""
    codes = Codes(place)
    sentences = {
        codes.plain(path.stem): path.read_text("utf-8").splitlines()
        for path in sorted((place / "messy/langid-lingua/sentences").glob("*.txt"))
        if path.stem != "nn"
    }
    found = [Labelled("sentences", code, line) for code, lines in sentences.items() for line in lines[::5]]
    found += [Labelled("paragraphs", code, text) for code, lines in sentences.items() for text in _joined(lines, 5)]
    for path in sorted((place / "messy/flores200_dev").glob("*.dev")):
        lines = path.read_text("utf-8").splitlines()
        found += [Labelled("flores", codes.plain(path.stem), text) for text in _joined(lines, 3)]
    for name, code, _, short, stage in codes.declared:
        path = place / f"messy/udhr/udhr_{name}.xml"
        if codes.plain(short or code) in sentences and stage in "45" and path.exists():
            texts = _PARAGRAPH.findall(path.read_text("utf-8"))
            found += [Labelled("declaration", codes.plain(short or code), text) for text in texts if len(text) >= 80]
    found += _wikipedia(place, codes, most)
    for length in LENGTHS:
        for code, lines in sentences.items():
            texts = list(_joined(lines, 10))[:50]
            found += [Labelled(f"{length} characters", code, text[:length]) for text in texts if len(text) >= length]
    for code, lines in sentences.items():
        found += [Labelled("documents", code, "\n".join(lines[at : at + 40])) for at in range(0, 1000, 40)]
    for pages in labelled_pages(place).values():
        found += [Labelled("pages", "", page.gold) for page in pages if page.kind == "text" and page.gold.strip()]
    return found
