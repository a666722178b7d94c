"""Which lines of a document are kept: end marks, words, phrases, citation marks, sentences.

Letters: N bytes, D documents, E end marks, P phrases.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I64, U8, U16, Bool, helper, kernel, reads, writes
from megadata.kernels.lines import SPLITLINES, ascii_of, holds_code, next_line, stripped
from megadata.kernels.linescan import (
    copy_bytes,
    first_phrase,
    heads_of,
    leads_of,
    longest_word,
    sentences_in,
    words_between_blanks,
)
from megadata.kernels.text import DIGIT, decode, integer

KEPT, SENTENCES, PAGE_PHRASE, LONG_WORDS, OPEN_ENDS, FEW_WORDS, PHRASES = 0, 1, 2, 3, 4, 5, 6
LINE_COUNTS = 7  # columns of `keep_lines`


@helper
def citation_end(text: U8, at: int, stop: int, classes: U16) -> int:
    r"""The end of a Wikipedia mark ``\[\d*]``, ``[edit]`` or ``[citation needed]`` at `at`, or `at` when there is none."""
    i = at + 1
    after: int = i
    while i < stop:
        code, after = decode(text, i)
        if code == 93:  # "]"
            return after
        if integer(classes[code]) & DIGIT == 0:
            break
        i = after
    for word in (b"edit]", b"citation needed]"):
        size = len(word)
        if at + 1 + size <= stop:
            same = True
            for k in range(size):
                if text[at + 1 + k] != word[k]:
                    same = False
                    break
            if same:
                return at + 1 + size
    return at


@kernel(
    reads(np.uint8),
    reads(np.int64),
    reads(np.uint16),
    reads(np.int64),
    np.bool_,
    np.int64,
    np.int64,
    np.bool_,
    np.bool_,
    np.bool_,
    reads(np.int64),
    reads(np.uint8),
    reads(np.int64),
    reads(np.bool_),
    writes(np.uint8),
    writes(np.int64),
    writes(np.int64, 2),
)
def keep_lines(
    text_N: U8,
    offsets: I64,
    classes: U16,
    ends_E: I64,
    ellipsis_ends: bool,
    min_words: int,
    max_word_length: int,
    drop_citations: bool,
    words_after: bool,
    whole_page: bool,
    sentence_ends: I64,
    phrases: U8,
    phrase_offsets: I64,
    drops_page_P: Bool,
    out_N: U8,
    out_offsets: I64,
    counts_DQ: I64,
) -> None:
    r"""Copy the lines of each document that C4's rules keep, stripped and joined by "\n", and count the others by cause.

    In this order a line is dropped for a word of more than `max_word_length` characters (0: any length), for not ending with
    one of `ends_E` (none: any end; "..." only when `ellipsis_ends`), for fewer than `min_words` words; of the phrases, the first
    one it holds drops the line, or the page where `drops_page_P` says so. Citation marks are removed before the end is looked at,
    and before `min_words` are counted where `words_after` says so.
    `whole_page` looks for page phrases in every line, also in those dropped before. Counts: the constants above; PAGE_PHRASE is
    1 + the number of the phrase that drops the page, else 0. Sentences are counted where `sentence_ends` holds any mark.
    """
    heads = heads_of(phrases, phrase_offsets)
    end_bits = ascii_of(ends_E)
    sentence_bits = ascii_of(sentence_ends)
    sentence_leads = leads_of(sentence_ends)
    write = 0
    out_offsets[0] = 0
    for d in range(offsets.size - 1):
        for q in range(LINE_COUNTS):
            counts_DQ[d, q] = 0
        begin = write
        end = offsets[d + 1]
        following = offsets[d] if offsets[d] < end else -1
        while following >= 0:
            start = following
            stop, following = next_line(text_N, start, end, classes, SPLITLINES)
            if following == end:
                following = -1
            start, stop = stripped(text_N, start, stop, classes)
            if whole_page and counts_DQ[d, PAGE_PHRASE] == 0:
                found = first_phrase(text_N, start, stop, phrases, phrase_offsets, heads, True, drops_page_P)
                counts_DQ[d, PAGE_PHRASE] = found + 1
            words, bracket = words_between_blanks(text_N, start, stop, classes)
            line = write
            if counts_DQ[d, KEPT] > 0:
                out_N[line] = 10
                line += 1
            last = line
            if drop_citations and bracket:
                at = start
                while at < stop:
                    behind = citation_end(text_N, at, stop, classes) if text_N[at] == 91 else at
                    if behind == at:
                        out_N[last] = text_N[at]
                        last += 1
                        behind = at + 1
                    at = behind
            else:
                copy_bytes(text_N, start, stop, out_N, last)
                last += stop - start
            too_long = max_word_length > 0 and stop - start > max_word_length
            if too_long and longest_word(text_N, start, stop, classes) > max_word_length:
                counts_DQ[d, LONG_WORDS] += 1
                continue
            if ends_E.size > 0:
                back = last - 1
                while back > line and out_N[back] & 0xC0 == 0x80:
                    back -= 1
                code = -1
                if back >= line:
                    code, _ = decode(out_N, back)
                elliptic = (
                    last - line >= 3 and out_N[last - 1] == 46 and out_N[last - 2] == 46 and out_N[last - 3] == 46
                )
                if code < 0 or not holds_code(ends_E, end_bits, code) or (elliptic and not ellipsis_ends):
                    counts_DQ[d, OPEN_ENDS] += 1
                    continue
            if words_after and bracket:
                words, _ = words_between_blanks(out_N, line, last, classes)
            if words < min_words:
                counts_DQ[d, FEW_WORDS] += 1
                continue
            found = first_phrase(out_N, line, last, phrases, phrase_offsets, heads, False, drops_page_P)
            if found >= 0:
                if drops_page_P[found]:
                    if counts_DQ[d, PAGE_PHRASE] == 0:
                        counts_DQ[d, PAGE_PHRASE] = found + 1
                else:
                    counts_DQ[d, PHRASES] += 1
                continue
            if sentence_ends.size > 0:
                counts_DQ[d, SENTENCES] += sentences_in(
                    out_N, line, last, classes, sentence_ends, sentence_bits, sentence_leads
                )
            counts_DQ[d, KEPT] += 1
            write = last
        first, last = stripped(out_N, begin, write, classes)
        if first > begin:
            for i in range(first, last):
                out_N[begin + i - first] = out_N[i]
        write = begin + last - first
        out_offsets[d + 1] = write
