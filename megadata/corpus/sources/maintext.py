"""Which blocks of a page are its main text: points for and against each, and a few rules on blocks that belong together.

The points lie in ``maintext.yaml``. They are a logistic regression's, so that their sum is the logarithm of the odds that a
reader would call the block main text. ``benchmarks/fit_extract.py`` makes them from one half of the labelled pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from megadata.corpus.sources.evidence import BOILERPLATE, Evidence, bits_of, evidence, kinds, table
from megadata.corpus.sources.page import Page, tag_number
from megadata.kernels import html as kernels
from megadata.kernels.base import F64, Bool

FEW_WORDS = 20
"""Where the blocks with more for than against them hold fewer words, those with nearly as much are taken as well."""
NEARLY, LEAST = -1.5, -2.5
"""Points that are nearly as much; where nothing has them, what comes within one point of the best and has this."""
MENU_LINKS, MENU_SHARE = 4, 0.9
"""A block of so many links, and of nearly nothing else, is a menu whatever speaks for it."""
GAP, HEADING, CODE = -1.0, -2.0, -5.0
"""Points with which a block between kept ones, a heading before one and code beside one are taken as well."""
BARE_BLOCKS, BARE_LINKED, BARE = 30, 0.05, -2.5
"""A page of at most so many blocks and so small a share of linked characters has nothing around its text,
if no name says so: all blocks with more than these points are text."""
HIDDEN_SHARE = 0.7
"""What markup hides is no text, unless it holds more than this share of the words: then a script shows it."""
OF_LIST, OF_TABLE, OF_COMMENTS = 0.9, 0.5, 0.5
"""How much of a block's points is the mean of the list, the table of data or the place for comments that it lies in."""
LONG_CELL, MANY_LINES = 100, 3
"""A table with a longer cell, in characters, or one of so many line breaks, is no table of data: it lays out the page."""


@dataclass(frozen=True, slots=True)
class Scorecard:
    """Points by evidence, as arrays: `near` and `inside` for the 64 bits, then columns with a constant weight or with steps."""

    start: float
    near: F64
    inside: F64
    weights: dict[str, float]
    steps: dict[str, tuple[F64, F64]]


@cache
def scorecard() -> Scorecard:
    """The points that ship."""
    return scorecard_of(table()["points"])


def scorecard_of(points: dict[str, Any]) -> Scorecard:
    """Points as ``maintext.yaml`` has them: ``start``; name to points; for ``steps`` name to [[at, points], ...]."""
    near, inside = np.zeros(64), np.zeros(64)
    for bits, name in ((near, "near"), (inside, "inside")):
        for kind, value in points[name].items():
            bits[kinds().index(kind)] = value
    steps = {
        name: (np.array([at for at, _ in rows]), np.array([0.0, *(value for _, value in rows)]))
        for name, rows in points["steps"].items()
    }
    return Scorecard(float(points["start"]), near, inside, dict(points["flags"]), steps)


def _of_bits(bits: np.ndarray[tuple[int], np.dtype[np.int64]], points: F64) -> F64:
    unpacked = np.unpackbits(np.ascontiguousarray(bits).view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    return np.asarray(unpacked @ points, np.float64)


def score(found: Evidence, card: Scorecard | None = None) -> F64:
    """Points of each block."""
    card = card or scorecard()
    total = card.start + _of_bits(found.near_K, card.near) + _of_bits(found.inside_K, card.inside)
    for name, weight in card.weights.items():
        total += found.columns[name] * weight
    for name, (at, points) in card.steps.items():
        total += points[np.searchsorted(at, found.columns[name], side="right")]
    return np.asarray(total, np.float64)


def main_blocks(page: Page) -> Bool:
    """Mask of the blocks that are main text."""
    if not len(page.blocks):
        return np.zeros(0, np.bool_)
    found = evidence(page)
    return choose(page, found, score(found))


def choose(page: Page, found: Evidence, points: F64) -> Bool:
    """Blocks with positive points, those of lists, tables and comments together; more where that is nearly nothing."""
    words = page.blocks[:, kernels.WORDS] + 0.6 * page.blocks[:, kernels.IDEOGRAPHS]
    menu = (page.blocks[:, kernels.LINKS] >= MENU_LINKS) & (found.columns["linked"] > MENU_SHARE)
    points = _together(page, found, np.where(menu, -np.abs(points), points), words)
    kept = points > (BARE if _is_bare(page, found) else 0)
    kept &= ~_hidden(page, words * kept)
    if words[kept].sum() < FEW_WORDS:
        kept = points > NEARLY
        if not kept.any():
            kept = points > max(float(points.max()) - 1, LEAST)
    kept = _rejoined(page, points, kept)
    orphaned = _orphaned(page, kept)
    return kept if np.array_equal(orphaned, kept) else kept & ~orphaned  # headings alone are better than nothing


def _is_bare(page: Page, found: Evidence) -> bool:
    """Whether a page is a short text with nothing around it."""
    linked, characters = (int(page.blocks[:, column].sum()) for column in (kernels.LINKED, kernels.CHARACTERS))
    few = len(page.blocks) <= BARE_BLOCKS and linked <= BARE_LINKED * characters
    return few and not (found.inside_K & bits_of(BOILERPLATE)).any()


def _hidden(page: Page, words: F64) -> Bool:
    """Blocks that are not shown, where those that are shown have a fair part of the words."""
    node = page.blocks[:, kernels.NODE]
    if not len(page.nodes):
        return np.zeros(len(node), np.bool_)
    within = np.empty(len(page.nodes), np.int64)
    kernels.surround(page.nodes, (page.nodes[:, kernels.FLAGS] & kernels.HIDDEN) > 0, True, within)
    hidden = np.where(node >= 0, within[node], -1) >= 0
    if words[hidden].sum() > HIDDEN_SHARE * words.sum():
        hidden[:] = False
    return np.asarray(hidden, np.bool_)


def _rejoined(page: Page, points: F64, kept: Bool) -> Bool:
    """With code and gaps between kept blocks, and headings of what is kept, where not too much speaks against them."""
    if not len(page.nodes) or not kept.any():
        return kept
    node = np.maximum(page.blocks[:, kernels.NODE], 0)
    tag = page.nodes[node, kernels.TAG]
    inside_pre = np.empty(len(page.nodes), np.int64)
    kernels.surround(page.nodes, page.nodes[:, kernels.TAG] == tag_number("pre"), True, inside_pre)
    code = inside_pre[node] >= 0
    before, after = np.concatenate(([False], kept[:-1])), np.concatenate((kept[1:], [False]))
    gap = before & after & (points > GAP)
    heading = (tag == tag_number("h1")) & (page.nodes[node, kernels.LEVEL] > 1) & after & (points > HEADING)
    return np.asarray(kept | gap | heading | (code & (before | after) & (points > CODE)), np.bool_)


def _together(page: Page, found: Evidence, points: F64, words: F64) -> F64:
    """Points in which the blocks of a list, a table of data or a place for comments share their mean."""
    if not len(page.nodes):
        return points
    tag = page.nodes[:, kernels.TAG]
    node = page.blocks[:, kernels.NODE]
    weight = np.minimum(words, 60) + 1
    long_cell = np.zeros(len(page.nodes), np.bool_)
    table_of = np.empty(len(page.nodes), np.int64)
    kernels.surround(page.nodes, tag == tag_number("table"), False, table_of)
    long = (page.blocks[:, kernels.CHARACTERS] > LONG_CELL) | (page.blocks[:, kernels.BREAKS_IN] >= MANY_LINES)
    long_cell[table_of[node[(node >= 0) & long]]] = True
    for marked, outermost, share in (
        ((tag == tag_number("ul")) | (tag == tag_number("ol")) | (tag == tag_number("dl")), False, OF_LIST),
        ((tag == tag_number("table")) & ~long_cell, False, OF_TABLE),
        (found.nodes_commented, True, OF_COMMENTS),
    ):
        group_of = np.empty(len(page.nodes), np.int64)
        kernels.surround(page.nodes, marked, outermost, group_of)
        group = np.where(node >= 0, group_of[node], -1)
        inside = group >= 0
        if not inside.any():
            continue
        mine = group[inside]
        sums = np.bincount(mine, weight[inside] * np.clip(points[inside], -5, 5)) / np.maximum(
            np.bincount(mine, weight[inside]), 1
        )
        points = points.copy()
        points[inside] = (1 - share) * points[inside] + share * sums[mine]
    return points


def _orphaned(page: Page, kept: Bool) -> Bool:
    """Headings after which no block is kept before the next heading of the same or a higher level."""
    node = page.blocks[:, kernels.NODE]
    heading = (
        (node >= 0) & (page.nodes[np.maximum(node, 0), kernels.TAG] == tag_number("h1"))
        if len(page.nodes)
        else node >= 0
    )
    orphaned = np.zeros(len(kept), np.bool_)
    levels = page.nodes[np.maximum(node, 0), kernels.LEVEL] if len(page.nodes) else node
    for at in np.flatnonzero(heading & kept).tolist():
        for after in range(at + 1, len(kept)):
            if heading[after]:
                if levels[after] <= levels[at]:
                    orphaned[at] = node[after] != node[at]
                    break
            elif kept[after]:
                break
        else:
            orphaned[at] = True
    return orphaned
