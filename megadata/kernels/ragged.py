"""Kernels that move pieces of different lengths. Letters: R rows, N bytes of all rows."""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I64, U8, helper, kernel, reads, writes
from megadata.kernels.blocks import eight, put_eight


@helper
def copy(data_N: U8, start: int, size: int, out_N: U8, to: int) -> None:
    """Copy data[start:start + size] to out[to:], eight bytes at a time."""
    if size < 8:
        for k in range(size):
            out_N[to + k] = data_N[start + k]
    else:
        for k in range(0, size - 8, 8):
            put_eight(out_N, to + k, eight(data_N, start + k))
        put_eight(out_N, to + size - 8, eight(data_N, start + size - 8))


@kernel(reads(np.uint8), reads(np.int64), reads(np.int64), writes(np.uint8))
def gather(data_N: U8, offsets: I64, order_R: I64, out_N: U8) -> None:
    """Write rows data[offsets[r]:offsets[r + 1]] one after another, in the order given."""
    at = 0
    for row in order_R:
        size = offsets[row + 1] - offsets[row]
        copy(data_N, offsets[row], size, out_N, at)
        at += size


@kernel(reads(np.uint8), reads(np.int64), reads(np.int64), reads(np.int64), writes(np.uint8))
def place(data_N: U8, starts_R: I64, stops_R: I64, to_R: I64, out_N: U8) -> None:
    """Copy each data[starts[r]:stops[r]] to out[to[r]:]."""
    for r in range(starts_R.size):
        copy(data_N, starts_R[r], stops_R[r] - starts_R[r], out_N, to_R[r])
