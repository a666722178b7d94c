"""The exchange: one order, whatever the runs, ranges and memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megadata.errors import CorpusError
from megadata.runtime import exchange as module
from megadata.runtime.exchange import Exchange

FIELDS = np.dtype([("key", "<u8"), ("unit", "<u4"), ("row", "<u4")])
KEYS = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 3), st.just(2**64 - 1))
RUNS = st.lists(st.lists(st.tuples(KEYS, st.binary(max_size=9)), max_size=12), max_size=5)


def written(folder, runs, with_payload):
    exchange = Exchange(folder, FIELDS)
    for number, rows in enumerate(runs):
        records = np.array([(key, number, row) for row, (key, _) in enumerate(rows)], FIELDS)
        if with_payload:
            payload = np.frombuffer(b"".join(p for _, p in rows), np.uint8)
            exchange.write(number, records, payload, np.array([len(p) for _, p in rows], np.int64))
        else:
            exchange.write(number, records)
    return exchange


def contents(exchange, memory, workers):
    rows = []
    for key_range in exchange.ranges(memory, workers):
        part = exchange.read(key_range)
        assert part.records.size == key_range.records
        for i, record in enumerate(part.records):
            rows.append((*record.tolist(), part.payload[part.offsets[i] : part.offsets[i + 1]].tobytes()))
    return rows


@given(
    runs=RUNS, with_payload=st.booleans(), budget=st.sampled_from([1, 64, 1 << 20]), group=st.sampled_from([2, 1000])
)
def test_records_come_back_sorted_whatever_the_memory(tmp_path_factory, runs, with_payload, budget, group):
    folder = tmp_path_factory.mktemp("exchange")
    exchange = written(folder, runs, with_payload)
    expected = sorted(
        (key, number, row, payload if with_payload else b"")
        for number, rows in enumerate(runs)
        for row, (key, payload) in enumerate(rows)
    )
    limits = module.MAX_RUNS, module.MIN_RANGE_BYTES
    module.MAX_RUNS, module.MIN_RANGE_BYTES = group, 16
    try:
        assert contents(exchange, budget, 1) == expected
        assert contents(exchange, budget, 1) == expected, "reading again, after runs were merged, changed the answer"
    finally:
        module.MAX_RUNS, module.MIN_RANGE_BYTES = limits


def test_ranges_fit_the_memory(tmp_path):
    rng = np.random.default_rng(0)
    exchange = Exchange(tmp_path, FIELDS)
    for run in range(4):
        records = np.zeros(50_000, FIELDS)
        records["key"] = rng.integers(0, 2**64, 50_000, np.uint64)
        exchange.write(run, records)
    ranges = exchange.ranges(memory=4 << 20, workers=2)
    assert len(ranges) > 1
    assert max(r.bytes for r in ranges) <= (4 << 20) // 8
    assert sum(r.records for r in ranges) == 200_000


def test_a_merge_killed_before_its_runs_are_deleted_counts_nothing_twice(tmp_path, monkeypatch):
    exchange = written(tmp_path, [[(5, b"")], [(1, b"")], [(9, b"")]], with_payload=False)
    kept = {p.name: p.read_bytes() for p in tmp_path.glob("*.run")}
    monkeypatch.setattr(module, "MAX_RUNS", 2)
    first = contents(exchange, 1 << 20, 1)
    for name, data in kept.items():
        (tmp_path / name).write_bytes(data)
    assert contents(exchange, 1 << 20, 1) == first == [(1, 1, 0, b""), (5, 0, 0, b""), (9, 2, 0, b"")]


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: b"x" + d[1:], lambda d: b""])
def test_a_damaged_run_is_named(tmp_path, damage):
    exchange = written(tmp_path, [[(5, b"")]], with_payload=False)
    path = next(tmp_path.glob("*.run"))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CorpusError, match=r"000000\.run: expected a whole run .* delete it and run again"):
        exchange.ranges(1 << 20, 1)


def test_ranges_for_more_workers_hold_the_same_records_in_the_same_order(tmp_path: Path):
    exchange = Exchange(tmp_path, np.dtype([("key", "<u8"), ("value", "<u4")]))
    rng = np.random.default_rng(5)
    for run in range(3):
        rows = np.empty(500_000, exchange.fields)
        rows["key"], rows["value"] = rng.integers(0, 1 << 64, rows.size, dtype=np.uint64), run
        exchange.write(run, rows)
    one, four = exchange.ranges(1 << 30, 1), exchange.ranges(1 << 30, 2, 4)
    assert len(one) == 1
    assert len(four) >= 4
    together = np.concatenate([exchange.read(part).records for part in four])
    assert np.array_equal(together, exchange.read(one[0]).records)
    few = Exchange(tmp_path / "few", exchange.fields)
    few.write(0, rows[:1000])
    assert len(few.ranges(1 << 30, 2, 4)) == 1
