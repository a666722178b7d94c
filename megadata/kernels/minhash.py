"""MinHash signatures and band values. Letters: S shingles of all documents, D documents, P permutations, B bands."""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I64, U32, U64, kernel, reads, writes
from megadata.kernels.hashing import mix32, mix64

EMPTY = np.uint32(0xFFFFFFFF)
"""Every slot of the signature of a document without shingles."""

_BAND = np.uint64(0x9E3779B97F4A7C15)
_STEP = np.uint64(0xD1342543DE82EF95)


@kernel(reads(np.uint64), reads(np.int64), reads(np.uint32), reads(np.uint32), writes(np.uint32, 2))
def signatures(shingles_S: U64, bounds: I64, mul_P: U32, add_P: U32, out_DP: U32) -> None:
    """Fill row d of `out_DP` with the signature of the low 32 bits of shingles[bounds[d]:bounds[d + 1]].

    This is datasketch's ``affine32``: least of ``mul * mix32(hash) + add`` modulo 2**32. Four shingles are taken at a time, so
    that the row is loaded and stored a quarter as often.
    """
    for d in range(bounds.size - 1):
        row = out_DP[d]
        for p in range(mul_P.size):
            row[p] = EMPTY
        at, stop = bounds[d], bounds[d + 1]
        while at < stop:
            h0 = mix32(np.uint32(shingles_S[at]))
            h1 = mix32(np.uint32(shingles_S[min(at + 1, stop - 1)]))
            h2 = mix32(np.uint32(shingles_S[min(at + 2, stop - 1)]))
            h3 = mix32(np.uint32(shingles_S[min(at + 3, stop - 1)]))
            for p in range(mul_P.size):
                a, b = mul_P[p], add_P[p]
                v0 = np.uint32(np.uint32(a * h0) + b)
                v1 = np.uint32(np.uint32(a * h1) + b)
                v2 = np.uint32(np.uint32(a * h2) + b)
                v3 = np.uint32(np.uint32(a * h3) + b)
                row[p] = min(row[p], min(min(v0, v1), min(v2, v3)))
            at += 4


@kernel(reads(np.uint32, 2), np.int64, writes(np.uint64, 2))
def band_values(signatures_DP: U32, rows: int, out_DB: U64) -> None:
    """64-bit hash of each band: ``rows`` neighbouring slots and the band's number, so that bands never share a value."""
    for d in range(out_DB.shape[0]):
        for band in range(out_DB.shape[1]):
            value = np.uint64(np.uint64(band + 1) * _BAND)
            for slot in range(band * rows, (band + 1) * rows):
                value = mix64(np.uint64(np.uint64(value * _STEP) ^ np.uint64(signatures_DP[d, slot])))
            out_DB[d, band] = value
