"""Naive Bayes over n-grams of bytes, which an automaton finds, and the samples of text that it is asked about.

Letters: N bytes, D documents, T states of the automaton, R different rows of transitions, F features (n-grams), L classes.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import F64, I16, I32, I64, U8, U16, U32, helper, kernel, reads, writes
from megadata.kernels.text import NEWLINE_BYTE, copy, integer

LOWER = 1  # a sample has one of the letters a to z, so that it is not all in capitals
COMBINING = 2  # it has characters from U+0300 on, before which no text is outside of normal form C
FIRST_COMBINING = 0xCC  # their least first byte
LANES = 8  # documents read side by side


@helper
def border(text: U8, at: int, end: int) -> int:
    """The first byte of a character at or behind byte `at`."""
    while at < end and text[at] & 0xC0 == 0x80:
        at += 1
    return at


@kernel(reads(np.uint8), reads(np.int64), np.int64, writes(np.uint8), writes(np.int64), writes(np.uint8))
def take_samples(text_N: U8, offsets: I64, size: int, out_N: U8, out_offsets: I64, how_D: U8) -> None:
    r"""Copy beginning, middle and end of each document, `size` bytes each, in whole characters and joined by "\n".

    Documents of at most three times as many bytes are copied whole. `how_D` gets the sum of the marks above.
    """
    write = 0
    out_offsets[0] = 0
    for d in range(offsets.size - 1):
        begin = offsets[d]
        end = offsets[d + 1]
        whole = end - begin <= 3 * size
        middle = begin + (end - begin - size) // 2
        how = 0
        for piece in range(1 if whole else 3):
            start = begin
            stop = end
            if not whole:
                start = border(text_N, begin if piece == 0 else (middle if piece == 1 else end - size), end)
                stop = (begin if piece == 0 else middle) + size if piece < 2 else end
                while start < stop < end and text_N[stop] & 0xC0 == 0x80:
                    stop -= 1
                stop = max(start, stop)
            if piece > 0:
                out_N[write] = NEWLINE_BYTE
                write += 1
            write = copy(text_N, start, stop, out_N, write)
            most = np.uint8(0)
            for at in range(start, stop):
                most = max(most, text_N[at])
            if most >= FIRST_COMBINING:
                how |= COMBINING
            at = start
            while at < stop and how & LOWER == 0:
                if 97 <= text_N[at] <= 122:
                    how |= LOWER
                at += 1
        out_offsets[d + 1] = write
        how_D[d] = np.uint8(how)


@kernel(
    reads(np.uint8),
    reads(np.int64),
    reads(np.uint32, 2),
    reads(np.uint16),
    reads(np.int32),
    writes(np.int32),
)
def find_features(text_N: U8, offsets: I64, next_RB: U32, row_T: U16, feature_T: I32, feature_N: I32) -> None:
    """Write for every byte the feature that ends there, or -1; each document is read from the first state.

    ``next_RB[row_T[t], byte]`` is the state behind `t`, and ``feature_T[t]`` the feature that ends in it. Every step waits for
    memory whose place the step before it tells; so several documents are read side by side, and the waits overlap.
    """
    at = np.zeros(LANES, np.int64)
    stop = np.zeros(LANES, np.int64)
    state = np.zeros(LANES, np.int64)
    document = 0
    lanes = 0
    while True:
        lane = 0
        while lane < lanes:  # what is read to its end makes room
            if at[lane] == stop[lane]:
                lanes -= 1
                at[lane] = at[lanes]
                stop[lane] = stop[lanes]
                state[lane] = state[lanes]
            else:
                lane += 1
        while lanes < LANES and document < offsets.size - 1:
            at[lanes] = offsets[document]
            stop[lanes] = offsets[document + 1]
            state[lanes] = 0
            document += 1
            if at[lanes] < stop[lanes]:
                lanes += 1
        if lanes == 0:
            return
        steps = stop[0] - at[0]
        for lane in range(lanes):
            steps = min(steps, stop[lane] - at[lane])
        for _ in range(steps):
            for lane in range(lanes):
                place = at[lane]
                reached = next_RB[row_T[state[lane]], text_N[place]]
                feature_N[place] = feature_T[reached]
                state[lane] = reached
                at[lane] = place + 1


@helper
def add_rows(weights_FL: I16, features: I32, count: int, sum_L: I32) -> None:
    """Sum of the weights of the first `count` features, four at a time: the table is larger than the caches."""
    sum_L[:] = 0
    four = count - count % 4
    for i in range(0, four, 4):
        a, b, c, d = features[i], features[i + 1], features[i + 2], features[i + 3]
        for k in range(sum_L.size):
            first = np.int32(weights_FL[a, k]) + np.int32(weights_FL[b, k])
            second = np.int32(weights_FL[c, k]) + np.int32(weights_FL[d, k])
            sum_L[k] += first + second
    for i in range(four, count):
        for k in range(sum_L.size):
            sum_L[k] += weights_FL[features[i], k]


@helper
def exponential(x: float) -> float:
    """e to the power of `x`, which is not above 0: the library of C would be a name that kept code leaves to be found."""
    if x < -60.0:
        return 0.0
    x /= 256.0
    power = 1.0
    for divisor in range(9, 0, -1):
        power = 1.0 + power * x / divisor
    for _ in range(8):
        power *= power
    return power


@kernel(
    reads(np.int32),
    reads(np.int64),
    reads(np.int16, 2),
    reads(np.float64),
    reads(np.float64),
    reads(np.int64),
    reads(np.float64),
    writes(np.int64),
    writes(np.float64),
)
def classify(
    feature_N: I32,
    offsets: I64,
    weights_FL: I16,
    counted: F64,
    prior_L: F64,
    same_L: I64,
    flat_D: F64,
    class_D: I64,
    share_D: F64,
) -> None:
    """The likeliest class of each text, or -1 for a text without any feature, and its share of all likelihood.

    A feature that occurs n times counts ``counted[n]`` times its weight for a class. Likelihoods of a text are flattened by the
    factor `flat_D`, and the shares of classes with one number in `same_L` are added up. Weights of features that occur equally
    often are added as whole numbers, so the sums are exact in any order.
    """
    classes = prior_L.size
    times_F = np.zeros(weights_FL.shape[0], np.int32)
    longest = 0
    for d in range(offsets.size - 1):
        longest = max(longest, offsets[d + 1] - offsets[d])
    found = np.empty(longest, np.int32)
    equal = np.empty(longest, np.int32)
    sum_L = np.zeros(weights_FL.shape[1], np.int32)
    score_L = np.zeros(weights_FL.shape[1], np.float64)
    shares = np.zeros(classes, np.float64)
    for d in range(offsets.size - 1):
        left = 0
        for at in range(offsets[d], offsets[d + 1]):
            feature = feature_N[at]
            if feature >= 0:
                if times_F[feature] == 0:
                    found[left] = feature
                    left += 1
                times_F[feature] += 1
        if left == 0:
            class_D[d] = -1
            share_D[d] = 0.0
            continue
        score_L[:] = 0.0
        times = 1
        while left > 0:
            count = 0
            kept = 0
            least = 2147483647
            for i in range(left):
                feature = found[i]
                occurs = integer(times_F[feature])
                if occurs == times:
                    times_F[feature] = 0
                    equal[count] = feature
                    count += 1
                else:
                    found[kept] = feature
                    kept += 1
                    least = min(least, occurs)
            if count > 0:
                add_rows(weights_FL, equal, count, sum_L)
                for c in range(score_L.size):
                    score_L[c] += counted[times] * sum_L[c]
            left = kept
            times = least
        most = -np.inf
        for c in range(classes):
            score_L[c] += prior_L[c]
            most = max(most, score_L[c])
        total = 0.0
        shares[:] = 0.0
        for c in range(classes):
            share = exponential((score_L[c] - most) * flat_D[d])
            shares[same_L[c]] += share
            total += share
        best = 0
        for c in range(1, classes):
            if shares[c] > shares[best]:
                best = c
        class_D[d] = best
        share_D[d] = shares[best] / total
