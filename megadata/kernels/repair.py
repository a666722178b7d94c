"""Which lines a text fixer could change, and the copy with changed lines put in.

Letters: N bytes, D documents, R lines found, C code points, K character classes.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I64, U8, U32, Bool, helper, kernel, reads, writes
from megadata.kernels.text import copy, decode, integer

CHANGES = 1  # a character or pair of characters that only the fixer itself can judge
QUOTE = 2  # a curly quotation mark
RETURN = 4  # a carriage return
MAYBE = 8  # perhaps not in normal form C
ENTITY = 16  # in a table: "&"; of a line: an HTML entity
LESS = 32  # "<"
VISIBLE = 64  # \w of Python's regular expressions, which some pairs need behind them
LITERAL = 128  # of a line: an earlier line of the document holds "<", so entities stay

NEVER, ALWAYS, BEFORE_WORD = 0, 1, 2  # values of the pair matrix
CLASS_SHIFT, ORDER_SHIFT = 8, 16  # of the character table
LONG_LINE = 1_000_000  # bytes; a fixer may cut longer lines at places of its own


@helper
def is_entity(text: U8, at: int, end: int) -> bool:
    """Whether ``&#?[0-9A-Za-z]{1,24};`` matches at the "&" at byte `at`."""
    i = at + 1
    if i < end and text[i] == 35:
        i += 1
    start = i
    while i < end and i - start <= 24:
        byte = text[i]
        if byte == 59:
            return i > start
        if not (48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122):
            return False
        i += 1
    return False


@kernel(
    reads(np.uint8),
    reads(np.int64),
    reads(np.uint32),
    reads(np.uint8, 2),
    reads(np.uint8),
    writes(np.int64),
    writes(np.int64),
    writes(np.int64),
    writes(np.int64),
)
def find_lines(
    text_N: U8,
    offsets: I64,
    marks_C: U32,
    pairs_KK: U8,
    quiet: U8,
    document_R: I64,
    start_R: I64,
    stop_R: I64,
    how_R: I64,
) -> int:
    r"""Find the lines (with their "\n") that could change: document, first byte, byte behind, and the sum of the reasons.

    `marks_C` holds for every code point the bits above, its class (times 2**8) and its canonical combining class (times 2**16);
    `pairs_KK` which classes may not stand side by side; `quiet` (uint8[256]) is 1 for bytes that need no look.
    Returns the number of lines found, which may be more than the outputs hold: then only the first are filled in.
    """
    found = 0
    for d in range(offsets.size - 1):
        at = offsets[d]
        end = offsets[d + 1]
        start = at
        how = 0
        literal = 0
        while at < end:
            while at < end and quiet[text_N[at]] == 1:
                at += 1
            newline = False
            if at < end:
                code, after = decode(text_N, at)
                mark = integer(marks_C[code])
                how |= mark & (CHANGES | QUOTE | RETURN | MAYBE | LESS)
                if code < 0x80:
                    newline = code == 10
                    if mark & ENTITY != 0 and is_entity(text_N, at, end):
                        how |= ENTITY
                else:
                    kind = (mark >> CLASS_SHIFT) & 255
                    order = mark >> ORDER_SHIFT
                    if at > start and (kind != 0 or order != 0):
                        back = at - 1
                        while text_N[back] & 0xC0 == 0x80:
                            back -= 1
                        before_code, _ = decode(text_N, back)
                        before = integer(marks_C[before_code])
                        if order != 0 and (before >> ORDER_SHIFT) > order:
                            how |= MAYBE
                        pair = pairs_KK[(before >> CLASS_SHIFT) & 255, kind]
                        if pair == ALWAYS:
                            how |= CHANGES
                        elif pair == BEFORE_WORD and after < end:
                            next_code, _ = decode(text_N, after)
                            if integer(marks_C[next_code]) & VISIBLE != 0:
                                how |= CHANGES
                    if kind != 0 and after < end and text_N[after] < 0x80:
                        behind = (integer(marks_C[text_N[after]]) >> CLASS_SHIFT) & 255
                        if pairs_KK[kind, behind] != NEVER:
                            how |= CHANGES
                    elif kind != 0 and after < end:
                        next_code, _ = decode(text_N, after)
                        behind = (integer(marks_C[next_code]) >> CLASS_SHIFT) & 255
                        if behind == 0 and pairs_KK[kind, 0] != NEVER:
                            how |= CHANGES
                at = after
            if newline or at >= end:
                if how & ENTITY != 0 and (literal != 0 or (how & LESS != 0 and at - start < LONG_LINE)):
                    how &= ~ENTITY
                if how & ~LESS != 0:
                    if found < start_R.size:
                        document_R[found] = d
                        start_R[found] = start
                        stop_R[found] = at
                        how_R[found] = (how & ~LESS) | literal
                    found += 1
                if how & LESS != 0:
                    literal = LITERAL
                how = 0
                start = at
    return found


@kernel(
    reads(np.uint8),
    reads(np.int64),
    reads(np.int64),
    reads(np.int64),
    reads(np.bool_),
    reads(np.uint8),
    reads(np.int64),
    np.bool_,
    writes(np.uint8),
    writes(np.int64),
)
def splice_lines(
    text_N: U8,
    offsets: I64,
    start_R: I64,
    stop_R: I64,
    simple_R: Bool,
    patch: U8,
    patch_offsets: I64,
    straighten: bool,
    out_N: U8,
    out_offsets: I64,
) -> None:
    r"""Copy documents with the lines start_R:stop_R exchanged, in order.

    A simple line gets its carriage returns made "\n" and, if asked, its curly quotes straightened; any other is replaced by its
    patch.
    """
    write = 0
    r = 0
    out_offsets[0] = 0
    for d in range(offsets.size - 1):
        at = offsets[d]
        end = offsets[d + 1]
        while at < end:
            stop = end
            if r < start_R.size and start_R[r] < end:
                stop = start_R[r]
            write = copy(text_N, at, stop, out_N, write)
            at = stop
            if stop == end:
                break
            if not simple_R[r]:
                for i in range(patch_offsets[r], patch_offsets[r + 1]):
                    out_N[write] = patch[i]
                    write += 1
            else:
                while at < stop_R[r]:
                    byte = text_N[at]
                    if byte == 13:
                        if at + 1 < end and text_N[at + 1] == 10:
                            at += 1
                        out_N[write] = 10
                        write += 1
                        at += 1
                    elif straighten and byte == 0xCA and text_N[at + 1] == 0xBC:
                        out_N[write] = 39
                        write += 1
                        at += 2
                    elif straighten and byte == 0xE2 and text_N[at + 1] == 0x80 and 0x98 <= text_N[at + 2] <= 0x9F:
                        out_N[write] = 39 if text_N[at + 2] < 0x9C else 34
                        write += 1
                        at += 3
                    else:
                        out_N[write] = byte
                        write += 1
                        at += 1
            at = stop_R[r]
            r += 1
        out_offsets[d + 1] = write
