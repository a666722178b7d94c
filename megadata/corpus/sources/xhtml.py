"""The whole text of a page of a book, block by block."""

from __future__ import annotations

import re

from resiliparse.extract.html2text import extract_plain_text

from megadata.corpus.sources.extract import tidy, too_deep, unfolds

_SKIPPED = (
    "head", "script", "style", "nav", "[hidden]", "img", "svg",
    ".pagenum", ".pageno", ".page-number", ".pagebreak", '[epub\\:type~="pagebreak"]', ".linenum", ".lnum", ".lineno",
    ".linenumber", ".line-number", ".pg-boilerplate", "#pg-header", "#pg-footer", ".transnote", ".tnote", ".tn", ".covernote",
    ".mynote", ".transcribernote", ".transcriber-note", ".transcribersnote", ".transcribers-note", ".trans-note", ".tnbox",
    "#tnote", "#transnote", ".figcenter > a[tag]:not([href])", ".figleft > a[tag]:not([href])", ".figright > a[tag]:not([href])",
    ".x-ebookmaker-drop", ".noteref", '[epub\\:type~="noteref"]',
)  # fmt: skip


_SELF_CLOSED = re.compile(
    r"<(?!(?:area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr)\b)([a-zA-Z][\w:.-]*)((?:\s[^<>]*?)?)/>",
    re.IGNORECASE,
)
_MARK_LINK = re.compile(
    r"<a\b[^<>]{0,500}\btag=[^<>]{0,200}>(?:<[^<>]{1,80}>){0,3}[\s\[(]*(?:\d{1,4}|[a-z]|[ivxl]{1,6}|[*†‡§]{1,4})[\s\])]*(?:</?[^<>]{1,80}>){0,3}</a\s*>",
    re.IGNORECASE,
)
"""A link of Project Gutenberg's EPUBs, which carry the attribute `tag`, to or from a note, or to a page: nothing but its mark."""
_PICTURE_LINE = re.compile(
    r"^[ \t]*(?:[\w./-]+\.(?:jpe?g|png|gif|svg)|[\w-]+ \(\d+K\)|[a-z]{3}\d{4}[a-z]?)[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_TWICE = re.compile(r"^(.{10,300}) \1$", re.MULTILINE)
"""A picture's text and its caption, the same."""
_DROP_CAP = re.compile(r"^([A-ZÀ-ÖØ-Þ])\n\n(?=[a-zà-öø-ÿ’'])", re.MULTILINE)
"""An initial that was set by itself, in a block of its own, before the rest of its word."""


def page_text(html: str) -> str:
    """Text of all blocks of a page: paragraphs between blank lines, no page numbers or pictures; empty for hostile pages."""
    # The parser is one of HTML, in which <div/> opens an element that nothing closes.
    html = _MARK_LINK.sub("", _SELF_CLOSED.sub(r"<\1\2></\1>", html))
    if too_deep(html) or unfolds(html) is not None:
        return ""
    text: str = extract_plain_text(html, preserve_formatting=True, alt_texts=False, skip_elements=_SKIPPED)
    return _DROP_CAP.sub(r"\1", _TWICE.sub(r"\1", tidy(_PICTURE_LINE.sub("", text)))).strip()
