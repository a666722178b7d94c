"""Blocks of a page as plain text that keeps the shape of lists, tables, headings, code and formulas."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

from megadata.corpus.sources.layout import layout_lists
from megadata.corpus.sources.mathml import latex_of
from megadata.corpus.sources.page import Page, tag_number
from megadata.corpus.sources.scripts import scripted
from megadata.kernels import html as kernels
from megadata.kernels.base import Bool

LONG_CELL = 200
"""A cell with more characters is no cell of a table of data: the row's cells become paragraphs."""
MANY_LINES = 3
"""Nor is one with so many line breaks or blocks."""
REPEATED = 40
"""A block of at least so many characters is not written again from another part of the page (copies for small screens)."""
_TEX_NOTE = re.compile(r"<annotation\b[^>]{0,200}tex[^>]{0,200}>(.*?)</annotation", re.DOTALL | re.IGNORECASE)
_ALTERNATIVE = re.compile(r"""^<math\b[^>]{0,2000}?\balttext\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_BLOCK_FORMULA = re.compile(
    r"""^<math\b[^>]{0,2000}?\b(?:display\s*=\s*["']?block|mode\s*=\s*["']?display)""", re.IGNORECASE
)
_DISPLAY = re.compile(r"^\{\\(?:display|text)style\s+(.*)\}$", re.DOTALL)
_SCRIPTS = (kernels.RAISED, kernels.LOWERED)
_OF_TEXT = (kernels.TEXT, kernels.CODE_TEXT, kernels.PRE_TEXT)
_LINE_NUMBERS = re.compile(r"\s*\d+(?:\s+\d+){2,}\s*$")
"""The column of numbers beside code."""


def block_texts(page: Page) -> list[str]:
    """Text of every block; line breaks and the spaces of preformatted text are kept, other runs of spaces are one space."""
    return [_text(page.data, pieces) for pieces in _pieces(page, list(range(len(page.blocks))))]


def _pieces(page: Page, blocks: list[int]) -> Iterator[list[list[int]]]:
    """The pieces of some blocks, in order."""
    if not blocks:
        return
    firsts = [*page.blocks[blocks[0] :, kernels.FIRST_PIECE].tolist(), len(page.pieces)]
    start = firsts[0]
    pieces = page.pieces[start : firsts[blocks[-1] - blocks[0] + 1]].tolist()
    for block in blocks:
        at = block - blocks[0]
        yield pieces[firsts[at] - start : firsts[at + 1] - start]


def _text(data: bytes, pieces: list[list[int]]) -> str:
    if len(pieces) == 1 and pieces[0][2] == kernels.TEXT:  # most blocks
        at, end, _ = pieces[0]
        return " ".join(_unescaped(data[at:end].decode("utf-8", "replace")).split())
    parts: list[str] = []
    plain, verbatim = True, False
    for at, end, kind in pieces:
        if kind == kernels.LINE_BREAK:
            parts.append("\n")
            plain = False
            continue
        text = data[at:end].decode("utf-8", "replace")
        if kind in _SCRIPTS:
            text = _unescaped(text)
            if inside := " ".join(text.split()):
                script = scripted(inside, kind == kernels.RAISED, parts[-1][-1:] if parts else "")
                text = f"{' ' * text[0].isspace()}{script}{' ' * text[-1].isspace()}"
        elif kind in _OF_TEXT:
            text = _unescaped(text)
            if kind == kernels.PRE_TEXT:
                verbatim = True
            elif "\n" in text:
                text = text.replace("\n", " ")
        else:
            text = _formula(_plain_line_ends(text), kind)
        parts.append(text)
    text = "".join(parts)
    if verbatim:
        return "" if _LINE_NUMBERS.match(text) else text.strip("\n").rstrip()
    if plain:
        return " ".join(text.split())
    return "\n".join(line for line in (" ".join(line.split()) for line in text.split("\n")) if line)


def _unescaped(text: str) -> str:
    text = _plain_line_ends(text)
    return unescape(text) if "&" in text else text


def _plain_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _formula(markup: str, kind: int) -> str:
    """A formula as LaTeX between dollar signs, as in wikitext: that of the page where it has one."""
    sign = "$"
    if kind == kernels.MATHML:
        latex: str | None
        note, alternative = _TEX_NOTE.search(markup), _ALTERNATIVE.match(markup)
        if note is not None:
            latex = note[1]
        elif alternative is not None:
            latex = alternative[1] or alternative[2] or ""
        else:
            latex = None
        sign = "$$" if _BLOCK_FORMULA.match(markup) else "$"
        markup = unescape(latex) if latex is not None else latex_of(markup)
    elif kind == kernels.TEX_IMAGE:
        markup = unescape(markup)
    latex = " ".join(markup.split())
    inner = _DISPLAY.match(latex)
    latex = (inner[1] if inner is not None else latex).strip().strip("$").strip()
    return f"{sign}{latex}{sign}" if latex else ""


class _Places:
    """Where blocks lie: their list item, table row and preformatted element."""

    def __init__(self, page: Page) -> None:
        self.parent: list[int] = page.nodes[:, kernels.PARENT].tolist()
        self.number: list[int] = page.nodes[:, kernels.NUMBER].tolist()
        self.tag: list[int] = page.nodes[:, kernels.TAG].tolist()
        self.li, self.row, self.table, self.pre = (tag_number(name) for name in ("li", "tr", "table", "pre"))
        self.lists = (tag_number("ul"), tag_number("ol"))
        self.columns = set(layout_lists(page.nodes, page.blocks).nonzero()[0].tolist())
        self.described = (tag_number("dt"), tag_number("dd"))
        self.known: dict[int, tuple[int, int, int, int, int]] = {-1: (-1, -1, -1, -1, 0)}

    def grandparent(self, node: int) -> int:
        """The node two above; -1 for the page."""
        parent = self.parent[node] if node >= 0 else -1
        return self.parent[parent] if parent >= 0 else -1

    def of(self, node: int) -> tuple[int, int, int, int, int]:
        """Nearest list item, row, table and preformatted element around a node (-1: none), and the number of lists around it."""
        path = []
        while node not in self.known:
            path.append(node)
            node = self.parent[node]
        item, row, table, pre, depth = self.known[node]
        for node in reversed(path):
            tag = self.tag[node]
            if tag == self.li and self.parent[node] in self.columns:
                item = -1
            elif tag == self.li or tag in self.described:
                item = node
            elif tag == self.row:
                row, item = node, -1
            elif tag == self.table:
                table, row, item, depth = node, -1, -1, 0
            elif tag == self.pre:
                pre = node
            elif tag in self.lists and node not in self.columns:
                depth += 1
            self.known[node] = item, row, table, pre, depth
        return self.known[path[0] if path else node]


def render(page: Page, kept: Bool) -> str:
    """The kept blocks: paragraphs between blank lines; items of a list, rows of a table and lines of code on lines."""
    places = _Places(page)
    out: list[str] = []
    seen: dict[str, int] = {}
    numbers = _item_numbers(places)
    before = (-2, -2, -2, -2, 0)
    nodes: list[int] = page.blocks[:, kernels.NODE].tolist()
    rows_of_prose = _rows_of_prose(page, kept, places, nodes)
    blocks = kept.nonzero()[0].tolist()
    for block, pieces in zip(blocks, _pieces(page, blocks), strict=True):
        text = _text(page.data, pieces)
        if not text:
            continue
        if len(text) >= REPEATED:
            part = places.grandparent(nodes[block])
            if seen.setdefault(text, part) != part:
                continue
        place = places.of(nodes[block])
        item, row, table, pre, depth = place
        if row in rows_of_prose:
            row = table = -1
            place = (item, row, table, pre, depth)
        if out:
            out.append(_between(place, before, places))
        if row >= 0:
            text = text.replace("\n", " ") if pre < 0 else text
        elif item >= 0 and places.tag[item] == places.li:
            indent = "  " * max(depth - 1, 0)
            mark = numbers.get(item, "- ")
            if item != before[0]:
                text = f"{indent}{mark}{text}"
                if pre < 0:
                    text = text.replace("\n", f"\n{indent}{' ' * len(mark)}")
        out.append(text)
        before = place
    return "".join(out)


def _between(place: tuple[int, int, int, int, int], before: tuple[int, int, int, int, int], places: _Places) -> str:
    """What separates two blocks."""
    item, row, table, pre, _ = place
    if pre >= 0 and pre == before[3]:
        return "\n"
    if row >= 0 and row == before[1]:
        return " | "
    if table >= 0 and table == before[2] and row >= 0 and before[1] >= 0:
        return "\n"
    if item >= 0 and before[0] >= 0:
        if item == before[0]:
            return "\n" if places.tag[item] == places.li else "\n\n"
        return "\n"
    return "\n\n"


def _item_numbers(places: _Places) -> dict[int, str]:
    """Marks of the items of numbered lists."""
    numbered = tag_number("ol")
    if numbered not in places.tag:
        return {}
    counts: dict[int, int] = {}
    marks: dict[int, str] = {}
    for node, tag in enumerate(places.tag):
        if tag == places.li:
            parent = places.parent[node]
            if parent >= 0 and places.tag[parent] == numbered:
                says, begins = places.number[node], places.number[parent]
                following = counts[parent] + 1 if parent in counts else begins - 1 if begins else 1
                counts[parent] = says - 1 if says else following
                marks[node] = f"{counts[parent]}. "
    return marks


def _rows_of_prose(page: Page, kept: Bool, places: _Places, nodes: list[int]) -> set[int]:
    """Rows of tables that only lay out the page: a cell holds a long text, several lines or several blocks."""
    if places.row not in places.tag:
        return set()
    sizes, breaks = page.blocks[:, kernels.CHARACTERS].tolist(), page.blocks[:, kernels.BREAKS_IN].tolist()
    prose: set[int] = set()
    blocks_in: dict[int, int] = {}
    for block in kept.nonzero()[0].tolist():
        node = nodes[block]
        row = places.of(node)[1]
        blocks_in[node] = blocks_in.get(node, 0) + 1
        if sizes[block] > LONG_CELL or breaks[block] >= MANY_LINES or blocks_in[node] >= MANY_LINES:
            prose.add(row)
    return prose - {-1}
