"""WET files of Common Crawl: WARC files whose conversion records hold extracted plain text."""

from __future__ import annotations

from typing import ClassVar

from megadata.corpus.sources.warc import Warc


class Wet(Warc):
    """Plain text as Common Crawl extracted it, read like any WARC file."""

    kind: ClassVar[str] = "wet"
    suffixes: ClassVar[tuple[str, ...]] = (".wet",)

    def sniff(self, head: bytes, name: str) -> bool:
        """A WARC file that names WET as what it holds, or opens with a conversion record."""
        return super().sniff(head, name) and (b"WARC-Type: conversion" in head or b".wet" in head)
