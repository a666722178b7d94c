"""Words: where they begin and end, what they hold, and a hash of each.

Letters: N bytes, D documents, W words of all documents.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I32, I64, U8, U16, U64, helper, kernel, reads, writes
from megadata.kernels.blocks import ALL, BLOCK, NONE, ONE, between, count, eight, first_bits, lowest, up_to_eight
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
HAS_LETTER, IS_PLAIN, IS_MIXED = 1, 2, 4  # kinds of words, see `cut_words`

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no power of it is zero
SEED = np.uint64(0x243F6A8885A308D3)
HALF = np.uint64(32)
TWO = np.uint64(2)

_SURE = 56  # of a block's 64 bytes, those before which a word that ends is whole whatever follows the block


@helper
def fold(value: np.uint64, part: np.uint64) -> np.uint64:
    """A hash with up to eight more bytes in it; wraps modulo 2**64 on purpose."""
    mixed = np.uint64(np.uint64(value ^ part) * MULTIPLIER)
    return np.uint64(mixed ^ np.uint64(mixed >> HALF))


@helper
def seed_of(size: int) -> np.uint64:
    """Where the hash of so many bytes begins."""
    return np.uint64(SEED ^ np.uint64(np.uint64(size) * MULTIPLIER))


@helper
def hash_short(text: U8, at: int, size: int) -> np.uint64:
    """Hash of 1 to 8 bytes; eight are read."""
    part = np.uint64(eight(text, at) & np.uint64(ALL >> np.uint64(64 - 8 * size)))
    return np.uint64(fold(seed_of(size), part))


@helper
def hash_long(text: U8, at: int, size: int) -> np.uint64:
    """Hash of 8 or more bytes."""
    value: np.uint64 = seed_of(size)
    last = at + size - 8
    while at < last:
        value = fold(value, eight(text, at))
        at += 8
    return np.uint64(fold(value, eight(text, last)))


@helper
def hash_bytes(text: U8, at: int, end: int) -> np.uint64:
    """Hash of text[at:end]."""
    if end - at >= 8:
        return np.uint64(hash_long(text, at, end - at))
    part = up_to_eight(text, at, end - at) if at < end else NONE
    return np.uint64(fold(seed_of(end - at), part))


@helper
def kind_of(letters: bool, plain: bool, latin: bool, alike: bool) -> int:
    """The kinds of a word, from what some character of it is."""
    return HAS_LETTER * letters | IS_PLAIN * plain | IS_MIXED * (latin & alike)


@helper
def next_word(text: U8, at: int, end: int, classes: U16, cutting: int) -> tuple[int, int, int, int]:
    """The next word at or after byte `at`, character by character: start, stop, characters, kinds.

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
        return end, end, 0, 0
    characters: int = 0
    some: int = 0
    all_bits: int = -1
    last = bits
    alone = cutting == UNICODE and bits & (WORD | SOLO) != WORD
    while True:
        characters += 1
        some |= bits
        all_bits &= bits
        last = bits
        at = after
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
    kind = kind_of(some & LETTER != 0, all_bits & PUNCTUATION == 0, some & LATIN != 0, some & ALIKE != 0)
    return start, at, characters, kind


@helper
def joined(joins: np.uint64, words: np.uint64, later: np.uint64) -> np.uint64:
    """Of characters that may join (all of their bytes), those between two characters of `words`; `later` are no first bytes."""
    behind = np.uint64(joins & np.uint64(words << ONE) & ~later)
    ahead = np.uint64(joins & np.uint64(words >> ONE) & ~np.uint64(later >> ONE))
    for _ in range(2):  # from the first byte of a character to its others, and from the last
        behind = np.uint64(behind | np.uint64(joins & later & np.uint64(behind << ONE)))
        ahead = np.uint64(ahead | np.uint64(joins & np.uint64(np.uint64(ahead & later) >> ONE)))
    return np.uint64(behind & ahead)


@helper
def spread(bits: int, bit: int, bytes_of_it: np.uint64) -> np.uint64:
    """The bytes of a character when its class has the bit, else none."""
    return bytes_of_it if bits & bit != 0 else NONE


@kernel(
    reads(np.uint8),
    reads(np.int64),
    reads(np.uint16),
    np.int64,
    writes(np.int64),
    writes(np.int32),
    writes(np.int32),
    writes(np.uint8),
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
    kinds_W: U8,
    hashes_W: U64,
    bounds: I64,
) -> int:
    """Cut documents into words: word w is text[starts[w]:starts[w] + sizes[w]], document d has words bounds[d]:bounds[d + 1].

    `next_word` says what a word is; here most of them are found 64 bytes at a time. Of `kinds_W`, HAS_LETTER is for words with a
    letter, IS_PLAIN for those with a character outside PUNCTUATION, IS_MIXED for those with Latin letters and some of a script
    that looks like it. Equal words have equal hashes. Returns the number of words; those that find no room in the outputs are
    counted and not written.
    """
    room = starts_W.size
    words: int = 0
    bounds[0] = 0
    for d in range(offsets.size - 1):
        at = offsets[d]
        end = offsets[d + 1]
        slowly = 0  # bytes before it are looked at one character after another
        while at < end:
            if at < slowly or at + BLOCK + 8 > text_N.size:
                start, at, characters, kind = next_word(text_N, at, end, classes, cutting)
                if start < end:
                    if words < room:
                        starts_W[words] = start
                        sizes_W[words] = at - start
                        characters_W[words] = characters
                        kinds_W[words] = kind
                        hashes_W[words] = hash_bytes(text_N, start, at)
                    words += 1
                continue

            # ASCII by ranges; every other character by its class, which all of its bytes get.
            valid = first_bits(end - at)
            later = between(text_N, at, 0x80, 0xBF)
            digits = between(text_N, at, 48, 57)
            letters = np.uint64(between(text_N, at, 65, 90) | between(text_N, at, 97, 122))
            space = np.uint64(between(text_N, at, 9, 13) | between(text_N, at, 28, 32))
            latin = letters
            alike = NONE
            plain = np.uint64(letters | digits)
            word = np.uint64(plain | between(text_N, at, 95, 95))
            joins = np.uint64(between(text_N, at, 39, 39) | between(text_N, at, 46, 46))
            marks = NONE
            leads = np.uint64(between(text_N, at, 0xC0, 0xFF) & valid)
            while leads != NONE:
                i = lowest(leads)
                leads = np.uint64(leads & np.uint64(leads - ONE))
                code, after = decode(text_N, at + i)
                bits: int = integer(classes[code])
                its = np.uint64(first_bits(after - at - i) << np.uint64(i))
                space = np.uint64(space | spread(bits, SPACE, its))
                letters = np.uint64(letters | spread(bits, LETTER, its))
                digits = np.uint64(digits | spread(bits, DIGIT, its))
                latin = np.uint64(latin | spread(bits, LATIN, its))
                alike = np.uint64(alike | spread(bits, ALIKE, its))
                plain = np.uint64(plain | spread(~bits, PUNCTUATION, its))
                joins = np.uint64(joins | spread(bits, JOIN, its))
                marks = np.uint64(marks | spread(bits, MARK, its))
                if bits & (WORD | SOLO) == WORD:
                    word = np.uint64(word | its)
            word = np.uint64(word & valid)
            digits = np.uint64(digits & valid)
            visible = np.uint64(~space & valid)
            run = visible
            if cutting == UNICODE:
                commas = between(text_N, at, 44, 44)
                run = np.uint64(word | joined(joins, word, later) | joined(commas, digits, later))
            alone = np.uint64(visible & ~run)
            if marks & np.uint64(alone << ONE) & ~later != NONE:
                slowly = at + BLOCK  # a mark belongs to the character before it, which is no part of a longer word
                continue

            firsts = np.uint64(np.uint64(run & ~np.uint64(run << ONE)) | np.uint64(alone & ~later))
            borders = np.uint64(firsts | ~visible)
            following = at + BLOCK if end - at > BLOCK else end
            while firsts != NONE:
                i = lowest(firsts)
                firsts = np.uint64(firsts & np.uint64(firsts - ONE))
                size = lowest(np.uint64(np.uint64(borders >> ONE) >> np.uint64(i))) + 1
                if i + size > _SURE and end - at > BLOCK:
                    following = at + i
                    if i == 0:
                        slowly = at + 1  # longer than a block
                    break
                size = min(size, end - at - i)
                if words < room:
                    its = np.uint64(first_bits(size) << np.uint64(i))
                    starts_W[words] = at + i
                    sizes_W[words] = size
                    characters_W[words] = count(np.uint64(its & ~later))
                    kinds_W[words] = kind_of(
                        letters & its != NONE, plain & its != NONE, latin & its != NONE, alike & its != NONE
                    )
                    hashes_W[words] = hash_short(text_N, at + i, size) if size <= 8 else hash_long(text_N, at + i, size)
                words += 1
            at = following
            while at < end and text_N[at] & 0xC0 == 0x80:  # a blank of several bytes that a block's end cut
                at += 1
        bounds[d + 1] = words
    return words
