"""Quantities that single published rule-sets ask for, in plain Python: slower than kernels, and each as its source writes it.

Words are cut at white space here, whatever `words` says. Sources: NVIDIA NeMo Curator 1.3 (stages/text/filters/heuristic),
data-juicer 1.4 (data_juicer/ops/filter) and Dolma 1.2 (python/dolma/taggers/gopher.py).
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from statistics import median

import numpy as np

from megadata.corpus.juicer_lists import common_words, special_characters
from megadata.corpus.quantities import Measured, Quantity
from megadata.kernels.base import F64

BASIC = re.compile(r"[a-zA-Z0-9\n?!,.]+")
DIGITS = re.compile(r"\d+")
URLS = re.compile(r"https?://(?:[A-Za-z0-9$\-_@.&+/:=?#~!*(),]|%[0-9A-Fa-f]{2})+")
BLANKS = re.compile("[\t\n\r\b ]+")
BRACKETS = re.compile(r"[{}⟨⟩\[\]()]+")
HASHES = re.compile("#+")
ELLIPSIS_WORDS = frozenset(("...", "[...]", "…", "(...)", "[…]", "-»", "read more..", "read more"))
BOILERPLATE = (
    "terms of use", "privacy policy", "cookie policy", "uses cookies", "privacy overview", "use of cookies", "use cookies",
    "privacy & cookies policy", "privacy and cookies policy",
    "necessary cookies are absolutely essential for the website to function properly. this category only includes cookies that "
    "ensures basic functionalities and security features of the website. these cookies do not store any personal information.",
    "any cookies that may not be particularly necessary for the website to function and is used specifically to collect user "
    "personal data via analytics, ads, other embedded contents are termed as non-necessary cookies. it is mandatory to procure "
    "user consent prior to running these cookies on your website.",
    "if you continue to browse this site without changing your cookie settings, you agree to this use. acceptread more",
)  # fmt: skip
"""policy_substrings of NeMo Curator, without those that hold a shorter one."""

CHARACTER_GRAM = WORD_GRAM = 10
"""n of data-juicer's repetition filters."""

_SPACES = re.compile("[ \n\t]+")


def _values(texts: Iterable[str], formula: Callable[[str], float]) -> F64:
    return np.fromiter(map(formula, texts), np.float64)


def _share_of(pattern: re.Pattern[str]) -> Callable[[Measured], F64]:
    """Characters that the pattern matches, as a share."""

    def share(text: str) -> float:
        return sum(map(len, pattern.findall(text))) / len(text) if text else math.nan

    return lambda m: _values(m.texts, share)


def _outside(text: str) -> float:
    return (len(text) - sum(map(len, BASIC.findall(text)))) / len(text) if text else math.nan


def _over_words(part: Callable[[list[str]], float]) -> Callable[[Measured], F64]:
    """part / number of words; undefined without words."""

    def share(words: list[str]) -> float:
        return part(words) / len(words) if words else math.nan

    return lambda m: np.fromiter(map(share, m.split_words), np.float64)


def _is_symbol(word: str) -> bool:
    """An ellipsis, or more runs of "#" than half of its characters: "#" and "#a#", but neither "##" nor "#a"."""
    return word in ELLIPSIS_WORDS or len(HASHES.findall(word)) / len(word) > 0.5


def _boilerplate(text: str) -> float:
    paragraphs = text.split("\n\n")
    found = 0
    for paragraph in paragraphs:
        lower = paragraph.strip().lower()
        if "lorem ipsum" in lower:
            return 1.0
        found += any(phrase in lower for phrase in BOILERPLATE)
    return found / len(paragraphs)


def _removed_with_top(m: Measured, *, n: int) -> F64:
    """Characters that go with all places of the most frequent n-gram's text; of equally frequent ones, the first seen."""
    out = np.empty(len(m.texts))
    for d, (text, words) in enumerate(zip(m.texts, m.split_words, strict=True)):
        grams = Counter(zip(*(words[i:] for i in range(n)), strict=False))
        if not grams:
            out[d] = math.nan
            continue
        top = " ".join(grams.most_common(1)[0][0])
        out[d] = (len(text) - len(text.replace(top, ""))) / len(text)
    return out


def _character_repetition(text: str) -> float:
    """Occurrences of the most frequent repeated 10-character pieces, at most sqrt(different pieces) of them, as a share."""
    counts = Counter(text[i : i + CHARACTER_GRAM] for i in range(len(text) - CHARACTER_GRAM + 1))
    if not counts:
        return 0.0
    times = sorted(counts.values(), reverse=True)
    repeated = sum(n > 1 for n in times)
    return sum(times[: min(int(np.sqrt(len(times))), repeated)]) / sum(times)


def _refined(text: str) -> list[str]:
    """data-juicer's words: cut at space, newline and tab, in lower case, without special characters at both ends."""
    special = special_characters()
    found = []
    for word in _SPACES.split(text):
        word = word.lower()
        first, last = 0, len(word)
        while first < last and word[first] in special:
            first += 1
        while last > first and word[last - 1] in special:
            last -= 1
        if first < last:
            found.append(word[first:last])
    return found


def _word_repetition(text: str) -> float:
    words = _refined(text)
    counts = Counter(" ".join(words[i : i + WORD_GRAM]) for i in range(len(words) - WORD_GRAM + 1))
    return sum(n for n in counts.values() if n > 1) / counts.total() if counts else 0.0


def _common(text: str) -> float:
    words = _refined(text)
    common = common_words()
    return sum(word in common for word in words) / len(words) if words else 0.0


def _special(text: str) -> float:
    special = special_characters()
    return sum(c in special for c in text) / len(text) if text else 0.0


def _alphanumeric(text: str) -> float:
    return sum(map(str.isalnum, text)) / len(text) if text else 0.0


def _of_text(formula: Callable[[str], float]) -> Callable[[Measured], F64]:
    return lambda m: _values(m.texts, formula)


QUANTITIES = {
    "median_word_length": Quantity(
        "characters of the middle word when words are sorted by length",
        lambda m: np.fromiter((median(map(len, words)) if words else 0.0 for words in m.split_words), np.float64),
    ),
    "symbol_word_share": Quantity(
        'words with "#" or "…" in them, as a share of all words',
        _over_words(lambda words: sum("#" in word or "…" in word for word in words)),
        1.0,
    ),
    "symbol_only_word_share": Quantity(
        'words that are an ellipsis or mostly "#", as a share of all words',
        _over_words(lambda words: sum(map(_is_symbol, words))),
        1.0,
    ),
    "unusual_character_share": Quantity(
        "characters that are no Latin letter without accent, ASCII digit, newline or one of ?!,. as a share",
        _of_text(_outside),
        1.0,
    ),
    "digit_share": Quantity("digits, as a share of the characters", _share_of(DIGITS), 1.0),
    "url_share": Quantity("characters of http addresses, as a share", _share_of(URLS), 1.0),
    "blank_share": Quantity("spaces, tabs and newlines, as a share of the characters", _share_of(BLANKS), 1.0),
    "bracket_share": Quantity("brackets and parentheses, as a share of the characters", _share_of(BRACKETS), 1.0),
    "boilerplate_paragraph_share": Quantity(
        'paragraphs with a phrase of cookie and privacy notices, as a share; 1 with "lorem ipsum"',
        _of_text(_boilerplate),
        1.0,
    ),
    **{
        f"removed_with_top_{n}gram_share": Quantity(
            f"characters that go when the most frequent {n}-gram's text is deleted wherever it stands, as a share",
            functools.partial(_removed_with_top, n=n),
            1.0,
        )
        for n in range(2, 5)
    },
    "alphanumeric_share": Quantity(
        "letters and digits of any script, as a share of the characters", _of_text(_alphanumeric), 1.0
    ),
    "special_character_share": Quantity(
        "punctuation, digits, white space, odd marks and emoji, as a share of the characters", _of_text(_special), 1.0
    ),
    "character_repetition_share": Quantity(
        "occurrences of the most frequent repeated pieces of 10 characters, as a share",
        _of_text(_character_repetition),
        1.0,
    ),
    "word_repetition_share": Quantity(
        "occurrences of 10-grams that occur twice, as a share of all 10-grams", _of_text(_word_repetition), 1.0
    ),
    "common_word_share": Quantity(
        "English stop words of a list of 300, as a share of all words", _of_text(_common), 1.0
    ),
}
"""Name -> quantity."""
