"""Lines: their quantities, and `lines`, the step that drops lines as C4's rules do."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np

from megadata.config import configclass
from megadata.corpus import spacy_words
from megadata.corpus.characters import TERMINAL, UNICODE, class_table, code_points
from megadata.corpus.quantities import Measured, Quantity, ratio
from megadata.corpus.step import Decision, Verdict
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError
from megadata.kernels import counts as words
from megadata.kernels import line_rules as rules
from megadata.kernels import lines as columns
from megadata.kernels.base import F64, I64, U8


def _share(column: int) -> Callable[[Measured], F64]:
    return lambda m: ratio(m.lines[:, column], m.lines[:, columns.LINES])


QUANTITIES = {
    "lines": Quantity("lines", lambda m: m.lines[:, columns.LINES].astype(np.float64)),
    "mean_line_length": Quantity("characters per line", _share(columns.LINE_CHARACTERS)),
    "bulleted_line_share": Quantity("lines that begin with a bullet, as a share", _share(columns.BULLETED), 1.0),
    "elliptic_line_share": Quantity("lines that end with an ellipsis, as a share", _share(columns.ELLIPTIC), 1.0),
    "ended_line_share": Quantity("lines that end with an end mark, as a share", _share(columns.ENDED), 1.0),
    "sentence_ends_per_word": Quantity(
        "ends of sentences, wherever they stand in a line, per plain word",
        lambda m: ratio(m.sentence_ends, m.words[:, words.PLAIN_WORDS]),
    ),
    "short_line_share": Quantity("short lines, as a share", _share(columns.SHORT), 1.0),
}
"""Name -> quantity."""

SENTENCE_ENDS = TERMINAL
"""End marks by which `min_sentences` counts."""


@configclass
class Phrase:
    """Phrases that must not be there."""

    reason: str
    """Stable name; the reason for dropping the document when `drops` is ``page``."""
    any_of: tuple[str, ...]
    """Phrases in lower case, found anywhere in the line, whatever its case."""
    drops: Literal["line", "page"] = "line"
    """What goes when one is found."""

    def __post_init__(self) -> None:
        if not self.any_of:
            raise ConfigError(f"phrases.{self.reason}: any_of is empty, so that nothing is looked for; name phrases")
        for phrase in self.any_of:
            if not phrase or phrase != phrase.lower():
                raise ConfigError(f"phrases.{self.reason}: expected phrases in lower case, found {phrase!r}")
            if len(phrase.splitlines()) != 1 or phrase != phrase.strip():
                raise ConfigError(
                    f"phrases.{self.reason}: {phrase!r} is never found: lines hold no line breaks and no blanks at their ends"
                )


@configclass
class LineRules:
    """Keep only lines that look like prose, and drop documents of which too little is left (C4, Raffel et al. 2020)."""

    end_marks: str = ""
    """Characters a line must end with one of; every line may stay when empty."""
    ellipsis_ends: bool = False
    """Whether "..." at the end of a line is an end mark too."""
    min_words: int = 0
    """Fewest words (cut at whitespace) a line must have."""
    max_word_length: int | None = None
    """Most characters of a line's longest word; any number when null."""
    drop_citations: bool = False
    """Remove [1], [edit] and [citation needed]."""
    count_words: Literal["first", "after_citations"] = "first"
    """Whether `min_words` counts the words of the line as it was found or without its citation marks."""
    phrases: tuple[Phrase, ...] = ()
    """Looked for in this order in each line that passed the rules above; the first one found decides."""
    page_phrases_in: Literal["kept_lines", "page"] = "kept_lines"
    """`page`: phrases that drop the page are looked for in all of its lines."""
    min_sentences: int | None = None
    """Fewest sentences that must be left; any number when null."""
    sentences: Literal["marks", "spacy"] = "marks"
    """How sentences of a line are counted: by their end marks, or as spaCy's sentencizer cuts them (``megadata[spacy]``)."""
    language: str = "en"
    """spaCy's code of the language by whose rules `spacy` cuts sentences."""

    name: ClassVar[str] = "lines"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for name, value, least in (
            ("min_words", self.min_words, 0),
            ("max_word_length", self.max_word_length, 1),
            ("min_sentences", self.min_sentences, 1),
        ):
            if value is not None and value < least:
                raise ConfigError(f"{name}: expected {least} or more, found {value}")
        if len(set(self.reasons)) < len(self.reasons):
            raise ConfigError(f"phrases: two of them drop pages for one reason ({', '.join(self.reasons)}); merge them")
        if self.sentences == "spacy":
            spacy_words.pipeline(self.language)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons it drops documents for."""
        few = () if self.min_sentences is None else ("too_few_sentences",)
        return (*(phrase.reason for phrase in self.phrases if phrase.drops == "page"), *few)

    @property
    def libraries(self) -> tuple[str, ...]:
        """The character data, and spaCy where it counts sentences."""
        return (UNICODE, *(spacy_words.libraries() if self.sentences == "spacy" else ()))

    @cached_property
    def _flat(self) -> list[tuple[bytes, Phrase]]:
        return [(text.encode(), phrase) for phrase in self.phrases for text in phrase.any_of]

    def _run(self, docs: DocBatch) -> tuple[U8, I64, I64]:
        out = np.empty(docs.text.size + 8, np.uint8)
        out_offsets = np.empty(len(docs) + 1, np.int64)
        counts = np.empty((len(docs), rules.LINE_COUNTS), np.int64)
        rules.keep_lines(
            docs.text,
            docs.offsets,
            class_table(),
            code_points(self.end_marks),
            self.ellipsis_ends,
            self.min_words,
            self.max_word_length or 0,
            self.drop_citations,
            self.count_words == "after_citations",
            self.page_phrases_in == "page",
            code_points(SENTENCE_ENDS if self.min_sentences is not None and self.sentences == "marks" else ""),
            np.frombuffer(b"".join(text for text, _ in self._flat), np.uint8),
            np.cumsum([0, *(len(text) for text, _ in self._flat)], dtype=np.int64),
            np.array([phrase.drops == "page" for _, phrase in self._flat], np.bool_),
            out,
            out_offsets,
            counts,
        )
        return out, out_offsets, counts

    def judge_and_map(self, docs: DocBatch) -> tuple[Verdict, DocBatch]:
        """Decisions for each page phrase and for too few sentences; and the documents with only the lines that stay."""
        out, out_offsets, counts = self._run(docs)
        verdict: dict[str, Decision] = {}
        page = counts[:, rules.PAGE_PHRASE]
        for phrase in self.phrases:
            if phrase.drops == "page":
                numbers = [i + 1 for i, (_, one) in enumerate(self._flat) if one is phrase]
                found = np.isin(page, numbers)
                verdict[phrase.reason] = Decision(found, found.astype(np.float64), ">= 1")
        changed = int(out_offsets[-1]) != docs.sizes.sum() or not np.array_equal(
            out[: out_offsets[-1]], docs.text[docs.offsets[0] : docs.offsets[-1]]
        )
        mapped = docs.with_flat_text(out[: out_offsets[-1]], out_offsets) if changed else docs
        if self.min_sentences is not None:
            sentences = counts[:, rules.SENTENCES]
            if self.sentences == "spacy":
                sentences = spacy_words.count_sentences(mapped.texts, self.language)
            few = Decision(
                sentences < self.min_sentences,
                sentences.astype(np.float64),
                f"< {self.min_sentences}",
                limit=self.min_sentences,
            )
            verdict["too_few_sentences"] = few
        return verdict, mapped

    def judge(self, docs: DocBatch) -> Verdict:
        """Decisions for each page phrase and for too few sentences."""
        return self.judge_and_map(docs)[0]

    def map(self, docs: DocBatch) -> DocBatch:
        """The documents with only the lines that stay."""
        return self.judge_and_map(docs)[1]
