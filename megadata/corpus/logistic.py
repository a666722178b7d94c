"""Logistic regression over hashed n-grams: the weights at which a convex loss is least, found by L-BFGS.

Nothing is drawn by lot: there is no order of documents, no starting point, no learning rate. The same rows give the same weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from megadata.kernels import linear
from megadata.kernels.base import F64, I64, U32

LOGS: F64 = np.log1p(np.arange(linear.MOST_TIMES + 1, dtype=np.float64))
"""Value of a feature by how often it occurs."""
HISTORY = 6
"""Moves that L-BFGS remembers."""
MOVES = 60
"""Most moves of one search."""
CLOSE = 3e-3
"""The search ends when the gradient is this small a share of that at weights of zero."""
_ENOUGH = 1e-4
"""Share of the promised descent that a step has to keep (Armijo's condition)."""
_HALVINGS = 20


@dataclass(frozen=True, slots=True)
class Rows:
    """Documents as rows of features, see `megadata.kernels.linear`."""

    features: U32
    bounds: I64
    scales: F64
    """What makes the length of each row 1; features that were left out as too rare are part of it."""
    signs: F64
    """1 for good documents, -1 for bad ones."""
    known: int
    """Features are numbered below it."""

    def margins(self, weights: F64) -> F64:
        """float64[D]: how far each document is on the good side; the last weight is the bias."""
        out = np.empty(self.scales.size)
        linear.margins(self.features, self.bounds, LOGS, self.scales, weights[:-1].astype(np.float32), out)
        out += weights[-1]
        return out

    def loss(self, weights: F64, shares: F64, penalty: float, gradient: F64) -> float:
        """Regularised logistic loss, and its gradient; the bias is not held back."""
        sided = self.signs * self.margins(weights)
        small = np.exp(-np.abs(sided))
        pulls = -self.signs * shares * np.where(sided > 0, small, 1.0) / (1 + small)
        np.multiply(weights, penalty, out=gradient)
        linear.pull(self.features, self.bounds, LOGS, pulls * self.scales, gradient[:-1])
        gradient[-1] = pulls.sum()
        losses = shares * (np.log1p(small) + np.maximum(-sided, 0))
        return float(losses.sum() + penalty / 2 * np.square(weights[:-1]).sum())


def fit(rows: Rows, shares: F64, strength: float, start: F64 | None = None) -> F64:
    """float64[known + 1]: a weight for each feature, and the bias.

    Parameters
    ----------
    shares : float64[D], what each document weighs; 0 leaves it out.
    strength : by how much the documents outweigh the penalty, which is half the sum of the squared weights.
    start : weights to begin at; zeros by default. It shortens the search and hardly moves its end.
    """
    penalty, size = 1 / strength, rows.known + 1
    weights, gradient, direction, ahead, slope = (np.zeros(size) for _ in range(5))
    moves, changes = np.zeros((HISTORY, size)), np.zeros((HISTORY, size))
    value = rows.loss(weights, shares, penalty, gradient)
    enough = CLOSE * _length(gradient)
    if start is not None:
        weights[:] = start
        value = rows.loss(weights, shares, penalty, gradient)
    made = 0
    while made < MOVES and _length(gradient) > enough:
        linear.descend(gradient, moves, changes, made, direction)
        step = 1.0 if made else 1 / _length(gradient)
        promised = float((gradient * direction).sum())
        for _ in range(_HALVINGS):
            np.multiply(direction, step, out=ahead)
            ahead += weights
            new = rows.loss(ahead, shares, penalty, slope)
            if new <= value + _ENOUGH * step * promised:
                break
            step /= 2
        else:
            break  # at the least value that can be told apart
        np.subtract(ahead, weights, out=moves[made % HISTORY])
        np.subtract(slope, gradient, out=changes[made % HISTORY])
        weights, ahead, gradient, slope, value = ahead, weights, slope, gradient, new
        made += 1
    return weights


def _length(vector: F64) -> float:
    """Euclidean norm; numpy's own sum, whose order no number of threads changes."""
    return float(np.sqrt(np.square(vector).sum()))
