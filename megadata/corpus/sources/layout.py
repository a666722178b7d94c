"""Tables and lists of a page that say something, told from those that lay it out."""

from __future__ import annotations

import numpy as np

from megadata.corpus.sources.page import Pages, tag_number
from megadata.kernels import html as kernels
from megadata.kernels.base import I32, I64, Bool

LONG_CELL, MANY_LINES = 100, 3
"""A table with a longer cell, in characters, or one of so many line breaks, is no table of data: it lays out the page."""
FEWEST_ROWS, FEWEST_CELLS, CELLS_A_ROW = 2, 4, 1.5
"""What a table has at least to hold data; fewer are a box around a text."""

COLUMNS, BLOCKS_A_COLUMN = 3, 8
"""A list of so few items with more blocks in each lays out the page."""


def without_long_cells(pages: Pages) -> Bool:
    """Mask of the nodes that are tables without a long cell, whatever they are for."""
    tables = pages.nodes[:, kernels.TAG] == tag_number("table")
    if not tables.any():
        return np.asarray(tables, np.bool_)
    return np.asarray(tables & ~_with_long_cells(pages, _innermost(pages, tables)), np.bool_)


def data_tables(pages: Pages, short: Bool) -> list[tuple[int, int]]:
    """Where the blocks of each table of data begin and end; `short` are the tables without long cells."""
    if not short.any():
        return []
    nodes = pages.nodes
    tag = nodes[:, kernels.TAG]
    tables = tag == tag_number("table")
    table_of = _innermost(pages, tables)
    parent = nodes[:, kernels.PARENT]
    around = np.where(tables & (parent >= 0), table_of[parent], -1)
    cells = _count(table_of, (tag == tag_number("td")) | (tag == tag_number("th")))
    rows = _count(table_of, tag == tag_number("tr"))
    chosen = short & (rows >= FEWEST_ROWS) & (cells >= FEWEST_CELLS) & (cells >= CELLS_A_ROW * rows)
    chosen[around[around >= 0]] = False
    ends = nodes[chosen.nonzero()[0], kernels.BLOCK_AT : kernels.BLOCK_END + 1].tolist()
    return [(at, end) for at, end in ends if end > at]


def layout_lists(nodes: I32, blocks: I32) -> Bool:
    """Mask of the nodes that are lists of which each item is a column of the page."""
    tag, parent = nodes[:, kernels.TAG], nodes[:, kernels.PARENT]
    lists = (tag == tag_number("ul")) | (tag == tag_number("ol"))
    if not lists.any():
        return np.asarray(lists, np.bool_)
    list_of = np.empty(len(nodes), np.int64)
    kernels.surround(nodes, lists, False, list_of)
    node = blocks[:, kernels.NODE]
    items = _count(list_of, parent[(tag == tag_number("li")) & (parent >= 0)])
    return np.asarray(
        lists & (items > 0) & (items <= COLUMNS) & (_count(list_of, node[node >= 0]) > BLOCKS_A_COLUMN * items),
        np.bool_,
    )


def _innermost(pages: Pages, tables: Bool) -> I64:
    """For each node the table that it lies in or is, -1 for none."""
    table_of = np.empty(len(pages.nodes), np.int64)
    kernels.surround(pages.nodes, tables, False, table_of)
    return table_of


def _with_long_cells(pages: Pages, table_of: I64) -> Bool:
    node = pages.blocks[:, kernels.NODE]
    long = (pages.blocks[:, kernels.CHARACTERS] > LONG_CELL) | (pages.blocks[:, kernels.BREAKS_IN] >= MANY_LINES)
    found = table_of[node[(node >= 0) & long]]
    mask = np.zeros(len(table_of), np.bool_)
    mask[found[found >= 0]] = True
    return mask


def _count(group_of: I64, nodes: I32 | Bool) -> I64:
    """How many of some nodes each table or list holds."""
    inside = group_of[nodes]
    return np.bincount(inside[inside >= 0], minlength=len(group_of))
