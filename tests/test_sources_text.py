"""HTML files, plain text, wikiextractor's files, charsets and extractors."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources_support import page, paragraph, read, texts

from megadata.corpus.sources.charset import codec, decode, is_utf8, to_utf8
from megadata.corpus.sources.extract import MAX_DEPTH, OURS, MainText, extract, extractor, tidy, too_deep
from megadata.corpus.sources.page import MOST_BLOCKS
from megadata.documents.inputs import expand
from megadata.documents.registry import recognise
from megadata.documents.source import Problems, ReadOptions
from megadata.errors import ConfigError


@pytest.mark.parametrize("name", OURS)
def test_extractors_leave_the_article_and_no_frame(name: str) -> None:
    body = paragraph("First") + "<ol><li>one item</li><li>two items</li></ol>" + paragraph("Second")
    html = page(body + "<p>nbsp&nbsp;soft&shy;hyphen</p>")
    problems = Problems()
    text = extract(html, "http://x/", ReadOptions(extractor=name), "a.html", problems)
    assert text is not None
    for words in ("First is the subject", "Second is the subject", "one item", "nbsp softhyphen"):
        assert words in text
    assert "All rights reserved" not in text
    assert "Home" not in text
    assert not problems.counts


@pytest.mark.parametrize("name", OURS)
def test_extractors_have_no_memory_of_other_pages(name: str) -> None:
    html = page(paragraph("Repeated") * 3)
    found = [extract(html, None, ReadOptions(extractor=name), "a.html", Problems()) for _ in range(6)]
    assert found[0]
    assert found == found[:1] * 6


def test_an_unknown_extractor_is_the_users_error() -> None:
    with pytest.raises(
        ConfigError, match="extractor 'nosuch': expected one of blocks, resiliparse, trafilatura; install the package"
    ):
        extractor("nosuch")
    with pytest.raises(ConfigError):
        extract("<p>x</p>", None, ReadOptions(extractor="nosuch"), "a.html", Problems())


def test_pages_without_text_and_failing_extractors_are_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = Problems()
    assert extract("<html><body></body></html>", None, ReadOptions(extractor="resiliparse"), "a.html", problems) is None
    assert problems.items == [
        {
            "reason": "no_text",
            "where": "a.html",
            "detail": "resiliparse found no main text",
            "excerpt": "<html><body></body></html>",
        }
    ]

    class Failing:
        name = "failing"

        def extract(self, html: str, url: str | None) -> str | None:
            raise MemoryError("too much")

    monkeypatch.setattr("megadata.corpus.sources.extract.extractor", lambda name: Failing())
    assert extract("<p>x</p>", None, ReadOptions(extractor="failing"), "b.html", problems) is None
    assert problems.counts == {"no_text": 1, "extractor_failed": 1}
    assert problems.items[1]["detail"] == "failing: MemoryError: too much"


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(
    ("html", "by_blocks"),
    [
        ("<div>" * 1_000_000, "page_too_large"),
        ("<b><i>" * 200_000 + "x", None),
        ("<table><tr><td>" * 100_000, "page_too_large"),
        ("<a href='x'><span>" * 100_000, "no_text"),
    ],
    ids=["div", "b-i", "table", "a"],
)
def test_pages_a_million_deep_end_in_bounded_time(name: str, html: str, by_blocks: str | None) -> None:
    problems = Problems()
    start = time.perf_counter()
    text = extract(html, None, ReadOptions(extractor=name), "a.html", problems)
    assert time.perf_counter() - start < 5
    reason = by_blocks if name == "blocks" else "page_too_deep"
    assert problems.counts == ({reason: 1} if reason else {})
    assert text == (None if reason else "x")


@pytest.mark.parametrize(
    "opening",
    [
        "<div>" * 50_000,
        "".join(f"<font a={n}>" for n in range(1500)) + "<p>" * 10_000,
        "<p " + " ".join(f"a{n}=1" for n in range(20_000)) + ">",
    ],
    ids=["deep", "formatting", "attributes"],
)
def test_what_no_parser_gets_through_is_read_by_blocks(opening: str) -> None:
    html = opening + paragraph("First") + paragraph("Second")
    problems = Problems()
    text = extract(html, None, ReadOptions(extractor="blocks"), "a.html", problems)
    assert text is not None
    assert [line[:12] for line in text.split("\n\n")] == ["First is the", "Second is th"]
    assert not problems.counts
    assert extract(html, None, ReadOptions(extractor="resiliparse"), "a.html", problems) is None
    assert problems.counts == {"page_too_deep": 1}


@pytest.mark.timeout(60)
def test_a_page_of_too_many_blocks_is_set_aside_before_they_are_weighed() -> None:
    problems = Problems()
    for html in ("<p>x" * (MOST_BLOCKS + 1), "x<br><br>" * (MOST_BLOCKS + 1), "<b>x" * (4 * MOST_BLOCKS + 1)):
        assert extract(html, None, ReadOptions(), "a.html", problems) is None
    assert problems.counts == {"page_too_large": 3}
    assert problems.items[0]["detail"] == "more elements or blocks of text than 262144, the most that are weighed"


MARKED = st.lists(
    st.sampled_from([
        b"<p>", b"</p>", b"<pre>", b"</pre>", b"<br>", b"<p class='content\r\nmenu'>", b"<script type=math/tex>", b"</script>",
        b"Some words, and more.", b"\r", b"\n", b"\r\n", b"\0", b"&amp", b"&copy", b";", "é".encode(), b"\xe9", b"\xed\xa0\x80",
        b"\xef\xbb\xbf", b"\xf0\x9f\x98\x80", b"\xc0\x80", b"\x1b$B", b" ", b"x",
    ]),
    max_size=40,
).map(b"".join)  # fmt: skip


@given(data=st.binary(max_size=60) | MARKED)
def test_pages_in_bytes_give_what_they_give_decoded(data: bytes) -> None:
    try:
        data.decode()
        valid = True
    except UnicodeDecodeError:
        valid = False
    assert is_utf8(data) == valid
    page, html = to_utf8(data), decode(data)
    assert page.decode().replace("\r\n", "\n").replace("\r", "\n") == html
    assert MainText().extract_utf8(page, None) == MainText().extract(html, None)


def test_long_flat_pages_are_not_deep() -> None:
    flat = "<p>x<br><b>y</b><li>z<td>a<img src='x'><hr/>" * 20_000
    assert not too_deep(flat)
    assert not too_deep("<div>" * (MAX_DEPTH - 1) + "<p></p>" * 20_000)
    assert too_deep("<div>" * (MAX_DEPTH + 1) + "<p></p>" * 20_000)


def test_an_html_file_is_a_document_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    link = '<link href="https://example.org/canonical" rel="canonical">'
    path.write_text(page(paragraph("Ünïcode")).replace("<head>", f"<head>{link}"))
    (document,), problems = read(path, "html")
    assert (document["id"], document["url"], document["source"]) == ("a.html", "https://example.org/canonical", "web")
    assert "Ünïcode is the subject" in document["text"]
    assert not problems.counts
    (tmp_path / "b.html.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert texts(read(tmp_path / "b.html.gz", "html")[0]) == [document["text"]]
    (tmp_path / "b.html.gz").write_bytes(gzip.compress(path.read_bytes())[:-30])
    documents, problems = read(tmp_path / "b.html.gz", "html")
    assert not documents
    assert problems.counts == {"damaged_compression": 1}
    assert str(tmp_path) not in str(problems.items)


def test_an_html_book_keeps_all_its_text(tmp_path: Path) -> None:
    path = tmp_path / "book.htm"
    path.write_text(
        "<html><body><pre>The Project Gutenberg EBook\n\n*** START OF THIS PROJECT GUTENBERG EBOOK X ***\n</pre>"
        "<h1>Title</h1><p>Short.</p><p>I</p><p>Text<span class='pagenum'>[Pg 1]</span> goes on.</p>"
        "<pre>\n\n*** END OF THIS PROJECT GUTENBERG EBOOK X ***\nLicence</pre></body></html>"
    )
    assert texts(read(path, "html", family="books")[0]) == ["Title\n\nShort.\n\nI\n\nText goes on."]


def test_a_text_file_is_one_document(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffOne\r\ntwo  \r\n\r\n\r\n\r\nthree\0\r\n".encode())
    (document,), problems = read(path, "txt")
    assert (document["id"], document["text"], document["source"]) == ("a.txt", "One\ntwo\n\nthree", "text")
    path.write_bytes(b" \n ")
    documents, problems = read(path, "txt")
    assert not documents
    assert problems.counts == {"no_text": 1}


KINDS = {
    "a.txt": (b"Plain words.", "txt"),
    "wiki_00": (b'<doc id="1" url="u" title="t">\nt\n\nx\n</doc>', "wikidoc"),
    "page": (b"<!DOCTYPE html>\n<html><body>x", "html"),
    "a.xhtml": (b"<?xml version='1.0'?><html/>", "html"),
    "dump.xml": (b'<mediawiki xmlns="x">', "mediawiki"),
    "dump.xml-p1p2": (b'<mediawiki xmlns="x">', "mediawiki"),
    "novel.xml": (b'<TEI xmlns="http://www.tei-c.org/ns/1.0">', "tei"),
    "other.xml": (b"<rss/>", None),
    "crawl.arc": (b"filedesc://x", "arc"),
    "notes": (b"Words without an ending.", "txt"),
    "LICENSE": (b"Words", None),
    "image": (b"\x89PNG\r\n\x1a\n\0\0\0", None),
    "style.css": (b"body { }", None),
    "a.jsonl": (b'{"text": "x"}', "jsonl"),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds_are_recognised_by_ending_and_first_bytes(tmp_path: Path, name: str) -> None:
    data, kind = KINDS[name]
    (tmp_path / name).write_bytes(data)
    assert recognise(str(tmp_path / name), name) == kind


def test_a_folder_of_mixed_files_is_read_by_kind(tmp_path: Path) -> None:
    for name, (data, _) in KINDS.items():
        (tmp_path / name).write_bytes(data)
    inputs = expand([str(tmp_path)])
    assert {f.name: f.kind for f in inputs.files} == {n: k for n, (_, k) in KINDS.items() if k}
    assert "LICENSE" in inputs.passed_over


DOCS = """<doc id="12" url="https://en.wikipedia.org/wiki?curid=12" title="A &amp; B">
A &amp; B

Text of <b>A</b> &amp; more.<br/>
&lt;templatestyles src="x" /&gt;Second line__NOTOC__.

</doc>
<doc id="13" url="https://en.wikipedia.org/wiki?curid=13" title="Empty">
Empty


</doc>
<doc id="14" url="https://zh-min-nan.wikipedia.org/wiki?curid=14" title="C">
C

Words.
</doc>
"""


@pytest.mark.parametrize("name", ["wiki_00", "wiki_00.gz"])
def test_files_of_wikiextractor_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(DOCS.encode()) if name.endswith("gz") else DOCS.encode())
    documents, problems = read(path, "wikidoc")
    assert texts(documents) == ["Text of A & more.\nSecond line.", "Words."]
    assert [d["id"] for d in documents] == ["enwiki:12", "zh_min_nanwiki:14"]
    assert documents[0]["metadata"] == f'{{"title":"A & B","path":"{name}"}}'
    assert documents[0]["source"] == "wikipedia"
    assert problems.counts == {"no_text": 1}
    for unit_bytes in (1, 7, 100, 250):
        again, counted = read(path, "wikidoc", unit_bytes)
        assert again == documents
        assert counted.counts == problems.counts
    path.write_bytes(path.read_bytes()[:-40])
    assert read(path, "wikidoc")[1].counts["damaged_compression" if name.endswith("gz") else "truncated_record"] == 1


GERMAN = "Größe, Straße, Äpfel und Öl: das läßt sich prüfen. " * 5
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 5
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 5
CHINESE = "我们在学习中文，天气很好。北京是中国的首都。" * 5
TAIWANESE = (
    "臺灣是位於東亞、太平洋西北側的島嶼，面積約三萬六千平方公里。四面環海，西隔臺灣海峽與大陸相望，東瀕太平洋，"
    "南界巴士海峽與菲律賓群島相對，北臨東海。人口超過兩千三百萬人，其中以漢人為最大族群，另有原住民與新住民。"
)
KOREAN = "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. " * 5


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "cp1252"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (CHINESE, "gb18030"),
        (TAIWANESE, "big5"),
        (KOREAN, "euc_kr"),
        (GERMAN, "utf-8"),
        (RUSSIAN, "utf-16"),
        (JAPANESE, "utf-8-sig"),
    ],
)
def test_text_is_decoded_by_label_and_mostly_without_one(text: str, encoding: str) -> None:
    data = text.encode(encoding)
    assert decode(data, encoding) == text
    label = encoding.replace("utf-8-sig", "utf-8")
    head = f'<meta charset="{label}">'
    if not encoding.startswith("utf-16"):
        assert decode(head.encode("ascii") + data).endswith(text)
    assert decode(data) == text


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("latin-1", "cp1252"),
        ("ISO-8859-1", "cp1252"),
        ("us-ascii", "cp1252"),
        ("GB2312", "gb18030"),
        (" 'Shift_JIS' ", "cp932"),
        ("UTF8", "utf-8"),
        ("utf-7", None),
        ("rot13", None),
        ("hex", None),
        ("unicode_escape", None),
        ("idna", None),
        ("nosuch", None),
        ("", None),
        (None, None),
        ("a\0b", None),
    ],
)
def test_labels_mean_what_browsers_take_them_for(label: str | None, name: str | None) -> None:
    assert codec(label) == name


def test_wrong_labels_lose_against_valid_utf8_and_a_cut_character_costs_itself() -> None:
    assert decode(GERMAN.encode(), "iso-8859-1") == GERMAN
    assert decode(b'<meta charset="utf-16">' + GERMAN.encode()).endswith(GERMAN)
    assert decode((GERMAN * 20).encode()[:-2] + b"\xc3", "utf-8").startswith(GERMAN)
    assert "Größe" in decode(GERMAN.encode("latin-1"), "utf-8")


@given(st.binary(max_size=400), st.sampled_from([None, "utf-8", "gbk", "utf-16", "iso-2022-jp", "big5", "hz", "x"]))
def test_any_bytes_become_text_that_can_be_written(data: bytes, label: str | None) -> None:
    text = decode(data, label)
    text.encode()
    assert "\0" not in text
    assert "\r" not in text


@given(st.text(alphabet="ab \t\n\r\xa0\0", max_size=60))
def test_tidying_twice_changes_nothing_more(text: str) -> None:
    once = tidy(text)
    assert tidy(once) == once
    assert "\n\n\n" not in once
    assert once.split() == text.replace("\0", "").split()
