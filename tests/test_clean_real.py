"""Clean text stays: novels, encyclopedia articles and the marked texts of web pages, by the list that is their default."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

PLACE = os.environ.get("MEGADATA_REAL_DATA")
pytestmark = pytest.mark.skipif(not PLACE, reason="MEGADATA_REAL_DATA is not set")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

LEAST = 0.97
"""Share of the words that must stay."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "rules", "step"),
    [("books", "books", 12), ("books", "web", 12), ("wikipedia", "wikipedia", 7), ("wikipedia", "text", 7)],
)
def test_novels_and_articles_stay(name: str, rules: str, step: int) -> None:
    from kept_words import corpus, kept

    documents = corpus(Path(str(PLACE)), name, step)
    words, left, drops = kept(documents, rules)
    assert words > 100_000
    assert left >= LEAST * words, drops


@pytest.mark.timeout(600)
@pytest.mark.parametrize("collection", ["article-benchmark", "dragnet", "daniel", "newspaper4k"])
def test_texts_that_people_marked_on_web_pages_stay(collection: str) -> None:
    from kept_words import corpus, kept

    documents = [one for one in corpus(Path(str(PLACE)), "pages") if one[0].startswith(collection)]
    words, left, drops = kept(documents, "web")
    assert words > 10_000
    assert left >= LEAST * words, drops
