"""Hashes of integers and of rows of bytes. Letters: R rows, N bytes of all rows.

`mix64` and `mix32` are the finalisers of MurmurHash3 (Appleby, public domain): bijections under which every input bit moves
every output bit.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I64, U8, U64, helper, kernel, reads, writes

_BYTE_STEP = np.uint64(0x9E3779B97F4A7C15)


@helper
def mix64(value: np.uint64) -> np.uint64:
    """Bijection on 64 bits."""
    value = np.uint64(value ^ (value >> np.uint64(33)))
    value = np.uint64(value * np.uint64(0xFF51AFD7ED558CCD))
    value = np.uint64(value ^ (value >> np.uint64(33)))
    value = np.uint64(value * np.uint64(0xC4CEB9FE1A85EC53))
    return np.uint64(value ^ (value >> np.uint64(33)))


@helper
def mix32(value: np.uint32) -> np.uint32:
    """Bijection on 32 bits; the pre-mix of datasketch's ``affine32``."""
    value = np.uint32(value ^ (value >> np.uint32(16)))
    value = np.uint32(value * np.uint32(0x85EBCA6B))
    value = np.uint32(value ^ (value >> np.uint32(13)))
    value = np.uint32(value * np.uint32(0xC2B2AE35))
    return np.uint32(value ^ (value >> np.uint32(16)))


@kernel(reads(np.uint8), reads(np.int64), np.uint64, writes(np.uint64))
def hash_rows(data_N: U8, offsets: I64, seed: np.uint64, out_R: U64) -> None:
    """64-bit hash of each row data[offsets[r]:offsets[r + 1]]."""
    for row in range(out_R.size):
        start, stop = offsets[row], offsets[row + 1]
        state = np.uint64(seed ^ np.uint64(stop - start))
        for i in range(start, stop):
            state = np.uint64(np.uint64(state ^ np.uint64(data_N[i])) * _BYTE_STEP)
            state = np.uint64(state ^ (state >> np.uint64(29)))
        out_R[row] = mix64(state)
