"""Fill in the middle: documents rearranged so that a model for next tokens learns to infill.

Each document, or part of one, in a sample is cut at two random places into prefix, middle and suffix, and with some probability
becomes ``<prefix> prefix <suffix> suffix <middle> middle`` (PSM) or ``<prefix> <suffix> suffix <middle> prefix middle`` (SPM).
Bavarian et al. 2022, "Efficient training of language models to fill in the middle", arXiv:2207.14255: its context-level form,
with cuts between tokens. Three tokens are added to each document; what no longer fits falls off the sample's end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from megadata.errors import ConfigError
from megadata.indexed.order import I64, U64, below, chance, mix64
from megadata.indexed.vocabulary import Vocabulary

CUT_KEY, OTHER_CUT_KEY, CHOICE_KEY, SPM_KEY = (np.uint64(key) for key in range(31, 35))

ROLES = ("fim_prefix", "fim_middle", "fim_suffix")
"""Roles of the three special tokens."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Infilling:
    """How many documents are rearranged, and how."""

    rate: float = 0.5
    """Part of the documents that are rearranged."""
    spm: float = 0.5
    """Part of those that become SPM; the others PSM."""

    def __post_init__(self) -> None:
        for name in ("rate", "spm"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ConfigError(f"infilling.{name} must lie between 0 and 1, got {value}")


def infill(tokens: I64, keys: U64, infilling: Infilling, vocabulary: Vocabulary, eod: int) -> I64:
    """Samples with some of their documents rearranged.

    Parameters
    ----------
    tokens : int64 array, shape (N, W)
        Samples in which documents end with `eod`.
    keys : uint64 array, shape (N,)
        A hash of each sample's number.

    Returns
    -------
    int64 array, shape (N, W)

    Raises
    ------
    ConfigError
        If the vocabulary lacks one of the three special tokens.
    """
    prefix, middle, suffix = (vocabulary.special(role) for role in ROLES)
    rows, width = tokens.shape
    flat = tokens.ravel()
    is_start = np.ones(flat.size + 1, np.bool_)
    is_start[1:-1] = (flat[:-1] == eod) | (np.arange(1, flat.size) % width == 0)
    borders = np.flatnonzero(is_start)
    start, stop = borders[:-1], borders[1:]
    ended = flat[stop - 1] == eod
    size = stop - start - ended
    row = start // width
    key = mix64(keys[row], (start % width).astype(np.uint64))
    one, other = (below(mix64(key, cut), size + 1) for cut in (CUT_KEY, OTHER_CUT_KEY))
    first, last = start + np.minimum(one, other), start + np.maximum(one, other)
    chosen = (chance(mix64(key, CHOICE_KEY)) < infilling.rate) & (size > 0)
    spm = chosen & (chance(mix64(key, SPM_KEY)) < infilling.spm)
    psm = chosen & ~spm
    end = start + size
    pool = flat.size + np.arange(3)  # where the special tokens stand behind the samples' own
    parts = np.stack(
        [  # where each part starts and stops, in the order in which they are written
            *(np.where(chosen, pool[0], start), np.where(chosen, pool[0] + 1, end)),  # <prefix>, or all of the document
            *(start, np.where(psm, first, start)),
            *(np.full(start.size, pool[2]), np.where(chosen, pool[2] + 1, pool[2])),
            *(last, np.where(chosen, end, last)),
            *(np.full(start.size, pool[1]), np.where(chosen, pool[1] + 1, pool[1])),
            *(start, np.where(spm, first, start)),
            *(first, np.where(chosen, last, first)),
            *(end, stop),
        ],
        axis=1,
    )
    begin, length = parts[:, 0::2].ravel(), (parts[:, 1::2] - parts[:, 0::2]).ravel()
    written = np.cumsum(length)
    take = np.repeat(begin - written + length, length) + np.arange(written[-1] if written.size else 0)
    sizes = np.bincount(np.repeat(row, parts.shape[1] // 2), length, minlength=rows).astype(np.int64)
    place = np.arange(take.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    pooled = np.concatenate((flat, np.array([prefix, middle, suffix], np.int64)))
    out: I64 = pooled[take[place < width]].reshape(rows, width)
    return out
