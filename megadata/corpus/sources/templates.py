"""What remains of a template in plain text.

A rule is a pattern or a function. In a pattern ``{2}`` stands for a parameter and ``{3|2|text}`` for the first of several that is
there and not empty. A template without a rule leaves nothing. Other packages add rules with entry points of the group
``megadata.wikitext``, each a mapping from template names (lower case) to rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points

Arguments = Mapping[str, str]
"""Parameters by name (``1``, ``2``, ... for those without), already plain text."""
Rule = str | Callable[[Arguments], str]

_SLOT = re.compile(r"\{([^{}]+)\}")
_MONTHS = (
    "January February March April May June July August September October November December".split()  # noqa: SIM905
)
_UNITS = {
    "km2": "km²", "m2": "m²", "cm2": "cm²", "mm2": "mm²", "ft2": "sq ft", "sqft": "sq ft", "sqmi": "sq mi", "mi2": "sq mi",
    "sqkm": "km²", "sqm": "m²", "km3": "km³", "m3": "m³", "cm3": "cm³", "ft3": "cu ft", "cuft": "cu ft", "cumi": "cu mi",
    "cuin": "cu in", "C": "°C", "F": "°F", "K": "K", "R": "°R", "C-change": "°C", "F-change": "°F", "nmi": "nautical miles",
    "m/s2": "m/s²", "kg/m3": "kg/m³", "/km2": "per km²", "/sqmi": "per sq mi", "/sqkm": "per km²", "PD/km2": "people per km²",
    "PD/sqmi": "people per sq mi", "cuyd": "cu yd", "cuft/s": "cu ft/s", "m3/s": "m³/s", "sqyd": "sq yd", "impgal": "imp gal",
    "USgal": "US gal", "LT": "long tons", "ST": "short tons", "kn": "knots", "kW": "kW", "hp": "hp", "bhp": "bhp", "ha": "ha",
}  # fmt: skip
_BETWEEN = {
    "-": "–", "–": "–", "to": " to ", "and": " and ", "or": " or ", "by": " by ", "x": " × ", "×": " × ", "*": " × ",
    "xx": " × ", "to(-)": " to ", "+/-": " ± ", "±": " ± ", "+": " + ", ",": ", ", "/": "/", "and(-)": " and ", "&": " & ",
    ", and": ", and ", ", or": ", or ", "to about": " to about ",
}  # fmt: skip
_NUMBER = re.compile(r"[-+−]?[\d.,]+(?:[/⁄]\d+)?(?:e[-+]?\d+)?|[-+−]?\d+[+ ]\d+[/⁄]\d+", re.IGNORECASE)
_SOUND_WORDS = frozenset("lang pron us uk ame ame local also icon small - aus can audio en fr de".split())


def fill(rule: Rule, arguments: Arguments) -> str:
    """Text of a template by its rule."""
    if callable(rule):
        return rule(arguments)
    return _SLOT.sub(lambda slot: next((v for n in slot[1].split("|") if (v := arguments.get(n, ""))), ""), rule)


def positional(arguments: Arguments) -> list[str]:
    """The unnamed parameters in order."""
    values = []
    while (value := arguments.get(str(len(values) + 1))) is not None:
        values.append(value)
    return values


def _joined(separator: str) -> Callable[[Arguments], str]:
    return lambda arguments: separator.join(v for v in positional(arguments) if v)


def _listed(arguments: Arguments) -> str:
    return "\n" + "\n".join(v if v.startswith(("*", "#")) else f"* {v}" for v in positional(arguments) if v) + "\n"


def _convert(arguments: Arguments) -> str:
    """``{{convert|5|to|10|km|mi}}``: the quantities as given, without the conversion."""
    values = positional(arguments)
    text, at = "", 0
    while at < len(values) and _NUMBER.fullmatch(values[at].replace(" ", "")):
        text += values[at].replace("+", " ") if values[at][:1] != "+" else values[at]
        at += 1
        if at < len(values) and values[at] in _BETWEEN:
            text += _BETWEEN[values[at]]
            at += 1
            continue
        if at < len(values):
            unit = values[at]
            text += f" {_UNITS.get(unit, unit)}"
            at += 1
            if at + 1 < len(values) and _NUMBER.fullmatch(values[at]) and unit in ("ft", "yd", "mi", "lb", "st", "ch"):
                text += " "
                continue
        break
    return text


def _fraction(arguments: Arguments) -> str:
    values = [v for v in positional(arguments) if v]
    if len(values) == 1:
        return f"1/{values[0]}"
    return {2: "{0}/{1}", 3: "{0} {1}/{2}"}.get(len(values), "").format(*values)


def _date(arguments: Arguments) -> str:
    """Year, month and day as numbers, the order that most of these templates have."""
    values = [v for v in positional(arguments)[:3] if v]
    if len(values) >= 2 and all(v.isdigit() for v in values) and 1 <= int(values[1]) <= 12:
        month = _MONTHS[int(values[1]) - 1]
        if len(values) == 2:
            return f"{month} {values[0]}"
        day = str(int(values[2]))
        european = arguments.get("df", "").lower() in ("y", "yes", "1", "true")
        return f"{day} {month} {values[0]}" if european else f"{month} {day}, {values[0]}"
    return " ".join(values)


def _quotation(arguments: Arguments) -> str:
    text = arguments.get("text") or arguments.get("quote") or arguments.get("1") or ""
    by = arguments.get("author") or arguments.get("sign") or arguments.get("2") or ""
    return f"\n{text}\n" + (f"— {by}\n" if by and text else "") if text else ""


def _sounds(arguments: Arguments) -> str:
    parts = [v for v in positional(arguments) if v.lower() not in _SOUND_WORDS]
    return f"/{''.join(parts).replace('_', ' ')}/" if parts else ""


def _value(arguments: Arguments) -> str:
    """``{{val|1.5|0.1|ul=m/s|e=6}}``."""
    text = arguments.get("1", "")
    if spread := arguments.get("2"):
        text += f" ± {spread}"
    if power := arguments.get("e"):
        text += f" × 10^{power}"
    unit = arguments.get("u") or arguments.get("ul") or ""
    return f"{text} {_UNITS.get(unit, unit)}".rstrip()


RULES: dict[str, Rule] = {
    # Text as it stands.
    **dict.fromkeys(
        (
            "nowrap", "nobr", "nobreak", "nobold", "noitalic", "small", "smaller", "big", "larger", "resize", "center", "smallcaps",
            "sc", "sc1", "uc", "em", "strong", "bold", "italic", "underline", "u", "s", "strike", "em", "dfn", "kbd", "code", "mono",
            "tt", "var", "samp", "abbr", "tooltip", "h:title", "mvar", "math", "bigmath", "big math", "visible anchor", "vanchor",
            "font color", "nihongo foot", "not a typo", "notatypo", "as written", "proper name", "noflag", "ipa", "unicode", "script",
            "linktext", "link-interwiki", "poem", "poemquote", "verse", "native name", "nastaliq", "tlit", "spaced ndash text",
            "avoid wrap", "not typo", "ruby text", "pre", "typo", "chem name", "okina text", "keypress", "key", "nowiki", "mj",
            "rlm text", "music text", "blockindent", "block indent", "in5", "ivm", "hebrew", "script/hebrew", "script/arabic",
            "polytonic", "unbulleted", "fett", "kursiv", "unité texte", "petit", "nobr1", "citation étrangère", "keine lemma",
        ),
        "{1|text}",
    ),
    **dict.fromkeys(("lang", "langue", "lang2", "angbr ipa", "foreign", "zh-full", "rtl-lang", "color", "colour"), "{2|text|1}"),
    **dict.fromkeys(("transl", "transliteration", "translit", "wikt-lang", "wt", "xlit"), "{3|2|1}"),
    "ill": "{lt|1}", "interlanguage link": "{lt|1}", "ill2": "{lt|1}", "link": "{2|1}", "lien": "{texte|trad|1}", "ne": "{2|1}",
    "nihongo": "{1} {2} {3}", "nihongo3": "{3|2|1}", "zh": "{c|s|t|p|1}", "korean": "{hangul|1}",
    "wikt": "{2|1}", "wiktionary": "{2|1}", "lj": "{1}", "angle bracket": "⟨{1}⟩", "angbr": "⟨{1}⟩", "bracket": "[{1}]",
    # Numbers, quantities, dates.
    **dict.fromkeys(("convert", "cvt", "unité convertie", "converttext", "conversion"), _convert),
    **dict.fromkeys(("frac", "fraction", "sfrac", "tfrac", "sfrac-template", "frac2", "bruch"), _fraction),
    **dict.fromkeys(("formatnum", "fn", "nts", "number table sorting", "formatnumber", "zahl"), "{1}"),
    **dict.fromkeys(("val", "physconst"), _value),
    **dict.fromkeys(("unité", "unite", "unit", "nb", "nombre", "num", "tunit"), "{1} {2}"),
    **dict.fromkeys(
        (
            "birth date", "birth date and age", "death date", "death date and age", "start date", "end date", "film date", "bda",
            "dob", "birth-date", "death-date", "start date and age", "dts", "date table sorting", "release date", "launch date",
            "birth year and age", "death year and age", "start-date", "end-date", "dda", "birthdate", "nascimento", "dni",
        ),
        _date,
    ),
    **dict.fromkeys(("date", "date de naissance", "date de décès", "data", "дата"), _joined(" ")),
    **dict.fromkeys(("circa", "c.", "ca.", "около"), "c. {1}"),
    **dict.fromkeys(("floruit", "fl."), "fl. {1}"),
    **dict.fromkeys(("reign", "r."), "r. {1}–{2}"),
    **dict.fromkeys(("b.", "born"), "born {1}"),
    **dict.fromkeys(("siècle", "s-", "-s", "s mini-"), "{1}e siècle"),
    "us$": "US${1}", "usd": "US${1}", "£": "£{1}", "gbp": "£{1}", "€": "€{1}", "euro": "€{1}", "eur": "€{1}",
    "¥": "¥{1}", "inr": "₹{1}", "indian rupee": "₹{1}", "aud": "A${1}", "a$": "A${1}", "cad": "C${1}", "c$": "C${1}", "nz$": "NZ${1}",
    "rs": "₹{1}", "₹": "₹{1}", "jpy": "¥{1}", "philippine peso": "₱{1}", "us dollar": "US${1}", "hk$": "HK${1}", "cny": "CN¥{1}",
    "hms": "{1}h {2}m {3}s", "duration": "{h|1}:{m|2}:{s|3}", "percent": "{1}%", "pct": "{1}%", "per mille": "{1}‰",
    "degrees": "{1}°", "deg": "{1}°", "ordinal": "{1}", "roman": "{1}", "gaps": _joined(""),
    "e": "×10^{1}", "esp": "×10^{1}", "10^": "10^{1}", "sup": "<sup>{1}</sup>", "sub": "<sub>{1}</sub>", "exp": "<sup>{1}</sup>",
    "su": "{p}{b}", "overline": "{1}", "overset": "{2}", "sqrt": "√{1}", "radic": "√{1}", "root": "√{1}", "abs": "|{1}|",
    "intmath": "{1}", "pi": "π", "tau": "τ", "epsilon": "ε", "phi": "φ", "gamma": "γ", "pm": "±", "vec": "{1}", "tmath": "${1}$",
    "chem": _joined(""), "chem2": "{1}", "chemf": _joined(""), "simplenuclide": "{1}-{2}", "nuclide": "{1}-{2}",
    # Sounds.
    "ipac-en": _sounds, "ipac-pl": _sounds, "ipac-cmn": _sounds, "respell": _joined("-"), "ipalink": "[{1}]", "ipablink": "[{1}]",
    "ipaslink": "/{1}/", "ipa link": "[{1}]", "api": "[{1}]", "lautschrift": "[{1}]", "pronunciation": "{2}", "iast": "{1}", "pron": "{1}",
    # Quotations and lists.
    **dict.fromkeys(
        (
            "quote", "blockquote", "quotation", "cquote", "quote box", "quotebox", "rquote", "bquote", "zitat", "citation bloc",
            "cita", "citação", "citazione", "начало цитаты", "cytat", "citat", "centered pull quote", "pull quote",
        ),
        _quotation,
    ),
    **dict.fromkeys(("'", "`"), "'"),
    **dict.fromkeys(("citation", "«»"), lambda a: f"«\u202f{a['1']}\u202f»" if a.get("1") and "title" not in a else ""),
    **dict.fromkeys(("quote inline", "inline quote", "q"), "“{1|text}”"),
    **dict.fromkeys(("ubl", "unbulleted list", "plainlist", "flatlist", "hlist", "bulleted list", "plain list", "flat list"), _listed),
    "ordered list": _listed, "hlist2": _joined(", "), "cslist": _joined(", "), "enum": _joined(", "), "indented plainlist": _listed,
    "gloss": "‘{1}’", "literal translation": "‘{1}’", "lit": "‘{1}’", "literally": "‘{1}’", "trans": "{1}",
    "langnf": "{2}", "aut": "{1}", "person": "{1} {2}", "sortname": "{1} {2}", "sort name": "{1} {2}", "sort": "{2|1}", "hs": "",
    # Signs.
    **dict.fromkeys(("ndash", "en dash", "–", "nsndns"), "–"),
    **dict.fromkeys(("spaced ndash", "spnd", "snd", "spaced en dash", "snds", "nbspndash", "--"), " – "),
    **dict.fromkeys(("mdash", "em dash", "—"), "—"),
    **dict.fromkeys(("spaced mdash", "spaced em dash", "smd"), " — "),
    **dict.fromkeys(("·", "dot", "middot", "•", "bull", "bullet", "pointe"), " · "),
    **dict.fromkeys(("!", "pipe"), "|"), "!!": "||", "(!": "{|", "!)": "|}", "!-": "|-",
    **dict.fromkeys(("=", "equals"), "="),
    **dict.fromkeys(("nbsp", "space", "spaces", "thin space", "thinsp", "hair space", "sp", "snd2", "nnbsp", "ko-hhrm"), " "),
    **dict.fromkeys(("zwsp", "wbr", "shy", "zwj", "zwnj", "clear", "-", "break", "br"), ""),
    **dict.fromkeys(("okina", "ʻokina", "hamza"), "ʻ"),
    **dict.fromkeys(("asterisk", "*"), "*"), "'s": "'s", "' \"": "'\"", "\"'": "\"'", "sect": "§", "section sign": "§",
    "music": lambda a: {"flat": "♭", "b": "♭", "sharp": "♯", "#": "♯", "natural": "♮"}.get(a.get("1", ""), ""),
    "flat": "♭", "sharp": "♯", "natural": "♮", "number sign": "#", "lbrace": "{", "rbrace": "}", "hash": "#", "no.": "No. {1}",
    "ss": "SS {1}", "hms ship": "HMS {1}", "uss": "USS {1}", "mv": "MV {1}", "rms": "RMS {1}", "ship": "{1} {2}", "sclass": "{1}-class {2}",
    "sclass2": "{1}-class {2}", "hmcs": "HMCS {1}", "hmas": "HMAS {1}", "flag": "{1}", "flagcountry": "{1}", "flagu": "{1}", "bibleverse": "{1} {2}",
    "bce": "{1} BCE", "bc": "{1} BC", "ad": "AD {1}",
}  # fmt: skip
"""Rules by template name: lower case, spaces for underscores."""

PREFIXES: tuple[tuple[str, Rule], ...] = (
    ("lang-", "{1|text}"),
    ("ipa-", "[{1}]"),
    ("script/", "{1}"),
    ("lang/", "{1}"),
    ("ил-", "{1}"),
)
"""Rules for families of templates, by how their names begin."""


@cache
def all_rules() -> dict[str, Rule]:
    """The table with what other packages add to it."""
    rules = dict(RULES)
    for entry in entry_points(group="megadata.wikitext"):
        rules.update(entry.load())
    return rules


def rule_for(name: str) -> Rule | None:
    """Rule of a template, or None where it leaves nothing."""
    rule = all_rules().get(name)
    if rule is not None:
        return rule or None
    return next((r for prefix, r in PREFIXES if name.startswith(prefix)), None)
