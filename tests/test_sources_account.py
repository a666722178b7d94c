"""The account of all dumps, books and archives of the real data: what is found is written or set aside, and no markup is left.

`clean` without rules reads each collection as a user would. What it must find is counted by other means: the tags of pages, the
records another library sees, the files. The short form takes every eighth file, `make test-long` all of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from sources_support import pages_in, records_in

from megadata.corpus.clean import CleanConfig, clean
from megadata.documents.inputs import Inputs, expand
from megadata.runtime.settings import RunSettings
from megadata.runtime.streams import open_decoded
from megadata.runtime.units import InputFile

LEFT_OVERS = ("[[", "{{", "<ref", "thumb|", "</", "&amp;", "*** START")
FORMULAS = re.compile(r"\$\$.*?\$\$|\$[^$]*\$", re.DOTALL)
"""Formulas keep their braces."""
COLLECTIONS = {
    "wikipedia": ("wikipedia", r"(?:\.xml|\.bz2|\.gz|wiki_\d\d)$", None),
    "books": ("books", r"\.epub$|gutenberg_\w+/.*\.(?:txt|htm)$|ELTeC.*\.xml$", "books"),
    "archives": ("web/warc", r"", None),
}
"""Folder, names of the files, and the family of each collection. What NLTK annotates by tags of its own is no book, and pages
saved as wikitext in .txt files are no dump."""
EXPLAINED = {
    ("HTML", "</"): "the article on HTML shows elements inside <nowiki>",
    ("ltgwiki:906", "</"): "an article that shows elements inside <nowiki>",
    ("enwiki:656", "{{"): "WikiExtractor, which wrote this file, left a template",
    ("www.archive.org/about/faqs.php", "</"): "a page of questions on video that shows files of dvdauthor",
}
"""Documents, by their id, title or address, that show markup to their readers."""


def chosen(real_data: Path, collection: str, every: int) -> list[InputFile]:
    folder, pattern, family = COLLECTIONS[collection]
    files = [f for f in expand([str(real_data / folder)], family).files if re.search(pattern, f.name)]
    assert files
    return files[::every]


def found_in(file: InputFile) -> int | None:
    """Records of a file, counted without its reader; None where nothing else reads it through."""
    path = Path(file.path)
    if file.kind == "mediawiki":
        return pages_in(path)
    if file.kind == "wikidoc":
        return path.read_bytes().count(b"<doc id=")
    if file.kind in ("warc", "wet", "arc"):
        return records_in(path, file.kind)
    assert file.kind in ("epub", "tei", "gutenberg", "html"), file
    return 1


def written(folder: Path) -> Iterator[dict]:
    for path in sorted(folder.glob("docs-*.jsonl.zst")):
        with open_decoded(str(path)) as stream:
            yield from map(orjson.loads, stream)


def explained(document: dict, mark: str) -> bool:
    names = (document["id"], document["metadata"].get("title"), (document["url"] or "").partition("://")[2])
    return any(document["id"].startswith(f"{name}:") or name in names for name, of in EXPLAINED if of == mark)


def account(files: list[InputFile], folder: Path) -> None:
    expected = {file.name: found_in(file) for file in files}
    counted = [replace(file, named=False) for file in files if expected[file.name] is not None]
    report = clean(Inputs(counted), folder, CleanConfig(rules="none"), RunSettings(workers=1))
    totals = {name: report.total(name) for name in ("documents_kept", "unreadable", "skipped")}
    assert sum(totals.values()) == sum(n for n in expected.values() if n is not None), totals
    assert report.total("documents_kept") == report.total("documents_in") > 0
    kept = removed = 0
    left: Counter[tuple[str, str]] = Counter()
    for document in written(folder):
        kept += 1
        assert document["text"].strip()
        text = FORMULAS.sub("", document["text"]) if "{{" in document["text"] else document["text"]
        for mark in LEFT_OVERS:
            if mark in text and not explained(document, mark):
                left[document["id"], mark] += text.count(mark)
    for problem in written(folder / "removed"):
        removed += 1
        assert problem["reason"].startswith("unreadable."), problem
        assert problem["metadata"]["detail"], problem
    assert (kept, removed) == (totals["documents_kept"], totals["unreadable"])
    assert not left


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_what_is_found_in_a_sample_is_written_or_set_aside_and_no_markup_is_left(real_data, tmp_path, collection):
    account(chosen(real_data, collection, 8), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("collection", COLLECTIONS)
def test_what_is_found_in_all_files_is_written_or_set_aside_and_no_markup_is_left(real_data, tmp_path, collection):
    account(chosen(real_data, collection, 1), tmp_path)
