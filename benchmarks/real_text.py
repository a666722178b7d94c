"""The text that the benchmarks over documents run on: real books and articles (MEGADATA_REAL_DATA), else what Python ships."""

from __future__ import annotations

import os
from pathlib import Path

from megadata.documents.batch import DocBatch

PATTERNS = ("books/100_english_novels/*.txt", "wikipedia/extracted-*/*", "jsonl/reuters21578/**/training/*")
LIMIT = 24_000_000
PIECE = 4_000
"""Characters of a document: real files are cut, at line ends, into pieces of the size of web pages."""


def texts() -> list[str]:
    """Whole texts, at most `LIMIT` characters of them."""
    place = os.environ.get("MEGADATA_REAL_DATA")
    if not place:
        from pydoc_data.topics import topics

        return [topics[name] for name in sorted(topics)]
    found: list[str] = []
    for pattern in PATTERNS:
        size = 0
        for path in sorted(Path(place).glob(pattern)):
            if path.is_file() and size < LIMIT // len(PATTERNS):
                found.append(path.read_bytes().decode("utf-8", "replace"))
                size += len(found[-1])
    return found


def pieces(whole: list[str]) -> DocBatch:
    """The texts as documents of about `PIECE` characters."""
    documents: list[str] = []
    for text in whole:
        lines, size = [], 0
        for line in text.splitlines(keepends=True):
            lines.append(line)
            size += len(line)
            if size >= PIECE:
                documents.append("".join(lines))
                lines, size = [], 0
        if lines:
            documents.append("".join(lines))
    return DocBatch.of([str(i) for i in range(len(documents))], documents)
