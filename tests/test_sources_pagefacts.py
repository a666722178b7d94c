"""What pages say of themselves in their heads, and in the metadata of their documents."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources_support import read, response_record

from megadata.corpus.sources.pagefacts import page_facts

HEAD = """<!doctype html><html class="no-js" lang="en-GB"><head><title>The flood &amp; after | The Mill News</title>
<meta name="viewport" content="width=device-width"><meta property="og:title" content="The flood &amp; after">
<meta name="author" content="Anna  Miller"><meta property="article:published_time" content="2024-05-06T07:08:09+02:00">
"""
LINKED = """<html><head><title>Flood</title><script type="application/ld+json">{"@type": "NewsArticle",
"datePublished": "2024-05-06", "author": [{"@type": "Person", "name": "Anna Miller"}]}</script></head>"""


def test_title_author_date_and_language_are_read() -> None:
    told = {
        "title": "The flood & after",
        "author": "Anna Miller",
        "date": "2024-05-06T07:08:09+02:00",
        "language": "en",
    }
    assert page_facts(HEAD) == page_facts(HEAD.encode()) == told
    assert page_facts(HEAD.replace('"', "'")) == told
    assert page_facts(LINKED) == {"title": "Flood", "author": "Anna Miller", "date": "2024-05-06"}
    assert page_facts("<TITLE>An old page</TITLE>") == {"title": "An old page"}


@pytest.mark.parametrize(
    "head",
    [
        "<p>no head",
        "<meta name='author' content='https://example.org/anna'>",
        "<meta name='author' content=''>",
        f"<meta name='author' content='{'x' * 300}'>",
        "<meta name='date' content='yesterday'>",
        "<html lang=''>",
        "<title></title>",
        "<title",
    ],
)
def test_what_is_no_title_author_date_or_language_is_left_out(head: str) -> None:
    assert page_facts(head) == {}


@given(head=st.text(st.sampled_from("<>\"'= \namethlgis:content&;"), max_size=200))
def test_any_head_tells_texts_or_nothing(head: str) -> None:
    assert all(isinstance(value, str) and value for value in page_facts(f"<meta {head}<html {head}").values())


@pytest.mark.parametrize(
    "unit", ["<meta ", '<meta name="author" content="', "<html", "<title>", '"author": {', "application/ld+json"]
)
def test_hostile_heads_are_read_in_bounded_time(unit: str) -> None:
    began = time.process_time()
    page_facts(unit * 200_000)
    assert time.process_time() - began < 2


def test_documents_carry_what_their_pages_say_and_archives_the_date_of_the_crawl(tmp_path: Path) -> None:
    html = f"{HEAD}</head><body><p>{'The river rose, and the bridge was closed before dawn. ' * 6}</body></html>"
    told = {"title": "The flood & after", "author": "Anna Miller", "language": "en"}
    (tmp_path / "page.html").write_text(html)
    (alone,), _ = read(tmp_path / "page.html", "html")
    assert notes(alone) == told | {"date": "2024-05-06T07:08:09+02:00"}
    (tmp_path / "pages.warc").write_bytes(response_record(html.encode(), 1, "Content-Type: text/html"))
    (archived,), _ = read(tmp_path / "pages.warc", "warc")
    assert notes(archived) == told | {"date": "2024-05-18T01:58:10Z"}


def notes(document: dict[str, Any]) -> dict[str, Any]:
    """What is told of a document beside its path."""
    known = document["metadata"]
    known = json.loads(known) if isinstance(known, str) else known
    return {name: value for name, value in known.items() if name != "path"}
