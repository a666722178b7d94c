"""Quantities of repeated lines, paragraphs and n-grams."""

from __future__ import annotations

import functools

from megadata.corpus.quantities import Measured, Quantity, ratio
from megadata.kernels import counts as words
from megadata.kernels import lines as columns
from megadata.kernels.base import F64, I64

LONGEST = 20
"""Largest n of the n-gram quantities."""


def _repeated(m: Measured, counts: I64) -> F64:
    column = columns.LATER if m.cuts.repeated_lines == "later" else columns.REPEATED
    return ratio(counts[:, column], counts[:, columns.LINES])


def _repeated_characters(m: Measured, counts: I64) -> F64:
    column = columns.LATER_CHARACTERS if m.cuts.repeated_lines == "later" else columns.REPEATED_CHARACTERS
    if m.cuts.line_share_of == "lines":
        return ratio(counts[:, column], counts[:, columns.LINE_CHARACTERS])
    if m.cuts.line_share_of == "words":
        return ratio(counts[:, column], m.words[:, words.WORD_CHARACTERS])
    whole = m.words[:, words.CHARACTERS]
    if m.cuts.line_share_of == "unbroken":
        whole = whole - m.words[:, words.NEWLINES]
    return ratio(counts[:, column], whole)


def _top(m: Measured, *, n: int) -> F64:
    whole = m.words[:, words.CHARACTERS if m.cuts.ngram_share_of == "text" else words.WORD_CHARACTERS]
    return ratio(m.top_ngram(n), whole)


def _repeated_ngrams(m: Measured, *, n: int) -> F64:
    part, whole = m.repeated_ngrams(n)
    return ratio(part, m.words[:, words.CHARACTERS] if m.cuts.ngram_share_of == "text" else whole)


TOPS = {f"top_{n}gram_share": n for n in range(1, LONGEST + 1)}
REPEATS = {f"repeated_{n}gram_share": n for n in range(1, LONGEST + 1)}

LINES = {
    "repeated_line_share": Quantity("repeated lines per line", lambda m: _repeated(m, m.lines), 1.0),
    "repeated_line_character_share": Quantity(
        "characters in repeated lines, as a share", lambda m: _repeated_characters(m, m.lines)
    ),
    "repeated_paragraph_share": Quantity(
        "repeated paragraphs per paragraph", lambda m: _repeated(m, m.paragraphs), 1.0
    ),
    "repeated_paragraph_character_share": Quantity(
        "characters in repeated paragraphs, as a share", lambda m: _repeated_characters(m, m.paragraphs)
    ),
}
"""Name -> quantity of repeated lines and paragraphs."""

QUANTITIES = {
    **LINES,
    **{
        name: Quantity(
            f"characters in the most frequent {n}-gram, as a share", functools.partial(_top, n=n), max(n, 2.0)
        )
        for name, n in TOPS.items()
    },
    **{
        name: Quantity(
            f"characters in repeated {n}-grams, as a share", functools.partial(_repeated_ngrams, n=n), max(n, 2.0)
        )
        for name, n in REPEATS.items()
    },
}
"""Name -> quantity. Overlapping occurrences and the spaces of top n-grams can make the n-gram shares larger than one, though not
than n: a word is part of at most n n-grams."""
