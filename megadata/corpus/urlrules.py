"""`url`: drop documents whose address a list names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from megadata.config import configclass
from megadata.corpus.step import Decision, Verdict
from megadata.corpus.urllists import UrlList, UrlWords, listed_entries, load_url_list, matches
from megadata.documents.batch import DocBatch
from megadata.kernels.base import F64

_WORDS = re.compile(r"[^\W_]+")
_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*://")


@configclass
class Urls:
    """Drop documents by their address; documents without one stay.

    What matched is noted in the removed document's metadata, as `matched`.
    """

    lists: tuple[str, ...]
    """Files of `megadata.corpus.urllists`; in a rule list relative to it."""

    name: ClassVar[str] = "url"
    version: ClassVar[int] = 1
    files: ClassVar[tuple[str, ...]] = ("lists",)
    """Settings that name files."""

    def __post_init__(self) -> None:
        loaded = tuple(load_url_list(Path(one)) for one in self.lists)
        object.__setattr__(self, "_loaded", loaded)
        entries = [one.entries for one in loaded]
        every = entries[0] if len(entries) == 1 else np.unique(np.concatenate([np.zeros(0, np.uint64), *entries]))
        object.__setattr__(self, "_entries", every)

    @property
    def libraries(self) -> tuple[str, ...]:
        """Arrow, which brings RE2."""
        return (f"pyarrow {pa.__version__}",) if any(one.regex or one.words.parts for one in self._lists) else ()

    @property
    def identity(self) -> dict[str, Any]:
        """What the lists hold, not where they lie."""
        return {"lists": [one.digest for one in self._lists]}

    @property
    def _lists(self) -> tuple[UrlList, ...]:
        loaded: tuple[UrlList, ...] = self.__dict__["_loaded"]
        return loaded

    def judge(self, docs: DocBatch) -> Verdict:
        """Decisions `domain`, `address`, `word` and `regex`; the value of `word` is the number of soft words."""
        urls = docs.column("url")
        named = listed_entries(urls, self.__dict__["_entries"])
        domains = [entry if entry and "/" not in entry and "?" not in entry else None for entry in named]
        addresses = [entry if domain is None else None for entry, domain in zip(named, domains, strict=True)]
        words: list[str | None] = [None] * len(docs)
        counts = np.full(len(docs), np.nan)
        patterns: list[str | None] = [None] * len(docs)
        for one in self._lists:
            _find_words(urls, one.words, words, counts)
            _find_patterns(docs.records.column("url"), one.regex, patterns)
        return {
            "domain": _decision(domains),
            "address": _decision(addresses),
            "word": _decision(words, counts),
            "regex": _decision(patterns),
        }


def _decision(found: list[str | None], values: F64 | None = None) -> Decision:
    mask = np.array([one is not None for one in found], np.bool_)
    return Decision(mask, np.full(len(found), np.nan) if values is None else values, "listed", tuple(found))


def _find_words(urls: list[str | None], words: UrlWords, found: list[str | None], counts: F64) -> None:
    """Note for each address the first hard word, or part, or the soft words where there are too many."""
    if not (words.hard or words.soft or words.parts):
        return
    hard, soft = (frozenset(word.lower() for word in some) for some in (words.hard, words.soft))
    texts = [_SCHEME.sub("", unquote(url).lower(), count=1) if url else "" for url in urls]
    parts = [part.lower() for part in words.parts]
    inside = _any_part(texts, parts)
    for number, text in enumerate(texts):
        if not text or found[number] is not None:
            continue
        mine = _WORDS.findall(text)
        counted = [word for word in mine if word in soft]
        if (one := next((word for word in mine if word in hard), None)) is not None:
            found[number] = one
        elif inside[number]:
            found[number] = next(part for part in parts if part in text)
        elif len(counted) >= words.soft_limit:
            found[number], counts[number] = " ".join(counted), len(counted)


def _any_part(texts: list[str], parts: list[str]) -> list[bool]:
    if not parts:
        return [False] * len(texts)
    pattern = "|".join(re.escape(part) for part in parts)
    return [bool(one) for one in matches(pa.array(texts, pa.string()), pattern).to_pylist()]


def _find_patterns(urls: pa.Array, patterns: tuple[str, ...], found: list[str | None]) -> None:
    for pattern in patterns:
        for number in np.flatnonzero(matches(urls.fill_null(""), pattern).to_numpy(zero_copy_only=False)).tolist():
            if found[number] is None and urls[number].is_valid:
                found[number] = pattern
