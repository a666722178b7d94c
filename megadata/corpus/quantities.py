"""Measured quantities of documents: what rules in a rule list compare with thresholds.

A quantity has a name, a sentence, and a formula over counts that kernels make. How words and lines are cut, and which repeats
count, differs between published rule-sets: these choices are `Cuts`, and a rule-set names its own.
"""

from __future__ import annotations

import functools
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
from megadata.errors import ConfigError
from megadata.kernels import counts
from megadata.kernels import lines as line_kernels
from megadata.kernels import repetition as repetition_kernels
from megadata.kernels import words as word_kernels
from megadata.kernels.base import F64, I32, I64, U8, U64
from megadata.kernels.sentences import count_ends

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""The eight of Gopher (Rae et al. 2021, A.1.1)."""

_BYTES_A_WORD = 4
"""Bytes for which a word is expected at most; text with more words is cut a second time with enough room."""

WORD_CUTS = {"whitespace": word_kernels.WHITESPACE, "unicode": word_kernels.UNICODE}
LINE_CUTS = {
    "newline": (line_kernels.NEWLINE, False),
    "visible": (line_kernels.NEWLINE, True),
    "runs": (line_kernels.NEWLINE_RUNS, False),
    "splitlines": (line_kernels.SPLITLINES, False),
}
FORMULAS = {
    "later": repetition_kernels.LATER,
    "all": repetition_kernels.ALL,
    "overlapping": repetition_kernels.OVERLAPPING,
    "spaced": repetition_kernels.SPACED,
}
EDGES = {"mixed": line_kernels.MIXED, "as_is": line_kernels.AS_IS, "stripped": line_kernels.STRIPPED}
PARAGRAPHS = {"blank": line_kernels.PARAGRAPHS, "pairs": line_kernels.PAIRS}
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
    ellipses: tuple[str, ...] = ("...", "…")
    """What makes a line elliptic when it ends with one; in lower case, whatever the line's."""
    end_marks: str = TERMINAL
    """Characters that make a line ended when it ends with one."""
    line_edges: Literal["mixed", "as_is", "stripped"] = "mixed"
    """Where a line begins and ends: with its blanks (`as_is`), without (`stripped`), or with them for end marks only."""
    paragraphs: Literal["blank", "pairs"] = "blank"
    r"""`blank`: the stripped text, split at "\n{2,}"; `pairs`: split("\n\n"), empty paragraphs counted."""
    short_line: int = 30
    """Most characters of a short line."""
    repeated_lines: Literal["later", "all"] = "later"
    """Whether the first of equal lines or paragraphs counts as repeated too (`all`)."""
    line_share_of: Literal["text", "unbroken", "lines", "words"] = "text"
    """What repeated characters of lines and paragraphs are a share of: the text, the text without newlines, all lines (or
    paragraphs), or all words, which can make the share larger than one."""
    repeated_ngrams: Literal["skipping", "later", "all", "overlapping", "spaced"] = "later"
    """Formula of repeated n-grams, see `megadata.kernels.repetition`: `skipping` is datatrove's."""
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


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a batch: word w is text[starts[w]:starts[w] + sizes[w]], document d has words bounds[d]:bounds[d + 1]."""

    text: U8
    starts: I64
    sizes: I32
    characters: I32
    kinds: U8
    """Bits of `megadata.kernels.words`: whether it has a letter, is plain, mixes scripts."""
    hashes: U64
    bounds: I64

    @property
    def columns(self) -> tuple[I64, I32, I32, U8, U64]:
        """What is known of each word."""
        return self.starts, self.sizes, self.characters, self.kinds, self.hashes

    @property
    def most(self) -> int:
        """Most words of a document."""
        return int(np.diff(self.bounds).max(initial=0))


def cut(text: U8, offsets: I64, cutting: str) -> Words:
    """Cut documents into words."""
    room = (int(offsets[-1]) - int(offsets[0])) // _BYTES_A_WORD + 64
    while True:
        found = Words(
            text,
            np.empty(room, np.int64),
            np.empty(room, np.int32),
            np.empty(room, np.int32),
            np.empty(room, np.uint8),
            np.empty(room, np.uint64),
            np.empty(offsets.size, np.int64),
        )
        words = word_kernels.cut_words(text, offsets, class_table(), WORD_CUTS[cutting], *found.columns, found.bounds)
        if words <= room:
            starts, sizes, characters, kinds, hashes = found.columns
            return Words(
                text, starts[:words], sizes[:words], characters[:words], kinds[:words], hashes[:words], found.bounds
            )
        room = words


def symbols(docs: DocBatch) -> I64:
    """int64[D, counts.SIZES]: characters, words between ASCII white space, and symbols of each document."""

    def make() -> I64:
        out = np.empty((len(docs), counts.SIZES), np.int64)
        counts.count_symbols(docs.text, docs.offsets, out)
        return out

    return docs.derive("symbols", make)


class Measured:
    """The counts of one batch under one choice of cuts, made when first asked for; kept with the batch, for others who ask.

    Parameters
    ----------
    tops, repeats
        Lengths of the n-grams that will be asked for.
    repeated_lines
        Whether repeated lines or paragraphs will be.
    """

    def __init__(
        self,
        docs: DocBatch,
        cuts: Cuts,
        tops: Iterable[int] = (),
        repeats: Iterable[int] = (),
        repeated_lines: bool = True,
    ) -> None:
        self.cuts = cuts
        self._docs = docs
        self._text = docs.text
        self._offsets = docs.offsets
        self._count = len(docs)
        self.tops = sorted(set(tops))
        self.repeats = sorted(set(repeats))
        self.repeated_lines = repeated_lines

    @property
    def texts(self) -> list[str]:
        """The documents as strings, for quantities that no kernel measures."""
        return self._docs.derive("texts", lambda: self._docs.texts)

    @property
    def split_words(self) -> list[list[str]]:
        """The words of each document, cut at white space."""
        return self._docs.derive("split words", lambda: [text.split() for text in self.texts])

    @property
    def cut_words(self) -> Words:
        """The words as the cuts say."""
        cutting, language = self.cuts.words, self.cuts.language

        def make() -> Words:
            if cutting == "spacy":
                return cut(*spacy_words.spaced_words(self._docs.texts, language), "whitespace")
            return cut(self._text, self._offsets, cutting)

        return self._docs.derive(("words", cutting, language), make)

    @cached_property
    def words(self) -> I64:
        """int64[D, counts.COUNTS]."""
        cuts = self.cuts
        key = ("counts of words", cuts.words, cuts.language, cuts.stop_words)
        return self._docs.derive(key, lambda: self._count_words(cuts.stop_words))

    def _count_words(self, stop_words: tuple[str, ...]) -> I64:
        words = self.cut_words
        out = np.empty((self._count, counts.COUNTS), np.int64)
        stops = np.unique(_whole_words(stop_words).hashes)
        counts.count_words(words.characters, words.kinds, words.hashes, words.bounds, stops, symbols(self._docs), out)
        return out

    def _lines(self, cutting: int, visible: bool) -> I64:
        cuts = self.cuts

        def make() -> I64:
            out = np.empty((self._count, line_kernels.COUNTS), np.int64)
            endings = [ending.encode() for ending in cuts.ellipses]
            line_kernels.count_lines(
                self._text,
                self._offsets,
                class_table(),
                cutting,
                visible,
                EDGES[cuts.line_edges],
                cuts.short_line,
                code_points(cuts.bullets),
                code_points(cuts.end_marks),
                np.frombuffer(b"".join(endings), np.uint8),
                np.cumsum([0, *map(len, endings)], dtype=np.int64),
                self.repeated_lines,
                out,
            )
            return out

        choices = (cuts.line_edges, cuts.short_line, cuts.bullets, cuts.end_marks, cuts.ellipses)
        return self._docs.derive(("lines", cutting, visible, self.repeated_lines, *choices), make)

    @cached_property
    def lines(self) -> I64:
        """int64[D, line_kernels.COUNTS] of the lines."""
        return self._lines(*LINE_CUTS[self.cuts.lines])

    @cached_property
    def sentence_ends(self) -> I64:
        """int64[D]: ends of sentences."""

        def make() -> I64:
            out = np.empty(self._count, np.int64)
            count_ends(self._text, self._offsets, class_table(), code_points(self.cuts.end_marks), out)
            return out

        return self._docs.derive(("sentence ends", self.cuts.end_marks), make)

    @cached_property
    def paragraphs(self) -> I64:
        """int64[D, line_kernels.COUNTS] of the paragraphs."""
        return self._lines(PARAGRAPHS[self.cuts.paragraphs], False)

    @cached_property
    def _ngrams(self) -> tuple[I64, I64, I64]:
        words, cuts = self.cut_words, self.cuts
        tops, repeats = np.array(self.tops, np.int64), np.array(self.repeats, np.int64)
        skipping = cuts.repeated_ngrams == "skipping"
        top, repeated, total = (np.empty((self._count, n.size), np.int64) for n in (tops, repeats, repeats))
        together = repeats[:0] if skipping else repeats
        if tops.size or together.size:
            repetition_kernels.repeated_ngrams(
                words.characters,
                words.hashes,
                words.bounds,
                words.most,
                tops,
                together,
                TIES[cuts.top_tie],
                cuts.top_least,
                cuts.ngram_share_of == "text",
                0 if skipping else FORMULAS[cuts.repeated_ngrams],
                top,
                repeated[:, : together.size],
                total[:, : together.size],
            )
        if skipping and repeats.size:
            most_bytes = (
                int(words.sizes.sum()) if words.text is not self._text else int(self._docs.sizes.max(initial=0))
            )
            repetition_kernels.skipped_ngrams(
                words.text, words.starts, words.sizes, words.characters, words.bounds, words.most, most_bytes,
                repeats, repeated, total,
            )  # fmt: skip
        return top, repeated, total

    def top_ngram(self, n: int) -> I64:
        """int64[D]: characters in all occurrences of the most frequent n-gram."""
        return self._ngrams[0][:, self.tops.index(n)]

    def repeated_ngrams(self, n: int) -> tuple[I64, I64]:
        """int64[D] twice: characters in repeated n-grams, and characters that could be in them."""
        at = self.repeats.index(n)
        return self._ngrams[1][:, at], self._ngrams[2][:, at]


@functools.cache
def _whole_words(words: tuple[str, ...]) -> Words:
    """Words that are given one by one.

    Raises
    ------
    ConfigError
        For one with white space inside, which no word has.
    """
    for word in words:
        if len(word.split()) != 1:
            raise ConfigError(f"stop_words: expected single words, found {word!r}; leave it out")
    encoded = [word.encode() for word in words]
    text = np.frombuffer(b"".join(encoded), np.uint8)
    return cut(text, np.cumsum([0, *map(len, encoded)], dtype=np.int64), "whitespace")


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
