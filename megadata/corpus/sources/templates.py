"""What remains of a template in plain text.

A rule is a pattern or a function; the table of names is ``wikitext.yaml``. In a pattern ``{2}`` stands for a parameter and
``{3|2|text}`` for the first of several that is there and not empty. A template without a rule leaves nothing. Other packages add
rules with entry points of the group ``megadata.wikitext``, each a mapping from template names (lower case) to rules.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Any

import yaml

Arguments = Mapping[str, str]
"""Parameters by name (``1``, ``2``, ... for those without), already plain text."""
Rule = str | Callable[[Arguments], str]

_SLOT = re.compile(r"\{([^{}]+)\}")
_UNITS = {
    "km2": "km²", "m2": "m²", "cm2": "cm²", "mm2": "mm²", "ft2": "sq ft", "sqft": "sq ft", "sqmi": "sq mi", "mi2": "sq mi",
    "sqkm": "km²", "sqm": "m²", "km3": "km³", "m3": "m³", "cm3": "cm³", "ft3": "cu ft", "cuft": "cu ft", "cumi": "cu mi",
    "cuin": "cu in", "C": "°C", "F": "°F", "R": "°R", "C-change": "°C", "F-change": "°F", "nmi": "nautical miles", "kn": "knots",
    "m/s2": "m/s²", "kg/m3": "kg/m³", "/km2": "per km²", "/sqmi": "per sq mi", "/sqkm": "per km²", "PD/km2": "people per km²",
    "PD/sqmi": "people per sq mi", "cuyd": "cu yd", "cuft/s": "cu ft/s", "m3/s": "m³/s", "sqyd": "sq yd", "impgal": "imp gal",
    "USgal": "US gal", "LT": "long tons", "ST": "short tons",
}  # fmt: skip
_BETWEEN = {
    "-": "–", "–": "–", "to": " to ", "and": " and ", "or": " or ", "by": " by ", "x": " × ", "×": " × ", "*": " × ",
    "xx": " × ", "to(-)": " to ", "+/-": " ± ", "±": " ± ", "+": " + ", ",": ", ", "/": "/", "and(-)": " and ", "&": " & ",
    ", and": ", and ", ", or": ", or ", "to about": " to about ",
}  # fmt: skip
_SUBDIVIDED = ("ft", "yd", "mi", "lb", "st", "ch")
_NUMBER = re.compile(r"[-+−]?[\d.,]+(?:[/⁄]\d+)?(?:e[-+]?\d+)?|[-+−]?\d+[+ ]\d+[/⁄]\d+", re.IGNORECASE)
_SOUND_WORDS = frozenset(("lang", "pron", "us", "uk", "ame", "local", "also", "icon", "small", "-", "audio"))


def fill(rule: Rule, arguments: Arguments) -> str:
    """Text of a template by its rule."""
    if callable(rule):
        return rule(arguments)
    return _SLOT.sub(lambda slot: next((v for n in slot[1].split("|") if (v := arguments.get(n, ""))), ""), rule)


def positional(arguments: Arguments) -> list[str]:
    """The unnamed parameters in order."""
    values: list[str] = []
    while (value := arguments.get(str(len(values) + 1))) is not None:
        values.append(value)
    return values


def convert(arguments: Arguments) -> str:
    """``{{convert|5|to|10|km|mi}}``: the quantities as given, without the conversion."""
    values = positional(arguments)
    text, at = "", 0
    while at < len(values) and _NUMBER.fullmatch(values[at]):
        text += values[at][:1] + values[at][1:].replace("+", " ")
        at += 1
        if at < len(values) and values[at] in _BETWEEN:
            text += _BETWEEN[values[at]]
            at += 1
            continue
        if at < len(values):
            unit = values[at]
            text += f" {_UNITS.get(unit, unit)}"
            at += 1
            if at + 1 < len(values) and unit in _SUBDIVIDED and _NUMBER.fullmatch(values[at]):
                text += " "
                continue
        break
    return text


def fraction(arguments: Arguments) -> str:
    """``{{frac|1|2}}``, with a whole number before where there are three parameters."""
    values = [v for v in positional(arguments) if v]
    if len(values) == 1:
        return f"1/{values[0]}"
    return {2: "{0}/{1}", 3: "{0} {1}/{2}"}.get(len(values), "").format(*values)


def date(arguments: Arguments) -> str:
    """Year, month and day as numbers, the order that most of these templates have."""
    values = [v for v in positional(arguments)[:3] if v]
    if len(values) >= 2 and all(re.fullmatch(r"[0-9]{1,5}", v) for v in values) and 1 <= int(values[1]) <= 12:
        month = calendar.month_name[int(values[1])]
        if len(values) == 2:
            return f"{month} {values[0]}"
        european = arguments.get("df", "").lower() in ("y", "yes", "1", "true")
        return f"{int(values[2])} {month} {values[0]}" if european else f"{month} {int(values[2])}, {values[0]}"
    return " ".join(values)


def value(arguments: Arguments) -> str:
    """``{{val|1.5|0.1|ul=m/s|e=6}}``."""
    text = arguments.get("1", "")
    if spread := arguments.get("2"):
        text += f" ± {spread}"
    if power := arguments.get("e"):
        text += f" × 10^{power}"
    unit = arguments.get("u") or arguments.get("ul") or ""
    return f"{text} {_UNITS.get(unit, unit)}".rstrip()


def quotation(arguments: Arguments) -> str:
    """A quotation in lines of its own, with who said it."""
    text = arguments.get("text") or arguments.get("quote") or arguments.get("1") or ""
    by = arguments.get("author") or arguments.get("sign") or arguments.get("2") or ""
    return f"\n{text}\n" + (f"— {by}\n" if by else "") if text else ""


def sounds(arguments: Arguments) -> str:
    """``{{IPAc-en|ˈ|k|æ|t}}``."""
    parts = [v for v in positional(arguments) if v.lower() not in _SOUND_WORDS]
    return f"/{''.join(parts).replace('_', ' ')}/" if parts else ""


def items(arguments: Arguments) -> str:
    """Parameters as a list."""
    return "\n" + "\n".join(f"* {v}" for v in positional(arguments) if v) + "\n"


def accidental(arguments: Arguments) -> str:
    """``{{music|flat}}``."""
    return {"flat": "♭", "b": "♭", "sharp": "♯", "#": "♯", "natural": "♮"}.get(arguments.get("1", ""), "")


def japanese(arguments: Arguments) -> str:
    """``{{nihongo|English|kanji|romaji|extra}}``: the first, the others in brackets."""
    first, *others = [v for v in positional(arguments) if v] or [""]
    return f"{first} ({', '.join(others)})" if others else first


def since(arguments: Arguments) -> str:
    """``{{as of|2017|5}}``, at the start of a sentence unless ``lc``."""
    said = arguments.get("alt", "")
    return said or f"{'as' if arguments.get('lc') else 'As'} of {date(arguments)}"


def author_date(arguments: Arguments) -> str:
    """``{{harvtxt|Artin|Mazur|1970}}``."""
    *authors, year = positional(arguments)[:5] or [""]
    return f"{', '.join(authors[:-1])}{' & ' if len(authors) > 1 else ''}{authors[-1]} ({year})" if authors else year


def _joined(separator: str) -> Callable[[Arguments], str]:
    return lambda arguments: separator.join(v for v in positional(arguments) if v)


_FUNCTIONS: dict[str, Callable[[Arguments], str]] = {
    "convert": convert, "fraction": fraction, "date": date, "value": value, "quotation": quotation, "sounds": sounds,
    "items": items, "accidental": accidental, "words": _joined(" "), "run": _joined(""), "commas": _joined(", "),
    "hyphens": _joined("-"), "japanese": japanese, "since": since, "author_date": author_date,
}  # fmt: skip


@cache
def tables() -> dict[str, Any]:
    """The contents of ``wikitext.yaml``."""
    text = files("megadata.corpus.sources").joinpath("wikitext.yaml").read_text(encoding="utf-8")
    return dict(yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


@cache
def rules() -> dict[str, Rule]:
    """Rules by template name, with what other packages add."""
    found: dict[str, Rule] = {name: pattern for pattern, names in tables()["patterns"].items() for name in names}
    found |= {name: _FUNCTIONS[function] for function, names in tables()["functions"].items() for name in names}
    for entry in entry_points(group="megadata.wikitext"):
        found |= entry.load()
    return found


@cache
def _families() -> list[tuple[str, Rule]]:
    return [(prefix, pattern) for pattern, prefixes in tables()["prefixes"].items() for prefix in prefixes]


def rule_for(name: str) -> Rule | None:
    """Rule of a template (its name in lower case, spaces for underscores), or None where it leaves nothing."""
    rule = rules().get(name)
    return rule or next((r for prefix, r in _families() if name.startswith(prefix)), None)
