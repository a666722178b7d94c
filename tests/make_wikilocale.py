"""Writes ``wikilocale.yaml``: months, dates and numbers by language, from Unicode CLDR (Unicode licence) as babel carries it.

::

    python tests/make_wikilocale.py > megadata/corpus/sources/wikilocale.yaml
"""

from __future__ import annotations

import re

import babel
import yaml
from babel import Locale, localedata
from babel.core import UnknownLocaleError

WIKIS = """
af als am an ar arz as ast az azb ba bar be bg bn br bs ca ce ceb ckb co cs cv cy da de el en eo es et eu fa
fi fo fr fy ga gd gl gu he hi hr hsb ht hu hy ia id ig io is it ja jv ka kk km kn ko ku ky la lb li lmo ltg lt
lv mg mk ml mn mr ms my mzn nap nds ne new nl nn no oc or os pa pl pms pnb ps pt qu ro ru sa sah scn sco sd sh
si simple sk sl so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vec vi vo war wuu yi yo yue zh zh-min-nan
zu
""".split()  # noqa: SIM905
STANDS_FOR = {
    "als": "gsw", "arz": "ar", "azb": "fa", "bar": "de", "no": "nb", "sh": "sr_Latn", "simple": "en", "sco": "en", "tl": "fil",
    "pnb": "ur", "wuu": "zh", "zh-min-nan": "zh", "ltg": "lv", "war": "fil", "vec": "it", "lmo": "it", "nap": "it", "pms": "it",
    "an": "es", "sa": "hi", "new": "ne", "mzn": "fa", "ht": "fr", "li": "nl",
}  # fmt: skip
WIDE_GROUPS = ("bg", "es", "pl", "pt")
"""Languages in which MediaWiki sets no separator in numbers of four digits (its ``minimumGroupingDigits``)."""


def slots(pattern: str) -> str:
    """A CLDR date pattern as a format string of day, month and year."""
    pattern = re.sub(r"'([^']*)'", lambda m: m[1].replace("d", "\1").replace("y", "\2").replace("M", "\3"), pattern)
    pattern = re.sub(r"\s[гр]\.$", "", pattern)  # the word for year is said in forms, not in sentences
    pattern = re.sub(r"\s*G+\s*|\s*E+,?\s*", "", pattern)
    names = {"d": "{day}", "y": "{year}", "M": "{month}", "L": "{month}"}
    pattern = re.sub(
        r"d+|y+|M+|L+", lambda m: "{number}" if m[0] in ("M", "MM", "L", "LL") else names[m[0][0]], pattern
    )
    return pattern.replace("\1", "d").replace("\2", "y").replace("\3", "M").replace("\xa0", " ").replace("\u202f", " ")


def entry(code: str) -> dict[str, object] | None:
    """What one language needs; None where CLDR has no more than English for it."""
    try:
        localedata._cache.clear()  # babel resolves aliases inside what it has loaded, for whichever language came first
        locale = Locale.parse(STANDS_FOR.get(code, code), sep="_")
    except (UnknownLocaleError, ValueError):
        return None
    form, alone = locale.months["format"]["wide"], locale.months["stand-alone"]["wide"]
    if str(form[1]).startswith("M0") or str(form[1]) == "1":
        return None
    long = slots(locale.date_formats["long"].pattern)
    skeletons = locale.datetime_skeletons
    one = {
        "months": [str(form[n]) for n in range(1, 13)],
        "date": long,
        "month_year": slots(skeletons["yMMMM"].pattern) if "yMMMM" in skeletons else "{month} {year}",
        "day_month": slots(skeletons["MMMMd"].pattern) if "MMMMd" in skeletons else "{day} {month}",
        "decimal": locale.number_symbols["latn"]["decimal"],
        "group": locale.number_symbols["latn"]["group"].replace("\u202f", "\xa0"),
    }
    if dict(alone) != dict(form):
        one["alone"] = [str(alone[n]) for n in range(1, 13)]
    if code in WIDE_GROUPS:
        one["least_grouped"] = 10000
    return one


def main() -> None:
    """Print the table, a language a line."""
    print(
        f"# Months, dates and numbers by language of a wiki: CLDR through babel {babel.__version__} (tests/make_wikilocale.py)."
    )
    for code in WIKIS:
        if (found := entry(code)) is not None:
            line = yaml.dump(found, default_flow_style=True, allow_unicode=True, width=10**6, sort_keys=False).strip()
            print(f"{code!r}: {line}")


if __name__ == "__main__":
    main()
