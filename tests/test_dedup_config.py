"""Configuration of deduplication and the S-curve."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megadata.config import build, to_dict
from megadata.corpus.dedup import curve
from megadata.corpus.dedup.config import DedupConfig, MinHashConfig
from megadata.documents.source import ReadOptions
from megadata.errors import ConfigError

# Chance of becoming a candidate, in per cent, at similarity .6 .7 .75 .8 .85 .9 .95, of systems in use (bands, rows).
PUBLISHED = {
    (14, 8): (21, 57, 77, 92, 98.8, 100, 100),
    (20, 13): (2.6, 18, 38, 68, 92, 99.7, 100),
    (20, 5): (80, 97.5, 99.6, 100, 100, 100, 100),
    (26, 11): (9, 40, 67, 90, 99, 100, 100),
    (450, 20): (1.6, 30, 76, 99.5, 100, 100, 100),
    (24, 10): (13.5, 50, 75, 93.5, 99.5, 100, 100),
    (25, 10): (14, 51, 76.5, 94, 99.6, 100, 100),
    (9, 13): (1.2, 8.4, 19.5, 40, 69, 93, 99.8),
    (8, 16): (0.2, 2.6, 7.7, 20, 46, 81, 99),
}


@pytest.mark.parametrize("shape", PUBLISHED)
def test_the_curve_has_the_published_numbers(shape: tuple[int, int]):
    similarities = (0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    for similarity, percent in zip(similarities, PUBLISHED[shape], strict=True):
        half_a_digit = 0.55 if percent >= 9 else 0.06  # as printed: whole numbers, or one decimal
        assert 100 * curve.expected_recall(similarity, *shape) == pytest.approx(percent, abs=half_a_digit)


def test_the_defaults_are_thirteen_bands_of_eight_rows_with_the_recall_asked_for():
    config = DedupConfig()
    assert config.shape == (13, 8)
    assert config.probability(0.8) >= 0.9
    assert config.ratio == (4, 5)


@given(threshold=st.floats(0.4, 1), recall=st.floats(0.01, 0.99), rows=st.integers(1, 8))
def test_bands_are_the_fewest_that_reach_the_recall(threshold: float, recall: float, rows: int):
    bands = curve.bands_for(threshold, recall, rows)
    assert curve.expected_recall(threshold, bands, rows) >= recall
    assert bands == 1 or curve.expected_recall(threshold, bands - 1, rows) < recall * (1 + 1e-9)


@given(threshold=st.floats(0.1, 1), recall=st.floats(0.01, 0.99))
def test_every_ordinary_threshold_and_recall_has_bands(threshold: float, recall: float):
    bands, rows = curve.choose(threshold, recall)
    assert curve.expected_recall(threshold, bands, rows) >= recall
    assert bands * rows <= curve.AFFORDABLE or rows == 1


def test_the_table_shows_the_threshold_among_the_similarities():
    assert MinHashConfig(threshold=0.8).table().splitlines() == [
        "13 bands of 8 rows: expected recall of pairs by their Jaccard similarity",
        "  similarity    0.5    0.6    0.7   0.75    0.8   0.85    0.9   0.95",
        "  recall, %     5.0   19.8   53.8   74.6   90.8   98.4   99.9  100.0",
    ]
    assert " 0.77 " in MinHashConfig(threshold=0.77).table()


def test_the_defaults_are_these():
    assert to_dict(DedupConfig()) == {
        "threshold": 0.8,
        "recall": 0.9,
        "measure": "jaccard",
        "shingle": "words",
        "width": 5,
        "bands": None,
        "rows": None,
        "seed": 1,
        "remembered": 128,
        "exact_only": False,
        "prefer": [],
        "quality": "quality",
        "quality_first": False,
        "index_with_sets": False,
        "estimate": False,
        "removed": "text",
        "form": "jsonl.zst",
        "read": to_dict(ReadOptions()),
        "unit_bytes": 8 << 20,
        "shard_bytes": 512 << 20,
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"threshold": 0}, "dedup: threshold must be more than 0 and at most 1, got 0.0"),
        ({"threshold": 1.2}, "dedup: threshold must be more than 0 and at most 1, got 1.2"),
        ({"recall": 1}, "dedup: recall must be more than 0 and less than 1, got 1.0"),
        ({"width": 0}, "dedup: width must be from 1 to 1000, got 0"),
        ({"seed": -1}, r"dedup: seed must be from 0 to 2\*\*32 - 1, got -1"),
        ({"bands": 4}, "dedup: bands and rows must be given together, got only one of them"),
        ({"bands": 900, "rows": 8}, "at most 4096 hashes together, got 900 x 8"),
        ({"prefer": ("web", "web")}, "dedup: prefer must name each source once, got web,web"),
        ({"treshold": 0.7}, "unknown key 'treshold'; did you mean \"threshold\"?"),
        ({"threshold": 0.001, "recall": 0.99}, "needs 4603 bands, more than 4096 permutations"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(values: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        build(DedupConfig, values, "dedup")


def test_a_configuration_survives_its_plain_form():
    config = DedupConfig(threshold=0.7, prefer=("books", "web"), bands=20, rows=5)
    assert build(DedupConfig, to_dict(config), "dedup") == config
    assert config.shape == (20, 5)


@given(decimals=st.integers(1, 1000))
def test_thresholds_are_compared_as_the_decimal_that_was_written(decimals: int):
    numerator, denominator = MinHashConfig(threshold=decimals / 1000, bands=2, rows=2, recall=0.01).ratio
    assert numerator * 1000 == decimals * denominator
