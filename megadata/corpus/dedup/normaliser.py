"""What counts as the same text: the table of character classes and foldings behind every comparison.

Version 1 folds each code point by itself: to its compatibility form where that is one code point (full-width letters become
plain ones), then to lower case by Unicode's case folding. Letters, marks and digits make words; punctuation, spaces and
controls part them; symbols part them too, except in texts too short to be told apart otherwise. Characters of scripts written
without spaces are each a token. Soft hyphens, joiners and variation selectors are passed over.

The table is a file of the package, not computed from the running Python's `unicodedata`, whose version differs between Python
releases: the same text has the same normal form everywhere. `build` is how the file was made, from Unicode 14.
"""

from __future__ import annotations

import unicodedata
import zlib
from functools import cache
from pathlib import Path

import numpy as np

from megadata.kernels.base import U32
from megadata.kernels.shingles import IGNORED, LETTER, PUNCTUATION, SPACE, SYMBOL, UNSPACED

VERSION = 1
"""Raised whenever any text would be normalised differently; part of every identity and index header."""

UNICODE = "14.0.0"
"""Version of the character database behind the shipped table."""

TABLE_SIZE = 0x20000
"""Code points in the table (planes 0 and 1); the kernel knows what lies beyond."""

_FILE = Path(__file__).with_name("normaliser.v1.z")

_SYMBOLIC_PUNCTUATION = frozenset("#%&*@\\/_")
"""Punctuation by category that carries meaning in short texts."""

UNSPACED_BLOCKS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x312F),  # Hiragana, Katakana, Bopomofo
    (0x31A0, 0x31FF),  # extensions of these
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA980, 0xA9DF),  # Javanese
    (0xA9E0, 0xA9FF),  # Myanmar extended B
    (0xAA60, 0xAADF),  # Myanmar extended A, Tai Viet
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9D),  # half-width Katakana
    (0x16FE0, 0x18DFF),  # Tangut, Khitan, Nushu marks
    (0x1AFF0, 0x1B2FF),  # Kana supplements, Nushu
)
"""Scripts written without spaces between words, as ranges of code points, ends included."""


def _folded(character: str) -> str:
    wide = unicodedata.normalize("NFKC", character)
    if len(wide) != 1:
        wide = character
    folded = wide.casefold()
    return folded if len(folded) == 1 else wide.lower()[0]


def _kind(character: str) -> int:
    code = ord(character)
    category = unicodedata.category(character)
    if category == "Cf" or 0xFE00 <= code <= 0xFE0F or 0x180B <= code <= 0x180F:
        return IGNORED
    if category[0] in "ZC" and category not in ("Cn", "Co"):
        return SPACE
    if category[0] == "S" or character in _SYMBOLIC_PUNCTUATION:
        return SYMBOL
    if category[0] == "P":
        return PUNCTUATION
    return UNSPACED if any(first <= code <= last for first, last in UNSPACED_BLOCKS) else LETTER


def build() -> U32:
    """The table by the running Python's Unicode data: folded code point in the low bits, class from bit 24."""
    entries = np.zeros(TABLE_SIZE, np.uint32)
    for code in range(TABLE_SIZE):
        character = chr(code)
        surrogate = 0xD800 <= code <= 0xDFFF
        folded = code if surrogate else ord(_folded(character))
        entries[code] = folded | _kind(character) << 24
    return entries


def pack(table: U32) -> bytes:
    """Bytes of the shipped file: zlib over the differences of neighbouring little-endian entries."""
    return zlib.compress(np.diff(table, prepend=np.uint32(0)).astype("<u4").tobytes(), 9)


@cache
def table() -> U32:
    """The shipped table, uint32[TABLE_SIZE], read-only."""
    steps = np.frombuffer(zlib.decompress(_FILE.read_bytes()), "<u4")
    entries = np.cumsum(steps, dtype=np.uint32)
    entries.setflags(write=False)
    return entries
