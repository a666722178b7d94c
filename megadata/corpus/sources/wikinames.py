"""Names that wikitext uses for the same things in many languages, beyond those a dump's own site information gives."""

from __future__ import annotations

import re
from functools import cache
from urllib.parse import SplitResult, urlsplit

from megadata.corpus.sources.templates import tables

_REDIRECT = re.compile(r"\s*#\s*[^\W\d_][^\s\[#*:]{1,30}\s*(?::\s*)?\[\[")


@cache
def file_names() -> frozenset[str]:
    """Prefixes of links to pictures and recordings, with old names that pages still use; case folded."""
    return frozenset(name.casefold() for name in tables()["files"])


@cache
def category_names() -> frozenset[str]:
    """Prefixes of links that put a page into a category; case folded."""
    return frozenset(name.casefold() for name in tables()["categories"])


@cache
def _disambiguation() -> re.Pattern[str]:
    names = "|".join(
        re.escape(name).replace(r"\ ", "[ _]").replace(r"\-", "[- ]") for name in tables()["disambiguations"]
    )
    return re.compile(
        rf"\{{\{{\s*(?:{names}|disambig[^|{{}}\n]{{0,20}})\s*[|}}]|__DISAMBIG__|__BEGRIFFSKLÄRUNG__", re.I
    )


def is_disambiguation(source: str) -> bool:
    """Whether a page carries one of the templates that mark lists of meanings."""
    return _disambiguation().search(source) is not None


def is_redirect(source: str) -> bool:
    """Whether a page only sends the reader to another (``#REDIRECT [[...]]`` in any language)."""
    return _REDIRECT.match(source) is not None


def split_address(url: str) -> SplitResult:
    """Parts of a URL; empty where it is none."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def database_of(url: str) -> str:
    """Database name of the Wikipedia at an address (``enwiki``), or empty for other sites."""
    host = split_address(url).netloc.partition(":")[0].split(".")
    return f"{host[-3].replace('-', '_')}wiki" if len(host) >= 3 and host[-2] == "wikipedia" else ""
