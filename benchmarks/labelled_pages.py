"""Web pages whose main text people have marked, and how well an extractor's text agrees with their marks.

The sets lie under ``$MEGADATA_REAL_DATA/web`` as their projects keep them. Three kinds of marks, each with its own measure:

- ``text``: the whole main text (article-extraction-benchmark, CleanEval, dragnet, readability, DAnIEL, newspaper4k). The measure
  is that of article-extraction-benchmark: shingles of 4 words, precision and recall a page, the F1 of their means over pages.
- ``opening``: the text the article begins with (goose3). The same shingles; of the extractor's text only what comes before the
  end of that opening is judged.
- ``segments``: pieces that must be found and pieces that must not (trafilatura). Precision and recall over all pieces,
  as trafilatura's own evaluation counts them, spaces and line breaks taken as equal.

A letter of a script that is written without spaces (Chinese, Japanese, Thai, Burmese) is a word by itself.

Where people differ, the sets differ: CleanEval keeps comments and posts of forums, dragnet marks them apart (here they are left
out), readability's text is that of a program which people have checked.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

SHINGLE = 4
_WORD = re.compile(r"[\u0e00-\u0e7f\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u0e00-\u0e7f\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")  # fmt: skip # noqa: E501
_LANGUAGES = {"Chinese": "zh", "English": "en", "Polish": "pl"}
_BLOCK = re.compile(
    r"</?(?:p|div|li|h[1-6]|td|tr|br|pre|blockquote|dd|dt|figcaption|section|article)\b[^>]*>", re.IGNORECASE
)


@dataclass(frozen=True)
class Page:
    """A page with its marks; `gold` is the text, or its opening, and empty where pieces are marked."""

    collection: str
    name: str
    data: bytes
    gold: str = ""
    kind: str = "text"
    url: str | None = None
    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()

    @property
    def held_out(self) -> bool:
        """Whether no points are fitted on this page: half of the pages by their names, and the whole first set."""
        if self.collection == "article-benchmark":
            return True
        return hashlib.sha256(self.name.encode()).digest()[0] % 2 == 1

    @cached_property
    def gold_shingles(self) -> Counter[tuple[str, ...]]:
        """The marked text's shingles."""
        return shingles(words(self.gold))


@dataclass(frozen=True)
class Score:
    """Agreement over pages: all three between 0 and 1."""

    pages: int
    f1: float
    precision: float
    recall: float


def words(text: str) -> list[str]:
    """Words as the measure counts them."""
    return _WORD.findall(text)


def shingles(found: list[str]) -> Counter[tuple[str, ...]]:
    """Every run of `SHINGLE` words with how often it occurs; a shorter text is one shingle."""
    return Counter(tuple(found[i : i + SHINGLE]) for i in range(max(1, len(found) - SHINGLE + 1)))


def page_score(page: Page, text: str) -> tuple[float, float]:
    """Precision and recall of one page whose text, or its opening, is marked."""
    found = words(text)
    if page.kind == "opening":
        found = found[: _end_of_opening(found, page.gold_shingles)]
    ours = shingles(found)
    both = sum((ours & page.gold_shingles).values())
    precision = both / ours.total() if ours.total() else 0.0
    return precision, both / page.gold_shingles.total()


def _end_of_opening(found: list[str], gold: Counter[tuple[str, ...]]) -> int:
    """Index after the last word of the first occurrence of the opening's last shingle that `found` has; all if it has none."""
    for shingle in reversed(gold):
        for i in range(len(found) - len(shingle) + 1):
            if tuple(found[i : i + len(shingle)]) == shingle:
                return i + len(shingle)
    return len(found)


def score(pages: list[Page], texts: list[str]) -> Score:
    """Agreement of an extractor's texts with the marks of the pages of one set."""
    if pages[0].kind == "segments":
        return _segment_score(pages, texts)
    pairs = [page_score(page, text) for page, text in zip(pages, texts, strict=True)]
    precision, recall = (statistics.fmean(side) for side in zip(*pairs, strict=True))
    return Score(len(pages), _f1(precision, recall), precision, recall)


def _segment_score(pages: list[Page], texts: list[str]) -> Score:
    hits = misses = wrong = 0
    for page, text in zip(pages, texts, strict=True):
        flat = " ".join(text.split())
        found = sum(piece in flat for piece in page.wanted)
        hits, misses = hits + found, misses + len(page.wanted) - found
        wrong += sum(piece in flat for piece in page.unwanted)
    precision, recall = hits / max(1, hits + wrong), hits / max(1, hits + misses)
    return Score(len(pages), _f1(precision, recall), precision, recall)


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def labelled_pages(place: Path) -> dict[str, list[Page]]:
    """All sets found under `place`, a folder of real data; a set that is not there is left out."""
    found: dict[str, list[Page]] = {}
    for folder, read in _SETS.items():
        if (place / "web" / folder).is_dir():
            for page in read(place / "web" / folder):
                if page.gold.strip() or page.wanted or page.unwanted:
                    found.setdefault(page.collection, []).append(page)
    return found


def _article_benchmark(folder: Path) -> Iterator[Page]:
    for name, truth in sorted(json.loads((folder / "ground-truth.json").read_text("utf-8")).items()):
        data = gzip.decompress((folder / "html" / f"{name}.html.gz").read_bytes())
        yield Page("article-benchmark", name, data, truth["articleBody"], url=truth.get("url"))


def _cleaneval(folder: Path) -> Iterator[Page]:
    for gold in sorted((folder / "GoldStandard").glob("*.txt")):
        text = gold.read_bytes().decode("utf-8", "replace")
        if text.startswith("URL:"):
            text = text.partition("\n")[2]
        text = re.sub(r"(?m)^\s*</?[hpl]\d?>", " ", text)
        source = folder / "input" / f"{gold.stem}.html"
        if source.exists():
            yield Page("cleaneval", gold.stem, source.read_bytes(), text)


def _dragnet(folder: Path) -> Iterator[Page]:
    for gold in sorted((folder / "GoldStandard").glob("*.txt")):
        text = gold.read_bytes().decode("utf-8", "replace").partition("!@#$%^&*()")[0]
        yield Page("dragnet", gold.stem, (folder / "input" / f"{gold.stem}.html").read_bytes(), text)


def _readability(folder: Path) -> Iterator[Page]:
    for case in sorted(folder.iterdir()):
        if (case / "expected.html").exists():
            markup = _BLOCK.sub("\n", (case / "expected.html").read_text("utf-8"))
            text = html.unescape(re.sub(r"<(?:svg|style)\b.*?</(?:svg|style)>|<[^>]+>", "", markup, flags=re.DOTALL))
            yield Page("readability", case.name, (case / "source.html").read_bytes(), text)


def _daniel(folder: Path) -> Iterator[Page]:
    languages = json.loads((folder / "doc_lg.json").read_text("utf-8"))
    for gold in sorted((folder / "reference").iterdir()):
        text = html.unescape(re.sub(r"</?p>", "\n", gold.read_text("utf-8", "replace")))
        collection = f"daniel-{_LANGUAGES[languages[gold.name]]}"
        yield Page(collection, gold.name, (folder / "html" / gold.name).read_bytes(), text)


def _goose(folder: Path) -> Iterator[Page]:
    for case in sorted(folder.glob("*.json")):
        marks = json.loads(case.read_text("utf-8"))
        source = case.with_suffix(".html")
        if source.exists() and (text := marks.get("expected", {}).get("cleaned_text")):
            yield Page("goose3", case.stem, source.read_bytes(), text, "opening", marks.get("url"))


def _newspaper(folder: Path) -> Iterator[Page]:
    for gold in sorted((folder / "txt").glob("*.txt")):
        source = folder / "html" / f"{gold.stem}.html"
        if source.exists():
            yield Page("newspaper4k", gold.stem, source.read_bytes(), gold.read_text("utf-8"))


def _trafilatura(folder: Path) -> Iterator[Page]:
    for url, marks in sorted(json.loads((folder / "evaldata.json").read_text("utf-8")).items()):
        for source in (folder / "cache" / marks["file"], folder / "eval" / marks["file"]):
            if source.exists():
                wanted, unwanted = (
                    tuple(_flat(piece) for piece in marks.get(side) or ()) for side in ("with", "without")
                )
                yield Page("trafilatura", marks["file"], source.read_bytes(), "", "segments", url, wanted, unwanted)
                break


def _flat(text: str) -> str:
    return " ".join(text.split())


_SETS: dict[str, Callable[[Path], Iterator[Page]]] = {
    "article-extraction-benchmark": _article_benchmark,
    "cleaneval-final": _cleaneval,
    "dragnet": _dragnet,
    "mozilla-readability": _readability,
    "daniel": _daniel,
    "goose3": _goose,
    "newspaper4k": _newspaper,
    "trafilatura": _trafilatura,
}
