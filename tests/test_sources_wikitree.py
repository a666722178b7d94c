"""Wikitext to text against a walk of mwparserfromhell's tree: on generated pages, and on every page of the real dumps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import mwparserfromhell
import oracles_wikitext
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources_support import input_file

from megadata.corpus.sources.mediawiki import read_site
from megadata.corpus.sources.wikitext import Wikitext
from megadata.documents.inputs import expand
from megadata.runtime.streams import open_decoded

Page = tuple[Wikitext, str, str]

WORDS = st.sampled_from(["a ", "b", " c", "1", "é", ", ", "(", ")", "x y", "\n", "\n\n", ".", "it's", "&amp;", "5 km"])
LINES = st.sampled_from(["\n* one\n", "\n== Part ==\n", "\n# first\n", "\n; t\n: d\n", "\n----\n"])


def _nested(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    inside = st.lists(children, min_size=1, max_size=3).map("".join)
    flat = inside.map(lambda text: text.replace("\n", " ").replace("=", "-"))
    template = st.sampled_from(["nowrap", "Infobox x", "lang|fr", "convert|5|km", "small", "unknown", "IPA", "#if:a"])
    tag = st.sampled_from(["span", "small", "sub", "sup", "ref", "b"])
    return st.one_of(
        st.tuples(template, flat).map(lambda p: "{{" + p[0] + "|" + p[1] + "}}"),
        st.tuples(st.sampled_from(["Cat", "Help:X", "Paris (Texas)"]), flat).map(lambda p: f"[[{p[0]}|{p[1]}]]"),
        st.tuples(tag, flat).map(lambda p: f"<{p[0]}>{p[1]}</{p[0]}>"),
        flat.map(lambda text: f"[http://x.org {text.replace('[', '').replace(']', '')}]"),
        flat.map(lambda text: f"\n{{|\n| {text}\n|}}\n"),
        st.just("<math>x^2 + {{y}}</math>"),
        st.just("<!-- note {{a}} -->"),
        st.just("[[File:A.jpg|thumb|a [[cat]]]]"),
        st.just("<nowiki>[[x]]</nowiki>"),
    )


PAGES = st.lists(st.one_of(st.recursive(WORDS, _nested, max_leaves=10), LINES), max_size=8).map("".join)


@given(source=PAGES)
def test_generated_pages_agree_with_the_tree(source: str) -> None:
    converter = Wikitext()
    theirs = oracles_wikitext.text(converter, source)
    ours = converter.text(source)
    if ours != theirs:
        assert _class_of(source, ours, theirs) is not None, (ours, theirs)


@given(source=st.lists(st.one_of(WORDS, LINES), max_size=30).map("".join))
def test_pages_without_templates_tables_or_links_need_no_tree(source: str) -> None:
    assert "{{" not in source
    assert "[[" not in source
    assert "{|" not in source
    assert Wikitext().text(source) == oracles_wikitext.text(Wikitext(), source)


def _class_of(source: str, ours: str, theirs: str) -> str | None:
    """Why a page's two texts differ, where it is the tree that is wrong; None where nobody knows."""
    tree = mwparserfromhell.parse(source, skip_style_tags=True)
    plain = "".join(map(str, tree.filter(forcetype=mwparserfromhell.nodes.Text)))
    if re.search(r"^[ \t:*#]*\{\|", plain, re.MULTILINE):
        return "a table that the tree gives up"
    if "{{" in plain:
        return "braces that the tree leaves as text"
    if "[[" in plain:
        return "a link that the tree gives up: its target spans lines or its text holds an open link"
    return None


def _pages(path: Path) -> Iterator[Page]:
    """Articles of a dump with the converter of their wiki."""
    site = read_site(input_file(path, "mediawiki"))
    converter = Wikitext(site.namespaces, site.language)
    with open_decoded(str(path)) as stream:
        data = stream.read()
    for page in re.findall(rb"<page>.*?</page>", data, re.DOTALL):
        element = ElementTree.fromstring(page)
        source = element.findtext("revision/text") or ""
        if element.findtext("ns") in ("0", None) and not converter.is_redirect(source) and len(source) < 120_000:
            yield converter, element.findtext("title") or "", source


KNOWN = {
    "a table that the tree gives up": 14,
    "braces that the tree leaves as text": 2,
    "a link that the tree gives up: its target spans lines or its text holds an open link": 6,
}
"""Most pages of each class in the real dumps."""


def _compare(pages: Iterator[Page]) -> tuple[int, Counter[str]]:
    equal = 0
    different: Counter[str] = Counter()
    for converter, title, source in pages:
        ours, theirs = converter.text(source, title), oracles_wikitext.text(converter, source, title)
        if ours == theirs:
            equal += 1
        else:
            why = _class_of(source, ours, theirs)
            assert why is not None, (title, ours[:500], theirs[:500])
            different[why] += 1
    return equal, different


def test_every_page_of_the_small_dumps_agrees_with_the_tree(real_data: Path) -> None:
    folder = real_data / "wikipedia"
    paths = [*sorted((folder / "dbpedia-minidumps").iterdir())[::4], folder / "camchenry-wikidump/simplewiki.xml.bz2"]
    equal, different = _compare(page for path in paths for page in _pages(path) if "wikidata" not in path.name)
    assert equal >= 25
    assert all(n <= KNOWN[why] for why, n in different.items()), different


@pytest.mark.long
def test_every_page_of_every_dump_agrees_with_the_tree(real_data: Path) -> None:
    files = [
        f for f in expand([str(real_data / "wikipedia")]).files if f.kind == "mediawiki" and "wikidata" not in f.name
    ]
    equal, different = _compare(page for file in files for page in _pages(Path(file.path)))
    assert equal > 2000
    assert all(n <= KNOWN[why] for why, n in different.items()), different
