"""Repeated n-grams of words, and the hash set that counts repeats. Letters: N bytes, D documents, T and R lengths of n-grams.

Words, n-grams and lines are compared by 64-bit hashes.
"""

from __future__ import annotations

import numpy as np
from numba import types

from megadata.kernels.base import I64, U8, U16, U64, helper, kernel, reads, writes
from megadata.kernels.text import SPACE_BYTE, integer
from megadata.kernels.words import BASE, ZERO, next_word

FIRST_SEEN, LONGEST = 0, 1  # which of equally frequent n-grams is the top one
SKIPPING, LATER, ALL, OVERLAPPING = 0, 1, 2, 3  # what counts as a repeated n-gram, see `repeated_ngrams`

MIX = np.uint64(0xFF51AFD7ED558CCD)
FOLD = np.uint64(32)
EMPTY = np.uint64(0)
SHORT_WORD = 64  # characters; the hash needs more steps for longer words


@helper
def find_slot(value: np.uint64, keys: U64, mask: int) -> int:
    """Where `value` (not 0) lies in the first mask + 1 slots of an open-addressing table, or the free slot (0) it belongs in."""
    mixed = np.uint64(np.uint64(value ^ np.uint64(value >> FOLD)) * MIX)
    slot: int = integer(np.uint64(mixed >> FOLD)) & mask
    while keys[slot] != value and keys[slot] != EMPTY:
        slot = (slot + 1) & mask
    return slot


@helper
def table_size(elements: int) -> int:
    """Slots for a table of at most `elements` keys: a power of two, at most half full."""
    size = 16
    while size < 2 * elements:
        size *= 2
    return size


@kernel(
    reads(types.uint8),
    reads(types.int64),
    reads(types.uint16),
    types.int64,
    types.int64,
    reads(types.int64),
    reads(types.int64),
    types.int64,
    types.int64,
    types.boolean,
    types.int64,
    writes(types.int64, 2),
    writes(types.int64, 2),
    writes(types.int64, 2),
)
def repeated_ngrams(
    text_N: U8,
    offsets: I64,
    classes: U16,
    cutting: int,
    most_words: int,
    tops_T: I64,
    repeats_R: I64,
    tie: int,
    least: int,
    spaces: bool,
    formula: int,
    top_DT: I64,
    repeated_DR: I64,
    total_DR: I64,
) -> None:
    """Characters in the most frequent n-gram (n from `tops_T`) and in repeated n-grams (n from `repeats_R`); both rising.

    The top n-gram occurs at least `least` times; its characters (with single spaces between its words where `spaces` says so)
    count as often as it occurs.

    Repeated n-grams, by `formula`: SKIPPING compares words put together without spaces, adds the second and later occurrences
    and goes on behind each (datatrove). LATER adds the words covered by second and later occurrences, each once; ALL the words
    covered by any occurrence of an n-gram that occurs twice, each once; OVERLAPPING the characters of all such occurrences,
    however often they overlap. `total_DR` is the characters that could be repeated: those of all words, for OVERLAPPING those
    of all n-grams. No document may have more than `most_words` words.
    """
    size = most_words
    hashes = np.empty(size, np.uint64)
    until = np.empty(size + 1, np.int64)  # characters of the words before each
    grams = np.empty(size, np.uint64)
    places = np.empty(size, np.int32)  # where the n-grams still looked at begin
    slots = np.empty(size, np.int32)
    keys = np.empty(table_size(size), np.uint64)
    counts = np.empty(keys.size, np.int32)
    firsts = np.empty(keys.size, np.int32)
    powers = np.empty(SHORT_WORD, np.uint64)
    powers[0] = 1
    for i in range(1, SHORT_WORD):
        powers[i] = np.uint64(powers[i - 1] * BASE)
    for d in range(offsets.size - 1):
        words = 0
        at = offsets[d]
        end = offsets[d + 1]
        until[0] = 0
        while True:
            start, at, length, _, _, value = next_word(text_N, at, end, classes, cutting)
            if start >= end:
                break
            hashes[words] = value
            until[words + 1] = until[words] + length
            words += 1

        # An n-gram that repeats begins with a shorter one that repeats, so each length looks only at what the one before left.
        # (Not so when words are put together without spaces: SKIPPING starts anew and looks everywhere.)
        reached = 0
        candidates = words
        for w in range(tops_T.size + repeats_R.size):
            is_top = w < tops_T.size
            n = tops_T[w] if is_top else repeats_R[w - tops_T.size]
            spaced = is_top or formula != SKIPPING
            if reached == 0 or n < reached or (not spaced and w == tops_T.size):
                reached = 0
                candidates = words
                for i in range(words):
                    places[i] = i
                    grams[i] = ZERO
            ngrams = max(words - n + 1, 0)
            kept = 0
            for c in range(candidates):
                i = places[c]
                if i < ngrams:
                    gram = grams[c]
                    for j in range(i + reached, i + n):
                        length = until[j + 1] - until[j]
                        while length >= SHORT_WORD:
                            gram = np.uint64(gram * powers[SHORT_WORD - 1])
                            length -= SHORT_WORD - 1
                        gram = np.uint64(np.uint64(gram * powers[length]) + hashes[j])
                        if spaced:
                            gram = np.uint64(np.uint64(gram * BASE) + np.uint64(SPACE_BYTE + 1))
                    grams[kept] = gram
                    places[kept] = i
                    kept += 1
            candidates = kept
            reached = n
            mask = table_size(candidates) - 1
            keys[: mask + 1] = EMPTY

            if not spaced:
                repeated = 0
                i = 0
                while i < ngrams:
                    value = grams[i] if grams[i] != EMPTY else BASE
                    slot = find_slot(value, keys, mask)
                    if keys[slot] == value:
                        repeated += until[i + n] - until[i]
                        i += n
                    else:
                        keys[slot] = value
                        i += 1
                repeated_DR[d, w - tops_T.size] = repeated
                total_DR[d, w - tops_T.size] = until[words]
                continue

            for c in range(candidates):
                value = grams[c] if grams[c] != EMPTY else BASE
                slot = find_slot(value, keys, mask)
                if keys[slot] == EMPTY:
                    keys[slot] = value
                    counts[slot] = 0
                    firsts[slot] = places[c]
                counts[slot] += 1
                slots[c] = slot
            most = 1
            longest = 0
            covered = 0  # words before it are already counted
            repeated = 0
            kept = 0
            for c in range(candidates):
                count = counts[slots[c]]
                i = places[c]
                length = until[i + n] - until[i]
                if count < 2:
                    continue
                places[kept] = i
                grams[kept] = grams[c]
                kept += 1
                if is_top:
                    if count > most or (count == most and tie == LONGEST and length > longest):
                        most = count
                        longest = length
                elif formula == OVERLAPPING:
                    repeated += length
                elif formula != LATER or firsts[slots[c]] != i:
                    repeated += until[i + n] - until[max(i, covered)]
                    covered = i + n
            candidates = kept
            if is_top:
                if most == 1 and ngrams > 0:
                    longest = until[n]
                    if tie == LONGEST:
                        for i in range(ngrams):
                            longest = max(longest, until[i + n] - until[i])
                top_DT[d, w] = most * (longest + (n - 1 if spaces else 0)) if most >= least and ngrams > 0 else 0
                continue
            total = until[words]
            if formula == OVERLAPPING:
                total = 0
                for i in range(ngrams):
                    total += until[i + n] - until[i]
            repeated_DR[d, w - tops_T.size] = repeated
            total_DR[d, w - tops_T.size] = total
