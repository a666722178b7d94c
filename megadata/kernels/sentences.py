"""Ends of sentences. Letters: N bytes, D documents, E end marks."""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I64, U8, U16, kernel, reads, writes
from megadata.kernels.lines import holds
from megadata.kernels.text import LETTER, SPACE, decode, integer


@kernel(reads(np.uint8), reads(np.int64), reads(np.uint16), reads(np.int64), writes(np.int64))
def count_ends(text_N: U8, offsets: I64, classes: U16, ends_E: I64, out_D: I64) -> None:
    """The number of sentences that each document ends.

    A sentence ends with a run of end marks, and the quotes and brackets that close behind it, before a blank or the end; in
    scripts without spaces between words, before any character. Thai and Lao write no end marks: there a blank behind a letter
    ends one.
    """
    for d in range(offsets.size - 1):
        count = 0
        ended = False
        at = offsets[d]
        end = offsets[d + 1]
        while at < end:
            code, at = decode(text_N, at)
            bits: int = integer(classes[code])
            if bits & SPACE != 0:
                count += ended
                ended = False
            elif bits & LETTER != 0:
                count += ended and code >= 0x2E80
                ended = 0x0E00 <= code < 0x0F00
            elif holds(ends_E, code):
                ended = True
            elif (
                code != 34
                and code != 39
                and code != 41
                and code != 93
                and code != 0x2019
                and code != 0x201D
                and code != 0xBB
                and not (ended and 0x0E00 <= code < 0x0F00)  # marks of Thai and Lao
            ):
                count += ended and code >= 0x2E80
                ended = False
        out_D[d] = count + ended
