"""Tables of wikitext (``{|`` to ``|}``) and of HTML: left out, or a line for each row."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

ROW = "\x05"
"""Stands before a row's line, so that what begins it (``*``, ``#``) makes no list."""
_DEEPEST = 10
"""Tables inside tables at most; deeper ones are left out."""
_TABLE_TAG = re.compile(r"<(/?)table\b[^<>]*>", re.IGNORECASE)
_HTML_PART = re.compile(r"<(/?)(table|tr|td|th|caption)\b([^<>]*)>", re.IGNORECASE)
_FRAME = re.compile(
    r"""class\s*=\s*["'][^"']*\b(?:infobox|navbox|vertical-navbox|metadata|ambox|toccolours|sidebar|mbox|toc|noprint)""",
    re.I,
)
"""Tables that are part of the page's frame."""
_FIRST_ITEM = re.compile(r"\A\s*\n\s*[*#:;]+")
_CELL_LINES = re.compile(r"\s*\n+\s*[*#:;]*\s*")
_BREAK = re.compile(r"<br[^<>]*>|</?(?:p|div|li|ul|ol)\b[^<>]*>", re.IGNORECASE)
_SPACES = re.compile(r"\s+")


@dataclass(slots=True)
class _Table:
    """A table that is being read."""

    frame: bool
    rows: list[list[list[str]]] = field(default_factory=lambda: [[]])
    caption: list[str] = field(default_factory=list)
    into: list[str] | None = None

    def lines(self, gone: str) -> list[str]:
        """The caption and the rows as text."""
        if self.frame:
            return []
        found = [_cell(self.caption, gone)]
        for row in self.rows:
            cells = [_cell(pieces, gone) for pieces in row]
            found.append(" | ".join(cells) if any(cells) else "")
        return [line for line in found if line]


def _cell(pieces: list[str], gone: str) -> str:
    text = _BREAK.sub("\n", "".join(pieces).replace(gone, ""))
    text = _FIRST_ITEM.sub("", text).strip()
    return _SPACES.sub(" ", _CELL_LINES.sub("; ", text)).strip()


def _content(cell: str) -> str:
    """What a cell holds, without the attributes before its first bar."""
    before, bar, after = cell.partition("|")
    return after if bar and not any(mark in before for mark in ("[[", "{{", "-{", "\n", "\x02")) else cell


def tables(text: str, flatten: bool, gone: str) -> str:
    """Text without tables; with `flatten`, their captions and rows stand as lines, cells between bars.

    Parameters
    ----------
    gone : mark that is put where a table was.
    """
    if "{|" in text:
        text = _flattened(text, gone) if flatten else _dropped(text, gone)
    if "<table" in text or "<TABLE" in text:
        text = _html_flattened(text, gone) if flatten else _html_dropped(text)
    return text


def _dropped(text: str, gone: str) -> str:
    kept: list[str] = []
    depth = 0
    for line in text.split("\n"):
        start = line.lstrip(" \t:*#")
        if start.startswith("{|"):
            depth += 1
        elif depth and start.startswith("|}"):
            depth -= 1
            if depth == 0:
                kept.append(start[2:] if start[2:].strip() else gone)
        elif depth and _is_heading(line):
            depth = 0
            kept.append(line)
        elif not depth:
            kept.append(line)
    return "\n".join(kept)


def _is_heading(line: str) -> bool:
    """A heading inside a table: the table was never closed."""
    return line.startswith("==") and line.rstrip().endswith("==")


def _flattened(text: str, gone: str) -> str:
    kept: list[str] = []
    stack: list[_Table] = []

    def close() -> None:
        lines = stack.pop().lines(gone)
        if stack and stack[-1].into is not None:
            stack[-1].into.append(" " + "; ".join(line.replace(" | ", ", ") for line in lines))
        elif not stack:
            kept.extend(["", *(ROW + line for line in lines), ""] if lines else [gone])

    for line in text.split("\n"):
        start = line.lstrip(" \t:*#")
        if start.startswith("{|"):
            stack.append(_Table(_FRAME.search(start) is not None or len(stack) >= _DEEPEST))
        elif not stack:
            kept.append(line)
        elif _is_heading(line):
            while stack:
                close()
            kept.append(line)
        elif start.startswith("|}"):
            close()
            if start[2:].strip():
                (stack[-1].into if stack and stack[-1].into is not None else kept).append(start[2:])
        else:
            _row_line(stack[-1], line, start)
    while stack:
        close()
    return "\n".join(kept)


def _row_line(table: _Table, line: str, start: str) -> None:
    if start.startswith("|-"):
        table.rows.append([])
        table.into = None
    elif start.startswith("|+"):
        table.into = table.caption
        table.caption.append(_content(start[2:]))
    elif start.startswith(("|", "!")):
        inside = start[1:].replace("!!", "||") if start[0] == "!" else start[1:]
        for cell in inside.split("||"):
            table.into = [_content(cell)]
            table.rows[-1].append(table.into)
    elif table.into is not None:
        table.into.append("\n" + line)


def _html_dropped(text: str) -> str:
    parts: list[str] = []
    depth = at = 0
    for tag in _TABLE_TAG.finditer(text):
        if not tag[1]:
            if depth == 0:
                parts.append(text[at : tag.start()])
                at = tag.end()
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                at = tag.end()
    parts.append(text[at:])
    return "".join(parts)


def _html_flattened(text: str, gone: str) -> str:
    parts: list[str] = []
    stack: list[_Table] = []
    at = 0
    for tag in _HTML_PART.finditer(text):
        before, at = text[at : tag.start()], tag.end()
        if not stack:
            parts.append(before)
        elif stack[-1].into is not None:
            stack[-1].into.append(before)
        name = tag[2].lower()
        if name == "table" and not tag[1]:
            stack.append(_Table(_FRAME.search(tag[3]) is not None or len(stack) >= _DEEPEST))
        elif not stack:
            continue
        elif name == "table":
            lines = stack.pop().lines(gone)
            if not stack:
                parts.append("\n" + "\n".join(ROW + line for line in lines) + "\n" if lines else gone)
            elif stack[-1].into is not None:
                stack[-1].into.append(" " + "; ".join(line.replace(" | ", ", ") for line in lines))
        elif tag[1]:
            stack[-1].into = None
        elif name == "tr":
            stack[-1].rows.append([])
        elif name == "caption":
            stack[-1].into = stack[-1].caption
        else:
            stack[-1].into = []
            stack[-1].rows[-1].append(stack[-1].into)
    while stack:  # a table that is never closed
        at = len(text)
        parts.append("\n" + "\n".join(ROW + line for line in stack.pop(0).lines(gone)) + "\n")
    parts.append(text[at:])
    return "".join(parts)
