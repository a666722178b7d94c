"""Words: where they begin and end, what they hold, and the counts of a document.

Letters: N bytes, D documents, W words of all documents, S stop words.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I32, I64, U8, U16, U64, helper, kernel, reads, writes
from megadata.kernels.text import (
    ALIKE,
    COMMA,
    DIGIT,
    JOIN,
    LATIN,
    LETTER,
    MARK,
    PUNCTUATION,
    SOLO,
    SPACE,
    WORD,
    decode,
    integer,
)

WHITESPACE, UNICODE = 0, 1  # how words are cut

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no power of it is zero
SEED = np.uint64(0x243F6A8885A308D3)
BYTE = np.uint64(8)
HALF = np.uint64(32)
ZERO = np.uint64(0)
ONE = np.uint64(1)
LOWEST = np.uint64(63)

CHARACTERS, WORDS, WORD_CHARACTERS, PLAIN_WORDS, PLAIN_CHARACTERS, LETTER_WORDS = 0, 1, 2, 3, 4, 5
LONGEST_WORD, STOP_DISTINCT, STOP_TOTAL, HASHES, ELLIPSES, NEWLINES, MIXED_WORDS = 6, 7, 8, 9, 10, 11, 12
COUNTS = 13  # columns of `count_words`


@helper
def fold(value: np.uint64, part: np.uint64) -> np.uint64:
    """A hash with up to eight more bytes in it; wraps modulo 2**64 on purpose."""
    mixed = np.uint64(np.uint64(value ^ part) * MULTIPLIER)
    return np.uint64(mixed ^ np.uint64(mixed >> HALF))


@helper
def hash_bytes(text: U8, at: int, end: int) -> np.uint64:
    """Hash of text[at:end]."""
    value: np.uint64 = np.uint64(SEED ^ np.uint64(end - at))
    while end - at >= 8:
        part = ZERO
        for i in range(at, at + 8):
            part = np.uint64(np.uint64(part << BYTE) | np.uint64(text[i]))
        value = fold(value, part)
        at += 8
    part = ZERO
    for i in range(at, end):
        part = np.uint64(np.uint64(part << BYTE) | np.uint64(text[i]))
    value = fold(value, part)
    return value


@helper
def next_word(text: U8, at: int, end: int, classes: U16, cutting: int) -> tuple[int, int, int, int, int, np.uint64]:
    """The next word at or after byte `at`: start, stop, characters, any of their class bits, the bits of all, and a hash.

    `whitespace` cuts as str.split does. `unicode` joins letters, marks, digits and connectors; an apostrophe, full stop or
    middle dot between two of them and a comma between two digits stay inside; a letter of a script without spaces, and any
    other visible character, is a word of its own, with its marks. Start equals `end` when there is no further word. Equal
    words have equal hashes.
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
    characters: int = 0
    any_bits: int = 0
    all_bits: int = -1
    last = bits
    alone = cutting == UNICODE and bits & (WORD | SOLO) != WORD
    value = SEED
    part = ZERO  # of up to eight bytes of ASCII that are not in the hash yet
    held: int = 0
    while True:
        characters += 1
        any_bits |= bits
        all_bits &= bits
        last = bits
        at = after
        if code < 0x80:
            part = np.uint64(np.uint64(part << BYTE) | np.uint64(code))
            held += 1
            if held == 8:
                value = fold(value, part)
                part = ZERO
                held = 0
        else:
            value = fold(fold(value, part), np.uint64(code))
            part = ZERO
            held = 0
        if at >= end:
            break
        code, after = decode(text, at)
        bits = integer(classes[code])
        if cutting == WHITESPACE:
            if bits & SPACE != 0:
                break
        elif alone:
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
    return start, at, characters, any_bits, all_bits, fold(value, part)


@kernel(
    reads(np.uint8),
    reads(np.int64),
    reads(np.uint16),
    np.int64,
    writes(np.int64),
    writes(np.int32),
    writes(np.int32),
    writes(np.uint16),
    writes(np.uint16),
    writes(np.uint64),
    writes(np.int64),
)
def cut_words(
    text_N: U8,
    offsets: I64,
    classes: U16,
    cutting: int,
    starts_W: I64,
    sizes_W: I32,
    characters_W: I32,
    any_W: U16,
    all_W: U16,
    hashes_W: U64,
    bounds: I64,
) -> int:
    """Cut documents into words: word w is text[starts[w]:starts[w] + sizes[w]], document d has words bounds[d]:bounds[d + 1].

    `any_W` holds the class bits that some character of the word has, `all_W` those that each has. Returns the number of words;
    those that find no room in the outputs are counted and not written.
    """
    room = starts_W.size
    words: int = 0
    bounds[0] = 0
    for d in range(offsets.size - 1):
        at = offsets[d]
        end = offsets[d + 1]
        while True:
            start, at, length, any_bits, all_bits, value = next_word(text_N, at, end, classes, cutting)
            if start >= end:
                break
            if words < room:
                starts_W[words] = start
                sizes_W[words] = at - start
                characters_W[words] = length
                any_W[words] = any_bits
                all_W[words] = all_bits
                hashes_W[words] = value
            words += 1
        bounds[d + 1] = words
    return words


@kernel(reads(np.uint8), reads(np.int64), writes(np.int64, 2))
def count_symbols(text_N: U8, offsets: I64, out_DQ: I64) -> None:
    """Fill the columns CHARACTERS, HASHES, ELLIPSES and NEWLINES of row d of `out_DQ` for document d.

    An ellipsis is "..." or U+2026, counted as str.count does.
    """
    for d in range(offsets.size - 1):
        begin = offsets[d]
        end = offsets[d + 1]
        characters: int = 0
        hashes: int = 0
        newlines: int = 0
        for i in range(begin, end):
            byte = text_N[i]
            characters += (byte & 0xC0) != 0x80
            hashes += byte == 35
            newlines += byte == 10
        ellipses: int = 0
        i = begin
        while i < end:
            byte = text_N[i]
            i += 1
            if byte == 46:  # "."
                if i + 1 < end and text_N[i] == 46 and text_N[i + 1] == 46:
                    ellipses += 1
                    i += 2
            elif byte == 0xE2 and text_N[i] == 0x80 and text_N[i + 1] == 0xA6:
                ellipses += 1
                i += 2
        out_DQ[d, CHARACTERS] = characters
        out_DQ[d, HASHES] = hashes
        out_DQ[d, ELLIPSES] = ellipses
        out_DQ[d, NEWLINES] = newlines


@kernel(reads(np.uint8), reads(np.int64), writes(np.int64, 2))
def measure_text(text_N: U8, offsets: I64, out_D3: I64) -> None:
    """Bytes, characters, and words between ASCII white space of each document."""
    for d in range(offsets.size - 1):
        characters: int = 0
        words: int = 0
        inside = False
        for i in range(offsets[d], offsets[d + 1]):
            byte = text_N[i]
            characters += (byte & 0xC0) != 0x80
            visible = byte > 32
            words += visible and not inside
            inside = visible
        out_D3[d, 0] = offsets[d + 1] - offsets[d]
        out_D3[d, 1] = characters
        out_D3[d, 2] = words


@kernel(
    reads(np.int32),
    reads(np.uint16),
    reads(np.uint16),
    reads(np.uint64),
    reads(np.int64),
    reads(np.uint64),
    writes(np.int64, 2),
)
def count_words(
    characters_W: I32, any_W: U16, all_W: U16, hashes_W: U64, bounds: I64, stops_S: U64, out_DQ: I64
) -> None:
    """Fill the columns of row d of `out_DQ` (int64[D, COUNTS]) that count words, from what `cut_words` gives.

    A plain word has a character outside PUNCTUATION, a letter word has a letter, a mixed word has Latin letters
    and some of a script that looks like it. `stops_S` are the hashes of stop words, rising:
    they are compared exactly as they are written.
    """
    stops = stops_S.size
    seen_in = np.empty(stops, np.int64)
    marks = ZERO  # one bit for the lowest six of each stop word's hash: most words are told apart by it
    for s in range(stops):
        seen_in[s] = -1
        marks = np.uint64(marks | np.uint64(ONE << np.uint64(stops_S[s] & LOWEST)))
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
            total_characters += length
            longest = max(longest, length)
            if all_W[w] & PUNCTUATION == 0:
                plain += 1
                plain_characters += length
            letters += any_W[w] & LETTER != 0
            mixed += any_W[w] & (LATIN | ALIKE) == LATIN | ALIKE
            value = hashes_W[w]
            if np.uint64(marks >> np.uint64(value & LOWEST)) & ONE == ZERO:
                continue
            low = 0
            high = stops
            while low < high:
                middle = (low + high) >> 1
                if stops_S[middle] < value:
                    low = middle + 1
                else:
                    high = middle
            if low < stops and stops_S[low] == value:
                total += 1
                if seen_in[low] != d:
                    seen_in[low] = d
                    distinct += 1
        out_DQ[d, WORDS] = bounds[d + 1] - bounds[d]
        out_DQ[d, WORD_CHARACTERS] = total_characters
        out_DQ[d, PLAIN_WORDS] = plain
        out_DQ[d, PLAIN_CHARACTERS] = plain_characters
        out_DQ[d, LETTER_WORDS] = letters
        out_DQ[d, LONGEST_WORD] = longest
        out_DQ[d, STOP_DISTINCT] = distinct
        out_DQ[d, STOP_TOTAL] = total
        out_DQ[d, MIXED_WORDS] = mixed
