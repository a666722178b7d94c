"""What the class, id and role of an element say, by the words in them.

Letters: B bytes of the page, N nodes, T slots of a table of words.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I32, I64, U8, U64, helper, kernel, reads, writes
from megadata.kernels.html import CLASS_AT, ROLE_AT
from megadata.kernels.htmlbytes import FNV, PRIME, integer, lookup

LONGEST_NAME = 200
"""Bytes of a class, id or role that are looked at."""
COMPOUND = 6
"""Letters of the shortest word that is looked for inside a longer one."""
CR, LF = 13, 10
CASE = 32
TWEET, TWITTER_VIDEO, INSTAGRAM, FACEBOOK = (
    np.frombuffer(name, np.uint8) for name in (b"twitter-tweet", b"twitter-video", b"instagram-media", b"fb-post")
)
"""Posts that a page quotes: their class names would say that they are for sharing."""


@helper
def is_capital(byte: int) -> bool:
    """Whether a byte is one of A to Z."""
    return 65 <= byte <= 90


@helper
def is_small(byte: int) -> bool:
    """Whether a byte is one of a to z."""
    return 97 <= byte <= 122


@helper
def stands_at(page_B: U8, at: int, end: int, word: U8) -> bool:
    """Whether a word stands at a place."""
    if at + word.size > end:
        return False
    k = 0
    while k < word.size and page_B[at + k] == word[k]:
        k += 1
    return k == word.size


@helper
def is_quoted(page_B: U8, at: int, end: int) -> bool:
    """Whether the value [at, end) names a post that the page quotes."""
    for i in range(at, end - 6):
        byte = integer(page_B[i])
        if byte == 116 and (stands_at(page_B, i, end, TWEET) or stands_at(page_B, i, end, TWITTER_VIDEO)):
            return True
        if byte == 105 and stands_at(page_B, i, end, INSTAGRAM):
            return True
        if byte == 102 and stands_at(page_B, i, end, FACEBOOK):
            return True
    return False


@helper
def bits_within(page_B: U8, at: int, end: int, longest: int, keys_T: U64, bits_T: I64) -> int:
    """Bits of the words inside a word that is none itself: from the left, of those that begin at a letter the longest."""
    found = 0
    while at + COMPOUND <= end:
        key = FNV
        known = -1
        after = at + 1
        for i in range(at, min(at + longest, end)):
            key = (key ^ np.uint64(integer(page_B[i]) | CASE)) * PRIME
            if i + 1 - at >= COMPOUND:
                slot = lookup(key, keys_T)
                if slot >= 0:
                    known, after = slot, i + 1
        if known >= 0:
            found |= integer(bits_T[known])
        at = after
    return found


@helper
def bits_of_value(page_B: U8, at: int, end: int, longest: int, keys_T: U64, bits_T: I64) -> int:
    """Bits of the words of the value [at, end): runs of small letters with at most one capital before, or runs of capitals."""
    if is_quoted(page_B, at, end):
        return 0
    stop, counted = at, 0
    while stop < end and counted < LONGEST_NAME:
        if not (page_B[stop] == CR and stop + 1 < end and page_B[stop + 1] == LF):
            counted += 1
        stop += 1
    found = 0
    while at < stop:
        first = integer(page_B[at])
        if not (is_capital(first) or is_small(first)):
            at += 1
            continue
        small = is_small(first) or (at + 1 < stop and is_small(integer(page_B[at + 1])))
        begin = at
        key = (FNV ^ np.uint64(first | CASE)) * PRIME
        at += 1
        while at < stop:
            byte = integer(page_B[at])
            if not (is_small(byte) if small else is_capital(byte)):
                break
            key = (key ^ np.uint64(byte | CASE)) * PRIME
            at += 1
        slot = lookup(key, keys_T)
        if slot >= 0:
            found |= integer(bits_T[slot])
        elif at - begin > COMPOUND:
            found |= bits_within(page_B, begin, at, longest, keys_T, bits_T)
    return found


@kernel(reads(np.uint8), reads(np.int32, 2), np.int64, reads(np.uint64), reads(np.int64), writes(np.int64))
def read_names(page_B: U8, nodes: I32, longest: int, keys_T: U64, bits_T: I64, own_N: I64) -> None:
    """Add to `own_N` the bits of the class, id and role of each node.

    `keys_T` and `bits_T` are a table of words by hash, with free slots that are 0; the longest has `longest` letters.
    """
    for n in range(nodes.shape[0]):
        for column in range(CLASS_AT, ROLE_AT + 1, 2):
            at, end = integer(nodes[n, column]), integer(nodes[n, column + 1])
            if at < end:
                own_N[n] |= bits_of_value(page_B, at, end, longest, keys_T, bits_T)
