"""The demo corpus: three real kinds of input, the same bytes every time, nothing of this machine inside."""

from __future__ import annotations

import gzip
import itertools
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import mwparserfromhell
import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text

from megadata.corpus.sources.warc import Warc
from megadata.documents.source import Problems, ReadOptions
from megadata.errors import CorpusError
from megadata.pipeline import demo_corpus
from megadata.pipeline.demo_corpus import book, pages, warc, web
from megadata.runtime.units import InputFile

MEDIAWIKI = "{http://www.mediawiki.org/xml/export-0.11/}"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> demo_corpus.DemoCorpus:
    return demo_corpus.build(tmp_path_factory.mktemp("demo"), quick=True)


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> web.WebReport:
    return web.build_web(tmp_path_factory.mktemp("crawl") / "web.warc.gz", quick=True)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def members(path: Path) -> list[bytes]:
    """The gzip members that are whole, unpacked; found by their first bytes, as a reader recovers after damage."""
    data = path.read_bytes()
    starts = [match.start() for match in re.finditer(rb"\x1f\x8b\x08\x00\x00\x00\x00\x00", data)] + [len(data)]
    found = []
    for start, stop in itertools.pairwise(starts):
        try:
            found.append(gzip.decompress(data[start:stop]))
        except EOFError:
            continue
    return found


def similarity(first: list[str], second: list[str]) -> float:
    """Jaccard similarity of the sets of five words."""
    a, b = ({" ".join(words[i : i + 5]) for i in range(len(words) - 4)} for words in (first, second))
    return len(a & b) / len(a | b)


def test_the_same_python_builds_the_same_bytes_whatever_the_environment(
    corpus: demo_corpus.DemoCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(tmp_path / "another-home"))
    monkeypatch.setenv("LD_LIBRARY_PATH", "/private-programs")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.chdir(tmp_path)
    again = demo_corpus.build(tmp_path / "again", quick=True)
    assert files_of(again.web.parent) == files_of(corpus.web.parent)
    assert again.sizes == corpus.sizes


def test_a_complete_corpus_is_left_alone_and_an_incomplete_one_is_built_again(tmp_path: Path):
    first = demo_corpus.build(tmp_path, quick=True)
    before = first.web.stat().st_mtime_ns
    assert demo_corpus.build(tmp_path, quick=True) == first
    assert first.web.stat().st_mtime_ns == before
    content = first.web.read_bytes()
    first.web.write_bytes(content[:1000])
    assert demo_corpus.build(tmp_path, quick=True) == first
    assert first.web.read_bytes() == content


def test_pages_show_nothing_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    signature = "look(surroundings=os.environ, place=os.getcwd(), one=object())"
    source = f'import os\n\nPLACE = __file__\n\n\ndef {signature}:\n    """Look."""\n'
    (tmp_path / "demo_looker.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("LD_LIBRARY_PATH", "/private-programs")
    rendered = pages.render_modules(["demo_looker", "os.path", "site", "sysconfig", "tempfile", "doctest", "sys"])
    assert len(rendered) >= 6
    text = "\n".join(page.body for page in rendered)
    for private in ("private-programs", str(Path.home()), sys.prefix, str(Path.cwd()), str(tmp_path)):
        if private not in ("/", "/usr", "/usr/local"):
            assert private not in text
    assert not re.search(r"at(?: |&nbsp;)0x[0-9a-f]{6,}", text)


def test_pages_do_not_depend_on_chance_that_a_module_takes_at_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    draws = "random.random(), random.SystemRandom().random(), secrets.token_hex(), np.random.default_rng().random()"
    source = f"import random, secrets\nimport numpy as np\nDRAWN = ({draws})\n"
    (tmp_path / "demo_chance.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (first,), (second,) = (pages.render_modules(["demo_chance"]) for _ in range(2))
    assert "DRAWN" in first.body
    assert "= (0." in first.body
    assert first == second


@pytest.mark.long
def test_the_whole_corpus_is_the_same_bytes_each_time(tmp_path: Path):
    builds = [demo_corpus.build(tmp_path / name) for name in ("first", "second")]
    assert files_of(tmp_path / "first") == files_of(tmp_path / "second")
    assert builds[0].sizes == builds[1].sizes


def test_modules_that_are_missing_crash_or_hang_give_no_page_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "demo_crash.py").write_text("import os\nos._exit(3)\n")
    (tmp_path / "demo_hang.py").write_text("import time\ntime.sleep(60)\n")
    (tmp_path / "demo_error.py").write_text("raise RuntimeError('no')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    wanted = ["bisect", "no_such_module", "demo_error", "demo_crash", "keyword", "demo_hang", "colorsys"]
    assert [page.name for page in pages.render_modules(wanted, seconds=2.0)] == ["bisect", "keyword", "colorsys"]


def test_rendering_nothing_at_all_is_an_error_that_names_the_python():
    with pytest.raises(CorpusError, match=r"at least one of 1 modules with .*python.*, found none"):
        pages.render_modules(["no_such_module"])


def test_the_crawl_reads_as_warc_until_the_record_with_the_wrong_length(crawl: web.WebReport):
    seen: dict[str, str] = {}
    codings: set[str] = set()
    charsets: set[str] = set()
    with crawl.path.open("rb") as stream, pytest.raises(OSError, match="WARC header"):
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
            headers = record.http_headers
            if headers is None:
                continue
            codings |= {headers.get("Content-Encoding", "identity"), headers.get("Transfer-Encoding", "whole")}
            charsets.add(headers.get("Content-Type", ""))
            url = record.headers["WARC-Target-URI"]
            if headers.get("Content-Encoding") or headers.get("Transfer-Encoding"):
                continue
            body = record.reader.read().decode(
                "latin-1" if "8859" in headers.get("Content-Type", "") else "utf-8", "replace"
            )
            seen[url] = extract_plain_text(body, main_content=True)
    assert codings >= {"gzip", "identity", "chunked", "whole"}
    assert charsets >= {"text/html", "text/html; charset=utf-8", "text/html; charset=iso-8859-1"}
    prose = " ".join("\n".join(seen.values()).split())
    assert len(seen) > 15
    assert "Return the" in prose
    assert "&nbsp;" not in prose


def test_every_record_is_a_member_of_its_own_and_damage_stays_inside_it(crawl: web.WebReport):
    found = members(crawl.path)
    assert len(found) == crawl.records - 1  # the last one ends with the file
    assert all(one.startswith(b"WARC/1.1\r\n") for one in found)
    lengths = [
        (len(one.partition(b"\r\n\r\n")[2]) - 4, int(re.search(rb"Content-Length: (\d+)", one)[1])) for one in found
    ]
    assert [said - true for true, said in lengths if said != true] == [5000]


def test_our_own_reader_gets_every_page_around_the_damage_and_names_the_damage(crawl: web.WebReport):
    stat = crawl.path.stat()
    file = InputFile("web.warc.gz", str(crawl.path), stat.st_size, stat.st_mtime_ns, "warc", "web", "web")
    source, problems, urls = Warc(), Problems(), []
    for span in source.spans(file, 1 << 16):
        for docs in source.read(span, ReadOptions(), problems):
            urls += docs.column("url")
    pages_read = [url for url in urls if "mirror.example" not in url]
    assert len(pages_read) == len(set(pages_read)) == crawl.pages
    assert {"truncated_record", "bad_http", "damaged_compression"} <= problems.counts.keys()


def test_the_report_names_the_planted_copies(crawl: web.WebReport):
    bodies: dict[str, bytes] = {}
    for one in members(crawl.path):
        head, _, block = one.partition(b"\r\n\r\n")
        if b"WARC-Type: response" in head:
            url = re.search(rb"WARC-Target-URI: (\S+)", head)[1].decode()
            bodies[url] = re.search(rb"WARC-Payload-Digest: (\S+)", head)[1]
            assert warc.record_id("response", url).encode() in head
            assert block
    assert crawl.exact_copies
    assert crawl.near_copies
    assert all(bodies[copy] == bodies[original] for copy, original in crawl.exact_copies)
    assert all(bodies[copy] != bodies[original] for copy, original in crawl.near_copies)
    assert {url for url, _ in crawl.broken[:-1]} <= bodies.keys()
    assert len(bodies) == crawl.pages + 10


def test_a_second_edition_keeps_most_words_of_the_first():
    page = next(page for page in pages.render_modules(["argparse"]) if page.body.count("<br>\n") >= 60)
    first, second = (extract_plain_text(f"<body>{one.body}</body>").split() for one in (page, web._later_edition(page)))
    assert 0.85 < similarity(first, second) < 1


def test_the_book_has_volumes_with_numbered_chapters_and_prints_no_topic_twice(tmp_path: Path):
    report = book.build_book(tmp_path)
    assert len(report.volumes) >= 10
    assert report.bytes == sum(path.stat().st_size for path in report.volumes) > 300_000
    texts = [path.read_text("utf-8") for path in report.volumes]
    assert all(text.startswith("THE PYTHON LANGUAGE REFERENCE\n\nVOLUME ") for text in texts)
    assert sum(len(re.findall(r"^CHAPTER \d+\. ", text, re.M)) for text in texts) == report.chapters
    printed = [chapter for text in texts for chapter in re.split(r"^CHAPTER \d+\. ", text, flags=re.M)[1:]]
    bones = [book._skeleton(chapter) for chapter in printed]
    assert not [b for i, b in enumerate(bones) if any(b in other for j, other in enumerate(bones) if i != j)]


def test_the_articles_are_a_valid_export_of_prose_with_planted_faults(corpus: demo_corpus.DemoCorpus):
    root = ET.parse(corpus.articles).getroot()
    assert root.tag == f"{MEDIAWIKI}mediawiki"
    assert root.get("version") == "0.11"
    namespaces = {int(ns.get("key")): ns.text for ns in root.iter(f"{MEDIAWIKI}namespace")}
    assert namespaces[10] == "Template"
    found = {page.findtext(f"{MEDIAWIKI}title"): page for page in root.iter(f"{MEDIAWIKI}page")}
    texts = {title: page.findtext(f"{MEDIAWIKI}revision/{MEDIAWIKI}text") for title, page in found.items()}
    prose = {}
    for title, text in texts.items():
        if text and found[title].findtext(f"{MEDIAWIKI}ns") == "0":
            prose[title] = len(mwparserfromhell.parse(text).strip_code().split())
    articles = [title for title, words in prose.items() if words >= 300]
    assert len(articles) >= 24
    assert sum(prose[title] for title in articles) > 10_000
    assert len([page for page in found.values() if page.find(f"{MEDIAWIKI}redirect") is not None]) == 4
    assert texts["Scroll"] == ""
    assert texts["Ink"].count("{{") > texts["Ink"].count("}}")
    assert "Talk:Zipf's law" in found
    everything = "\n".join(text or "" for text in texts.values())
    for template in ("convert", "lang", "nowrap", "math", "sfrac", "cite book", "Infobox", "navbox", "quote"):
        assert "{{" + template in everything
    for text in (re.sub(r"<math>.*?</math>", "", texts[title]) for title in articles):
        assert "{|" in text or "<ref" in text
        assert text.count("{{") == text.count("}}")
        assert text.count("[[") == text.count("]]")


def test_the_articles_hold_two_near_copies_of_other_articles(corpus: demo_corpus.DemoCorpus):
    pages_of_wiki = ET.parse(corpus.articles).getroot().iter(f"{MEDIAWIKI}page")
    words = {}
    for page in pages_of_wiki:
        text = page.findtext(f"{MEDIAWIKI}revision/{MEDIAWIKI}text") or ""
        words[page.findtext(f"{MEDIAWIKI}title")] = mwparserfromhell.parse(text).strip_code().split()
    pairs = [
        (a, b)
        for a, b in itertools.combinations([title for title in words if len(words[title]) > 100], 2)
        if similarity(words[a], words[b]) > 0.8
    ]
    assert pairs == [("Writing system", "Systems of writing"), ("Zipf's law", "Rank–frequency law")]


def test_every_byte_count_in_the_export_is_true(corpus: demo_corpus.DemoCorpus):
    for text in ET.parse(corpus.articles).getroot().iter(f"{MEDIAWIKI}text"):
        assert int(text.get("bytes")) == len((text.text or "").encode())
