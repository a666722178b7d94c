"""Character classes for the kernels, taken from the standard library's `unicodedata`.

The Unicode version is Python's own (`UNICODE`); steps that use a table declare it among their libraries, so that a Python with
newer tables is a new identity and never a silent difference.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable
from typing import cast

import numpy as np

from megadata.corpus.tables import kept_tables
from megadata.kernels import text as kernels
from megadata.kernels.base import U8, U16

UNICODE = f"unicode {unicodedata.unidata_version}"
"""Name and version of the character data, as steps declare it."""

CODE_POINTS = 0x110000

ASSIGNED = (range(0x32400), range(0xE0000, 0xE0200))
"""Everything outside is unassigned or for private use: no letter, no space, no mark."""

LINE_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""Where `str.splitlines` cuts."""

JOINERS = "'\u2019.\u00b7\u2027"

SPACELESS = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3005, 0x3007), (0x3041, 0x309F), (0x3400, 0x4DBF),
             (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))  # fmt: skip
"""Thai and Lao, Burmese, Khmer, hiragana and Han: scripts that write no spaces between words."""

LATIN = ((0x41, 0x5A), (0x61, 0x7A))
"""The Latin letters without marks: Chuvash and Ossetic write some of the others among Cyrillic ones."""

ALIKE = ((0x400, 0x52F), (0x530, 0x58F), (0x1C80, 0x1C8F), (0x1D2B, 0x1D2B), (0x1D78, 0x1D78), (0x2DE0, 0x2DFF), (0xA640, 0xA69F),
         (0xFB13, 0xFB17), (0x1E030, 0x1E08F))  # fmt: skip
"""Blocks whose letters are Cyrillic or Armenian, many of which look Latin."""

PUNCTUATION = "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»" + "".join(
    map(chr, (*range(9), 11, 12, *range(13, 32), *range(127, 160)))
)
"""datatrove 0.10's PUNCTUATION: a word made only of these (and of `TERMINAL`) is a symbol there."""

TERMINAL = (
    "!.?։؞؟۔܀܁܂߹࠷࠹࠽࠾।॥၊။።፧፨᙮᜵᜶។៕៖៙៚᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᰻᰼᱾᱿‼‽⁇⁈⁉⸮⸼。꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？｡"
    "𐩖𐩗𑁇𑁈𑂾𑂿𑃀𑃁𑅁𑅂𑅃𑇅𑇆𑇍𑇞𑇟𑈸𑈹𑈻𑈼𑊩𑑋𑑌𑗂𑗃𑗉𑗊𑗋𑗌𑗍𑗎𑗏𑗐𑗑𑗒𑗓𑗔𑗕𑗖𑗗𑙁𑙂𑜼𑜽𑜾𑩂𑩃𑪛𑪜𑱁𑱂𖩮𖩯𖫵𖬷𖬸𖭄𛲟𝪈"
    "\u061d\u1b7d\u1b7e\u2e53\u2e54\U00010f55\U00010f56\U00010f57\U00010f58\U00010f59\U00010f86\U00010f87\U00010f88"
    "\U00010f89\U00011944\U00011946\U00011ef7\U00011ef8\U00011f43\U00011f44\U00016e98"
)
"""datatrove 0.10's TERMINAL_PUNCTUATION: end marks of sentences in all scripts."""


def code_points(characters: Iterable[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The code points of single characters, sorted, as kernels look them up."""
    return np.array(sorted({ord(c) for c in characters}), np.int64)


@functools.cache
def class_table() -> U16:
    """uint16[0x110000]: the class bits of `megadata.kernels.text` for every code point."""
    made_of = (__file__, str(kernels.__file__))
    (table,) = kept_tables("classes", made_of, (), lambda: (_make_class_table(),))
    return cast("U16", table)


def _make_class_table() -> U16:
    table = np.zeros(CODE_POINTS, np.uint16)
    for code in (c for part in ASSIGNED for c in part):
        character = chr(code)
        category = unicodedata.category(character)
        bits = 0
        if character.isspace():
            bits |= kernels.SPACE
        if character.isalpha():
            bits |= kernels.LETTER
        if character.isupper():
            bits |= kernels.UPPER
        if character.isalnum() or character == "_":
            bits |= kernels.REGEX_WORD
        if category == "Nd":
            bits |= kernels.DIGIT
        if category[0] == "M":
            bits |= kernels.MARK
        if category[0] in "LMN" or category == "Pc":
            bits |= kernels.WORD
        if bits:
            table[code] = bits
    for first, last in SPACELESS:
        block = table[first : last + 1]
        block[(block & kernels.LETTER) != 0] |= kernels.SOLO
    for blocks, bit in ((LATIN, kernels.LATIN), (ALIKE, kernels.ALIKE)):
        for first, last in blocks:
            block = table[first : last + 1]
            block[(block & kernels.LETTER) != 0] |= bit
    for characters, bit in (
        (JOINERS, kernels.JOIN),
        (",", kernels.COMMA),
        (LINE_BREAKS, kernels.BREAK),
        (PUNCTUATION + TERMINAL, kernels.PUNCTUATION),
    ):
        table[code_points(characters)] |= bit
    table.setflags(write=False)
    return table


def action_table(delete: Iterable[str] = (), space: Iterable[str] = (), newline: Iterable[str] = ()) -> U8:
    """uint8[0x110000] for `megadata.kernels.text.replace_characters`: what becomes of each character."""
    table = np.zeros(CODE_POINTS, np.uint8)
    for characters, action in (
        (delete, kernels.DELETE),
        (space, kernels.TO_SPACE),
        (newline, kernels.TO_NEWLINE),
    ):
        table[code_points(characters)] = action
    table.setflags(write=False)
    return table
