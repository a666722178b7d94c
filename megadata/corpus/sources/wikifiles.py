"""Files of wikitext: a page each, as bots and editors save them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import ClassVar

from megadata.corpus.sources.whole import decoded_text, read_whole
from megadata.corpus.sources.wikinames import target_of
from megadata.corpus.sources.wikitext import Wikitext, WikitextError
from megadata.documents.batch import DocBatch, Record
from megadata.documents.source import Problems, ReadOptions, batches
from megadata.runtime.units import InputFile, Span

_MARKUP = re.compile(rb"\{\{|\[\[|<ref[\s>/]|&lt;ref[\s/&]|'''|^==[^=\n]+==|^\{\|", re.MULTILINE)
_REDIRECT = re.compile(rb"\s*#[^\s\[]{2,40}:?\s*\[\[")
_PLAIN = re.compile(r"\.(?:txt|text|md)\b")
_FEWEST = 4
"""Marks in the first bytes by which a text is taken for wikitext, of two kinds or more."""


class WikiPages:
    """A file of wikitext is one page, whose title is the file's name."""

    kind: ClassVar[str] = "wikitext"
    default_source: ClassVar[str] = "wikipedia"
    version: ClassVar[str] = "1"
    suffixes: ClassVar[tuple[str, ...]] = (".wiki", ".wikitext", ".mediawiki")

    def sniff(self, head: bytes, name: str) -> bool:
        """A file with one of our endings, or plain text full of a wiki's markup; that is asked where the user names wikis."""
        last = name.rpartition("/")[2].lower()
        return last.endswith(self.suffixes) or (_PLAIN.search(last) is not None and is_wikitext(head))

    def spans(self, file: InputFile, unit_bytes: int) -> list[Span]:
        """A page is read whole."""
        return [Span(file, 0, -1)]

    def read(self, span: Span, options: ReadOptions, problems: Problems) -> Iterator[DocBatch]:
        """The document of the file."""
        yield from batches(self._records(span.file, options, problems), span.file)

    def _records(self, file: InputFile, options: ReadOptions, problems: Problems) -> Iterator[tuple[int, Record]]:
        data = read_whole(file, options, problems)
        source = None if data is None else decoded_text(data, file, problems)
        if source is None:
            return
        if "&lt;ref" in source and "<ref" not in source:  # cut out of a dump as it stands
            source = html.unescape(source)
        title = PurePosixPath(file.name).name.partition(".")[0].replace("_", " ")
        own = options.wiki_templates if isinstance(options.wiki_templates, dict) else None
        converter = Wikitext(flatten_tables=options.wiki_tables == "flatten", own=own)
        redirect = converter.is_redirect(source)
        if redirect and options.redirects == "skip":
            problems.skip("redirect")
            return
        if not redirect and options.disambiguations == "skip" and converter.is_disambiguation(source):
            problems.skip("disambiguation")
            return
        try:
            text = target_of(source) if redirect else converter.text(source, title)
        except WikitextError as error:
            problems.add("bad_wikitext", file.name, str(error), source[:500])
            return
        if text:
            yield 0, Record(text, id=file.name, metadata={"title": title})
        else:
            problems.add("no_text", file.name, "no text besides markup", source[:500])


def is_wikitext(head: bytes) -> bool:
    """Whether the first bytes of a plain text are full of a wiki's markup."""
    found = _MARKUP.findall(head)
    return _REDIRECT.match(head) is not None or (len(found) >= _FEWEST and len({mark[:2] for mark in found}) > 1)
