"""What is left of a text when matches are cut out of it: the rule of GPT-3, with Megatron-LM's whole sentences."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache

from megadata.corpus.decontaminate.config import DecontaminateConfig


@lru_cache(maxsize=8)
def _end(characters: str) -> re.Pattern[str]:
    return re.compile("[" + "".join(map(re.escape, characters)) + "]")


def characters(data: bytes, at: Sequence[int]) -> dict[int, int]:
    """Byte -> character, for bytes of UTF-8 text at which characters begin or end."""
    found: dict[int, int] = {}
    before = count = 0
    for byte in sorted(set(at)):
        count += len(data[before:byte].decode())
        before = byte
        found[byte] = count
    return found


def gaps(text: str, matches: Iterable[tuple[int, int]], config: DecontaminateConfig) -> list[tuple[int, int]]:
    """Stretches [start, stop) of a text that lie outside all cuts.

    A cut begins `margin` characters before a match, and from there back behind the end of a sentence; without one it begins where
    the text does. In the same way it ends with the sentence that holds the character `margin` behind the match.
    """
    ends = [found.start() for found in _end(config.ends).finditer(text)]
    left: list[tuple[int, int]] = []
    done = 0  # everything before is decided
    for start, stop in sorted(matches):
        behind = bisect_right(ends, start - config.margin) - 1
        begin = ends[behind] + 1 if behind >= 0 else 0
        after = bisect_left(ends, stop + config.margin)
        finish = ends[after] + 1 if after < len(ends) else len(text)
        if begin > done:
            left.append((done, begin))
        done = max(done, finish)
    if done < len(text):
        left.append((done, len(text)))
    return left


def pieces(text: str, matches: Iterable[tuple[int, int]], config: DecontaminateConfig) -> list[str]:
    """The texts that are left, without space around them, those of fewer than `least_piece` characters dropped."""
    stripped = (text[start:stop].strip() for start, stop in gaps(text, matches, config))
    return [piece for piece in stripped if len(piece) >= config.least_piece]
