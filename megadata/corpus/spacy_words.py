"""Words and sentences as spaCy's rules cut them, for rule-sets whose authors used spaCy. Exact, and slow.

The pipeline is blank (`spacy.blank`) with spaCy's `sentencizer`, as in datatrove: rules of the language, no model. The library is
an extra (``megadata[spacy]``) and is imported when it is first needed.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from megadata.errors import ConfigError
from megadata.kernels.base import I64, U8

SPACES = {i: 0xE000 + n for n, i in enumerate(i for i in range(0x3001) if chr(i).isspace())}
"""White space -> private-use characters, for the rare words that hold some."""

BREAKS_SPACY = "IS_ALPHA"
"""The name of spaCy's first lexical attribute: spaCy fails where it is the first to be seen; datatrove cuts it out."""


@functools.cache
def pipeline(language: str) -> Any:
    """The blank pipeline of a language, with sentences.

    Raises
    ------
    ConfigError
        When spaCy (or a segmenter it needs for the language) is not installed, or knows no such language.
    """
    try:
        import spacy
    except ImportError as error:
        raise ConfigError(
            f"spaCy is not installed ({error}); run: pip install 'megadata[spacy]', or choose words: unicode"
        ) from error
    config = {"nlp": {"tokenizer": {"segmenter": "jieba"}}} if language == "zh" else {}
    try:
        nlp = spacy.blank(language, config=config)
    except (ImportError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"spaCy cannot cut language {language!r}: {reason}") from error
    nlp.add_pipe("sentencizer")
    return nlp


def libraries() -> tuple[str, ...]:
    """Name and version of what cuts, as steps declare it."""
    return (f"spacy {importlib.metadata.version('spacy')}",)


def _cut(nlp: Any, cut: Any, text: str) -> Any:
    nlp.max_length = len(text) + 10
    try:
        return cut(text)
    except Exception:
        if BREAKS_SPACY not in text:
            raise
        return cut(text.replace(BREAKS_SPACY, ""))


def words(texts: Iterable[str], language: str) -> Iterator[list[str]]:
    """The words of each text: spaCy's tokens without white space at their ends, and without empty ones."""
    nlp = pipeline(language)
    for text in texts:
        with nlp.memory_zone():  # one a text, so that no text changes what spaCy makes of the next
            stripped = [token.text.strip() for token in _cut(nlp, nlp.tokenizer, text)]
        yield [word for word in stripped if word]


def spaced_words(texts: Iterable[str], language: str) -> tuple[U8, I64]:
    """Texts of the same words with one space between each two, flat, so that kernels can cut them at white space."""
    encoded = []
    for found in words(texts, language):
        spaced = " ".join(found)
        if len(spaced.split()) != len(found):
            spaced = " ".join(word.translate(SPACES) for word in found)
        encoded.append(spaced.encode())
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def count_sentences(texts: Iterable[str], language: str) -> I64:
    """int64[D]: the sentences of all lines of each text, each line cut by itself."""
    nlp = pipeline(language)
    counts = []
    for text in texts:
        count = 0
        for line in text.split("\n") if text else ():
            with nlp.memory_zone():
                count += max(1, sum(1 for _ in _cut(nlp, nlp, line).sents))
        counts.append(count)
    return np.array(counts, np.int64)
