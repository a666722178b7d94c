"""Ends of sentences. Letters: N bytes, D documents, E end marks."""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I64, U8, U16, helper, kernel, reads, writes
from megadata.kernels.lines import holds
from megadata.kernels.linescan import closes
from megadata.kernels.text import LETTER, SPACE, decode, integer


@helper
def step(ended: bool, code: int, bits: int, ends_E: I64) -> tuple[bool, bool]:
    """Whether a sentence ends before a character, and whether one may end behind it; `ended` is what was told of the one before.

    A sentence ends with a run of end marks, and the quotes and brackets that close behind it, before a blank or the end; in
    scripts without spaces between words, before any character. Thai and Lao write no end marks: there a blank behind a letter
    ends one. `bits` are the character's classes.
    """
    thai = 0x0E00 <= code < 0x0F00
    if bits & SPACE != 0:
        return ended, False
    if bits & LETTER != 0:
        return ended and code >= 0x2E80, thai
    if holds(ends_E, code):
        return False, True
    if closes(code) or (ended and thai):  # marks of Thai and Lao stay with their letter
        return False, ended
    return ended and code >= 0x2E80, False


@kernel(reads(np.uint8), reads(np.int64), reads(np.uint16), reads(np.int64), writes(np.int64))
def count_ends(text_N: U8, offsets: I64, classes: U16, ends_E: I64, out_D: I64) -> None:
    """The number of sentences that each document ends, as `step` tells."""
    for d in range(offsets.size - 1):
        count = 0
        ended = False
        at = offsets[d]
        while at < offsets[d + 1]:
            code, at = decode(text_N, at)
            over, ended = step(ended, code, integer(classes[code]), ends_E)
            count += over
        out_D[d] = count + ended
