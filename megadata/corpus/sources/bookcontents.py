"""Tables of contents inside the pages of a book: lists of headings that the book itself repeats further on."""

from __future__ import annotations

import re
from collections import Counter

_TITLE = re.compile(
    r"\W*(?:(?:table of )?contents|inhalt(?:sverzeichnis)?|kapitelfolge|table des mati[eè]res|sommaire|[ií]ndice"
    r"|tabla de materias|inhoud(?:sopgave)?|inneh[aå]ll|indhold|sis[aä]ll?ys(?:luettelo)?|sis[aä]lt[oö]|spis treści|obsah"
    r"|содержание|оглавление|目次|目录|目錄)\W*",
    re.IGNORECASE,
)
_LABEL = re.compile(r"\W*(?:[^\W\d_]{2,10}\W+)?(?:[ivxlc]{1,8}|\d{1,4})\W*", re.IGNORECASE)
_LABELLED = re.compile(r"\W*(?:(?:[^\W\d_]{2,10}\W+)?(?:[IVXLC]{1,8}|\d{1,4})[.:)]?\s+)(?=\S)")
"""A label before the title of a chapter."""
_PAGE = re.compile(r"(?<![\s.·…—-])[\s.·…—-]{1,160}(?:\d{1,4}|[ivxlc]{1,7})\s{0,160}$")
_LONGEST_ENTRY = 160
_FEWEST_ENTRIES = 3
_FEWEST_LABELS = 5
_MOST_TITLES = 3
"""Titles that are looked below, since each costs a look at the whole book."""
_MOST_BEFORE = 0.1
"""Share of the book, or 20,000 characters, before which its contents begin."""


def without_contents(text: str) -> str:
    """Text without its tables of contents: the title and the lines below it whose words all follow once more.

    A table ends at the first line that does not, or at the line that repeats its first entry: there the book begins. One of
    fewer than three entries stays, since it may be anything. Without a title, five labels in a row (``CHAPTER I.``) and nothing
    between them are a table.
    """
    lines = text.split("\n")
    limit = max(int(len(text) * _MOST_BEFORE), 20_000)
    kept: list[str] = []
    place = at = titles = 0
    while at < len(lines) and place < limit:
        stop = at
        line = lines[at] if len(lines[at]) <= _LONGEST_ENTRY else ""
        if line and titles < _MOST_TITLES and _TITLE.fullmatch(line):
            titles += 1
            stop = _end(lines, at)
        elif line and _is_label(line):
            stop = _end_of_labels(lines, at)
        if stop == at:
            kept.append(lines[at])
            stop = at + 1
        place += sum(len(one) + 1 for one in lines[at:stop])
        at = stop
    return "\n".join(kept + lines[at:])


def _end_of_labels(lines: list[str], start: int) -> int:
    """Line behind a run of lines that are labels alone; where it starts where there are too few."""
    at, labels = start, 0
    first = _number(lines[start])
    while at < len(lines) and (not lines[at].strip() or _is_label(lines[at])):
        if lines[at].strip():
            if labels and _number(lines[at]) == first:  # the first chapter
                break
            labels += 1
        at += 1
    return at if labels >= _FEWEST_LABELS else start


def _end(lines: list[str], title: int) -> int:
    """Line behind the table that a title opens; the title's own where there is none."""
    headings: Counter[str] = Counter()
    before = ""
    for line in lines[title + 1 :]:
        if line and len(line) <= _LONGEST_ENTRY:  # a heading may be two lines: Chapter 1, and its title
            headings.update({_letters(line), _name(line), _letters(before + line)})
        before = line or before
    at = title + 1
    entries: list[str] = []
    numbered = False
    last = at  # behind the last entry that has a title
    while at < len(lines):
        line = lines[at]
        if len(line) > _LONGEST_ENTRY:
            break
        if line.strip():
            name = _name(line)
            label = not name or _is_label(line)
            own = _letters(line) if label else name
            titled = not label and _LABELLED.match(line) is not None
            known = label or headings[name] > 1 or headings[_letters(line)] > 1
            if own in entries[:2] or not (known or (titled and numbered)):
                break
            numbered = numbered or (titled and not entries)
            entries.append(own)
            last = last if label else at + 1
        at += 1
    if len(entries) < _FEWEST_ENTRIES:
        return title
    if last > title + 1:  # labels behind it are those of the first chapter
        at = last
    while at < len(lines) and not lines[at].strip():
        at += 1
    return at


def _is_label(line: str) -> bool:
    return len(line) <= _LONGEST_ENTRY and _LABEL.fullmatch(line) is not None


def _number(label: str) -> str:
    """The numeral of a label."""
    return str(re.findall(r"[^\W_]+", label)[-1]).casefold()


def _name(line: str) -> str:
    """Letters of an entry or a heading without its label and page."""
    label = _LABELLED.match(line)
    return _letters(_PAGE.sub("", line[label.end() if label is not None else 0 :]))


def _letters(text: str) -> str:
    return "".join(re.findall(r"[^\W_]+", text)).casefold()
