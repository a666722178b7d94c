"""From text to shingle hashes: normalise, cut into tokens, hash every window of tokens.

Letters: N bytes of all documents, M bytes of one normalised document, T tokens of one document, S shingles of all documents.

A *token* is a word, or one character of a script that is written without spaces. Characters are classed and folded by a table
over code points, one uint32 each: the folded code point in the low 21 bits, the class in the high 8. A character is part of a
word when its class is at least `level`, so that a lower level keeps symbols and then punctuation as well.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I64, U8, U32, U64, helper, kernel, reads, writes
from megadata.kernels.hashing import mix64

SPACE, PUNCTUATION, SYMBOL, LETTER, UNSPACED, IGNORED = range(6)
"""Classes of characters. `IGNORED` ones (soft hyphens, joiners) neither join nor part anything."""

SHORT = 5
"""Texts of fewer tokens are compared with their symbols, and those of none with their punctuation: "C++" is not "C#"."""

LAST = np.uint64(0xFFFFFFFFFFFFFFFF)
"""Never a shingle hash: marks free places in the table of `distinct`."""

PADDING = 8
"""Zero bytes that follow a normalised text, so that it can be read eight bytes at a time."""

_CODE = np.uint32(0x1FFFFF)
_KIND = np.uint32(24)
_SEED_A = np.uint64(0x243F6A8885A308D3)  # digits of pi
_SEED_B = np.uint64(0x13198A2E03707344)
_WHOLE = np.uint64(0x452821E638D01377)
_STEP_A = np.uint64(0x9E3779B97F4A7C15)  # the golden ratio, and multipliers of Steele and Vigna 2021
_STEP_B = np.uint64(0xD1342543DE82EF95)
_STEP_S = np.uint64(0xAEF17502108EF2D9)
_EACH = np.uint64(0x0101010101010101)
_TOPS = np.uint64(0x8080808080808080)
_BLANK = np.uint8(32)


@helper
def decode(text_N: U8, at: int, stop: int) -> tuple[np.uint32, int]:
    """Code point that starts at a byte of 0x80 or more, and where the next one starts. Damaged bytes stand for themselves."""
    first = np.uint32(text_N[at])
    low = np.uint32(0x3F)
    if first >= np.uint32(0xF0) and at + 3 < stop:
        code = np.uint32(np.uint32(first & np.uint32(0x07)) << np.uint32(18))
        code = np.uint32(code | np.uint32(np.uint32(text_N[at + 1] & low) << np.uint32(12)))
        code = np.uint32(code | np.uint32(np.uint32(text_N[at + 2] & low) << np.uint32(6)))
        return np.uint32(code | np.uint32(text_N[at + 3] & low)), at + 4
    if first >= np.uint32(0xE0) and at + 2 < stop:
        code = np.uint32(np.uint32(first & np.uint32(0x0F)) << np.uint32(12))
        code = np.uint32(code | np.uint32(np.uint32(text_N[at + 1] & low) << np.uint32(6)))
        return np.uint32(code | np.uint32(text_N[at + 2] & low)), at + 3
    if first >= np.uint32(0xC0) and at + 1 < stop:
        code = np.uint32(np.uint32(first & np.uint32(0x1F)) << np.uint32(6))
        return np.uint32(code | np.uint32(text_N[at + 1] & low)), at + 2
    return first, at + 1


@helper
def _encode(code: np.uint32, out_M: U8, at: int) -> int:
    """Write a code point as UTF-8; return the place after it."""
    low, lead = np.uint32(0x3F), np.uint32(0x80)
    if code < np.uint32(0x80):
        out_M[at] = np.uint8(code)
        return at + 1
    if code < np.uint32(0x800):
        out_M[at] = np.uint8(np.uint32(0xC0) | np.uint32(code >> np.uint32(6)))
        out_M[at + 1] = np.uint8(lead | np.uint32(code & low))
        return at + 2
    if code < np.uint32(0x10000):
        out_M[at] = np.uint8(np.uint32(0xE0) | np.uint32(code >> np.uint32(12)))
        out_M[at + 1] = np.uint8(lead | np.uint32(np.uint32(code >> np.uint32(6)) & low))
        out_M[at + 2] = np.uint8(lead | np.uint32(code & low))
        return at + 3
    out_M[at] = np.uint8(np.uint32(0xF0) | np.uint32(code >> np.uint32(18)))
    out_M[at + 1] = np.uint8(lead | np.uint32(np.uint32(code >> np.uint32(12)) & low))
    out_M[at + 2] = np.uint8(lead | np.uint32(np.uint32(code >> np.uint32(6)) & low))
    out_M[at + 3] = np.uint8(lead | np.uint32(code & low))
    return at + 4


@helper
def normalise(
    text_N: U8, start: int, stop: int, table: U32, plain: U8, level: np.uint32, by_character: bool, out_M: U8
) -> int:
    """Write the tokens of text[start:stop] as UTF-8, a zero byte after each; return how many bytes that is.

    `PADDING` more zero bytes follow. `plain` says what each ASCII character becomes, 0 where it parts words. With
    `by_character` each character is a token, and so is the blank between two words.
    """
    at, end = np.uint64(start), np.uint64(stop)
    size = np.uint64(0)
    open_word = np.uint64(0)
    one, top = np.uint64(1), np.uint8(0x80)
    while at < end:
        if not by_character:
            while at < end and text_N[at] < top:
                letter = plain[text_N[at]]
                out_M[size] = letter
                is_letter = np.uint64(letter != 0)
                size = np.uint64(size + np.uint64(is_letter | open_word))
                open_word = is_letter
                at = np.uint64(at + one)
            if at >= end:
                break
        if text_N[at] < top:
            entry = table[text_N[at]]
            at = np.uint64(at + one)
        else:
            code, after = decode(text_N, np.int64(at), stop)
            at = np.uint64(after)
            entry = table[code] if code < table.size else beyond(code)
            if entry >> _KIND == np.uint32(IGNORED):
                continue
        kind = np.uint32(entry >> _KIND)
        if by_character or kind == np.uint32(UNSPACED) or kind < level:
            if by_character and kind >= level and open_word == 0 and size > 0:
                out_M[size], out_M[np.uint64(size + one)] = _BLANK, np.uint8(0)
                size = np.uint64(size + np.uint64(2))
            if not by_character and open_word:
                out_M[size] = np.uint8(0)
                size = np.uint64(size + one)
            open_word = np.uint64(by_character and kind >= level)
            if kind >= level:
                size = np.uint64(_encode(np.uint32(entry & _CODE), out_M, np.int64(size)))
                out_M[size] = np.uint8(0)
                size = np.uint64(size + one)
        else:
            size = np.uint64(_encode(np.uint32(entry & _CODE), out_M, np.int64(size)))
            open_word = one
    if open_word and not by_character:
        out_M[size] = np.uint8(0)
        size = np.uint64(size + one)
    for i in range(PADDING):
        out_M[np.uint64(size + np.uint64(i))] = np.uint8(0)
    return int(size)


@helper
def beyond(code: np.uint32) -> np.uint32:
    """Table entry of a code point after the table's end: ideographs of planes 2 and 3, else letters."""
    kind = np.uint32(UNSPACED) if code < np.uint32(0x40000) else np.uint32(LETTER)
    return np.uint32(np.uint32(kind << _KIND) | code)


@helper
def _tokens(text_M: U8, size: int, lane_a_T: U64, lane_b_T: U64) -> int:
    """Write two 64-bit hashes of each token of a normalised text; return how many tokens there are.

    Eight bytes are taken at a time: the first zero byte among them ends the token (Lamport's test for a zero byte).
    """
    count = np.uint64(0)
    at, end = np.uint64(0), np.uint64(size)
    while at < end:
        a, b = _SEED_A, _SEED_B
        ended = np.uint64(0)
        while ended == 0:
            block = np.uint64(0)
            for i in range(8):
                byte = np.uint64(text_M[np.uint64(at + np.uint64(i))])
                block = np.uint64(block | np.uint64(byte << np.uint64(8 * i)))
            ended = np.uint64(np.uint64(np.uint64(block - _EACH) & np.uint64(~block)) & _TOPS)
            step = np.uint64(8)
            if ended:
                first = np.uint64(ended & np.uint64(np.uint64(~ended) + np.uint64(1)))
                before = np.uint64(np.uint64(first >> np.uint64(7)) - np.uint64(1))
                block = np.uint64(block & before)
                step = np.uint64(
                    np.uint64(np.uint64(np.uint64(before & _EACH) * _EACH) >> np.uint64(56)) + np.uint64(1)
                )
            a = np.uint64(np.uint64(a ^ block) * _STEP_A)
            b = np.uint64(np.uint64(b ^ block) * _STEP_B)
            a = np.uint64(a ^ np.uint64(a >> np.uint64(32)))
            b = np.uint64(b ^ np.uint64(b >> np.uint64(29)))
            at = np.uint64(at + step)
        lane_a_T[count] = a
        lane_b_T[count] = b
        count = np.uint64(count + np.uint64(1))
    return int(count)


@kernel(
    reads(np.uint8),
    reads(np.int64),
    reads(np.uint32),
    np.int64,
    np.bool_,
    writes(np.uint8),
    writes(np.uint64),
    writes(np.uint64),
    writes(np.uint64),
    writes(np.int64),
    writes(np.uint64, 2),
)
def shingle(
    text_N: U8,
    offsets: I64,
    table: U32,
    width: int,
    by_character: bool,
    normal_M: U8,
    lane_a_T: U64,
    lane_b_T: U64,
    out_S: U64,
    bounds: I64,
    digest_D2: U64,
) -> None:
    """Hash every window of `width` tokens, and each document's normalised text as a whole.

    Document d gets out[bounds[d]:bounds[d + 1]], in the order of the text, repeats included: one hash for each window, or
    a single one of the whole text where it has fewer than `width` tokens (also when it has none).
    """
    plain_L128 = np.zeros((UNSPACED, 128), np.uint8)
    for level in range(1, UNSPACED):
        for byte in range(128):
            if table[byte] >> _KIND >= np.uint32(level):
                plain_L128[level, byte] = np.uint8(table[byte] & _CODE)
    at = 0
    bounds[0] = 0
    for d in range(offsets.size - 1):
        count = 0
        for level in (LETTER, SYMBOL, PUNCTUATION):
            if count == 0 or (count < SHORT and level == SYMBOL):
                size = normalise(
                    text_N,
                    offsets[d],
                    offsets[d + 1],
                    table,
                    plain_L128[level],
                    np.uint32(level),
                    by_character,
                    normal_M,
                )
                count = _tokens(normal_M, size, lane_a_T, lane_b_T)
        a, b = np.uint64(count), np.uint64(0)
        for t in range(count):
            place = np.uint64(np.uint64(t) * _STEP_S)
            a = np.uint64(a + mix64(np.uint64(lane_a_T[t] ^ place)))
            b = np.uint64(b + mix64(np.uint64(lane_b_T[t] ^ place)))
        digest_D2[d, 0], digest_D2[d, 1] = mix64(a), mix64(b)
        windows = max(count - width + 1, 1)
        out = out_S[at : at + windows]
        if count < width:
            out[0] = np.uint64(_WHOLE + np.uint64(count))
            for t in range(count):
                out[0] = np.uint64(np.uint64(out[0] * _STEP_S) + lane_a_T[t])
        else:
            for i in range(windows):
                out[i] = lane_a_T[i]
            for k in range(1, width):
                for i in range(windows):
                    out[i] = np.uint64(np.uint64(out[i] * _STEP_S) + lane_a_T[i + k])
        for i in range(windows):
            out[i] = min(mix64(out[i]), np.uint64(LAST - np.uint64(1)))
        at += windows
        bounds[d + 1] = at


@kernel(
    reads(np.uint64),
    reads(np.int64),
    reads(np.int64),
    writes(np.uint64),
    writes(np.uint64),
    writes(np.int64),
)
def distinct(hashes_S: U64, bounds: I64, chosen: I64, table: U64, out_S: U64, out_bounds: I64) -> None:
    """Sorted, distinct hashes of the chosen documents.

    Hashes are spread evenly, so a table with linear probing that keeps its entries in order sorts them in linear time. `table`
    has at least ``2 * n + n // 2 + 8`` places for the largest document of n hashes.
    """
    at = 0
    out_bounds[0] = 0
    for row in range(chosen.size):
        start, stop = bounds[chosen[row]], bounds[chosen[row] + 1]
        size = stop - start
        spread = np.uint64(size + size // 2 + 1)
        places = np.int64(spread) + size
        for i in range(places):
            table[i] = LAST
        for i in range(start, stop):
            value = hashes_S[i]
            place = np.int64(np.uint64(np.uint64(value >> np.uint64(32)) * spread) >> np.uint64(32))
            while table[place] < value:
                place += 1
            if table[place] == value:
                continue
            while value != LAST:
                table[place], value = value, table[place]
                place += 1
        for i in range(places):
            if table[i] != LAST:
                out_S[at] = table[i]
                at += 1
        out_bounds[row + 1] = at
