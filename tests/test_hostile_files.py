"""Hostile files: what each costs at most, what is said of it, and that the rest is kept."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import socket
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
import zstandard
from hostile_support import MIB, read_guarded
from sources_support import (
    CONTAINER,
    dump_head,
    dump_page,
    epub_file,
    http_response,
    multistream,
    page,
    paragraph,
    read,
    response_record,
    warc_record,
)

from megadata.errors import CorpusError

pytestmark = pytest.mark.timeout(240)
GIB = 1 << 30
GOOD = orjson.dumps({"text": "a good line"}) + b"\n"
HTML = "Content-Type: text/html; charset=utf-8"


def repeated(compress: Callable[[bytes], bytes], letter: bytes = b"a") -> bytes:
    """A gibibyte of one letter, as a few bytes."""
    return compress(letter * (16 * MIB)) * 64


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, 1),
    ".zst": zstandard.ZstdCompressor(1).compress,
    ".bz2": bz2.compress,
    ".xz": lambda data: lzma.compress(data, preset=0),
}


@pytest.mark.long
@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_line_of_a_gibibyte_costs_itself_and_bounded_memory(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.jsonl{ending}"
    pack = PACKINGS[ending]
    path.write_bytes(pack(GOOD) + repeated(pack) + pack(b"\n" + GOOD))
    found = read_guarded(path, "jsonl")
    assert (found.error, found.documents, found.counts) == ("", 2, {"record_too_large": 1})
    assert found.mib < 800


@pytest.mark.long
@pytest.mark.parametrize(("kind", "name"), [("jsonl", "a.jsonl"), ("lines", "a.txt")])
def test_a_line_of_a_gibibyte_that_many_spans_cross_is_read_over_a_few_times(
    tmp_path: Path, kind: str, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(GOOD)
    os.truncate(path, GIB)
    with path.open("ab") as file:
        file.write(b"\n" + GOOD)
    found = read_guarded(path, kind, seconds=30)
    assert (found.error, found.documents, found.counts) == ("", 2, {"record_too_large": 1})
    assert found.mib < 800


@pytest.mark.long
@pytest.mark.parametrize("ending", list(PACKINGS))
@pytest.mark.parametrize(("kind", "name"), [("txt", "a.txt"), ("html", "a.html"), ("tei", "a.xml"), ("epub", "a.epub")])
def test_bombs_that_are_one_document_stop_at_the_limit(tmp_path: Path, kind: str, name: str, ending: str) -> None:
    path = tmp_path / f"{name}{ending}"
    path.write_bytes(repeated(PACKINGS[ending]))
    found = read_guarded(path, kind, max_record_bytes=64 * MIB)
    assert (found.error, found.documents, found.counts) == ("", 0, {"record_too_large": 1})
    assert found.mib < 300


@pytest.mark.long
@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_dump_and_an_archive_inside_bombs_take_bounded_memory(tmp_path: Path, ending: str) -> None:
    pack = PACKINGS[ending]
    bomb = pack(b" " * (16 * MIB)) * 8
    dump = tmp_path / f"a.xml{ending}"
    dump.write_bytes(pack(dump_head().encode() + dump_page(1, "One page.").encode()) + bomb)
    found = read_guarded(dump, "mediawiki")
    assert (found.error, found.documents, found.counts) == ("", 1, {})
    assert found.mib < 300
    crawl = tmp_path / f"a.warc{ending}"
    crawl.write_bytes(pack(response_record(page(paragraph("One")).encode(), 1)) + bomb)
    found = read_guarded(crawl, "warc")
    assert (found.error, found.documents) == ("", 1)
    assert found.mib < 300


def test_a_bomb_of_many_bad_lines_keeps_a_bounded_number_of_them(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(GOOD))
    alone = read_guarded(path, "jsonl").mib  # libraries that are loaded on the first read
    path.write_bytes(gzip.compress(b"x\n" * (1 << 20), 1) + gzip.compress(GOOD))
    found = read_guarded(path, "jsonl")
    assert (found.error, found.documents, found.counts, found.kept) == ("", 1, {"bad_json": 1 << 20}, 10_000)
    assert found.mib - alone < 40


@pytest.mark.long
@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", PACKINGS[".gz"]),
        ("deflate", zlib.compress),
        ("zstd", PACKINGS[".zst"]),
        ("bzip2", bz2.compress),
        ("gzip, gzip", lambda data: gzip.compress(gzip.compress(data, 1), 1)),
    ],
)
def test_a_page_that_unfolds_costs_itself(tmp_path: Path, coding: str, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.warc"
    bomb = response_record(pack(b"<p>" + b"a" * (256 * MIB)), 1, HTML, f"Content-Encoding: {coding}")
    path.write_bytes(bomb + response_record(page(paragraph("x")).encode(), 2))
    found = read_guarded(path, "warc", max_record_bytes=32 * MIB)
    assert (found.error, found.documents, found.counts) == ("", 1, {"record_too_large": 1})
    assert found.mib < 300


def test_codings_without_end_are_not_undone(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(response_record(gzip.compress(b"<p>x"), 1, HTML, "Content-Encoding: " + ",".join(["gzip"] * 9000)))
    documents, problems = read(path, "warc")
    assert (documents, problems.counts) == ([], {"bad_http": 1})
    assert problems.items[0]["detail"] == "9000 content codings, at most 5 are undone"


def test_a_length_that_lies_beyond_the_limit_takes_no_records_along(tmp_path: Path) -> None:
    good = [response_record(page(paragraph(f"Page {n}")).encode(), n) for n in range(3)]
    liar = warc_record("response", http_response(b"<p>x", HTML), 9, Content_Length="999999999999")
    for name, data in {
        "a.warc": good[0] + liar + good[1] + good[2],
        "a.warc.gz": gzip.compress(good[0] + liar + good[1] + good[2]),
    }.items():
        path = tmp_path / name
        path.write_bytes(data)
        documents, problems = read(path, "warc")
        assert [d["url"][-1] for d in documents] == ["0", "1", "2"]
        assert sum(problems.counts.values()) == 1


def zipped(entries: dict[str, bytes]) -> bytes:
    """A zip file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.long
def test_a_book_with_one_giant_page_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.epub"
    path.write_bytes(epub_file({"c.xhtml": page("a" * (128 * MIB))}))
    found = read_guarded(path, "epub", max_record_bytes=32 * MIB)
    assert (found.error, found.documents, found.counts) == ("", 0, {"record_too_large": 1})
    assert found.mib < 200


@pytest.mark.long
def test_a_book_that_names_one_page_a_hundred_thousand_times_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.epub"
    path.write_bytes(epub_file({"c.xhtml": page("a" * MIB)}, ["i0"] * 100_000))
    found = read_guarded(path, "epub", max_record_bytes=32 * MIB)
    assert (found.error, found.documents, found.counts) == ("", 0, {"record_too_large": 1})


def test_zip_files_inside_zip_files_are_not_opened(tmp_path: Path) -> None:
    inner = zipped({"x": bytes(MIB)})
    for _ in range(6):
        inner = zipped({f"{n}.zip": inner for n in range(8)})
    path = tmp_path / "a.epub"
    path.write_bytes(zipped({"mimetype": b"application/epub+zip", "0.zip": inner}))
    found = read_guarded(path, "epub")
    assert (found.error, found.documents, found.counts) == ("", 0, {"bad_epub": 1})
    assert found.mib < 100


def test_a_directory_of_a_million_entries_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.epub"
    data = epub_file({"c.xhtml": page("x")})
    path.write_bytes(data + b"PK\x01\x02" * 1_000_000)
    found = read_guarded(path, "epub")
    assert (found.error, found.documents, found.counts) == ("", 0, {"bad_epub": 1})
    assert found.mib < 100


LAUGHS = (
    '<!DOCTYPE a [<!ENTITY l0 "ha">' + "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12)) + "]>"
)
QUADRATIC = f'<!DOCTYPE a [<!ENTITY q "{"a" * 100_000}">]>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY q SYSTEM "file:///etc/passwd"><!ENTITY n SYSTEM "http://127.0.0.1:9/x">]>'
PARAMETER = '<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>'
DOCTYPES = {
    "laughs": (LAUGHS, "&l11;"),
    "quadratic": (QUADRATIC, "&q;" * 5000),
    "outside": (OUTSIDE, "&q;&n;"),
    "p": (PARAMETER, ""),
}


@pytest.mark.parametrize("name", DOCTYPES)
def test_no_entity_is_expanded_or_fetched(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    doctype, use = DOCTYPES[name]

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("a reader opens a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    tei = tmp_path / "a.xml"
    tei.write_text(f'<?xml version="1.0"?>{doctype}<TEI><text><body><p>x {use}</p></body></text></TEI>')
    dump = tmp_path / "d.xml"
    dump.write_text(
        f"{doctype}\n{dump_head()}" + dump_page(1, "Good.") + dump_page(2, "UNSAFE").replace("UNSAFE", f"x {use}")
    )
    book = tmp_path / "b.epub"
    data = epub_file({"c.xhtml": f"{doctype}<html><body><p>some text {use}</p></body></html>"})
    book.write_bytes(data)
    opf = tmp_path / "o.epub"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries["OEBPS/book.opf"] = doctype.encode() + entries["OEBPS/book.opf"].replace(
        b"<dc:title>", f"<dc:title>{use}".encode()
    )
    opf.write_bytes(zipped(entries))
    for path, kind in [(tei, "tei"), (dump, "mediawiki"), (book, "epub"), (opf, "epub")]:
        documents, problems = read(path, kind)
        assert not any("root:" in d["text"] or len(d["text"]) > 200_000 for d in documents), kind
        assert len(documents) + sum(problems.counts.values()) >= 1
    assert read(tei, "tei")[1].counts == {"bad_xml": 1}
    assert read(opf, "epub")[1].counts == {"bad_epub": 1}


@pytest.mark.long
def test_trees_of_millions_of_elements_are_not_built(tmp_path: Path) -> None:
    tei = tmp_path / "a.xml"
    tei.write_bytes(b"<TEI><text><body>" + b"<a/>" * 3_000_000 + b"</body></text></TEI>")
    dump = tmp_path / "d.xml"
    dump.write_bytes(
        dump_head().encode() + b"<page>" + b"<a/>" * 3_000_000 + b"</page>" + dump_page(2, "Good.").encode()
    )
    found = read_guarded(tei, "tei")
    assert (found.error, found.documents, found.counts) == ("", 0, {"bad_xml": 1})
    assert found.mib < 500
    found = read_guarded(dump, "mediawiki")
    assert (found.error, found.documents, found.counts) == ("", 1, {"bad_xml": 1})
    assert found.mib < 200


def test_a_tag_of_a_million_attributes_is_not_built(tmp_path: Path) -> None:
    tei = tmp_path / "a.xml"
    tei.write_bytes(b"<TEI " + b"".join(b'a%d="" ' % n for n in range(400_000)) + b"/>")
    found = read_guarded(tei, "tei")
    assert (found.error, found.documents, found.counts) == ("", 0, {"bad_xml": 1})
    assert found.mib < 200


PAGES = {
    "deep": "<div>" * 1_000_000,
    "attributes": "<p " + " ".join(f"a{n}=1" for n in range(100_000)) + ">text",
    "unspaced attributes": "<p " + "".join(f"a{n}='1'" for n in range(100_000)) + ">text",
    "formatting": "<p>" + "".join(f"<font a={n}>" for n in range(1500)) + "<p>some text and more" * 20_000,
}


@pytest.mark.long
@pytest.mark.parametrize("extractor", ["resiliparse", "trafilatura"])
@pytest.mark.parametrize("name", PAGES)
def test_pages_that_unfold_in_a_parser_are_set_aside(tmp_path: Path, name: str, extractor: str) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(
        response_record(PAGES[name].encode(), 1, HTML) + response_record(page(paragraph("x") * 3).encode(), 2, HTML)
    )
    found = read_guarded(path, "warc", extractor=extractor)
    assert (found.error, found.documents, found.counts) == ("", 1, {"page_too_deep": 1})
    assert found.mib < 250


def test_fields_nested_deeper_than_can_be_written_cost_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b"".join(b'{"text": "x", "a": %s%s}\n' % (b"[" * n, b"]" * n) for n in (200, 260, 900, 100_000)) + GOOD
    )
    documents, problems = read(path, "jsonl")
    assert [d["text"] for d in documents] == ["x", "a good line"]
    assert problems.counts == {"bad_json": 3}


def test_lone_surrogates_nul_and_invalid_utf8_cost_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "\\ud800"}\n{"text": "\xff"}\n' + GOOD)
    documents, problems = read(path, "jsonl")
    assert [d["text"] for d in documents] == ["a good line"]
    assert problems.counts == {"bad_json": 2}
    page_file = tmp_path / "a.html"
    page_file.write_bytes(page(paragraph("NUL \0 and \xed\xa0\x80 and &#xD800; and &#0;")).encode("latin-1"))
    documents, _ = read(page_file, "html")
    assert "\0" not in documents[0]["text"]
    documents[0]["text"].encode()


def test_character_references_with_numbers_without_end_are_one_character(tmp_path: Path) -> None:
    dump = tmp_path / "d.xml"
    dump.write_text(dump_head() + dump_page(1, "before &#" + "9" * 100_000 + "; after"))
    assert [d["text"] for d in read(dump, "mediawiki")[0]] == ["before \ufffd after"]


def test_links_inside_links_are_copied_a_bounded_number_of_times() -> None:
    from megadata.corpus.sources.wikitext import Wikitext

    depth = 20_000
    text = Wikitext().text("[[a|x" * depth + "core" + "]]" * depth)
    assert text.endswith("core")
    assert "[[" not in text


def test_a_missing_container_names_no_file_outside_the_book(tmp_path: Path) -> None:
    outside = CONTAINER.replace("OEBPS/book.opf", "../../../../etc/passwd")
    path = tmp_path / "a.epub"
    path.write_bytes(zipped({"mimetype": b"application/epub+zip", "META-INF/container.xml": outside.encode()}))
    documents, problems = read(path, "epub")
    assert (documents, problems.counts) == ([], {"bad_epub": 1})


def test_multistream_dumps_whose_streams_are_bombs_keep_their_pages(tmp_path: Path) -> None:
    path = tmp_path / "d.xml.bz2"
    data = multistream(dump_head(), [dump_page(1, "One."), dump_page(2, "Two.")])
    path.write_bytes(data[:-1] + data[-1:] + bz2.compress(b" " * (16 * MIB)) * 8)
    found = read_guarded(path, "mediawiki")
    assert (found.error, found.documents) == ("", 2)
    assert found.mib < 200


def test_what_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    from megadata.documents.inputs import expand

    for name in ("missing.jsonl", "x" * 300 + ".jsonl"):
        with pytest.raises(CorpusError):
            expand([str(tmp_path / name)])
