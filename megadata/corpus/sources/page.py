"""A page of HTML as arrays: its block elements, its blocks of text, and the pieces of those, found by one pass over its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise

import numpy as np

from megadata.kernels import html as kernels
from megadata.kernels.base import I32, I64, U8, U64
from megadata.kernels.htmlscan import scan_page

MOST_BLOCKS = 1 << 18
"""Elements that break text, and blocks of text, that a page may have: what is computed of a block takes some 2 KiB."""
MOST_PIECES = 4 * MOST_BLOCKS
_SLOTS = 512

_BREAKS, _VOID, _RAW, _DROPPED, _CLOSES_P = (
    kernels.BREAKS, kernels.VOID, kernels.RAW, kernels.DROPPED, kernels.CLOSES_P,
)  # fmt: skip
_OWN = {
    "a": kernels.A, "br": kernels.BR, "p": kernels.P, "li": kernels.LI, "ul": kernels.UL, "ol": kernels.OL, "dd": kernels.DD,
    "dt": kernels.DT, "td": kernels.TD, "th": kernels.TH, "tr": kernels.TR, "tbody": kernels.TBODY, "thead": kernels.TBODY,
    "tfoot": kernels.TBODY, "table": kernels.TABLE, "pre": kernels.PRE, "title": kernels.TITLE, "script": kernels.SCRIPT,
    "math": kernels.MATH, "img": kernels.IMG, "code": kernels.CODE, "hr": kernels.HR, "body": kernels.BODY, "html": kernels.BODY,
    "head": kernels.BODY, "dl": kernels.DL, "span": kernels.SPAN, "sup": kernels.SUP, "sub": kernels.SUB,
    **{f"h{level}": kernels.HEADING for level in range(1, 7)},
}  # fmt: skip
_KINDS: dict[int, str] = {
    _BREAKS | _CLOSES_P: "p ul ol table pre h1 h2 h3 h4 h5 h6 dl address article aside blockquote center details dir div "
    "fieldset figcaption figure footer form header hgroup main menu nav search section summary",
    _BREAKS: "li dd dt td th tr tbody thead tfoot caption legend dialog marquee",
    _BREAKS | _VOID | _CLOSES_P: "hr",
    _VOID: "br img area base col embed input link meta param source track wbr keygen frame basefont bgsound",
    _RAW: "script style noscript iframe noembed noframes textarea xmp title",
    _BREAKS | _DROPPED: "select option optgroup datalist object applet template canvas audio video frameset",
    _DROPPED: "svg button map rp",
    0: "a code math span body html head b i em strong font u small big sub sup s strike del ins abbr acronym cite q tt kbd samp "
    "var dfn label time mark bdi bdo ruby rt rb data output progress meter nobr blink picture slot text",
}  # fmt: skip
NAMES: list[str] = [""] * 256
"""Name of every tag that has a number; several share the number of one they behave like."""


@cache
def _tables() -> tuple[U64, I64, I64]:
    keys, tags, does = np.zeros(_SLOTS, np.uint64), np.zeros(_SLOTS, np.int64), np.zeros(_SLOTS, np.int64)
    following = kernels.FIRST_OTHER
    for bits, names in _KINDS.items():
        for name in names.split():
            tag = _OWN.get(name)
            if tag is None:
                tag, following = following, following + 1
            key = kernels.name_key(name.encode())
            slot = key % _SLOTS
            while keys[slot]:
                slot = (slot + 1) % _SLOTS
            keys[slot], tags[slot], does[slot] = key, tag, bits
            NAMES[tag] = NAMES[tag] or name
    return keys, tags, does


@cache
def tag_number(name: str) -> int:
    """Number of a tag in the column `TAG` of the nodes.

    Raises
    ------
    KeyError
        For a name that the table of tags lacks.
    """
    keys, tags, _ = _tables()
    found = np.flatnonzero(keys == np.uint64(kernels.name_key(name.encode())))
    if not found.size:
        raise KeyError(name)
    return int(tags[found[0]])


class TooManyBlocks(Exception):
    """A page with more elements or blocks of text than its evidence is weighed for."""


@dataclass(frozen=True, slots=True)
class Page:
    """What `megadata.kernels.htmlscan.scan_page` finds; columns of the arrays are named in `megadata.kernels.html`."""

    data: bytes
    nodes: I32
    blocks: I32
    pieces: I32
    title: bytes


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages that have blocks, with their arrays one behind the other, so that one call of numpy serves them all.

    Nodes and blocks are numbered through: page p owns the nodes [node_starts[p], node_starts[p + 1]), at least one, and so on. A
    page without elements has one that says nothing.
    """

    pages: Sequence[Page]
    nodes: I32
    blocks: I32
    node_starts: list[int]
    block_starts: list[int]

    def of_blocks(self) -> list[slice]:
        """The blocks of each page."""
        return [slice(*ends) for ends in pairwise(self.block_starts)]

    def of_nodes(self) -> list[slice]:
        """The nodes of each page."""
        return [slice(*ends) for ends in pairwise(self.node_starts)]


def join(pages: Sequence[Page]) -> Pages:
    """Pages as one; each must have a block."""
    nodes_of = [page.nodes if len(page.nodes) else _bare_node(len(page.blocks)) for page in pages]
    node_starts = [0, *accumulate(len(nodes) for nodes in nodes_of)]
    block_starts = [0, *accumulate(len(page.blocks) for page in pages)]
    if len(pages) == 1:
        return Pages(pages, nodes_of[0], pages[0].blocks, node_starts, block_starts)
    nodes = np.concatenate(nodes_of)
    blocks = np.concatenate([page.blocks for page in pages])
    first_node = np.array(node_starts[:-1], np.int32)
    blocks[:, kernels.NODE] += np.where(blocks[:, kernels.NODE] >= 0, np.repeat(first_node, np.diff(block_starts)), 0)
    sizes = np.diff(node_starts)
    nodes[:, kernels.PARENT] += np.where(nodes[:, kernels.PARENT] >= 0, np.repeat(first_node, sizes), 0)
    nodes[:, kernels.AFTER] += np.repeat(first_node, sizes)
    nodes[:, kernels.BLOCK_AT : kernels.BLOCK_END + 1] += np.repeat(np.array(block_starts[:-1], np.int32), sizes)[
        :, None
    ]
    return Pages(pages, nodes, blocks, node_starts, block_starts)


def _bare_node(blocks: int) -> I32:
    nodes = np.zeros((1, kernels.NODE_COLUMNS), np.int32)
    nodes[0, kernels.PARENT], nodes[0, kernels.BLOCK_END] = -1, blocks
    return nodes


def scan(html: str) -> Page:
    """The page's elements, blocks and pieces. Lone surrogates become question marks."""
    return scan_bytes(html.encode("utf-8", "replace"))


def scan_bytes(data: bytes) -> Page:
    """The same of a page in UTF-8.

    Raises
    ------
    TooManyBlocks
    """
    bytes_: U8 = np.frombuffer(data, np.uint8)
    most = data.count(b"<") + 1
    nodes = np.empty((min(most, MOST_BLOCKS), kernels.NODE_COLUMNS), np.int32)
    blocks = np.empty((min(2 * most + 2, MOST_BLOCKS), kernels.BLOCK_COLUMNS), np.int32)
    pieces = np.empty((min(2 * most + 2, MOST_PIECES), kernels.PIECE_COLUMNS), np.int32)
    counts = np.zeros(5, np.int64)
    stopped = scan_page(bytes_, *_tables(), nodes, blocks, pieces, counts)
    n_nodes, n_blocks, n_pieces, title_at, title_end = counts.tolist()
    if stopped < len(data):
        raise TooManyBlocks(f"more elements or blocks of text than {MOST_BLOCKS}, the most that are weighed")
    return Page(data, nodes[:n_nodes], blocks[:n_blocks], pieces[:n_pieces], data[title_at:title_end])
