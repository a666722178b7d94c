"""What the shipped lists keep of clean text: novels, encyclopedia articles, and the texts that people marked on web pages.

Run from the repository: ``MEGADATA_REAL_DATA=DIR python benchmarks/kept_words.py [--drops]``. One JSON line for each corpus and
list: documents, words (cut at white space) and the share of words kept; with ``--drops`` a line for each document that goes.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path

from labelled_pages import labelled_pages

from megadata.corpus.rules import load_rules
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import expand, plan, read_unit
from megadata.documents.source import Problems, ReadOptions

NOVELS = (
    "100_english_novels",
    "68_german_novels",
    "100_polish_novels",
    "ELTeC_tei",
    "gutenberg_lahiri",
    "gutenberg_orig",
)
ARTICLES = ("dbpedia-minidumps", "dumpster-dive", "gensim", "special-export", "json-wikipedia-it", "wtf_wikipedia-pages",
            "extracted-de", "extracted-en")  # fmt: skip
"""Folders below books and wikipedia. Redirects and pages that are no articles are never read."""

LISTS = {"books": "books", "wikipedia": "wikipedia", "pages": "web"}
"""Corpus -> the list that is its default."""


def read(folder: Path, family: str, step: int) -> Iterator[tuple[str, str]]:
    """(id, text) of all documents of every `step`-th file of a folder."""
    for unit in plan(expand([str(folder)], family).files[::step]):
        for batch in read_unit(unit, ReadOptions(), Problems()):
            yield from ((f"{folder.name}/{i}", text) for i, text in zip(batch.ids, batch.texts, strict=True))


def corpus(place: Path, name: str, step: int = 1) -> list[tuple[str, str]]:
    """The documents of a corpus: `books`, `wikipedia`, or `pages` (the texts that people marked)."""
    if name == "books":
        folders = [place / "books" / one for one in NOVELS]
    elif name == "wikipedia":
        folders = [place / "wikipedia" / one for one in ARTICLES]
    else:
        found = [page for pages in labelled_pages(place).values() for page in pages if page.kind == "text"]
        return [(f"{page.collection}/{page.name}", page.gold) for page in found if page.gold.strip()]
    return [one for folder in folders if folder.is_dir() for one in read(folder, name, step)]


def kept(documents: list[tuple[str, str]], rules_name: str) -> tuple[int, int, list[dict[str, object]]]:
    """Words, words kept, and each document that goes."""
    rules = load_rules(rules_name)
    words = {i: len(text.split()) for i, text in documents}
    drops: list[dict[str, object]] = []
    left = 0
    for at in range(0, len(documents), 50):
        part = documents[at : at + 50]
        outcome = rules.apply(DocBatch.of([i for i, _ in part], [text for _, text in part]))
        left += sum(min(words[i], len(t.split())) for i, t in zip(outcome.kept.ids, outcome.kept.texts, strict=True))
        removed = zip(outcome.removed.ids, outcome.reasons, outcome.values, outcome.thresholds, strict=True)
        drops += [{"id": i, "reason": r, "value": v, "drop if": t, "words": words[i]} for i, r, v, t in removed]
    return sum(words.values()), left, drops


def main() -> None:
    """Measure every list on every corpus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--drops", action="store_true", help="list each document that the default list of its kind drops"
    )
    arguments = parser.parse_args()
    place = os.environ.get("MEGADATA_REAL_DATA")
    if not place:
        raise SystemExit("MEGADATA_REAL_DATA: not set; this script measures on real text")
    for name, default in LISTS.items():
        documents = corpus(Path(place), name)
        for rules in dict.fromkeys((default, "text", "web", "books", "wikipedia")):
            words, left, drops = kept(documents, rules)
            line = {"corpus": name, "rules": rules, "documents": len(documents), "dropped": len(drops), "words": words}
            print(json.dumps({**line, "kept": round(left / max(words, 1), 4)}), flush=True)
            if arguments.drops and rules == default:
                for drop in sorted(drops, key=lambda one: str(one["id"])):
                    print(json.dumps(drop, ensure_ascii=False))


if __name__ == "__main__":
    main()
