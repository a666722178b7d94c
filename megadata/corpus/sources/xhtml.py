"""The whole text of a page of a book, block by block."""

from __future__ import annotations

import re

from resiliparse.extract.html2text import extract_plain_text

from megadata.corpus.sources.extract import tidy, too_deep, unfolds

_SKIPPED = (
    "head", "script", "style", "nav", "[hidden]", "img", "svg", "a[tag]",
    ".pagenum", ".pageno", ".page-number", ".pagebreak", '[epub\\:type~="pagebreak"]', ".linenum", ".lnum", ".lineno",
    ".linenumber", ".line-number", ".pg-boilerplate", "#pg-header", "#pg-footer", ".transnote", ".tnote", ".tn", ".covernote",
    ".x-ebookmaker-drop", ".noteref", '[epub\\:type~="noteref"]',
)  # fmt: skip


_SELF_CLOSED = re.compile(
    r"<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr)\b)([a-zA-Z][\w:.-]*)((?:\s[^<>]*?)?)/>",
    re.IGNORECASE,
)
_PICTURE_LINE = re.compile(r"^[ \t]*[\w./-]+\.(?:jpe?g|png|gif|svg)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_DROP_CAP = re.compile(r"^([A-ZÀ-ÖØ-Þ])\n\n(?=[a-zà-öø-ÿ’'])", re.MULTILINE)
"""An initial that was set by itself, in a block of its own, before the rest of its word."""


def page_text(html: str) -> str:
    """Text of all blocks of a page: paragraphs between blank lines, no page numbers or pictures; empty for hostile pages."""
    # The parser is one of HTML, in which <div/> opens an element that nothing closes.
    html = _SELF_CLOSED.sub(r"<\1\2></\1>", html)
    if too_deep(html) or unfolds(html) is not None:
        return ""
    text: str = extract_plain_text(html, preserve_formatting=True, alt_texts=False, skip_elements=_SKIPPED)
    return _DROP_CAP.sub(r"\1", tidy(_PICTURE_LINE.sub("", text))).strip()
