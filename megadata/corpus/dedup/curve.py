"""The S-curve: how likely MinHash bands find a pair of a given similarity, and how many bands and rows to use."""

from __future__ import annotations

import math

from megadata.errors import ConfigError

SIMILARITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""Where reports show the curve."""

ROWS = 8
"""Rows of a band where they can be afforded: at half the threshold about one pair in a hundred then becomes a candidate."""

AFFORDABLE = 512
"""Permutations beyond which bands get fewer rows, so that more candidates are compared instead."""

MOST = 4096
"""Permutations a signature may have at all."""


def expected_recall(similarity: float, bands: int, rows: int) -> float:
    """Chance that two documents of this Jaccard similarity share a band: ``1 - (1 - s**rows)**bands``.

    Broder 1997, doi:10.1109/SEQUEN.1997.666900; bands: Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, 3.4.
    """
    return -math.expm1(bands * math.log1p(-(similarity**rows))) if similarity < 1 else 1.0


def bands_for(threshold: float, recall: float, rows: int) -> int:
    """Fewest bands that find a pair at the threshold with at least this chance."""
    missed_by_one = math.log1p(-(threshold**rows)) if threshold < 1 else -math.inf
    bands = max(1, math.ceil(math.log1p(-recall) / missed_by_one - 1e-9))
    while expected_recall(threshold, bands, rows) < recall:
        bands += 1
    return bands


def choose(threshold: float, recall: float) -> tuple[int, int]:
    """Bands and rows for a threshold and the recall wanted there.

    Raises
    ------
    ConfigError
        If no number of bands within `MOST` permutations reaches the recall.
    """
    for rows in range(ROWS, 0, -1):
        bands = bands_for(threshold, recall, rows)
        if bands * rows <= AFFORDABLE or (rows == 1 and bands <= MOST):
            return bands, rows
    raise ConfigError(
        f"dedup: a recall of {recall} at threshold {threshold} needs {bands} bands, more than {MOST} permutations; "
        "raise the threshold or lower the recall"
    )


def curve(bands: int, rows: int) -> list[tuple[float, float]]:
    """(similarity, expected recall) at `SIMILARITIES`."""
    return [(similarity, expected_recall(similarity, bands, rows)) for similarity in SIMILARITIES]


def table(threshold: float, bands: int, rows: int) -> str:
    """The curve as lines for people."""
    head = f"{bands} bands of {rows} rows: expected recall of pairs by their Jaccard similarity"
    points = sorted({*curve(bands, rows), (threshold, expected_recall(threshold, bands, rows))})
    first = "  similarity  " + "  ".join(f"{s:5.3g}" for s, _ in points)
    second = "  recall, %   " + "  ".join(f"{100 * p:5.1f}" for _, p in points)
    return f"{head}\n{first}\n{second}"
