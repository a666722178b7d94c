"""Pages of an archive, whose text is extracted from several at once where the extractor can.

Much of what a page costs is the same for a page and for ten (calls of numpy on a few hundred numbers), so that ten cost little
more. A page's text does not depend on those that come with it. Where several together fail or take too long, each is read again
alone: then the one at fault is set aside as ever, and the others are kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TypeVar, cast

from megadata.corpus.sources.extract import InBatches, Unread, extract_page, finished, warmed
from megadata.corpus.sources.timelimit import TimeLimit, within
from megadata.documents.source import Problems, ReadOptions
from megadata.errors import ConfigError

K = TypeVar("K")

BATCH_PAGES = 16
BATCH_BYTES = 1 << 20
"""A batch ends with the page that reaches this size."""


def texts_of(
    found: Iterable[tuple[K, str | Unread]], options: ReadOptions, problems: Problems
) -> Iterator[tuple[K, str]]:
    """Pairs of anything and a text, in order, where pages have been replaced by their texts; those without one are left out."""
    held: list[tuple[K, str | Unread]] = []
    size = 0
    for key, one in found:
        held.append((key, one))
        size += len(one.page) if isinstance(one, Unread) else len(one)
        if len(held) >= BATCH_PAGES or size >= BATCH_BYTES:
            yield from _read(held, options, problems)
            held, size = [], 0
    yield from _read(held, options, problems)


def _read(held: list[tuple[K, str | Unread]], options: ReadOptions, problems: Problems) -> Iterator[tuple[K, str]]:
    read = _texts([one for _, one in held if isinstance(one, Unread)], options, problems)
    for key, one in held:
        text = next(read) if isinstance(one, Unread) else one
        if text is not None:
            yield key, text


def _texts(pages: list[Unread], options: ReadOptions, problems: Problems) -> Iterator[str | None]:
    """Text of each page; None for those that `problems` sets aside."""
    chosen = warmed(options.extractor)
    if len(pages) > 1 and isinstance(chosen, InBatches):
        given = [cast("bytes", one.page) for one in pages]
        try:
            together = list(zip(pages, within(options.page_seconds, lambda: chosen.extract_many(given)), strict=True))
        except ConfigError:
            raise
        except (TimeLimit, Exception) as error:
            logging.getLogger(__name__).debug("%d pages are read one by one: %r", len(pages), error)
        else:
            for page, text in together:
                yield finished(text, page, options, problems)
            return
    for page in pages:
        yield extract_page(page, options, problems)
