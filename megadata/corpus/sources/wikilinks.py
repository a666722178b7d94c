"""Links of wikitext: inner ones to their labels, files and categories to nothing, outer ones to their texts."""

from __future__ import annotations

import re
from collections.abc import Iterable

from megadata.corpus.sources.wikinames import category_names, file_names

OUTER = "\x04"
"""Stands before the text of an outer link, until lists that hold nothing else are dropped."""
_MOST_COPIES = 64
"""Times that a character may stand inside links inside links, on average; beyond, only the brackets are left out."""
_BRACKETS = re.compile(r"\[\[|\]\]")
_OUTER_LINK = re.compile(
    r"\[(?:(?:https?|ftps?|ircs?|mailto|news|gopher|git|svn|tel|urn|geo|magnet|sftp|nntp|telnet|xmpp|sip):|//)"
    r"""[^\s\[\]<>"]*+[ \t]*+([^\[\]\n]*+)\]""",
    re.IGNORECASE,
)
_LANGUAGE = re.compile(r"(?:[a-z]{2,3}(?:-[a-z]{2,10}){0,2}|simple|nds-nl)")
_NOT_LANGUAGES = frozenset({"wp", "mw", "doi", "rfc", "bug", "wmf", "url", "irc"})
_PICTURE = re.compile(
    r"[^:|]{1,40}:[^|]*\.(?:jpe?g|png|svg|gif|tiff?|webp|og[gv]|oga|webm|pdf|djvu|xcf|mid|wav|mp3)\s*(?:\||$)",
    re.IGNORECASE,
)
_LINKS_ALONE = re.compile(r"^(?:\[\[[^\[\]|:\n ]{1,30}:[^\[\]\n ][^\[\]\n]*\]\][ \t]*)+$", re.MULTILINE)
"""Lines of nothing but ``[[Word:Name]]``: categories and other languages, whatever their names."""
_QUALIFIER = re.compile(r"(?<!\s)\s*[(（][^()（）]*[)）]\s*$")


class LinkRules:
    """What links leave on the pages of one wiki.

    Parameters
    ----------
    namespaces : (number, local name) pairs.
    gone : what is put where a file was.
    files, categories : prefixes beyond those that are known.
    """

    def __init__(
        self,
        namespaces: Iterable[tuple[int, str]],
        gone: str,
        files: Iterable[str] = (),
        categories: Iterable[str] = (),
    ) -> None:
        names = [(number, name.casefold()) for number, name in namespaces if name]
        names += [(6, str(name).casefold()) for name in files] + [(14, str(name).casefold()) for name in categories]
        self._files = file_names() | {name for number, name in names if number in (6, -2)}
        self._categories = category_names() | {name for number, name in names if number == 14}
        self._known = {name for _, name in names}
        self._gone = gone

    def replace(self, text: str) -> str:
        """Text with every ``[[...]]`` replaced, inner ones first; brackets without a partner are left out."""
        if "[[" not in text:
            return text
        text = _LINKS_ALONE.sub("", text)
        stack: list[list[str]] = [[]]
        at = 0
        budget = _MOST_COPIES * len(text)
        for token in _BRACKETS.finditer(text):
            stack[-1].append(text[at : token.start()])
            at = token.end()
            if token[0] == "[[":
                stack.append([])
            elif len(stack) > 1:
                inner = "".join(stack.pop())
                stack[-1].append(self.label(inner))
                budget -= len(inner)
                if budget < 0:
                    stack[-1].append(text[at:].replace("[[", "").replace("]]", ""))
                    at = len(text)
                    break
        stack[-1].append(text[at:])
        return "".join("".join(parts) for parts in stack)

    def label(self, inner: str) -> str:
        """What is shown for a link, from what lies between its brackets."""
        target, bar, label = inner.partition("|")
        target = target.strip()
        prefix, colon, rest = target.partition(":")
        if colon and prefix:
            name = prefix.strip().casefold().replace("_", " ")
            if name in self._files or _PICTURE.match(inner.lstrip()):
                return self._gone
            if name in self._categories:
                return ""
            if _LANGUAGE.fullmatch(prefix) and prefix not in _NOT_LANGUAGES and name not in self._known:
                return "" if rest else inner
        if bar and label.strip():
            return label
        if bar:
            return _QUALIFIER.sub("", (rest if colon and prefix else target.lstrip(":")).strip())
        return target.lstrip(":").strip()


def external_links(text: str) -> str:
    """Text with ``[http://... label]`` replaced by the label."""
    if "[" not in text:
        return text
    return _OUTER_LINK.sub(lambda m: OUTER + m[1].strip(), text)
