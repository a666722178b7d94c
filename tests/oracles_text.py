"""Plain Python for what the text kernels compute: one function for each, written from the definition."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from hypothesis import strategies as st

from megadata.corpus.characters import PUNCTUATION, SPACELESS, TERMINAL

ODD = (
    "\x00\x01\x0b\x0c\x1b\x1c\x1e\x7f\x80\x85\x9f\xa0\xad\u0301\u0327\u093c\u1161\u11a8\u1680\u200b\u200d"
    "\u2028\u2029\u202f\u3000\ufeff\ufffd"
)
NEAR = "aAzZ09_ \t\n\r.,;!?'\"&<#-*•…’“”„«»()[]éÉßœŒÃÂâ€™£±µ°ñÑžŠøØ×à√≈вВЂРСГўβΒΓāﬁĲＡｶ가각かカ漢字กขअिআжДαΩيא𝒥😀🇩"
PHRASES = [
    "the cat",
    "sat on",
    "a",
    "mat.",
    "of and to",
    "don't",
    "3,000.5",
    "...",
    "…",
    "• x",
    "#",
    "\n",
    "\n\n",
    " ",
    "漢字",
    "é",
    "hоuse",  # with a Cyrillic o
    "aԱ",
    "дом",
]

TEXT = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=60),
    st.text(st.sampled_from(NEAR + ODD), max_size=60),
    st.lists(st.sampled_from(PHRASES), max_size=40).map(" ".join),
)
"""Any Unicode text, text of characters that rules look at, and text that repeats itself."""

LONG = st.lists(
    st.one_of(TEXT, st.sampled_from(["x" * 70, " " * 70, "é" * 40, "—" * 30, "漢字かな" * 20])), max_size=12
).map("".join)
"""Text of more than one block of 64 bytes, with characters across their ends."""

LINES = st.lists(st.one_of(TEXT, st.sampled_from(["", " ", "same line", "same line.", "• same"])), max_size=8).map(
    "\n".join
)


def is_solo(character: str) -> bool:
    return character.isalpha() and any(a <= ord(character) <= b for a, b in SPACELESS)


def is_joined(character: str) -> bool:
    category = unicodedata.category(character)
    return (category[0] in "LMN" or category == "Pc") and not is_solo(character)


def unicode_words(text: str) -> list[str]:
    """Words of the `unicode` cutting."""
    words: list[str] = []
    i = 0
    while i < len(text):
        if text[i].isspace():
            i += 1
            continue
        start = i
        i += 1
        if is_joined(text[start]):
            while i < len(text):
                inside = is_joined(text[i])
                if not inside and i + 1 < len(text):
                    before, after = text[i - 1], text[i + 1]
                    if text[i] in "'’.·‧":
                        inside = is_joined(before) and is_joined(after)
                    elif text[i] == ",":
                        inside = unicodedata.category(before) == unicodedata.category(after) == "Nd"
                if not inside:
                    break
                i += 1
        else:
            while i < len(text) and unicodedata.category(text[i])[0] == "M":
                i += 1
        words.append(text[start:i])
    return words


def cut_words(text: str, cutting: str) -> list[str]:
    return text.split() if cutting == "whitespace" else unicode_words(text)


def count_words(text: str, cutting: str, stop_words: Iterable[str]) -> list[int]:
    """The columns of kernels.counts.count_words."""
    words = cut_words(text, cutting)
    stops = set(stop_words)
    plain = [w for w in words if any(c not in PUNCTUATION and c not in TERMINAL for c in w)]
    found = [w for w in words if w in stops]
    return [
        len(text),
        len(words),
        sum(map(len, words)),
        len(plain),
        sum(map(len, plain)),
        sum(any(c.isalpha() for c in w) for w in words),
        max(map(len, words), default=0),
        len(set(found)),
        len(found),
        text.count("#"),
        text.count("...") + text.count("…"),
        text.count("\n"),
        sum(
            bool(re.search("[A-Za-z]", w)) and any("CYRILLIC" in n or "ARMENIAN" in n for n in names(w)) for w in words
        ),
    ]


def names(word: str) -> list[str]:
    """Unicode names of the letters."""
    return [unicodedata.name(c, "") for c in word if c.isalpha()]


def cut_lines(text: str, cutting: str) -> list[str]:
    if cutting == "splitlines":
        return text.splitlines()
    if cutting == "runs":
        return re.split("\n+", text)
    if cutting == "paragraphs":
        return re.split("\n{2,}", text.strip())
    if cutting == "pairs":
        return text.split("\n\n")
    lines = text.split("\n")
    return lines if cutting == "newline" else [line for line in lines if line.strip()]


def ascii_lower(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


def count_lines(
    text: str,
    cutting: str,
    short: int,
    bullets: str,
    ends: str,
    edges: str = "mixed",
    endings: tuple[str, ...] = ("...", "…"),
) -> list[int]:
    """The columns of kernels.lines.count_lines."""

    def edged(line: str, mixed_strips: bool) -> str:
        return line if edges == "as_is" or (edges == "mixed" and not mixed_strips) else line.strip()

    lines = cut_lines(text, cutting)
    times = Counter(lines)
    seen: set[str] = set()
    later = [line for line in lines if line in seen or seen.add(line)]  # type: ignore[func-returns-value]
    repeated = [line for line in lines if times[line] > 1]
    return [
        len(lines),
        sum(edged(line, True)[:1] in set(bullets) for line in lines),
        sum(ascii_lower(edged(line, True)).endswith(endings) for line in lines),
        sum(edged(line, False)[-1:] in set(ends) for line in lines),
        sum(len(line) <= short for line in lines),
        len(later),
        sum(map(len, later)),
        len(repeated),
        sum(map(len, repeated)),
        sum(map(len, lines)),
    ]


def ngrams(words: list[str], n: int) -> list[str]:
    return [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]


def top_ngram(words: list[str], n: int, least: int, tie: str, spaces: bool) -> int:
    """Characters in all occurrences of the most frequent n-gram."""
    counts = Counter(ngrams(words, n))
    if not counts:
        return 0
    most = max(counts.values())
    best = [g for g, c in counts.items() if c == most]
    chosen = best[0] if tie == "first" else max(best, key=lambda g: len(g.replace(" ", "")))
    size = len(chosen) if spaces else len(chosen.replace(" ", ""))
    return size * most if most >= least else 0


def repeated_ngrams(words: list[str], n: int, formula: str) -> tuple[int, int]:
    """Characters in repeated n-grams, and characters there are."""
    total = sum(map(len, words))
    if formula == "skipping":  # datatrove's find_all_duplicate
        unique: set[str] = set()
        repeated, i = 0, 0
        while i < len(words) - n + 1:
            gram = "".join(words[i : i + n])
            if gram in unique:
                repeated += len(gram)
                i += n
            else:
                unique.add(gram)
                i += 1
        return repeated, total
    grams = ngrams(words, n)
    times = Counter(grams)
    sizes = [sum(map(len, words[i : i + n])) for i in range(len(grams))]
    if formula == "overlapping":
        return sum(s for g, s in zip(grams, sizes, strict=True) if times[g] > 1), sum(sizes)
    if formula == "spaced":  # NeMo Curator's RepeatingDuplicateNGramsFilter
        known: set[str] = set()
        found = overlap = 0
        for i, gram in enumerate(grams):
            if gram in known:
                found += sum(map(len, words[i + overlap : i + n])) + min(n - overlap, n - 1)
                overlap = n
            known.add(gram)
            overlap = max(overlap - 1, 0)
        return found, total
    covered: set[int] = set()
    seen: set[str] = set()
    for i, gram in enumerate(grams):
        if gram in seen or (formula == "all" and times[gram] > 1):
            covered.update(range(i, i + n))
        seen.add(gram)
    return sum(len(words[i]) for i in covered), total


def sentences(line: str, ends: str = TERMINAL) -> int:
    """Sentences by their end marks."""
    count, pending, ended = 0, False, False
    for c in line:
        if c.isspace():
            if ended and pending:
                count, pending = count + 1, False
            ended = False
        elif c in ends:
            ended = pending = True
        elif c not in "\"')]’”»":
            if ended and pending and ord(c) >= 0x2E80:
                count += 1
            ended, pending = False, True
    return count + pending


def keep_lines(
    text: str,
    ends: str,
    ellipsis_ends: bool,
    min_words: int,
    max_word_length: int,
    drop_citations: bool,
    whole_page: bool,
    phrases: list[tuple[str, bool]],
    words_after: bool = False,
) -> tuple[str, list[int]]:
    """The text and the columns of kernels.lines.keep_lines, after C4QualityFilter.filter of datatrove."""
    kept: list[str] = []
    counts = [0] * 7
    for line in text.splitlines():
        line = line.strip()
        if whole_page and not counts[2]:
            hits = [p for p, (phrase, page) in enumerate(phrases) if page and phrase in line.lower()]
            counts[2] = hits[0] + 1 if hits else 0
        words = line.split()
        if max_word_length and any(len(w) > max_word_length for w in words):
            counts[3] += 1
            continue
        if drop_citations:
            line = re.sub(r"\[\d*]|\[edit]|\[citation needed]", "", line)
        if ends and (not line.endswith(tuple(ends)) or (line.endswith("...") and not ellipsis_ends)):
            counts[4] += 1
            continue
        if len(line.split() if words_after else words) < min_words:
            counts[5] += 1
            continue
        hits = [p for p, (phrase, _) in enumerate(phrases) if phrase in line.lower()]
        if hits:
            if not phrases[hits[0]][1]:
                counts[6] += 1
            elif not counts[2]:
                counts[2] = hits[0] + 1
            continue
        counts[0] += 1
        counts[1] += sentences(line)
        kept.append(line)
    return "\n".join(kept).strip(), counts


def replace_characters(text: str, delete: str, space: str, newline: str, trim: bool, newlines: int, strip: bool) -> str:
    """What kernels.text.replace_characters does."""
    text = re.sub("\r\n", "\n", text) if "\r" in newline else text
    text = "".join("" if c in delete else " " if c in space else "\n" if c in newline else c for c in text)
    if trim:
        text = re.sub("[ \t]+(?=\n|\\Z)", "", text)
    if newlines:
        text = re.sub(f"\n{{{newlines},}}", "\n" * newlines, text)
    return text.strip(" \t\n") if strip else text


def sentence_ends(text: str, ends: str = TERMINAL) -> int:
    """What kernels.sentences.count_ends counts."""
    count, ended = 0, False
    for c in text:
        thai = 0x0E00 <= ord(c) < 0x0F00
        if c.isspace():
            count, ended = count + ended, False
        elif c.isalpha():
            count, ended = count + (ended and ord(c) >= 0x2E80), thai
        elif c in ends:
            ended = True
        elif c not in "\"')]’”»" and not (ended and thai):
            count, ended = count + (ended and ord(c) >= 0x2E80), False
    return count + ended
