"""What the scan of a page asks of its bytes: letters, names, ends of elements, and the counts of a block of text."""

from __future__ import annotations

from typing import Any

import numpy as np

from megadata.kernels.base import I32, U8, U64, helper
from megadata.kernels.blocks import BLOCK, between, lowest
from megadata.kernels.html import (
    BLOCK_COLUMNS,
    CAPITALS,
    CHARACTERS,
    CLAUSES,
    DIGITS,
    FIRST_PIECE,
    IDEOGRAPHS,
    LAST,
    LINKED,
    MARKS,
    NODE,
    PICTURED,
    WORDS,
)

LT, GT, SLASH, BANG, QUESTION, EQUALS, QUOTE, APOSTROPHE, AMPERSAND, SEMICOLON, DASH, HASH = (
    60, 62, 47, 33, 63, 61, 34, 39, 38, 59, 45, 35,
)  # fmt: skip

integer: Any = np.int64
"""Makes a signed number of an unsigned one; `Any` because a kernel's whole numbers are plain `int` to the type checker."""

FNV = np.uint64(0xCBF29CE484222325)
PRIME = np.uint64(0x100000001B3)


@helper
def is_space(byte: int) -> bool:
    """Whether a byte is one of HTML's white space."""
    return byte == 32 or (9 <= byte <= 13)


@helper
def lower(byte: int) -> int:
    """ASCII letters in lower case."""
    shifted: int = byte + 32 if 65 <= byte <= 90 else byte
    return shifted


@helper
def is_letter(byte: int) -> bool:
    """Whether a byte is an ASCII letter."""
    return 97 <= (byte | 32) <= 122


@helper
def find(page_B: U8, at: int, end: int, word: U8) -> int:
    """Where `word` (lower case) begins in [at, end), spaces in between and case apart; -1 where it does not."""
    for i in range(at, end - word.size + 1):
        if lower(page_B[i]) != word[0]:
            continue
        j, k = i, 0
        while j < end and k < word.size:
            byte = lower(page_B[j])
            if byte == word[k]:
                k += 1
            elif not is_space(byte):
                break
            j += 1
        if k == word.size:
            return i
    return -1


@helper
def seek(page_B: U8, at: int, byte: int) -> int:
    """The next place, from `at` on, of a byte of this value, or the end of the page."""
    while at + BLOCK <= page_B.size:
        mask = between(page_B, at, byte, byte)
        if mask:
            found: int = at + lowest(mask)
            return found
        at += BLOCK
    while at < page_B.size and page_B[at] != byte:
        at += 1
    return at


@helper
def begins(page_B: U8, at: int, end: int, word: U8) -> bool:
    """Whether [at, end) begins with `word` (lower case), in any case."""
    same = end - at >= word.size
    for k in range(word.size):
        same = same and lower(page_B[at + k]) == word[k]
    return same


@helper
def after_tag(page_B: U8, at: int) -> int:
    """The byte after the next ``>``, or the end of the page."""
    closes: int = seek(page_B, at, GT)
    return min(closes + 1, page_B.size)


@helper
def raw_end(page_B: U8, at: int, name_at: int, name_end: int) -> int:
    """Where the end tag of an element with raw content begins; -1 where there is none."""
    size = name_end - name_at
    i: int = seek(page_B, at, LT)
    while i < page_B.size - size - 1:
        if page_B[i + 1] == SLASH:
            k = 0
            while k < size and lower(page_B[i + 2 + k]) == lower(page_B[name_at + k]):
                k += 1
            if k == size:
                return i
        i = seek(page_B, i + 1, LT)
    return -1


@helper
def lookup(key: np.uint64, keys_T: U64) -> int:
    """Slot of a tag in the table; -1 where it is not there."""
    slot: int = integer(key) & (keys_T.size - 1)
    while keys_T[slot] != 0:
        if keys_T[slot] == key:
            return slot
        slot = (slot + 1) % keys_T.size
    return -1


@helper
def begin_block(blocks: I32, at: int, node: int, piece: int, pictured: bool) -> None:
    """Start a block with counts of zero."""
    for column in range(BLOCK_COLUMNS):
        blocks[at, column] = 0
    blocks[at, NODE] = node
    blocks[at, FIRST_PIECE] = piece
    blocks[at, PICTURED] = pictured


@helper
def count(page_B: U8, at: int, end: int, row: I32, linked: bool) -> None:
    """Add the text in [at, end) to the counts of a block."""
    i = at
    word = False
    while i < end:
        byte = integer(page_B[i])
        if is_space(byte):
            word = False
            i += 1
            continue
        size = 1
        if byte == AMPERSAND:
            j = i + 1
            while j < min(end, i + 12) and page_B[j] != SEMICOLON and not is_space(page_B[j]):
                j += 1
            if j < end and page_B[j] == SEMICOLON:
                size = j + 1 - i
                if size == 6 and (
                    (page_B[i + 1] == 110 and page_B[i + 2] == 98)
                    or (page_B[i + 1] == HASH and page_B[i + 2] == 49 and page_B[i + 3] == 54)
                ):
                    word = False  # &nbsp; or &#160;
                    i += size
                    continue
            byte = 97
        elif byte >= 0x80:
            size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            second = integer(page_B[i + 1]) if i + 1 < end else 0
            third = integer(page_B[i + 2]) if i + 2 < end and size > 2 else 0
            if byte == 0xC2 and second == 0xA0:
                word = False
                i += 2
                continue
            if byte == 0xE3 and second == 0x80 and third == 0x80:
                word = False
                i += 3
                continue
            if (byte == 0xE3 and second == 0x80 and (third == 0x81 or third == 0x82)) or (
                byte == 0xEF and second == 0xBC and (third in (0x8C, 0x81, 0x9F, 0x9B, 0x9A, 0x8E))
            ):
                row[CLAUSES] += 1
                row[LAST] = 46 if third != 0x8C and third != 0x81 else 44
                row[CHARACTERS] += 1
                row[LINKED] += linked
                word = False
                i += 3
                continue
            if (byte == 0xD8 and (second == 0x8C or second == 0x9F)) or (
                byte == 0xE0 and second == 0xA5 and third == 0xA4
            ):
                row[CLAUSES] += 1
                row[LAST] = 46
            elif 0xE3 <= byte <= 0xE9 or (byte == 0xEA and second < 0xB0):
                row[IDEOGRAPHS] += 1
                row[LAST] = 97
            elif byte == 0xC2 and (second == 0xBB or second == 0xAB or second == 0xB7 or second == 0xA9):
                row[MARKS] += 1
                row[LAST] = 124
            elif byte == 0xE2 and second == 0x80 and (third == 0x9D or third == 0x99 or third == 0x9C):
                pass  # a closing quotation mark: what stands before it ends the sentence
            elif byte == 0xE2 and second == 0x80 and third == 0xA6:
                row[LAST] = 95
            else:
                row[LAST] = 97
            byte = 97
        elif byte == 44 or byte == 46 or byte == 59 or byte == 58 or byte == 33 or byte == 63:
            if i + 1 >= end or page_B[i + 1] < 48 or page_B[i + 1] > 57:
                row[CLAUSES] += 1
            row[LAST] = byte
        elif 48 <= byte <= 57:
            row[DIGITS] += 1
            row[LAST] = byte
        elif byte == 124 or byte == 62:
            row[MARKS] += 1
            row[LAST] = 124
        elif byte == 34 or byte == 39 or byte == 41 or byte == 93:
            pass
        else:
            if 65 <= byte <= 90:
                row[CAPITALS] += 1
            row[LAST] = byte
        row[CHARACTERS] += 1
        row[LINKED] += linked
        if not word:
            row[WORDS] += 1
            word = True
        i += size
