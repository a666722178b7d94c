"""XML without entities: document types may stand in a file, but what they declare is refused and nothing is fetched."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

MAX_DEPTH = 500
MAX_ELEMENTS = 1_000_000
"""Elements and attributes of one document: each takes some hundred bytes of memory, and four of the file."""
_BLOCK = 1 << 16
_MAX_TOKEN = 1 << 20
"""Longest tag or comment, in bytes: the parser holds all attributes of a tag at once."""


class XmlError(ValueError):
    """Bytes that are not well-formed XML, or that declare entities."""


def parse(data: bytes) -> Element:
    """Root element; tags and attributes without their namespaces.

    Raises
    ------
    XmlError
        Where the XML is not well-formed, declares an entity, nests deeper than `MAX_DEPTH`, or has more than `MAX_ELEMENTS`.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    depth = count = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth += 1
        count += 1 + len(attributes)
        if depth > MAX_DEPTH:
            raise XmlError(f"more than {MAX_DEPTH} elements inside one another")
        if count > MAX_ELEMENTS:
            raise XmlError(f"more than {MAX_ELEMENTS} elements and attributes")
        builder.start(tag.rpartition(" ")[2], {name.rpartition(" ")[2]: value for name, value in attributes.items()})

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag.rpartition(" ")[2])

    def refuse(*declaration: Any) -> None:
        raise XmlError(f"declares the entity {declaration[0]!r}")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = refuse
    try:
        for at in range(0, len(data), _BLOCK):
            parser.Parse(data[at : at + _BLOCK], False)
            if at + _BLOCK - parser.CurrentByteIndex > _MAX_TOKEN:
                raise XmlError(f"a tag of more than {_MAX_TOKEN} bytes")
        parser.Parse(b"", True)
        return builder.close()
    except expat.ExpatError as error:
        raise XmlError(str(error)) from error
    except (AssertionError, LookupError, ValueError) as error:
        if isinstance(error, XmlError):
            raise
        raise XmlError(f"{type(error).__name__}: {error}") from error
