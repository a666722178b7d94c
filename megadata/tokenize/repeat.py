"""How often a document is written, by a field of its metadata: ``cluster_size=1:1,2-4:2,5-:3``.

Text that many pages have copied is worth reading more often (Penedo et al. 2024, FineWeb2, "rehydration"); `dedup` leaves the
number of copies as ``cluster_size``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from megadata.errors import ConfigError
from megadata.tokenize.keys import field_of

MOST = 100
"""Copies of one document; more of them would be most of a corpus."""
_RANGE = re.compile(r"(\d+)(?:(-)(\d*))?")
_EXAMPLE = "for example cluster_size=1:1,2-4:2,5-:3"


@dataclass(frozen=True, slots=True)
class Repeats:
    """A table from values of a field to numbers of copies; a value that no entry holds is written once."""

    field: str
    """Dotted path into the metadata."""
    ranges: tuple[tuple[int, int | None, int], ...]
    """(first, last, copies) of whole numbers, rising; no last: without end."""
    texts: tuple[tuple[str, int], ...]
    """(value, copies) of texts."""

    def copies(self, metadata: Sequence[dict[str, Any]]) -> list[int]:
        """How often each document is written."""
        texts = dict(self.texts)
        return [self._of(field_of(one, self.field), texts) for one in metadata]

    def _of(self, value: Any, texts: dict[str, int]) -> int:
        if isinstance(value, str):
            return texts.get(value, 1)
        if isinstance(value, int) and not isinstance(value, bool):
            for first, last, copies in self.ranges:
                if first <= value and (last is None or value <= last):
                    return copies
        return 1


def parse_repeat(text: str) -> Repeats:
    """A table as it is written on the command line: FIELD=VALUE:COPIES,...; a VALUE is N, N-M, N- or a text.

    Raises
    ------
    ConfigError
        When it is no table, names a value twice, or asks for no copy or more than `MOST`.
    """
    name, equals, table = text.partition("=")
    ranges: list[tuple[int, int | None, int]] = []
    texts: dict[str, int] = {}
    for entry in table.split(","):
        value, colon, number = entry.strip().rpartition(":")
        copies = int(number) if number.isascii() and number.isdigit() else -1
        if not name or not equals or not colon or not value or copies < 0:
            raise ConfigError(f"--repeat {text!r}: expected FIELD=VALUE:COPIES,..., {_EXAMPLE}; found {entry!r}")
        if not 1 <= copies <= MOST:
            raise ConfigError(
                f"--repeat {text!r}: expected 1 to {MOST} copies, found {copies}; documents that are not wanted are removed "
                "by `megadata clean`"
            )
        found = _RANGE.fullmatch(value)
        if found is None:
            if value in texts:
                raise ConfigError(f"--repeat {text!r}: {value!r} is named twice; leave one entry")
            texts[value] = copies
            continue
        first = int(found[1])
        last = first if not found[2] else int(found[3]) if found[3] else None
        if last is not None and last < first:
            raise ConfigError(f"--repeat {text!r}: expected a range that rises, found {value!r}")
        ranges.append((first, last, copies))
    ranges.sort(key=lambda one: one[0])
    for (_, last, _), (first, _, _) in pairwise(ranges):
        if last is None or first <= last:
            raise ConfigError(f"--repeat {text!r}: {first} lies in two ranges; let them end before the next begins")
    return Repeats(name, tuple(ranges), tuple(sorted(texts.items())))
