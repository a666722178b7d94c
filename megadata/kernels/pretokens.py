"""Pre-tokens: where the split patterns of byte-level BPE cut text, and how often each piece occurs.

Letters: N bytes of text, D documents, C code points (0x110000), F fields of all slots of a table, K different pieces, B bytes of
them, R records.

The scanners do by hand what the regular expressions of `megadata.tokenize.patterns` do; a table gives each code point the sum of
the class bits below (`megadata.tokenize.classes` builds it). Text is valid UTF-8, documents begin and end at characters.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I64, U8, U64, helper, kernel, reads, writes
from megadata.kernels.blocks import BLOCK, ONE, between, eight, lowest, up_to_eight
from megadata.kernels.text import copy, decode, integer
from megadata.kernels.words import hash_bytes

SPACE = 1  # \s
LETTER = 2  # \p{L}
NUMBER = 4  # \p{N}
UPPER = 8  # Lu, Lt, Lm, Lo, M: what begins a word of o200k
LOWER = 16  # Ll, Lm, Lo, M: what ends one
OTHER = 32  # none of the first three; combining marks are

# patterns; BLANKS cuts at space, tab and line ends, which belong to no piece
GPT2, CL100K, QWEN, O200K, BLANKS = 0, 1, 2, 3, 4

# fields of a slot, all 0 in a free one: hash of a piece, where its bytes begin, how many, how often it occurred
HASH, START, SIZE, TOTAL = 0, 1, 2, 3
FIELDS = 4

PIECES, ARENA, DOCUMENT, AT, ROOM = 0, 1, 2, 3, 4  # places in the state of `count_pieces`
STATES = 5

_QUOTE, _SLASH = 39, 47
_S, _T, _M, _D, _R, _E, _V, _L = (ord(letter) for letter in "stmdrevl")


@helper
def _class(text_N: U8, at: int, classes_C: U8) -> tuple[int, int]:
    """Class bits of the character at byte `at`, and the byte after it."""
    code: int = integer(text_N[at])
    after = at + 1
    if code >= 0x80:
        code, after = decode(text_N, at)
    return integer(classes_C[code]), after


@helper
def _letters(text_N: U8, at: int, end: int, bits: int) -> int:
    """End of the run of letters of ASCII (of small ones for LOWER) from `at` on; not all of it where the text ends soon."""
    while at + BLOCK <= text_N.size:
        found = np.uint64(between(text_N, at, 97, 122))
        if bits == LETTER:
            found = np.uint64(found | between(text_N, at, 65, 90))
        run = lowest(~found)
        if run < BLOCK:
            result: int = min(at + run, end)
            return result
        at += BLOCK
    return min(at, end)


@helper
def _run(text_N: U8, at: int, end: int, classes_C: U8, bits: int) -> int:
    """End of the run of characters, from `at` on, that have one of the class bits."""
    if bits in (LETTER, LOWER):
        at = _letters(text_N, at, end, bits)
    while at < end:
        found, after = _class(text_N, at, classes_C)
        if found & bits == 0:
            break
        at = after
    return at


@helper
def _contraction(text_N: U8, at: int, end: int, fold: bool) -> int:
    """End of 's, 't, 're, 've, 'm, 'll or 'd at byte `at`; 0 where there is none. With `fold` in either case; U+017F is an s."""
    if at + 1 >= end or text_N[at] != _QUOTE:
        return 0
    case = 0x20 if fold else 0
    first: int = integer(text_N[at + 1]) | case
    if first in (_S, _T, _M, _D):
        return at + 2
    if at + 2 >= end:
        return 0
    second: int = integer(text_N[at + 2]) | case
    if (second == _E and first in (_R, _V)) or (second == _L and first == _L):
        return at + 3
    return at + 3 if fold and text_N[at + 1] == 0xC5 and text_N[at + 2] == 0xBF else 0


@helper
def _numbers(text_N: U8, at: int, end: int, classes_C: U8, most: int) -> int:
    """End of at most so many numbers."""
    for _ in range(most):
        if at >= end:
            break
        found, after = _class(text_N, at, classes_C)
        if found & NUMBER == 0:
            break
        at = after
    return at


@helper
def _spaces(text_N: U8, at: int, end: int, classes_C: U8, by_line: bool) -> int:
    r"""End of the piece that begins with white space: ``\s+(?!\S)|\s+``, with `by_line` after ``\s*[\r\n]+``."""
    start = at
    last = at
    line = 0
    while at < end:
        found, after = _class(text_N, at, classes_C)
        if found & SPACE == 0:
            break
        last = at
        if text_N[at] in (10, 13):
            line = after
        at = after
    if by_line and line > 0:
        return line
    return at if at == end or last == start else last


@helper
def _marks(text_N: U8, at: int, end: int, classes_C: U8, slash: bool) -> int:
    r"""End of `` ?[^\s\p{L}\p{N}]+[\r\n]*`` (with `slash` ``[\r\n/]*``) at byte `at`; 0 where there is none."""
    start = at + 1 if text_N[at] == 32 else at
    stop = _run(text_N, start, end, classes_C, OTHER)
    if stop == start:
        return 0
    while stop < end and (text_N[stop] in (10, 13) or (slash and text_N[stop] == _SLASH)):
        stop += 1
    result: int = stop
    return result


@helper
def _next_gpt2(text_N: U8, at: int, end: int, classes_C: U8) -> int:
    """End of GPT-2's pre-token at byte `at`."""
    stop: int = _contraction(text_N, at, end, False)
    if stop > 0:
        return stop
    found, after = _class(text_N, at, classes_C)
    if text_N[at] == 32 and after < end:
        ahead, beyond = _class(text_N, after, classes_C)
        if ahead & SPACE == 0:
            found, after = ahead, beyond
    if found & SPACE == 0:
        stop = _run(text_N, after, end, classes_C, found & (LETTER | NUMBER | OTHER))
        return stop
    stop = _spaces(text_N, at, end, classes_C, False)
    return stop


@helper
def _next_cl100k(text_N: U8, at: int, end: int, classes_C: U8, digits: int) -> int:
    """End of the pre-token of cl100k at byte `at`; Qwen's has one digit for three."""
    stop: int = _contraction(text_N, at, end, True)
    if stop > 0:
        return stop
    found, after = _class(text_N, at, classes_C)
    if found & LETTER != 0:
        stop = _run(text_N, after, end, classes_C, LETTER)
        return stop
    if found & NUMBER != 0:
        stop = _numbers(text_N, at, end, classes_C, digits)
        return stop
    if after < end and text_N[at] not in (10, 13):
        ahead, beyond = _class(text_N, after, classes_C)
        if ahead & LETTER != 0:
            stop = _run(text_N, beyond, end, classes_C, LETTER)
            return stop
    stop = _marks(text_N, at, end, classes_C, False)
    return stop if stop > 0 else _spaces(text_N, at, end, classes_C, True)


@helper
def _cased(text_N: U8, at: int, end: int, classes_C: U8) -> int:
    """End of upper-case letters, as many as may be, that at least one lower-case letter follows; 0 where there are none.

    Marks and letters without case are both.
    """
    last = -1
    while at < end:
        found, after = _class(text_N, at, classes_C)
        if found & LOWER != 0:
            last = at
        if found & UPPER == 0:
            break
        at = after
    return _run(text_N, last, end, classes_C, LOWER) if last >= 0 else 0


@helper
def _capitals(text_N: U8, at: int, end: int, classes_C: U8) -> int:
    """End of at least one upper-case letter and any lower-case ones; 0 where there are none."""
    stop: int = _run(text_N, at, end, classes_C, UPPER)
    return _run(text_N, stop, end, classes_C, LOWER) if stop > at else 0


@helper
def _next_o200k(text_N: U8, at: int, end: int, classes_C: U8) -> int:
    """End of the pre-token of o200k at byte `at`."""
    found, after = _class(text_N, at, classes_C)
    led = found & (LETTER | NUMBER) == 0 and text_N[at] not in (10, 13) and after < end
    stop: int = 0
    if led:
        stop = _cased(text_N, after, end, classes_C)
    if stop == 0:
        stop = _cased(text_N, at, end, classes_C)
    if stop == 0 and led:
        stop = _capitals(text_N, after, end, classes_C)
    if stop == 0:
        stop = _capitals(text_N, at, end, classes_C)
    if stop > 0:
        stop = max(stop, _contraction(text_N, stop, end, True))
        return stop
    if found & NUMBER != 0:
        stop = _numbers(text_N, at, end, classes_C, 3)
        return stop
    stop = _marks(text_N, at, end, classes_C, True)
    return stop if stop > 0 else _spaces(text_N, at, end, classes_C, True)


@helper
def _next(text_N: U8, at: int, end: int, classes_C: U8, pattern: int) -> int:
    """End of the piece at byte `at`."""
    stop: int = at
    if pattern == GPT2:
        stop = _next_gpt2(text_N, at, end, classes_C)
    elif pattern in (CL100K, QWEN):
        stop = _next_cl100k(text_N, at, end, classes_C, 3 if pattern == CL100K else 1)
    elif pattern == O200K:
        stop = _next_o200k(text_N, at, end, classes_C)
    else:
        while stop < end and text_N[stop] not in (32, 9, 10, 13):
            stop += 1
    return stop


@helper
def same_bytes(one_N: U8, at: int, other_B: U8, place: int, size: int) -> bool:
    """Whether one[at:at + size] and other[place:place + size] hold the same; `size` is 1 or more."""
    while size > 8:
        if eight(one_N, at) != eight(other_B, place):
            return False
        at, place, size = at + 8, place + 8, size - 8
    return bool(up_to_eight(one_N, at, size) == up_to_eight(other_B, place, size))


@kernel(
    reads(np.uint8), reads(np.int64), reads(np.uint8), np.int64, writes(np.uint64), writes(np.uint8), writes(np.int64)
)
def count_pieces(text_N: U8, offsets: I64, classes_C: U8, pattern: int, table_F: U64, arena_B: U8, state: I64) -> int:
    """Count the pieces of documents in a table; 1 when all are counted, 0 when the table has no room for the next one.

    state[DOCUMENT] and state[AT] (an offset in `text`, or -1 for the beginning of the document) say where to begin, and where to
    go on after 0; state[ROOM] is then how many bytes the piece has that found no room. At most half of the slots are taken. Of
    pieces of up to eight bytes the hash tells all; the bytes of longer ones are compared.
    """
    mask = table_F.size // FIELDS - 1
    pieces: int = state[PIECES]
    filled: int = state[ARENA]
    for d in range(state[DOCUMENT], offsets.size - 1):
        at: int = offsets[d]
        end: int = offsets[d + 1]
        if state[AT] >= 0:
            at = state[AT]
            state[AT] = -1
        while at < end:
            stop: int = _next(text_N, at, end, classes_C, pattern)
            if pattern == BLANKS and stop == at:
                at += 1
                continue
            size = stop - at
            value: np.uint64 = max(hash_bytes(text_N, at, stop), ONE)
            slot: int = FIELDS * (integer(value) & mask)
            while True:
                if table_F[slot] == value and integer(table_F[slot + SIZE]) == size:
                    if size <= 8 or same_bytes(text_N, at, arena_B, integer(table_F[slot + START]), size):
                        table_F[slot + TOTAL] += ONE
                        break
                elif table_F[slot] == 0:
                    if 2 * pieces > mask or filled + size > arena_B.size:
                        state[PIECES], state[ARENA], state[DOCUMENT], state[AT], state[ROOM] = (
                            pieces,
                            filled,
                            d,
                            at,
                            size,
                        )
                        return 0
                    table_F[slot] = value
                    table_F[slot + START] = np.uint64(filled)
                    table_F[slot + SIZE] = np.uint64(size)
                    table_F[slot + TOTAL] = ONE
                    filled = copy(text_N, at, stop, arena_B, filled)
                    pieces += 1
                    break
                slot = (slot + FIELDS) & (FIELDS * mask + FIELDS - 1)
            at = stop
    state[PIECES], state[ARENA], state[DOCUMENT], state[AT] = pieces, filled, offsets.size - 1, -1
    return 1


@kernel(reads(np.uint64), writes(np.uint64))
def move_pieces(table_F: U64, larger_F: U64) -> None:
    """Put the pieces of a table into a larger one, which is empty."""
    mask = larger_F.size // FIELDS - 1
    for old in range(0, table_F.size, FIELDS):
        if table_F[old] != 0:
            slot: int = FIELDS * (integer(table_F[old]) & mask)
            while larger_F[slot] != 0:
                slot = (slot + FIELDS) & (FIELDS * mask + FIELDS - 1)
            for field in range(FIELDS):
                larger_F[slot + field] = table_F[old + field]


@kernel(reads(np.uint64), reads(np.int64), reads(np.uint8), reads(np.int64), writes(np.int64), writes(np.int64))
def sum_equal(keys_R: U64, counts_R: I64, data_B: U8, bounds: I64, firsts_R: I64, totals_R: I64) -> int:
    """Of records in order of their keys, which hash their bytes: the first of each different one, and the sum of their counts.

    How many there are. Equal keys alone make no records equal: bytes are compared.
    """
    found = 0
    group = 0  # first of those found that have the key of the record
    for r in range(keys_R.size):
        if r > 0 and keys_R[r] != keys_R[r - 1]:
            group = found
        size: int = bounds[r + 1] - bounds[r]
        at = group
        while at < found:
            first = firsts_R[at]
            if bounds[first + 1] - bounds[first] == size and (
                size == 0 or same_bytes(data_B, bounds[r], data_B, bounds[first], size)
            ):
                break
            at += 1
        if at == found:
            firsts_R[at] = r
            totals_R[at] = 0
            found += 1
        totals_R[at] += counts_R[r]
    return found


@kernel(reads(np.uint8), reads(np.int64), reads(np.uint8), np.int64, writes(np.int64))
def cut_pieces(text_N: U8, offsets: I64, classes_C: U8, pattern: int, ends_N: I64) -> int:
    """Write the end of every piece of every document; how many there are."""
    count = 0
    for d in range(offsets.size - 1):
        at: int = offsets[d]
        while at < offsets[d + 1]:
            stop: int = _next(text_N, at, offsets[d + 1], classes_C, pattern)
            if stop > at:
                ends_N[count] = stop
                count += 1
            at = max(stop, at + 1)
    return count
