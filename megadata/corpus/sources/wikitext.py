"""Wikitext to plain text.

Each construct is found by a scan in linear time, in the order in which MediaWiki itself takes them: comments and extension
tags, templates, tables, links, HTML tags, quotes, then lines. Templates that carry text follow the rules of `templates`; what
belongs to the page's frame (references, infoboxes, navigation, files, categories) leaves nothing. A page without templates,
tables or links passes those scans at the cost of one search. The tests walk mwparserfromhell's tree by the same rules and
compare.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from megadata.corpus.sources.arguments import Arguments
from megadata.corpus.sources.entities import unescape
from megadata.corpus.sources.templates import fill, template_rules
from megadata.corpus.sources.wikibraces import ARGUMENT, NAME_END, outermost, split_arguments, split_parts
from megadata.corpus.sources.wikifunctions import apply, call_of
from megadata.corpus.sources.wikilines import shape
from megadata.corpus.sources.wikilinks import LinkRules, external_links
from megadata.corpus.sources.wikilocale import locale_of
from megadata.corpus.sources.wikinames import disambiguation_pattern, is_redirect
from megadata.corpus.sources.wikitables import tables
from megadata.corpus.sources.wikitags import GONE, extensions, html_tags, put_back

MAX_CHARACTERS = 8 << 20
"""Longest page that is converted (MediaWiki itself stops at 2 MiB)."""
MAX_DEPTH = 40
"""Templates inside templates at most, as in MediaWiki; deeper ones leave nothing."""

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_VARIANTS = re.compile(r"-\{([^{}]*)\}-")
_VARIANT = re.compile(r"\s*([a-z]{2,3}(?:-[a-z]+)*)\s*:(.*)\Z", re.DOTALL)
_FIRST_VARIANTS = ("zh-hans", "zh-cn", "zh", "sr-ec", "sr-cyrl")
_QUOTES = re.compile(r"'{2,}")
_MAGIC_WORD = re.compile(r"__([^\W\d_]{2,}(?:_[^\W\d_]+)*)__")
_ENTITY_SPACES = re.compile("[\xa0\u2007\u202f]")
_STRAY = re.compile(r"\{\{+|\}\}+|\[\[+|\]\]+|\{\||\|\}")
_TITLES = frozenset(("pagename", "fullpagename", "basepagename", "subpagename", "rootpagename", "pagenamee"))


class WikitextError(ValueError):
    """A page that is not converted, because doing so could take without end."""


class Wikitext:
    """Converter for the pages of one wiki.

    Parameters
    ----------
    namespaces : (number, local name) pairs from the dump's site information.
    language : the wiki's language code.
    flatten_tables : keep tables, a line for each row, instead of leaving them out.
    own : names and rules of the user's, in the shape of ``wikitext.yaml``.
    """

    def __init__(
        self,
        namespaces: Iterable[tuple[int, str]] = (),
        language: str = "en",
        flatten_tables: bool = False,
        own: Mapping[str, Any] | None = None,
    ) -> None:
        own = own or {}
        self._links = LinkRules(namespaces, GONE, own.get("files", ()), own.get("categories", ()))
        self._language = language
        self._locale = locale_of(language)
        self._flatten = flatten_tables
        self._rules = template_rules(own)
        self._disambiguation = disambiguation_pattern(tuple(own.get("disambiguations", ())))

    is_redirect = staticmethod(is_redirect)

    def is_disambiguation(self, source: str) -> bool:
        """Whether a page carries one of the templates that mark lists of meanings."""
        return self._disambiguation.search(source) is not None

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
        text = extensions(text, held)
        text = self._templates(text, title, 0)
        text = tables(text, self._flatten, GONE)
        text = self.inline(text)
        text = _STRAY.sub("", text)
        text = _ENTITY_SPACES.sub(" ", unescape(text))
        text = shape(text, GONE)
        return put_back(text, held)

    def inline(self, text: str) -> str:
        """Text with variants, links, HTML tags, quotes and magic words replaced."""
        if "-{" in text:
            text = _VARIANTS.sub(_variant, _VARIANTS.sub(_variant, text))
        text = self._links.replace(text)
        text = external_links(text)
        text = html_tags(text)
        text = _QUOTES.sub(_quotes, text)
        return _MAGIC_WORD.sub(lambda m: "" if m[1].isupper() or not m[1].isascii() else m[0], text)

    def _templates(self, text: str, title: str, depth: int) -> str:
        """Text with every outermost template replaced by what its rule leaves."""
        if "{{" not in text:
            return text
        text = ARGUMENT.sub(lambda m: m[1] or "", text)
        parts: list[str] = []
        at = 0
        for start, stop in outermost(text):
            parts.append(text[at:start])
            parts.append(self._template(text[start + 2 : stop - 2], title, depth))
            at = stop
        parts.append(text[at:])
        return "".join(parts)

    def _template(self, inner: str, title: str, depth: int) -> str:
        if depth >= MAX_DEPTH:
            return GONE
        call = call_of(inner)
        if call is not None:
            name, rest = call
            return apply(name, split_parts(rest), lambda part: self._inside(part, title, depth), self._locale) or GONE
        name = inner[: m.start()] if (m := NAME_END.search(inner)) is not None else inner
        return self.template(name, lambda: split_arguments(inner), lambda part: self._inside(part, title, depth), title)

    def _inside(self, part: str, title: str, depth: int) -> str:
        return self._templates(part, title, depth + 1).replace(GONE, "").strip()

    def template(self, name: str, arguments: Any, expand: Any, title: str) -> str:
        """What a template leaves.

        Parameters
        ----------
        arguments : gives (name, wikitext) pairs; called only where a rule needs them.
        expand : makes text of an argument.
        """
        name = " ".join(name.replace("_", " ").split()).casefold()
        if name in _TITLES:
            return title
        name = name.removeprefix("template:")
        rule = self._rules.rule(name)
        if rule is None or rule == "":
            return GONE
        given = Arguments((key, expand(value)) for key, value in arguments())
        given.language, given.template, given.citations = self._language, name, self._rules.citations
        return fill(rule, given) or GONE


def _quotes(run: re.Match[str]) -> str:
    length = len(run[0])
    return "'" * (length - 5) if length > 5 else "'" if length == 4 else ""


def _variant(markup: re.Match[str]) -> str:
    """Conversion markup of Chinese, Serbian and others: simplified or Cyrillic text where it is given, else the first."""
    flags, bar, rest = markup[1].partition("|")
    if bar and any(flag.strip() in ("H", "T", "-") for flag in flags.split(";")):
        return ""
    inside = rest if bar and ":" not in flags else markup[1]
    found: dict[str, str] = {}
    for part in inside.split(";"):
        variant = _VARIANT.match(part.partition("=>")[2] or part)
        if variant is None:
            break
        found.setdefault(variant[1], variant[2].strip())
    if not found:
        return inside
    return next((found[code] for code in _FIRST_VARIANTS if code in found), next(iter(found.values())))
