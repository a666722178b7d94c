"""Which blocks of a page are its main text: points for and against each, and a few rules on blocks that belong together.

The points lie in ``maintext.yaml``. They are a logistic regression's, so that their sum is the logarithm of the odds that a
reader would call the block main text. ``benchmarks/fit_extract.py`` makes them from one half of the labelled pages.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from megadata.corpus.sources.evidence import BOILERPLATE, Evidence, bits_of, evidence, kinds, table
from megadata.corpus.sources.layout import data_tables, layout_lists, without_long_cells
from megadata.corpus.sources.page import Page, Pages, join, tag_number
from megadata.kernels import html as kernels
from megadata.kernels.base import F64, I64, Bool

DECIMALS = 2
"""Decimals of points."""
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
TABLE_GAP, TABLE_LINKED, TABLE_NEAR = (0.0, -0.75, -1.0), 0.5, 2
"""A table of data with more than these points, and a smaller share of linked characters, is taken as well: where nothing is kept
at most so many blocks from it, something on one side, something on both."""


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


def _of_bits(bits: I64, points: F64) -> F64:
    unpacked = np.unpackbits(np.ascontiguousarray(bits).view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    return np.asarray(unpacked @ points, np.float64)


def score(found: Evidence, card: Scorecard | None = None) -> F64:
    """Points of each block. Sums are rounded: else a tie is settled by the order in which a processor adds."""
    card = card or scorecard()
    total = card.start + _of_bits(found.near_K, card.near) + _of_bits(found.inside_K, card.inside)
    for name, weight in card.weights.items():
        total += found.columns[name] * weight
    for name, (at, points) in card.steps.items():
        total += points[np.searchsorted(at, found.columns[name], side="right")]
    return np.asarray(np.round(total, DECIMALS), np.float64)


def main_blocks(page: Page) -> Bool:
    """Mask of the blocks that are main text."""
    return main_blocks_of([page])[0]


def main_blocks_of(pages: Sequence[Page]) -> list[Bool]:
    """The same of each of some pages; what comes with a page changes nothing."""
    holding = [page for page in pages if len(page.blocks)]
    if not holding:
        return [np.zeros(0, np.bool_)] * len(pages)
    joined = join(holding)
    found = evidence(joined)
    kept = choose(joined, found, score(found))
    masks = iter([kept[page] for page in joined.of_blocks()])
    return [next(masks) if len(page.blocks) else np.zeros(0, np.bool_) for page in pages]


def choose(pages: Pages, found: Evidence, points: F64) -> Bool:
    """Blocks with positive points, those of lists, tables and comments together; more where that is nearly nothing."""
    blocks = pages.blocks
    words = blocks[:, kernels.WORDS] + 0.6 * blocks[:, kernels.IDEOGRAPHS]
    menu = (blocks[:, kernels.LINKS] >= MENU_LINKS) & (found.columns["linked"] > MENU_SHARE)
    short = without_long_cells(pages)
    tables = data_tables(pages, short)
    points = _together(pages, found, np.where(menu, -np.abs(points), points), words, short, tables)
    kept = points > np.repeat(np.where(_are_bare(pages, found), BARE, 0), np.diff(pages.block_starts))
    hidden = _hidden(pages, words * kept)
    kept &= ~hidden
    for page in pages.of_blocks():
        if words[page][kept[page]].sum() < FEW_WORDS:
            kept[page] = _nearly(points[page])
    kept = _whole_tables(pages, points, kept, _rejoined(pages, points, kept), hidden, tables)
    orphaned = _orphaned(pages, kept)
    for page in pages.of_blocks():
        if not np.array_equal(orphaned[page], kept[page]):  # headings alone are better than nothing
            kept[page] &= ~orphaned[page]
    return kept


def _nearly(points: F64) -> Bool:
    """Blocks of one page that are taken where those with more for than against them are too few."""
    kept = points > NEARLY
    return np.asarray(kept if kept.any() else points > max(float(points.max()) - 1, LEAST), np.bool_)


def _are_bare(pages: Pages, found: Evidence) -> Bool:
    """Whether each page is a short text with nothing around it."""
    starts = pages.block_starts[:-1]
    linked, characters = (
        np.add.reduceat(pages.blocks[:, column], starts, dtype=np.int64)
        for column in (kernels.LINKED, kernels.CHARACTERS)
    )
    few = (np.diff(pages.block_starts) <= BARE_BLOCKS) & (linked <= BARE_LINKED * characters)
    return np.asarray(few & ~np.logical_or.reduceat((found.inside_K & bits_of(BOILERPLATE)) != 0, starts), np.bool_)


def _hidden(pages: Pages, words: F64) -> Bool:
    """Blocks that are not shown, where those that are shown have a fair part of the words."""
    node = pages.blocks[:, kernels.NODE]
    within = np.empty(len(pages.nodes), np.int64)
    kernels.surround(pages.nodes, (pages.nodes[:, kernels.FLAGS] & kernels.HIDDEN) > 0, True, within)
    hidden = (node >= 0) & (within[node] >= 0)
    for page in pages.of_blocks():
        if hidden[page].any() and words[page][hidden[page]].sum() > HIDDEN_SHARE * words[page].sum():
            hidden[page] = False
    return np.asarray(hidden, np.bool_)


def _rejoined(pages: Pages, points: F64, kept: Bool) -> Bool:
    """With code and gaps between kept blocks, and headings of what is kept, where not too much speaks against them."""
    node = pages.blocks[:, kernels.NODE]
    node = np.where(node >= 0, node, np.repeat(pages.node_starts[:-1], np.diff(pages.block_starts)))
    tag = pages.nodes[node, kernels.TAG]
    inside_pre = np.empty(len(pages.nodes), np.int64)
    kernels.surround(pages.nodes, pages.nodes[:, kernels.TAG] == tag_number("pre"), True, inside_pre)
    code = inside_pre[node] >= 0
    before, after = np.zeros_like(kept), np.zeros_like(kept)
    before[1:], after[:-1] = kept[:-1], kept[1:]
    before[pages.block_starts[:-1]] = False
    after[np.array(pages.block_starts[1:]) - 1] = False
    gap = before & after & (points > GAP)
    heading = (tag == tag_number("h1")) & (pages.nodes[node, kernels.LEVEL] > 1) & after & (points > HEADING)
    return np.asarray(kept | gap | heading | (code & (before | after) & (points > CODE)), np.bool_)


def _together(
    pages: Pages, found: Evidence, points: F64, words: F64, short: Bool, tables: list[tuple[int, int]]
) -> F64:
    """Points in which the blocks of a list, a table or a place for comments share their mean; in a table of data all have it."""
    tag = pages.nodes[:, kernels.TAG]
    node = pages.blocks[:, kernels.NODE]
    lists = (tag == tag_number("ul")) | (tag == tag_number("ol")) | (tag == tag_number("dl"))
    weight = np.minimum(words, 60) + 1
    for marked, outermost, share in (
        (lists & ~layout_lists(pages.nodes, pages.blocks), False, OF_LIST),
        (short, False, OF_TABLE),
        (found.nodes_commented, True, OF_COMMENTS),
    ):
        if not marked.any():
            continue
        group_of = np.empty(len(pages.nodes), np.int64)
        kernels.surround(pages.nodes, marked, outermost, group_of)
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
    for at, end in tables:
        mean = (np.clip(points[at:end], -5, 5) * weight[at:end]).sum() / weight[at:end].sum()
        points[at:end] = round(float(mean), DECIMALS)
    return points


def _whole_tables(
    pages: Pages, points: F64, chosen: Bool, kept: Bool, hidden: Bool, tables: list[tuple[int, int]]
) -> Bool:
    """`kept` with each table of data as it was `chosen`, all or nothing, or with one that lies between kept blocks."""
    for at, end in tables:
        page = bisect_right(pages.block_starts, at)
        first, last = pages.block_starts[page - 1], pages.block_starts[page]
        beside = [kept[max(at - TABLE_NEAR, first) : at].any(), kept[end : min(end + TABLE_NEAR, last)].any()]
        linked, characters = (pages.blocks[at:end, one].sum() for one in (kernels.LINKED, kernels.CHARACTERS))
        joins = points[at] > TABLE_GAP[int(sum(beside))] and linked <= TABLE_LINKED * characters
        kept[at:end] = ~hidden[at:end] if joins and not chosen[at:end].any() else chosen[at:end]
    return kept


def _orphaned(pages: Pages, kept: Bool) -> Bool:
    """Headings after which no block of the page is kept before the next heading of the same or a higher level."""
    node = pages.blocks[:, kernels.NODE]
    heading = (node >= 0) & (pages.nodes[node, kernels.TAG] == tag_number("h1"))
    orphaned = np.zeros(len(kept), np.bool_)
    levels = pages.nodes[node, kernels.LEVEL]
    page_end = np.repeat(pages.block_starts[1:], np.diff(pages.block_starts))
    for at in (heading & kept).nonzero()[0].tolist():
        for after in range(at + 1, int(page_end[at])):
            if heading[after]:
                if levels[after] <= levels[at]:
                    orphaned[at] = node[after] != node[at]
                    break
            elif kept[after]:
                break
        else:
            orphaned[at] = True
    return orphaned
