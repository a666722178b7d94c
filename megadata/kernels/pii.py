"""Places where personal data could be, to be looked at more closely. Letters: N bytes, C candidates."""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I64, U8, helper, kernel, reads, writes
from megadata.kernels.text import integer

AT, NUMBER, COLON, ACCOUNT, SECRET = 0, 1, 2, 3, 4
"""An @ (or "(at)") between characters of addresses; seven digits or three dots of a number; colons as in IPv6; two capitals and
two digits as in an IBAN; one of the prefixes of secrets."""
LEAST_DIGITS = 7
LONGEST_NUMBER = 256
SEPARATORS = 3  # in a row, inside a number


@helper
def is_digit(byte: int) -> bool:
    """0 to 9."""
    return 48 <= byte <= 57


@helper
def is_letter(byte: int) -> bool:
    """a to z and A to Z."""
    return 97 <= (byte | 32) <= 122


@helper
def is_hex(byte: int) -> bool:
    """A hexadecimal digit."""
    return 48 <= byte <= 57 or 97 <= (byte | 32) <= 102


@helper
def wide_separator(text: U8, at: int, end: int) -> int:
    """Bytes of the no-break space, hyphen or dash at `at`; 0 if there is none."""
    if at + 1 < end and text[at] == 0xC2 and text[at + 1] == 0xA0:
        return 2
    if at + 2 < end and text[at] == 0xE2 and text[at + 1] == 0x80 and 0x90 <= text[at + 2] <= 0x93:
        return 3
    return 0


@helper
def is_spelt_at(text: U8, at: int, end: int) -> bool:
    """Whether "(at)" or "[at]" begins at `at`, in either case, with or without spaces inside."""
    i = at + 1
    if i < end and text[i] == 32:
        i += 1
    if i + 2 >= end or text[i] | 32 != 97 or text[i + 1] | 32 != 116:
        return False
    i += 2
    if text[i] == 32 and i + 1 < end:
        i += 1
    closing: int = integer(text[i])
    return closing in (41, 93)


@helper
def number_end(text: U8, start: int, end: int) -> tuple[int, int, int]:
    """Where a number that begins at `start` ends, its digits, and its dots."""
    digits: int = 0
    dots: int = 0
    gap: int = 0
    stop = start
    at = start
    last = min(end, start + LONGEST_NUMBER)
    while at < last:
        byte: int = integer(text[at])
        if is_digit(byte):
            digits += 1
            gap = 0
            at += 1
            stop = at
            continue
        wide = wide_separator(text, at, last)
        gap += 1
        dots += byte == 46
        if gap > SEPARATORS or (wide == 0 and byte not in (32, 40, 41, 43, 45, 46, 47)):  # " ()+-./"
            break
        at += max(wide, 1)
    return stop, digits, dots


@kernel(
    reads(np.uint8),
    reads(np.int64),
    reads(np.uint8),
    reads(np.int64),
    writes(np.int64),
    writes(np.int64),
    writes(np.int64),
    writes(np.int64),
)
def find_candidates(
    text_N: U8, offsets: I64, prefixes: U8, prefix_offsets: I64, document_C: I64, place_C: I64, stop_C: I64, kind_C: I64
) -> int:
    """Write document, first byte, byte behind it and kind of each candidate, in order.

    Returns how many there are, those for which there is no room included.
    """
    firsts = np.zeros(256, np.bool_)
    for p in range(prefix_offsets.size - 1):
        firsts[prefixes[prefix_offsets[p]]] = True
    found: int = 0
    for d in range(offsets.size - 1):
        begin = offsets[d]
        end = offsets[d + 1]
        at = begin
        while at < end:
            byte: int = integer(text_N[at])
            before: int = integer(text_N[at - 1]) if at > begin else 32
            after: int = integer(text_N[at + 1]) if at + 1 < end else 32
            kind: int = -1
            following = at + 1
            if byte == 64:
                spaced = before == 32 and after == 32
                if spaced or (before > 32 and (is_letter(after) or is_digit(after) or after >= 0x80)):
                    kind = AT
            elif (byte == 40 or byte == 91) and is_spelt_at(text_N, at, end):  # "(" and "["
                kind = AT
            elif is_digit(byte) or byte == 43 or byte == 40:  # "+" and "("
                if not (is_digit(before) or is_letter(before) or before == 95):
                    stop, digits, dots = number_end(text_N, at, end)
                    if digits >= LEAST_DIGITS or (dots >= 3 and digits >= 4):
                        kind = NUMBER
                        following = stop
            elif byte == 58:
                if is_hex(before) and (is_hex(after) or after == 58):
                    kind = COLON
            elif (
                (
                    65 <= byte <= 90
                    and 65 <= after <= 90
                    and at + 3 < end
                    and not (is_letter(before) or is_digit(before))
                )
                and is_digit(integer(text_N[at + 2]))
                and is_digit(integer(text_N[at + 3]))
            ):
                kind = ACCOUNT
            if kind < 0 and firsts[byte] and not (is_letter(before) or is_digit(before)):
                for p in range(prefix_offsets.size - 1):
                    size = prefix_offsets[p + 1] - prefix_offsets[p]
                    if at + size > end:
                        continue
                    same = True
                    for k in range(size):
                        if text_N[at + k] != prefixes[prefix_offsets[p] + k]:
                            same = False
                            break
                    if same:
                        kind = SECRET
                        break
            if kind >= 0:
                if found < place_C.size:
                    document_C[found] = d
                    place_C[found] = at
                    stop_C[found] = following
                    kind_C[found] = kind
                found += 1
            at = following
    return found
