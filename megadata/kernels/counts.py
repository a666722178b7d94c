"""Counts of a document: its symbols, and its words as `megadata.kernels.words` cuts them.

Letters: N bytes, D documents, W words of all documents, S stop words.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I32, I64, U8, U64, helper, kernel, reads, writes
from megadata.kernels.blocks import BLOCK, NONE, ONE, between, count, first_bits
from megadata.kernels.repetition import EMPTY, find_slot, table_size
from megadata.kernels.text import integer
from megadata.kernels.words import HAS_LETTER, IS_MIXED, IS_PLAIN

CHARACTERS, WORDS, WORD_CHARACTERS, PLAIN_WORDS, PLAIN_CHARACTERS, LETTER_WORDS = 0, 1, 2, 3, 4, 5
LONGEST_WORD, STOP_DISTINCT, STOP_TOTAL, HASHES, ELLIPSES, NEWLINES, MIXED_WORDS = 6, 7, 8, 9, 10, 11, 12
COUNTS = 13  # columns of `count_words`
SIZE_CHARACTERS, SIZE_WORDS, SIZE_HASHES, SIZE_ELLIPSES, SIZE_NEWLINES = 0, 1, 2, 3, 4
SIZES = 5  # columns of `count_symbols`

LAST = np.uint64(BLOCK - 1)
PLACE_BITS = 10
PLACES = 1 << PLACE_BITS  # in which stop words are looked for


@helper
def ellipses_in(text: U8, begin: int, end: int) -> int:
    """Occurrences of "..." and U+2026 in text[begin:end], counted as str.count does."""
    found: int = 0
    i = begin
    while i < end:
        byte = text[i]
        i += 1
        if byte == 46:  # "."
            if i + 1 < end and text[i] == 46 and text[i + 1] == 46:
                found += 1
                i += 2
        elif byte == 0xE2 and text[i] == 0x80 and text[i + 1] == 0xA6:
            found += 1
            i += 2
    return found


@kernel(reads(np.uint8), reads(np.int64), writes(np.int64, 2))
def count_symbols(text_N: U8, offsets: I64, out_DS: I64) -> None:
    """Fill row d of `out_DS` with the characters of document d, its words between ASCII white space, "#", ellipses, newlines.

    An ellipsis is "..." or U+2026, counted as str.count does.
    """
    for d in range(offsets.size - 1):
        at = offsets[d]
        end = offsets[d + 1]
        characters: int = 0
        words: int = 0
        hashes: int = 0
        newlines: int = 0
        elliptic = False  # whether there may be an ellipsis
        inside = NONE  # 1 where the byte before is visible
        while at + BLOCK + 2 <= text_N.size and at < end:
            valid = first_bits(end - at)
            characters += count(np.uint64(~between(text_N, at, 0x80, 0xBF) & valid))
            hashes += count(np.uint64(between(text_N, at, 35, 35) & valid))
            newlines += count(np.uint64(between(text_N, at, 10, 10) & valid))
            visible = between(text_N, at, 33, 255)
            words += count(np.uint64(visible & ~np.uint64(np.uint64(visible << ONE) | inside) & valid))
            inside = np.uint64(visible >> LAST)
            dots = np.uint64(between(text_N, at, 46, 46) & between(text_N, at + 1, 46, 46))
            marks = np.uint64(between(text_N, at, 0xE2, 0xE2) & between(text_N, at + 2, 0xA6, 0xA6))
            elliptic |= np.uint64(np.uint64(dots | marks) & valid) != NONE
            at += BLOCK
        for i in range(at, end):
            byte = text_N[i]
            characters += (byte & 0xC0) != 0x80
            hashes += byte == 35
            newlines += byte == 10
            elliptic |= byte in (46, 0xE2)
            shown = byte > 32
            words += shown and inside == NONE
            inside = ONE if shown else NONE
        out_DS[d, SIZE_CHARACTERS] = characters
        out_DS[d, SIZE_WORDS] = words
        out_DS[d, SIZE_HASHES] = hashes
        out_DS[d, SIZE_ELLIPSES] = ellipses_in(text_N, offsets[d], end) if elliptic else 0
        out_DS[d, SIZE_NEWLINES] = newlines


@helper
def apart(values_S: U64, firsts: U64, numbers: U64) -> int:
    """Put up to 64 hashes into `PLACES` places, each in one of its own, by the bits from which they fall apart.

    Returns the number of the first of these bits; -1 where there are too many hashes, or none of the bits keep them apart.
    """
    for shift in range(0 if values_S.size <= BLOCK else BLOCK, BLOCK - PLACE_BITS):
        firsts[:] = EMPTY
        alone = True
        for s in range(values_S.size):
            place: int = integer(np.uint64(values_S[s] >> np.uint64(shift))) & (PLACES - 1)
            alone &= firsts[place] == EMPTY
            firsts[place] = values_S[s]
            numbers[place] = np.uint64(s)
        if alone:
            return shift
    return -1


@kernel(
    reads(np.int32),
    reads(np.uint8),
    reads(np.uint64),
    reads(np.int64),
    reads(np.uint64),
    reads(np.int64, 2),
    writes(np.int64, 2),
)
def count_words(
    characters_W: I32, kinds_W: U8, hashes_W: U64, bounds: I64, stops_S: U64, sizes_DS: I64, out_DQ: I64
) -> None:
    """Fill row d of `out_DQ` (int64[D, COUNTS]) with counts of words, from what `cut_words` and `count_symbols` give.

    `stops_S` are the hashes of stop words: they are compared exactly as they are written.
    """
    slots = 16 * table_size(stops_S.size)  # so many that most words which are none meet a free slot at once
    keys = np.full(slots, EMPTY, np.uint64)
    seen_in = np.full(slots, -1, np.int64)
    for value in stops_S:
        keys[find_slot(value, keys, slots - 1)] = value
    firsts = np.empty(PLACES, np.uint64)
    numbers = np.zeros(PLACES, np.uint64)
    shift = apart(stops_S, firsts, numbers)
    for d in range(bounds.size - 1):
        total_characters: int = 0
        plain: int = 0
        plain_characters: int = 0
        letters: int = 0
        mixed: int = 0
        longest: int = 0
        distinct: int = 0
        total: int = 0
        for w in range(bounds[d], bounds[d + 1]):
            length: int = integer(characters_W[w])
            kind: int = integer(kinds_W[w])
            total_characters += length
            longest = max(longest, length)
            plain += kind & IS_PLAIN != 0
            plain_characters += length if kind & IS_PLAIN != 0 else 0
            letters += kind & HAS_LETTER != 0
            mixed += kind & IS_MIXED != 0
        if shift >= 0:  # without a branch: whether a word is a stop word cannot be foreseen
            seen = NONE
            for w in range(bounds[d], bounds[d + 1]):
                place = integer(np.uint64(hashes_W[w] >> np.uint64(shift))) & (PLACES - 1)
                is_stop = np.uint64(firsts[place] == hashes_W[w])
                total += integer(is_stop)
                seen = np.uint64(seen | np.uint64(is_stop << numbers[place]))
            distinct = count(seen)
        for w in range(bounds[d], bounds[d + 1] if shift < 0 else bounds[d]):
            slot = find_slot(hashes_W[w], keys, slots - 1)
            if keys[slot] != EMPTY:
                total += 1
                if seen_in[slot] != d:
                    seen_in[slot] = d
                    distinct += 1
        out_DQ[d, CHARACTERS] = sizes_DS[d, SIZE_CHARACTERS]
        out_DQ[d, WORDS] = bounds[d + 1] - bounds[d]
        out_DQ[d, WORD_CHARACTERS] = total_characters
        out_DQ[d, PLAIN_WORDS] = plain
        out_DQ[d, PLAIN_CHARACTERS] = plain_characters
        out_DQ[d, LETTER_WORDS] = letters
        out_DQ[d, LONGEST_WORD] = longest
        out_DQ[d, STOP_DISTINCT] = distinct
        out_DQ[d, STOP_TOTAL] = total
        out_DQ[d, HASHES] = sizes_DS[d, SIZE_HASHES]
        out_DQ[d, ELLIPSES] = sizes_DS[d, SIZE_ELLIPSES]
        out_DQ[d, NEWLINES] = sizes_DS[d, SIZE_NEWLINES]
        out_DQ[d, MIXED_WORDS] = mixed
