"""HTML to text, by extractors with names.

An extractor is a class without state that has ``extract(html, url)``; other packages add theirs with an entry point of the group
``megadata.extractors``. Pages that no parser gets through in bounded time are set aside before an extractor sees them, unless it
reads pages in one pass (`OnePass`).
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import ClassVar, Protocol, cast, runtime_checkable

import numpy as np

from megadata.corpus.sources.charset import decode, to_utf8
from megadata.corpus.sources.page import TooManyBlocks
from megadata.corpus.sources.timelimit import TimeLimit, within
from megadata.documents.source import Problems, ReadOptions
from megadata.errors import ConfigError
from megadata.kernels.markup import name_number, weigh_markup

MAX_DEPTH = ReadOptions().max_page_depth
"""Open elements inside one another at most, where nobody says otherwise."""
_MAX_ATTRIBUTES = 10_000
"""Attributes of one tag: parsers compare each with all before it."""
_COUNT_TAGS_FROM = 10_000
"""Pages with fewer tags are parsed in seconds however deep."""
_VOID = r"area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr|p|li|td|tr|th|dd|dt|option|body|html"
_TAG = re.compile(rf"<(/?)(?!(?:{_VOID})\b)([a-zA-Z][a-zA-Z0-9]*)\b[^<>]{{0,2000}}?(/?)>", re.IGNORECASE)
_LONG_TAG = re.compile(rf"<[a-zA-Z/][^<>]{{{2 * _MAX_ATTRIBUTES},}}+")
_ATTRIBUTE = re.compile(r"""[^\s/=]++(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s"']++))?""")
_MAX_REOPENED = 500_000
"""Elements of formatting that a parser opens again: each takes some 400 bytes."""
_FORMATTING_NAMES = ("b", "big", "code", "em", "font", "i", "s", "small", "strike", "strong", "tt", "u")
_FORMATTING = re.compile(rf"<(/?)({'|'.join(_FORMATTING_NAMES)})\b[^<>]{{0,200}}", re.IGNORECASE | re.ASCII)
_FORMATTING_NUMBERS = np.array([name_number(name.encode()) for name in _FORMATTING_NAMES], np.uint64)
_LESS_THAN = ord("<")


class Extractor(Protocol):
    """One way of finding the text of a page."""

    name: ClassVar[str]

    def extract(self, html: str, url: str | None) -> str | None:
        """Main text of the page, or None where it has none. Equal pages give equal text, whatever came before."""
        ...


@runtime_checkable
class OnePass(Extractor, Protocol):
    """An extractor that reads a page's bytes once, whatever lies inside what: no page is too deep for it, and none is decoded."""

    def extract_utf8(self, page: bytes, url: str | None) -> str | None:
        """What `extract` gives for the page that these bytes are in UTF-8, with line ends of any kind."""
        ...


@runtime_checkable
class InBatches(OnePass, Protocol):
    """An extractor that reads several pages in less time than one by one."""

    def extract_many(self, pages: Sequence[bytes]) -> list[str | None]:
        """What `extract_utf8` gives for each of the pages."""
        ...


class MainText:
    """megadata's own rules over blocks of text, in one pass over the page (see `maintext`): fast, and the default."""

    name: ClassVar[str] = "blocks"

    def extract(self, html: str, url: str | None) -> str | None:
        """Main text of the page: paragraphs, headings, lists, tables, code and formulas in their shape."""
        return self.extract_utf8(html.encode("utf-8", "replace"), url)  # lone surrogates become question marks

    def extract_utf8(self, page: bytes, url: str | None) -> str | None:
        """The same of bytes."""
        return self.extract_many([page])[0]

    def extract_many(self, pages: Sequence[bytes]) -> list[str | None]:
        """The same of several pages."""
        from megadata.corpus.sources.maintext import main_blocks_of
        from megadata.corpus.sources.page import scan_bytes
        from megadata.corpus.sources.pagetext import render

        found = [scan_bytes(page) for page in pages]
        return [render(page, kept) or None for page, kept in zip(found, main_blocks_of(found), strict=True)]


class Resiliparse:
    """Rules over the page's tree in native code, generous with what is around the text (Bevendorff et al., Resiliparse)."""

    name: ClassVar[str] = "resiliparse"

    def extract(self, html: str, url: str | None) -> str | None:
        """Main text of the page."""
        from resiliparse.extract.html2text import extract_plain_text

        text: str = extract_plain_text(html, main_content=True, alt_texts=False, comments=False)
        return text or None


class Trafilatura:
    """The extractor of best measured quality, some ten times slower (Barbaresi 2021, doi:10.18653/v1/2021.acl-demo.15).

    ``deduplicate`` stays off: it keeps state, so that the same page gives other text the fourth time.
    """

    name: ClassVar[str] = "trafilatura"

    def extract(self, html: str, url: str | None) -> str | None:
        """Main text of the page."""
        import trafilatura

        logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
        text: str | None = trafilatura.extract(html, url=url, include_comments=False, deduplicate=False)
        return text


OURS: dict[str, type[Extractor]] = {"blocks": MainText, "resiliparse": Resiliparse, "trafilatura": Trafilatura}


@cache
def extractor(name: str) -> Extractor:
    """The extractor of this name.

    Raises
    ------
    ConfigError
        For a name that neither megadata nor an installed package knows.
    """
    if name in OURS:
        return OURS[name]()
    known = {entry.name: entry for entry in entry_points(group="megadata.extractors")}
    if name not in known:
        names = ", ".join(sorted({*OURS, *known}))
        raise ConfigError(f"extractor {name!r}: expected one of {names}; install the package that brings it")
    return cast("Extractor", known[name].load()())


@dataclass(frozen=True, slots=True)
class Unread:
    """A page within the limits of size and depth, whose text is yet to be extracted."""

    page: str | bytes
    """Decoded, or in UTF-8 for an extractor that is `OnePass`."""
    url: str | None
    where: str


def extract(html: str, url: str | None, options: ReadOptions, where: str, problems: Problems) -> str | None:
    """Text of a page by the extractor that the options name, within their limits; None for a page that `problems` sets aside."""
    found = admit(html, url, options, where, problems)
    return extract_page(found, options, problems) if found is not None else None


def admit(html: str, url: str | None, options: ReadOptions, where: str, problems: Problems) -> Unread | None:
    """A decoded page, if it is within the limits; None for one that `problems` sets aside."""
    page = html.encode("utf-8", "replace") if _in_one_pass(options.extractor) else html
    return _admit(page, None, url, options, where, problems)


def admit_stored(
    body: bytes, charset: str | None, url: str | None, options: ReadOptions, where: str, problems: Problems
) -> Unread | None:
    """The same of a page as it is stored, with the charset that came with it, if any."""
    page = to_utf8(body, charset) if _in_one_pass(options.extractor) else decode(body, charset)
    return _admit(page, body, url, options, where, problems)


def _admit(
    page: str | bytes, body: bytes | None, url: str | None, options: ReadOptions, where: str, problems: Problems
) -> Unread | None:
    """`body` is the page as it is stored, where that is known."""
    most = options.max_page_characters
    size = len(page) if isinstance(page, str) or len(page) <= most else len(_text(page))
    if size > most:
        problems.add("page_too_large", where, f"{size} characters, at most {most} are parsed")
        return None
    if not _in_one_pass(options.extractor) and (what := _too_costly(_text(page), body, options)) is not None:
        problems.add("page_too_deep", where, what, _head(page))
        return None
    return Unread(page, url, where)


def extract_page(found: Unread, options: ReadOptions, problems: Problems) -> str | None:
    """Text of a page within the limit of time; None for a page that `problems` sets aside."""
    name, page, where = options.extractor, found.page, found.where
    chosen = warmed(name)
    try:
        text = within(options.page_seconds, lambda: _call(chosen, page, found.url))
    except ConfigError:
        raise
    except TimeLimit:
        detail = f"{name} took more than {options.page_seconds:g} s of processor time"
        problems.add("page_timeout", where, detail, _head(page))
        return None
    except TooManyBlocks as error:
        problems.add("page_too_large", where, str(error), _head(page))
        return None
    except Exception as error:  # extractors are other people's code: one page must not end the run
        problems.add("extractor_failed", where, f"{name}: {type(error).__name__}: {error}", _head(page))
        return None
    return finished(text, found, options, problems)


def finished(text: str | None, found: Unread, options: ReadOptions, problems: Problems) -> str | None:
    """What the extractor gave for a page, tidied; None where that is nothing, and `problems` sets the page aside."""
    text = tidy(text) if text else ""
    if not text:
        problems.add("no_text", found.where, f"{options.extractor} found no main text", _head(found.page))
        return None
    return text


def _call(chosen: Extractor, page: str | bytes, url: str | None) -> str | None:
    if isinstance(page, str):
        return chosen.extract(page, url)
    return cast("OnePass", chosen).extract_utf8(page, url)


def _text(page: str | bytes) -> str:
    return page if isinstance(page, str) else page.decode("utf-8", "ignore").replace("\r\n", "\n").replace("\r", "\n")


def _head(page: str | bytes) -> str:
    """How a page begins."""
    return page[:500] if isinstance(page, str) else _text(page[:4000])[:500]


def _too_costly(html: str, body: bytes | None, options: ReadOptions) -> str | None:
    """What no parser gets through in bounded time, or None; `body` tells, where it is known, how many tags there can be."""
    tags = count_tags(body) if body is not None else None
    if (tags is None or tags >= _COUNT_TAGS_FROM) and too_deep(html, options.max_page_depth):
        return f"more than {options.max_page_depth} elements inside one another"
    return unfolds(html)


@cache
def _in_one_pass(name: str) -> bool:
    return isinstance(warmed(name), OnePass)


@cache
def warmed(name: str) -> Extractor:
    """The extractor after a first page without a limit: a page must not pay for what is loaded or compiled with it."""
    chosen = extractor(name)
    try:
        chosen.extract("<p>A page.</p>", None)
    except ConfigError:
        raise
    except Exception:  # told of the pages themselves
        logging.getLogger(__name__).debug("%s fails at an empty page", name, exc_info=True)
    return chosen


def count_tags(page: bytes) -> int:
    """The most tags that a page of these bytes can have, in any encoding."""
    return int(np.count_nonzero(np.frombuffer(page, np.uint8) == _LESS_THAN))


def unfolds(html: str) -> str | None:
    """What makes a small page large to a parser, or None.

    Parsers compare each attribute of a tag with all before it, and open every unclosed ``<font>`` again in every paragraph (HTML
    Standard, "reconstruct the active formatting elements"; of equal ones at most three).
    """
    if len(html) < 2 * _MAX_ATTRIBUTES:
        return None
    weights = np.empty(3, np.int64)
    weigh_markup(np.frombuffer(html.encode("utf-8", "replace"), np.uint8), _FORMATTING_NUMBERS, weights)
    _, longest, reopened = weights.tolist()
    if longest < 2 * _MAX_ATTRIBUTES and reopened <= _MAX_REOPENED:
        return None
    for tag in _LONG_TAG.finditer(html):
        if sum(1 for _ in _ATTRIBUTE.finditer(tag[0])) > _MAX_ATTRIBUTES:
            return f"a tag with more than {_MAX_ATTRIBUTES} attributes"
    if html.count("<") ** 2 < 4 * _MAX_REOPENED:
        return None
    opened: dict[str, list[str]] = {}
    same: Counter[str] = Counter()
    active = total = at = 0
    for mark in _FORMATTING.finditer(html):
        if active:
            total += active * html.count("<", at, mark.start())
            if total > _MAX_REOPENED:
                return f"unclosed elements of formatting that would be opened more than {_MAX_REOPENED} times"
        at = mark.start()
        name = mark[2].lower()
        if not mark[1]:
            opened.setdefault(name, []).append(mark[0])
            same[mark[0]] += 1
            active += same[mark[0]] <= 3
        elif opened.get(name):
            last = opened[name].pop()
            active -= same[last] <= 3
            same[last] -= 1
    return "unclosed elements of formatting" if total + active * html.count("<", at) > _MAX_REOPENED else None


def too_deep(html: str, most: int = MAX_DEPTH) -> bool:
    """Whether more than `most` elements lie inside one another, judged by tags that are opened and not closed."""
    if len(html) < _COUNT_TAGS_FROM * len("<p>") or html.count("<") < _COUNT_TAGS_FROM:
        return False
    depth = 0
    for tag in _TAG.finditer(html):
        if tag[1]:
            depth = max(depth - 1, 0)
        elif not tag[3]:
            depth += 1
            if depth > most:
                return True
    return False


def tidy(text: str) -> str:
    """Text with plain spaces, none at line ends, no soft hyphens, and at most one blank line in a row."""
    if not text.isascii():
        text = text.replace("\xa0", " ").replace("\xad", "")
    if "\0" in text:
        text = text.replace("\0", "")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if " \n" in text or ("\t" in text and "\t\n" in text) or text.endswith((" ", "\t")):
        text = "\n".join([line.rstrip(" \t") for line in text.split("\n")])
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.strip("\n").rstrip()
