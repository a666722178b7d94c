"""Bounds on what a page of HTML costs a parser, from one pass over its bytes. Letter: B bytes of the page."""

from __future__ import annotations

from typing import Any

import numpy as np

from megadata.kernels.base import I64, U8, U64, kernel, reads, writes

LT, GT, SLASH = 60, 62, 47
LONGEST_NAME = 6
"""Bytes of the longest name of a formatting element (``strike``, ``strong``)."""

integer: Any = np.int64
"""Makes a signed number of an unsigned one; `Any` because a kernel's whole numbers are plain `int` to the type checker."""


def name_number(name: bytes) -> int:
    """A lower-case name of at most eight bytes as the kernel computes it."""
    return int.from_bytes(name, "big")


@kernel(reads(np.uint8), reads(np.uint64), writes(np.int64))
def weigh_markup(page_B: U8, formatting: U64, out: I64) -> None:
    """Fill `out` with the number of ``<``, the bytes of the longest run behind one up to the next ``<`` or ``>``, and a bound
    on the elements of formatting (`formatting`: their names as numbers) that a parser opens again.

    The bound is the sum over all ``<`` of the formatting elements open there: equal ones count as often as they are open.
    """
    opened = np.zeros(formatting.size, np.int64)
    active = tags = total = longest = 0
    size = page_B.size
    at = 0
    while at < size:
        if page_B[at] != LT:
            at += 1
            continue
        tags += 1
        start = at + 1
        at = start
        closes = at < size and page_B[at] == SLASH
        if closes:
            at += 1
        number = 0
        letters = 0
        while at < size:
            byte = integer(page_B[at])
            if 65 <= byte <= 90:
                byte += 32
            if not (97 <= byte <= 122 or 48 <= byte <= 57 or byte == 95):
                break
            if letters <= LONGEST_NAME:
                number = number * 256 + byte
            letters += 1
            at += 1
        if 0 < letters <= LONGEST_NAME:
            for which in range(formatting.size):
                if integer(formatting[which]) == number:
                    if not closes:
                        opened[which] += 1
                        active += 1
                    elif opened[which] > 0:
                        opened[which] -= 1
                        active -= 1
                    break
        total += active
        while at < size and page_B[at] != LT and page_B[at] != GT:
            at += 1
        longest = max(longest, at - start)
    out[0], out[1], out[2] = tags, longest, total
