"""Hashed n-grams of words, and logistic regression over them.

A *feature* is one uint32: a number below 2**24 (of a bucket, or of what stands for it in training) and in the high eight bits how
often it occurs in the document, 255 standing for more. A document's row of features has the length one as a vector of logarithms.

Letters: W words, D documents, F features of all documents, B buckets, K features that are known, H pairs of L-BFGS's history.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import F32, F64, I32, I64, U8, U32, U64, helper, kernel, reads, writes
from megadata.kernels.hashing import mix64

MOST_BITS = 24
MOST_TIMES = 255
UNKNOWN = -1

_NUMBER = np.uint32(0x00FFFFFF)
_TIMES = np.uint32(24)
_ONCE = np.uint32(1 << 24)
_FULL = np.uint8(MOST_TIMES)
_STEP = np.uint64(0xD1342543DE82EF95)  # a multiplier of Steele and Vigna 2021


@kernel(reads(np.uint64), reads(np.int64), np.int64, writes(np.uint8), writes(np.uint32), writes(np.int64))
def count_ngrams(hashes_W: U64, bounds: I64, longest: int, times_B: U8, out_F: U32, rows: I64) -> int:
    """Count the n-grams of 1 to `longest` words of each document by bucket, in the order in which they first occur.

    Document d gets out[rows[d]:rows[d + 1]]. The size of `times_B`, a power of two, is the number of buckets; it is all zero
    before and after. `out_F` has room for all n-grams. Returns the number of features.
    """
    mask = np.uint64(times_B.size - 1)
    at: int = 0
    rows[0] = 0
    for d in range(bounds.size - 1):
        begin = at
        end = bounds[d + 1]
        for w in range(bounds[d], end):
            value = np.uint64(0)
            for i in range(w, min(w + longest, end)):
                value = np.uint64(np.uint64(value * _STEP) + hashes_W[i])
                bucket = np.uint64(mix64(value) & mask)
                if times_B[bucket] == 0:
                    out_F[at] = np.uint32(bucket)
                    at += 1
                if times_B[bucket] < _FULL:
                    times_B[bucket] += np.uint8(1)
        for i in range(begin, at):
            bucket = np.uint64(out_F[i])
            out_F[i] = np.uint32(out_F[i] | np.uint32(np.uint32(times_B[bucket]) << _TIMES))
            times_B[bucket] = np.uint8(0)
        rows[d + 1] = at
    return at


@kernel(reads(np.uint32), writes(np.uint32))
def count_documents(features_F: U32, documents_B: U32) -> None:
    """Add to each bucket the number of documents that hold it."""
    for i in range(features_F.size):
        documents_B[features_F[i] & _NUMBER] += np.uint32(1)


@kernel(reads(np.uint32), reads(np.int64), reads(np.int32), writes(np.uint32), writes(np.int64))
def renumber(features_F: U32, rows: I64, numbers_B: I32, out_F: U32, out_rows: I64) -> int:
    """Copy rows with each bucket's number in its place; features of buckets that are `UNKNOWN` are left out."""
    at: int = 0
    out_rows[0] = 0
    for d in range(rows.size - 1):
        for i in range(rows[d], rows[d + 1]):
            number = numbers_B[features_F[i] & _NUMBER]
            if number != UNKNOWN:
                out_F[at] = np.uint32(np.uint32(number) | np.uint32(features_F[i] & np.uint32(~_NUMBER)))
                at += 1
        out_rows[d + 1] = at
    return at


@kernel(reads(np.uint32), reads(np.int64), reads(np.float64), writes(np.float64))
def scale(features_F: U32, rows: I64, logs: F64, out_D: F64) -> None:
    """What makes the length of each row 1, where `logs` has the value of a feature by how often it occurs; 0 for an empty row."""
    for d in range(rows.size - 1):
        squares = 0.0
        for i in range(rows[d], rows[d + 1]):
            value = logs[features_F[i] >> _TIMES]
            squares += value * value
        out_D[d] = 1 / np.sqrt(squares) if squares > 0 else 0.0


@kernel(reads(np.uint32), reads(np.int64), reads(np.float64), reads(np.float64), reads(np.float32), writes(np.float64))
def margins(features_F: U32, rows: I64, logs: F64, scales_D: F64, weights_K: F32, out_D: F64) -> None:
    """Sum of the weighted features of each document."""
    for d in range(rows.size - 1):
        total = 0.0
        for i in range(rows[d], rows[d + 1]):
            total += logs[features_F[i] >> _TIMES] * weights_K[features_F[i] & _NUMBER]
        out_D[d] = total * scales_D[d]


@kernel(reads(np.uint32), reads(np.int64), reads(np.float64), reads(np.float64), writes(np.float64))
def pull(features_F: U32, rows: I64, logs: F64, pulls_D: F64, gradient_K: F64) -> None:
    """Add to the gradient what each document pulls at its features, its scale included; 0 passes a document over."""
    for d in range(rows.size - 1):
        by = pulls_D[d]
        if by != 0:
            for i in range(rows[d], rows[d + 1]):
                gradient_K[features_F[i] & _NUMBER] += by * logs[features_F[i] >> _TIMES]


@helper
def dot(a: F64, b: F64) -> float:
    """Sum of products in the order of the arrays, so that no library's threads decide about its last bit."""
    total = 0.0
    for k in range(a.size):
        total += a[k] * b[k]
    return total


@kernel(reads(np.float64), reads(np.float64, 2), reads(np.float64, 2), np.int64, writes(np.float64))
def descend(gradient_K: F64, moves_HK: F64, changes_HK: F64, made: int, out_K: F64) -> None:
    """Direction of L-BFGS (Nocedal 1980, doi:10.1090/S0025-5718-1980-0572855-7).

    `moves_HK` and `changes_HK` hold the last moves and the gradient's changes along them, move m in row m % H; `made` is the
    number of moves so far. A move along which the gradient does not change is no help and is passed over.
    """
    rooms = moves_HK.shape[0]
    held = min(made, rooms)
    alphas = np.zeros(rooms, np.float64)
    curves = np.zeros(rooms, np.float64)
    for k in range(gradient_K.size):
        out_K[k] = -gradient_K[k]
    for back in range(held):
        h = (made - 1 - back) % rooms
        curves[h] = dot(moves_HK[h], changes_HK[h])
        if curves[h] > 0:
            alphas[h] = dot(moves_HK[h], out_K) / curves[h]
            for k in range(out_K.size):
                out_K[k] -= alphas[h] * changes_HK[h, k]
    if held:
        h = (made - 1) % rooms
        if curves[h] > 0:
            by = curves[h] / dot(changes_HK[h], changes_HK[h])
            for k in range(out_K.size):
                out_K[k] *= by
    for back in range(held - 1, -1, -1):
        h = (made - 1 - back) % rooms
        if curves[h] > 0:
            beta = dot(changes_HK[h], out_K) / curves[h]
            for k in range(out_K.size):
                out_K[k] += (alphas[h] - beta) * moves_HK[h, k]
