"""What speaks for and against each block of a page being main text: one column of numbers a kind of evidence.

Three kinds: the block itself (length, share of linked characters, punctuation), what it lies in (elements, and words of
their class, id and role that `maintext.yaml` sorts by meaning), and the page around it (where the long paragraphs are, what its
neighbours are like). `maintext` weighs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

from megadata.corpus.sources.page import Pages, tag_number
from megadata.kernels import html as kernels
from megadata.kernels.base import F64, I64, U64, Bool
from megadata.kernels.htmlnames import read_names

# Elements that are evidence for all text inside them, and the names of that evidence.
_INSIDE = {
    "nav": "nav_tag", "menu": "nav_tag", "header": "header_tag", "footer": "footer_tag", "aside": "aside_tag",
    "article": "article_tag",
    "main": "main_tag", "form": "form_tag", "fieldset": "form_tag", "table": "table_tag", "li": "li_tag", "figure": "figure_tag",
    "figcaption": "figcaption_tag", "blockquote": "blockquote_tag", "dl": "dl_tag", "h1": "heading_tag", "address": "address_tag",
    "pre": "pre_tag", "section": "section_tag", "dialog": "dialog_tag",
}  # fmt: skip
_BY_ATTRIBUTE = ("hidden_attribute", "aria_hidden", "article_body")
_OWN_TAGS = (
    "p",
    "li",
    "h1",
    "td",
    "th",
    "div",
    "pre",
    "blockquote",
    "dt",
    "dd",
    "figcaption",
    "section",
    "article",
    "center",
)
BOILERPLATE = (
    "nav", "footer", "side", "comments", "share", "related", "ad", "consent", "form", "toc", "disclaimer", "hidden", "nav_tag",
    "footer_tag", "aside_tag", "hidden_attribute",
)  # fmt: skip
"""Kinds of elements in which a paragraph is not taken for one of the main text's."""
_NEVER_TEXT = ("comments", "nav_tag", "footer_tag")
_SLOTS = 1 << 11
"""Of the table of words, nearly four for each."""
_NEIGHBOURS = (1, 2, -1, -2)
_OF_NEIGHBOURS = ("words", "linked", "clauses", "full_stop", "own_li", "own_p", "own_h1")


@cache
def table() -> dict[str, Any]:
    """The words and points of ``maintext.yaml``."""
    return dict(yaml.safe_load(files("megadata.corpus.sources").joinpath("maintext.yaml").read_text(encoding="utf-8")))


@cache
def kinds() -> tuple[str, ...]:
    """Names of the bits: the meanings of words, then elements and attributes."""
    return (*table()["words"], *dict.fromkeys(_INSIDE.values()), *_BY_ATTRIBUTE)


def bits_of(names: tuple[str, ...]) -> int:
    """The bits of some of `kinds`."""
    return sum(1 << kinds().index(name) for name in names)


@cache
def _words() -> tuple[int, U64, I64]:
    """The words with a meaning, as `read_names` takes them: letters of the longest, and a table of their hashes and bits."""
    bits: dict[bytes, int] = {}
    for place, words in enumerate(table()["words"].values()):
        for word in words.encode().split():
            bits[word] = bits.get(word, 0) | (1 << place)
    keys, values = np.zeros(_SLOTS, np.uint64), np.zeros(_SLOTS, np.int64)
    for word, value in bits.items():
        key = kernels.name_key(word)
        slot = key % _SLOTS
        while keys[slot]:
            slot = (slot + 1) % _SLOTS
        keys[slot], values[slot] = key, value
    return max(map(len, bits)), keys, values


def meaning(value: bytes) -> int:
    """Bits of what a class, id or role says."""
    node = np.zeros((1, kernels.NODE_COLUMNS), np.int32)
    node[0, kernels.CLASS_END] = len(value)
    bits = np.zeros(1, np.int64)
    read_names(np.frombuffer(value, np.uint8), node, *_words(), bits)
    return int(bits[0])


@cache
def _bits_of_tags() -> I64:
    by_tag = np.zeros(256, np.int64)
    for tag, name in _INSIDE.items():
        by_tag[tag_number(tag)] |= bits_of((name,))
    return by_tag


def _bits_of_nodes(pages: Pages) -> tuple[I64, I64, Bool]:
    """For each node the bits of itself and the two elements it lies in next, and those of all it lies in."""
    nodes = pages.nodes
    own = _bits_of_tags()[nodes[:, kernels.TAG]]
    for page, mine in zip(pages.pages, pages.of_nodes(), strict=True):
        read_names(np.frombuffer(page.data, np.uint8), nodes[mine], *_words(), own[mine])
    flags = nodes[:, kernels.FLAGS]
    for flag, name in zip((kernels.HIDDEN, kernels.ARIA_HIDDEN, kernels.BODY_TEXT), _BY_ATTRIBUTE, strict=True):
        own[(flags & flag) != 0] |= bits_of((name,))
    # What says that it is the article's body is that, whatever else its names say.
    own[(flags & kernels.BODY_TEXT) != 0] &= ~bits_of(BOILERPLATE)
    near, whole = np.empty_like(own), np.empty_like(own)
    kernels.inherit(nodes, own, near, whole)
    return near, whole, (own & bits_of(("comments",))) != 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence on the K blocks of some pages.

    `near_K` and `inside_K` hold the bits of `kinds`: of the block's element and the two around it, and of all elements around it;
    `columns` holds numbers by name, `nodes_commented` the nodes that say they are for comments.
    """

    near_K: I64  # noqa: N815
    inside_K: I64  # noqa: N815
    columns: dict[str, F64 | Bool]
    nodes_commented: Bool


class _Blocks:
    """The arrays that several kinds of evidence share.

    What is summed is summed page by page, so that a page's evidence is the same to the last bit whatever pages come with it.
    """

    def __init__(self, pages: Pages) -> None:
        nodes, blocks = pages.nodes, pages.blocks
        near, whole, self.commented = _bits_of_nodes(pages)
        self.pages = pages
        self.nodes = nodes
        self.blocks = blocks
        self.size = len(blocks)
        self.sizes = np.diff(pages.block_starts)
        self.slices = pages.of_blocks()
        self.index = np.arange(self.size)
        self.page_at: I64 = self.spread(pages.block_starts[:-1])
        self.page_end: I64 = self.page_at + self.spread(self.sizes)
        placed = blocks[:, kernels.NODE] >= 0
        self.node: I64 = np.where(placed, blocks[:, kernels.NODE], self.spread(pages.node_starts[:-1]))
        self.near: I64 = np.where(placed, near[self.node], 0)
        self.inside: I64 = np.where(placed, whole[self.node], 0)
        self.tag = np.where(placed, nodes[self.node, kernels.TAG], 0)
        self.level = np.where(placed, nodes[self.node, kernels.LEVEL], 0)
        parent = nodes[:, kernels.PARENT]
        self.parent: I64 = np.where(parent[self.node] >= 0, parent[self.node], self.node)
        self.grand: I64 = np.where(parent[self.parent] >= 0, parent[self.parent], self.parent)
        self.great: I64 = np.where(parent[self.grand] >= 0, parent[self.grand], self.grand)
        self.characters = np.maximum(blocks[:, kernels.CHARACTERS], 1).astype(np.float64)
        # An ideograph counts as about half a word.
        self.words: F64 = blocks[:, kernels.WORDS] + 0.6 * blocks[:, kernels.IDEOGRAPHS]
        self.linked: F64 = blocks[:, kernels.LINKED] / self.characters
        self.good = self._paragraph_words()

    def _paragraph_words(self) -> F64:
        """Words of each block that looks like a paragraph, 0 for others."""
        clauses = self.blocks[:, kernels.CLAUSES]
        clean = (self.inside & bits_of(BOILERPLATE)) == 0
        good = np.where((self.linked < 0.35) & (self.words >= 8) & (clauses >= 1) & clean, self.words, 0.0)
        enough = self.total(good) >= 40
        if enough.all():
            return good
        possible = (self.inside & bits_of(_NEVER_TEXT)) == 0
        return np.where(
            self.spread(enough),
            good,
            np.where((self.linked < 0.5) & (self.words >= 6) & possible, self.words, 0.0),
        )

    def spread(self, of_pages: Sequence[Any] | np.ndarray[Any, Any]) -> Any:
        """For each block the number of its page."""
        return np.repeat(of_pages, self.sizes)

    def total(self, quantity: F64) -> F64:
        """Sum of a quantity of blocks over the blocks of each page."""
        return np.array([quantity[page].sum() for page in self.slices])

    def running(self, quantities: F64) -> F64:
        """Sums of rows of quantities of blocks over the blocks of a page up to each, from 0 before its first on."""
        sums = np.zeros((len(quantities), self.size + len(self.slices)))
        for number, page in enumerate(self.slices):
            np.cumsum(quantities[:, page], axis=1, out=sums[:, page.start + number + 1 : page.stop + number + 1])
        return sums

    def within(self, *quantities: F64) -> F64:
        """Sums of quantities of blocks over the blocks in each node."""
        sums = self.running(np.array(quantities))
        number = np.repeat(np.arange(len(self.slices)), np.diff(self.pages.node_starts))
        ends = sums[:, self.nodes[:, kernels.BLOCK_END] + number]
        return np.asarray(ends - sums[:, self.nodes[:, kernels.BLOCK_AT] + number], np.float64)

    def nearest(self, mask: Bool) -> tuple[F64, F64]:
        """How many blocks further the next of a kind is, and how far back the last one: logarithms, 20 blocks at most."""
        places = np.concatenate(([-self.size - 21], mask.nonzero()[0], [2 * self.size + 21]))
        onward = places[np.searchsorted(places, self.index, "left")]
        back = places[np.searchsorted(places, self.index, "right") - 1]
        far_on, far_back = onward - self.index, self.index - back
        far_on[onward >= self.page_end] = far_back[back < self.page_at] = 20
        return np.log2(1.0 + np.minimum(far_on, 20)), np.log2(1.0 + np.minimum(far_back, 20))


def evidence(pages: Pages) -> Evidence:
    """All evidence on the blocks of some pages."""
    b = _Blocks(pages)
    columns = _of_text(b)
    columns.update(_of_place(b))
    columns.update(_of_surroundings(b))
    columns.update(_of_neighbours(b, columns))
    return Evidence(b.near, b.inside, columns, b.commented)


def _of_text(b: _Blocks) -> dict[str, F64 | Bool]:
    counted = b.blocks
    words, one = b.words, np.maximum(b.words, 1)
    last, short = counted[:, kernels.LAST], b.words <= 30
    pictured = counted[:, kernels.PICTURED] > 0
    media = (b.near & bits_of(("media",))) != 0
    mostly_linked = b.linked > 0.8
    columns: dict[str, F64 | Bool] = {
        "words": np.log2(1 + words),
        "linked": b.linked,
        "clauses_per_word": counted[:, kernels.CLAUSES] / one,
        "clauses": np.log2(1 + counted[:, kernels.CLAUSES]),
        "full_stop": (last == 46) | (last == 33) | (last == 63),
        "ends_with_colon": last == 58,
        "ends_with_comma": (last == 44) | (last == 59),
        "ends_with_dots": last == 95,
        "ends_with_bar": last == 124,
        "digits": counted[:, kernels.DIGITS] / b.characters,
        "capitals": counted[:, kernels.CAPITALS] / one,
        "bars": np.log2(1 + counted[:, kernels.MARKS]),
        "links": np.log2(1 + counted[:, kernels.LINKS]),
        "line_breaks": np.log2(1 + counted[:, kernels.BREAKS_IN]),
        "length_of_words": b.characters / one,
        "pictured": pictured,
        "pictured_short": pictured & short,
        "pictured_other": pictured & short & (b.tag != tag_number("p")),
        "media_short": media & short,
        "media_long": media & (words > 60),
        "linked_item": (b.tag == tag_number("li")) & mostly_linked,
        "linked_p": (b.tag == tag_number("p")) & mostly_linked,
        "linked_heading": (b.tag == tag_number("h1")) & mostly_linked,
        "all_capitals": (counted[:, kernels.CAPITALS] > 4 * one) & (words >= 2),
        "teaser": (counted[:, kernels.LINKS] == 1)
        & (b.linked > 0.5)
        & (counted[:, kernels.CLAUSES] > 0)
        & (words < 25),
        "page_title": b.level == 1,
    }
    columns.update({f"own_{tag}": b.tag == tag_number(tag) for tag in _OWN_TAGS})
    return columns


def _of_place(b: _Blocks) -> dict[str, F64 | Bool]:
    """What the elements around a block hold, and the block's place among the page's paragraphs."""
    good, words = b.good, b.words
    good_P, words_P = b.total(good), b.total(words)
    total_P = np.maximum(good_P, 1.0)
    total = b.spread(total_P)
    paragraphs, all_words, linked, count, linked_blocks = b.within(
        good, words, words * b.linked, np.ones(b.size), (b.linked > 0.6).astype(np.float64)
    )
    columns: dict[str, F64 | Bool] = {}
    for name, node in (("own", b.node), ("parent", b.parent), ("grand", b.grand), ("great", b.great)):
        some, blocks = np.maximum(all_words[node], 1), np.maximum(count[node], 1)
        columns[f"linked_in_{name}"] = linked[node] / some
        columns[f"share_in_{name}"] = paragraphs[node] / total
        columns[f"paragraphs_in_{name}"] = paragraphs[node] / some
        columns[f"linked_blocks_in_{name}"] = linked_blocks[node] / blocks
        columns[f"words_a_block_in_{name}"] = np.log2(1 + all_words[node] / blocks)
    nodes_of = b.pages.of_nodes()
    for percent in (50, 70, 90):
        needed = (percent / 100 * total_P).tolist()
        holders = [_last(paragraphs[page] >= share) for page, share in zip(nodes_of, needed, strict=True)]
        columns[f"in_holder_of_{percent}"] = _inside(b, *_reach(b, holders))
    hosts = np.bincount(b.parent, good, len(b.nodes)) + np.bincount(b.grand, good * 0.5, len(b.nodes))
    chosen = [int(hosts[page].argmax()) for page in nodes_of]
    begin, end = _reach(b, chosen)
    inside = _inside(b, begin, end)
    columns["in_host"], columns["before_host"], columns["after_host"] = inside, b.index < begin, b.index >= end
    host_P = hosts[np.array(chosen) + b.pages.node_starts[:-1]]
    columns["share_of_host"] = b.spread(host_P / total_P / 1.5)
    columns["hosted_by_parent"], columns["hosted_by_grand"] = hosts[b.parent] / total, hosts[b.grand] / total
    ends = np.array([_ends_of_text(good[page], inside[page], page.start) for page in b.slices])
    first, last = b.spread(ends[:, 0]), b.spread(ends[:, 1])
    columns["before_first"] = np.log2(1 + np.maximum(first - b.index, 0))
    columns["after_last"] = np.log2(1 + np.maximum(b.index - last, 0))
    columns["between"] = (b.index >= first) & (b.index <= last)
    columns["read_before"] = (np.concatenate([np.cumsum(good[page]) for page in b.slices]) - good) / total
    columns["position"] = (b.index - b.page_at) / b.spread(b.sizes)
    columns["page_words"] = b.spread(np.log2(1 + good_P))
    columns["page_share"] = b.spread(good_P / np.maximum(words_P, 1.0))
    columns["page_blocks"] = b.spread(np.log2(1 + b.sizes))
    return columns


def _last(mask: Bool) -> int:
    """The last place where a mask is true; 0 where it nowhere is."""
    from_end = int(mask[::-1].argmax())
    return len(mask) - 1 - from_end if mask[-1 - from_end] else 0


def _reach(b: _Blocks, nodes: list[int]) -> tuple[I64, I64]:
    """For each block where the blocks of a node of its page begin and end; the node is counted within the page."""
    node = np.array(nodes) + b.pages.node_starts[:-1]
    return b.spread(b.nodes[node, kernels.BLOCK_AT]), b.spread(b.nodes[node, kernels.BLOCK_END])


def _inside(b: _Blocks, begin: I64, end: I64) -> Bool:
    return np.asarray((b.index >= begin) & (b.index < end))


def _ends_of_text(good: F64, inside: Bool, start: int) -> tuple[int, int]:
    """The first and the last long paragraph inside the host of a page that begins at `start`."""
    places = ((good >= 20) & inside).nonzero()[0]
    if not places.size:
        places = (good > 0).nonzero()[0]
    first, last = (int(places[0]), int(places[-1])) if places.size else (0, len(good))
    return start + first, start + last


def _of_surroundings(b: _Blocks) -> dict[str, F64 | Bool]:
    columns: dict[str, F64 | Bool] = {}
    columns["to_paragraph"], columns["from_paragraph"] = b.nearest(b.good >= 15)
    columns["to_links"], columns["from_links"] = b.nearest((b.words >= 2) & (b.linked > 0.6))
    columns["from_heading"] = b.nearest(b.tag == tag_number("h1"))[1]
    title = b.level == 1
    titled = [int(title[page].argmax()) + page.start if title[page].any() else -1 for page in b.slices]
    first = b.spread(titled)
    columns["after_title"] = (first >= 0) & (b.index > first)
    columns["no_title"] = first < 0
    return columns


def _of_neighbours(b: _Blocks, of_block: dict[str, F64 | Bool]) -> dict[str, F64 | Bool]:
    """The same evidence on the blocks one and two before (1, 2) and after (-1, -2), and whether they have the same parent."""
    columns: dict[str, F64 | Bool] = {}
    for by in _NEIGHBOURS:
        here, there = (slice(by, None), slice(None, -by)) if by > 0 else (slice(None, by), slice(-by, None))
        same_page = b.page_at[here] == b.page_at[there]
        for name in _OF_NEIGHBOURS:
            shifted = np.zeros(b.size)
            np.multiply(of_block[name][there], same_page, out=shifted[here])
            columns[f"{name}@{by}"] = shifted
        siblings = np.zeros(b.size, np.bool_)
        siblings[here] = same_page & ((b.node[here] == b.node[there]) | (b.parent[here] == b.parent[there]))
        columns[f"sibling@{by}"] = siblings
    return columns
