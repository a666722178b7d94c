"""Best-fit packing: every token once, nothing cut that fits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megadata.errors import ConfigError
from megadata.indexed.packing import pack


def best_fit_rows(sizes: list[int], length: int) -> int:
    """Rows that plain best-fit decreasing needs."""
    rooms: list[int] = []
    for size in sorted(sizes, reverse=True):
        fitting = [room for room in rooms if room >= size]
        if fitting:
            rooms[rooms.index(min(fitting))] -= size
        else:
            rooms.append(length - size)
    return len(rooms)


@given(st.lists(st.integers(0, 70), max_size=60), st.integers(1, 25))
@settings(max_examples=200)
def test_every_token_lies_in_one_row_and_rows_are_as_few_as_best_fit_makes_them(lengths, length):
    packing = pack(lengths, length)
    seen = [np.zeros(n, int) for n in lengths]
    for document, start, tokens in zip(packing.document, packing.start, packing.tokens, strict=True):
        seen[document][start : start + tokens] += 1
    assert all((part == 1).all() for part in seen)
    filled = np.bincount(packing.row, packing.tokens, minlength=packing.rows) if packing.rows else np.zeros(0)
    assert (filled <= length).all()
    assert (filled > 0).all()
    assert packing.cut == sum(n > length for n in lengths)
    assert packing.rows == sum(n // length for n in lengths) + best_fit_rows(
        [n % length for n in lengths if n % length], length
    )
    assert (np.diff(packing.row) >= 0).all()


def test_padding_is_what_no_token_fills():
    packing = pack([6, 5, 4, 3], 10)
    assert (packing.rows, packing.cut) == (2, 0)
    assert packing.padding == pytest.approx(0.1)
    assert packing.row.tolist() == [0, 0, 1, 1]
    assert packing.document.tolist() == [0, 2, 1, 3]
    assert pack([], 8).padding == 0


def test_negative_lengths_are_refused():
    with pytest.raises(ConfigError, match="cannot have negative lengths"):
        pack([3, -1], 8)
