"""The whole text of a page of a book, block by block."""

from __future__ import annotations

from resiliparse.extract.html2text import extract_plain_text

from megadata.corpus.sources.extract import tidy, too_deep

_SKIPPED = (
    "head", "script", "style", "nav", ".pagenum", ".pageno", ".page-number", ".pagebreak", ".figcaption", ".pg-boilerplate",
    "#pg-header", "#pg-footer", ".transnote", ".tnote", ".tn", ".covernote", ".x-ebookmaker-drop", ".noteref",
    "[hidden]", "img",
)  # fmt: skip


def page_text(html: str) -> str:
    """Text of all blocks of a page: paragraphs between blank lines; without page numbers and pictures; empty for hostile pages."""
    if too_deep(html):
        return ""
    text: str = extract_plain_text(html, preserve_formatting=True, alt_texts=False, skip_elements=_SKIPPED)
    return tidy(text)
