"""The merges of byte-pair encoding, from different words and how often each occurs.

Letters: W words, S symbols of all words, P places, H slots of pairs, Q entries of the queue, T tokens, B bytes of tokens,
M merges, O slots of tokens.

What is merged when is defined by the trainer of `tokenizers`: the pair that occurs most often is next, of several the one with
the smallest ids; a merge whose token is there already gives that token's id; a pair's count is not lowered by its own merge, and
new occurrences of a pair are queued anew, with the words they are in. Counts have 64 bits.

An *entry* of the queue is a pair with the words it was seen in, places[first:last], and the count that it had when it was queued.
Entries whose count has changed are queued again when it is their turn. In a slot of pairs lie the pair (as two ids of 32 bits,
plus one) and its count; 0 is a free slot.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I32, I64, U8, U64, helper, kernel, reads, writes
from megadata.kernels.hashing import mix64
from megadata.kernels.pretokens import same_bytes
from megadata.kernels.text import integer
from megadata.kernels.words import hash_bytes

TOKENS, BYTES, MERGES, PAIRS, ENTRIES, QUEUED, PLACES = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
)  # places in the state: how many there are of each
STATES = 7

DONE, AGAIN, LACK_PAIRS, LACK_ENTRIES, LACK_PLACES, LACK_MERGES, LACK_BYTES = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
)  # what `merge` returns

PAIR, FIRST, LAST, COUNT = 0, 1, 2, 3  # fields of an entry

_ONE = np.uint64(1)
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@helper
def _pair(left: int, right: int) -> np.uint64:
    """Two ids as one number that is not 0 and sorts as they do."""
    return np.uint64(np.uint64(np.uint64(left) << _HALF | np.uint64(right)) + _ONE)


@helper
def _slot(pair: np.uint64, keys_H: U64) -> int:
    """The slot of a pair, or the free one where it belongs."""
    mask = keys_H.size - 1
    slot: int = integer(mix64(pair)) & mask
    while keys_H[slot] != 0 and keys_H[slot] != pair:
        slot = (slot + 1) & mask
    return slot


@helper
def _before(one: int, other: int, entries_Q4: I64) -> bool:
    """Whether an entry is merged before another: by count, then by pair, then by age."""
    if entries_Q4[one, COUNT] != entries_Q4[other, COUNT]:
        return bool(entries_Q4[one, COUNT] > entries_Q4[other, COUNT])
    if entries_Q4[one, PAIR] != entries_Q4[other, PAIR]:
        return bool(entries_Q4[one, PAIR] < entries_Q4[other, PAIR])
    return one < other


@helper
def _sift_up(queue_Q: I32, at: int, entries_Q4: I64) -> None:
    """Move what lies at a place of the queue up to where it belongs."""
    entry: int = integer(queue_Q[at])
    while at > 0:
        parent = (at - 1) // 2
        if not _before(entry, integer(queue_Q[parent]), entries_Q4):
            break
        queue_Q[at] = queue_Q[parent]
        at = parent
    queue_Q[at] = np.int32(entry)


@helper
def _sift_down(queue_Q: I32, size: int, entries_Q4: I64) -> None:
    """Move what lies at the top of the queue down to where it belongs."""
    entry: int = integer(queue_Q[0])
    at = 0
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _before(integer(queue_Q[child + 1]), integer(queue_Q[child]), entries_Q4):
            child += 1
        if not _before(integer(queue_Q[child]), entry, entries_Q4):
            break
        queue_Q[at] = queue_Q[child]
        at = child
    queue_Q[at] = np.int32(entry)


@kernel(
    reads(np.int32),
    reads(np.int64),
    reads(np.int64),
    writes(np.uint64),
    writes(np.int64),
    writes(np.int64),
    writes(np.int64),
)
def count_pairs(
    symbols_S: I32, starts_W1: I64, counts_W: I64, keys_H: U64, totals_H: I64, held_H: I64, state: I64
) -> int:
    """Count the pairs of neighbours in all words; how many places they need. `held_H`: the words each pair is in, so far 0."""
    last_H = np.full(keys_H.size, -1, np.int64)
    pairs = 0
    places = 0
    for w in range(counts_W.size):
        for at in range(starts_W1[w], starts_W1[w + 1] - 1):
            pair = _pair(integer(symbols_S[at]), integer(symbols_S[at + 1]))
            slot = _slot(pair, keys_H)
            if keys_H[slot] == 0:
                keys_H[slot] = pair
                pairs += 1
            totals_H[slot] += counts_W[w]
            if last_H[slot] != w:
                last_H[slot] = w
                held_H[slot] += 1
                places += 1
    state[PAIRS] = pairs
    return places


@kernel(
    reads(np.int32), reads(np.int64), reads(np.uint64), reads(np.int64), writes(np.int64), writes(np.int64, 2),
    writes(np.int32), writes(np.int32), writes(np.int64),
)  # fmt: skip
def queue_pairs(
    symbols_S: I32, starts_W1: I64, keys_H: U64, totals_H: I64, held_H: I64, entries_Q4: I64, queue_Q: I32, places_P: I32,
    state: I64,
) -> None:  # fmt: skip
    """Queue every pair of `count_pairs` with the words it is in. `held_H` is used up."""
    entries = 0
    places: int = 0
    for slot in range(keys_H.size):
        if keys_H[slot] != 0:
            entries_Q4[entries, PAIR] = integer(keys_H[slot])
            entries_Q4[entries, FIRST] = places
            entries_Q4[entries, LAST] = places
            entries_Q4[entries, COUNT] = totals_H[slot]
            places += held_H[slot]
            held_H[slot] = entries
            entries += 1
    for w in range(starts_W1.size - 1):
        for at in range(starts_W1[w], starts_W1[w + 1] - 1):
            slot = _slot(_pair(integer(symbols_S[at]), integer(symbols_S[at + 1])), keys_H)
            entry = held_H[slot]
            last = entries_Q4[entry, LAST]
            if last == entries_Q4[entry, FIRST] or places_P[last - 1] != w:
                places_P[last] = np.int32(w)
                entries_Q4[entry, LAST] = last + 1
    queued = 0
    for entry in range(entries):
        queue_Q[queued] = np.int32(entry)
        _sift_up(queue_Q, queued, entries_Q4)
        queued += 1
    state[ENTRIES], state[QUEUED], state[PLACES] = entries, queued, places


@kernel(reads(np.uint64), reads(np.int64), writes(np.uint64), writes(np.int64), writes(np.int64))
def move_pairs(keys_H: U64, totals_H: I64, larger_H: U64, larger_totals_H: I64, state: I64) -> None:
    """Put the pairs of a table into an empty one; those that count nothing are left behind."""
    pairs = 0
    for old in range(keys_H.size):
        if keys_H[old] != 0 and totals_H[old] != 0:
            slot = _slot(keys_H[old], larger_H)
            larger_H[slot] = keys_H[old]
            larger_totals_H[slot] = totals_H[old]
            pairs += 1
    state[PAIRS] = pairs


@helper
def _token_slot(bytes_B: U8, start: int, stop: int, inner: int, ends_T1: I64, inner_T: U8, slots_O: I32) -> int:
    """The slot of the token with these bytes, or the free one where it belongs."""
    mask = slots_O.size - 1
    slot: int = integer(hash_bytes(bytes_B, start, stop)) & mask
    while slots_O[slot] >= 0:
        token: int = integer(slots_O[slot])
        place = ends_T1[token]
        alike = ends_T1[token + 1] - place == stop - start and integer(inner_T[token]) == inner
        if alike and (stop == start or same_bytes(bytes_B, start, bytes_B, place, stop - start)):
            break
        slot = (slot + 1) & mask
    return slot


@kernel(reads(np.uint8), reads(np.int64), reads(np.uint8), np.int64, writes(np.int32))
def enter_tokens(bytes_B: U8, ends_T1: I64, inner_T: U8, tokens: int, slots_O: I32) -> None:
    """Enter the tokens there are into the slots; of two that are the same the first."""
    for token in range(tokens):
        inner: int = integer(inner_T[token])
        slot = _token_slot(bytes_B, ends_T1[token], ends_T1[token + 1], inner, ends_T1, inner_T, slots_O)
        if slots_O[slot] < 0:
            slots_O[slot] = np.int32(token)


@helper
def _new_token(left: int, right: int, bytes_B: U8, ends_T1: I64, inner_T: U8, slots_O: I32, state: I64) -> int:
    """Id of the token that two make together: one that is there already, or the next."""
    tokens: int = state[TOKENS]
    start: int = ends_T1[tokens]
    stop = start
    for part in (left, right):
        for at in range(ends_T1[part], ends_T1[part + 1]):
            bytes_B[stop] = bytes_B[at]
            stop += 1
    slot = _token_slot(bytes_B, start, stop, integer(inner_T[left]), ends_T1, inner_T, slots_O)
    if slots_O[slot] >= 0:
        result: int = integer(slots_O[slot])
        return result
    slots_O[slot] = np.int32(tokens)
    inner_T[tokens] = inner_T[left]
    ends_T1[tokens + 1] = stop
    state[TOKENS] = tokens + 1
    return tokens


@helper
def _add(pair: np.uint64, change: int, keys_H: U64, totals_H: I64, state: I64) -> None:
    """Change the count of a pair."""
    slot = _slot(pair, keys_H)
    if keys_H[slot] == 0:
        keys_H[slot] = pair
        totals_H[slot] = 0
        state[PAIRS] += 1
    totals_H[slot] += change


@helper
def _push(pair: np.uint64, first: int, last: int, total: int, entries_Q4: I64, queue_Q: I32, state: I64) -> None:
    """Queue a pair with the words at places[first:last]."""
    entry: int = state[ENTRIES]
    entries_Q4[entry, PAIR] = integer(pair)
    entries_Q4[entry, FIRST] = first
    entries_Q4[entry, LAST] = last
    entries_Q4[entry, COUNT] = total
    queue_Q[state[QUEUED]] = np.int32(entry)
    _sift_up(queue_Q, state[QUEUED], entries_Q4)
    state[ENTRIES] = entry + 1
    state[QUEUED] += 1


@kernel(
    np.int64, np.int64, writes(np.int32), reads(np.int64), writes(np.int32), reads(np.int64), writes(np.uint64),
    writes(np.int64), writes(np.int64, 2), writes(np.int32), writes(np.int32), writes(np.uint8), writes(np.int64),
    writes(np.uint8), writes(np.int32), writes(np.int32, 2), writes(np.int64, 2), writes(np.int32, 2), writes(np.int64),
)  # fmt: skip
def merge(
    limit: int, most: int, symbols_S: I32, starts_W1: I64, sizes_W: I32, counts_W: I64, keys_H: U64, totals_H: I64,
    entries_Q4: I64, queue_Q: I32, places_P: I32, bytes_B: U8, ends_T1: I64, inner_T: U8, slots_O: I32, merges_M2: I32,
    changes_T4: I64, marks_T4: I32, state: I64,
) -> int:  # fmt: skip
    """Merge until there are `limit` tokens (`DONE`), nothing is left to merge (`DONE`) or `most` merges were made (`AGAIN`).

    Where room is lacking nothing of the next merge has been done, and the result says of what there must be more.

    Word w is symbols[starts[w]:starts[w] + sizes[w]]; its symbols move together as they are merged. Of each token, changes[t] are
    the counts of the pairs (t, left), (right, t), (t, new) and (new, t) of the merge at hand, all 0 between merges, and marks[t]
    hold one more than the last word seen with the third and the fourth, and how many there were.
    """
    for _ in range(most):
        while state[QUEUED] > 0:  # those whose count has changed go back into the queue
            top: int = integer(queue_Q[0])
            total = totals_H[_slot(np.uint64(entries_Q4[top, PAIR]), keys_H)]
            if total == entries_Q4[top, COUNT]:
                break
            entries_Q4[top, COUNT] = total
            _sift_down(queue_Q, state[QUEUED], entries_Q4)
        if state[TOKENS] >= limit or state[QUEUED] == 0:
            return DONE
        entry: int = integer(queue_Q[0])
        if entries_Q4[entry, COUNT] < 1:
            return DONE
        pair = np.uint64(np.uint64(entries_Q4[entry, PAIR]) - _ONE)
        left: int = integer(np.uint64(pair >> _HALF))
        right: int = integer(np.uint64(pair & _LOW))
        first, last = entries_Q4[entry, FIRST], entries_Q4[entry, LAST]
        around = 0
        for p in range(first, last):
            around += integer(sizes_W[places_P[p]])
        kinds = 2 * min(around, state[TOKENS] + 1)
        if 2 * (state[PAIRS] + 2 * kinds) > keys_H.size:
            return LACK_PAIRS
        if state[ENTRIES] + kinds > queue_Q.size:
            return LACK_ENTRIES
        if state[PLACES] + 4 * around > places_P.size:  # the second half holds what is found, before it is put in order
            return LACK_PLACES
        if state[MERGES] == merges_M2.shape[0]:
            return LACK_MERGES
        size = ends_T1[left + 1] - ends_T1[left] + ends_T1[right + 1] - ends_T1[right]
        if ends_T1[state[TOKENS]] + size > bytes_B.size:
            return LACK_BYTES

        state[QUEUED] -= 1
        queue_Q[0] = queue_Q[state[QUEUED]]
        _sift_down(queue_Q, state[QUEUED], entries_Q4)
        new = _new_token(left, right, bytes_B, ends_T1, inner_T, slots_O, state)
        merges_M2[state[MERGES], 0] = np.int32(left)
        merges_M2[state[MERGES], 1] = np.int32(right)
        state[MERGES] += 1

        room = state[PLACES] + 2 * around  # here lie pairs of a side with a token, and a word
        found = 0
        touched = 0  # tokens whose changes are not 0; they are listed in marks[:, 2]
        for p in range(first, last):
            w: int = integer(places_P[p])
            start = starts_W1[w]
            end = start + integer(sizes_W[w])
            count = counts_W[w]
            read = start
            write = start
            while read < end:
                symbol: int = integer(symbols_S[read])
                if symbol != left or read + 1 == end or integer(symbols_S[read + 1]) != right:
                    symbols_S[write] = np.int32(symbol)
                    write += 1
                    read += 1
                    continue
                for side in range(2):  # the neighbour before, which may be a pair merged just now, and the one after
                    if (side == 0 and write == start) or (side == 1 and read + 2 >= end):
                        continue
                    other: int = integer(symbols_S[write - 1] if side == 0 else symbols_S[read + 2])
                    if marks_T4[other, 3] == 0:
                        marks_T4[other, 3] = 1
                        marks_T4[touched, 2] = np.int32(other)
                        touched += 1
                    changes_T4[other, side] -= count
                    kept = 0 if other == new else side  # (new, new) is one pair, on whichever side
                    changes_T4[other, 2 + kept] += count
                    if integer(marks_T4[other, kept]) != w + 1:
                        marks_T4[other, kept] = np.int32(w + 1)
                        places_P[room + 2 * found] = np.int32(2 * other + kept)
                        places_P[room + 2 * found + 1] = np.int32(w)
                        found += 1
                symbols_S[write] = np.int32(new)
                write += 1
                read += 2
            sizes_W[w] = np.int32(write - start)

        for t in range(touched):
            other = integer(marks_T4[t, 2])
            if changes_T4[other, 0] != 0:
                _add(_pair(other, left), changes_T4[other, 0], keys_H, totals_H, state)
            if changes_T4[other, 1] != 0:
                _add(_pair(right, other), changes_T4[other, 1], keys_H, totals_H, state)
            for kept in range(2):
                if changes_T4[other, 2 + kept] != 0:
                    now = _pair(other, new) if kept == 0 else _pair(new, other)
                    _add(now, changes_T4[other, 2 + kept], keys_H, totals_H, state)
            marks_T4[other, 0] = 0  # from here on how many words were found, and then where the next is put
            marks_T4[other, 1] = 0
        for f in range(found):
            mark: int = integer(places_P[room + 2 * f])
            marks_T4[mark >> 1, mark & 1] += np.int32(1)
        at: int = state[PLACES]
        for t in range(touched):
            other = integer(marks_T4[t, 2])
            for kept in range(2):
                words: int = integer(marks_T4[other, kept])
                changes_T4[other, kept] = at
                changes_T4[other, 2 + kept] = at + words
                at += words
        for f in range(found):
            mark = integer(places_P[room + 2 * f])
            place = changes_T4[mark >> 1, mark & 1]
            places_P[place] = places_P[room + 2 * f + 1]
            changes_T4[mark >> 1, mark & 1] = place + 1
        for t in range(touched):
            other = integer(marks_T4[t, 2])
            for kept in range(2):
                words = integer(marks_T4[other, kept])
                stop: int = changes_T4[other, 2 + kept]
                now = _pair(other, new) if kept == 0 else _pair(new, other)
                if words > 0:
                    total = totals_H[_slot(now, keys_H)]
                    if total > 0:
                        _push(now, stop - words, stop, total, entries_Q4, queue_Q, state)
                changes_T4[other, kept] = 0
                changes_T4[other, 2 + kept] = 0
                marks_T4[other, kept] = 0
            marks_T4[other, 3] = 0
        state[PLACES] = at
    return AGAIN
