"""Repeated strings of a file by a suffix array in memory, as Lee et al. 2022 (arXiv:2107.06499) find them.

Run by an environment with pydivsufsort (libdivsufsort) and numpy: ``python suffix_array.py FILE LENGTH RESULT``. FILE holds
documents, in order of rank, with a zero byte behind each. A byte is repeated when it lies in a string of LENGTH bytes that occurs
before, and does not overlap it inside one document. RESULT gets how many bytes are, and the seconds that took.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pydivsufsort


def repeated(data: np.ndarray, length: int) -> np.ndarray:
    """Which bytes are repeated."""
    order = pydivsufsort.divsufsort(data)
    common = pydivsufsort.kasai(data, order)  # common[i]: bytes that suffixes order[i] and order[i + 1] have in common
    ends = np.flatnonzero(data == 0)
    document = np.searchsorted(ends, order).astype(np.int32)
    inside = ends[document] - order >= length  # strings that hold no end of a document
    first = np.append(True, common[:-1] < length)  # of those that are equal
    least = np.minimum.reduceat(order, np.flatnonzero(first))[np.cumsum(first) - 1]
    before = (np.searchsorted(ends, least) != document) | (least.astype(np.int64) + length <= order)
    places = order[inside & before]
    borders = np.zeros(data.size + length + 1, np.int32)
    np.add.at(borders, places, 1)
    np.add.at(borders, places.astype(np.int64) + length, -1)
    return np.cumsum(borders)[: data.size] > 0


def main() -> None:
    """Write one line."""
    data = np.frombuffer(Path(sys.argv[1]).read_bytes(), np.uint8).copy()
    began = time.perf_counter()
    number = int(repeated(data, int(sys.argv[2])).sum())
    line = {"repeated": number, "in_memory_seconds": round(time.perf_counter() - began, 2)}
    Path(sys.argv[3]).write_text(json.dumps(line), "ascii")


if __name__ == "__main__":
    main()
