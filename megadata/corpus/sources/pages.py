"""Text that came out of page images: form feeds between pages, as `pdftotext` and OCR write it, back to running text.

What belongs to the paper goes: running heads and feet, page numbers, contents with dot leaders, ligatures, hyphens at line ends.
Paragraphs go on across lines and pages. All is decided from the document itself: a head is a line that returns on pages nearby, a
page number is one that counts pages, a hyphen stays where the document writes the word with it elsewhere, or both halves
as words.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate, groupby, pairwise

_EDGE = 4
"""Lines at the top and at the bottom of a page among which heads and feet are looked for."""
_NEAR = 3
"""A head returns within this many pages: on every page, on every second one, or with a picture between."""
_LONGEST_HEAD = 120
_SUPPORT = 2
"""Pages nearby whose numbers must agree with a page's number."""
_MIN_PAGES = 3
_MIN_ENTRIES = 5
"""Lines with dot leaders that make a table of contents; fewer are left."""
_MAX_PAGE = 20_000
"""Mean characters of a page at most; files with a form feed before each chapter have longer ones."""
_FULL = 0.86
"""Share of the page's width that a line and the next line's first word reach together where the line was broken to fit; type set
with letters of different widths needs the leeway."""
_SHORT = 0.55

_LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "\u2028": "\n", "\u2029": "\n"}
)
_NUMBER = re.compile(r"\d+|\b[ivxlc]{1,7}\b", re.IGNORECASE)
_PAGE_NUMBER = re.compile(
    r"\W{0,4}(?:(?:page|seite|página|pagina|strona|side|sida|p\.|s\.)\s*)?(?:\d{1,4}|[ivxlc]{1,7})"
    r"(?:\s*(?:/|of|von|de|sur|di|van|z|av)\s*\d{1,4})?\W{0,4}",
    re.IGNORECASE,
)
_YEAR = re.compile(r"1[5-9]\d\d|20\d\d")
_LEADERS = re.compile(r"(?:\.[ \t]?){6}|…{3}")
_ENTRY = re.compile(
    r".{0,200}?(?:(?:\.[ \t]?){6}|…{3})[ \t.…]*((?:\d{1,4}|[ivxlc]{1,7})(?:,\s*\d{1,4}){0,20})?,?", re.IGNORECASE
)
_LONE_NUMBER = re.compile(r"\d{1,4}(?:\.\d{1,3}){0,3}\.?|[ivxlc]{1,7}", re.IGNORECASE)
_ITEM = re.compile(
    r"(?:[•‣▪●○◦■–—*+·-]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})[.)])(?:\s|$)|\[\d{1,3}\]\s|\d+(?:\.\d+)+\.?\s"
)
_CODE = re.compile(r"(?:[$#>%]\s|<\w|\{|\}).*|.*(?:[;{}\\]|\*/)")
_NOTE_MARK = re.compile(r"(?:\d{1,2}|[*†‡§])(?:\s+|$)")
_HYPHENS = ("-", "\u2010", "\xad", "¬")
_SUSPENDED = frozenset((
    "und", "oder", "bzw", "bis", "and", "or", "to", "et", "ou", "y", "o", "e", "en", "of", "och", "eller", "og",
))  # fmt: skip
"""Words before which a hyphen stands for the rest of a word (German: Haupt- und Nebensatz)."""
_WORD = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")
_CLOSING = (".", "!", "?", ":", "…", "。", "！", "？", "”", "»", ")", '"')
_CJK = re.compile("[\u3000-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")
_GUTTER = re.compile(r"\S(\s{3,})\S")


def is_paged(text: str) -> bool:
    """Whether form feeds divide a text into pages of a size that paper has."""
    feeds = text.count("\f")
    return feeds >= _MIN_PAGES and len(text) / feeds <= _MAX_PAGE


@dataclass(slots=True)
class _Page:
    lines: list[str]
    """Without blanks at either end of the page; lines keep their indents."""
    top: list[int] = field(default_factory=list)
    """Places of the first lines that hold text."""
    bottom: list[int] = field(default_factory=list)
    """Places of the last ones, from the end."""


def unpage(text: str) -> str:
    """The running text of a document in pages."""
    text = text.translate(_LIGATURES).replace("\t", "    ").replace("\xa0", " ")
    pages = [_Page(_columns(page.split("\n"))) for page in text.split("\f")]
    for page in pages:
        held = [at for at, line in enumerate(page.lines) if line.strip()]
        page.top, page.bottom = held[:_EDGE], held[::-1][:_EDGE]
    heads = _running([[page.lines[at] for at in page.top] for page in pages])
    feet = _running([[page.lines[at] for at in page.bottom] for page in pages])
    bodies: list[list[str]] = []
    for page, head, foot in zip(pages, heads, feet, strict=True):
        gone = {*page.top[:head], *page.bottom[:foot]}
        bodies.append([line for at, line in enumerate(page.lines) if at not in gone])
    bodies = _without_contents(bodies)
    words = Counter(word.lower() for body in bodies for line in body for word in _WORD.findall(line))
    for body in bodies:  # halves of broken words are no words of the document
        for line, following in pairwise(body):
            if line.rstrip().endswith(_HYPHENS):
                words.subtract(word.lower() for word in (*_WORD.findall(line)[-1:], *_WORD.findall(following)[:1]))
    return _Joiner(bodies, words).text()


def _running(edges: list[list[str]]) -> list[int]:
    """For each page, how many of its lines at one edge, counted from the outside, are heads (or feet)."""
    keys = [[_key(line) for line in edge] for edge in edges]
    numbers = [[_page_number(line) for line in edge] for edge in edges]
    counted = [0] * len(edges)
    second = 0
    alone: list[int] = []
    for n, edge in enumerate(edges):
        near = [m for m in range(max(n - _NEAR, 0), min(n + _NEAR + 1, len(edges))) if m != n]
        nearby = {key for m in near for key in keys[m]}
        steps = Counter(step for m in near for step in {value - m for value in numbers[m] if value is not None})
        counting = [value is not None and steps[value - n] >= _SUPPORT for value in numbers[n]]
        for at, line in enumerate(edge):
            head = keys[n][at] in nearby and bool(keys[n][at]) and len(line.strip()) <= _LONGEST_HEAD
            if not head and not counting[at]:
                break
            counted[n] = at + 1
        second += counting[1:2] == [True]
        if counted[n] == 0 and counting[1:2] == [True] and len(edge[0].strip()) <= _LONGEST_HEAD:
            alone.append(n)
    # The head of a chapter of one page stands nowhere else, but where page numbers stand beside heads it is one.
    if second * 2 > sum(bool(edge) for edge in edges):
        for n in alone:
            counted[n] = 2
    return counted


def _key(line: str) -> str:
    """A line as it looks on other pages: numbers and blanks made alike; empty for what is too little to go by."""
    line = " ".join(line.split()).lower()
    if _YEAR.fullmatch(line):
        return line
    key = _NUMBER.sub("#", line)
    return key if sum(c.isalpha() for c in key) >= 3 else ""


def _page_number(line: str) -> int | None:
    line = line.strip()
    if not _PAGE_NUMBER.fullmatch(line):
        return None
    found = _NUMBER.search(re.sub(r"^\W*[^\W\d]{2,}\.?\s+|^\W*[ps]\.\s*", "", line) or line)
    if found is None:
        return None
    return int(found[0]) if found[0].isdigit() else _roman(found[0].lower())


def _roman(numeral: str) -> int:
    values = [{"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}[letter] for letter in numeral]
    return sum(-v if any(w > v for w in values[at + 1 : at + 2]) else v for at, v in enumerate(values))


def _gutter(lines: list[str]) -> tuple[int, int] | None:
    """How many lines have a gap where the most have one, and the last such place; None without any gap."""
    steps = Counter[
        int
    ]()  # by how many the gaps at a place are more than before it: a gap costs two numbers, however wide
    for line in lines:
        for gap in _GUTTER.finditer(line):
            steps[gap.start(1)] += 1
            steps[gap.end(1)] -= 1
    places = sorted(steps)
    counts = accumulate(steps[place] for place in places)
    return max(((many, after - 1) for many, after in zip(counts, places[1:], strict=False)), default=None)


def _columns(lines: list[str]) -> list[str]:
    """The lines of a page; of one whose text was laid out in two columns side by side, first the left and then the right ones."""
    wide = [line for line in lines if len(line.strip()) > 30]
    if len(wide) < 10 or (gutter := _gutter(wide)) is None:
        return lines
    many, at = gutter
    split = [line for line in wide if line[at : at + 1].isspace() and line[at:].strip() and line[:at].strip()]
    if many < 0.7 * len(wide) or len(split) < 10:
        return lines
    left, right = (
        [len(part.strip()) for part in parts] for parts in zip(*((s[:at], s[at:]) for s in split), strict=True)
    )
    if sorted(left)[len(left) // 2] < 25 or sorted(right)[len(right) // 2] < 25:
        return lines
    crossing = [n for n, line in enumerate(lines) if line[at : at + 1].strip() or line[at - 1 : at].strip()]
    if len(crossing) * 10 > len(lines):
        return lines
    out: list[str] = []
    for crosses, group in groupby(enumerate(lines), lambda one: one[0] in crossing):
        part = [line for _, line in group]
        out += part if crosses else [line[:at].rstrip() for line in part] + [line[at:].rstrip() for line in part]
    return out


def _without_contents(pages: list[list[str]]) -> list[list[str]]:
    """Pages without entries of a table of contents, known by their dot leaders, and the numbers that were set beside them."""
    found = [[_ENTRY.fullmatch(line.strip()) if _LEADERS.search(line) else None for line in page] for page in pages]
    if sum(entry is not None for page in found for entry in page) < _MIN_ENTRIES:
        return pages
    out = []
    for page, entries in zip(pages, found, strict=True):
        many = sum(entry is not None for entry in entries)
        numbers = [bool(_LONE_NUMBER.fullmatch(line.strip())) for line in page]
        contents = many >= 3 and (many + sum(numbers)) * 2 > sum(bool(line.strip()) for line in page)
        keep = []
        for line, entry, number in zip(page, entries, numbers, strict=True):
            if not (entry and (entry[1] or many >= 3)) and not (number and contents):
                keep.append(line)
        out.append(keep)
    return out


class _Joiner:
    """Puts lines together to paragraphs, and paragraphs across pages."""

    def __init__(self, bodies: list[list[str]], words: Counter[str]) -> None:
        self._bodies, self._words = bodies, words
        self._width = _width([line for body in bodies for line in body])

    def text(self) -> str:
        blocks: list[str] = []
        for body in self._bodies:
            width = max(_width(body), int(0.45 * self._width))
            page = [block for block in (self._block(one, width) for one in _blocks(body)) if block]
            self._add_page(blocks, page, width)
        return "\n\n".join(blocks)

    def _add_page(self, blocks: list[str], page: list[str], width: int) -> None:
        """Append a page's blocks; its first one goes on with the last one before, where that ended within a sentence."""
        if blocks and page:
            # Notes at the foot of the page before stand between the two halves of a sentence.
            at = _before_notes(blocks) if blocks[-1].endswith(_CLOSING) else len(blocks) - 1
            before, (first, *rest) = blocks[at].rpartition("\n"), page[0].split("\n")
            last = before[2]
            goes_on = first[:1].islower() or (last.endswith(_HYPHENS) and first[:1].isalpha())
            whole = len(last) >= _SHORT * width or goes_on
            if (
                not last.endswith(_CLOSING)
                and goes_on
                and whole
                and not _ITEM.match(first)
                and not _CODE.fullmatch(last)
            ):
                joined = self._join(last, first)
                blocks[at] = "\n".join([before[0] + before[1] + joined, *rest])
                page = page[1:]
        blocks.extend(page)

    def _block(self, lines: list[str], width: int) -> str:
        margin = min((len(line) - len(line.lstrip()) for line in lines), default=0)
        out: list[str] = []
        last = ""
        for line in lines:
            indent = len(line) - len(line.lstrip()) - margin
            line = " ".join(line.split()) if indent < 2 and "   " not in line.strip() else line[margin:].rstrip()
            if out and self._goes_on(last, line, width):
                out[-1] = self._join(out[-1].lstrip(), line.strip())
            else:
                out.append(line)
            last = line
        return "\n".join(out)

    def _goes_on(self, last: str, line: str, width: int) -> bool:
        """Whether the break between two lines was made by the width of the page."""
        line = line if not line.startswith(" ") or last.startswith(" ") else ""
        if not line or _ITEM.match(line) or "   " in last.strip() or "   " in line.strip():
            return False
        word = line.split(maxsplit=1)[0]
        full = len(last) + 1 + (1 if _CJK.match(word) else len(word)) >= _FULL * width
        if _CODE.fullmatch(last) and not (full and last.endswith((";", ")"))):
            return False
        if last.endswith(_HYPHENS) and last[-2:-1].isalpha() and word[0].islower():
            return True
        if full:
            return True
        return word[0].islower() and not last.endswith(_CLOSING) and len(last) >= _SHORT * width

    def _join(self, last: str, line: str) -> str:
        """The two halves of a broken line as one."""
        if not last.endswith(_HYPHENS) or not last[-2:-1].isalpha() or not line[:1].isalpha():
            return last + line if _CJK.match(last[-1:]) and _CJK.match(line[:1]) else f"{last} {line}"
        stem, rest = _WORD.findall(last[:-1])[-1], (_WORD.match(line) or [""])[0]
        if rest.lower() in _SUSPENDED:
            return f"{last} {line}"
        if last[-1] in "\xad¬":
            return last[:-1] + line
        whole, compound = self._words[(stem + rest).lower()], self._words[f"{stem}-{rest}".lower()]
        tail = stem.rpartition("-")[2]
        lower = rest.islower() and (tail.islower() or whole > 0) and "-" not in stem and "-" not in rest
        parts = self._words[stem.lower()] > 0 and self._words[rest.lower()] > 0
        if (whole > compound) or (lower and compound == 0 and not parts):
            return last[:-1] + line
        return last + line


def _before_notes(blocks: list[str]) -> int:
    """Place of the last block that is no footnote; a note begins with its mark, or its mark is the block before."""
    at = len(blocks) - 1
    while at > max(len(blocks) - 8, 0):
        if _NOTE_MARK.match(blocks[at]):
            at -= 1
        elif at > 1 and _NOTE_MARK.fullmatch(blocks[at - 1]):
            at -= 2
        else:
            break
    return at


def _width(lines: list[str]) -> int:
    """Length that one line in ten exceeds, of those long enough to be text."""
    lengths = sorted(len(line.strip()) for line in lines if len(line.strip()) > 20)
    return lengths[int(len(lengths) * 0.9)] if lengths else 80


def _blocks(lines: list[str]) -> list[list[str]]:
    return [list(group) for held, group in groupby(lines, lambda line: bool(line.strip())) if held]
