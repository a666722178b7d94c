"""``{{convert|5|km|mi}}`` as a reader of the wiki sees it: "5 kilometres (3.1 mi)".

Units lie in ``wikiunits.yaml``. The result is rounded as Module:Convert of the English Wikipedia does: to the precision of what
is given, at least two significant figures (three of kelvins).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib.resources import files

import yaml

from megadata.corpus.sources.wikilocale import WikiLocale, locale_of

_BETWEEN = {
    "-": "–", "–": "–", "to": " to ", "and": " and ", "or": " or ", "by": " by ", "x": " × ", "×": " × ", "*": " × ",
    "xx": " × ", "to(-)": " to ", "+/-": " ± ", "±": " ± ", "+": " + ", ",": ", ", "/": "/", "and(-)": " and ", "&": " & ",
    ", and": ", and ", ", or": ", or ", "to about": " to about ", "&ndash;": "–", "till": " till ", "until": " until ",
}  # fmt: skip
_DECIMAL = re.compile(r"[-+−]?(?:\d[\d,]*)?(?:\.\d*)?(?:e[-+−]?\d{1,2})?", re.IGNORECASE)
_FRACTION = re.compile(r"([-+−]?)(?:(\d+)[+ -])?(\d+)(?://?|⁄)(\d+)")
_SUBUNITS = {"ft": ("in", 12), "yd": ("ft", 3), "mi": ("yd", 1760), "lb": ("oz", 16), "st": ("lb", 14)}
_ON, _OFF = ("on", "values", "~"), ("off", "none")


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of measurement."""

    code: str
    dimension: str
    scale: float
    offset: float
    symbol: str
    name: str
    plural: str
    american: str
    outputs: tuple[str, ...]

    def word(self, value: float, american: bool) -> str:
        """The name as it follows a value."""
        if abs(value) == 1:
            return self.american if american else self.name
        return self.plural.replace(self.name, self.american) if american else self.plural


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as it was given."""

    shown: str
    value: float
    precision: int
    """Digits after the decimal mark; negative for zeros at the end of a whole number."""


@cache
def _tables() -> tuple[dict[str, Unit], dict[str, str]]:
    text = files("megadata.corpus.sources").joinpath("wikiunits.yaml").read_text(encoding="utf-8")
    found = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    units = {}
    for code, (dimension, factor, symbol, name, plural, outputs, american) in found["units"].items():
        scale, offset = factor if isinstance(factor, list) else (factor, 0.0)
        plural = plural or f"{name}s"
        units[code] = Unit(
            code, dimension, scale, offset, symbol, name, plural, american or name, tuple(str(outputs).split())
        )
    return units, {str(a): str(b) for a, b in found["aliases"].items()}


def unit_of(code: str) -> Unit | None:
    """The unit of a code, or None."""
    units, aliases = _tables()
    return units.get(code) or units.get(aliases.get(code, ""))


def symbol_of(code: str) -> str:
    """A unit's symbol; the code itself where it is unknown."""
    unit = unit_of(code)
    return code if unit is None else unit.symbol


def quantity(text: str, locale: WikiLocale) -> Quantity | None:
    """A number of a template's parameter, or None where it is none."""
    text = text.strip().replace("\xa0", " ")
    if any(c.isdigit() for c in text) and len(text) < 40 and _DECIMAL.fullmatch(text):
        plain = text.replace(",", "").replace("−", "-").lower()
        digits, _, power = plain.partition("e")
        precision = len(digits.partition(".")[2]) if "." in digits else len(digits.rstrip("0")) - len(digits)
        return Quantity(locale.number(plain), float(plain), precision - int(power or 0))
    if (found := _FRACTION.fullmatch(text)) is not None and int(found[4]):
        sign = -1 if found[1] in "-−" and found[1] else 1
        value = sign * (int(found[2] or 0) + int(found[3]) / int(found[4]))
        shown = f"{found[1].replace('-', '−')}{f'{found[2]} ' if found[2] else ''}{found[3]}/{found[4]}"
        return Quantity(shown, value, max(1, math.floor(math.log10(int(found[4])))))
    return None


def digits_to_show(given: Quantity, unit: Unit, result: float, out: Unit, in_feet_and_inches: bool = False) -> int:
    """Decimal places of a converted value (``default_precision`` of Module:Convert)."""
    if unit.dimension == "temperature":
        kelvins = abs(given.value * unit.scale + unit.offset)
        least = 2 if kelvins < 1e-8 else 2 - math.floor(math.log10(kelvins) + 1e-14)
        return max(given.precision, least)
    if given.value == 0 or result == 0:
        return 0
    adjust = math.log10(out.scale) + 2 if in_feet_and_inches else math.log10(abs(given.value / result))
    least = 1 - math.floor(math.log10(abs(result)) + 1e-14)
    return max(math.floor(given.precision + adjust + math.log10(2)), least)


def rounded(value: float, digits: int, locale: WikiLocale) -> str:
    """A value with so many decimal places (negative: zeros), halves away from zero."""
    if not math.isfinite(value):
        return ""
    step = Decimal(1).scaleb(-max(-25, min(digits, 25)))
    exact = (Decimal(repr(value)) / step).quantize(Decimal(1), ROUND_HALF_UP) * step
    return locale.number(f"{exact:.{max(digits, 0)}f}" if exact else "0" + ("." + "0" * digits if digits > 0 else ""))


def convert(values: list[str], options: Mapping[str, str], language: str, short: bool) -> str:
    """Text of a conversion; what is not understood stays as the quantities given.

    Parameters
    ----------
    values : the unnamed parameters.
    options : the named ones (``abbr``, ``disp``, ``order``, ``sp``, ``adj``, ``round``, ``sigfig``).
    language : of the wiki; where it is not English, symbols stand for names.
    short : symbols on both sides, as ``{{cvt}}`` has them.
    """
    locale = locale_of(language)
    given: list[tuple[str, Quantity]] = []
    at, between = 0, ""
    while at < len(values) and (number := quantity(values[at], locale)) is not None:
        given.append((between, number))
        at += 1
        if at + 1 < len(values) and values[at].strip() in _BETWEEN and quantity(values[at + 1], locale) is not None:
            between = _BETWEEN[values[at].strip()]
            at += 1
            continue
        break
    if not given:
        return " ".join(values[:2])
    rest = [v.strip() for v in values[at:]]
    english = language.startswith(("en", "simple"))
    if not english:
        given = [("–" if sign == " to " else sign, number) for sign, number in given]
    shown = "".join(sign + number.shown for sign, number in given)
    code = rest[0] if rest else ""
    unit = unit_of(code)
    if unit is None:
        return f"{shown} {code}".rstrip()
    composite = _composite(given, unit, rest, locale, english)
    if composite is not None:
        shown, given, unit, rest = composite
    abbr = options.get("abbr", "").strip().lower()
    words_in = not short and abbr not in (*_ON, "in") and english
    words_out = not short and abbr in _OFF and english
    american = options.get("sp", "").strip().lower() == "us"
    adjective = options.get("adj", "").strip().lower() in ("on", "mid")
    if composite is None:
        shown += _label(unit, given[-1][1].value if len(given) == 1 else 2, words_in, american, adjective)
    results = []
    for codes in _targets(rest[1:], unit):
        results.append(_one(given, unit, codes, rest[1:], options, locale, words_out, american, composite is not None))
    return _arranged(shown, [r for r in results if r], options)


def _composite(
    given: list[tuple[str, Quantity]], unit: Unit, rest: list[str], locale: WikiLocale, words: bool
) -> tuple[str, list[tuple[str, Quantity]], Unit, list[str]] | None:
    """``6|ft|2|in``: both parts in words of their own, and the whole in the smaller unit."""
    smaller, times = _SUBUNITS.get(unit.code, ("", 0))
    part = quantity(rest[1], locale) if len(rest) > 2 else None
    below = unit_of(rest[2]) if part is not None else None
    if part is None or below is None or below.code != smaller or len(given) != 1:
        return None
    first = given[0][1]
    shown = f"{first.shown} {unit.word(first.value, False)} {part.shown} {below.word(part.value, False)}"
    if not words or unit.code in ("st", "lb"):
        shown = f"{first.shown} {unit.symbol} {part.shown} {below.symbol}"
    whole = Quantity("", first.value * times + part.value, max(part.precision, 0))
    return shown, [("", whole)], below, [rest[2], *rest[3:]]


def _label(unit: Unit, value: float, words: bool, american: bool, adjective: bool) -> str:
    if not words or unit.dimension == "temperature":
        return unit.symbol if unit.symbol.startswith("/") else f" {unit.symbol}"
    if adjective:
        return f"-{(unit.american if american else unit.name).replace(' ', '-')}"
    return f" {unit.word(value, american)}"


def _targets(asked: list[str], unit: Unit) -> list[list[str]]:
    """Output units: each a code, or two for feet with inches and the like."""
    wanted = next((a for a in asked if a and quantity(a, locale_of("en")) is None), "")
    aliases = _tables()[1]
    found: list[list[str]] = []
    codes = [wanted] if unit_of(wanted) else wanted.split() or list(unit.outputs)
    for code in codes:
        code = aliases.get(code, code)
        parts = [code] if unit_of(code) else code.split()
        if parts and all((one := unit_of(p)) is not None and one.dimension == unit.dimension for p in parts):
            found.append(parts)
    return found


def _one(
    given: list[tuple[str, Quantity]], unit: Unit, codes: list[str], asked: list[str], options: Mapping[str, str],
    locale: WikiLocale, words: bool, american: bool, from_parts: bool,
) -> str:  # fmt: skip
    out = unit_of(codes[-1])
    assert out is not None
    texts, last = [], 0.0
    for sign, number in given:
        last = (number.value * unit.scale + unit.offset - out.offset) / out.scale
        if len(codes) == 2:
            texts.append(sign + _in_parts(last, codes, locale))
            continue
        digits = digits_to_show(number, unit, last, out, from_parts and unit.code == "in")
        digits = _asked_digits(asked, options, last, digits)
        step = options.get("round", "").strip()
        if step in ("5", "10", "25", "50") and math.isfinite(last):
            texts.append(sign + rounded(math.floor(last / int(step) + 0.5) * int(step), 0, locale))
        else:
            texts.append(sign + rounded(last, digits, locale))
    if len(codes) == 2:
        return "".join(texts)
    value = last if len(given) == 1 and texts[0] == "1" else 2.0
    return "".join(texts) + _label(out, 1.0 if texts == ["1"] else value, words, american, False)


def _asked_digits(asked: list[str], options: Mapping[str, str], value: float, digits: int) -> int:
    number = next((a for a in reversed(asked) if re.fullmatch(r"[-−]?\d{1,2}", a)), None)
    if number is not None:
        return int(number.replace("−", "-"))
    figures = options.get("sigfig", "").strip()
    if re.fullmatch(r"\d{1,2}", figures) and value:
        return int(figures) - 1 - math.floor(math.log10(abs(value)))
    return digits


def _in_parts(value: float, codes: list[str], locale: WikiLocale) -> str:
    """A value of the smaller unit as whole numbers of both (``5 ft 11 in``)."""
    larger, smaller = unit_of(codes[0]), unit_of(codes[1])
    assert larger is not None
    assert smaller is not None
    if not math.isfinite(value) or larger.scale <= smaller.scale:
        return ""
    times = round(larger.scale / smaller.scale)
    whole, part = divmod(int(Decimal(repr(abs(value))).quantize(Decimal(1), ROUND_HALF_UP)), times)
    first = f"{'−' if value < 0 else ''}{locale.number(str(whole))} {larger.symbol}"
    return f"{first} {part} {smaller.symbol}" if whole else f"{part} {smaller.symbol}"


def _arranged(shown: str, results: list[str], options: Mapping[str, str]) -> str:
    display = options.get("disp", "").strip().lower()
    other = "; ".join(results)
    if not other:
        return shown
    if display in ("out", "output only", "number"):
        return other
    if display in ("flip", "x flip") or options.get("order", "").strip().lower() == "flip":
        shown, other = other, shown
    if display in ("or", "comma", "/", "slash"):
        return f"{shown}{ {'or': ' or ', 'comma': ', '}.get(display, '/') }{other}"
    return f"{shown} [{other}]" if display == "sqbr" else f"{shown} ({other})"
