"""XML without entities: document types may stand in a file, but what they declare is refused and nothing is fetched."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

MAX_DEPTH = 500


class XmlError(ValueError):
    """Bytes that are not well-formed XML, or that declare entities."""


def parse(data: bytes) -> Element:
    """Root element; tags and attributes without their namespaces.

    Raises
    ------
    XmlError
        Where the XML is not well-formed, declares an entity, or nests deeper than `MAX_DEPTH`.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise XmlError(f"more than {MAX_DEPTH} elements inside one another")
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
        parser.Parse(data, True)
        return builder.close()
    except expat.ExpatError as error:
        raise XmlError(str(error)) from error
    except (AssertionError, LookupError, ValueError) as error:
        if isinstance(error, XmlError):
            raise
        raise XmlError(f"{type(error).__name__}: {error}") from error
