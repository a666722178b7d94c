"""What speaks for and against each block of a page being main text: one column of numbers a kind of evidence.

Three kinds: the block itself (length, share of linked characters, punctuation), what it lies in (elements, and words of
their class, id and role that `maintext.yaml` sorts by meaning), and the page around it (where the long paragraphs are, what its
neighbours are like). `maintext` weighs them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml

from megadata.corpus.sources.page import Page, tag_number
from megadata.kernels import html as kernels
from megadata.kernels.base import F64, I32, I64, Bool

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
_WORD = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+")
_EMBEDDED = re.compile(rb"twitter-tweet|twitter-video|instagram-media|fb-post")
"""Posts that an article quotes: their class names would say that they are for sharing."""
_LONGEST_NAME = 200
"""Bytes of a class, id or role that are looked at."""
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
def _meanings() -> tuple[dict[str, int], re.Pattern[str]]:
    """Bits of each word, and an expression that finds the longer words inside words written together."""
    bits: dict[str, int] = {}
    for place, words in enumerate(table()["words"].values()):
        for word in words.split():
            bits[word] = bits.get(word, 0) | (1 << place)
    return bits, re.compile("|".join(sorted((word for word in bits if len(word) >= 6), key=len, reverse=True)))


def meaning(value: bytes) -> int:
    """Bits of what a class, id or role says."""
    return _known_meaning(value) if len(value) <= _LONGEST_NAME else _meaning(value)


def _meaning(value: bytes) -> int:
    bits, compounds = _meanings()
    if _EMBEDDED.search(value):
        return 0
    if b"\r" in value:
        value = value.replace(b"\r\n", b"\n")
    found = 0
    for part in _WORD.findall(value[:_LONGEST_NAME]):
        word = part.decode("ascii").lower()
        known = bits.get(word)
        if known is not None:
            found |= known
        elif len(word) > 6:
            for inner in compounds.findall(word):
                found |= bits[inner]
    return found


_known_meaning = lru_cache(1 << 16)(_meaning)


@cache
def _bits_of_tags() -> I64:
    by_tag = np.zeros(256, np.int64)
    for tag, name in _INSIDE.items():
        by_tag[tag_number(tag)] |= bits_of((name,))
    return by_tag


def _bits_of_nodes(page: Page) -> tuple[I64, I64, Bool]:
    """For each node the bits of itself and the two elements it lies in next, and those of all it lies in."""
    nodes, data = page.nodes, page.data
    own = _bits_of_tags()[nodes[:, kernels.TAG]]
    attributes = nodes[:, kernels.CLASS_AT : kernels.ROLE_END + 1]
    named = np.flatnonzero((attributes[:, 1::2] > attributes[:, ::2]).any(axis=1))
    meanings = []
    for class_at, class_end, id_at, id_end, role_at, role_end in attributes[named].tolist():
        bits = meaning(data[class_at:class_end]) if class_end > class_at else 0
        if id_end > id_at:
            bits |= meaning(data[id_at:id_end])
        if role_end > role_at:
            bits |= meaning(data[role_at:role_end])
        meanings.append(bits)
    own[named] |= np.array(meanings, np.int64)
    flags = nodes[:, kernels.FLAGS]
    for flag, name in zip((kernels.HIDDEN, kernels.ARIA_HIDDEN, kernels.BODY_TEXT), _BY_ATTRIBUTE, strict=True):
        own[(flags & flag) != 0] |= bits_of((name,))
    near, whole = np.empty_like(own), np.empty_like(own)
    kernels.inherit(nodes, own, near, whole)
    return near, whole, (own & bits_of(("comments",))) != 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence on the K blocks of a page.

    `near_K` and `inside_K` hold the bits of `kinds`: of the block's element and the two around it, and of all elements around it;
    `columns` holds numbers by name, `nodes_commented` the nodes that say they are for comments.
    """

    near_K: I64  # noqa: N815
    inside_K: I64  # noqa: N815
    columns: dict[str, F64 | Bool]
    nodes_commented: Bool


class _Blocks:
    """The arrays that several kinds of evidence share."""

    def __init__(self, page: Page) -> None:
        nodes, blocks = page.nodes, page.blocks
        if not len(nodes):
            nodes = np.zeros((1, kernels.NODE_COLUMNS), np.int32)
            nodes[0, kernels.PARENT], nodes[0, kernels.BLOCK_END] = -1, len(blocks)
            page = Page(page.data, nodes, blocks, page.pieces, page.title)
        near, whole, self.commented = _bits_of_nodes(page)
        placed = blocks[:, kernels.NODE] >= 0
        self.nodes = nodes
        self.blocks = blocks
        self.size = len(blocks)
        self.index = np.arange(self.size)
        self.node: I32 = np.where(placed, blocks[:, kernels.NODE], 0)
        self.near: I64 = np.where(placed, near[self.node], 0)
        self.inside: I64 = np.where(placed, whole[self.node], 0)
        self.tag = np.where(placed, nodes[self.node, kernels.TAG], 0)
        self.level = np.where(placed, nodes[self.node, kernels.LEVEL], 0)
        parent = nodes[:, kernels.PARENT]
        self.parent: I32 = np.where(parent[self.node] >= 0, parent[self.node], self.node)
        self.grand: I32 = np.where(parent[self.parent] >= 0, parent[self.parent], self.parent)
        self.great: I32 = np.where(parent[self.grand] >= 0, parent[self.grand], self.grand)
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
        if good.sum() >= 40:
            return good
        possible = (self.inside & bits_of(_NEVER_TEXT)) == 0
        return np.where((self.linked < 0.5) & (self.words >= 6) & possible, self.words, 0.0)

    def within(self, quantity: F64) -> F64:
        """Sum of a quantity of blocks over the blocks in each node."""
        sums = np.concatenate(([0.0], np.cumsum(quantity)))
        return np.asarray(sums[self.nodes[:, kernels.BLOCK_END]] - sums[self.nodes[:, kernels.BLOCK_AT]], np.float64)

    def nearest(self, mask: Bool) -> tuple[F64, F64]:
        """How many blocks further the next of a kind is, and how far back the last one: logarithms, 20 blocks at most."""
        places = np.flatnonzero(mask)
        if not places.size:
            far = np.full(self.size, np.log2(21.0))
            return far, far
        after = np.searchsorted(places, self.index, "left")
        before = np.searchsorted(places, self.index, "right") - 1
        onward = np.where(after < places.size, places[np.minimum(after, places.size - 1)] - self.index, 99)
        back = np.where(before >= 0, self.index - places[np.maximum(before, 0)], 99)
        return np.log2(1.0 + np.minimum(onward, 20)), np.log2(1.0 + np.minimum(back, 20))


def evidence(page: Page) -> Evidence:
    """All evidence on the blocks of a page that has at least one."""
    b = _Blocks(page)
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
    total = max(float(good.sum()), 1.0)
    paragraphs, all_words, linked = b.within(good), b.within(words), b.within(words * b.linked)
    count, linked_blocks = b.within(np.ones(b.size)), b.within((b.linked > 0.6).astype(np.float64))
    columns: dict[str, F64 | Bool] = {}
    for name, node in (("own", b.node), ("parent", b.parent), ("grand", b.grand), ("great", b.great)):
        some, blocks = np.maximum(all_words[node], 1), np.maximum(count[node], 1)
        columns[f"linked_in_{name}"] = linked[node] / some
        columns[f"share_in_{name}"] = paragraphs[node] / total
        columns[f"paragraphs_in_{name}"] = paragraphs[node] / some
        columns[f"linked_blocks_in_{name}"] = linked_blocks[node] / blocks
        columns[f"words_a_block_in_{name}"] = np.log2(1 + all_words[node] / blocks)
    for percent in (50, 70, 90):
        holding = np.flatnonzero(paragraphs >= percent / 100 * total)
        columns[f"in_holder_of_{percent}"] = _inside(b, int(holding[-1]) if holding.size else 0)
    hosts = np.bincount(b.parent, good, len(b.nodes)) + np.bincount(b.grand, good * 0.5, len(b.nodes))
    host = int(hosts.argmax())
    inside = _inside(b, host)
    begin, end = b.nodes[host, kernels.BLOCK_AT], b.nodes[host, kernels.BLOCK_END]
    columns["in_host"], columns["before_host"], columns["after_host"] = inside, b.index < begin, b.index >= end
    columns["share_of_host"] = np.full(b.size, hosts[host] / total / 1.5)
    columns["hosted_by_parent"], columns["hosted_by_grand"] = hosts[b.parent] / total, hosts[b.grand] / total
    places = np.flatnonzero((good >= 20) & inside)
    if not places.size:
        places = np.flatnonzero(good > 0)
    first, last = (int(places[0]), int(places[-1])) if places.size else (0, b.size)
    columns["before_first"] = np.log2(1 + np.maximum(first - b.index, 0))
    columns["after_last"] = np.log2(1 + np.maximum(b.index - last, 0))
    columns["between"] = (b.index >= first) & (b.index <= last)
    columns["read_before"] = (np.cumsum(good) - good) / total
    columns["position"] = b.index / b.size
    columns["page_words"] = np.full(b.size, np.log2(1 + good.sum()))
    columns["page_share"] = np.full(b.size, good.sum() / max(float(words.sum()), 1.0))
    columns["page_blocks"] = np.full(b.size, np.log2(1 + b.size))
    return columns


def _inside(b: _Blocks, node: int) -> Bool:
    return np.asarray((b.index >= b.nodes[node, kernels.BLOCK_AT]) & (b.index < b.nodes[node, kernels.BLOCK_END]))


def _of_surroundings(b: _Blocks) -> dict[str, F64 | Bool]:
    columns: dict[str, F64 | Bool] = {}
    columns["to_paragraph"], columns["from_paragraph"] = b.nearest(b.good >= 15)
    columns["to_links"], columns["from_links"] = b.nearest((b.words >= 2) & (b.linked > 0.6))
    columns["from_heading"] = b.nearest(b.tag == tag_number("h1"))[1]
    titles = np.flatnonzero(b.level == 1)
    columns["after_title"] = b.index > (titles[0] if titles.size else b.size)
    columns["no_title"] = np.full(b.size, not titles.size)
    return columns


def _of_neighbours(b: _Blocks, of_block: dict[str, F64 | Bool]) -> dict[str, F64 | Bool]:
    """The same evidence on the blocks one and two before (1, 2) and after (-1, -2), and whether they have the same parent."""
    columns: dict[str, F64 | Bool] = {}
    for by in _NEIGHBOURS:
        here, there = (slice(by, None), slice(None, -by)) if by > 0 else (slice(None, by), slice(-by, None))
        for name in _OF_NEIGHBOURS:
            shifted = np.zeros(b.size)
            if b.size > abs(by):
                shifted[here] = of_block[name][there]
            columns[f"{name}@{by}"] = shifted
        siblings = np.zeros(b.size, np.bool_)
        if b.size > abs(by):
            siblings[here] = (b.node[here] == b.node[there]) | (b.parent[here] == b.parent[there])
        columns[f"sibling@{by}"] = siblings
    return columns
