"""Parser functions (``{{#if:...}}``, ``{{#expr:...}}``, ``{{uc:...}}``), as far as a page's own text decides them."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from urllib.parse import quote

from megadata.corpus.sources.wikilocale import WikiLocale

_CALL = re.compile(r"\s*(#?[^\W\d]\w*)\s*:(.*)", re.DOTALL)
_TOKEN = re.compile(r"\s*(?:(\d+\.?\d*(?:e[-+]?\d{1,3})?|\.\d+)|(<>|!=|<=|>=|[-+*/^()<>=]|[a-z]+))", re.IGNORECASE)
_MOST = 1000
"""Longest expression in characters."""
_SEPARATORS = ",.'\xa0\u202f  "

Expand = Callable[[str], str]
"""Turns wikitext inside an argument into text."""


def call_of(inner: str) -> tuple[str, str] | None:
    """(name in lower case, what follows the colon) where a template is written like a parser function."""
    found = _CALL.match(inner)
    if found is None:
        return None
    name = found[1].lower()
    return (name, found[2]) if name in _FUNCTIONS else None


def apply(name: str, parts: list[str], expand: Expand, locale: WikiLocale) -> str:
    """Text of a parser function; only the arguments that are chosen are expanded."""
    return _FUNCTIONS[name](parts, expand, locale)


def _get(parts: list[str], at: int, expand: Expand) -> str:
    return expand(parts[at]).strip() if at < len(parts) else ""


def _if(parts: list[str], expand: Expand, locale: WikiLocale) -> str:
    return _get(parts, 1 if _get(parts, 0, expand) else 2, expand)


def _ifeq(parts: list[str], expand: Expand, locale: WikiLocale) -> str:
    one, other = _get(parts, 0, expand), _get(parts, 1, expand)
    a, b = _value(one), _value(other)
    return _get(parts, 2 if one == other or (a is not None and a == b) else 3, expand)


def _ifexpr(parts: list[str], expand: Expand, locale: WikiLocale) -> str:
    value = evaluate(_get(parts, 0, expand))
    return _get(parts, 1 if value else 2, expand)


def _iferror(parts: list[str], expand: Expand, locale: WikiLocale) -> str:
    tried = _get(parts, 0, expand)
    return tried if tried or len(parts) < 2 else _get(parts, 1, expand)


def _switch(parts: list[str], expand: Expand, locale: WikiLocale) -> str:
    wanted = _get(parts, 0, expand)
    falls, default = False, ""
    for at, part in enumerate(parts[1:], 1):
        case, sign, result = part.partition("=")
        case = expand(case).strip()
        if not sign:
            falls = falls or case == wanted
            if at == len(parts) - 1:
                return case
            continue
        if falls or case == wanted:
            return expand(result).strip()
        if case == "#default":
            default = result
    return expand(default).strip()


def _expr(parts: list[str], expand: Expand, locale: WikiLocale) -> str:
    value = evaluate(_get(parts, 0, expand))
    if value is None:
        return ""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.12g}"


def _formatnum(parts: list[str], expand: Expand, locale: WikiLocale) -> str:
    number = _get(parts, 0, expand)
    if _get(parts, 1, expand).upper() == "R":
        for sign in _SEPARATORS:
            number = number.replace(sign, "") if sign != locale.decimal else number
        return number.replace(locale.decimal, ".")
    if _get(parts, 1, expand).upper() == "NOSEP":
        return number.replace(".", locale.decimal)
    return locale.number(number)


def _plural(parts: list[str], expand: Expand, locale: WikiLocale) -> str:
    return _get(parts, 1 if _value(_get(parts, 0, expand)) in (1, -1) else min(2, len(parts) - 1), expand)


def _padded(left: bool) -> Callable[[list[str], Expand, WikiLocale], str]:
    def pad(parts: list[str], expand: Expand, locale: WikiLocale) -> str:
        text, width, sign = _get(parts, 0, expand), _value(_get(parts, 1, expand)) or 0, _get(parts, 2, expand) or "0"
        missing = max(0, min(int(width), 500) - len(text))
        filler = (sign * missing)[:missing]
        return filler + text if left else text + filler

    return pad


def _text(change: Callable[[str], str]) -> Callable[[list[str], Expand, WikiLocale], str]:
    return lambda parts, expand, locale: change(_get(parts, 0, expand))


def _nothing(parts: list[str], expand: Expand, locale: WikiLocale) -> str:
    return ""


_FUNCTIONS: dict[str, Callable[[list[str], Expand, WikiLocale], str]] = {
    "#if": _if, "#ifeq": _ifeq, "#ifexpr": _ifexpr, "#iferror": _iferror, "#switch": _switch, "#expr": _expr,
    "#ifexist": lambda parts, expand, locale: _get(parts, 1, expand), "formatnum": _formatnum, "plural": _plural,
    "padleft": _padded(True), "padright": _padded(False), "lc": _text(str.lower), "uc": _text(str.upper),
    "lcfirst": _text(lambda t: t[:1].lower() + t[1:]), "ucfirst": _text(lambda t: t[:1].upper() + t[1:]),
    "urlencode": _text(lambda t: quote(t, safe="")), "anchorencode": _text(lambda t: t.replace(" ", "_")),
    "fullurl": _nothing, "localurl": _nothing, "filepath": _nothing, "gender": lambda p, e, lo: _get(p, 1, e),
    "int": _nothing, "ns": _nothing, "defaultsort": _nothing, "displaytitle": _nothing, "#tag": _nothing, "#invoke": _nothing,
    "#time": _nothing, "#timel": _nothing, "#language": _nothing, "#property": _nothing, "#coordinates": _nothing,
    "#statements": _nothing, "#lst": _nothing, "#section": _nothing, "#related": _nothing, "#babel": _nothing,
}  # fmt: skip


def _value(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def evaluate(text: str) -> float | None:
    """Value of an arithmetic expression as ``#expr`` takes it; None where it is none, or of no bounded size."""
    if len(text) > _MOST or not text.strip():
        return None
    try:
        value = _Expression(text.replace("−", "-").replace("&minus;", "-")).value()
    except (ValueError, ZeroDivisionError, OverflowError, RecursionError):
        return None
    return value if math.isfinite(value) else None


_LEVELS: tuple[dict[str, Callable[[float, float], float]], ...] = (
    {"or": lambda a, b: float(bool(a or b))},
    {"and": lambda a, b: float(bool(a and b))},
    {"=": operator.eq, "<>": operator.ne, "!=": operator.ne, "<": operator.lt, ">": operator.gt, "<=": operator.le,
     ">=": operator.ge},
    {"round": lambda a, b: math.copysign(math.floor(abs(a) * 10 ** min(b, 15) + 0.5) / 10 ** min(b, 15), a)},
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "/": operator.truediv, "div": operator.truediv, "mod": lambda a, b: math.fmod(int(a), int(b))},
    {"^": lambda a, b: math.pow(a, b)},
)  # fmt: skip
_BEFORE: dict[str, Callable[[float], float]] = {
    "-": operator.neg, "+": operator.pos, "not": lambda a: float(not a), "abs": abs, "floor": math.floor, "ceil": math.ceil,
    "trunc": math.trunc, "sqrt": math.sqrt, "exp": math.exp, "ln": math.log, "sin": math.sin, "cos": math.cos, "tan": math.tan,
}  # fmt: skip


class _Expression:
    """Recursive descent over the operators of ``#expr``, weakest first."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                raise ValueError(text)
            self._tokens.append((found[1] or found[2]).lower())
            at = found.end()
        self._tokens.append("")
        self._at = 0

    def value(self) -> float:
        result = self._level(0)
        if self._tokens[self._at]:
            raise ValueError(self._tokens[self._at])
        return float(result)

    def _level(self, level: int) -> float:
        if level == len(_LEVELS):
            return self._operand()
        left = self._level(level + 1)
        while (apply_to := _LEVELS[level].get(self._tokens[self._at])) is not None:
            self._at += 1
            left = float(apply_to(left, self._level(level + 1)))
        return left

    def _operand(self) -> float:
        token = self._tokens[self._at]
        self._at += 1
        if token == "(":
            inside = self._level(0)
            if self._tokens[self._at] != ")":
                raise ValueError("a parenthesis is not closed")
            self._at += 1
            return inside
        if token in _BEFORE:
            return float(_BEFORE[token](self._operand()))
        if token in ("pi", "e"):
            return math.pi if token == "pi" else math.e
        return float(token)
