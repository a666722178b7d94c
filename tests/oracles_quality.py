"""Plain Python for quality models: n-grams by bucket, the logistic loss and its gradient, L-BFGS, areas under ROC curves."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

MASK = (1 << 64) - 1


def mix64(value: int) -> int:
    """MurmurHash3's finaliser."""
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD & MASK
    value ^= value >> 33
    value = value * 0xC4CEB9FE1A85EC53 & MASK
    return value ^ value >> 33


def ngrams(hashes: list[int], longest: int, bits: int) -> list[tuple[int, int]]:
    """(bucket, times, at most 255) of the n-grams of one document, in the order in which they first occur."""
    counts: Counter[int] = Counter()
    for start in range(len(hashes)):
        value = 0
        for one in hashes[start : start + longest]:
            value = (value * 0xD1342543DE82EF95 + one) & MASK
            counts[mix64(value) % (1 << bits)] += 1
    return [(bucket, min(times, 255)) for bucket, times in counts.items()]


def values(row: list[tuple[int, int]]) -> list[float]:
    """What the features of a row are worth: logarithms, scaled to length 1."""
    logs = [math.log1p(times) for _, times in row]
    length = math.sqrt(math.fsum(log * log for log in logs))
    return [log / length for log in logs]


def loss(
    rows: list[list[tuple[int, int]]], signs: list[int], shares: list[float], penalty: float, weights: list[float]
) -> tuple[float, list[float]]:
    """Regularised logistic loss and its gradient; the last weight is the bias."""
    total = penalty / 2 * math.fsum(w * w for w in weights[:-1])
    gradient = [penalty * w for w in weights[:-1]] + [0.0]
    for row, sign, share in zip(rows, signs, shares, strict=True):
        scaled = values(row)
        margin = sign * (math.fsum(weights[k] * v for (k, _), v in zip(row, scaled, strict=True)) + weights[-1])
        total += share * math.log1p(math.exp(-margin))
        pull = -sign * share / (1 + math.exp(margin))
        for (k, _), value in zip(row, scaled, strict=True):
            gradient[k] += pull * value
        gradient[-1] += pull
    return total, gradient


def direction(gradient: list[float], moves: list[list[float]], changes: list[list[float]]) -> list[float]:
    """Minus the inverse Hessian that BFGS makes of these moves (oldest first), times the gradient, by whole matrices."""
    size = len(gradient)
    last = _dot(moves[-1], changes[-1]) / _dot(changes[-1], changes[-1]) if moves else 1.0
    inverse = [[last * (i == j) for j in range(size)] for i in range(size)]
    for s, y in zip(moves, changes, strict=True):
        rho = 1 / _dot(s, y)
        left = [[(i == j) - rho * s[i] * y[j] for j in range(size)] for i in range(size)]
        inverse = _product(_product(left, inverse), [list(column) for column in zip(*left, strict=True)])
        inverse = [[inverse[i][j] + rho * s[i] * s[j] for j in range(size)] for i in range(size)]
    return [-_dot(row, gradient) for row in inverse]


def _dot(a: list[float], b: list[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def _product(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
    columns = list(zip(*b, strict=True))
    return [[_dot(row, list(column)) for column in columns] for row in a]


def area(good: list[float], bad: list[float]) -> Fraction:
    """How often a good value is above a bad one; equal ones count half."""
    wins = sum((g > b) * 2 + (g == b) for g in good for b in bad)
    return Fraction(wins, 2 * len(good) * len(bad))
