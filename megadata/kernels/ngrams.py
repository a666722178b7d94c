"""N-grams of evaluation texts, and where documents hold them.

Letters: N bytes of all texts, M bytes of a normalised text, T tokens of one, R texts, K bytes of all normalised texts, G n-grams,
P (n-gram, text) pairs, S places of a hash table, B words of a bit filter, L lengths in tokens, H matches.

A *token* is what `shingles` makes of a text: a word, or one character of a script without spaces. Tokens have a weight: four a
word, less for a character, since several of them make what a word is elsewhere. An *n-gram* is the least number of tokens, from
one of them on, that weighs `full`; a whole text that weighs less, and `least` or more, is an n-gram too. The first tokens of an
n-gram that weigh `least` are its *anchor*.

Documents are searched by rolling hashes: an anchor that the filter does not know ends the search at a token, which is nearly
always; else the table is asked for what may begin there. What it finds is compared byte by byte, so equal hashes alone match
nothing.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I32, I64, U8, U32, U64, Bool, helper, kernel, reads, writes
from megadata.kernels.hashing import mix64
from megadata.kernels.shingles import IGNORED, LETTER, UNSPACED, beyond, decode, normalise
from megadata.kernels.text import integer

WORD = 4
"""Weight of a word."""
IDEOGRAPH = 2
"""Weight of a character of Chinese and Japanese."""
SYLLABIC = 1
"""Weight of a character of Thai, Lao, Khmer, Myanmar and other scripts of South-East Asia."""
LONGEST = 1 << 10
"""More tokens than any n-gram has."""

_KIND = np.uint32(24)
_SEED = np.uint64(0x243F6A8885A308D3)  # digits of pi
_FOLD = np.uint64(0x9E3779B97F4A7C15)  # the golden ratio
_STEP = np.uint64(0xAEF17502108EF2D9)  # a multiplier of Steele and Vigna 2021
_EACH = np.uint64(0x0101010101010101)
_TOPS = np.uint64(0x8080808080808080)
_BITS = np.uint64(0x3F)
_ONE = np.uint64(1)


def powers() -> U64:
    """uint64[LONGEST]: powers of the multiplier of rolling hashes."""
    out = np.empty(LONGEST, np.uint64)
    value = 1
    for at in range(LONGEST):
        out[at] = value
        value = value * int(_STEP) % (1 << 64)
    return out


@helper
def _weight(text_M: U8, at: int, table: U32) -> int:
    """Weight of the token that begins at byte `at` of a normalised text."""
    if text_M[at] < np.uint8(0xE0):  # scripts without spaces begin at three bytes
        return WORD
    code, _ = decode(text_M, at, text_M.size)
    entry = table[code] if code < table.size else beyond(code)
    if entry >> _KIND != np.uint32(UNSPACED):
        return WORD
    south = code < np.uint32(0x2E80) or (np.uint32(0xA980) <= code and code < np.uint32(0xAAE0))
    return SYLLABIC if south else IDEOGRAPH


@helper
def _tokens(text_M: U8, size: int, table: U32, hashes_T1: U64, ends_T1: I64, weights_T1: I64) -> int:
    """Rolling hash, end and weight of the first t tokens of a normalised text, for every t; how many tokens there are.

    Eight bytes are taken at a time: the first zero byte among them ends the token (Lamport's test for a zero byte).
    """
    count = 0
    at, end = np.uint64(0), np.uint64(size)
    rolling = np.uint64(0)
    weight = 0
    hashes_T1[0], ends_T1[0], weights_T1[0] = rolling, 0, 0
    while at < end:
        weight += _weight(text_M, np.int64(at), table)
        value = _SEED
        ended = np.uint64(0)
        while ended == 0:
            block = np.uint64(0)
            for i in range(8):
                byte = np.uint64(text_M[np.uint64(at + np.uint64(i))])
                block = np.uint64(block | np.uint64(byte << np.uint64(8 * i)))
            ended = np.uint64(np.uint64(np.uint64(block - _EACH) & np.uint64(~block)) & _TOPS)
            step = np.uint64(8)
            if ended:
                first = np.uint64(ended & np.uint64(np.uint64(~ended) + _ONE))
                before = np.uint64(np.uint64(first >> np.uint64(7)) - _ONE)
                block = np.uint64(block & before)
                step = np.uint64(np.uint64(np.uint64(np.uint64(before & _EACH) * _EACH) >> np.uint64(56)) + _ONE)
            value = np.uint64(np.uint64(value ^ block) * _FOLD)
            value = np.uint64(value ^ np.uint64(value >> np.uint64(32)))
            at = np.uint64(at + step)
        rolling = np.uint64(np.uint64(rolling * _STEP) + value)
        count += 1
        hashes_T1[count], ends_T1[count], weights_T1[count] = rolling, np.int64(at), weight
    return count


@helper
def _window(hashes_T1: U64, start: int, stop: int, powers_L: U64) -> np.uint64:
    """Hash of tokens start to stop; wraps modulo 2**64 on purpose."""
    value: np.uint64 = mix64(np.uint64(hashes_T1[stop] - np.uint64(hashes_T1[start] * powers_L[stop - start])))
    return value


@helper
def _mask(value: np.uint64) -> np.uint64:
    """The two bits of a word of the filter that stand for a hash."""
    low = np.uint64(_ONE << np.uint64(value & _BITS))
    return np.uint64(low | np.uint64(_ONE << np.uint64(np.uint64(value >> np.uint64(6)) & _BITS)))


@helper
def _place(value: np.uint64, size: int) -> int:
    """Where a hash belongs in an array whose size is a power of two."""
    place: int = integer(np.uint64(np.uint64(value >> np.uint64(12)) & np.uint64(size - 1)))
    return place


@helper
def _candidates(
    hashes_T1: U64,
    weights_T1: I64,
    count: int,
    least: int,
    powers_L: U64,
    filter_B: U64,
    anchors_T: U64,
    starts_T: I64,
) -> int:
    """Tokens at which an anchor begins that the filter knows, in order; how many there are.

    The filter is larger than a processor's cache: looked up one after another without a branch in between, many of its words are
    on their way at once.
    """
    near = windows = found = 0
    for start in range(count):
        goal = weights_T1[start] + least
        while near < count and weights_T1[near] < goal:
            near += 1
        if weights_T1[near] < goal:
            break
        anchors_T[start] = _window(hashes_T1, start, near, powers_L)
        windows += 1
    for start in range(windows):
        anchor = anchors_T[start]
        mask = _mask(anchor)
        starts_T[found] = start
        found += filter_B[np.uint64(_place(anchor, filter_B.size))] & mask == mask
    return found


@helper
def _find(
    value: np.uint64, text_M: U8, start: int, stop: int, slots_S: I32, hashes_G: U64, normal_K: U8, bounds_G2: I64
) -> tuple[int, int]:
    """The n-gram with the bytes text[start:stop], or -1; and the place of the table where the search ended."""
    place = _place(value, slots_S.size)
    while slots_S[place] != 0:
        gram = slots_S[place] - 1
        if hashes_G[gram] == value and bounds_G2[gram, 1] - bounds_G2[gram, 0] == stop - start:
            first = bounds_G2[gram, 0]
            same = True
            for i in range(stop - start):
                if normal_K[first + i] != text_M[start + i]:
                    same = False
                    break
            if same:
                return gram, place
        place = (place + 1) & (slots_S.size - 1)
    return -1, place


@helper
def _plain(table: U32) -> U8:
    """What each ASCII character becomes, 0 where it parts words."""
    plain = np.zeros(128, np.uint8)
    for byte in range(128):
        if table[byte] >> _KIND >= np.uint32(LETTER):
            plain[byte] = np.uint8(table[byte] & np.uint32(0x1FFFFF))
    return plain


@kernel(
    reads(np.uint8),
    reads(np.int64),
    reads(np.uint32),
    np.int64,
    np.int64,
    reads(np.uint64),
    writes(np.uint8),
    writes(np.uint64),
    writes(np.int64),
    writes(np.int64),
    writes(np.uint8),
    writes(np.int64, 2),
    writes(np.uint64),
    writes(np.int32),
    writes(np.uint64),
    writes(np.bool_),
    writes(np.int64, 2),
    writes(np.int64),
    writes(np.int64),
)
def index(
    text_N: U8,
    offsets: I64,
    table: U32,
    least: int,
    full: int,
    powers_L: U64,
    normal_M: U8,
    hashes_T1: U64,
    ends_T1: I64,
    weights_T1: I64,
    normal_K: U8,
    bounds_G2: I64,
    hashes_G: U64,
    slots_S: I32,
    filter_B: U64,
    short_L: Bool,
    pairs_P2: I64,
    weights_R: I64,
    sizes: I64,
) -> int:
    """Number the distinct n-grams of all texts, in order; how many there are. `sizes` gets the pairs, and bytes of `normal_K`.

    N-gram g is normal[bounds[g, 0]:bounds[g, 1]]; pair p says that n-gram pairs[p, 0] stands in text pairs[p, 1], once for each
    time it does. `short_L` tells the lengths in tokens of texts that are n-grams as a whole, `weights_R` what each text weighs.
    Without room for pairs nothing but weights, pairs and bytes is found out.
    """
    plain = _plain(table)
    measuring = pairs_P2.shape[0] == 0
    grams = pairs = held = 0
    for r in range(offsets.size - 1):
        size = normalise(text_N, offsets[r], offsets[r + 1], table, plain, np.uint32(LETTER), False, normal_M)
        count = _tokens(normal_M, size, table, hashes_T1, ends_T1, weights_T1)
        total = weights_T1[count]
        weights_R[r] = total
        if total < least:
            continue
        if not measuring:
            for i in range(size):
                normal_K[held + i] = normal_M[i]
        near = far = 0
        for start in range(count):
            while near < count and weights_T1[near] - weights_T1[start] < least:
                near += 1
            while far < count and weights_T1[far] - weights_T1[start] < full:
                far += 1
            if weights_T1[far] - weights_T1[start] < full and start > 0:
                break
            if not measuring:
                value = _window(hashes_T1, start, far, powers_L)
                gram, place = _find(
                    value, normal_M, ends_T1[start], ends_T1[far], slots_S, hashes_G, normal_K, bounds_G2
                )
                if gram < 0:
                    gram = grams
                    bounds_G2[gram, 0], bounds_G2[gram, 1] = held + ends_T1[start], held + ends_T1[far]
                    hashes_G[gram] = value
                    slots_S[place] = gram + 1
                    anchor = _window(hashes_T1, start, near, powers_L)
                    word = _place(anchor, filter_B.size)
                    filter_B[word] = np.uint64(filter_B[word] | _mask(anchor))
                    if total < full:
                        short_L[count] = True
                    grams += 1
                pairs_P2[pairs, 0], pairs_P2[pairs, 1] = gram, r
            pairs += 1
        held += size
    sizes[0], sizes[1] = pairs, held
    return grams


@kernel(
    reads(np.uint8),
    reads(np.int64),
    reads(np.uint32),
    np.int64,
    np.int64,
    reads(np.uint64),
    writes(np.uint8),
    writes(np.uint64),
    writes(np.int64),
    writes(np.int64),
    writes(np.uint64),
    writes(np.int64),
    reads(np.uint8),
    reads(np.int64, 2),
    reads(np.uint64),
    reads(np.int32),
    reads(np.uint64),
    reads(np.int64),
    reads(np.bool_),
    writes(np.int64, 2),
)
def search(
    text_N: U8,
    offsets: I64,
    table: U32,
    least: int,
    full: int,
    powers_L: U64,
    normal_M: U8,
    hashes_T1: U64,
    ends_T1: I64,
    weights_T1: I64,
    anchors_T: U64,
    starts_T: I64,
    normal_K: U8,
    bounds_G2: I64,
    hashes_G: U64,
    slots_S: I32,
    filter_B: U64,
    lengths_L: I64,
    ignored_G: Bool,
    out_H4: I64,
) -> int:
    """Find all n-grams of an index in documents: (document, first token, token after the last, n-gram), in order.

    Returns how many there are; those without room in `out_H4` are counted and not written.
    """
    plain = _plain(table)
    found = 0
    for d in range(offsets.size - 1):
        size = normalise(text_N, offsets[d], offsets[d + 1], table, plain, np.uint32(LETTER), False, normal_M)
        count = _tokens(normal_M, size, table, hashes_T1, ends_T1, weights_T1)
        total = weights_T1[count]
        for chosen in range(_candidates(hashes_T1, weights_T1, count, least, powers_L, filter_B, anchors_T, starts_T)):
            start = starts_T[chosen]
            before = weights_T1[start]
            for number in range(-1, lengths_L.size):
                if number < 0:
                    if total - before < full:
                        continue
                    stop = start
                    while weights_T1[stop] - before < full:
                        stop += 1
                else:
                    stop = start + lengths_L[number]
                    if stop > count or weights_T1[stop] - before >= full:
                        continue
                gram, _ = _find(
                    _window(hashes_T1, start, stop, powers_L),
                    normal_M,
                    ends_T1[start],
                    ends_T1[stop],
                    slots_S,
                    hashes_G,
                    normal_K,
                    bounds_G2,
                )
                if gram >= 0 and not ignored_G[gram]:
                    if found < out_H4.shape[0]:
                        out_H4[found, 0], out_H4[found, 1], out_H4[found, 2] = d, start, stop
                        out_H4[found, 3] = gram
                    found += 1
    return found


@kernel(reads(np.uint8), np.int64, np.int64, reads(np.uint32), writes(np.int64, 2))
def places(text_N: U8, start: int, stop: int, table: U32, out_T2: I64) -> int:
    """Bytes of text[start:stop] from which each token was made; how many tokens there are."""
    count = 0
    inside = False
    at = start
    while at < stop:
        code, after = np.uint32(text_N[at]), at + 1
        if code >= np.uint32(0x80):
            code, after = decode(text_N, at, stop)
        kind = np.uint32((table[code] if code < table.size else beyond(code)) >> _KIND)
        if kind == np.uint32(IGNORED):
            at = after
            continue
        if kind < np.uint32(LETTER):
            inside = False
        elif kind == np.uint32(UNSPACED):
            out_T2[count, 0], out_T2[count, 1] = at, after
            count += 1
            inside = False
        else:
            if not inside:
                out_T2[count, 0] = at
                count += 1
                inside = True
            out_T2[count - 1, 1] = after
        at = after
    return count
