"""Wikitext to text by walking the tree of mwparserfromhell: the reference for `megadata.corpus.sources.wikitext`.

Where templates, parameters, links, comments, extension tags and tables begin and end is the tree's word here, never a scan of
ours. The rules for what each leaves, and the shaping of lines behind it, are the package's own.
"""

from __future__ import annotations

import re
from typing import Any

import mwparserfromhell
from mwparserfromhell import nodes

from megadata.corpus.sources import wikitags
from megadata.corpus.sources.entities import unescape
from megadata.corpus.sources.wikifunctions import apply, call_of
from megadata.corpus.sources.wikilines import shape
from megadata.corpus.sources.wikilinks import _LINKS_ALONE, OUTER
from megadata.corpus.sources.wikitext import (
    _CONTROLS,
    _ENTITY_SPACES,
    _MAGIC_WORD,
    _QUOTES,
    _STRAY,
    _VARIANTS,
    GONE,
    MAX_DEPTH,
    Wikitext,
    _quotes,
    _variant,
)

_MARK = re.compile("\x06(\\d+)\x07")
_WIKI_LISTS = ("li", "dt", "dd", "hr")


class TreeWalk:
    """One page's walk."""

    def __init__(self, converter: Wikitext, title: str) -> None:
        self.converter, self.title = converter, title
        self.held: list[str] = []
        self.links: list[tuple[str, str]] = []

    def text(self, source: str) -> str:
        """Plain text of a page."""
        tree = mwparserfromhell.parse(_CONTROLS.sub("", source.replace("\r\n", "\n")), skip_style_tags=True)
        text = self.walk(tree, 0)
        text = self._linked(text)
        if "-{" in text:
            text = _VARIANTS.sub(_variant, _VARIANTS.sub(_variant, text))
        text = wikitags.html_tags(text)
        text = _QUOTES.sub(_quotes, text)
        text = _MAGIC_WORD.sub(lambda m: "" if m[1].isupper() or not m[1].isascii() else m[0], text)
        text = _ENTITY_SPACES.sub(" ", unescape(_STRAY.sub("", text)))
        text = shape(text, GONE)
        return wikitags.put_back(text, self.held)

    def _linked(self, text: str) -> str:
        """Links as their labels; lines of nothing but categories and other languages leave nothing."""

        def alone(line: str) -> bool:
            shown = _MARK.sub(lambda m: self.links[int(m[1])][0], line)
            return bool(_MARK.search(line)) and _LINKS_ALONE.fullmatch(shown) is not None

        text = "\n".join("" if "\x06" in line and alone(line) else line for line in text.split("\n"))
        while "\x06" in text:
            text = _MARK.sub(lambda m: self.links[int(m[1])][1], text)
        return text

    def walk(self, tree: Any, depth: int) -> str:
        """Text of a tree's nodes, with links marked and HTML tags still in it."""
        return "".join(self.node(node, depth) for node in tree.nodes)

    def node(self, node: Any, depth: int) -> str:
        """What one node leaves."""
        if isinstance(node, nodes.Comment):
            return ""
        if isinstance(node, nodes.Template):
            return self.template(node, depth)
        if isinstance(node, nodes.Argument):
            return self.walk(node.default, depth) if node.default is not None else ""
        if isinstance(node, nodes.Wikilink):
            inner = self.walk(node.title, depth)
            inner += "|" + self.walk(node.text, depth) if node.text is not None else ""
            shown = _MARK.sub(lambda m: self.links[int(m[1])][0], inner)
            inner = _MARK.sub(lambda m: self.links[int(m[1])][1], inner)
            self.links.append((f"[[{shown}]]", self.converter._links.label(inner)))
            return f"\x06{len(self.links) - 1}\x07"
        if isinstance(node, nodes.ExternalLink):
            if not node.brackets:
                return self.walk(node.url, depth)
            return OUTER + (self.walk(node.title, depth).strip() if node.title is not None else "")
        if isinstance(node, nodes.Heading):
            return "=" * node.level + self.walk(node.title, depth) + "=" * node.level
        return self.tag(node, depth) if isinstance(node, nodes.Tag) else str(node)

    def template(self, node: Any, depth: int) -> str:
        """What a template or a parser function leaves."""
        if depth >= MAX_DEPTH:
            return GONE

        def expand(value: Any) -> str:
            tree = value if not isinstance(value, str) else mwparserfromhell.parse(value, skip_style_tags=True)
            return self.walk(tree, depth + 1).replace(GONE, "").strip()

        call = call_of(str(node)[2:-2])
        if call is not None:
            first = str(node.name).partition(":")[2]
            parts = [first, *(str(p) if p.showkey else str(p.value) for p in node.params)]
            return apply(call[0], parts, expand, self.converter._locale) or GONE
        pairs = [(str(p.name).strip(), p.value) for p in node.params]
        return self.converter.template(self.walk(node.name, depth), lambda: pairs, expand, self.title)

    def tag(self, node: Any, depth: int) -> str:
        """What a tag leaves: extension tags as the package has them, tables nothing, others themselves around their text."""
        name = str(node.tag).strip().lower()
        if name == "table" and node.wiki_markup is not None:
            return GONE
        if node.wiki_markup is not None and name in _WIKI_LISTS:
            return str(node)
        if name in wikitags._DROPPED or name in wikitags._MATH or name in wikitags._VERBATIM:
            return wikitags.extensions(str(node), self.held)
        attributes = "".join(map(str, node.attributes))
        if node.self_closing or node.contents is None:
            return f"<{name}{attributes}>"
        if name == "table":
            return ""
        return f"<{name}{attributes}>{self.walk(node.contents, depth)}</{name}>"


def text(converter: Wikitext, source: str, title: str = "") -> str:
    """Plain text of a page by the tree."""
    return TreeWalk(converter, title).text(source)
