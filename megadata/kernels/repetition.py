"""Repeated n-grams of words, and the hash set that counts repeats.

Letters: N bytes, D documents, W words of all documents, T and R lengths of n-grams. Words, n-grams and lines are compared by
64-bit hashes.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I32, I64, U8, U64, helper, kernel, reads, writes
from megadata.kernels.blocks import NONE, ONE, eight, put_eight
from megadata.kernels.text import integer
from megadata.kernels.words import MULTIPLIER, SEED, fold, hash_bytes

FIRST_SEEN, LONGEST = 0, 1  # which of equally frequent n-grams is the top one
LATER, ALL, OVERLAPPING, SPACED = 1, 2, 3, 4  # what counts as a repeated n-gram, see `repeated_ngrams`

MIX = np.uint64(0xFF51AFD7ED558CCD)
FOLD = np.uint64(32)
EMPTY = np.uint64(0)
NO_LIMIT = 1 << 62
PREFIX = 16  # bytes by which `skipped_ngrams` tells n-grams apart before it looks at all of them


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


@helper
def clear_bits(once: U64, twice: U64, elements: int) -> int:
    """Empty two sets of bits, 16 for each slot of a table of so many keys; the mask of a bit's number."""
    bits: int = 16 * table_size(elements)
    once[: bits >> 6] = NONE
    twice[: bits >> 6] = NONE
    return bits - 1


@helper
def note(value: np.uint64, counts: bool, once: U64, twice: U64, mask: int) -> None:
    """Set the bit of a hash that counts in `once`, or, where it is set, in `twice`."""
    place: int = integer(np.uint64(value >> FOLD)) & mask
    bit = np.uint64(np.uint64(counts) << np.uint64(place & 63))
    twice[place >> 6] |= np.uint64(once[place >> 6] & bit)
    once[place >> 6] |= bit


@helper
def holds_bit(bits: U64, value: np.uint64, mask: int) -> bool:
    """Whether the bit of a hash is set."""
    place: int = integer(np.uint64(value >> FOLD)) & mask
    found: bool = np.uint64(bits[place >> 6] >> np.uint64(place & 63)) & ONE != NONE
    return found


@helper
def behind(gram: np.uint64, word: np.uint64) -> np.uint64:
    """Hash of an n-gram with one more word, from hashes of words that are mixed well themselves."""
    return np.uint64(np.uint64(gram * MULTIPLIER) + word)


@kernel(
    reads(np.int32),
    reads(np.uint64),
    reads(np.int64),
    np.int64,
    reads(np.int64),
    reads(np.int64),
    np.int64,
    np.int64,
    np.bool_,
    np.int64,
    writes(np.int64, 2),
    writes(np.int64, 2),
    writes(np.int64, 2),
)
def repeated_ngrams(
    characters_W: I32,
    hashes_W: U64,
    bounds: I64,
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

    Repeated n-grams, by `formula`: LATER adds the words covered by second and later occurrences, each once; ALL the words
    covered by any occurrence of an n-gram that occurs twice, each once; SPACED as LATER, with the spaces between the words of
    each stretch; OVERLAPPING the characters of all such occurrences, however often they overlap. `total_DR` is the characters
    that could be repeated: those of all words, for OVERLAPPING those of all n-grams. No document may have more than
    `most_words` words.
    """
    until = np.empty(most_words + 1, np.int64)  # characters of the words before each
    grams = np.empty(most_words, np.uint64)
    places = np.empty(most_words, np.int32)  # where the n-grams still looked at begin
    slots = np.empty(most_words, np.int32)
    keys = np.empty(table_size(most_words), np.uint64)
    counts = np.empty(keys.size, np.int32)
    firsts = np.empty(keys.size, np.int32)
    once = np.empty(keys.size // 4, np.uint64)
    twice = np.empty(keys.size // 4, np.uint64)
    for d in range(bounds.size - 1):
        base = bounds[d]
        words = bounds[d + 1] - base
        until[0] = 0
        for i in range(words):
            until[i + 1] = until[i] + characters_W[base + i]

        # An n-gram that repeats begins with a shorter one that repeats, so each length looks only at what the one before left.
        reached = 0
        candidates = 0
        for w in range(tops_T.size + repeats_R.size):
            is_top = w < tops_T.size
            n = tops_T[w] if is_top else repeats_R[w - tops_T.size]
            ngrams = max(words - n + 1, 0)
            kept = 0
            if reached == 0 or n < reached:  # most n-grams are told by a bit to occur once
                mask = clear_bits(once, twice, ngrams)
                for i in range(ngrams):
                    grams[i] = hashes_W[base + i]
                for j in range(1, n):
                    for i in range(ngrams):
                        grams[i] = behind(grams[i], hashes_W[base + i + j])
                for i in range(ngrams):
                    note(grams[i], True, once, twice, mask)
                for i in range(ngrams):
                    repeats = holds_bit(twice, grams[i], mask)
                    grams[kept] = grams[i]
                    places[kept] = i
                    kept += repeats
            else:
                for c in range(candidates):
                    i = places[c]
                    if i < ngrams:
                        gram = grams[c]
                        for j in range(i + reached, i + n):
                            gram = behind(gram, hashes_W[base + j])
                        grams[kept] = gram
                        places[kept] = i
                        kept += 1
            candidates = kept
            reached = n
            mask = table_size(candidates) - 1
            keys[: mask + 1] = EMPTY
            for c in range(candidates):
                value = grams[c] if grams[c] != EMPTY else MULTIPLIER
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
                if count < 2:
                    continue
                i = places[c]
                length = until[i + n] - until[i]
                places[kept] = i
                grams[kept] = grams[c]
                kept += 1
                if is_top:
                    if count > most or (count == most and tie == LONGEST and length > longest):
                        most = count
                        longest = length
                elif formula == OVERLAPPING:
                    repeated += length
                elif formula == ALL or firsts[slots[c]] != i:
                    repeated += until[i + n] - until[max(i, covered)]
                    if formula == SPACED:
                        repeated += min(i + n - max(i, covered), n - 1)
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


@kernel(
    reads(np.uint8),
    reads(np.int64),
    reads(np.int32),
    reads(np.int32),
    reads(np.int64),
    np.int64,
    np.int64,
    reads(np.int64),
    writes(np.int64, 2),
    writes(np.int64, 2),
)
def skipped_ngrams(
    text_N: U8,
    starts_W: I64,
    sizes_W: I32,
    characters_W: I32,
    bounds: I64,
    most_words: int,
    most_bytes: int,
    repeats_R: I64,
    repeated_DR: I64,
    total_DR: I64,
) -> None:
    """Characters in repeated n-grams as datatrove counts them, and characters of all words.

    n-grams are words put together without spaces, so that "ab c" repeats "a bc"; second and later occurrences are added, and
    the search goes on behind each. An n-gram can only repeat when its first bytes do: `PREFIX` of them, or half as many when it
    is shorter. For most a set of bits tells that they do not. No document may have more than `most_words` words or `most_bytes`
    bytes.
    """
    joined = np.empty(most_bytes + 2 * PREFIX, np.uint8)  # the words without what is between them
    until = np.empty(most_words + 1, np.int64)  # characters of the words before each
    ahead = np.empty(most_words + 1, np.int64)  # bytes of the words before each
    keys = np.empty(table_size(most_words), np.uint64)
    places = np.empty(most_words, np.int32)
    limits = np.empty(most_words, np.int64)  # n-grams that begin there and have so many bytes do not repeat
    longs_W = np.empty(most_words, np.uint64)  # hashes of `PREFIX` bytes
    shorts_W = np.empty(most_words, np.uint64)  # and of half as many
    once = np.empty(keys.size // 4, np.uint64)
    twice = np.empty(keys.size // 4, np.uint64)
    least = repeats_R[0] if repeats_R.size > 0 else 0
    for d in range(bounds.size - 1):
        base = bounds[d]
        words = bounds[d + 1] - base
        until[0] = 0
        ahead[0] = 0
        for i in range(words):
            until[i + 1] = until[i] + characters_W[base + i]
            start = starts_W[base + i]
            to = ahead[i]
            size: int = integer(sizes_W[base + i])
            if start + size + 16 <= text_N.size:
                put_eight(joined, to, eight(text_N, start))
                put_eight(joined, to + 8, eight(text_N, start + 8))
                for k in range(16, size, 8):
                    put_eight(joined, to + k, eight(text_N, start + k))
            else:
                for k in range(size):
                    joined[to + k] = text_N[start + k]
            ahead[i + 1] = to + size
        joined[ahead[words] : ahead[words] + 2 * PREFIX] = 0
        first_grams = max(words - least + 1, 0)
        mask = clear_bits(once, twice, words)
        for i in range(first_grams):
            first = eight(joined, ahead[i])
            longs_W[i] = fold(fold(MULTIPLIER, first), eight(joined, ahead[i] + 8))
            note(longs_W[i], True, once, twice, mask)
            if ahead[i + least] - ahead[i] < PREFIX:
                shorts_W[i] = fold(SEED, first)
                note(shorts_W[i], True, once, twice, mask)
        chosen: int = 0
        for i in range(first_grams):
            shortest = ahead[i + least] - ahead[i]
            may_repeat = holds_bit(twice, longs_W[i], mask)
            if shortest < PREFIX:
                may_repeat |= (shortest < PREFIX // 2) | holds_bit(twice, shorts_W[i], mask)
            places[chosen] = i
            chosen += may_repeat
        mask = clear_bits(once, twice, chosen)  # of those, by other bits of the hashes, some more do not repeat
        for c in range(chosen):
            i = places[c]
            longs_W[i] = np.uint64(longs_W[i] << FOLD)
            note(longs_W[i], True, once, twice, mask)
            if ahead[i + least] - ahead[i] < PREFIX:
                shorts_W[i] = np.uint64(shorts_W[i] << FOLD)
                note(shorts_W[i], True, once, twice, mask)
        before = chosen
        chosen = 0
        for c in range(before):
            i = places[c]
            shortest = ahead[i + least] - ahead[i]
            limit = PREFIX  # n-grams of so many bytes do not repeat
            if holds_bit(twice, longs_W[i], mask):
                limit = NO_LIMIT
            elif shortest >= PREFIX or not (shortest < PREFIX // 2 or holds_bit(twice, shorts_W[i], mask)):
                continue
            places[chosen] = i
            limits[chosen] = limit
            chosen += 1
        mask = clear_bits(
            once, twice, chosen
        )  # and of those that begin with the same `PREFIX` bytes, some by the bytes behind
        for c in range(chosen):
            i = places[c]
            longs_W[i] = fold(longs_W[i], eight(joined, ahead[i] + PREFIX))
            note(longs_W[i], limits[c] == NO_LIMIT, once, twice, mask)
        for c in range(chosen):
            if limits[c] == NO_LIMIT and not holds_bit(twice, longs_W[places[c]], mask):
                limits[c] = PREFIX + 8
        slots = table_size(chosen) - 1
        for r in range(repeats_R.size):
            n = repeats_R[r]
            repeated = 0
            resumes: int = 0  # the search goes on from this word
            keys[: slots + 1] = EMPTY
            for c in range(chosen):
                i = places[c]
                if i < resumes or i + n > words or ahead[i + n] - ahead[i] >= limits[c]:
                    continue
                value = hash_bytes(joined, ahead[i], ahead[i + n])
                if value == EMPTY:
                    value = MULTIPLIER
                slot = find_slot(value, keys, slots)
                if keys[slot] == value:
                    repeated += until[i + n] - until[i]
                    resumes = i + n
                else:
                    keys[slot] = value
            repeated_DR[d, r] = repeated
            total_DR[d, r] = until[words]
