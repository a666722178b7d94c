"""Ids that several documents have: each is found, numbered among its equals, in bounded memory."""

from __future__ import annotations

import tracemalloc
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from megadata.documents import repeats
from megadata.documents.ids import NOTE, STREAMS
from megadata.documents.repeats import find_repeats, repeats_of
from megadata.runtime import exchange as exchange_module
from megadata.runtime.exchange import Exchange
from megadata.runtime.executor import LocalExecutor

NOTES = st.lists(st.tuples(*(st.integers(0, most) for most in (2, 1, 2, 3, 1))), max_size=60)
"""(key, check, path, unit, stream)"""


def notes_of(rows: list[tuple[int, ...]]) -> dict[int, list[tuple[int, ...]]]:
    """Notes by unit, each with an offset of its own."""
    by_unit: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for key, check, path, unit, stream in rows:
        by_unit[unit].append((key, check, path, unit, stream, 10 * len(by_unit[unit])))
    return by_unit


def written(folder: Path, by_unit: dict[int, list[tuple[int, ...]]]) -> Exchange:
    notes = Exchange(folder, NOTE)
    for unit, rows in by_unit.items():
        notes.write(unit, np.array(rows, NOTE))
    return notes


def by_the_definition(by_unit: dict[int, list[tuple[int, ...]]]) -> dict[int, dict[tuple[str, int], int]]:
    rows = sorted(row for unit in by_unit.values() for row in unit)
    ids, seen = Counter(row[:2] for row in rows), Counter[tuple[int, ...]]()
    found: dict[int, dict[tuple[str, int], int]] = defaultdict(dict)
    for row in rows:
        if ids[row[:2]] > 1:
            found[row[3]][STREAMS[row[4]], row[5]] = seen[row[:3]]
            seen[row[:3]] += 1
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=NOTES, piece=st.integers(1, 9), runs=st.sampled_from([2, 1000]))
def test_repeats_are_those_of_the_definition_however_little_is_read_at_once(rows, piece, runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("repeats")
    by_unit = notes_of(rows)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(exchange_module, "MAX_RUNS", runs)
        whole = find_repeats(LocalExecutor(1), written(folder / "a", by_unit), folder / "whole.npy", 1 << 30)
        patched.setattr(repeats, "_PIECE", piece)
        patched.setattr(exchange_module, "MIN_RANGE_BYTES", 1)
        bounded = find_repeats(LocalExecutor(1), written(folder / "b", by_unit), folder / "bounded.npy", 4)
    expected = by_the_definition(by_unit)
    assert whole == bounded == sum(map(len, expected.values()))
    for unit in by_unit:
        assert repeats_of(folder / "whole.npy", unit) == repeats_of(folder / "bounded.npy", unit) == expected[unit]
    assert sorted(p.name for p in folder.iterdir() if p.name not in ("a", "b")) == ["bounded.npy", "whole.npy"]


def test_half_a_million_documents_of_one_id_stay_within_the_memory_budget(tmp_path, monkeypatch):
    monkeypatch.setattr(repeats, "_PIECE", 1 << 16)
    notes = Exchange(tmp_path / "ids", NOTE)
    each, units = 50_000, 10
    for unit in range(units):
        rows = np.zeros(each, NOTE)
        rows["key"], rows["path"], rows["unit"], rows["offset"] = 7, unit // 2, unit, np.arange(each) * 100
        notes.write(unit, rows)
    tracemalloc.start()
    try:
        number = find_repeats(LocalExecutor(1), notes, tmp_path / "repeats.npy", 8 << 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert number == each * units
    assert peak < 16 << 20, "once 240 bytes for each of the documents"
    assert repeats_of(tmp_path / "repeats.npy", 3)["kept", 4_999_900] == 99_999
