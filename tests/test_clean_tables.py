"""Tables over all of Unicode, kept from process to process."""

from __future__ import annotations

import numpy as np
import pytest

from megadata.corpus import characters, repair, tables
from megadata.corpus.tables import kept_tables
from megadata.errors import OutputError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MEGADATA_CACHE", str(tmp_path))
    return tmp_path / "tables"


def keep(makes: list[int], *libraries: str) -> np.ndarray:
    def make():
        makes.append(1)
        return (np.arange(3, dtype=np.uint8),)

    return kept_tables("three", (__file__,), libraries, make)[0]


def test_a_table_is_made_once_and_cannot_be_written(cache):
    makes: list[int] = []
    for _ in range(2):
        table = keep(makes)
        assert table.tolist() == [0, 1, 2]
        assert not table.flags.writeable
    assert len(makes) == 1
    keep(makes, "ftfy 99")
    assert len(makes) == 2


def test_a_damaged_table_is_made_again(cache):
    makes: list[int] = []
    keep(makes)
    (kept,) = cache.rglob("0.npy")
    kept.write_bytes(kept.read_bytes()[:-1])
    assert keep(makes).tolist() == [0, 1, 2]
    assert keep(makes).tolist() == [0, 1, 2]
    assert len(makes) == 2
    kept.write_bytes(kept.read_bytes()[:-1] + b"\7")
    assert keep(makes).tolist() == [0, 1, 2]
    assert len(makes) == 3


def test_a_cache_that_cannot_be_written_is_no_obstacle(cache, monkeypatch):
    def full(path, **_):
        raise OutputError(f"{path}: the disk is full")

    cache.write_bytes(b"a file, where a folder would have to be")
    assert keep([]).tolist() == [0, 1, 2]
    cache.unlink()
    monkeypatch.setattr(tables, "atomic_write", full)
    assert keep([]).tolist() == [0, 1, 2]


def test_the_kept_tables_are_those_that_are_made(cache):
    for kept, made in (
        ((characters.class_table(),), (characters._make_class_table(),)),
        (repair.scan_tables(), repair._scan_tables(True, True, True)),
        (repair.scan_tables(False, False, True), repair._scan_tables(False, False, True)),
    ):
        for table, fresh in zip(kept, made, strict=True):
            assert np.array_equal(table, fresh)
            assert table.dtype == fresh.dtype
