"""Names that wikitext uses for the same things in many languages, beyond those a dump's own site information gives."""

from __future__ import annotations

import re
from functools import cache
from urllib.parse import SplitResult, urlsplit

from megadata.corpus.sources.templates import tables

_REDIRECT = re.compile(r"\s*#\s*[^\W\d_][^\s\[#*:]{1,30}\s*(?::\s*)?\[\[")

CANONICAL_NAMESPACES = {
    "Main": 0, "Article": 0, "Talk": 1, "User": 2, "User talk": 3, "Project": 4, "Project talk": 5, "File": 6, "File talk": 7,
    "MediaWiki": 8, "MediaWiki talk": 9, "Template": 10, "Template talk": 11, "Help": 12, "Help talk": 13, "Category": 14,
    "Category talk": 15,
}  # fmt: skip
"""Names of namespaces that every wiki knows, whatever its language."""


@cache
def file_names() -> frozenset[str]:
    """Prefixes of links to pictures and recordings, with old names that pages still use; case folded."""
    return frozenset(name.casefold() for name in tables()["files"])


@cache
def category_names() -> frozenset[str]:
    """Prefixes of links that put a page into a category; case folded."""
    return frozenset(name.casefold() for name in tables()["categories"])


@cache
def disambiguation_pattern(more: tuple[str, ...] = ()) -> re.Pattern[str]:
    """Finds the templates and magic words that mark lists of meanings; `more` are names of the user's."""
    names = "|".join(
        re.escape(str(name)).replace(r"\ ", "[ _]").replace(r"\-", "[- ]")
        for name in [*tables()["disambiguations"], *more]
    )
    return re.compile(
        rf"\{{\{{\s*(?:[^\W\d_]{{2,12}}:\s*)?(?:{names}|disambig[^|{{}}\n]{{0,20}})\s*[|}}]"
        r"|__DISAMBIG__|__BEGRIFFSKLÄRUNG__|__DESAMBIG__|__HOMONYMIE__|__消歧义__|__消歧義__|__ОПРЕДЕЛЕНИЕ__",
        re.IGNORECASE,
    )


def is_redirect(source: str) -> bool:
    """Whether a page only sends the reader to another (``#REDIRECT [[...]]`` in any language)."""
    return _REDIRECT.match(source) is not None


def target_of(source: str) -> str:
    """Title of the page to which a redirect sends the reader."""
    found = re.search(r"\[\[([^\[\]|\n]+)", source[:2000])
    return found[1].strip().replace("_", " ") if found is not None else ""


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
