"""Functions that make text of a template's parameters, named in ``wikitext.yaml``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from megadata.corpus.sources.arguments import Arguments, positional
from megadata.corpus.sources.wikicitations import citation
from megadata.corpus.sources.wikidates import age, date
from megadata.corpus.sources.wikilocale import locale_of
from megadata.corpus.sources.wikiunits import convert as convert_units
from megadata.corpus.sources.wikiunits import symbol_of

_SOUND_WORDS = frozenset(("lang", "pron", "us", "uk", "ame", "local", "also", "icon", "small", "-", "audio"))
_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "RUB": "₽", "KRW": "₩", "CNY": "CN¥", "US": "US$"}
_LANGUAGE_CODE = re.compile(r"[a-z]{2,3}(?:-[a-z]{2,8})?", re.IGNORECASE)
_CHINESE = (
    ("c", "Chinese"), ("s", "simplified Chinese"), ("t", "traditional Chinese"), ("p", "pinyin"), ("w", "Wade–Giles"),
    ("j", "Jyutping"), ("poj", "Pe̍h-ōe-jī"), ("l", "lit."),
)  # fmt: skip


def convert(arguments: Arguments) -> str:
    """``{{convert|5|to|10|km|mi}}``: the quantities and what they are in other units."""
    short = arguments.template in ("cvt", "convertabb")
    return convert_units(positional(arguments), arguments, arguments.language, short)


def number(arguments: Arguments) -> str:
    """``{{formatnum|1234567}}``."""
    return locale_of(arguments.language).number(arguments.get("1", ""))


def number_and_unit(arguments: Arguments) -> str:
    """``{{unité|1500|km}}``, with powers after their units (``{{unité|10|m|2}}``)."""
    first, *others = positional(arguments) or [""]
    text = locale_of(arguments.language).number(first.replace(" ", ""))
    for other in others:
        power = re.fullmatch(r"[-−]?[1-9]", other)
        text += f"<sup>{other}</sup>" if power else f" {other}" if other else ""
    return text


def density(arguments: Arguments) -> str:
    """``{{pop density|3645257|640|km2|sqmi|prec=1}}``."""
    values = positional(arguments)
    try:
        people, area = (float(v.replace(",", "")) for v in values[:2])
        per = people / area
    except (ValueError, ZeroDivisionError):
        return ""
    if not math.isfinite(per) or len(values) < 3:
        return ""
    digits = arguments.get("prec", "") if arguments.get("prec", "").isdigit() else "0"
    asked = [f"{per:.{min(int(digits), 9)}f}", f"PD/{values[2]}", *(f"PD/{v}" for v in values[3:4]), digits]
    return convert_units(asked, arguments, arguments.language, True)


def coordinates(arguments: Arguments) -> str:
    """``{{coord|13|19|N|169|9|W}}``, unless only the page's corner shows it."""
    if "inline" not in arguments.get("display", "inline") and arguments.get("display") not in ("it", "i"):
        return ""
    if "NS" in arguments and "EW" in arguments:
        return " ".join(_arc(arguments[side].split("/")) for side in ("NS", "EW")) if arguments.get("text") else ""
    parts = [v for v in positional(arguments) if v and ":" not in v]
    split = next((at for at, v in enumerate(parts) if v.upper() in ("N", "S")), None)
    if split is None:
        decimal = re.compile(r"[-−]?\d{1,3}(?:\.\d+)?")
        return f"{parts[0]}°, {parts[1]}°" if len(parts) > 1 and all(map(decimal.fullmatch, parts[:2])) else ""
    end = next((at for at, v in enumerate(parts) if v.upper() in ("E", "W", "O")), len(parts) - 1)
    return f"{_arc(parts[: split + 1])} {_arc(parts[split + 1 : end + 1])}"


def _arc(parts: list[str]) -> str:
    return "".join(f"{v}{sign}" for v, sign in zip(parts[:-1], "°′″", strict=False) if v) + (parts[-1] if parts else "")


def chemistry(arguments: Arguments) -> str:
    """``{{chem|H|2|O}}`` and ``{{chem2|H2O}}``: numbers after letters are lowered."""
    text = "".join(positional(arguments))
    text = re.sub(r"(?<=[A-Za-z)\]])(\d+)(?![+−-])", r"<sub>\1</sub>", text)
    return re.sub(r"\^?(\d*[+−-])$", r"<sup>\1</sup>", text)


def money(arguments: Arguments) -> str:
    """``{{currency|13 billion|USD}}``."""
    code = arguments.get("2", "USD").upper()
    sign = _SIGNS.get(code, f"{code} ")
    return f"{sign}{locale_of(arguments.language).number(arguments.get('1', ''))}"


def pronunciation(arguments: Arguments) -> str:
    """``{{IPA|/kæt/}}`` and ``{{IPA|fr|ʃa}}``."""
    values = [v.replace("[ ", "[").replace(" ]", "]") for v in positional(arguments) if v]
    if len(values) > 1 and _LANGUAGE_CODE.fullmatch(values[0]):
        return values[1] if values[1][:1] in "[/" else f"[{values[1]}]"
    return values[0] if values else ""


def chinese(arguments: Arguments) -> str:
    """``{{zh|s=汉语|t=漢語|p=Hànyǔ}}``."""
    found = [(name, arguments[key]) for key, name in _CHINESE if arguments.get(key)]
    if not found or arguments.get("labels") == "no" or not arguments.language.startswith(("en", "simple")):
        return "; ".join(text for _, text in found) or arguments.get("1", "")
    return "; ".join(f"{name}: {text}" if name != "lit." else f"lit. ‘{text}’" for name, text in found)


def by_language(arguments: Arguments) -> str:
    """``{{langswitch|en=Other|de=Anderes}}``."""
    return arguments.get(arguments.language) or arguments.get("default") or arguments.get("en", "")


def power(arguments: Arguments) -> str:
    """``{{e|6}}``; without a parameter the raised e of French ordinals."""
    return f" × 10<sup>{arguments['1']}</sup>" if arguments.get("1") else "e"


def code(arguments: Arguments) -> str:
    """``{{ITA}}``: a country by its code, or what is given for it."""
    return arguments.get("1") or arguments.template.upper()


def author_year(arguments: Arguments) -> str:
    """``{{harvnb|Reed|1972}}``, in brackets for ``{{harv}}``."""
    values = [v for v in positional(arguments) if v and v not in ("txt", "nb")]
    named = [arguments[key] for key in ("last", "last1", "last2", "year") if arguments.get(key)]
    values = values if len(values) > 1 else named
    if not values:
        return ""
    *authors, year = values
    names = f"{', '.join(authors[:-1])}{' & ' if len(authors) > 1 else ''}{authors[-1]}" if authors else ""
    if arguments.template == "harv":
        return f"({names} {year})"
    return f"{names} ({year})" if arguments.template in ("harvtxt", "harvcoltxt", "harvs") else f"{names} {year}"


def people(arguments: Arguments) -> str:
    """``{{bd|1900年|1月1日|1980年|5月1日}}``: dates of birth and death."""
    values = [*positional(arguments), "", "", "", ""]
    return f"（{values[0]}{values[1]}－{values[2]}{values[3]}）"


def fraction(arguments: Arguments) -> str:
    """``{{frac|1|2}}``, with a whole number before where there are three parameters."""
    values = [v for v in positional(arguments) if v]
    if len(values) == 1:
        return f"1/{values[0]}"
    return {2: "{0}/{1}", 3: "{0} {1}/{2}"}.get(len(values), "").format(*values)


def value(arguments: Arguments) -> str:
    """``{{val|1.5|0.1|ul=m/s|e=6}}``."""
    locale = locale_of(arguments.language)
    text = locale.number(arguments.get("1", ""))
    if spread := arguments.get("2"):
        text += f" ± {locale.number(spread)}"
    if exponent := arguments.get("e"):
        text += f" × 10<sup>{exponent.replace('-', '−')}</sup>"
    unit = arguments.get("u") or arguments.get("ul") or ""
    return f"{text} {symbol_of(unit)}".rstrip()


def quotation(arguments: Arguments) -> str:
    """A quotation in lines of its own, with who said it."""
    text = next((v for k in ("text", "quote", "texte", "content", "תוכן", "متن", "1") if (v := arguments.get(k))), "")
    by = next((v for k in ("author", "sign", "auteur", "autor", "source", "2") if (v := arguments.get(k))), "")
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
    first, *others = [v for value in positional(arguments) if (v := value.strip(" ,"))] or [""]
    return f"{first} ({', '.join(others)})" if others else first


def since(arguments: Arguments) -> str:
    """``{{as of|2017|5}}``, at the start of a sentence unless ``lc``."""
    said = arguments.get("alt", "")
    return said or f"{'as' if arguments.get('lc') else 'As'} of {date(arguments)}"


def _joined(separator: str) -> Callable[[Arguments], str]:
    return lambda arguments: separator.join(v for v in positional(arguments) if v)


FUNCTIONS: dict[str, Callable[[Arguments], str]] = {
    "convert": convert, "fraction": fraction, "date": date, "value": value, "quotation": quotation, "sounds": sounds,
    "items": items, "accidental": accidental, "words": _joined(" "), "run": _joined(""), "commas": _joined(", "),
    "hyphens": _joined("-"), "japanese": japanese, "since": since, "author_year": author_year, "number": number,
    "number_and_unit": number_and_unit, "density": density, "coordinates": coordinates, "chemistry": chemistry, "money": money,
    "pronunciation": pronunciation, "chinese": chinese, "by_language": by_language, "power": power, "people": people,
    "age": age, "code": code, "citation": citation,
}  # fmt: skip
"""What ``functions`` of the table and of a user's file may name."""
