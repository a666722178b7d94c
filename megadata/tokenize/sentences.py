"""Splitting documents into sentences, for datasets whose sequences are sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DEFAULT_LANGUAGE = "en"


def split_sentences(text: str, language: str) -> list[str]:
    """Sentences of a text, without the white space around them; empty ones are left out.

    The rules are those of `sentencex`, which falls back to a related language where it has none for `language`.
    """
    import sentencex

    found = (sentence.strip() for sentence in sentencex.segment(language, text))
    return [sentence for sentence in found if sentence]


def flat_sentences(
    texts: Sequence[str], languages: Sequence[str]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Sentences of many documents as flat UTF-8 bytes.

    Returns
    -------
    text : uint8 array
        All sentences, one after another.
    offsets : int64 array, shape (S + 1,)
        Sentence s is text[offsets[s]:offsets[s + 1]].
    counts : int64 array, shape (D,)
        Sentences of each document.
    """
    pieces: list[bytes] = []
    counts = np.zeros(len(texts), np.int64)
    for number, (text, language) in enumerate(zip(texts, languages, strict=True)):
        sentences = split_sentences(text, language)
        counts[number] = len(sentences)
        pieces += [sentence.encode() for sentence in sentences]
    lengths = np.fromiter((len(piece) for piece in pieces), np.int64, len(pieces))
    flat = np.frombuffer(b"".join(pieces), np.uint8)
    return flat, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]), counts
