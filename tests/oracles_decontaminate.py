"""Plain Python definitions of what decontamination finds, and of what its cuts leave."""

from __future__ import annotations

from collections.abc import Sequence

LETTER, UNSPACED, IGNORED = 3, 4, 5
SOUTH_EAST = ((0x0E00, 0x1CFF), (0xA980, 0xAADF))
Token = tuple[str, int, int]
Match = tuple[int, int, tuple[str, ...]]


def tokens(text: str, table: Sequence[int]) -> list[Token]:
    """Each token in normal form, with its first character's place and the place behind its last."""
    found: list[Token] = []
    inside = False
    for at, character in enumerate(text):
        code = ord(character)
        if code < len(table):
            folded, kind = chr(table[code] & 0x1FFFFF), table[code] >> 24
        else:
            folded, kind = character, UNSPACED if code < 0x40000 else LETTER
        if kind == IGNORED:
            continue
        if kind == LETTER and inside:
            word, start, _ = found[-1]
            found[-1] = word + folded, start, at + 1
        elif kind in (LETTER, UNSPACED):
            found.append((folded, at, at + 1))
        inside = kind == LETTER
    return found


def weight(token: str, table: Sequence[int]) -> int:
    """Four for a word, two for an ideograph, one for a character of a script of South-East Asia."""
    code = ord(token[0])
    kind = table[code] >> 24 if code < len(table) else UNSPACED if code < 0x40000 else LETTER
    if kind != UNSPACED:
        return 4
    return 1 if any(first <= code <= last for first, last in SOUTH_EAST) else 2


def window(weights: Sequence[int], start: int, least: int) -> int | None:
    """Where the shortest run of tokens from `start` on that weighs `least` ends."""
    total = 0
    for stop in range(start, len(weights)):
        total += weights[stop]
        if total >= least:
            return stop + 1
    return None


def ngrams(text: str, table: Sequence[int], words: int, shortest: int) -> set[tuple[str, ...]]:
    """The n-grams of an evaluation text."""
    names = [name for name, _, _ in tokens(text, table)]
    weights = [weight(name, table) for name in names]
    if sum(weights) < 4 * shortest:
        return set()
    if sum(weights) < 4 * words:
        return {tuple(names)}
    stops = [window(weights, start, 4 * words) for start in range(len(names))]
    return {tuple(names[start:stop]) for start, stop in enumerate(stops) if stop is not None}


def matches(text: str, known: set[tuple[str, ...]], table: Sequence[int]) -> list[Match]:
    """All runs of tokens of a document that are one of the n-grams."""
    names = [name for name, _, _ in tokens(text, table)]
    sizes = sorted({len(one) for one in known})
    return [
        (start, start + size, tuple(names[start : start + size]))
        for start in range(len(names))
        for size in sizes
        if tuple(names[start : start + size]) in known and start + size <= len(names)
    ]


def pieces(text: str, spans: Sequence[tuple[int, int]], margin: int, least: int, ends: str) -> list[str]:
    """What is left when every match goes with its surroundings, character by character."""
    gone = [False] * len(text)
    for start, stop in spans:
        begin = start - margin
        while begin >= 0 and text[begin] not in ends:
            begin -= 1
        finish = stop + margin
        while finish < len(text) and text[finish] not in ends:
            finish += 1
        for at in range(max(begin + 1, 0), min(finish + 1, len(text))):
            gone[at] = True
    left, held = [], ""
    for character, cut in zip([*text, ""], [*gone, True], strict=True):
        if cut:
            left.append(held.strip())
            held = ""
        else:
            held += character
    return [one for one in left if len(one) >= least]
