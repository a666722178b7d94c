"""How well held-out documents are told apart, and what probability a margin stands for; both piles weigh the same."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from megadata.kernels.base import F64, Bool

KEEPS = (0.9, 0.95, 0.99)
"""Shares of the good pile to which thresholds are given."""
_DIGITS = 10_000
_NEWTON = 50


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold of `quality`, and what stays of held-out documents when those below it are dropped."""

    threshold: float
    good: float
    bad: float


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What a model says of documents that it was not trained on."""

    documents: int
    auc: float
    """How often a good document has more quality than a bad one; equal ones count half."""
    accuracy: float
    """Mean of the shares of both piles that lie on their side of 0.5."""
    thresholds: tuple[Threshold, ...]

    def plain(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def judge_held_out(values: F64, good: Bool) -> HeldOut:
    """Compare the probabilities of held-out documents with the pile that each is from."""
    ours, theirs = np.sort(values[good]), np.sort(values[~good])
    thresholds = []
    for keep in KEEPS:
        least = ours[math.floor(ours.size - ours.size * keep)]
        threshold = math.floor(least * _DIGITS) / _DIGITS
        thresholds.append(Threshold(threshold, float((ours >= threshold).mean()), float((theirs >= threshold).mean())))
    accuracy = ((ours >= 0.5).mean() + (theirs < 0.5).mean()) / 2
    return HeldOut(values.size, area(values, good), float(accuracy), tuple(thresholds))


def area(values: F64, good: Bool) -> float:
    """Area under the ROC curve."""
    theirs = np.sort(values[~good])
    below = np.searchsorted(theirs, values[good], side="left")
    up_to = np.searchsorted(theirs, values[good], side="right")
    return float((below + up_to).sum() / (2 * theirs.size * below.size))


def calibrate(margins: F64, good: Bool) -> tuple[float, float]:
    """Slope and shift that make probabilities of margins (Platt 1999, with its smoothed targets), by Newton's method."""
    count = np.array([(~good).sum(), good.sum()], np.float64)
    targets = np.where(good, (count[1] + 1) / (count[1] + 2), 1 / (count[0] + 2))
    shares = np.where(good, 0.5 / count[1], 0.5 / count[0])
    spread = float(np.sqrt((shares * np.square(margins)).sum())) or 1.0
    scaled = margins / spread
    slope, shift = 0.0, 0.0
    value = _loss(scaled, shares, targets, slope, shift)
    for _ in range(_NEWTON):
        p = 1 / (1 + np.exp(-(slope * scaled + shift)))
        pulls, curve = shares * (p - targets), shares * p * (1 - p)
        g = np.array([(pulls * scaled).sum(), pulls.sum()])
        a, b, c = (curve * scaled * scaled).sum() + 1e-12, (curve * scaled).sum(), curve.sum() + 1e-12
        determinant = a * c - b * b
        move = np.array([c * g[0] - b * g[1], a * g[1] - b * g[0]]) / (determinant or 1.0)
        step = 1.0
        while step > 1e-6:
            new = _loss(scaled, shares, targets, slope - step * move[0], shift - step * move[1])
            if new < value:
                break
            step /= 2
        else:
            break
        slope, shift, value = float(slope - step * move[0]), float(shift - step * move[1]), new
    return slope / spread, shift


def _loss(margins: F64, shares: F64, targets: F64, slope: float, shift: float) -> float:
    z = slope * margins + shift
    return float((shares * (np.logaddexp(0, z) - targets * z)).sum())
