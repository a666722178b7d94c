"""All kinds of sources on real files: everything found is written or set aside, and no markup is left."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from sources_support import Documents, input_file, pages_in, read, records_in

from megadata.documents.inputs import expand
from megadata.documents.registry import recognise, source
from megadata.documents.source import Problems, ReadOptions

WIKI_LEFT_OVERS = (
    "[[", "]]", "{{", "}}", "<ref", "thumb|", "|thumb", "px|", "</", "&amp;", "&nbsp;", "{|", "|}", "<br", *"\1\2\3\4\5\b\x0e",
)  # fmt: skip
MATHS = re.compile(r"\$\$.*?\$\$|\$[^$]*\$", re.DOTALL)


def read_all(folder: Path, pattern: str, family: str | None = None, **options: Any) -> tuple[Documents, Counter[str]]:
    """Documents of all files below a folder that some source recognises, and the counts of what was set aside."""
    documents: Documents = []
    counts: Counter[str] = Counter()
    files = [f for f in expand([str(folder)], family).files if re.search(pattern, f.name)]
    assert files, f"no file of {folder} matches {pattern}"
    for file in files:
        problems = Problems()
        found = 0
        for span in source(file.kind).spans(file, 8 << 20):
            for batch in source(file.kind).read(span, ReadOptions(**options), problems):
                documents.extend(batch)
                found += len(batch)
        # One dump of the collection holds site information and no page.
        assert found + sum(problems.counts.values()) > 0 or "wikidata" in file.name, f"{file.name}: nothing found"
        assert len(problems.items) == sum(n for name, n in problems.counts.items() if not name.startswith("skipped:"))
        counts.update(problems.counts)
    assert all(d["text"].strip() for d in documents)
    return documents, counts


@pytest.mark.parametrize("tables", ["drop", "flatten"])
def test_every_page_of_every_dump_is_written_or_counted_and_no_markup_is_left(real_data: Path, tables: str) -> None:
    folder = real_data / "wikipedia"
    pattern = r"\.xml(\.bz2|\.gz)?$|\.bz2$"
    documents, counts = read_all(folder, pattern, wiki_tables=tables)
    assert len(documents) > 2000
    dumps = [p for p in folder.rglob("*") if p.is_file() and re.search(pattern, p.name)]
    assert len(documents) + sum(counts.values()) == sum(pages_in(path) for path in dumps)
    assert set(counts) <= {
        "skipped:redirect",
        "skipped:namespace",
        "skipped:disambiguation",
        "skipped:model_wikibase-item",
        "no_text",
    }
    left = [(mark, d["metadata"]) for d in documents for mark in WIKI_LEFT_OVERS if mark in MATHS.sub("", d["text"])]
    # The page about HTML shows broken HTML as an example, inside <nowiki>; formulas ($...$) keep their own braces.
    assert all(mark == "</" and '"title":"HTML"' in page for mark, page in left), left
    assert len({d["id"] for d in documents}) > 0.9 * len(documents)


FACTS = {
    "Alaska": [
        "Alaska (/əˈlæskə/) is a U.S. state",
        "about 500 miles (800 km) of British Columbia (Canada) separates Alaska from Washington",
        "two cents per acre ($4.74/km²)",
    ],
    "Atlantic_Ocean": [
        "an area of about 106,400,000 square kilometres (41,100,000 sq mi); without them, it has an area of 82,400,000",
        "is 3,339 metres (1,826 fathoms; 10,950 ft); without them it is 3,926 metres",
        "(Greek: Ἀτλαντὶς θάλασσα; English: Sea of Atlas)",
    ],
}
"""What the dump says of these pages, read by hand."""


def test_numbers_inside_templates_survive(real_data: Path) -> None:
    dump = real_data / "wikipedia/gensim/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
    documents, _ = read(dump, "mediawiki")
    text = {d["url"].rpartition("/")[2]: d["text"] for d in documents}
    for page, words in FACTS.items():
        for expected in words:
            assert expected in text[page], (page, expected)
    assert "$A =\\left ( \\frac{1329\\times10^{-H/5}}{D} \\right ) ^2$" in text["Albedo"]


def test_files_of_wikiextractor_are_read_whole(real_data: Path) -> None:
    documents, counts = read_all(real_data / "wikipedia", r"wiki_\d\d$")
    marks = sum(p.read_bytes().count(b"<doc id=") for p in (real_data / "wikipedia").rglob("wiki_*") if p.is_file())
    assert len(documents) + sum(counts.values()) == marks
    assert sum("</" in d["text"] or "&amp;" in d["text"] for d in documents) < 5


def test_every_archive_gives_the_same_documents_whole_and_in_spans(real_data: Path) -> None:
    for path in sorted((real_data / "web/warc").rglob("*")):
        kind = recognise(str(path), path.name) if path.is_file() else None
        if kind not in ("warc", "wet", "arc"):
            continue
        documents, problems = read(path, kind, 1 << 30)
        assert documents or problems.counts, path
        found = records_in(path, kind)
        assert found is None or len(documents) + sum(problems.counts.values()) == found, path
        again, counted = read(path, kind, 5000)
        assert again == documents, path
        assert counted.counts == problems.counts, path


def test_an_arc_file_and_its_twin_in_warc_hold_the_same_pages(real_data: Path) -> None:
    folder = real_data / "web/warc/heritrix-iah"
    arc, _ = read(folder / "IAH-20080430204825-00000-blackbook.arc.gz", "arc")
    warc, _ = read(folder / "IAH-20080430204825-00000-blackbook.warc.gz", "warc")
    assert len(arc) > 100
    pages = [[(d["url"], orjson.loads(d["metadata"])["date"], d["text"]) for d in found] for found in (arc, warc)]
    assert pages[0] == pages[1]


def test_the_same_page_as_warc_and_wet_gives_much_the_same_text(real_data: Path) -> None:
    folder = real_data / "web/warc/whirlwind"
    (page,), _ = read(folder / "whirlwind.warc.gz", "warc")
    (plain,), _ = read(folder / "whirlwind.warc.wet.gz", "wet")
    assert page["url"] == plain["url"]
    words = set(re.findall(r"\w{4,}", page["text"]))
    assert len(words & set(re.findall(r"\w{4,}", plain["text"]))) > 0.9 * len(words)


@pytest.mark.parametrize("extractor", ["blocks", "resiliparse", "trafilatura"])
def test_html_pages_of_many_sites_give_text(real_data: Path, extractor: str) -> None:
    paths = sorted((real_data / "web/article-extraction-benchmark/html").glob("*.html.gz"))[
        :: 9 if extractor == "trafilatura" else 2
    ]
    found = 0
    for path in paths:
        documents, problems = read(path, "html", extractor=extractor)
        assert len(documents) + sum(problems.counts.values()) == 1
        found += len(documents)
        for document in documents:
            assert not re.search(r"</?(?:div|p|span|script)\b", document["text"])
    assert found > 0.95 * len(paths)


BOOK_LEFT_OVERS = re.compile(
    r"\*\*\* ?(?:START|END) OF|\[Illustration|\[Picture:|Project Gutenberg License|<ref|\[Pg \d"
    r"|</(?:p|div|span)>|&(?:amp|nbsp);|Project Gutenberg-tm"
)


def test_books_of_every_kind_are_read_without_their_frames(real_data: Path) -> None:
    documents, counts = read_all(
        real_data / "books", r"\.epub$|gutenberg_(?:orig|copies|editions)/.*\.(?:txt|htm)$|ELTeC.*\.xml$", "books"
    )
    assert not counts
    assert len(documents) > 150
    for document in documents:
        if not document["id"].endswith("LICENSE.txt"):
            found = BOOK_LEFT_OVERS.search(document["text"])
            assert found is None, (document["id"], found)


def test_editions_of_one_book_agree(real_data: Path) -> None:
    folder = real_data / "books"
    plain, _ = read(folder / "gutenberg_orig/84/84-0.txt", "gutenberg")
    html, _ = read(folder / "gutenberg_orig/84/84-h.htm", "html", family="books")
    one, other = (re.findall(r"\w+", d[0]["text"]) for d in (plain, html))
    assert abs(len(one) - len(other)) < 0.01 * len(one)
    assert one[1000:1100] == other[other.index(one[1000], 900) :][:100] or set(one) >= set(other[2000:3000])


def test_contents_of_plain_books_are_left_out_and_no_chapter_with_them(real_data: Path) -> None:
    begins = {
        84: "Letter 1\n\nTo Mrs. Saville",
        11: "CHAPTER I.\nDown the Rabbit-Hole\n\nAlice",
        2701: "ETYMOLOGY.\n\n(Supplied",
    }
    for number, beginning in begins.items():
        ((book,), _) = read(real_data / f"books/gutenberg_orig/{number}/{number}-0.txt", "gutenberg")
        assert not re.search(r"^contents\W*$", book["text"][:10_000], re.IGNORECASE | re.MULTILINE), number
        assert beginning in book["text"][:2000], number
    for number, beginning in list(begins.items())[:2]:
        ((page,), _) = read(real_data / f"books/gutenberg_orig/{number}/{number}-h.htm", "html", family="books")
        assert beginning in page["text"][:500], number


def test_most_files_without_a_label_are_decoded_right(real_data: Path) -> None:
    from megadata.corpus.sources.charset import codec, decode

    right = total = 0
    for path in sorted((real_data / "messy/chardet").rglob("*")):
        label = next((c for n in range(3) if (c := codec(path.parent.name.rsplit("-", n)[0]))), None)
        if path.is_file() and label is not None:
            truth = (
                path.read_bytes().decode(label, "replace").replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
            )
            total += 1
            right += decode(path.read_bytes(), markup=False) == truth.removeprefix("\ufeff")
    assert total > 250
    assert right > 0.95 * total


def test_kinds_of_all_real_files_are_found(real_data: Path) -> None:
    kinds = Counter(f.kind for name in ("wikipedia", "books") for f in expand([str(real_data / name)]).files)
    assert {"mediawiki", "wikidoc", "epub", "tei", "gutenberg", "html", "txt"} <= set(kinds)
    assert kinds["epub"] == 69
    assert input_file(next((real_data / "books").rglob("*.epub")), "epub").family == "books"
