"""Wikitext to text: snippets with the text they should leave, and agreement with mwparserfromhell's tree."""

from __future__ import annotations

import time

import mwparserfromhell
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megadata.corpus.sources.templates import template_rules
from megadata.corpus.sources.wikibraces import outermost, split_arguments
from megadata.corpus.sources.wikitext import MAX_CHARACTERS, Wikitext, WikitextError

GOLDEN = {
    # Inline markup.
    "'''Ada''' was ''very'' good.": "Ada was very good.",
    "l''''homme''' d'Arc''s'' '''''both'''''": "l'homme d'Arcs both",
    "A&nbsp;b &ndash; c &amp; d &lt;e&gt; &#8364;5": "A b – c & d <e> €5",
    "x<sup>2</sup> + 10<sup>−6</sup>, H<sub>2</sub>O, 19<sup>th</sup>": "x² + 10⁻⁶, H₂O, 19th",
    "one<br>two<br />three": "one\ntwo\nthree",
    'a <span style="color:red">b</span> <small>c</small> <div class="x">d</div>': "a b c\nd",
    'a<span style="display:none">hidden</span>b': "ab",
    "__NOTOC__Text __init__ stays": "Text __init__ stays",
    "a <!-- note {{x}} [[y]] --> b": "a b",
    "a <!-- never closed": "a",
    "<nowiki>[[not a link]] {{nor a template}}</nowiki>": "[[not a link]] {{nor a template}}",
    "<code>x = [1]</code>": "x = [1]",
    'Code:\n<source lang="c">\nif (a &lt; b)\n    [[c]]\n</source>\nEnd': "Code:\n\nif (a < b)\n    [[c]]\n\nEnd",
    "-{zh-hans:汉语;zh-hant:漢語}-": "汉语",
    # Links.
    "A [[cat]], [[dog|hound]]s, [[Paris (Texas)|]], [[:Category:Birds]].": "A cat, hounds, Paris, Category:Birds.",
    "[[Help:Contents|help]] and [[wikt:word|word]]": "help and word",
    "[http://x.org the site] and [http://y.org] and http://z.org": "the site and and http://z.org",
    "See [[the|''cat'']]": "See cat",
    "a [[unclosed link": "a unclosed link",
    "a ]] b }} c": "a b c",
    "[[File:A.jpg|thumb|200px|A [[cat]] and {{convert|5|km}}]]Text": "Text",
    "[[Datei:A.jpg|mini]]Text [[Bild:B.png]]": "Text",
    "[[Quelquechose:B.svg|vignette]]Text": "Text",
    "Text [[Category:Birds|*]]\n[[de:Vögel]]\n[[zh-min-nan:Chiáu]]": "Text",
    "Text\n[[వర్గం:జర్మనీ]]\n[[వర్గం:నగరాలు|x]] [[bat-smg:X]]": "Text",
    "[[2001: A Space Odyssey]] is a film": "2001: A Space Odyssey is a film",
    # Templates that carry text.
    "{{convert|5|km|mi}} long": "5 kilometres (3.1 mi) long",
    "{{convert|5|to|10|km2|abbr=on}}": "5 to 10 km² (1.9 to 3.9 sq mi)",
    "{{convert|1.5|-|2|C|F}}": "1.5–2 °C (34.7–36 °F)",
    "{{convert|6|ft|2|in|m}} tall": "6 feet 2 inches (1.88 m) tall",
    "{{convert|3|x|4|m}}": "3 × 4 metres (9.8 × 13 ft)",
    "{{cvt|1,500|sqmi}}": "1,500 sq mi (3,900 km²)",
    "{{frac|1|2}} {{sfrac|3|4|5}} {{frac|7}}": "1/2 3 4/5 1/7",
    "{{formatnum:1234567.8}} {{formatnum|42}}": "1,234,567.8 42",
    "{{val|1.5|0.2|e=6|ul=m/s2}}": "1.5 ± 0.2 × 10⁶ m/s²",
    "{{birth date|1815|12|10}} {{dda|df=yes|1852|11|27|1815|12|10}}": "December 10, 1815 27 November 1852 (aged 36)",
    "{{start date|2004|07}}": "July 2004",
    "{{nowrap|10 000 people}} {{lang|fr|''bonjour''}} {{lang-de|Haus}}": "10 000 people bonjour Haus",
    "{{transl|ar|ISO|kitāb}} {{IPA|/kæt/}} {{IPAc-en|ˈ|k|æ|t}} {{IPA-fr|ʃa}}": "kitāb /kæt/ /ˈkæt/ [ʃa]",
    "{{circa|1900}} {{US$|5}} {{mdash}} {{'}}": "c. 1900 US$5 — '",
    "{{quote|Know thyself.|Thales}}": "Know thyself.\n— Thales",
    "{{ubl|one|two}}": "- one\n- two",
    "{{plainlist|\n* one\n* two\n}}": "- one\n- two",
    "{{nowrap|{{convert|{{formatnum:5}}|km}} [[far|away]]}}": "5 kilometres (3.1 mi) away",
    "{{nihongo|Jusenkyo|呪泉郷}} {{as of|2017}} {{As of|2017|5|lc=y}}": "Jusenkyo (呪泉郷) As of 2017 as of May 2017",
    "{{harvtxt|Artin|1970}} {{harvtxt|A|B|C|1999}}": "Artin (1970) A, B & C (1999)",
    "{{lang|1=fr|2=a=b}}": "a=b",
    "{{uc:abc}} {{lcfirst:ABC}} {{PAGENAME}}": "ABC aBC The page",
    "{{{1|a default}}} {{{name}}}b": "a default b",
    # Templates that leave nothing, and what they leave around them.
    "{{Infobox person\n| name = Ada\n| born = {{birth date|1815|12|10}}\n}}\n'''Ada''' was": "Ada was",
    "Ada ({{unknown|x}}) was": "Ada was",
    "Ada ({{lang-fr|Ade}}; {{listen|a.ogg}}) was": "Ada (Ade) was",
    "Ada ({{listen|a.ogg}}, born 1815) was": "Ada (born 1815) was",
    "A call f() and {{unknown}}, too.": "A call f() and, too.",
    "{{Navbox|list1 = [[a]] {{b|{{c}}}}}}Text": "Text",
    "{{#if:x|yes|no}}Text{{#tag:ref|note}}": "yesText",
    "{{unclosed template|text": "unclosed template|text",
    "{{a}}\n{{b}}\nText\n{{c}}": "Text",
    # What stands around several templates, and before or behind one.
    'huve".<ref name=S/>, <ref name=B/>, <ref name=T/>, Text': 'huve". Text',
    '153 музеи.<ref name="f"/> . Ансам': "153 музеи. Ансам",
    "to <ref>x</ref>. Mot <ref/> : suite {{g}} !": "to. Mot : suite !",
    "* ALBs: {{lbb|M}}, {{lbb|S}} and {{lbb|T}}\n* Marcus, {{arx|1}}; also": "- ALBs:\n- Marcus; also",
    "* {{foo}}, ISBN 123-X\n* {{foo}} – 230 pages\n* {{foo}}, or\n* {{foo}}. First of a series": "- First of a series",
    "* {{foo}}, {{foo}}; {{foo}} text\n{{foo}}, was": "- text\nwas",
    "x (see {{a}}) y (a, {{b}}, c) ({{c}}) z ({{d}}; w)": "x (see) y (a, c) z (w)",
    "As the U.S. {{a}} does, too . It has it .": "As the U.S. does, too . It has it .",
    "([http://x.org])! {{IPA|[ˈliːn ]}} {{nihongo|autore|原作者,|''gensakusha''}}": "! [ˈliːn] autore (原作者, gensakusha)",
    # Citations: in a bibliography and in the text; in references they go.
    "About cells and {{cite book|last=A|title=The Book|year=1999}}.": "About cells and A (1999). The Book.",
    "* {{cite book|last=S|first=J|title=Big|location=London|publisher=P|isbn=1}}, 3rd": "- S, J. Big. London: P, 3rd",
    "* {{Cite journal|last1=Lewis|first1=PR|last2=Q|first2=R|title=On Cells|journal=[[Polymer]]|date=May 1972|volume=13|issue=1"
    "|pages=20–26|doi=1}}": "- Lewis, PR; Q, R (May 1972). “On Cells”. Polymer 13 (1): 20–26.",
    "* {{cite web|url=http://x|title=Hello?|work=Kick|date=2001-05-06|access-date=2}}": "- “Hello?” Kick. 2001-05-06.",
    "{{cite book|editor1-last=Z|editor1-first=Q|chapter=Ch|title=TT|author=B|year=1}}": "B (1). “Ch”. In Z, Q (ed.). TT.",
    "{{cite book|editor=Z|title=TT|edition=2nd}}<ref>{{cite book|title=x}}</ref> {{cite book}}": "Z, ed. TT (2nd ed.).",
    "{{citation|des mots}} {{Citation|last=A|title=T}}": "« des mots » A. T.",
    "* {{Literatur|Autor=[[S K]]|Titel=Die Deutung|Verlag=V|Ort=Berlin|Jahr=2010}}": "- S K (2010). Die Deutung. Berlin: V.",
    "* {{Ouvrage|nom1=Hugo|prénom1=Victor|titre=Les Mis|année=1862|éditeur=L}}": "- Hugo, Victor (1862). Les Mis. L.",
    "* {{ref-llibre|cognom=Hugo|nom=Victor|títol=Els Mis|any=1862}}": "- Hugo, Victor (1862). Els Mis.",
    # References and other extension tags.
    'Fact.<ref>{{cite web|url=http://x}}</ref> More<ref name="a" /> text<ref name=b>x</ref>.': "Fact. More text.",
    "Text<ref>never closed": "Textnever closed",
    "<gallery>\nFile:a.jpg|b\n</gallery>Text<references/>": "Text",
    "<poem>one\ntwo</poem>": "one\ntwo",
    # Maths.
    "The area is <math>\\pi r^2</math>.": "The area is $\\pi r^2$.",
    '<math display="block">\\frac{1}{2}\n+ {{a}}</math>': "$$\\frac{1}{2} + {{a}}$$",
    "{{math|''x'' {{=}} {{mvar|y}}}} and {{sqrt|2}}": "x = y and √2",
    ":<math>a^2</math>,\n::<math>b</math> and <math>c</math>": "$$a^2$$,\n  $b$ and $c$",
    "CO<sub>2,</sub> and x<sup>k,</sup>": "CO₂, and x^k,",
    "<chem>H2O</chem>": "$\\ce{H2O}$",
    # Tables.
    '{| class="wikitable"\n! a !! b\n|-\n| {{convert|1|km}} || [[c]]\n|}\nText': "Text",
    "Before\n{|\n| a\n{|\n| nested\n|}\n| b\n|}\nAfter": "Before\nAfter",
    ":{|\n|x\n|}\nText": "Text",
    "Text\n{|\n| never closed\n== Next ==\nMore": "Text\n\nNext\n\nMore",
    "<table><tr><td>a<table><tr><td>b</td></tr></table></td></tr></table>Text": "Text",
    # Lines.
    "== History ==\nText\n=== Early ===\nMore": "History\n\nText\n\nEarly\n\nMore",
    "Text\n== See also ==\n{{Portal}}\n== References ==\n{{reflist}}": "Text",
    "== A ==\n=== B ===\nText\n== C ==\n": "A\n\nB\n\nText",
    "* one\n** two\n# first\n# second\n#* below\n# third": "- one\n  - two\n1. first\n2. second\n  - below\n3. third",
    "; term\n: definition": "term\ndefinition",
    "Text\n== External links ==\n* [http://x.org Site]\n* [http://y.org Other] here": "Text",
    "----\nText": "Text",
    "a\n\n\n\nb": "a\n\nb",
    "== Set theory = good ==\nx": "Set theory = good\n\nx",
}


@pytest.mark.parametrize("source", GOLDEN)
def test_wikitext_leaves_the_text_a_reader_sees(source: str) -> None:
    assert Wikitext().text(source, "The page") == GOLDEN[source]


def test_names_of_files_and_categories_come_from_the_dump() -> None:
    converter = Wikitext([(6, "Fails"), (14, "Kategoreja"), (4, "Vikipedeja"), (0, "")], "ltg")
    assert converter.text("[[Fails:A.xyz|thumb|x]]Teksts [[Kategoreja:B]] [[Vikipedeja:C]]") == "Teksts Vikipedeja:C"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("#REDIRECT [[A]]", True),
        ("#redirect: [[A]]", True),
        (" #WEITERLEITUNG [[A]]", True),
        ("#перенаправление [[A]]", True),
        ("#転送 [[A]]", True),
        ("# a list item with a [[link]]", False),
        ("Text #REDIRECT [[A]]", False),
    ],
)
def test_redirects_are_seen_in_any_language(source: str, expected: bool) -> None:
    assert Wikitext.is_redirect(source) is expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("A may refer to:\n{{disambiguation}}", True),
        ("{{Begriffsklärung}}", True),
        ("{{ Homonymie |x}}", True),
        ("{{disambig-cjk}}", True),
        ("{{Disambiguation needed}}", True),
        ("{{Disambigua}}", True),
        ("{{dabble}} {{dpa}}", False),
    ],
)
def test_disambiguations_are_seen_by_their_template(source: str, expected: bool) -> None:
    assert Wikitext().is_disambiguation(source) is expected


def test_pages_beyond_the_limit_are_refused() -> None:
    with pytest.raises(WikitextError, match=f"{MAX_CHARACTERS + 1} characters of wikitext, at most {MAX_CHARACTERS}"):
        Wikitext().text("x" * (MAX_CHARACTERS + 1))


HOSTILE = (
    "{{", "}}", "[[", "]]", "{|\n", "|}\n", "'''", "<ref>", "</ref>", "<math>", "<!--", "{{a|", "[[File:a.jpg|", "<div>",
    "<table>", "-{", "[http://x ", "=", "\n==a", "\n*#:;*", "{{{", "{{nowrap|", "(\x01", "( {{x}} ", "&", "__",
    "<span style='display:none'>", "{{#if:", "<sup>", "[[a|", "\n{|\n|}", "<li>", "{{lang|fr|",
)  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_is_bounded_for_hostile_pages(piece: str) -> None:
    source = (piece * 200_000)[:400_000]
    start = time.perf_counter()
    Wikitext().text(source)
    assert time.perf_counter() - start < 8


def test_deep_nesting_ends_without_a_stack_overflow() -> None:
    depth = 5000
    assert Wikitext().text("{{nowrap|" * depth + "core" + "}}" * depth) == ""
    assert Wikitext().text("{{nowrap|" * 30 + "core" + "}}" * 30) == "core"
    assert Wikitext().text("[[a|" * depth + "core" + "]]" * depth) == "core"


WORDS = st.sampled_from(["a", " b ", "x=y", "\n", "é", "1", "|", "=", ":", "it's"])


def _balanced(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    parts = st.lists(children, min_size=1, max_size=4).map("".join)
    name = st.sampled_from(["nowrap", "Infobox x", "lang", "b c"])
    return st.one_of(
        st.tuples(name, parts).map(lambda p: "{{" + p[0] + "|" + p[1] + "}}"),
        st.tuples(name, parts).map(lambda p: "[[" + p[0] + "|" + p[1] + "]]"),
    )


MARKUP = st.lists(st.recursive(WORDS, _balanced, max_leaves=15), max_size=8).map("".join)


@given(source=MARKUP)
def test_templates_begin_and_end_where_mwparserfromhell_finds_them(source: str) -> None:
    tree = mwparserfromhell.parse(source, skip_style_tags=True)
    expected = [str(t) for t in tree.filter_templates(recursive=False)]
    links = [str(link) for link in tree.filter_wikilinks(recursive=False)]
    found = [source[a:b] for a, b in outermost(source)]
    # Ours looks into links as well, since templates are replaced before links.
    assert [t for t in found if not any(t in link for link in links)] == [
        t for t in expected if not any(t in link for link in links)
    ]


@given(source=MARKUP)
def test_arguments_are_those_of_mwparserfromhell(source: str) -> None:
    for template in mwparserfromhell.parse(source, skip_style_tags=True).filter_templates():
        ours = {name.strip(): value for name, value in split_arguments(str(template)[2:-2])}
        theirs = {str(p.name).strip(): str(p.value) for p in template.params}
        assert ours == theirs


@given(source=st.lists(st.sampled_from([*HOSTILE, "a", " ", "\n", "|", "b c", "x.", "1"]), max_size=40).map("".join))
def test_no_markup_is_left_whatever_the_source(source: str) -> None:
    text = Wikitext().text(source)
    if "<math>" not in source:
        for mark in ("{{", "}}", "[[", "]]", "{|", "|}", "<ref", "\x01", "\x02", "\x03", "\x04"):
            assert mark not in text
    assert text == text.strip()


@given(source=MARKUP)
def test_text_without_markup_is_a_fixed_point(source: str) -> None:
    once = Wikitext().text(source)
    assert "{{" not in once
    if not any(c in once for c in "=:*#;'&"):
        assert Wikitext().text(once) == once


def test_names_of_citations_and_of_their_parameters_are_a_table_that_a_user_extends() -> None:
    own = {"functions": {"citation": ["Kniga"]}, "citations": {"title": ["Naziv"], "author": ["pisac"]}}
    source = "{{Kniga|Naziv=Gora|Pisac1=A|pisac2=B|godina=1999}} {{cite book|title=The Hill|year=1}}"
    assert Wikitext(own=own).text(source) == "A; B (1999). Gora. The Hill. 1."


def test_every_rule_of_the_table_gives_text() -> None:
    assert len(template_rules()) > 250
    converter = Wikitext()
    for name in template_rules():
        if "=" not in name and "|" not in name and "{" not in name:
            converter.text("{{" + name + "|1|2|3|text=x}}")
