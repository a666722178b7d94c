"""Measured quantities of documents: what rules in a rule list compare with thresholds.

A quantity has a name, a sentence, and a formula over counts that kernels make. How words and lines are cut, and which repeats
count, differs between published rule-sets: these choices are `Cuts`, and a rule-set names its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from megadata.config import configclass
from megadata.corpus import spacy_words
from megadata.corpus.characters import TERMINAL, UNICODE, class_table, code_points
from megadata.documents.batch import DocBatch
from megadata.kernels import lines as line_kernels
from megadata.kernels import repetition as repetition_kernels
from megadata.kernels import words as word_kernels
from megadata.kernels.base import F64, I64, U8

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""The eight of Gopher (Rae et al. 2021, A.1.1)."""

WORD_CUTS = {"whitespace": word_kernels.WHITESPACE, "unicode": word_kernels.UNICODE}
LINE_CUTS = {
    "newline": (line_kernels.NEWLINE, False),
    "visible": (line_kernels.NEWLINE, True),
    "runs": (line_kernels.NEWLINE_RUNS, False),
    "splitlines": (line_kernels.SPLITLINES, False),
}
FORMULAS = {
    "skipping": repetition_kernels.SKIPPING,
    "later": repetition_kernels.LATER,
    "all": repetition_kernels.ALL,
    "overlapping": repetition_kernels.OVERLAPPING,
}
TIES = {"first": repetition_kernels.FIRST_SEEN, "longest": repetition_kernels.LONGEST}


@configclass
class Cuts:
    """How text is cut and counted before thresholds are asked."""

    words: Literal["whitespace", "unicode", "spacy"] = "unicode"
    """`whitespace`: as str.split. `unicode`: letters, marks and digits together, every other visible character alone.
    `spacy`: as spaCy's rules for `language` (needs ``megadata[spacy]``; a hundred times slower)."""
    language: str = "en"
    """spaCy's code of the language by whose rules `spacy` cuts words."""
    lines: Literal["newline", "visible", "runs", "splitlines"] = "visible"
    r"""`newline`: split("\n"); `visible`: those of them that are not blank; `runs`: split at "\n+"; `splitlines`."""
    stop_words: tuple[str, ...] = STOP_WORDS
    """Words counted as stop words, compared as they are written."""
    bullets: str = "•‣▶◀◦■□▪▫–-*"
    """Characters that make a line bulleted when it begins with one."""
    end_marks: str = TERMINAL
    """Characters that make a line ended when it ends with one."""
    short_line: int = 30
    """Most characters of a short line."""
    repeated_lines: Literal["later", "all"] = "later"
    """Whether the first of equal lines or paragraphs counts as repeated too (`all`)."""
    line_share_of: Literal["text", "unbroken"] = "text"
    """What repeated characters of lines and paragraphs are a share of: the text, or the text without newlines."""
    repeated_ngrams: Literal["skipping", "later", "all", "overlapping"] = "later"
    """Formula of repeated n-grams, see `megadata.kernels.repetition.repeated_ngrams`."""
    ngram_share_of: Literal["text", "ngrams"] = "ngrams"
    """What characters of n-grams are a share of: the text (then top n-grams count with their spaces), or all characters that
    n-grams hold."""
    top_tie: Literal["first", "longest"] = "first"
    """Which of equally frequent n-grams is the top one."""
    top_least: int = 2
    """Fewest occurrences of a top n-gram."""

    @property
    def libraries(self) -> tuple[str, ...]:
        """What the cuts depend on: the character data, and spaCy where it cuts words."""
        return (UNICODE, *(spacy_words.libraries() if self.words == "spacy" else ()))


class Measured:
    """The counts of one batch under one choice of cuts, made when first asked for and forgotten with the batch."""

    def __init__(self, docs: DocBatch, cuts: Cuts, tops: Iterable[int] = (), repeats: Iterable[int] = ()) -> None:
        self.cuts = cuts
        self._docs = docs
        self._text = docs.text
        self._offsets = docs.offsets
        self._count = len(docs)
        self.tops = sorted(set(tops))
        self.repeats = sorted(set(repeats))

    @cached_property
    def _cut(self) -> tuple[U8, I64, int]:
        """The text whose words are counted, its offsets, and how a kernel cuts it."""
        if self.cuts.words == "spacy":
            return *spacy_words.spaced_words(self._docs.texts, self.cuts.language), word_kernels.WHITESPACE
        return self._text, self._offsets, WORD_CUTS[self.cuts.words]

    def _count_words(self, text: U8, offsets: I64, cut: int) -> I64:
        encoded = [w.encode() for w in self.cuts.stop_words]
        stop_text = np.frombuffer(b"".join(encoded), np.uint8)
        stop_offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        out = np.empty((self._count, word_kernels.COUNTS), np.int64)
        word_kernels.count_words(text, offsets, class_table(), cut, stop_text, stop_offsets, out)
        return out

    @cached_property
    def words(self) -> I64:
        """int64[D, word_kernels.COUNTS]."""
        text, offsets, cut = self._cut
        counts = self._count_words(text, offsets, cut)
        if text is not self._text:
            of_text = self._count_words(self._text, self._offsets, cut)
            for column in word_kernels.OF_TEXT:
                counts[:, column] = of_text[:, column]
        return counts

    def _lines(self, cutting: int, visible: bool) -> I64:
        out = np.empty((self._count, line_kernels.COUNTS), np.int64)
        bullets, ends = code_points(self.cuts.bullets), code_points(self.cuts.end_marks)
        short = self.cuts.short_line
        line_kernels.count_lines(
            self._text, self._offsets, class_table(), cutting, visible, short, bullets, ends, out
        )  # fmt: skip
        return out

    @cached_property
    def lines(self) -> I64:
        """int64[D, line_kernels.COUNTS] of the lines."""
        return self._lines(*LINE_CUTS[self.cuts.lines])

    @cached_property
    def paragraphs(self) -> I64:
        """int64[D, line_kernels.COUNTS] of the paragraphs, which are cut at two or more newlines."""
        return self._lines(line_kernels.PARAGRAPHS, False)

    @cached_property
    def _ngrams(self) -> tuple[I64, I64, I64]:
        tops, repeats = np.array(self.tops, np.int64), np.array(self.repeats, np.int64)
        out = [np.empty((self._count, n.size), np.int64) for n in (tops, repeats, repeats)]
        cuts = self.cuts
        text, offsets, cut = self._cut
        repetition_kernels.repeated_ngrams(
            text,
            offsets,
            class_table(),
            cut,
            int(self.words[:, word_kernels.WORDS].max(initial=0)),
            tops,
            repeats,
            TIES[cuts.top_tie],
            cuts.top_least,
            cuts.ngram_share_of == "text",
            FORMULAS[cuts.repeated_ngrams],
            *out,
        )
        return out[0], out[1], out[2]

    def top_ngram(self, n: int) -> I64:
        """int64[D]: characters in all occurrences of the most frequent n-gram."""
        return self._ngrams[0][:, self.tops.index(n)]

    def repeated_ngrams(self, n: int) -> tuple[I64, I64]:
        """int64[D] twice: characters in repeated n-grams, and characters that could be in them."""
        at = self.repeats.index(n)
        return self._ngrams[1][:, at], self._ngrams[2][:, at]


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that can be measured of every document."""

    about: str
    formula: Callable[[Measured], F64]
    most: float = math.inf
    """The largest value there can be; the least is 0."""


def ratio(part: I64, whole: I64) -> F64:
    """part / whole as floats; NaN (which no threshold drops) where there is nothing to divide by."""
    out = np.full(part.shape, np.nan)
    np.divide(part, whole, out=out, where=whole != 0)
    return out
