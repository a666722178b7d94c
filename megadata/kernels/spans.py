"""Where lines, paragraphs and sentences begin. Letters: N bytes, D documents, S spans of all documents, E end marks.

Spans follow one another without gaps: a blank line belongs to the span before it, and so do the blanks between two sentences.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I64, U8, U16, kernel, reads, writes
from megadata.kernels.sentences import step
from megadata.kernels.text import SPACE, decode, integer

_NEWLINE = np.uint8(10)


@kernel(reads(np.uint8), reads(np.int64), np.bool_, writes(np.int64), writes(np.int64))
def line_starts(text_N: U8, offsets: I64, by_paragraph: bool, out_S: I64, bounds: I64) -> None:
    """Write where every line begins, or every paragraph: lines up to the last of a run of blank ones.

    Document d has out[bounds[d]:bounds[d + 1]]; one of no bytes has none.
    """
    count = 0
    bounds[0] = 0
    for d in range(offsets.size - 1):
        at, end = offsets[d], offsets[d + 1]
        open_span = False  # whether a span has begun that the next line belongs to
        text_before = False  # whether the line under way has anything but blanks
        blank_before = False  # whether the span under way has had a blank line behind its text
        start = at
        while at < end:
            byte = text_N[at]
            at += 1
            if byte == _NEWLINE or at == end:
                if byte > 32:
                    text_before = True
                if not by_paragraph or not open_span or (text_before and blank_before):
                    out_S[count] = start
                    count += 1
                    blank_before = False
                    open_span = True
                if not text_before:
                    blank_before = True
                start, text_before = at, False
            elif byte > 32:
                text_before = True
        bounds[d + 1] = count


@kernel(reads(np.uint8), reads(np.int64), reads(np.uint16), reads(np.int64), writes(np.int64), writes(np.int64))
def sentence_starts(text_N: U8, offsets: I64, classes: U16, ends_E: I64, out_S: I64, bounds: I64) -> None:
    """Write where every sentence begins; sentences end as `sentences.step` tells, and at the ends of lines.

    Document d has out[bounds[d]:bounds[d + 1]]; one of no bytes has none.
    """
    count = 0
    bounds[0] = 0
    for d in range(offsets.size - 1):
        at, end = offsets[d], offsets[d + 1]
        ended = False  # behind an end mark
        parted = True  # behind the blanks that follow one, or at the beginning
        while at < end:
            start = at
            code, at = decode(text_N, at)
            bits: int = integer(classes[code])
            over, ended = step(ended, code, bits, ends_E)
            if bits & SPACE != 0:
                parted = parted or over or code == 10
            else:
                begins = parted or over
                parted = False
                if begins:
                    out_S[count] = offsets[d] if count == bounds[d] else start
                    count += 1
        if count == bounds[d] and offsets[d] < end:  # blanks alone
            out_S[count] = offsets[d]
            count += 1
        bounds[d + 1] = count
