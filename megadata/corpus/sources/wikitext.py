"""Wikitext to plain text.

Each construct is found by a scan in linear time, in the order in which MediaWiki itself takes them: comments and extension
tags, templates, tables, links, HTML tags, quotes, then lines. Templates that carry text follow the rules of `templates`; what
belongs to the page's frame (references, infoboxes, navigation, files, categories, tables) leaves nothing. Where templates and
arguments begin and end agrees with mwparserfromhell's tree, which the tests walk; the tree itself costs a second per megabyte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from megadata.corpus.sources.entities import unescape
from megadata.corpus.sources.templates import fill, rule_for
from megadata.corpus.sources.wikilines import shape
from megadata.corpus.sources.wikilinks import LinkRules, external_links
from megadata.corpus.sources.wikinames import is_disambiguation, is_redirect

MAX_CHARACTERS = 8 << 20
"""Longest page that is converted (MediaWiki itself stops at 2 MiB)."""
MAX_DEPTH = 40
"""Templates inside templates at most, as in MediaWiki; deeper ones leave nothing."""

GONE = "\x01"
"""Stands where something was left out, until lines and brackets around it are mended."""
_HELD, _HELD_END = "\x02", "\x03"
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_MATH = frozenset(("math", "chem", "ce"))
_VERBATIM = frozenset(("nowiki", "pre", "syntaxhighlight", "source"))
_DROPPED = frozenset((
    "ref", "references", "gallery", "timeline", "score", "imagemap", "graph", "mapframe", "maplink", "templatestyles", "style",
    "script", "hiero", "inputbox", "categorytree", "indicator", "includeonly", "templatedata", "section", "phonos",
    "charinsert", "dynamicpagelist", "slideshow", "rss",
))  # fmt: skip
_EXTENSIONS = "|".join(sorted(_MATH | _VERBATIM | _DROPPED, key=len, reverse=True))
_EXTENSION = re.compile(rf"<!--|<({_EXTENSIONS})(?=[\s/>])([^<>]*)>", re.IGNORECASE)
_BRACES = re.compile(r"\{\{|\}\}")
_PARTS = re.compile(r"\{\{|\}\}|\[\[|\]\]|\||=")
_NAME_END = re.compile(r"[|{}\[\]]")
_ARGUMENT = re.compile(r"\{\{\{[^{}|]*(?:\|([^{}]*))?\}\}\}")
_FUNCTION = re.compile(r"(formatnum|lc|uc|lcfirst|ucfirst)\s*:(.*)", re.DOTALL | re.IGNORECASE)
_BLOCK_DISPLAY = re.compile(r"""display\s*=\s*["']?block""", re.IGNORECASE)
_VARIANTS = re.compile(r"-\{([^{}]*)\}-")
_TABLE_TAG = re.compile(r"<(/?)table\b[^<>]*>", re.IGNORECASE)
_FLAT = re.compile(r"<(span|div)\b([^<>]*+)>[^<>]*+</\1\s*>", re.IGNORECASE)
_NOT_SHOWN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_SCRIPTED = re.compile(r"<(su[bp])\b[^<>]*>([^<>]*)</\1\s*>", re.IGNORECASE)
_BREAK = re.compile(
    r"<(?:/?(?:p|div|blockquote|poem|center|h[1-6])|br|hr|tr|/ul|/ol|dd|dt|(li))(?=[\s/>])[^<>]*>", re.IGNORECASE
)
_TAG = re.compile(
    r"</?(?:abbr|b|bdi|bdo|big|blockquote|br|caption|center|cite|code|col|colgroup|data|dd|del|dfn|div|dl|dt|em|font|h[1-6]|hr|"
    r"i|ins|kbd|li|link|mark|meta|noinclude|nowiki|ol|onlyinclude|includeonly|p|poem|pre|q|rb|rp|rt|rtc|ruby|s|samp|small|span|"
    r"strike|strong|sub|sup|table|tbody|td|tfoot|th|thead|time|tr|tt|u|ul|var|wbr|math|chem|ce|gallery|ref|references|source|"
    r"section|syntaxhighlight|timeline|score|imagemap|graph|style|script|noeditsection|noindex|nobr|translate|tvar|languages|"
    r"lang|templatestyles|hiero|inputbox|categorytree|indicator|mapframe|maplink)(?=[\s/>])[^<>]*>",
    re.IGNORECASE,
)
_QUOTES = re.compile(r"'{2,}")
_MAGIC_WORD = re.compile(r"__([^\W\d_]{2,}(?:_[^\W\d_]+)*)__")
_ENTITY_SPACES = re.compile("[\xa0\u2007\u202f]")
_STRAY = re.compile(r"\{\{+|\}\}+|\[\[+|\]\]+|\{\||\|\}")
_HELD_MARK = re.compile(f"{_HELD}(\\d+){_HELD_END}")
_SUPERSCRIPTS = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_SUBSCRIPTS = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")
_RAISED = re.compile(r"[0-9+\-−=()n]+")
_LOWERED = re.compile(r"[0-9+\-−=()]+")


class WikitextError(ValueError):
    """A page that is not converted, because doing so could take without end."""


class Wikitext:
    """Converter for the pages of one wiki.

    Parameters
    ----------
    namespaces : (number, local name) pairs from the dump's site information.
    language : the wiki's language code.
    """

    def __init__(self, namespaces: Iterable[tuple[int, str]] = (), language: str = "en") -> None:
        self._links = LinkRules(namespaces, GONE)
        self._language = language

    is_redirect = staticmethod(is_redirect)
    is_disambiguation = staticmethod(is_disambiguation)

    def text(self, source: str, title: str = "") -> str:
        """Plain text of a page: paragraphs, headings and lists; empty where the page holds nothing but its frame.

        Raises
        ------
        WikitextError
            For pages longer than `MAX_CHARACTERS`.
        """
        if len(source) > MAX_CHARACTERS:
            raise WikitextError(f"{len(source)} characters of wikitext, at most {MAX_CHARACTERS} are converted")
        held: list[str] = []
        text = _CONTROLS.sub("", source.replace("\r\n", "\n"))
        text = _extensions(text, held)
        text = self._templates(text, title, 0)
        text = drop_tables(text)
        if "-{" in text:
            text = _VARIANTS.sub(_variant, text)
        text = self._links.replace(text)
        text = external_links(text)
        text = _tags(text)
        text = _QUOTES.sub(_quotes, text)
        text = _MAGIC_WORD.sub(lambda m: "" if m[1].isupper() or not m[1].isascii() else m[0], text)
        text = _STRAY.sub("", text)
        text = _ENTITY_SPACES.sub(" ", unescape(text))
        text = shape(text, GONE)
        return _HELD_MARK.sub(lambda m: held[int(m[1])] if int(m[1]) < len(held) else "", text)

    def _templates(self, text: str, title: str, depth: int) -> str:
        """Text with every outermost template replaced by what its rule leaves."""
        if "{{" not in text:
            return text
        text = _ARGUMENT.sub(lambda m: m[1] or "", text)
        parts: list[str] = []
        at = 0
        for start, stop in outermost(text):
            parts.append(text[at:start])
            parts.append(self._template(text[start + 2 : stop - 2], title, depth))
            at = stop
        parts.append(text[at:])
        return "".join(parts)

    def _template(self, inner: str, title: str, depth: int) -> str:
        name = inner[: m.start()] if (m := _NAME_END.search(inner)) is not None else inner
        name = " ".join(name.replace("_", " ").split()).casefold()
        function = _FUNCTION.match(inner.lstrip()) if ":" in name else None
        if function is not None:
            return _apply(function[1].lower(), self._templates(function[2].strip(), title, depth + 1))
        if name in ("pagename", "fullpagename", "basepagename", "subpagename"):
            return title
        rule = rule_for(name.removeprefix("template:"))
        if rule is None or depth >= MAX_DEPTH:
            return GONE
        arguments = {
            key: self._templates(value, title, depth + 1).replace(GONE, "").strip()
            for key, value in split_arguments(inner)
        }
        return fill(rule, arguments) or GONE


def outermost(text: str) -> list[tuple[int, int]]:
    """Where the outermost ``{{...}}`` begin and end; braces without a partner count as text."""
    open_at: list[int] = []
    spans: list[tuple[int, int]] = []
    for token in _BRACES.finditer(text):
        if token[0] == "{{":
            open_at.append(token.start())
        elif open_at:
            start = open_at.pop()
            while spans and spans[-1][0] >= start:
                spans.pop()
            spans.append((start, token.end()))
    return spans


def split_arguments(inner: str) -> list[tuple[str, str]]:
    """(name, value) of a template's arguments, from what lies between its braces; unnamed ones are numbered from 1."""
    arguments: list[tuple[str, str]] = []
    depth = number = at = 0
    sign: int | None = None

    def take(end: int) -> None:
        nonlocal number
        if sign is not None and "<" not in inner[at:sign]:
            arguments.append((inner[at:sign].strip(), inner[sign + 1 : end]))
        else:
            number += 1
            arguments.append((str(number), inner[at:end]))

    inside = False
    for token in _PARTS.finditer(inner):
        if len(token[0]) == 2:
            depth = max(depth + (1 if token[0] in ("{{", "[[") else -1), 0)
        elif depth == 0 and token[0] == "|":
            if inside:
                take(token.start())
            inside, at, sign = True, token.end(), None
        elif depth == 0 and sign is None:
            sign = token.start()
    if inside:
        take(len(inner))
    return arguments


def _extensions(text: str, held: list[str]) -> str:
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
        at = end
        if name in _MATH and inside.strip():
            latex = " ".join(inside.split())
            sign = "$$" if _BLOCK_DISPLAY.search(opening[2]) else "$"
            held.append(f"{sign}\\ce{{{latex}}}{sign}" if name != "math" else f"{sign}{latex}{sign}")
            parts.append(f"{_HELD}{len(held) - 1}{_HELD_END}")
        elif name in _VERBATIM and inside:
            code = unescape(inside.strip("\n") if name != "nowiki" else inside)
            held.append(code)
            mark = f"{_HELD}{len(held) - 1}{_HELD_END}"
            parts.append(mark if "\n" not in code else f"\n\n{mark}\n\n")
    parts.append(text[at:])
    return "".join(parts)


def drop_tables(text: str) -> str:
    """Text without tables, of wikitext (``{|`` to ``|}`` at line starts) and of HTML."""
    if "{|" in text:
        kept: list[str] = []
        depth = 0
        for line in text.split("\n"):
            start = line.lstrip(" \t:*#")
            if start.startswith("{|"):
                depth += 1
            elif depth and start.startswith("|}"):
                depth -= 1
                if depth == 0 and start[2:].strip():
                    kept.append(start[2:])
                elif depth == 0:
                    kept.append(GONE)
            elif depth and line.startswith("==") and line.rstrip().endswith("=="):
                depth = 0
                kept.append(line)
            elif not depth:
                kept.append(line)
        text = "\n".join(kept)
    if "<table" in text or "<TABLE" in text:
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
        text = "".join(parts)
    return text


def _tags(text: str) -> str:
    """Text without HTML tags; breaks become lines, raised and lowered digits their own characters."""
    if "<" not in text:
        return text
    text = _FLAT.sub(lambda m: "" if _NOT_SHOWN.search(m[2]) else m[0], text)
    text = _SCRIPTED.sub(_script, text)
    text = _BREAK.sub(lambda m: "\n* " if m[1] else "\n", text)
    return _TAG.sub("", text)


def _script(tag: re.Match[str]) -> str:
    inside = tag[2].strip().replace("&minus;", "−")
    if tag[1].lower() == "sup":
        return inside.translate(_SUPERSCRIPTS) if _RAISED.fullmatch(inside) else inside
    return inside.translate(_SUBSCRIPTS) if _LOWERED.fullmatch(inside) else inside


def _quotes(run: re.Match[str]) -> str:
    length = len(run[0])
    return "'" * (length - 5) if length > 5 else "'" if length == 4 else ""


def _variant(markup: re.Match[str]) -> str:
    """Chinese and Serbian conversion markup: the first variant's text."""
    flags, bar, rest = markup[1].partition("|")
    if bar and "H" in flags:
        return ""
    first = (rest if bar and ":" not in flags else markup[1]).partition(";")[0]
    code, colon, value = first.partition(":")
    return value if colon and re.fullmatch(r"\s*[a-z]{2}(?:-[a-z]+)?\s*", code) else first


def _apply(function: str, value: str) -> str:
    if function in ("lc", "uc"):
        return value.lower() if function == "lc" else value.upper()
    if function in ("lcfirst", "ucfirst"):
        return (value[:1].lower() if function == "lcfirst" else value[:1].upper()) + value[1:]
    return value.partition("|")[0].strip()
