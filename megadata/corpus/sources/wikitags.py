"""Tags of wikitext: extension tags (references, maths, code) as MediaWiki takes them before all else, and HTML tags."""

from __future__ import annotations

import re

from megadata.corpus.sources.entities import unescape
from megadata.corpus.sources.scripts import scripted

HELD, HELD_END = "\x02", "\x03"
"""Around the number of a text that is put aside until all markup is done."""
DISPLAYED = "\x0e"
"""Before the mark of a formula that stands in a line of its own."""
FORMULA = re.compile(f"{HELD}\\d+{HELD_END}[ \\t]*[.,;]?")
_HELD_MARK = re.compile(f"({DISPLAYED}?){HELD}(\\d+){HELD_END}")
GONE = "\x01"
"""Stands where something was left out, until lines and brackets around it are mended."""
_BEFORE_GONE = frozenset(" \t,;:/([（")
_ENDS = frozenset('.!?"”»')
_GOES_ON = frozenset(".,;:")
_MATH = frozenset(("math", "chem", "ce"))
_VERBATIM = frozenset(("nowiki", "pre", "syntaxhighlight", "source"))
_DROPPED = frozenset((
    "ref", "references", "gallery", "timeline", "score", "imagemap", "graph", "mapframe", "maplink", "templatestyles", "style",
    "script", "hiero", "inputbox", "categorytree", "indicator", "includeonly", "templatedata", "section", "phonos",
    "charinsert", "dynamicpagelist", "slideshow", "rss",
))  # fmt: skip
_EXTENSIONS = "|".join(sorted(_MATH | _VERBATIM | _DROPPED, key=len, reverse=True))
_EXTENSION = re.compile(rf"<!--|<({_EXTENSIONS})(?=[\s/>])([^<>]*)>", re.IGNORECASE)
_BLOCK_DISPLAY = re.compile(r"""display\s*=\s*["']?block""", re.IGNORECASE)
_FLAT = re.compile(r"<(span|div)\b([^<>]*+)>[^<>]*+</\1\s*>", re.IGNORECASE)
_NOT_SHOWN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_SCRIPTED = re.compile(r"<(su[bp])\b[^<>]*>([^<>]*)</\1\s*>", re.IGNORECASE)
_BREAK = re.compile(
    r"<(?:/?(?:p|div|blockquote|poem|center|h[1-6])|hr|tr|/ul|/ol|dd|dt|(li))(?=[\s/>])[^<>]*>|"
    r"</?br(?=[\s/>])[^<>]*>(?:[ \t]*\n)?",
    re.IGNORECASE,
)
_TAG = re.compile(
    r"</?(?:abbr|b|bdi|bdo|big|blockquote|br|caption|center|cite|code|col|colgroup|data|dd|del|dfn|div|dl|dt|em|font|h[1-6]|hr|"
    r"i|ins|kbd|li|link|mark|meta|noinclude|nowiki|ol|onlyinclude|includeonly|p|poem|pre|q|rb|rp|rt|rtc|ruby|s|samp|small|span|"
    r"strike|strong|sub|sup|table|tbody|td|tfoot|th|thead|time|tr|tt|u|ul|var|wbr|math|chem|ce|gallery|ref|references|source|"
    r"section|syntaxhighlight|timeline|score|imagemap|graph|style|script|noeditsection|noindex|nobr|translate|tvar|languages|"
    r"lang|templatestyles|hiero|inputbox|categorytree|indicator|mapframe|maplink)(?=[\s/>])[^<>]*>",
    re.IGNORECASE,
)
_SCRIPTS_INSIDE = 3
"""Levels of scripts inside scripts that are told apart."""


def extensions(text: str, held: list[str]) -> str:
    """Text without comments and extension tags; maths and verbatim text are put aside in `held` and marked."""
    parts: list[str] = []
    at = 0
    without_end: set[str] = set()
    for opening in _EXTENSION.finditer(text):
        if opening.start() < at:
            continue
        name = (opening[1] or "!--").lower()
        if name in without_end:
            continue
        if opening[1] and opening[2].rstrip().endswith("/"):
            end, inside = opening.end(), ""
        elif name == "!--":
            close = text.find("-->", opening.end())
            end, inside = (close + 3, "") if close >= 0 else (len(text), "")
        else:
            closing = re.compile(rf"</{name}\s*>", re.IGNORECASE).search(text, opening.end())
            if closing is None:
                without_end.add(name)
                continue
            end, inside = closing.end(), text[opening.end() : closing.start()]
        parts.append(text[at : opening.start()])
        if name == "ref" and _leaves_gap(text, opening.start(), end):
            parts.append(GONE)
        at = end
        if name in _MATH and inside.strip():
            latex = " ".join(inside.split())
            sign = "$$" if _BLOCK_DISPLAY.search(opening[2]) else "$"
            held.append(f"{sign}\\ce{{{latex}}}{sign}" if name != "math" else f"{sign}{latex}{sign}")
            parts.append(f"{HELD}{len(held) - 1}{HELD_END}")
        elif name in _VERBATIM and inside:
            code = unescape(inside.strip("\n") if name != "nowiki" else inside)
            held.append(code)
            mark = f"{HELD}{len(held) - 1}{HELD_END}"
            parts.append(mark if "\n" not in code else f"\n\n{mark}\n\n")
    parts.append(text[at:])
    return "".join(parts)


def _leaves_gap(text: str, start: int, end: int) -> bool:
    """Whether spaces, stops or brackets around what is taken out would stand alone."""
    before = text[start - 1 : start]
    return not before or before in _BEFORE_GONE or (before in _ENDS and text[end : end + 2].lstrip(" ")[:1] in _GOES_ON)


def put_back(text: str, held: list[str]) -> str:
    """Text with what was put aside; a formula in a line of its own between ``$$``."""

    def content(mark: re.Match[str]) -> str:
        inside = held[int(mark[2])] if int(mark[2]) < len(held) else ""
        alone = mark[1] and inside.startswith("$") and inside.endswith("$") and not inside.startswith("$$")
        return f"${inside}$" if alone else inside

    return _HELD_MARK.sub(content, text)


def html_tags(text: str) -> str:
    """Text without HTML tags; breaks become lines, scripts characters of their own (``x²``) or ``x^k`` and ``x_k``."""
    if "<" not in text:
        return text
    text = _FLAT.sub(lambda m: "" if _NOT_SHOWN.search(m[2]) else m[0], text)
    for _ in range(_SCRIPTS_INSIDE):
        text, changed = _SCRIPTED.subn(_script, text)
        if not changed:
            break
    text = _BREAK.sub(lambda m: "\n* " if m[1] else "\n", text)
    return _TAG.sub("", text)


def _script(tag: re.Match[str]) -> str:
    inside = tag[2].strip().replace("&minus;", "−").replace("''", "")
    if (core := inside.rstrip(",;:")) and core != inside:  # the sentence goes on with what was raised by mistake
        return _scripted(tag, core) + inside[len(core) :]
    return _scripted(tag, inside)


def _scripted(tag: re.Match[str], inside: str) -> str:
    raised = tag[1].lower() == "sup"
    before = tag.string[tag.start() - 1] if tag.start() else ""
    return scripted(inside, raised, before)
