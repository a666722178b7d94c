"""Dates and numbers as the wiki of a language writes them; the table is ``wikilocale.yaml``, made from Unicode CLDR."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

_PLAIN_NUMBER = re.compile(r"([-+−]?)(\d+)(?:\.(\d+))?(?:e([-+−]?\d+))?", re.IGNORECASE)
_DMY_WORDS = ("y", "yes", "1", "true", "on")


@dataclass(frozen=True, slots=True)
class WikiLocale:
    """How one language writes dates and numbers."""

    months: tuple[str, ...]
    """Names as they stand in a date."""
    alone: tuple[str, ...]
    """Names as they stand without a day."""
    date: str
    month_year: str
    day_month: str
    decimal: str
    group: str
    least_grouped: int
    """Least number whose digits are set in groups."""

    def number(self, text: str) -> str:
        """A number in machine form (``-1234567.8``) as text; anything else as it is."""
        found = _PLAIN_NUMBER.fullmatch(text.strip())
        if found is None:
            return text
        sign, whole, part, power = found[1], found[2], found[3], found[4]
        if len(whole) < 40 and int(whole) >= self.least_grouped and not whole.startswith("0"):
            whole = f"{int(whole):,}".replace(",", self.group)
        shown = sign.replace("-", "−") + whole + (self.decimal + part if part else "")
        return shown if power is None else f"{shown} × 10^{power.replace('-', '−')}"

    def day(self, year: str, month: int | str, day: str, day_first: bool = False) -> str:
        """A date in words; parts may be empty.

        Parameters
        ----------
        month : its number, or its name, which stays as it is.
        day_first : in English, ``10 December 1815`` instead of ``December 10, 1815``.
        """
        number = str(month)
        if isinstance(month, int):
            names = self.months if day else self.alone
            month = names[month - 1]
        if not month:
            return year
        day = day.lstrip("0") or day
        if day and year:
            pattern = "{day} {month} {year}" if day_first and self.date.startswith("{month} {day}") else self.date
        else:
            pattern = self.day_month if day else self.month_year if year else "{month}"
            if day and day_first and pattern == "{month} {day}":
                pattern = "{day} {month}"
        return pattern.format(year=year, month=month, number=number, day=day)


def wants_day_first(value: str) -> bool:
    """Whether the parameter ``df`` asks for the day before the month."""
    return value.strip().lower() in _DMY_WORDS


@cache
def _table() -> dict[str, Any]:
    text = files("megadata.corpus.sources").joinpath("wikilocale.yaml").read_text(encoding="utf-8")
    return dict(yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


@cache
def locale_of(language: str) -> WikiLocale:
    """The locale of a language code (``de``, ``zh-hant``); English where the table has none."""
    table = _table()
    code = language.lower()
    found = table.get(code) or table.get(code.partition("-")[0]) or table["en"]
    return WikiLocale(
        months=tuple(found["months"]),
        alone=tuple(found.get("alone", found["months"])),
        date=found["date"],
        month_year=found["month_year"],
        day_month=found["day_month"],
        decimal=found["decimal"],
        group=found["group"],
        least_grouped=found.get("least_grouped", 1000),
    )
