"""Strings of a fixed number of bytes that occur more than once: where they are looked for, which come first, what they cover.

A *window* is a string of `length` bytes inside one document. Of the `length - gram + 1` grams in a window the one of the least
hash, the last of several, is its *anchor* (winnowing: Schleimer et al. 2003, doi:10.1145/872757.872770). It follows from the
window's bytes alone, so equal windows have equal anchors at equal distances. Windows in a row that have one anchor in common are
a *stretch*: those that begin at starts[m], starts[m] + 1, ... starts[m] + windows[m] - 1. Every window belongs to one stretch.

Letters: N bytes, D documents, M stretches, R ranges of bytes, T places of a hash table, P runs of windows, K matches.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I64, U8, U16, U32, U64, Bool, helper, kernel, reads, writes
from megadata.kernels.blocks import eight, up_to_eight
from megadata.kernels.hashing import mix64
from megadata.kernels.text import SPACE, decode, integer

_STEP = np.uint64(0x9E3779B97F4A7C15)
_NONE = np.uint64(0)
_HALF = np.uint64(32)


@helper
def _power(exponent: int) -> np.uint64:
    value = np.uint64(1)
    for _ in range(exponent):
        value = np.uint64(value * _STEP)
    return value


@helper
def _same(left: U8, at: int, right: U8, to: int, size: int) -> bool:
    """Whether left[at:at + size] and right[to:to + size] are equal."""
    whole = size - size % 8
    for i in range(0, whole, 8):
        if eight(left, at + i) != eight(right, to + i):
            return False
    left_over = whole
    while left_over < size and left[at + left_over] == right[to + left_over]:
        left_over += 1
    return left_over == size


@kernel(
    reads(np.uint8),
    reads(np.int64),
    np.int64,
    np.int64,
    np.int64,
    np.int64,
    writes(np.uint64),
    writes(np.uint64),
    writes(np.int64),
    writes(np.int64),
    writes(np.int64),
)
def stretches(
    text_N: U8,
    offsets: I64,
    begin: int,
    end: int,
    length: int,
    gram: int,
    ring: U64,
    hashes_M: U64,
    starts_M: I64,
    windows_M: I64,
    leads_M: I64,
) -> int:
    """Cut the windows that begin at bytes `begin` to `end` into stretches; how many there are, `end - begin` at most.

    `leads` are the distances of the anchors from the first windows, `hashes` those of the anchors; `ring` has room for the
    grams of a window.
    """
    count = 0
    width = length - gram + 1
    top = _power(gram - 1)
    for d in range(offsets.size - 1):
        first = max(offsets[d], begin)
        last = min(offsets[d + 1] - length + 1, end)
        if first >= last:
            continue
        state = _NONE
        for i in range(first, first + gram - 1):
            state = np.uint64(np.uint64(state * _STEP) + np.uint64(text_N[i]))
        anchor: int = -1
        least = _NONE
        told: int = -1  # the anchor of the stretch under way
        slot: int = 0
        for at in range(first, last + width - 1):
            state = np.uint64(np.uint64(state * _STEP) + np.uint64(text_N[at + gram - 1]))
            value = mix64(state)
            state = np.uint64(state - np.uint64(np.uint64(text_N[at]) * top))
            ring[slot] = value
            slot = slot + 1 if slot + 1 < width else 0
            if anchor < 0 or value <= least:
                anchor, least = at, value
            elif at - anchor >= width:
                place = slot  # of the oldest gram
                least = ring[place]
                for back in range(width - 1, -1, -1):
                    if ring[place] <= least:
                        anchor, least = at - back, ring[place]
                    place = place + 1 if place + 1 < width else 0
            window = at - width + 1
            if window >= first:
                if anchor != told:
                    hashes_M[count], starts_M[count], windows_M[count], leads_M[count] = (
                        least,
                        window,
                        0,
                        anchor - window,
                    )
                    told = anchor
                    count += 1
                windows_M[count - 1] += 1
    return count


@kernel(reads(np.uint8), reads(np.int64), reads(np.int64), writes(np.uint64))
def hash_ranges(text_N: U8, starts_R: I64, stops_R: I64, out_R: U64) -> None:
    """64-bit hash of each text[starts[r]:stops[r]]."""
    for r in range(starts_R.size):
        state = np.uint64(stops_R[r] - starts_R[r])
        for at in range(starts_R[r], stops_R[r], 8):
            word = up_to_eight(text_N, at, min(stops_R[r] - at, 8))
            state = np.uint64(np.uint64(state ^ word) * _STEP)
            state = np.uint64(state ^ (state >> _HALF))
        out_R[r] = mix64(state)


@kernel(reads(np.uint8), reads(np.int64), reads(np.int64), reads(np.int64), reads(np.uint64), writes(np.int64))
def first_equal(text_N: U8, starts_R: I64, stops_R: I64, order_R: I64, hashes_R: U64, out_R: I64) -> None:
    """Write for each range the first in `order` that is known to have the same bytes: itself, if there is none before it.

    `order` has those of equal hashes together. Their bytes are compared.
    """
    head = np.int64(-1)
    for r in order_R:
        size = stops_R[r] - starts_R[r]
        known = head >= 0 and hashes_R[head] == hashes_R[r] and stops_R[head] - starts_R[head] == size
        if not known or not _same(text_N, starts_R[head], text_N, starts_R[r], size):
            out_R[r] = r
            if head < 0 or hashes_R[head] != hashes_R[r]:
                head = r
        else:
            out_R[r] = head


@kernel(
    reads(np.uint8),
    reads(np.int64),
    reads(np.int64),
    reads(np.int64),
    np.int64,
    np.int64,
    np.int64,
    writes(np.int64),
    writes(np.uint32),
    writes(np.int64),
    writes(np.int64),
    writes(np.int64),
    writes(np.int64),
)
def repeated_windows(
    data_N: U8,
    starts_M: I64,
    windows_M: I64,
    leads_M: I64,
    length: int,
    low: int,
    high: int,
    table_T: I64,
    tags_T: U32,
    stretch_P: I64,
    from_P: I64,
    to_P: I64,
    place_P: I64,
) -> int:
    """Find the windows that an earlier stretch has as well; how many runs of them there are.

    Only windows whose anchor lies `low` to `high` bytes behind their beginning are looked at. The windows from[p] to to[p] of
    stretch[p] are those that begin at data[place[p]] and behind it, which no stretch before has. The table, whose places are
    all -1, must have more of them than there are windows; equal hashes prove nothing, bytes are compared.
    """
    count = 0
    top = _power(length - 1)
    places = np.uint64(table_T.size)
    for m in range(starts_M.size):
        first = max(0, leads_M[m] - high + 1)
        last = min(windows_M[m], leads_M[m] - low + 1)
        if first >= last:
            continue
        state = _NONE
        for i in range(starts_M[m] + first, starts_M[m] + first + length - 1):
            state = np.uint64(np.uint64(state * _STEP) + np.uint64(data_N[i]))
        before = np.int64(-2)  # where the window before was found
        for t in range(first, last):
            at = starts_M[m] + t
            state = np.uint64(np.uint64(state * _STEP) + np.uint64(data_N[at + length - 1]))
            value = mix64(state)
            state = np.uint64(state - np.uint64(np.uint64(data_N[at]) * top))
            slot: int = integer(np.uint64(np.uint64(value >> _HALF) * places) >> _HALF)
            tag = np.uint32(value)
            found = at
            while table_T[slot] >= 0:
                known = table_T[slot]
                if tags_T[slot] == tag:
                    beside = known == before + 1 and data_N[known + length - 1] == data_N[at + length - 1]
                    if beside or _same(data_N, known, data_N, at, length):
                        found = known
                        break
                slot = slot + 1 if slot + 1 < table_T.size else 0
            if found == at:
                table_T[slot], tags_T[slot] = at, tag
            elif found == before + 1 and to_P[count - 1] == t and stretch_P[count - 1] == m:
                to_P[count - 1] = t + 1
            else:
                stretch_P[count], from_P[count], to_P[count], place_P[count] = m, t, t + 1, found
                count += 1
            before = found
    return count


@helper
def _put(number: int, match_6: I64, out_K6: I64) -> int:
    """Write one match, where there is room; the number of the next."""
    if number < out_K6.shape[0]:
        for i in range(6):
            out_K6[number, i] = match_6[i]
    return number + 1


@helper
def _choose(number: int, match_6: I64, last_6: I64, reach_2: I64, out_K6: I64) -> int:
    """Take a match into account: written are the fewest that cover what all of them do.

    `reach` is the document and the byte that what was written covers; `last` the match that goes on from there the furthest.
    """
    if last_6[0] >= 0 and (last_6[0] != match_6[0] or match_6[1] > reach_2[1]):
        number = _put(number, last_6, out_K6)
        reach_2[0], reach_2[1] = last_6[0], last_6[2]
        last_6[0] = -1
    if match_6[0] < 0:
        return number
    if reach_2[0] != match_6[0] or match_6[1] > reach_2[1]:
        number = _put(number, match_6, out_K6)
        reach_2[0], reach_2[1] = match_6[0], match_6[2]
    else:
        for i in range(6):
            last_6[i] = match_6[i]
    return number


@kernel(
    np.int64,
    np.int64,
    reads(np.int64),
    reads(np.int64),
    reads(np.int64),
    reads(np.int64),
    reads(np.int64),
    reads(np.int64),
    reads(np.int64),
    reads(np.int64),
    reads(np.int64),
    reads(np.int64),
    reads(np.int64),
    reads(np.int64),
    writes(np.int64, 2),
)
def matches(
    unit: int,
    length: int,
    documents_M: I64,
    starts_M: I64,
    windows_M: I64,
    times_M: I64,
    heads_M: I64,
    documents_H: I64,
    starts_H: I64,
    bounds_H1: I64,
    from_P: I64,
    to_P: I64,
    document_P: I64,
    place_P: I64,
    out_K6: I64,
) -> int:
    """Write the matches that cover all repeated bytes of one unit's documents; how many there are, written or not.

    Stretch m, which lies `times` times in a row, has the windows of stretch heads[m] of H, whose runs bounds[h] to bounds[h + 1]
    say where they occur first; windows in no run occur first in h itself. A window is repeated when the first of its kind lies
    in another document, or ends before it begins. A match is (document, start, stop, first document, start there, run or -1 - h).
    """
    number = 0
    match = np.full(6, -1, np.int64)
    last = np.full(6, -1, np.int64)
    reach = np.full(2, -1, np.int64)
    for m in range(documents_M.size):
        h = heads_M[m]
        document = unit + documents_M[m]
        for again in range(times_M[m]):
            start = starts_M[m] + again * windows_M[m]
            t = np.int64(0)
            p = bounds_H1[h]
            while t < windows_M[m]:
                in_run = p < bounds_H1[h + 1] and from_P[p] == t
                if in_run:
                    upto, other, place, run = to_P[p], document_P[p], place_P[p], p
                    p += 1
                else:
                    upto = from_P[p] if p < bounds_H1[h + 1] else windows_M[m]
                    other, place, run = unit + documents_H[h], starts_H[h] + t, -1 - h
                begin, stop = start + t, start + upto + length - 1
                t = upto
                if other == document and begin - place < length:
                    continue
                goes_on = match[0] == documents_M[m] and match[2] - length + 1 == begin
                if goes_on and match[3] == other and match[4] - match[1] == place - begin:
                    match[2] = stop
                    continue
                if match[0] >= 0:
                    number = _choose(number, match, last, reach, out_K6)
                match[0], match[1], match[2], match[3], match[4], match[5] = (
                    documents_M[m],
                    begin,
                    stop,
                    other,
                    place,
                    run,
                )
    if match[0] >= 0:
        number = _choose(number, match, last, reach, out_K6)
    match[0] = -1
    total: int = _choose(number, match, last, reach, out_K6)
    return total


@kernel(
    reads(np.uint8),
    reads(np.int64),
    reads(np.uint16),
    reads(np.int64),
    reads(np.int64),
    writes(np.bool_),
)
def covered(text_N: U8, starts_S: I64, classes: U16, begins_R: I64, ends_R: I64, out_S: Bool) -> None:
    """Write which spans text[starts[s]:starts[s + 1]] lie inside a range but for blanks at their ends; blanks alone do not.

    Ranges rise and do not touch. Letter S: spans, which follow one another.
    """
    r = 0
    for s in range(starts_S.size - 1):
        out_S[s] = False
        while r < begins_R.size and ends_R[r] <= starts_S[s]:
            r += 1
        if r == begins_R.size or begins_R[r] >= starts_S[s + 1]:
            continue
        first = np.int64(-1)
        last = np.int64(-1)
        at = starts_S[s]
        while at < starts_S[s + 1]:
            here = at
            code, at = decode(text_N, at)
            if integer(classes[code]) & SPACE == 0:
                first = here if first < 0 else first
                last = at
        while r < begins_R.size and ends_R[r] <= first:
            r += 1
        out_S[s] = r < begins_R.size and first >= begins_R[r] and last <= ends_R[r]
