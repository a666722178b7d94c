r"""Which code points are letters, numbers and white space to the split patterns: as `tokenizers` sees them.

Its regular expressions have Unicode tables of their own, of another version than Python's. So it is asked itself: text of all
code points is cut at the borders of classes, and of each piece one character is looked up in each class.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

import numpy as np
from tokenizers import Regex, pre_tokenizers

from megadata.kernels import pretokens as kernels
from megadata.kernels.base import U8, cache_root
from megadata.runtime.files import atomic_write

CODES = 0x110000
_ASKED = (*range(0x40000), *range(0xE0000, 0xE1000))
"""Code points of planes 0 to 3 and of the tags; all other planes are unassigned or private."""

_GROUPS: dict[str, int] = {
    r"[\p{Lu}\p{Lt}]": kernels.LETTER | kernels.UPPER,
    r"\p{Ll}": kernels.LETTER | kernels.LOWER,
    r"[\p{Lm}\p{Lo}]": kernels.LETTER | kernels.UPPER | kernels.LOWER,
    r"\p{M}": kernels.OTHER | kernels.UPPER | kernels.LOWER,
    r"\p{N}": kernels.NUMBER,
    r"\s": kernels.SPACE,
}


def ask_tokenizers() -> U8:
    """uint8[0x110000]: class bits of every code point, as the regular expressions of `tokenizers` have them."""
    classes = np.full(CODES, kernels.OTHER, np.uint8)
    text = "".join(chr(code) for code in _ASKED if not 0xD800 <= code < 0xE000)
    cut = pre_tokenizers.Split(Regex("|".join(f"{group}+" for group in _GROUPS)), "isolated")
    pieces = [piece for piece, _ in cut.pre_tokenize_str(text)]
    first = "".join(piece[0] for piece in pieces)
    codes = np.frombuffer("".join(pieces).encode("utf-32-le"), np.uint32)
    sizes = np.array([len(piece) for piece in pieces])
    for group, bits in _GROUPS.items():
        within = np.ones(len(pieces), np.bool_)
        for _, (start, stop) in pre_tokenizers.Split(Regex(group), "removed").pre_tokenize_str(first):
            within[start:stop] = False
        classes[codes[np.repeat(within, sizes)]] = bits
    return classes


@cache
def classes() -> U8:
    """The same, kept in the cache folder for each version of `tokenizers`."""
    path = cache_root() / f"classes-{version('tokenizers')}.npy"
    try:
        kept: U8 = np.load(path)
        if kept.shape == (CODES,) and kept.dtype == np.uint8:
            return kept
    except (OSError, ValueError, EOFError):
        pass
    made = ask_tokenizers()
    with atomic_write(path, sync=False) as file:
        np.save(file, made)
    return made
