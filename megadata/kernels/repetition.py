"""Repeated n-grams of words, and the hash set that counts repeats. Letters: N bytes, D documents, T and R lengths of n-grams.

Words, n-grams and lines are compared by 64-bit hashes.
"""

from __future__ import annotations

import numpy as np
from numba import types

from megadata.kernels.base import I32, I64, U8, U16, U64, helper, kernel, reads, writes
from megadata.kernels.text import SPACE_BYTE, integer
from megadata.kernels.words import BASE, hash_step, next_word

FIRST_SEEN, LONGEST = 0, 1  # which of equally frequent n-grams is the top one
SKIPPING, LATER, ALL, OVERLAPPING = 0, 1, 2, 3  # what counts as a repeated n-gram, see `repeated_ngrams`

MIX = np.uint64(0xFF51AFD7ED558CCD)
FOLD = np.uint64(32)


@helper
def slot_of(value: np.uint64, keys: U64, stamps: I32, stamp: int) -> int:
    """Where `value` lies, or the free slot where it belongs, in an open-addressing table of a power of two slots.

    A slot is free unless its stamp is `stamp`: a new stamp empties the table.
    """
    mask = keys.size - 1
    mixed = np.uint64(np.uint64(value ^ np.uint64(value >> FOLD)) * MIX)
    slot: int = integer(np.uint64(mixed >> FOLD)) & mask
    while stamps[slot] == stamp and keys[slot] != value:
        slot = (slot + 1) & mask
    return slot


@helper
def table_size(elements: int) -> int:
    """Slots for a table of at most `elements` keys: a power of two, at most half full."""
    size = 64
    while size < 2 * elements:
        size *= 2
    return size


@kernel(
    reads(types.uint8),
    reads(types.int64),
    reads(types.uint16),
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
    of all n-grams.
    """
    size = 256
    lengths = np.empty(size, np.int64)
    hashes = np.empty(size, np.uint64)
    powers = np.empty(size, np.uint64)
    grams = np.empty(size, np.uint64)
    spans = np.empty(size, np.int64)
    covered = np.empty(size, np.bool_)
    slots = table_size(size)
    keys = np.empty(slots, np.uint64)
    stamps = np.zeros(slots, np.int32)
    counts = np.empty(slots, np.int32)
    firsts = np.empty(slots, np.int32)
    stamp = np.int32(0)
    for d in range(offsets.size - 1):
        words = 0
        characters = 0
        at = offsets[d]
        end = offsets[d + 1]
        while True:
            start, at, length, _, _, value, power = next_word(text_N, at, end, classes, cutting)
            if start >= end:
                break
            if words == size:
                size *= 2
                more = np.empty(size, np.int64)
                more[:words] = lengths
                lengths = more
                wider = np.empty(size, np.uint64)
                wider[:words] = hashes
                hashes = wider
                wider = np.empty(size, np.uint64)
                wider[:words] = powers
                powers = wider
            lengths[words] = length
            hashes[words] = value
            powers[words] = power
            words += 1
            characters += length
        if grams.size < size:
            grams = np.empty(size, np.uint64)
            spans = np.empty(size, np.int64)
            covered = np.empty(size, np.bool_)
        if keys.size < table_size(words):
            slots = table_size(words)
            keys = np.empty(slots, np.uint64)
            stamps = np.zeros(slots, np.int32)
            counts = np.empty(slots, np.int32)
            firsts = np.empty(slots, np.int32)
            stamp = np.int32(0)
        if stamp > 2_000_000_000:
            stamps[:] = 0
            stamp = np.int32(0)

        for part in range(2):  # first the top n-grams, then the repeated ones
            wanted = tops_T if part == 0 else repeats_R
            spaced = part == 0 or formula != SKIPPING
            for i in range(words):
                grams[i] = hash_step(hashes[i], SPACE_BYTE) if spaced else hashes[i]
                spans[i] = lengths[i]
            reached = 1
            for w in range(wanted.size):
                n = wanted[w]
                while reached < n:  # extend every n-gram by one word
                    for i in range(words - reached):
                        j = i + reached
                        grams[i] = np.uint64(np.uint64(grams[i] * powers[j]) + hashes[j])
                        if spaced:
                            grams[i] = np.uint64(grams[i] * BASE)
                            grams[i] = np.uint64(grams[i] + np.uint64(SPACE_BYTE + 1))
                        spans[i] += lengths[j]
                    reached += 1
                ngrams = words - n + 1
                stamp = np.int32(stamp + 1)
                if part == 0:
                    best_count = 0
                    best_length = 0
                    best_first = 0
                    for i in range(ngrams):
                        slot = slot_of(grams[i], keys, stamps, stamp)
                        if stamps[slot] != stamp:
                            stamps[slot] = stamp
                            keys[slot] = grams[i]
                            counts[slot] = 0
                            firsts[slot] = np.int32(i)
                        counts[slot] = np.int32(counts[slot] + 1)
                        count = integer(counts[slot])
                        first = integer(firsts[slot])
                        length = spans[i] + (n - 1 if spaces else 0)
                        if count > best_count:
                            better = True
                        elif count < best_count:
                            better = False
                        elif tie == LONGEST and length != best_length:
                            better = length > best_length
                        else:
                            better = first < best_first
                        if better:
                            best_count = count
                            best_length = length
                            best_first = first
                    top_DT[d, w] = best_count * best_length if best_count >= least else 0
                    continue
                repeated = 0
                total = characters
                if formula == SKIPPING:
                    i = 0
                    while i < ngrams:
                        slot = slot_of(grams[i], keys, stamps, stamp)
                        if stamps[slot] == stamp:
                            repeated += spans[i]
                            i += n
                        else:
                            stamps[slot] = stamp
                            keys[slot] = grams[i]
                            i += 1
                else:
                    for i in range(words):
                        covered[i] = False
                    if formula == OVERLAPPING:
                        total = 0
                    for i in range(ngrams):
                        slot = slot_of(grams[i], keys, stamps, stamp)
                        if stamps[slot] != stamp:
                            stamps[slot] = stamp
                            keys[slot] = grams[i]
                            firsts[slot] = np.int32(i)
                            counts[slot] = 1
                        else:
                            counts[slot] = np.int32(counts[slot] + 1)
                            covered[i] = True
                            if formula != LATER:
                                covered[firsts[slot]] = True
                        if formula == OVERLAPPING:
                            total += spans[i]
                    # `covered` now marks where repeated n-grams start; from here on, the words they cover
                    until = 0
                    for i in range(words):
                        if covered[i]:
                            if formula == OVERLAPPING:
                                repeated += spans[i]
                            until = i + n
                        if formula != OVERLAPPING and i < until:
                            repeated += lengths[i]
                repeated_DR[d, w] = repeated
                total_DR[d, w] = total
