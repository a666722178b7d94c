"""Damaged files of every kind: no exception, no hang, and the same documents and counts whatever the spans."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_support import Seed, check, run, seeds, warm
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sources_support import dump_head, dump_page, page

from megadata.documents.registry import OURS

pytestmark = pytest.mark.timeout(600)
PIECES = {
    "html": r"""<p> </p> <div> </div> <b> </i> <li> <ul> <table> <td> <tr> <pre> <code> <math> <script> </script> <style> <!-- -->
        <![CDATA[ ]]> <a href= <br/> <h1> <nav> <textarea> <title> <svg> &amp; &#0; &#xD800; &nbsp &lt; < > " ' = word 漢字 .""",
    "mediawiki": r"""{{ }} {{{ }}} [[ ]] [[File: | || |- {| |} ! !! ''' '' == === * # : ; <ref> </ref> <nowiki> </nowiki>
        <math> </math> <!-- --> {{#if: {{convert|1|km}} {{lang|de| http://x ] [ = ~~~~ __TOC__ &nbsp; &#91; &#0; 漢字""",
}


def soup(kind: str) -> st.SearchStrategy[str]:
    """Text in which marks of a language stand beside one another in any order."""
    piece = st.sampled_from([*PIECES[kind].split(), " ", "\n", "\0", "\ufeff", "\u2028"]) | st.text(max_size=4)
    return st.lists(piece, max_size=60).map("".join)


@pytest.fixture(scope="module")
def warmed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Every seed read once as it is: kernels are compiled then, and not inside a bounded case."""
    return warm(tmp_path_factory.mktemp("seeds"))


def test_every_kind_has_a_seed_and_every_seed_gives_documents(warmed: dict[str, int]) -> None:
    assert {one.kind for one in seeds()} == set(OURS)
    assert [name for name, documents in warmed.items() if not documents] == []


def test_damaged_files_end_in_documents_and_counts(tmp_path: Path, warmed: dict[str, int]) -> None:
    tally = run(tmp_path, 1, range(2000))
    assert tally.failures == []
    assert all(tally.read[kind] and tally.refused[kind] for kind in OURS)


@hypothesis_settings(max_examples=150)
@given(text=soup("html"))
def test_soup_of_tags_is_read(tmp_path: Path, warmed: dict[str, int], text: str) -> None:
    path = tmp_path / "a.html"
    path.write_bytes(page(text).encode("utf-8", "surrogatepass"))
    check(path, Seed("html", path.name, b""), [1 << 30])


@hypothesis_settings(max_examples=100)
@given(texts=st.lists(soup("mediawiki"), min_size=1, max_size=3))
def test_soup_of_wikitext_is_read(tmp_path: Path, warmed: dict[str, int], texts: list[str]) -> None:
    path = tmp_path / "d.xml"
    pages = [dump_page(number, text) for number, text in enumerate(texts, 1)]
    path.write_bytes((dump_head() + "".join(pages) + "</mediawiki>").encode("utf-8", "surrogatepass"))
    check(path, Seed("mediawiki", path.name, b""), [512])


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 22))
def test_a_hundred_thousand_damaged_files_end_in_documents_and_counts(
    tmp_path: Path, warmed: dict[str, int], seed: int
) -> None:
    tally = run(tmp_path, seed, range(5000), real=True)
    print(tally.table())
    assert tally.failures == []
