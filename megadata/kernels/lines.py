"""Lines and paragraphs: how they are cut, what they begin and end with, and which repeat.

Letters: N bytes, D documents, B bullets, E end marks, L endings.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I64, U8, U16, helper, kernel, reads, writes
from megadata.kernels.blocks import BLOCK, NONE, ONE, between, count, first_bits, lowest
from megadata.kernels.repetition import EMPTY, find_slot, table_size
from megadata.kernels.text import BREAK, SPACE, decode, integer
from megadata.kernels.words import MULTIPLIER, hash_bytes

NEWLINE, NEWLINE_RUNS, PARAGRAPHS, SPLITLINES, PAIRS = 0, 1, 2, 3, 4  # how lines are cut, see `next_line`
MIXED, AS_IS, STRIPPED = 0, 1, 2  # where a line begins and ends, see `count_lines`

LINES, BULLETED, ELLIPTIC, ENDED, SHORT = 0, 1, 2, 3, 4
LATER, LATER_CHARACTERS, REPEATED, REPEATED_CHARACTERS, LINE_CHARACTERS = 5, 6, 7, 8, 9
COUNTS = 10  # columns of `count_lines`


@helper
def next_break(text: U8, at: int, end: int, cutting: int) -> int:
    """The first byte at or after `at` at which a line may end, `end` when there is none."""
    while at < end and at + BLOCK + 2 <= text.size:
        found = between(text, at, 10, 10)
        if cutting == SPLITLINES:
            found = np.uint64(between(text, at, 10, 13) | between(text, at, 28, 30))
            found = np.uint64(found | np.uint64(between(text, at, 0xC2, 0xC2) & between(text, at + 1, 0x85, 0x85)))
            found = np.uint64(found | np.uint64(between(text, at, 0xE2, 0xE2) & between(text, at + 2, 0xA8, 0xA9)))
        found = np.uint64(found & first_bits(end - at))
        if found != NONE:
            first: int = at + lowest(found)
            return first
        at += BLOCK
    while at < end:
        byte = text[at]
        if byte == 10 or (cutting == SPLITLINES and (byte < 32 or byte in (0xC2, 0xE2))):
            return at
        at += 1
    return end


@helper
def next_line(text: U8, at: int, end: int, classes: U16, cutting: int) -> tuple[int, int]:
    r"""The end of the line that begins at `at`, and where the next one begins: -1 after the last.

    NEWLINE cuts as str.split("\n"), NEWLINE_RUNS as re.split("\n+"), PARAGRAPHS as re.split("\n{2,}"), PAIRS as
    str.split("\n\n"), SPLITLINES as str.splitlines (which knows no empty last line: the caller stops when the next line would
    begin at `end`).
    """
    while True:
        at = next_break(text, at, end, cutting)
        if at >= end:
            return end, -1
        if text[at] == 10:
            after = at + 1
            if cutting in (NEWLINE_RUNS, PARAGRAPHS):
                while after < end and text[after] == 10:
                    after += 1
            elif cutting == PAIRS and after < end and text[after] == 10:
                after += 1
            if (cutting != PARAGRAPHS and cutting != PAIRS) or after - at > 1:
                return at, after
        else:  # SPLITLINES
            code, after = decode(text, at)
            if integer(classes[code]) & BREAK != 0:
                if code == 13 and after < end and text[after] == 10:
                    after += 1
                return at, after
        at = after


@helper
def characters_in(text: U8, start: int, stop: int) -> int:
    """Characters of text[start:stop]."""
    found: int = 0
    while start < stop and start + BLOCK <= text.size:
        found += count(np.uint64(~between(text, start, 0x80, 0xBF) & first_bits(stop - start)))
        start += BLOCK
    for i in range(start, stop):
        found += (text[i] & 0xC0) != 0x80
    return found


@helper
def ascii_of(sorted_codes: I64) -> tuple[np.uint64, np.uint64]:
    """The code points below 64, and those from 64 to 127, of a sorted array as bits."""
    low = NONE
    high = NONE
    for code in sorted_codes:
        if code < 64:
            low = np.uint64(low | np.uint64(ONE << np.uint64(code)))
        elif code < 128:
            high = np.uint64(high | np.uint64(ONE << np.uint64(code - 64)))
    return low, high


@helper
def holds_code(sorted_codes: I64, bits: tuple[np.uint64, np.uint64], code: int) -> bool:
    """Whether `code` is in a sorted array; `bits` are its `ascii_of`."""
    found: bool
    if code < 128:
        half = bits[0] if code < 64 else bits[1]
        found = np.uint64(half >> np.uint64(code & 63)) & ONE != NONE
    else:
        found = holds(sorted_codes, code)
    return found


@helper
def holds(sorted_codes: I64, code: int) -> bool:
    """Whether `code` is in a sorted array."""
    low = 0
    high = sorted_codes.size
    while low < high:
        middle = (low + high) >> 1
        if sorted_codes[middle] < code:
            low = middle + 1
        else:
            high = middle
    found: bool = low < sorted_codes.size and sorted_codes[low] == code
    return found


@helper
def code_before(text: U8, at: int) -> int:
    """Code point of the character that ends before byte `at`."""
    code: int
    back = at - 1
    while text[back] & 0xC0 == 0x80:
        back -= 1
    code, _ = decode(text, back)
    return code


@helper
def stripped(text: U8, start: int, stop: int, classes: U16) -> tuple[int, int]:
    """text[start:stop] without the whitespace at both ends."""
    while start < stop:
        code, after = decode(text, start)
        if integer(classes[code]) & SPACE == 0:
            break
        start = after
    while start < stop:
        back = stop - 1
        while text[back] & 0xC0 == 0x80:
            back -= 1
        code, _ = decode(text, back)
        if integer(classes[code]) & SPACE == 0:
            break
        stop = back
    return start, stop


@helper
def ends_with(text: U8, start: int, stop: int, endings: U8, ending_offsets: I64) -> bool:
    """Whether text[start:stop] ends with one of the endings; letters of ASCII are compared in lower case."""
    for e in range(ending_offsets.size - 1):
        size = ending_offsets[e + 1] - ending_offsets[e]
        if size > stop - start:
            continue
        same = True
        for k in range(size):
            byte: int = integer(text[stop - size + k])
            if (byte + 32 if 65 <= byte <= 90 else byte) != endings[ending_offsets[e] + k]:
                same = False
                break
        if same:
            return True
    return False


@kernel(
    reads(np.uint8),
    reads(np.int64),
    reads(np.uint16),
    np.int64,
    np.bool_,
    np.int64,
    np.int64,
    reads(np.int64),
    reads(np.int64),
    reads(np.uint8),
    reads(np.int64),
    np.bool_,
    writes(np.int64, 2),
)
def count_lines(
    text_N: U8,
    offsets: I64,
    classes: U16,
    cutting: int,
    visible: bool,
    edges: int,
    short: int,
    bullets_B: I64,
    ends_E: I64,
    endings: U8,
    endings_L: I64,
    repeats: bool,
    out_DQ: I64,
) -> None:
    """Fill row d of `out_DQ` (int64[D, COUNTS]) with counts over the lines of document d; the columns are the constants above.

    `visible` leaves out lines of whitespace only. A line is bulleted by its first character, elliptic by one of the `endings` (in
    lower case, at offsets `endings_L`) as its last ones, ended by its last character, short with at most `short` characters. What
    is first and last depends on `edges`: of the line as it is, of the line without white space around it, or (MIXED) of the
    line as it is for `ends_E` only. LATER counts second and later occurrences of a line, REPEATED all occurrences of lines that
    occur twice; both stay 0 unless `repeats` asks for them. PARAGRAPHS strips the document.
    """
    keys = np.zeros(table_size(64), np.uint64)
    again = np.empty(keys.size, np.bool_)  # whether a line has been met twice
    bullet_bits = ascii_of(bullets_B)
    end_bits = ascii_of(ends_E)
    for d in range(offsets.size - 1):
        for q in range(COUNTS):
            out_DQ[d, q] = 0
        begin = offsets[d]
        end = offsets[d + 1]
        if cutting == PARAGRAPHS:
            begin, end = stripped(text_N, begin, end, classes)
        mask = 15
        keys[: mask + 1] = EMPTY
        used = 0
        following = begin if cutting != SPLITLINES or begin < end else -1
        while following >= 0:
            start = following
            stop, following = next_line(text_N, start, end, classes, cutting)
            if cutting == SPLITLINES and following == end:
                following = -1
            visible_start, visible_stop = stripped(text_N, start, stop, classes)
            opening = -1
            first = -1
            last_visible = -1
            last = -1
            if visible_start < visible_stop:
                first, _ = decode(text_N, visible_start)
                last_visible = code_before(text_N, visible_stop)
            elif visible:
                continue
            if start < stop:
                opening, _ = decode(text_N, start)
                last = code_before(text_N, stop)
            characters = characters_in(text_N, start, stop)
            out_DQ[d, LINES] += 1
            out_DQ[d, LINE_CHARACTERS] += characters
            out_DQ[d, SHORT] += characters <= short
            bullet = opening if edges == AS_IS else first
            if bullet >= 0 and holds_code(bullets_B, bullet_bits, bullet):
                out_DQ[d, BULLETED] += 1
            if ends_with(text_N, start, stop if edges == AS_IS else visible_stop, endings, endings_L):
                out_DQ[d, ELLIPTIC] += 1
            final = last_visible if edges == STRIPPED else last
            if final >= 0 and holds_code(ends_E, end_bits, final):
                out_DQ[d, ENDED] += 1
            if not repeats:
                continue
            value = hash_bytes(text_N, start, stop)
            if value == EMPTY:
                value = MULTIPLIER
            slot = find_slot(value, keys, mask)
            if keys[slot] == value:
                out_DQ[d, LATER] += 1
                out_DQ[d, LATER_CHARACTERS] += characters
                times = 1 if again[slot] else 2
                out_DQ[d, REPEATED] += times
                out_DQ[d, REPEATED_CHARACTERS] += times * characters
                again[slot] = True
                continue
            keys[slot] = value
            again[slot] = False
            used += 1
            if 2 * used > mask:
                old_keys = keys[: mask + 1].copy()
                old_again = again[: mask + 1].copy()
                mask = 4 * mask + 3
                if keys.size <= mask:
                    keys = np.empty(mask + 1, np.uint64)
                    again = np.empty(mask + 1, np.bool_)
                keys[: mask + 1] = EMPTY
                for s in range(old_keys.size):
                    if old_keys[s] != EMPTY:
                        slot = find_slot(old_keys[s], keys, mask)
                        keys[slot] = old_keys[s]
                        again[slot] = old_again[s]
