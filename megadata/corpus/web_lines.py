"""`web_lines`: the line corrections of RefinedWeb, which drop lines of page furniture and pages that are mostly such lines."""

from __future__ import annotations

import re
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from megadata.config import configclass
from megadata.corpus.characters import UNICODE
from megadata.corpus.step import Decision, Verdict
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError

COUNTERS = re.compile(
    r"^\W*\d(?:,|\.|\d)*(?:K|k|M|m|B|b)?\s+(?:likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads|"
    r"views|followers)\W*$"
)
"""Lines such as "3 likes", looked for in lower case."""

TOKENS = re.compile("[^ \n\r\t\v\f\0]+")
"""Words as fastText cuts them."""


def count_words(text: str) -> int:
    """Words that begin with a letter or digit."""
    return sum(token[0].isalnum() for token in TOKENS.findall(text))


@configclass
class Cut:
    """A pattern that is cut out of short lines; a line of which nothing is left goes."""

    pattern: str
    """Regular expression, whatever the case of letters."""
    at: Literal["start", "end", "anywhere"] = "anywhere"
    """Where in the line it must stand."""

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ConfigError(f"cut: {self.pattern!r} is not a regular expression: {error}") from error

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """The pattern with one blank before it (after it, at the start of a line)."""
        inside = f"(?:{self.pattern})"
        forms = {"start": rf"^{inside}\s?", "end": rf"\s?{inside}$", "anywhere": rf"\s?{inside}"}
        return re.compile(forms[self.at], re.IGNORECASE)


@configclass
class WebLines:
    r"""Drop lines that are mostly capitals, numbers, counters or single words, and pages that lose too much by it.

    Lines are cut at "\n"; empty ones stay. The rules run one after another over the whole document (Penedo et al. 2023,
    RefinedWeb, arXiv:2306.01116, appendix G.2, as DCLM has them).
    """

    max_uppercase: float = 0.5
    """Most upper-case letters of a line, as a share of its characters."""
    max_digits: float = 0.999999
    """Most digits of a line, as a share of its characters."""
    counters: bool = True
    """Drop counters such as "3 likes"."""
    min_words: int = 2
    """Fewest words of a line that is not empty."""
    cut: tuple[Cut, ...] = ()
    """Patterns cut out of lines of at most `cut_words` words, in this order."""
    cut_words: int = 10
    """Most words of a line in which patterns are looked for."""
    max_removed: float = 0.05
    """Most words, as a share, that a document may lose by all of this."""

    name: ClassVar[str] = "web_lines"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for name in ("max_uppercase", "max_digits", "max_removed"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ConfigError(f"{name}: expected a share from 0 to 1, found {value}")

    @property
    def libraries(self) -> tuple[str, ...]:
        """The character data."""
        return (UNICODE,)

    def _left(self, text: str) -> str:
        """What is left of a text."""
        for limit, kind in ((self.max_uppercase, str.isupper), (self.max_digits, str.isdigit)):
            lines = text.split("\n")
            text = "\n".join(line for line in lines if not line or sum(map(kind, line)) / len(line) <= limit).strip()
        if self.counters:
            text = "\n".join(line for line in text.split("\n") if not COUNTERS.search(line.lower())).strip()
        text = "\n".join(line for line in text.split("\n") if not line or len(line.split()) >= self.min_words)
        for cut in self.cut:
            kept = []
            for line in text.split("\n"):
                shorter = line
                if len(line.split()) <= self.cut_words:
                    shorter = cut.expression.sub("", line)
                    if line and not shorter.strip():
                        continue
                kept.append(shorter)
            text = "\n".join(kept).strip()
        return text

    def judge_and_map(self, docs: DocBatch) -> tuple[Verdict, DocBatch]:
        """Decisions for documents of which nothing or too little is left; and the documents without the lines."""
        before = docs.texts
        after = [self._left(text) for text in before]
        nothing = np.array([not text for text in after], np.bool_)
        removed = np.full(len(docs), np.nan)
        for d, (old, new) in enumerate(zip(before, after, strict=True)):
            words = count_words(old)
            removed[d] = (words - count_words(new)) / words if words else np.nan
        gone = np.isnan(removed) | (removed > self.max_removed)
        verdict = {
            "no_lines_left": Decision(nothing, nothing.astype(np.float64), ">= 1"),
            "removed_words": Decision(gone, removed, f"> {self.max_removed:g}"),
        }
        return verdict, docs if after == before else docs.replace(text=after)

    def judge(self, docs: DocBatch) -> Verdict:
        """Decisions for documents of which nothing or too little is left."""
        return self.judge_and_map(docs)[0]

    def map(self, docs: DocBatch) -> DocBatch:
        """The documents without the lines."""
        return self.judge_and_map(docs)[1]
