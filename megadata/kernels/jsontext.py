"""Text inside JSON: taken out of lines, and written into lines, without becoming anything else in between.

Letters: N bytes of lines or text, L lines, D documents, K bytes of a key.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I64, U8, Bool, helper, kernel, reads, writes
from megadata.kernels.blocks import BLOCK, NONE, between, eight, first_bits, lowest, put_eight
from megadata.kernels.text import copy, integer

NOWHERE = -1
"""A place that is none."""

_QUOTE, _BACKSLASH, _COLON, _COMMA = 34, 92, 58, 44
_OPEN, _CLOSE = 123, 125
_SPECIAL = 6  # most bytes of an escape


@helper
def _behind_blanks(lines: U8, at: int, end: int) -> int:
    """The first byte at or after `at` that is no white space of JSON."""
    while at < end and (lines[at] == 32 or lines[at] == 9 or lines[at] == 10 or lines[at] == 13):
        at += 1
    return at


@helper
def _find_key(lines: U8, at: int, end: int, key: U8) -> tuple[int, int]:
    """Where the value of the first such key begins, and 1; `end` and 0 without one, `end` and -1 where a backslash comes first.

    Without a backslash, quotes only begin and end strings: a string with a colon behind it is a key.
    """
    while at < end:
        found = np.uint64(between(lines, at, _QUOTE, _QUOTE) | between(lines, at, _BACKSLASH, _BACKSLASH))
        found = np.uint64(found & first_bits(end - at))
        while found != NONE:
            begin = at + lowest(found)
            found = np.uint64(found & np.uint64(found - np.uint64(1)))
            if lines[begin] == _BACKSLASH:
                return end, -1
            same = begin + key.size <= end
            k = 0
            while same and k < key.size:
                same = lines[begin + k] == key[k]
                k += 1
            if same:
                behind = _behind_blanks(lines, begin + key.size, end)
                if behind < end and lines[behind] == _COLON:
                    return _behind_blanks(lines, behind + 1, end), 1
        at += BLOCK
    return end, 0


@helper
def _hexadecimal(lines: U8, at: int, end: int) -> int:
    """The number that four hexadecimal digits write; -1 where there are no such four."""
    if at + 4 > end:
        return -1
    value: int = 0
    for k in range(4):
        byte: int = integer(lines[at + k])
        if 48 <= byte <= 57:
            digit = byte - 48
        elif 97 <= byte <= 102:
            digit = byte - 87
        elif 65 <= byte <= 70:
            digit = byte - 55
        else:
            return -1
        value = value * 16 + digit
    return value


@helper
def _put_character(out: U8, write: int, code: int) -> int:
    """Write a character as UTF-8; the byte behind it."""
    if code < 0x80:
        out[write] = np.uint8(code)
        return write + 1
    if code < 0x800:
        out[write] = np.uint8(0xC0 | code >> 6)
        out[write + 1] = np.uint8(0x80 | code & 0x3F)
        return write + 2
    if code < 0x10000:
        out[write] = np.uint8(0xE0 | code >> 12)
        out[write + 1] = np.uint8(0x80 | code >> 6 & 0x3F)
        out[write + 2] = np.uint8(0x80 | code & 0x3F)
        return write + 3
    out[write] = np.uint8(0xF0 | code >> 18)
    out[write + 1] = np.uint8(0x80 | code >> 12 & 0x3F)
    out[write + 2] = np.uint8(0x80 | code >> 6 & 0x3F)
    out[write + 3] = np.uint8(0x80 | code & 0x3F)
    return write + 4


@helper
def _unescape(lines: U8, at: int, end: int, out: U8, write: int) -> tuple[int, int]:
    """Write the character that the escape at `at` stands for; the bytes behind both, or NOWHERE for what is no escape."""
    byte: int = integer(lines[at + 1]) if at + 1 < end else 0
    code: int = -1
    if byte == 110:  # n
        code = 10
    elif byte in (_QUOTE, _BACKSLASH, 47):
        code = byte
    elif byte == 116:  # t
        code = 9
    elif byte == 114:  # r
        code = 13
    elif byte == 98:  # b
        code = 8
    elif byte == 102:  # f
        code = 12
    if code >= 0:
        out[write] = np.uint8(code)
        return at + 2, write + 1
    if byte != 117:  # u
        return NOWHERE, write
    code = _hexadecimal(lines, at + 2, end)
    at += 6
    if 0xD800 <= code < 0xDC00:
        low = -1
        if at + 1 < end and lines[at] == _BACKSLASH and lines[at + 1] == 117:
            low = _hexadecimal(lines, at + 2, end)
        if low < 0xDC00 or low > 0xDFFF:
            return NOWHERE, write
        code = 0x10000 + ((code - 0xD800) << 10) + low - 0xDC00
        at += 6
    elif code < 0 or 0xDC00 <= code < 0xE000:
        return NOWHERE, write
    return at, _put_character(out, write, code)


@helper
def _is_whole(lines: U8, at: int, end: int) -> bool:
    """Whether brackets that open at the first byte close at the last one and no sooner, in bytes without a backslash.

    White space may stand around them. With other lines of this kind and commas between, it makes an array of as many items if
    it makes one at all.
    """
    at = _behind_blanks(lines, at, end)
    depth: int = 0
    while at < end:
        byte = lines[at]
        at += 1
        if byte == _QUOTE:
            while at < end and lines[at] != _QUOTE:
                at += 1
            if at >= end:
                return False
            at += 1
        elif byte in (123, 91):  # { [
            depth += 1
        elif byte in (125, 93):  # } ]
            depth -= 1
        if depth <= 0:
            return depth == 0 and _behind_blanks(lines, at, end) == end
    return False


@kernel(
    reads(np.uint8),
    np.int64,
    reads(np.uint8),
    writes(np.int64),
    writes(np.uint8),
    writes(np.int64),
    writes(np.uint8),
    writes(np.bool_),
)
def take_texts(
    lines_N: U8,
    size: int,
    key_K: U8,
    starts_L1: I64,
    out_N: U8,
    out_offsets_L1: I64,
    rests_M: U8,
    taken_L: Bool,
) -> int:
    """Decode the string under one key of each line of JSON, and write what is left of the lines: an empty string in its place.

    Line l is lines[starts[l]:starts[l + 1]], with the line end; its text is out[out_offsets[l]:out_offsets[l + 1]]. `key_K`
    has its quotes. 64 more bytes must stand behind the lines (which end at `size`), and be free behind the last text. The rests
    of all lines that were taken stand in `rests_M` with a comma before each; it needs three bytes more for each line. Returns the
    bytes of the rests.

    A line is taken where its key occurs once, anywhere, no backslash stands outside the text, and its brackets are whole;
    others have an empty text. That the rests are JSON, that the key is not one of an object inside, and that the text is UTF-8,
    is for the caller to check.
    """
    write = 0
    rest: int = 0
    end: int = 0
    out_offsets_L1[0] = 0
    starts_L1[0] = 0
    for line in range(taken_L.size):
        begin = end
        end = _line_end(lines_N, begin, size)
        starts_L1[line + 1] = end
        taken_L[line] = False
        first = write
        before = rest
        at, known = _find_key(lines_N, begin, end, key_K)
        if known == 1 and at < end and lines_N[at] == _QUOTE:
            start = at
            at += 1
            while at < end:
                special = np.uint64(
                    between(lines_N, at, 0, 31)
                    | between(lines_N, at, _QUOTE, _QUOTE)
                    | between(lines_N, at, _BACKSLASH, _BACKSLASH)
                )
                for k in range(0, BLOCK, 8):
                    put_eight(out_N, write + k, eight(lines_N, at + k))
                plain = min(lowest(special), end - at)
                at += plain
                write += plain
                if special == NONE or at >= end:
                    continue
                if lines_N[at] != _BACKSLASH:
                    break
                at, write = _unescape(lines_N, at, end, out_N, write)
                if at == NOWHERE:
                    break
            if at != NOWHERE and at < end and lines_N[at] == _QUOTE:
                _, again = _find_key(lines_N, at + 1, end, key_K)
                if again == 0:
                    rests_M[rest] = _COMMA
                    rest = copy(lines_N, begin, start, rests_M, rest + 1)
                    rests_M[rest] = _QUOTE
                    rests_M[rest + 1] = _QUOTE
                    rest = copy(lines_N, at + 1, end, rests_M, rest + 2)
                    taken_L[line] = _is_whole(rests_M, before + 1, rest)
        if not taken_L[line]:
            write = first
            rest = before
        out_offsets_L1[line + 1] = write
    return rest


@helper
def _behind_key(rests: U8, at: int, end: int, key: U8) -> int:
    """Where the value begins of a member whose key stands at or after `at`; NOWHERE for another key."""
    at = _behind_blanks(rests, at, end)
    if at + key.size > end:
        return NOWHERE
    for k in range(key.size):
        if rests[at + k] != key[k]:
            return NOWHERE
    at = _behind_blanks(rests, at + key.size, end)
    if at >= end or rests[at] != _COLON:
        return NOWHERE
    behind: int = _behind_blanks(rests, at + 1, end)
    return behind


@helper
def _behind_byte(rests: U8, at: int, end: int, byte: int) -> int:
    """What follows a byte that stands at or after `at`; NOWHERE where another one stands there."""
    if at == NOWHERE:
        return NOWHERE
    at = _behind_blanks(rests, at, end)
    return at + 1 if at < end and rests[at] == byte else NOWHERE


@helper
def _behind_empty(rests: U8, at: int, end: int, key: U8) -> int:
    """What follows a member with this key and an empty string; NOWHERE for another member."""
    at = _behind_key(rests, at, end, key)
    at = _behind_byte(rests, at, end, _QUOTE)
    return at + 1 if at != NOWHERE and at < end and rests[at] == _QUOTE else NOWHERE


@helper
def _put_string(rests: U8, at: int, end: int, key: U8, out: U8, write: int) -> tuple[int, int]:
    """Write the string of a member with this key; what follows both, or NOWHERE for a member that has none, or an empty one."""
    at = _behind_key(rests, at, end, key)
    at = _behind_byte(rests, at, end, _QUOTE)
    if at == NOWHERE:
        return NOWHERE, write
    first = write
    while at < end and rests[at] >= 32 and rests[at] != _QUOTE:
        out[write] = rests[at]
        write += 1
        at += 1
    if write == first or at >= end or rests[at] != _QUOTE:
        return NOWHERE, first
    return at + 1, write


@kernel(
    reads(np.uint8),
    reads(np.uint8),
    reads(np.uint8),
    writes(np.uint8),
    writes(np.int64),
)
def take_ids(rests_M: U8, id_key_K: U8, text_key_K: U8, out_M: U8, out_offsets_L1: I64) -> int:
    """The ids of what `take_texts` left of lines, where each is an object of an id and an empty text, in either order.

    The keys have their quotes. Id l is out[out_offsets[l]:out_offsets[l + 1]]. Returns the number of lines up to the first one
    that is something else, or whose id is no string, or an empty one. That ids are UTF-8 is for the caller to check.
    """
    at, write = 0, 0
    end: int = rests_M.size
    out_offsets_L1[0] = 0
    for line in range(out_offsets_L1.size - 1):
        start = _behind_byte(rests_M, _behind_byte(rests_M, at, end, _COMMA), end, _OPEN)
        if start == NOWHERE:
            return line
        first = write
        at, write = _put_string(rests_M, start, end, id_key_K, out_M, first)
        if at != NOWHERE:
            at = _behind_byte(rests_M, at, end, _COMMA)
            at = _behind_empty(rests_M, at, end, text_key_K) if at != NOWHERE else NOWHERE
        else:
            at = _behind_byte(rests_M, _behind_empty(rests_M, start, end, text_key_K), end, _COMMA)
            if at != NOWHERE:
                at, write = _put_string(rests_M, at, end, id_key_K, out_M, first)
        at = _behind_byte(rests_M, at, end, _CLOSE)
        if at == NOWHERE:
            return line
        out_offsets_L1[line + 1] = write
    return out_offsets_L1.size - 1


@helper
def _line_end(lines: U8, at: int, size: int) -> int:
    """The byte behind the line that begins at `at`."""
    while at < size:
        found = np.uint64(between(lines, at, 10, 10) & first_bits(size - at))
        if found != NONE:
            end: int = at + lowest(found) + 1
            return end
        at += BLOCK
    return size


@helper
def _escape(text: U8, start: int, stop: int, out: U8, write: int) -> int:
    """Write text[start:stop] as JSON writes a string; the byte behind it, or NOWHERE where `out` may have no room for it."""
    at = start
    while at < stop:
        if at + BLOCK <= text.size and write + BLOCK <= out.size:
            special = np.uint64(
                between(text, at, 0, 31) | between(text, at, _QUOTE, _QUOTE) | between(text, at, _BACKSLASH, _BACKSLASH)
            )
            for k in range(0, BLOCK, 8):
                put_eight(out, write + k, eight(text, at + k))
            plain = min(lowest(special), stop - at)
            at += plain
            write += plain
            if special == NONE or at >= stop:
                continue
        if write + _SPECIAL > out.size:
            return NOWHERE
        byte: int = integer(text[at])
        at += 1
        if byte >= 32 and byte != _QUOTE and byte != _BACKSLASH:
            out[write] = np.uint8(byte)
            write += 1
            continue
        out[write] = _BACKSLASH
        short: int = 0
        if byte == 10:
            short = 110
        elif byte in (_QUOTE, _BACKSLASH):
            short = byte
        elif byte == 9:
            short = 116
        elif byte == 13:
            short = 114
        elif byte == 8:
            short = 98
        elif byte == 12:
            short = 102
        if short:
            out[write + 1] = np.uint8(short)
            write += 2
        else:
            out[write + 1] = 117
            out[write + 2] = 48
            out[write + 3] = 48
            out[write + 4] = np.uint8(48 + (byte >> 4))
            out[write + 5] = np.uint8(48 + (byte & 15) if byte & 15 < 10 else 87 + (byte & 15))
            write += _SPECIAL
    return write


@helper
def _put_all(part: bytes, out: U8, write: int) -> int:
    """Write some bytes; the byte behind them."""
    for k in range(len(part)):
        out[write + k] = part[k]
    return write + len(part)


@kernel(
    reads(np.uint8),
    reads(np.int64),
    reads(np.uint8),
    reads(np.int64),
    reads(np.uint8),
    reads(np.int64),
    writes(np.uint8),
    writes(np.int64),
)
def put_texts(
    ids_N: U8, id_offsets: I64, text_N: U8, offsets: I64, tails_N: U8, tail_offsets: I64, out_N: U8, out_offsets: I64
) -> int:
    """Write a line of JSON for each document: its id, its text, and a tail that is given as it stands, with the line's end.

    Returns the number of lines written: fewer than there are documents where `out_N` has no room.
    """
    write = 0
    out_offsets[0] = 0
    for d in range(offsets.size - 1):
        rest = tail_offsets[d + 1] - tail_offsets[d]
        if write + 8 > out_N.size:
            return d
        write = _escape(ids_N, id_offsets[d], id_offsets[d + 1], out_N, _put_all(b'{"id":"', out_N, write))
        if write == NOWHERE or write + 16 > out_N.size:
            return d
        write = _escape(text_N, offsets[d], offsets[d + 1], out_N, _put_all(b'","text":"', out_N, write))
        if write == NOWHERE or write + 1 + rest > out_N.size:
            return d
        out_N[write] = _QUOTE
        write += 1
        for k in range(rest):
            out_N[write + k] = tails_N[tail_offsets[d] + k]
        write += rest
        out_offsets[d + 1] = write
    return offsets.size - 1
