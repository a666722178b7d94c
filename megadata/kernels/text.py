"""Characters of flat UTF-8: decoding, the class bits of a character table, and the map that replaces single characters.

Text is valid UTF-8 and documents begin and end at characters. A character table gives, for every code point, the sum of the
class bits below; `megadata.corpus.characters` builds it. Letters: N bytes of text, D documents, C code points (0x110000).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from megadata.kernels.base import I64, U8, helper, kernel, reads, writes

SPACE = 1  # whitespace, as str.split sees it
LETTER = 2  # str.isalpha
DIGIT = 4  # a decimal digit of any script
WORD = 8  # letters, marks, numbers and connectors: what the `unicode` cutting joins into words
SOLO = 16  # letters of scripts written without spaces: a word each in the `unicode` cutting
MARK = 32  # combining marks, which stay with the character before them
JOIN = 64  # apostrophes, full stop, middle dot: inside a word when a word character stands on both sides
COMMA = 128  # inside a number when digits stand on both sides
PUNCTUATION = 256  # the punctuation and control characters of datatrove's PUNCTUATION_SET
BREAK = 512  # where str.splitlines cuts
UPPER = 1024  # str.isupper
REGEX_WORD = 2048  # \w of Python's regular expressions
LATIN = 4096  # the letters A to Z
ALIKE = 8192  # letters of scripts with many that look Latin: Cyrillic and Armenian

KEEP, DELETE, TO_SPACE, TO_NEWLINE = 0, 1, 2, 3  # actions of `replace_characters`
NEWLINE_BYTE = 10
RETURN_BYTE = 13
TAB_BYTE = 9
SPACE_BYTE = 32


integer: Any = np.int64
"""Makes a signed number of an unsigned one; `Any` because a kernel's whole numbers are plain `int` to the type checker."""


@helper
def copy(source_N: U8, start: int, stop: int, out_N: U8, at: int) -> int:
    """Copy bytes [start, stop) to `at`; the byte after them. Assigning slices would bring Python's objects into a kernel."""
    for i in range(stop - start):
        out_N[at + i] = source_N[start + i]
    return at + stop - start


@helper
def decode(text: U8, at: int) -> tuple[int, int]:
    """Code point of the character at byte `at`, and the byte after it."""
    lead: int = integer(text[at])
    if lead < 0x80:
        return lead, at + 1
    second: int = integer(text[at + 1]) & 0x3F
    if lead < 0xE0:
        return ((lead & 0x1F) << 6) | second, at + 2
    third: int = integer(text[at + 2]) & 0x3F
    if lead < 0xF0:
        return ((lead & 0x0F) << 12) | (second << 6) | third, at + 3
    fourth: int = integer(text[at + 3]) & 0x3F
    return ((lead & 0x07) << 18) | (second << 12) | (third << 6) | fourth, at + 4


@kernel(
    reads(np.uint8),
    reads(np.int64),
    reads(np.uint8),
    np.bool_,
    np.int64,
    np.bool_,
    writes(np.uint8),
    writes(np.int64),
)
def replace_characters(
    text_N: U8, offsets: I64, actions_C: U8, trim: bool, newlines: int, strip: bool, out_N: U8, out_offsets: I64
) -> None:
    """Copy documents with characters kept, deleted or turned into a space or a newline, as `actions_C` says.

    `trim` drops spaces and tabs before a newline and at the end of a document; at most `newlines` newlines stay in a row
    (0: any number); `strip` drops spaces, tabs and newlines at both ends of a document. The copy is never longer.
    """
    write = 0
    out_offsets[0] = 0
    for d in range(offsets.size - 1):
        begin = write
        run = 0  # newlines at the end of what is written, blanks that `trim` may still take back left out
        at = offsets[d]
        while at < offsets[d + 1]:
            code, after = decode(text_N, at)
            action = integer(actions_C[code])
            if action == TO_SPACE:
                code = SPACE_BYTE
            elif action == TO_NEWLINE:
                if code == RETURN_BYTE and after < offsets[d + 1] and text_N[after] == NEWLINE_BYTE:
                    action = DELETE  # the newline behind it stands for both
                code = NEWLINE_BYTE
            blank = code in (SPACE_BYTE, TAB_BYTE)
            if action == DELETE or (strip and write == begin and (blank or code == NEWLINE_BYTE)):
                pass
            elif code == NEWLINE_BYTE:
                while trim and write > begin and (out_N[write - 1] == SPACE_BYTE or out_N[write - 1] == TAB_BYTE):
                    write -= 1
                if newlines == 0 or run < newlines:
                    out_N[write] = NEWLINE_BYTE
                    write += 1
                    run += 1
            elif blank:
                out_N[write] = np.uint8(code)
                write += 1
                if not trim:
                    run = 0
            else:
                for i in range(at, after):
                    out_N[write] = text_N[i]
                    write += 1
                run = 0
            at = after
        while (trim or strip) and write > begin:
            last = out_N[write - 1]
            if not (last in (SPACE_BYTE, TAB_BYTE) or (strip and last == NEWLINE_BYTE)):
                break
            write -= 1
        out_offsets[d + 1] = write
