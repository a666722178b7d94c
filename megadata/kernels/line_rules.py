"""Which lines of a document are kept: end marks, words, phrases, citation marks, sentences.

Letters: N bytes, D documents, E end marks, P phrases.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I64, U8, U16, Bool, helper, kernel, reads, writes
from megadata.kernels.lines import SPLITLINES, holds, next_line, stripped
from megadata.kernels.text import DIGIT, SPACE, copy, decode, integer

KEPT, SENTENCES, PAGE_PHRASE, LONG_WORDS, OPEN_ENDS, FEW_WORDS, PHRASES = 0, 1, 2, 3, 4, 5, 6
LINE_COUNTS = 7  # columns of `keep_lines`


@helper
def lowered(byte: int) -> int:
    """A byte in lower case, when it is an ASCII letter."""
    return byte + 32 if 65 <= byte <= 90 else byte


@helper
def phrase_starts(phrases: U8, phrase_offsets: I64) -> U8:
    """uint8[65536]: 1 for pairs of bytes (in lower case) that a phrase can begin with."""
    starts = np.zeros(65536, np.uint8)
    for p in range(phrase_offsets.size - 1):
        first: int = integer(phrases[phrase_offsets[p]])
        alone = phrase_offsets[p + 1] - phrase_offsets[p] == 1
        second: int = 0 if alone else integer(phrases[phrase_offsets[p] + 1])
        for other in range(256):
            if alone or other == second or (other == 0xE2 and second == 107):
                starts[first << 8 | other] = 1
        if first == 107:  # "k" may be the Kelvin sign
            starts[0xE2 << 8 | 0x84] = 1
    return starts


@helper
def first_phrase(
    text: U8, start: int, stop: int, phrases: U8, phrase_offsets: I64, starts: U8, only_page: bool, drops_page: Bool
) -> int:
    """The lowest number of a phrase that text[start:stop], in lower case, holds; -1 for none.

    Only ASCII and the Kelvin sign are lowered.
    """
    best = phrase_offsets.size - 1
    none = best
    for at in range(start, stop):
        follower: int = integer(text[at + 1]) if at + 1 < stop else 0
        if starts[lowered(integer(text[at])) << 8 | lowered(follower)] == 0:
            continue
        for p in range(best):
            if only_page and not drops_page[p]:
                continue
            i = at
            k = phrase_offsets[p]
            while k < phrase_offsets[p + 1] and i < stop:
                byte: int = lowered(integer(text[i]))
                if byte == phrases[k]:
                    i += 1
                elif phrases[k] == 107 and byte == 0xE2 and text[i + 1] == 0x84 and text[i + 2] == 0xAA:
                    i += 3
                else:
                    break
                k += 1
            if k == phrase_offsets[p + 1]:
                best = p
                break
    return best if best < none else -1


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


@helper
def sentences_in(text: U8, start: int, stop: int, classes: U16, ends: I64) -> int:
    """Number of sentences: runs of end marks (with quotes and brackets that follow) before a blank or the end.

    What follows the last end mark counts when it holds anything visible.
    """
    count: int = 0
    pending = False  # something visible since the last sentence ended
    ended = False
    at = start
    while at < stop:
        code, at = decode(text, at)
        if integer(classes[code]) & SPACE != 0:
            if ended and pending:
                count += 1
                pending = False
            ended = False
        elif holds(ends, code):
            ended = True
            pending = True
        elif (
            code != 34
            and code != 39
            and code != 41
            and code != 93
            and code != 0x2019
            and code != 0x201D
            and code != 0xBB
        ):
            # an end mark of a script without spaces ends its sentence at once
            if ended and pending and code >= 0x2E80:
                count += 1
            ended = False
            pending = True
    if pending:
        count += 1
    return count


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
    starts = phrase_starts(phrases, phrase_offsets)
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
                found = first_phrase(text_N, start, stop, phrases, phrase_offsets, starts, True, drops_page_P)
                counts_DQ[d, PAGE_PHRASE] = found + 1
            words = 0
            longest = 0
            length = 0
            bracket = False
            at = start
            while at < stop:
                code, at = decode(text_N, at)
                if integer(classes[code]) & SPACE != 0:
                    length = 0
                else:
                    words += length == 0
                    length += 1
                    longest = max(longest, length)
                    bracket |= code == 91
            line = write
            if counts_DQ[d, KEPT] > 0:
                out_N[line] = 10
                line += 1
            last = line
            at = start
            while at < stop:
                behind = stop
                if drop_citations and bracket:
                    behind = citation_end(text_N, at, stop, classes) if text_N[at] == 91 else at
                    if behind > at:
                        at = behind
                        continue
                    behind = at + 1
                last = copy(text_N, at, behind, out_N, last)
                at = behind
            if max_word_length > 0 and longest > max_word_length:
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
                if not holds(ends_E, code) or (elliptic and not ellipsis_ends):
                    counts_DQ[d, OPEN_ENDS] += 1
                    continue
            if words_after and bracket:
                words = 0
                inside = False
                at = line
                while at < last:
                    code, at = decode(out_N, at)
                    visible = integer(classes[code]) & SPACE == 0
                    words += visible and not inside
                    inside = visible
            if words < min_words:
                counts_DQ[d, FEW_WORDS] += 1
                continue
            found = first_phrase(out_N, line, last, phrases, phrase_offsets, starts, False, drops_page_P)
            if found >= 0:
                if drops_page_P[found]:
                    if counts_DQ[d, PAGE_PHRASE] == 0:
                        counts_DQ[d, PAGE_PHRASE] = found + 1
                else:
                    counts_DQ[d, PHRASES] += 1
                continue
            if sentence_ends.size > 0:
                counts_DQ[d, SENTENCES] += sentences_in(out_N, line, last, classes, sentence_ends)
            counts_DQ[d, KEPT] += 1
            write = last
        first, last = stripped(out_N, begin, write, classes)
        if first > begin:
            for i in range(first, last):
                out_N[begin + i - first] = out_N[i]
        write = begin + last - first
        out_offsets[d + 1] = write
