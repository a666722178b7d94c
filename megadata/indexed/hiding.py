"""Which tokens of a sample are hidden, and what stands in their place. Letters: N samples, L tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from megadata.errors import ConfigError
from megadata.indexed.order import I64, U64, below, chance, mix64
from megadata.indexed.vocabulary import Vocabulary

WORD_KEY, ACTION_KEY, TOKEN_KEY, SPAN_KEY = (np.uint64(key) for key in range(13, 17))

SPAN_WORDS = 10
"""Most words of a masked span."""
SPAN_ODDS = np.cumsum(0.8 ** np.arange(SPAN_WORDS))[:-1] / np.sum(0.8 ** np.arange(SPAN_WORDS))
"""Chance that a span has at most 1, 2, ... words: geometric with p = 0.2."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Masking:
    """How tokens are hidden and segments are paired."""

    probability: float = 0.15
    """Part of the tokens that are to be predicted."""
    masked: float = 0.8
    """Part of those that become [MASK]."""
    random: float = 0.1
    """Part of those that become a random token; the rest stays as it is."""
    unit: Literal["words", "tokens", "spans"] = "words"
    """What is predicted as a whole; words and spans where the sidecar knows which tokens begin a word."""
    pairs: Literal["order", "next", "none"] = "order"
    """What is told of two segments: whether they were swapped, whether the second is from another document, or nothing."""
    swap: float = 0.5
    """Part of the samples whose segments are swapped, or whose second segment is from another document."""

    def __post_init__(self) -> None:
        for name in ("probability", "masked", "random", "swap"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ConfigError(f"masking.{name} must lie between 0 and 1, got {value}")
        for name, known in (("unit", ("words", "tokens", "spans")), ("pairs", ("order", "next", "none"))):
            if getattr(self, name) not in known:
                raise ConfigError(f"masking.{name} must be {', '.join(known)}, got {getattr(self, name)!r}")
        if self.masked + self.random > 1:
            raise ConfigError(f"masking.masked and masking.random add up to {self.masked + self.random}, more than 1")


class Hiding:
    """Chooses and hides tokens of one vocabulary; pure functions of the samples' keys.

    Raises
    ------
    ConfigError
        If the vocabulary has no mask token, or its size is not known.
    """

    def __init__(self, masking: Masking, vocabulary: Vocabulary) -> None:
        self.masking = masking
        self.mask = vocabulary.special("mask")
        if vocabulary.size is None:
            raise ConfigError(
                "masked samples need the size of the vocabulary; write the sidecar with `megadata verify`"
            )
        self.size = vocabulary.size
        special = {*vocabulary.special_tokens.values(), *([] if vocabulary.eod is None else [vocabulary.eod])}
        self.is_special = np.zeros(self.size, np.bool_)
        self.is_special[[token for token in special if token < self.size]] = True
        self.word_starts = vocabulary.word_starts if masking.unit != "tokens" else None

    def units(self, tokens: I64, segment_starts: NDArray[np.bool_], keys: U64) -> I64:
        """Number of the unit that each token belongs to, rising along the row, shape (N, L)."""
        if self.word_starts is None:
            return np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
        known = np.minimum(tokens, self.size - 1)
        breaks = segment_starts | self.is_special[known]
        begins = self.word_starts[known] | breaks
        words: I64 = np.cumsum(begins, axis=1)
        if self.masking.unit == "words":
            return words
        rows, width = tokens.shape
        draws = mix64(keys[:, None], SPAN_KEY, np.arange(width, dtype=np.uint64)[None, :])
        sizes = 1 + np.searchsorted(SPAN_ODDS, chance(draws), side="right")
        first_word = np.cumsum(sizes, axis=1) - below(draws[:, :1] << np.uint64(8), sizes[:, :1])
        is_first = np.zeros((rows, width + 2), np.bool_)  # a row has at most `width` words
        is_first[np.arange(rows)[:, None], np.minimum(first_word, width + 1)] = True
        starts: NDArray[np.bool_] = (begins & np.take_along_axis(is_first, words, axis=1)) | breaks
        spans: I64 = np.cumsum(starts, axis=1)
        return spans

    def choose(self, tokens: I64, inside: NDArray[np.bool_], units: I64, keys: U64) -> NDArray[np.bool_]:
        """Which tokens are to be predicted, shape (N, L): whole units in the order of their hashes, as many as fit best."""
        candidate = inside & ~self.is_special[np.minimum(tokens, self.size - 1)]
        draws = mix64(keys[:, None], WORD_KEY, units.astype(np.uint64)) >> np.uint64(1)
        draws = np.where(candidate, draws, np.uint64(0xFFFFFFFFFFFFFFFF))
        order = np.argsort(draws, axis=1, kind="stable")
        drawn = np.take_along_axis(draws, order, axis=1)
        place = np.arange(tokens.shape[1])[None, :]
        heads = np.ones(tokens.shape, np.bool_)
        heads[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
        first = np.maximum.accumulate(np.where(heads, place, 0), axis=1)
        tails = np.ones(tokens.shape, np.bool_)
        tails[:, :-1] = heads[:, 1:]
        last = np.minimum.accumulate(np.where(tails, place + 1, tokens.shape[1])[:, ::-1], axis=1)[:, ::-1]
        count = candidate.sum(axis=1)
        wanted = np.rint(count * self.masking.probability)
        if self.masking.probability > 0:
            wanted = np.maximum(wanted, 1)
        taken = ((first + last) / 2 <= wanted[:, None]) | ((first == 0) & (wanted[:, None] > 0))
        chosen = np.zeros(tokens.shape, np.bool_)
        np.put_along_axis(chosen, order, taken, axis=1)
        return chosen & candidate

    def hide(self, tokens: I64, chosen: NDArray[np.bool_], units: I64, keys: U64) -> I64:
        """Tokens as the model sees them."""
        place = np.arange(tokens.shape[1], dtype=np.uint64)[None, :]
        acted = units.astype(np.uint64) if self.masking.unit == "spans" else place
        action = chance(mix64(keys[:, None], ACTION_KEY, acted))
        other = below(mix64(keys[:, None], TOKEN_KEY, place), self.size)
        hidden = np.where(chosen & (action < self.masking.masked), self.mask, tokens)
        random = (action >= self.masking.masked) & (action < self.masking.masked + self.masking.random)
        return np.where(chosen & random, other, hidden)
