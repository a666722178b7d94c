"""Dates and ages from the parameters of templates, in the words of the wiki's language."""

from __future__ import annotations

import re

from megadata.corpus.sources.arguments import Arguments, positional
from megadata.corpus.sources.wikilocale import locale_of, wants_day_first

_DIGITS = re.compile(r"[0-9]{1,5}")
_DEATHS = re.compile(r"death.* and age|dda|sterbe")


def date(arguments: Arguments) -> str:
    """Year, month and day, in the order year-month-day or day-month-year; the month by its number or its name."""
    values = [v for v in positional(arguments) if v]
    text = _in_words(values[:3], arguments)
    if _DEATHS.match(arguments.template) and len(values) >= 6 and arguments.language.startswith(("en", "simple")):
        years = _years(values[3:6], values[:3])
        return f"{text} (aged {years})" if years is not None else text
    return text


def _in_words(values: list[str], arguments: Arguments) -> str:
    locale = locale_of(arguments.language)
    day_first = wants_day_first(arguments.get("df", ""))
    if len(values) == 1:
        return values[0]
    if not values or not any(map(_DIGITS.fullmatch, values)):
        return " ".join(values)
    is_year = [len(v) > 2 and _DIGITS.fullmatch(v) is not None for v in values]
    if is_year[0]:
        year, month, day = [*values, ""][:3]
    elif len(values) == 3 and is_year[2]:
        day, month, year = values
    elif len(values) == 2 and is_year[1]:
        day, (month, year) = "", values
    elif len(values) == 2:
        day, month, year = values[0], values[1], ""
    else:
        return " ".join(values)
    if _DIGITS.fullmatch(month):
        if not 1 <= int(month) <= 12:
            return " ".join(values)
        return locale.day(year, int(month), day, day_first)
    return " ".join(values)


def _years(born: list[str], now: list[str]) -> int | None:
    if not all(map(_DIGITS.fullmatch, [*born, *now])):
        return None
    one, other = (tuple(int(v) for v in given) for given in (born, now))
    return other[0] - one[0] - (other[1:] < one[1:])


def age(arguments: Arguments) -> str:
    """``{{age|1815|12|10|1852|11|27}}`` in years; nothing where the age would be that of today."""
    values = [v for v in positional(arguments) if v]
    years = _years(values[:3], values[3:6]) if len(values) >= 6 else None
    return "" if years is None else str(years)
