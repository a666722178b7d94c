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
    rf"[\s\[\]*#:;|.,/•·–—&()-]*(?:(?:{_BETWEEN})[\s.,;:]*)?\Z", re.IGNORECASE
)
_EMPTY_LINK = re.compile(rf"[ \t]?[(（]{OUTER}[)）]")
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
        text = _EMPTY_LINK.sub("", text)
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
    pair, opening, closing, several, doubled, ended, spaces, leading = _around(gone)
    text = pair.sub(lambda m: "" if gone in m[0] else m[0], text)
    text = opening.sub(lambda m: m[1] if gone in m[0] else m[0], text)
    text = closing.sub(lambda m: m[1] if gone in m[0] else m[0], text)
    lines = []
    for line in text.split("\n"):
        if gone in line:
            line = several.sub(gone, line)
            line = ended.sub(r"\1", doubled.sub("", line))
            line = spaces.sub(lambda m: m[0].rpartition(gone)[2], line)
            line = leading.sub(r"\1", line).replace(gone, "")
            if _NOTHING.match(line):
                continue
        lines.append(line)
    return "\n".join(lines)


@cache
def _around(gone: str) -> tuple[re.Pattern[str], ...]:
    """What stands around marks: both brackets, an opening one, a closing one, further marks in a list of them, a comma before
    another stop, a second full stop, spaces before a stop or the end, stops at the beginning of a line.

    Each begins only where its run of characters begins, so that a search takes linear time.
    """
    mark = re.escape(gone)
    return (
        re.compile(rf"[ \t]?[(（][\s,;:/·–—{mark}]*[)）]"),
        re.compile(rf"([(（])[ \t,;:/·{mark}]+"),
        re.compile(rf"(?<![ \t,;:/·{mark}])[ \t,;:/·{mark}]+([)）])"),
        re.compile(rf"{mark}(?:[ \t{mark}]*(?:[,;/·•&]|\b(?:{_BETWEEN})\b)[ \t]*{mark})+"),
        re.compile(rf"[,;:](?:[ \t]*{mark})+[ \t]*(?=[,;.:])"),
        re.compile(rf"([.!?][\"”»]?)(?:[ \t]*{mark})+[ \t]*[.,](?![.\d])"),
        re.compile(rf"(?<![ \t{mark}])[ \t{mark}]+(?=[.,;:!?]|$)"),
        re.compile(rf"^([*#:;]*)[ \t]*{mark}[ \t{mark}]*(?:(?:[,;:·]|\.(?!\d)|[–—-](?=\s))[ \t{mark}]*)+(?=\S)"),
    )


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
