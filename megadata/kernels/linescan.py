"""What a line holds, 64 bytes at a time: its words, phrases and sentences.

Letters: N bytes, E end marks, P phrases, H beginnings of phrases.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I64, U8, U16, Bool, helper
from megadata.kernels.blocks import ALL, BLOCK, NONE, ONE, between, count, eight, first_bits, lowest, put_eight
from megadata.kernels.lines import holds_code
from megadata.kernels.text import SPACE, decode, integer

HEAD = 3  # bytes of a phrase by which it is looked for

LAST = np.uint64(BLOCK - 1)


@helper
def copy_bytes(text: U8, start: int, stop: int, out: U8, to: int) -> None:
    """Copy text[start:stop] to out[to:]; up to seven bytes of `out` behind it are changed where it has room for them."""
    size = stop - start
    if stop + 8 <= text.size and to + size + 8 <= out.size:
        for k in range(0, size, 8):
            put_eight(out, to + k, eight(text, start + k))
    else:
        for k in range(size):
            out[to + k] = text[start + k]


@helper
def words_between_blanks(text: U8, start: int, stop: int, classes: U16) -> tuple[int, bool]:
    """The words of text[start:stop] as str.split cuts them, and whether it holds a "[".

    Of the blanks that are not ASCII, all begin with the bytes C2, E1, E2 or E3.
    """
    words: int = 0
    bracket = False
    inside = NONE  # 1 where the byte before is visible
    at = start
    while at < stop and at + BLOCK <= text.size:
        valid = first_bits(stop - at)
        space = np.uint64(between(text, at, 9, 13) | between(text, at, 28, 32))
        leads = np.uint64(between(text, at, 0xE1, 0xE3) | between(text, at, 0xC2, 0xC2)) & valid
        following = at + BLOCK
        while leads != NONE:
            i = lowest(leads)
            leads = np.uint64(leads & np.uint64(leads - ONE))
            code, after = decode(text, at + i)
            if integer(classes[code]) & SPACE != 0:
                space = np.uint64(space | np.uint64(first_bits(after - at - i) << np.uint64(i)))
                following = max(following, after)
        visible = ~space
        words += count(np.uint64(visible & ~np.uint64(np.uint64(visible << ONE) | inside) & valid))
        bracket |= np.uint64(between(text, at, 91, 91) & valid) != NONE
        inside = np.uint64(visible >> LAST)
        at = following
    while at < stop and text[at] & 0xC0 == 0x80:  # the rest of a character that is visible
        at += 1
    visible_before = inside != NONE
    while at < stop:
        code, at = decode(text, at)
        visible_now = integer(classes[code]) & SPACE == 0
        words += visible_now and not visible_before
        visible_before = visible_now
        bracket |= code == 91
    return words, bracket


@helper
def longest_word(text: U8, start: int, stop: int, classes: U16) -> int:
    """Characters of the longest word between blanks."""
    longest: int = 0
    length: int = 0
    at = start
    while at < stop:
        code, at = decode(text, at)
        length = 0 if integer(classes[code]) & SPACE != 0 else length + 1
        longest = max(longest, length)
    return longest


@helper
def lowered(byte: int) -> int:
    """A byte in lower case, when it is an ASCII letter."""
    return byte + 32 if 65 <= byte <= 90 else byte


@helper
def heads_of(phrases: U8, phrase_offsets: I64) -> I64:
    """int64[H, HEAD]: the different first bytes of phrases; -1 for any byte, which "k" may be (the Kelvin sign)."""
    heads = np.empty((phrase_offsets.size - 1, HEAD), np.int64)
    number: int = 0
    for p in range(phrase_offsets.size - 1):
        for k in range(HEAD):
            at = phrase_offsets[p] + k
            heads[number, k] = integer(phrases[at]) if at < phrase_offsets[p + 1] else -1
            if heads[number, k] == 107:
                heads[number, k:] = -1
                break
        known = False
        for h in range(number):
            known |= (
                heads[h, 0] == heads[number, 0] and heads[h, 1] == heads[number, 1] and heads[h, 2] == heads[number, 2]
            )
        number += not known
    return heads[:number]


@helper
def either_case(text: U8, at: int, byte: int) -> np.uint64:
    """Mask of a lower-case letter in both cases, or of another byte; of all bytes for -1."""
    if byte < 0:
        return ALL
    found = between(text, at, byte, byte)
    if 97 <= byte <= 122:
        found = np.uint64(found | between(text, at, byte - 32, byte - 32))
    return np.uint64(found)


@helper
def first_phrase(
    text: U8, start: int, stop: int, phrases: U8, phrase_offsets: I64, heads_H3: I64, only_page: bool, drops_page: Bool
) -> int:
    """The lowest number of a phrase that text[start:stop], in lower case, holds; -1 for none.

    Only ASCII and the Kelvin sign are lowered.
    """
    none = phrase_offsets.size - 1
    best = none
    for block in range(start, stop, BLOCK):
        found = first_bits(stop - block)
        if block + BLOCK + HEAD <= text.size:
            begun = NONE
            for h in range(heads_H3.shape[0]):
                begins = either_case(text, block, heads_H3[h, 0])
                if heads_H3[h, 1] >= 0:
                    begins = np.uint64(begins & either_case(text, block + 1, heads_H3[h, 1]))
                    begins = np.uint64(begins & either_case(text, block + 2, heads_H3[h, 2]))
                begun = np.uint64(begun | begins)
            found = np.uint64(found & begun)
        while found != NONE:
            at = block + lowest(found)
            found = np.uint64(found & np.uint64(found - ONE))
            for p in range(best):
                if only_page and not drops_page[p]:
                    continue
                i = at
                k = phrase_offsets[p]
                while k < phrase_offsets[p + 1] and i < stop:
                    byte: int = lowered(integer(text[i]))
                    if byte == phrases[k]:
                        i += 1
                    elif phrases[k] == 107 and byte == 0xE2 and text[i + 1] == 0x84 and text[i + 2] == 0xAA:
                        i += 3
                    else:
                        break
                    k += 1
                if k == phrase_offsets[p + 1]:
                    best = p
                    break
    return best if best < none else -1


@helper
def leads_of(codes: I64) -> U8:
    """The different first bytes of the UTF-8 of characters, rising as they are."""
    out = np.empty(codes.size, np.uint8)
    number: int = 0
    for code in codes:
        lead = code
        if code >= 0x10000:
            lead = 0xF0 | code >> 18
        elif code >= 0x800:
            lead = 0xE0 | code >> 12
        elif code >= 0x80:
            lead = 0xC0 | code >> 6
        if number == 0 or out[number - 1] != lead:
            out[number] = lead
            number += 1
    return out[:number]


@helper
def next_end(
    text: U8, at: int, stop: int, ends_E: I64, end_bits: tuple[np.uint64, np.uint64], leads: U8
) -> tuple[int, int]:
    """Where the next end mark begins and ends; `stop` twice when there is none. `leads` are the marks' `leads_of`."""
    while at < stop:
        found = first_bits(min(stop - at, BLOCK))
        if at + BLOCK <= text.size:
            begun = NONE
            for lead in leads:
                begun = np.uint64(begun | between(text, at, lead, lead))
            found = np.uint64(found & begun)
        while found != NONE:
            start = at + lowest(found)
            found = np.uint64(found & np.uint64(found - ONE))
            if text[start] & 0xC0 != 0x80:
                code, after = decode(text, start)
                if holds_code(ends_E, end_bits, code):
                    return start, after
        at += BLOCK
    return stop, stop


@helper
def closes(code: int) -> bool:
    """Whether a character is a quote or bracket that closes: it belongs to what is before it."""
    return code in (34, 39, 41, 93, 0x2019, 0x201D, 0xBB)


@helper
def sentences_in(
    text: U8, start: int, stop: int, classes: U16, ends_E: I64, end_bits: tuple[np.uint64, np.uint64], leads: U8
) -> int:
    """Number of sentences: runs of end marks (with quotes and brackets that follow) before a blank or the end.

    What follows the last end mark counts when it holds anything visible but such quotes and brackets.
    """
    found: int = 0
    since = start  # behind the last sentence that has ended
    at = start
    while at < stop:
        _, at = next_end(text, at, stop, ends_E, end_bits, leads)
        while at < stop:
            code, after = decode(text, at)
            if integer(classes[code]) & SPACE != 0:
                found += 1
                since = after
                break
            if not holds_code(ends_E, end_bits, code) and not closes(code):
                if code >= 0x2E80:  # an end mark of a script without spaces ends its sentence at once
                    found += 1
                    since = at
                break
            at = after
    while since < stop:
        code, since = decode(text, since)
        if integer(classes[code]) & SPACE == 0 and not closes(code):
            return found + 1
    return found
