"""Columns of the flat arrays in which a page of HTML is held, and what is computed of its tree of elements.

Letters: N nodes (elements that break text, in the order of their start tags), K blocks (runs of inline content between such
elements), R pieces of blocks. `megadata.kernels.htmlscan` fills the arrays.
"""

from __future__ import annotations

import numpy as np

from megadata.kernels.base import I32, I64, Bool, kernel, reads, writes

DEEPEST = 512
"""Open elements at most; a deeper one takes the place of the innermost, as in browsers."""

# What a tag does: bits of the table of tags.
BREAKS = 1  # a node: text before and after it belongs to different blocks
VOID = 2  # never has content
RAW = 4  # its content is no markup and is skipped
DROPPED = 8  # its content is no text of the page
CLOSES_P = 16  # an open paragraph ends before it

# Tags with rules of their own; further tags are numbered from `FIRST_OTHER` by the table of tags.
(
    OTHER,
    A,
    BR,
    P,
    LI,
    UL,
    OL,
    DD,
    DT,
    TD,
    TH,
    TR,
    TBODY,
    TABLE,
    HEADING,
    PRE,
    TITLE,
    SCRIPT,
    MATH,
    IMG,
    CODE,
    HR,
    BODY,
    DL,
    SPAN,
    SUP,
    SUB,
) = range(27)
FIRST_OTHER = 32

# Columns of a node: its tag, its parent (-1: the page), the node after its last descendant, where class, id and role lie, its
# flags, the number that an ordered list begins with or an item has, plus one (0: it says none), the level of a heading, and the
# blocks inside it: [BLOCK_AT, BLOCK_END).
TAG, PARENT, AFTER, CLASS_AT, CLASS_END, ID_AT, ID_END, ROLE_AT, ROLE_END, FLAGS, NUMBER, LEVEL, BLOCK_AT, BLOCK_END = (
    range(14)
)
NODE_COLUMNS = 14
MOST_NUMBER = 1_000_000  # of a list's items; no greater one is read
# Flags of a node.
HIDDEN = 1  # by attribute or inline style
ARIA_HIDDEN = 2
BODY_TEXT = 4  # itemprop="articleBody"

# Columns of a block; characters and words are those that show: entities count once, spaces never.
(
    NODE,
    FIRST_PIECE,
    CHARACTERS,
    LINKED,
    WORDS,
    LINKS,
    CLAUSES,
    DIGITS,
    IDEOGRAPHS,
    CAPITALS,
    MARKS,
    LAST,
    BREAKS_IN,
    PICTURED,
) = range(14)
BLOCK_COLUMNS = 14

# Columns of a piece: its bytes and what it is.
AT, END, KIND = range(3)
TEXT, LINE_BREAK, TEX, MATHML, TEX_IMAGE, CODE_TEXT, PRE_TEXT, RAISED, LOWERED = range(9)
PIECE_COLUMNS = 3


def name_key(name: bytes) -> int:
    """Hash of a lower-case name, as the kernel computes it (FNV-1a)."""
    value = 0xCBF29CE484222325
    for byte in name:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


@kernel(reads(np.int32, 2), reads(np.int64), writes(np.int64), writes(np.int64))
def inherit(nodes: I32, own_N: I64, near_N: I64, all_N: I64) -> None:
    """Bits of each node with those of its parent and grandparent in `near_N`, and with those of all it lies in in `all_N`."""
    for i in range(nodes.shape[0]):
        near = all_ = own_N[i]
        parent = nodes[i, PARENT]
        if parent >= 0:
            all_ |= all_N[parent]
            near |= own_N[parent]
            grand = nodes[parent, PARENT]
            if grand >= 0:
                near |= own_N[grand]
        near_N[i] = near
        all_N[i] = all_


@kernel(reads(np.int32, 2), reads(np.bool_), np.bool_, writes(np.int64))
def surround(nodes: I32, marked_N: Bool, outermost: bool, out_N: I64) -> None:
    """For each node the innermost, or the outermost, marked node among itself and those it lies in; -1 where there is none."""
    for i in range(nodes.shape[0]):
        parent = nodes[i, PARENT]
        above = out_N[parent] if parent >= 0 else -1
        out_N[i] = i if marked_N[i] and (above < 0 or not outermost) else above
