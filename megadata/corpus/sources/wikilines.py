"""Lines of wikitext as lines of text: headings, lists, and the gaps that left-out templates leave behind."""

from __future__ import annotations

import re
from functools import cache

from megadata.corpus.sources.wikicitations import stops
from megadata.corpus.sources.wikilinks import OUTER
from megadata.corpus.sources.wikitables import ROW
from megadata.corpus.sources.wikitags import DISPLAYED, FORMULA

_ITEM = re.compile(r"([*#:;]+)[ \t]*(.*)\Z", re.DOTALL)
_BETWEEN = "and|or|und|oder|et|ou|y|o|e|i|и|или|en|of|och|og|eller"
"""Words between the last two of several."""
_NOTHING = re.compile(
    rf"[\s\[\]*#:;|.,/•·–—&()-]*(?:(?:{_BETWEEN}|ISBN[\s:]*[\dX-]+|\d+\s(?:pages|pp?\.|seiten|s\.))[\s.,;:]*)?\Z",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(rf"\s*(?:[,;/·•&]|\b(?:{_BETWEEN})\b)?\s*\Z")
_LEADING = re.compile(r"\A([*#:;]*)[ \t]*(?:(?:[,;:·]|\.(?!\d)|[–—-](?=\s))[ \t]*)+(?=\S)")
_OPENING, _CLOSING, _STOPS = ("(", "（"), (")", "）"), ("", ".", ",", ";", ":", "!", "?")
_ENDS = (".", "!", "?", '."', '!"', '?"', ".”", ".»", "!”", "?”")
_SOFT = ' \t,;:/·*#.!?"”»'
"""What may go, or decides on what goes, before something that was left out."""
_LONG, _NEAR = 4096, 1024
_SPACES = re.compile(r"[ \t]{2,}")
_RULE = re.compile(r"-{4,}")


def shape(text: str, gone: str) -> str:
    """Plain lines: a heading stands alone between blank lines, list items begin with ``-`` or a number.

    Parameters
    ----------
    gone : mark where something was left out; what it leaves empty (brackets, lines, sections) goes as well.
    """
    text = stops(text)
    if OUTER in text:
        text = text.replace(f" ({OUTER})", "").replace(f"({OUTER})", "")
    if gone in text:
        text = _mend(text, gone)
    blocks: list[tuple[int, list[str]]] = [(0, [])]
    numbers: list[int] = []
    for line in text.split("\n"):
        level, title = _heading(line) if line.startswith("=") else (0, "")
        if level:
            blocks.append((level, [title]))
            numbers.clear()
            continue
        item = _ITEM.match(line)
        if item is None:
            numbers.clear()
            line = line.removeprefix(ROW)
            if not _RULE.match(line):
                line = line.replace(OUTER, "")
                blocks[-1][1].append(_SPACES.sub(" ", line[1:] if line.startswith(" ") else line).rstrip())
            continue
        if item[2] and not (item[2].startswith(OUTER) and item[1][-1] in "*#"):
            inside = _SPACES.sub(" ", item[2].replace(OUTER, "")).strip()
            if item[1][-1] == ":" and FORMULA.fullmatch(inside):
                inside = DISPLAYED + inside
            blocks[-1][1].append(_list_item(item[1], inside, numbers))
    return _join(_without_empty_sections(blocks))


def _heading(line: str) -> tuple[int, str]:
    """(level, title) of a heading; level 0 for a line that is none."""
    line = line.rstrip(" \t")
    inside = line.strip("=")
    if inside:
        level = min(len(line) - len(line.lstrip("=")), len(line) - len(line.rstrip("=")), 6)
    else:
        level = min((len(line) - 1) // 2, 6)
    return max(level, 0), line[level : len(line) - level].replace(OUTER, "").strip().strip("=").strip()


def _mend(text: str, gone: str) -> str:
    """Close brackets, spaces and lines over what was left out."""
    text = _empty_brackets(gone).sub(lambda m: gone if gone in m[0] else m[0], text)
    lines = []
    for line in text.split("\n"):
        if gone in line:
            line = _closed(line, gone)
            if _NOTHING.match(line):
                continue
        lines.append(line)
    return "\n".join(lines)


@cache
def _empty_brackets(gone: str) -> re.Pattern[str]:
    return re.compile(rf"[(（][\s,;:/·–—{re.escape(gone)}]*[)）]")


def _closed(line: str, gone: str) -> str:
    """A line without its marks, and without what they leave alone: commas and words between several, spaces before a stop, a stop
    before another, stops at the beginning.
    """
    pieces = line.split(gone)
    settled, closed = "", pieces[0]
    last = len(pieces) - 1
    for at, piece in enumerate(pieces[1:], 1):
        if len(closed) > _LONG and closed[-_NEAR:].strip(_SOFT):  # what is far behind is looked at no more
            settled += closed[:-_NEAR]
            closed = closed[-_NEAR:]
        if at < last and _SEPARATOR.match(piece):
            closed += " "
            continue
        right = piece.lstrip(" \t")
        first = right[:1]
        if closed.endswith(_OPENING):
            closed += right.lstrip(" \t,;:/·")
        elif first in _CLOSING:
            closed = closed.rstrip(" \t,;:/·") + right
        elif first in _STOPS and (first or at == last):
            left = closed.rstrip(" \t")
            if first in (",", ";", ".", ":") and left.endswith((",", ";", ":")) and (settled or left.strip("*#:; ")):
                left = left[:-1]
            elif first in (".", ",") and left.endswith(_ENDS) and not (right[1:2] == "." or right[1:2].isdigit()):
                right = right[1:]
            closed = left + (piece[:1] if first in (":", ";", "!", "?") and piece[:1].isspace() else "") + right
        else:
            closed += piece
    closed = settled + closed
    return closed if pieces[0].strip("*#:; \t") else _LEADING.sub(r"\1", closed)


def _list_item(marks: str, text: str, numbers: list[int]) -> str:
    depth = len(marks)
    del numbers[depth:]
    numbers.extend([0] * (depth - len(numbers)))
    indent = "  " * (depth - 1)
    if marks[-1] == "#":
        numbers[-1] += 1
        return f"{indent}{numbers[-1]}. {text}"
    if marks[-1] == "*":
        return f"{indent}- {text}"
    return f"{indent}{text}"


def _without_empty_sections(blocks: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    kept: list[tuple[int, list[str]]] = []
    below = 0
    for level, lines in reversed(blocks):
        content = lines if level == 0 else lines[1:]
        if level == 0 or any(line.strip() for line in content) or below > level:
            kept.append((level, lines))
            below = level
    return kept[::-1]


def _join(blocks: list[tuple[int, list[str]]]) -> str:
    parts: list[str] = []
    for level, lines in blocks:
        body = "\n".join(lines if level == 0 else lines[1:])
        body = re.sub(r"\n{3,}", "\n\n", body).strip("\n")
        if level:
            parts.append(lines[0])
        if body.strip():
            parts.append(body)
    return "\n\n".join(part for part in parts if part).strip()
