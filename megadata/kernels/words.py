"""Words: where they begin and end, what they hold, and the counts of a document. Letters: N bytes, D documents, S stop words."""

from __future__ import annotations

import numpy as np
from numba import types

from megadata.kernels.base import I64, U8, U16, helper, kernel, reads, writes
from megadata.kernels.text import COMMA, DIGIT, JOIN, LETTER, MARK, PUNCTUATION, SOLO, SPACE, WORD, decode, integer

WHITESPACE, UNICODE = 0, 1  # how words are cut

BASE = np.uint64(0x9E3779B97F4A7C15)  # of the polynomial hash: odd, so that no power of it is zero
ZERO = np.uint64(0)

CHARACTERS, WORDS, WORD_CHARACTERS, PLAIN_WORDS, PLAIN_CHARACTERS, LETTER_WORDS = 0, 1, 2, 3, 4, 5
LONGEST_WORD, STOP_DISTINCT, STOP_TOTAL, HASHES, ELLIPSES, NEWLINES = 6, 7, 8, 9, 10, 11
COUNTS = 12  # columns of `count_words`
OF_TEXT = (CHARACTERS, HASHES, ELLIPSES, NEWLINES)  # those that do not depend on how words are cut


@helper
def hash_step(value: np.uint64, code: int) -> np.uint64:
    """Polynomial hash of a string, one character further. The hash of "" is 0; wraps modulo 2**64 on purpose."""
    return np.uint64(np.uint64(value * BASE) + np.uint64(code + 1))


@helper
def next_word(text: U8, at: int, end: int, classes: U16, cutting: int) -> tuple[int, int, int, int, int, np.uint64]:
    """The next word at or after byte `at`: start, stop, characters, any of their class bits, the bits of all, and the hash.

    `whitespace` cuts as str.split does. `unicode` joins letters, marks, digits and connectors; an apostrophe, full stop or
    middle dot between two of them and a comma between two digits stay inside; a letter of a script without spaces, and any
    other visible character, is a word of its own, with its marks. Start equals `end` when there is no further word.
    """
    code, after, bits = 0, at, 0
    while at < end:
        code, after = decode(text, at)
        bits = integer(classes[code])
        if bits & SPACE == 0:
            break
        at = after
    start = at
    if start >= end:
        return end, end, 0, 0, 0, ZERO
    value = hash_step(ZERO, code)
    characters = 1
    any_bits = bits
    all_bits = bits
    at = after
    if cutting == WHITESPACE:
        while at < end:
            code, after = decode(text, at)
            bits = integer(classes[code])
            if bits & SPACE != 0:
                break
            value = hash_step(value, code)
            characters += 1
            any_bits |= bits
            all_bits &= bits
            at = after
        return start, at, characters, any_bits, all_bits, value
    joined = bits & (WORD | SOLO) == WORD
    last = bits
    while at < end:
        code, after = decode(text, at)
        bits = integer(classes[code])
        if not joined:
            if bits & MARK == 0:
                break
        elif bits & (WORD | SOLO) != WORD:
            if bits & (JOIN | COMMA) == 0 or after >= end:
                break
            following, _ = decode(text, after)
            ahead: int = integer(classes[following])
            if bits & JOIN != 0:
                if ahead & (WORD | SOLO) != WORD or last & WORD == 0:
                    break
            elif ahead & DIGIT == 0 or last & DIGIT == 0:
                break
        value = hash_step(value, code)
        characters += 1
        any_bits |= bits
        all_bits &= bits
        last = bits
        at = after
    return start, at, characters, any_bits, all_bits, value


@helper
def hash_of(text: U8, at: int, end: int) -> np.uint64:
    """Polynomial hash of text[at:end], over characters."""
    value = ZERO
    while at < end:
        code, at = decode(text, at)
        value = hash_step(value, code)
    return value


@kernel(
    reads(types.uint8),
    reads(types.int64),
    reads(types.uint16),
    types.int64,
    reads(types.uint8),
    reads(types.int64),
    writes(types.int64, 2),
)
def count_words(
    text_N: U8, offsets: I64, classes: U16, cutting: int, stop_text: U8, stop_offsets: I64, out_DQ: I64
) -> None:
    """Fill row d of `out_DQ` (int64[D, COUNTS]) with the counts of document d; the columns are the constants above.

    A plain word has a character outside PUNCTUATION, a letter word has a letter. Stop words (document s of `stop_text` is one)
    are compared exactly as they are written, by a 64-bit hash. An ellipsis is "..." or U+2026, counted as str.count does.
    """
    stops = stop_offsets.size - 1
    stop_hash = np.empty(stops, np.uint64)
    seen_in = np.empty(stops, np.int64)
    longest_stop = 0
    for s in range(stops):
        value = hash_of(stop_text, stop_offsets[s], stop_offsets[s + 1])
        place = s
        while place > 0 and stop_hash[place - 1] > value:  # sorted, for the search below
            stop_hash[place] = stop_hash[place - 1]
            place -= 1
        stop_hash[place] = value
        seen_in[s] = -1
        longest_stop = max(longest_stop, stop_offsets[s + 1] - stop_offsets[s])
    for d in range(offsets.size - 1):
        end = offsets[d + 1]
        characters = 0
        hashes = 0
        dots = 0
        ellipses = 0
        newlines = 0
        for i in range(offsets[d], end):
            byte = text_N[i]
            characters += (byte & 0xC0) != 0x80
            if byte == 46:  # "."
                dots += 1
                if dots == 3:
                    ellipses += 1
                    dots = 0
            else:
                dots = 0
                hashes += byte == 35
                newlines += byte == 10
                if byte == 0xE2 and text_N[i + 1] == 0x80 and text_N[i + 2] == 0xA6:
                    ellipses += 1
        words = 0
        word_characters = 0
        plain = 0
        plain_characters = 0
        letters = 0
        longest = 0
        distinct = 0
        total = 0
        at = offsets[d]
        while True:
            start, at, length, any_bits, all_bits, value = next_word(text_N, at, end, classes, cutting)
            if start >= end:
                break
            words += 1
            word_characters += length
            longest = max(longest, length)
            if all_bits & PUNCTUATION == 0:
                plain += 1
                plain_characters += length
            letters += any_bits & LETTER != 0
            if at - start <= longest_stop:
                low = 0
                high = stops
                while low < high:
                    middle = (low + high) >> 1
                    if stop_hash[middle] < value:
                        low = middle + 1
                    else:
                        high = middle
                if low < stops and stop_hash[low] == value:
                    total += 1
                    if seen_in[low] != d:
                        seen_in[low] = d
                        distinct += 1
        out_DQ[d, CHARACTERS] = characters
        out_DQ[d, WORDS] = words
        out_DQ[d, WORD_CHARACTERS] = word_characters
        out_DQ[d, PLAIN_WORDS] = plain
        out_DQ[d, PLAIN_CHARACTERS] = plain_characters
        out_DQ[d, LETTER_WORDS] = letters
        out_DQ[d, LONGEST_WORD] = longest
        out_DQ[d, STOP_DISTINCT] = distinct
        out_DQ[d, STOP_TOTAL] = total
        out_DQ[d, HASHES] = hashes
        out_DQ[d, ELLIPSES] = ellipses
        out_DQ[d, NEWLINES] = newlines
