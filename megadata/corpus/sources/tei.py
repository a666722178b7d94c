"""TEI XML, as the European Literary Text Collection and others publish novels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from megadata.corpus.sources.safexml import parse

_DROPPED = frozenset((
    "note", "figure", "pb", "gap", "milestone", "fw", "sic", "orig", "abbr", "figDesc", "index", "teiHeader", "ptr", "table",
))  # fmt: skip
_LINES = frozenset(("l", "row", "item"))
_BLOCKS = frozenset((
    "p", "head", "quote", "lg", "sp", "stage", "speaker", "list", "trailer", "label", "ab", "div", "epigraph", "salute", "signed",
    "dateline", "opener", "closer", "argument", "bibl", "castList", "byline", "docTitle", "titlePart", "floatingText", "body",
    "div1", "div2", "div3", "div4", "group", "text", "postscript", "said",
))  # fmt: skip
_ANCHOR = re.compile(r"\W*(?:\d{1,4}|\*+|[a-z])\W*")


@dataclass(frozen=True, slots=True)
class TeiBook:
    """Text and description of a TEI file."""

    text: str
    title: str
    author: str
    language: str


def read_tei(data: bytes) -> TeiBook:
    """Text of the body (without front matter, notes and apparatus): a paragraph a line, blank lines between.

    Raises
    ------
    XmlError
        Where the XML is not well-formed or declares entities.
    """
    root = parse(data)
    parts: list[str] = []
    for body in _bodies(root):
        parts.extend(_blocks(body))
    language = root.find(".//langUsage/language")
    return TeiBook(
        "\n\n".join(part for part in parts if part),
        _flat(root.find(".//titleStmt/title")),
        _flat(root.find(".//titleStmt/author")),
        root.get("lang") or (language is not None and language.get("ident")) or "",
    )


def _bodies(root: Element) -> Iterator[Element]:
    """Outermost bodies: a corpus file holds several."""
    if root.tag == "body":
        yield root
        return
    for child in root:
        yield from _bodies(child)


def _blocks(element: Element) -> Iterator[str]:
    """Paragraphs below an element that holds blocks."""
    inline: list[str] = [element.text or ""]
    for child in element:
        if child.tag in _DROPPED:
            pass
        elif child.tag == "lg" or child.tag in _LINES:
            lines = list(_verse(child)) if child.tag == "lg" else [_flat(child)]
            if child.tag in _LINES and inline[-1:] == ["\n"]:
                inline.extend([*lines, "\n"])
            elif child.tag in _LINES:
                yield from _paragraph(inline)
                inline = [*lines, "\n"]
            else:
                yield from _paragraph(inline)
                inline = []
                yield "\n".join(line for line in lines if line)
        elif any(below.tag in _BLOCKS or below.tag in _LINES for below in child.iter()):
            yield from _paragraph(inline)
            inline = []
            yield from _blocks(child)
        else:
            inline.append(_inline(child))
        tail = child.tail or ""
        if tail.strip() or child.tag not in _LINES:
            inline.append(tail)
    yield from _paragraph(inline)


def _verse(group: Element) -> Iterator[str]:
    for child in group:
        if child.tag == "lg":
            yield from _verse(child)
        elif child.tag not in _DROPPED:
            yield _flat(child)


def _paragraph(pieces: list[str]) -> Iterator[str]:
    whole = "".join(piece if piece == "\n" else piece.replace("\n", " ") for piece in pieces)
    lines = [" ".join(line.split()) for line in whole.split("\n")]
    text = "\n".join(line for line in lines if line)
    if text:
        yield text


def _inline(element: Element) -> str:
    """Text of an element inside a paragraph; of pairs like sic and corr, the corrected one."""
    if element.tag in _DROPPED:
        return ""
    text = (element.text or "") + "".join(_inline(child) + (child.tail or "") for child in element)
    if element.tag == "ref" and _ANCHOR.fullmatch(text):
        return ""
    return "\n" if element.tag == "lb" else text


def _flat(element: Element | None) -> str:
    return " ".join(_inline(element).split()) if element is not None else ""
