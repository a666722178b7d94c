"""Citations of wikis (``{{cite book|last=...}}``) as a line of a bibliography, in the order of Module:Citation/CS1.

Who wrote it, when, what, where it came out: ``Last, First (1999). The Book. London: Publisher.`` Identifiers, addresses and
days of access are left out. What a parameter is called in which language is the part ``citations`` of ``wikitext.yaml``.
"""

from __future__ import annotations

import re

from megadata.corpus.sources.arguments import Arguments

STOP = "\x08"
"""The full stop behind a citation, until it is known whether the page goes on with a mark of its own."""
_STOPS = re.compile(rf"{STOP}(?=(?:''+|[ \t])*[.,;:)\]])")
_NUMBER = re.compile(r"\d{1,3}")
_FILLERS = re.compile(r"[\s_-]+")


def stops(text: str) -> str:
    """Text with the full stops of citations, but where another mark follows."""
    return _STOPS.sub("", text).replace(STOP, ".") if STOP in text else text


def citation(arguments: Arguments) -> str:
    """``{{cite journal|last=Reed|first=A.|title=On Cells|journal=Nature|year=1972|volume=3}}``; of one without a title nothing.

    The French ``{{citation|words}}`` is a quotation.
    """
    fields = _Fields(arguments)
    title, chapter = fields.one("title"), fields.one("chapter")
    work = fields.one("periodical") or fields.one("collection")
    if not title:
        title, work = work, ""
    if not title:
        return f"« {arguments['1']} »" if arguments.get("1") and arguments.template == "citation" else chapter
    if edition := fields.one("edition"):
        title += f" ({edition} ed.)" if edition[0].isdigit() else f" ({edition})"
    authors, editors = fields.people("author"), fields.people("editor")
    by = authors or (f"{editors}, ed." if editors else "")
    date = fields.one("date") or " ".join(filter(None, (fields.one("month"), fields.one("year"))))
    inside = f"In {editors} (ed.)" if chapter and authors and editors else ""
    parts = [f"{by} ({date})" if by and date else by]
    parts += [f"“{chapter}”", inside, title] if chapter else [f"“{title}”", work] if work else [title]
    if work and (where := _place_in(fields)):
        parts[-1] += f" {where}"
    parts.append(": ".join(filter(None, (fields.one("place"), fields.one("publisher")))))
    parts.append("" if by else date)
    return _sentences(parts)


def _place_in(fields: _Fields) -> str:
    """Volume, issue and pages of a periodical: ``13 (1): 20-26``."""
    volume, issue, pages = fields.one("volume"), fields.one("issue"), fields.one("pages")
    counted = " ".join(filter(None, (volume, f"({issue})" if issue else "")))
    return f"{counted}: {pages}" if counted and pages else counted


def _sentences(parts: list[str]) -> str:
    said = [part for part in parts if part and part != "“”"]
    text = ""
    for part in said:
        text += ("" if not text else " " if text.rstrip("'”").endswith((".", "!", "?")) else ". ") + part
    return text if text.endswith((".", "!", "?")) else text + STOP


class _Fields:
    """Parameters of a citation by what they mean: the names of all languages, numbers apart (``last2``, ``editor2-last``)."""

    def __init__(self, arguments: Arguments) -> None:
        self._names = arguments.citations
        self._given: dict[tuple[str, int], str] = {}
        self._taken: set[tuple[str, int]] = set()
        for key, value in arguments.items():
            if key.isdigit() or not value:
                continue
            number = _NUMBER.search(key)
            plain = _FILLERS.sub("", _NUMBER.sub("", key)).casefold()
            self._given.setdefault((plain, int(number[0]) if number is not None else 1), " ".join(value.split()))

    def one(self, field: str, number: int = 1) -> str:
        """The first of a field's names that is given and was not taken for another field."""
        for name in self._names.get(field, ()):
            if (name, number) in self._given and (name, number) not in self._taken:
                self._taken.add((name, number))
                return self._given[name, number].strip(" ,;")
        return ""

    def people(self, role: str) -> str:
        """Authors or editors: ``Last, First; Last, First``."""
        found = []
        for number in range(1, 1 + max((n for _, n in self._given), default=0)):
            last = self.one(f"{role}_last", number)
            first = self.one(f"{role}_first", number) if last else ""
            found.append(f"{last}, {first}" if last and first else last or self.one(role, number))
        return "; ".join(filter(None, [*found, self.one("coauthors") if role == "author" else ""]))
