"""Splitting documents into sentences, for datasets whose sequences are sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DEFAULT_LANGUAGE = "en"
_UNMARKED = re.compile("[\u0e00-\u0fff\u1780-\u17ff]")
"""Characters of Thai, Lao, Tibetan and Khmer."""
_THERE = re.compile(
    "(?<=[\u0f0d\u0f0e\u0f11\u17d4\u17d5])\\s*(?![\u0f0d\u0f0e\u0f11\u17d4\u17d5])"  # behind marks of Tibetan and Khmer
    "|(?<=[\u0e00-\u0eff])\\s+(?=[\u0e00-\u0eff])"  # Thai and Lao write none: a blank between letters
)


def split_sentences(text: str, language: str) -> list[str]:
    """Sentences of a text, without the white space around them; empty ones are left out.

    The rules are those of `sentencex`, which falls back to a related language where it has none for `language` and knows the
    end marks of most scripts in any language. It does not know how Thai, Lao, Tibetan and Khmer end sentences: those are cut
    further here.
    """
    import sentencex

    found = sentencex.segment(language, text)
    if _UNMARKED.search(text):
        found = [part for sentence in found for part in _THERE.split(sentence)]
    return [kept for sentence in found if (kept := sentence.strip())]


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
