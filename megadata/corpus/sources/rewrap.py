"""Lines of a plain-text book that were broken to fit a page, joined to paragraphs; verse, tables and titles keep theirs.

What the whole book shows decides what a paragraph needs. In prose a line begins with a capital where a sentence or a name happens
to fall there; in verse nearly every line does, and lines end well before the page does. So a book most of whose lines begin with
capitals is one of verse: there only what is plainly wrapped is joined.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

_EMPHASIS = re.compile(r"(?<![\w_])_([^_\n]{1,300}(?:\n[^_\n]{1,300}){0,12})_(?![\w_])")
_BOLD = re.compile(r"(?<![\w=])=([^=\n]{1,200})=(?![\w=])")
_STARS = re.compile(r"(?:\*[ \t]*){3,}|(?:[-–—_=~•·.][ \t]+){4,}\S?|[-–—_=~]{5,}")
_CJK = re.compile("[\u3000-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")
_LETTER = re.compile(r"[^\W\d_]")
_NOT_BROKEN = 200
"""Documents whose longer lines exceed this many characters have a paragraph a line."""
_VERSE_BOOK = 0.65
"""Share of lines inside paragraphs that begin with a capital from which a book is one of verse: novels have 0.07 to 0.41, verse
and plays in verse 0.78 to 1."""
_FEWEST_LINES = 20
"""Lines inside paragraphs from which that share says something."""
_WRAPPED, _PLAINLY_WRAPPED = 0.6, 0.85
"""Share of breaks that must be wraps."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the lines of a book show."""

    width: int
    verse: bool


def rewrap(text: str) -> str:
    """Paragraphs on one line each, where lines were broken to fit a width; verse, tables and titles keep their lines.

    A break is a wrap where the next line's first word would not have fitted any more. Paragraphs most of whose breaks are wraps
    are joined.
    """
    text = text.replace("\t", "    ")
    if "_" in text:
        text = _EMPHASIS.sub(r"\1", text)
    if "=" in text:
        text = _BOLD.sub(r"\1", text)
    lines = [line.rstrip() for line in text.split("\n")]
    lengths = sorted(len(line) for line in lines if len(line) > 20)
    width = lengths[int(len(lengths) * 0.9)] if lengths else 0
    if not lengths or width > _NOT_BROKEN:
        return re.sub(r"\n{3,}", "\n\n", "\n".join(line.strip() for line in lines)).strip("\n")
    if _is_double_spaced(lines, width):
        lines, width = _single_spaced(lines, width)
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line:
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    blocks = [block for block in blocks if block]
    cased = [capital for block in blocks for line in block[1:] if (capital := _capital(line)) is not None]
    layout = _Layout(width, len(cased) >= _FEWEST_LINES and sum(cased) >= _VERSE_BOOK * len(cased))
    return _blocks_to_text([_reflow(block, layout) for block in blocks])


def _is_double_spaced(lines: list[str], width: int) -> bool:
    """Whether an empty line follows every line, those inside paragraphs too."""
    held = [at for at, line in enumerate(lines) if line]
    if len(held) < _FEWEST_LINES or sum(b - a == 1 for a, b in pairwise(held)) > 0.05 * len(held):
        return False
    near = [(lines[a], lines[b]) for a, b in pairwise(held) if b - a == 2]
    return bool(near) and sum(_is_wrap(a, b, width) for a, b in near) >= _WRAPPED * len(near)


def _single_spaced(lines: list[str], width: int) -> tuple[list[str], int]:
    """Lines without the margin and without the empty ones between them, but where a paragraph ends; and their width."""
    margins = sorted(len(line) - len(line.lstrip()) for line in lines if line)
    margin = margins[len(margins) // 10]
    kept: list[str] = []
    before = ""
    empty = 0
    for line in lines:
        if not line:
            empty += 1
            continue
        if empty > 1 or not _is_wrap(before, line, width):
            kept.append("")
        kept.append(line[min(margin, len(line) - len(line.lstrip())) :])
        before, empty = line, 0
    return kept, width - margin


def _blocks_to_text(blocks: list[list[str]]) -> str:
    parts = []
    for block in blocks:
        if len(block) == 1 and _STARS.fullmatch(block[0].strip()):
            parts.append("* * *")
        else:
            parts.append("\n".join(block))
    return "\n\n".join(part for part in parts if part.strip())


def _reflow(block: list[str], layout: _Layout) -> list[str]:
    """The paragraph as one line, or its lines where it is none."""
    if len(block) == 1:
        return [block[0].strip()]
    indents = [len(line) - len(line.lstrip()) for line in block]
    common = min(indents)
    if not _is_wrapped(block, indents, layout):
        return [line[common:] for line in block]
    pieces = [block[0].strip()]
    for line in block[1:]:
        pieces.append(_between(pieces[-1], line.strip()))
        pieces.append(line.strip())
    joined = "".join(pieces)
    return [re.sub(r" {2,}", " ", joined) if "  " in joined else joined]


def _is_wrapped(block: list[str], indents: list[int], layout: _Layout) -> bool:
    """Whether the breaks between lines are those of a paragraph that was fitted to a width."""
    rest = sorted(indents[1:])
    indented = rest[len(rest) // 2] >= 2
    longest = max(map(len, block))
    if indented and (longest < 40 or len(block) < 3):
        return False
    if "   " in "\n".join(block) and sum("   " in line.strip() for line in block) * 3 >= len(block):
        return False  # a table
    capitals = [_capital(line) for line in block[1:]]
    lower, upper = capitals.count(False), capitals.count(True)
    breaks = len(block) - 1
    if layout.verse:
        limit = max(longest, layout.width)
        hanging = rest[-1] >= 2
        return upper <= lower and not hanging and _wraps(block, limit) >= _PLAINLY_WRAPPED * breaks
    wraps = _wraps(block, longest if indented else layout.width)
    if upper >= 0.8 * breaks and (longest - indents[0] < 0.85 * layout.width or (upper > 2 and wraps < 0.85 * breaks)):
        return False  # verse
    if wraps >= (_PLAINLY_WRAPPED if indented else _WRAPPED) * breaks:
        return True
    # Part of the book was wrapped to less, at the end of phrases, or new sentences begin new lines: then small letters tell.
    lengths = sorted(map(len, block[:-1]))
    filled = lengths[len(lengths) // 2] >= min(0.6 * layout.width, 40)
    return filled and not indented and lower >= 0.4 * breaks


def _wraps(block: list[str], width: int) -> int:
    return sum(_is_wrap(a, b, width) for a, b in pairwise(block))


def _capital(line: str) -> bool | None:
    """Whether a line's first letter is a capital; None where its script has none."""
    first = _LETTER.search(line)
    if first is None or first[0].upper() == first[0].lower():
        return None
    return first[0].isupper()


def _is_wrap(line: str, following: str, width: int) -> bool:
    word = following.split(maxsplit=1)[0] if following.strip() else ""
    if word > "\u2fff" and _CJK.match(word):
        word = word[0]
    split_word = line.endswith("-") and line[-2:-1].isalpha()
    return split_word or len(line) + 1 + len(word) > width - 4


def _between(before: str, after: str) -> str:
    """What stands for the break between two lines: a space, or nothing inside a word and between Chinese characters."""
    if before.endswith(("-", "—")) and not before.rstrip("-—").endswith(" ") and not after.startswith("-"):
        return ""
    if after > "\u2000" and before and _CJK.match(before[-1]) and (_CJK.match(after[0]) or after[0] in "“‘…—"):
        return ""
    return " "
