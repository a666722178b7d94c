"""Wiki pages read by hand: sentences that twenty pages of real dumps show, and every construct in snippets of our own."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from pathlib import Path

import pytest
from sources_support import read

from megadata.corpus.sources.wikifunctions import evaluate
from megadata.corpus.sources.wikitext import Wikitext
from megadata.documents.inputs import expand

READ_BY_HAND = {
    ("gensim/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2", "Alaska"): [
        "about 500 miles (800 km) of British Columbia",
        "Alaska (/əˈlæskə/) is",
    ],
    ("gensim/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2", "Apollo 11"): [
        "collected 47.5 pounds (21.5 kg) of lunar material",
        "13°19′N 169°9′W",
    ],
    ("gensim/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2", "Algeria"): [
        "an area of 2,381,741 square kilometres (919,595 sq mi)",
        "Mount Tahat (3,003 m)",
        "الجزائر",
    ],
    ("gensim/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2", "Abraham Lincoln"): [
        "title to 230 acres (93 ha) of land",
        'drawing on Mark 3:25, "A house divided',
    ],
    ("gensim/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2", "Atlantic Ocean"): [
        "354,700,000 cubic kilometers (85,100,000 cu mi)",
        "3,339 metres (1,826 fathoms; 10,950 ft)",
    ],
    ("gensim/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2", "Albedo"): [
        "Albedo (/ælˈbiːdoʊ/) or reflection coefficient",
        "$A =\\left ( \\frac{1329\\times10^{-H/5}}{D} \\right ) ^2$",
    ],
    ("dbpedia-minidumps/enwiki.xml.bz2", "Berlin"): [
        "Berlin (/bɜːrˈlɪn/ bur-LIN, [bɛʁˈliːn]) is the capital",
        "from 66 to 883 km² (25 to 341 sq mi)",
        "at 122 meters (400 ft) elevation",
    ],
    ("dbpedia-minidumps/enwiki.xml.bz2", "Ranma ½"): ["cursed springs at Jusenkyo (呪泉郷)"],
    ("dbpedia-minidumps/enwiki.xml.bz2", "Mini (Mark I)"): [
        "to 997 cc (1.0 L), boosting power from 34 bhp (25 kW) to 55 bhp (41 kW)"
    ],
    ("dbpedia-minidumps/dewiki.xml.bz2", "Arthur Schopenhauer"): ["schreibt Schopenhauer: „Es liegt am Tage, daß"],
    ("dbpedia-minidumps/huwiki.xml.bz2", "Berlin"): ["Berlin legalább 180,000 török"],
    ("dbpedia-minidumps/itwiki.xml.bz2", "Berlino"): ["una superficie complessiva di 3 743,21 km²"],
    ("dbpedia-minidumps/skwiki.xml.bz2", "Berlín"): ["je 34 m n. m. Najvyšší bod tvorí Teufelsberg, 115 m n. m."],
    ("dbpedia-minidumps/kowiki.xml.bz2", "베를린"): ["베를린(Berlin [bɛɐˈliːn])은", "인구 3,562,166명"],
    ("dbpedia-minidumps/zhwiki.xml.bz2", "柏林"): ["柏林（Berlin[bɛʁˈliːn]）是", "总人口共有3,405,259人"],
    ("dbpedia-minidumps/hiwiki.xml.bz2", "बर्लिन"): ["इसकी जनसंख्या 34 लाख है"],
    ("dbpedia-minidumps/yiwiki.xml.bz2", "בערלין"): ["באפעלקערונג פון 3,574,830 (סוף 2016)"],
    ("json-wikipedia-it/it_small-dump.xml.gz", "Anno luce"): ["corrisponde a circa 3,26 anni luce"],
    ("json-wikipedia-it/it_small-dump.xml.gz", "Calendario gregoriano"): ["cioè 4.000, 8.000, 12.000 e così via"],
    ("camchenry-wikidump/enwiki-10k.xml.bz2", "Moishezon manifold"): [
        "Artin (1970) showed that any",
        "Moishezon (1966) showed that",
    ],
    ("gensim/bgwiki-latest-pages-articles-shortened.xml.bz2", "Григориански календар"): [
        "$365,2425=365+0,25-0,01+0,0025=365+\\frac{1}{4}"
    ],
    ("special-export/etwiki-andresmit-wiki.xml", "Abhaasia"): [
        "edastati Abhaasia televisioonis informatsioon",
        'huve kahjustamata".',
    ],
    ("gensim/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2", "Agriculture"): [
        "releasing CO₂, and reduces the abundance",
    ],
    ("gensim/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2", "Andrei Tarkovsky"): [
        "- Dunne, Nathan (2008). Tarkovsky. Black Dog Publishing."
    ],
    ("dbpedia-minidumps/mkwiki.xml.bz2", "Берлин"): ["153 музеи. Ансамблот"],
    ("dbpedia-minidumps/cawiki.xml.bz2", "Berlín"): ["[bɛɐ̯.ˈliːn])"],
}
"""(dump, title): what the page shows a reader, compared by hand with its source."""


def test_numbers_dates_and_names_of_pages_compared_by_hand_survive(real_data: Path) -> None:
    dumps = {name: read(real_data / "wikipedia" / name, "mediawiki")[0] for name in {d for d, _ in READ_BY_HAND}}
    for (dump, title), sentences in READ_BY_HAND.items():
        (text,) = {d["text"] for d in dumps[dump] if f'"title":"{title}"' in d["metadata"]}
        for sentence in sentences:
            assert sentence in text, (dump, title, sentence)


STUMP = re.compile(r"^ *(?:-|\d+\.) (?:[,;:]|\. |[–—] |(?:or|and)[,.]?$).*", re.MULTILINE)


def test_lists_of_every_dump_have_no_stumps_of_what_was_left_out(real_data: Path) -> None:
    dumps = [
        p for p in sorted((real_data / "wikipedia").rglob("*")) if re.search(r"\.xml(\.bz2|\.gz)?$|\.bz2$", p.name)
    ]
    texts = [d["text"] for dump in dumps for d in read(dump, "mediawiki")[0]]
    assert sum(text.count("\n- ") for text in texts) > 20_000
    assert [line for text in texts for line in STUMP.findall(text)] == []


MARKS = (
    "[[",
    "]]",
    "{{",
    "}}",
    "<ref",
    "thumb|",
    "</",
    "&amp;",
    "|thumb",
    "px|",
    "&nbsp;",
    "{|",
    "|}",
    "<br",
    *"\1\2\3\4\5\b\x0e",
)
MATHS = re.compile(r"\$\$.*?\$\$|\$[^$]*\$", re.DOTALL)


@pytest.mark.parametrize("tables", ["drop", "flatten"])
def test_pages_as_files_of_wikitext_leave_no_markup(real_data: Path, tables: str) -> None:
    """One of these files holds a page whose markup is escaped as in XML; it is unescaped first, as a dump's reader would."""
    left: Counter[str] = Counter()
    for path in sorted((real_data / "wikipedia/wtf_wikipedia-pages").iterdir()):
        source = path.read_text("utf-8")
        if "&lt;ref" in source:
            source = source.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
        text = MATHS.sub("", Wikitext(flatten_tables=tables == "flatten").text(source, path.stem))
        left.update(mark for mark in MARKS if mark in text)
    assert not left


GOLDEN = {
    # Conversions.
    ("en", "{{convert|3|ft|4|in|cm}} and {{convert|180|cm|ftin|abbr=on}}"): (
        "3 feet 4 inches (102 cm) and 180 cm (5 ft 11 in)"
    ),
    ("en", "a {{convert|10|mi|km|adj=on}} road, {{convert|1|mi}}"): "a 10-mile (16 km) road, 1 mile (1.6 km)",
    ("en", "{{convert|12|km|mi|sp=us|abbr=off}}"): "12 kilometers (7.5 miles)",
    ("en", "{{convert|40|kn|km/h mph}} {{convert|7|mi|km|disp=or}}"): "40 knots (74 km/h; 46 mph) 7 miles or 11 km",
    (
        "en",
        "{{convert|30|km|mi|order=flip}} {{convert|2.54|cm|in|3}}",
    ): "19 mi (30 kilometres) 2.54 centimetres (1.000 in)",
    ("en", "{{convert|-5|to|3|C}} {{convert|1+1/2|in}}"): "−5 to 3 °C (23 to 37 °F) 1 1/2 inches (38 mm)",
    ("en", "{{convert|4|gibbons}} {{convert|x|km}}"): "4 gibbons x km",
    ("en", "{{convert|1234|m|ft|sigfig=2}} {{convert|1234|m|ft|round=50}}"): (
        "1,234 metres (4,000 ft) 1,234 metres (4,050 ft)"
    ),
    ("de", "{{convert|1500|to|2500.5|km|mi}}"): "1.500–2.500,5 km (930–1.553,7 mi)",
    # Dates and numbers, in the words of the wiki.
    ("de", "{{birth date|1815|12|10}} {{formatnum:1234567.8}}"): "10. Dezember 1815 1.234.567,8",
    ("fr", "{{date de naissance|10|12|1815}}, {{date|14|juillet|1789}}"): "10 décembre 1815, 14 juillet 1789",
    ("es", "{{fecha|5|3|1900}} {{formatnum:1234}} {{formatnum:12345}}"): "5 de marzo de 1900 1234 12.345",
    ("ru", "{{дата|7|5|1840}} {{formatnum:10500}}"): "7 мая 1840 10\xa0500".replace("\xa0", " "),
    ("ja", "{{生年月日と年齢|1950|1|2}}"): "1950年1月2日",
    ("pl", "{{data|1|5|1900}} {{start date|1900|05}}"): "1 maja 1900 maj 1900",
    ("ar", "{{تاريخ الميلاد|1900|1|1}}"): "1 يناير 1900",
    ("en", "{{age|1815|12|10|1852|11|27}} {{start date|2004|07|01|df=y}}"): "36 1 July 2004",
    ("en", "x{{age|1969|07|20}} y"): "x y",
    ("fr", "{{unité|1500|km}} {{unité|10|m|2}} {{s|XIX|e}}"): "1 500 km 10 m² XIXe siècle",
    # Coordinates, chemistry, maths, scripts.
    ("en", "at {{coord|52|31|12|N|13|24|E|type:city}}{{coord|1|2|display=title}}"): "at 52°31′12″N 13°24′E",
    ("en", "{{chem|H|2|O}} {{chem2|H2SO4}} {{CO2}} <chem>CaCO3</chem>"): "H₂O H₂SO₄ CO₂ $\\ce{CaCO3}$",
    (
        "en",
        "x<sub>i</sub> V<sub>max</sub> 2<sup>k+1</sup> 19<sup>th</sup> 1<sup>er</sup>",
    ): "x_i V_max 2^(k+1) 19th 1er",
    ("en", "{{math|''e''{{sup|''x''}} {{=}} 1}} {{val|6.02|e=23|u=kg}} {{e|-5}}"): "e^x = 1 6.02 × 10²³ kg × 10⁻⁵",
    ("en", "{{NumBlk|:|<math>a</math>|{{EquationRef|1}}}} by ({{EquationNote|1}})"): "$a$ (1) by (1)",
    # Words of other languages.
    ("en", "{{langx|de|Haus}} {{IPA|fr|ʃa}} {{zh|s=汉|p=hàn}}"): "Haus [ʃa] simplified Chinese: 汉; pinyin: hàn",
    ("ru", "{{нп5|Foo|Фу}} {{не переведено|Бар}} {{цитата|Слово.|Автор}}"): "Фу Бар\nСлово.\n— Автор",
    ("ja", "{{仮リンク|猫|en|Cat}} {{読み仮名|漢字|かんじ}}"): "猫 漢字（かんじ）",
    ("zh", "-{zh-hant:漢語;zh-hans:汉语}- -{R|原文}--{H|zh-cn:a;zh-tw:b}-"): "汉语 原文",
    (
        "en",
        "{{harv|Reed|1972}} {{harvnb|Reed|1972}} {{harvs|txt|last=Reed|year=1972}}",
    ): "(Reed 1972) Reed 1972 Reed (1972)",
    # Functions and the page's own frame.
    (
        "en",
        "{{#if:|a|b}} {{#ifeq:1|1.0|same|other}} {{#switch:x|y=1|x|z=2|3}} {{#expr: 2 * (3 + 4) round 0}}",
    ): "b same 2 14",
    ("en", "a<br>\nb<br/>c</br>d"): "a\nb\nc\nd",
    ("en", "<onlyinclude>kept</onlyinclude><includeonly>not</includeonly> <noinclude>too</noinclude>"): "kept too",
    ("en", "<syntaxhighlight lang=c>if (a &lt; b) [[c]];</syntaxhighlight> <timeline>x</timeline><score>y</score>"): (
        "if (a < b) [[c]];"
    ),
    ("en", "a\n__TOC__\n{{DEFAULTSORT:b}}\nc"): "a\n\nc",
}


@pytest.mark.parametrize(("language", "source"), GOLDEN)
def test_constructs_read_as_on_the_wiki(language: str, source: str) -> None:
    assert Wikitext(language=language).text(source) == GOLDEN[language, source]


FLATTENED = {
    '{| class="wikitable"\n|+ Peaks\n! Name !! Height\n|-\n| [[A|Ay]] || {{convert|1|km}}\n|-\n| B\n| 2<br>3\n|}\nEnd': (
        "Peaks\nName | Height\nAy | 1 kilometre (0.62 mi)\nB | 2; 3\n\nEnd"
    ),
    '{|\n| style="x" | a\n|colspan=2| [[b|c]]\n|-\n|\n* one\n* two\n|}': "a | c\none; two",
    "{|\n| a\n|\n{|\n| b || c\n|-\n| d\n|}\n|}": "a | b, c; d",
    "{|\n! # !! Name\n|-\n| * || x\n|}": "# | Name\n* | x",
    '{| class="infobox"\n| a\n|}\nText': "Text",
    "{|\n| never closed\n== Next ==\nMore": "never closed\n\nNext\n\nMore",
    "<table><caption>T</caption><tr><th>a<td>b<tr><td>c<table><tr><td>d</table></table>E": "T\na | b\nc d\nE",
    "{|\n|-\n|}\nText": "Text",
}


@pytest.mark.parametrize("source", FLATTENED)
def test_flattened_tables_are_a_line_for_each_row(source: str) -> None:
    assert Wikitext(flatten_tables=True).text(source) == FLATTENED[source]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1+2*3", 7), ("(1+2)*3", 9), ("-2^2", 4), ("7 mod 4", 3), ("10/4 round 0", 3), ("1 = 1.0", 1), ("3 > 4 or 1", 1),
        ("not 0", 1), ("1e3", 1000), ("1/0", None), ("a", None), ("", None), ("(" * 900, None), ("9^9^9^9", None), ("1 +", None),
        ("2 * -3", -6), ("trunc 2.7", 2), ("1.25 round 1", 1.3),
    ],
)  # fmt: skip
def test_expressions_have_the_value_of_expr(expression: str, value: float | None) -> None:
    assert evaluate(expression) == value


def test_files_of_wikitext_are_pages_named_by_their_file(tmp_path: Path) -> None:
    source = "'''Ada''' was a [[writer]] of {{lang|fr|notes}}.<ref>x</ref>\n== Life ==\nShe was born.\n"
    for name in ("Ada_L.wiki", "b.wikitext", "c.mediawiki", "d.txt", "e.wiki.gz"):
        data = source.encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    (tmp_path / "plain.txt").write_text("A text [of] a wiki {without} markup.\n")
    (tmp_path / "doc.wiki").write_text('<doc id="1" url="u" title="t">\nt\n\nx\n</doc>')
    (tmp_path / "r.wiki").write_text("#REDIRECT [[Ada L]]")
    files = expand([str(tmp_path)], "wikipedia").files
    assert {f.name: f.kind for f in files if f.kind != "wikitext"} == {"plain.txt": "txt", "doc.wiki": "wikidoc"}
    assert {f.name: f.kind for f in expand([str(tmp_path)]).files}["d.txt"] == "txt"
    ((document,), _) = read(tmp_path / "Ada_L.wiki", "wikitext")
    assert document["text"] == "Ada was a writer of notes.\n\nLife\n\nShe was born."
    assert '"title":"Ada L"' in document["metadata"]
    none, problems = read(tmp_path / "r.wiki", "wikitext")
    assert (none, problems.counts) == ([], {"skipped:redirect": 1})


def test_saved_pages_of_a_wiki_are_recognised_where_the_user_says_so(real_data: Path) -> None:
    files = expand([str(real_data / "wikipedia/wtf_wikipedia-pages")], "wikipedia").files
    assert len(files) > 60
    assert {f.kind for f in files} == {"wikitext"}
