"""Quantities of words, symbols and characters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from megadata.corpus.quantities import Measured, Quantity, ratio
from megadata.kernels import counts as columns
from megadata.kernels.base import F64


def _count(column: int) -> Callable[[Measured], F64]:
    return lambda m: m.words[:, column].astype(np.float64)


def _ratio(part: int, whole: int) -> Callable[[Measured], F64]:
    return lambda m: ratio(m.words[:, part], m.words[:, whole])


QUANTITIES = {
    "characters": Quantity("characters (code points)", _count(columns.CHARACTERS)),
    "words": Quantity("words", _count(columns.WORDS)),
    "plain_words": Quantity("words with a character that is no punctuation", _count(columns.PLAIN_WORDS)),
    "mean_word_length": Quantity("characters per word", _ratio(columns.WORD_CHARACTERS, columns.WORDS)),
    "mean_plain_word_length": Quantity(
        "characters per plain word", _ratio(columns.PLAIN_CHARACTERS, columns.PLAIN_WORDS)
    ),
    "longest_word": Quantity("characters of the longest word", _count(columns.LONGEST_WORD)),
    "hashes_per_word": Quantity('"#" per word', _ratio(columns.HASHES, columns.WORDS)),
    "ellipses_per_word": Quantity('"..." and "…" per word', _ratio(columns.ELLIPSES, columns.WORDS)),
    "newlines_per_word": Quantity("newlines per word", _ratio(columns.NEWLINES, columns.WORDS)),
    "letter_word_share": Quantity(
        "words with a letter, as a share of all words", _ratio(columns.LETTER_WORDS, columns.WORDS), 1.0
    ),
    "letters_among_plain_words": Quantity(
        "words with a letter per plain word", _ratio(columns.LETTER_WORDS, columns.PLAIN_WORDS)
    ),
    "mixed_script_words": Quantity(
        "words of letters A to Z and Cyrillic or Armenian ones, as a share",
        _ratio(columns.MIXED_WORDS, columns.WORDS),
        1.0,
    ),
    "stop_words": Quantity("different stop words", _count(columns.STOP_DISTINCT)),
    "stop_word_count": Quantity("occurrences of stop words", _count(columns.STOP_TOTAL)),
}
"""Name -> quantity."""
