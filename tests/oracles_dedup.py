"""Plain Python definitions of what the deduplication kernels compute, and of deduplication itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction

MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1
PUNCTUATION, SYMBOL, LETTER, UNSPACED, IGNORED = 1, 2, 3, 4, 5
SEED_A, SEED_B, WHOLE = 0x243F6A8885A308D3, 0x13198A2E03707344, 0x452821E638D01377
STEP_A, STEP_B, STEP_S = 0x9E3779B97F4A7C15, 0xD1342543DE82EF95, 0xAEF17502108EF2D9


def mix64(value: int) -> int:
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD & MASK64
    value ^= value >> 33
    value = value * 0xC4CEB9FE1A85EC53 & MASK64
    return value ^ value >> 33


def mix32(value: int) -> int:
    value ^= value >> 16
    value = value * 0x85EBCA6B & MASK32
    value ^= value >> 13
    value = value * 0xC2B2AE35 & MASK32
    return value ^ value >> 16


def tokens_at(text: str, table: Sequence[int], level: int, by_character: bool) -> list[str]:
    """Tokens of a text where characters of class `level` and more make words."""
    words: list[list[str]] = []
    current: list[str] = []
    for character in text:
        code = ord(character)
        if code < len(table):
            folded, kind = table[code] & 0x1FFFFF, table[code] >> 24
        else:
            folded, kind = code, UNSPACED if code < 0x40000 else LETTER
        if kind == IGNORED:
            continue
        if kind >= level and (kind != UNSPACED or by_character):
            current.append(chr(folded))
            continue
        if current:
            words.append(current)
            current = []
        if kind >= level:
            words.append([chr(folded)])
    if current:
        words.append(current)
    if by_character:
        return list(" ".join("".join(word) for word in words))
    return ["".join(word) for word in words]


def tokens(text: str, table: Sequence[int], by_character: bool = False) -> list[str]:
    found = tokens_at(text, table, LETTER, by_character)
    if len(found) < 5:
        found = tokens_at(text, table, SYMBOL, by_character)
    return found or tokens_at(text, table, PUNCTUATION, by_character)


def lanes(token: str) -> tuple[int, int]:
    data = token.encode()
    a, b = SEED_A, SEED_B
    for at in range(0, len(data) // 8 + 1):
        block = int.from_bytes(data[8 * at : 8 * at + 8], "little")
        a, b = (a ^ block) * STEP_A & MASK64, (b ^ block) * STEP_B & MASK64
        a, b = a ^ a >> 32, b ^ b >> 29
    return a, b


def digest(words: Sequence[str]) -> tuple[int, int]:
    a, b = len(words), 0
    for place, word in enumerate(words):
        left, right = lanes(word)
        a = (a + mix64(left ^ place * STEP_S & MASK64)) & MASK64
        b = (b + mix64(right ^ place * STEP_S & MASK64)) & MASK64
    return mix64(a), mix64(b)


def window(words: Sequence[str], start: int = 0) -> int:
    state = start
    for word in words:
        state = (state * STEP_S + lanes(word)[0]) & MASK64
    return min(mix64(state), MASK64 - 1)


def shingles(words: Sequence[str], width: int) -> list[int]:
    if len(words) < width:
        return [window(words, (WHOLE + len(words)) & MASK64)]
    return [window(words[at : at + width]) for at in range(len(words) - width + 1)]


def signature(hashes: Sequence[int], mul: Sequence[int], add: Sequence[int]) -> list[int]:
    mixed = [mix32(value & MASK32) for value in hashes]
    return [min((a * h + b & MASK32 for h in mixed), default=MASK32) for a, b in zip(mul, add, strict=True)]


def band_values(row: Sequence[int], bands: int, rows: int) -> list[tuple[int, ...]]:
    """The slots of each band with its number; equal exactly where band hashes are."""
    return [(band, *row[band * rows : (band + 1) * rows]) for band in range(bands)]


def sha(word: str) -> int:
    return int.from_bytes(hashlib.sha1(word.encode()).digest()[:8], "little")


def deduplicate(
    documents: Sequence[tuple[tuple[object, ...], Sequence[object], frozenset[int]]],
    threshold: Fraction,
    containment: bool = False,
    remembered: int = 128,
) -> tuple[dict[int, tuple[int, Fraction]], int]:
    """The definition: documents are (rank, band values, shingle set); removed -> (kept, similarity), and how many saturated."""
    memory: dict[object, list[int]] = {}
    removed: dict[int, tuple[int, Fraction]] = {}
    saturated = 0
    in_rank = sorted(range(len(documents)), key=lambda d: documents[d][0])
    place = {d: at for at, d in enumerate(in_rank)}
    for v in in_rank:
        _, bands, mine = documents[v]
        candidates = {u for band in bands for u in memory.get(band, [])}
        for u in sorted(candidates, key=place.__getitem__):
            theirs = documents[u][2]
            similarity = Fraction(len(mine & theirs), len(mine) if containment else len(mine | theirs))
            if similarity >= threshold:
                removed[v] = (u, similarity)
                break
        else:
            for band in bands:
                held = memory.setdefault(band, [])
                if len(held) < remembered:
                    held.append(v)
                else:
                    saturated += 1
    return removed, saturated


def repeated_bytes(texts: Sequence[bytes], length: int) -> list[list[bool]]:
    """Which bytes of documents, in order of rank, lie in a string of `length` bytes that occurs before, without overlapping."""
    first: dict[bytes, tuple[int, int]] = {}
    repeated = [[False] * len(text) for text in texts]
    for number, text in enumerate(texts):
        for at in range(len(text) - length + 1):
            document, place = first.setdefault(text[at : at + length], (number, at))
            if document != number or place + length <= at:
                repeated[number][at : at + length] = [True] * length
    return repeated
