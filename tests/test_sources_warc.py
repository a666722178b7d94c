"""Web archives: every way of packing records, spans smaller than a file, and damage of all kinds."""

from __future__ import annotations

import gzip
import io
import random
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import orjson
import pytest
import zstandard
from fastwarc.stream_io import BrotliWriter
from hypothesis import given, settings
from hypothesis import strategies as st
from sources_support import (
    arc_record,
    gzip_members,
    http_response,
    page,
    paragraph,
    read,
    response_record,
    texts,
    warc_record,
)

from megadata.corpus.sources.http import parse_response, unchunk
from megadata.documents.inputs import expand
from megadata.documents.registry import recognise
from megadata.errors import CorpusError

HTML = "Content-Type: text/html; charset=utf-8"


def pages(count: int) -> list[bytes]:
    """A warcinfo record and requests and responses for as many pages."""
    records = [warc_record("warcinfo", b"software: by hand\r\n", 0, Content_Type="application/warc-fields")]
    for n in range(1, count + 1):
        records.append(
            warc_record("request", b"GET / HTTP/1.1\r\n\r\n", 1000 + n, WARC_Target_URI="http://example.org/")
        )
        records.append(response_record(page(paragraph(f"Number {n}") * (n % 5 + 1)).encode(), n))
    return records


def brotli(data: bytes) -> bytes:
    packed = io.BytesIO()
    writer = BrotliWriter(packed)
    writer.write(data)
    writer.close()
    return packed.getvalue()


def chunked(body: bytes, size: int = 50) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(f"{len(p):x};ext=1\r\n".encode() + p + b"\r\n" for p in parts) + b"0\r\nTrailer: x\r\n\r\n"


def test_a_document_keeps_record_id_url_and_date(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(b"".join(pages(1)))
    (document,), problems = read(path, "warc")
    assert document["id"] == "urn:uuid:" + f"{1:032x}"
    assert document["url"] == "http://example.org/1"
    assert document["metadata"] == '{"title":"A page","date":"2024-05-18T01:58:10Z","path":"a.warc"}'
    assert document["source"] == "web"
    assert "Number 1 is the subject" in document["text"]
    assert "All rights reserved" not in document["text"]
    assert problems.counts == {"skipped:warcinfo": 1, "skipped:request": 1}


PACKINGS = {
    "a.warc": lambda records: b"".join(records),
    "a.warc.gz": gzip_members,
    "whole.warc.gz": lambda records: gzip.compress(b"".join(records), mtime=0),
    "blocks.warc.gz": lambda records: gzip_members(cut_into(b"".join(records), 1000)),
    "a.warc.zst": lambda records: b"".join(zstandard.compress(record) for record in records),
    "whole.warc.zst": lambda records: zstandard.compress(b"".join(records)),
}


def cut_into(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("name", PACKINGS)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_every_packing_gives_the_same_documents(tmp_path: Path, name: str, version: str) -> None:
    records = [record.replace(b"WARC/1.0", f"WARC/{version}".encode()) for record in pages(7)]
    path = tmp_path / name
    path.write_bytes(PACKINGS[name](records))
    documents, problems = read(path, "warc")
    assert [d["url"] for d in documents] == [f"http://example.org/{n}" for n in range(1, 8)]
    assert problems.counts == {"skipped:warcinfo": 1, "skipped:request": 7}
    assert recognise(str(path), name) == "warc"


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.warc.zst"])
@settings(max_examples=15)
@given(unit_bytes=st.integers(1, 9000))
def test_spans_of_any_size_together_give_the_file(
    tmp_path_factory: pytest.TempPathFactory, name: str, unit_bytes: int
) -> None:
    spans_give_the_file(tmp_path_factory.getbasetemp() / f"spans-{name}", name, unit_bytes)


@pytest.mark.long
@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.warc.zst"])
@settings(max_examples=500)
@given(unit_bytes=st.integers(1, 9000))
def test_spans_of_many_more_sizes_together_give_the_file(
    tmp_path_factory: pytest.TempPathFactory, name: str, unit_bytes: int
) -> None:
    spans_give_the_file(tmp_path_factory.getbasetemp() / f"spans-{name}", name, unit_bytes)


def spans_give_the_file(path: Path, name: str, unit_bytes: int) -> None:
    if not path.exists():
        path.write_bytes(PACKINGS[name](pages(12)))
    whole, problems = read(path, "warc", 1 << 30)
    cut, cut_problems = read(path, "warc", unit_bytes)
    assert cut == whole
    assert cut_problems.counts == problems.counts
    assert len(whole) == 12


def damage(data: bytes, kind: str) -> bytes:
    """A damaged copy."""
    middle = len(data) // 2
    return {
        "truncated": data[: middle - 111],
        "zeros inside": data[:middle] + bytes(40) + data[middle + 40 :],
        "bytes missing": data[:middle] + data[middle + 333 :],
        "garbage between": data[:middle] + b"\x1f\x8b\x08 this is no member WARC/1.0\r\n" + data[middle:],
        "garbage first": b"not an archive" + data,
    }[kind]


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.warc.zst"])
@pytest.mark.parametrize("kind", ["truncated", "zeros inside", "bytes missing", "garbage between", "garbage first"])
def test_damage_costs_the_records_it_hits_and_is_counted_whatever_the_spans(
    tmp_path: Path, name: str, kind: str
) -> None:
    path = tmp_path / name
    path.write_bytes(damage(PACKINGS[name](pages(12)), kind))
    documents, problems = read(path, "warc", 1 << 30)
    if kind != "truncated":
        assert len(documents) >= 10
    else:
        assert 4 <= len(documents) <= 7
    faults = {name: n for name, n in problems.counts.items() if not name.startswith("skipped:")}
    # Zeros or foreign bytes inside the text of a plain file leave a record that is still a record.
    assert faults or (name == "a.warc" and kind == "zeros inside")
    for unit_bytes in (100, 700, 3000):
        again, counted = read(path, "warc", unit_bytes)
        assert again == documents
        assert counted.counts == problems.counts


@pytest.mark.parametrize("length", ["0", "5", "100", "999999", "99999999999999"])
@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "whole.warc.gz"])
def test_a_wrong_content_length_costs_one_record(tmp_path: Path, length: str, name: str) -> None:
    records = pages(4)
    body = page(paragraph("The wrong one"))
    records[4] = warc_record(
        "response",
        http_response(body.encode(), HTML),
        77,
        Content_Type="application/http",
        WARC_Target_URI="http://example.org/wrong",
        Content_Length=length,
    )
    path = tmp_path / name
    path.write_bytes(PACKINGS[name](records))
    documents, problems = read(path, "warc", max_record_bytes=1 << 20)
    assert [d["url"][-1] for d in documents] == ["1", "3", "4"]
    faults = {n: c for n, c in problems.counts.items() if not n.startswith("skipped:")}
    assert sum(faults.values()) == 1, faults


def test_records_over_the_limit_are_set_aside_and_the_rest_is_read(tmp_path: Path) -> None:
    records = pages(3)
    records.insert(3, response_record(page(paragraph("big") * 5000).encode(), 99))
    for name in ("a.warc", "a.warc.gz", "whole.warc.gz"):
        path = tmp_path / name
        path.write_bytes(PACKINGS[name](records))
        documents, problems = read(path, "warc", max_record_bytes=100_000)
        assert [d["url"][-2:] for d in documents] == ["/1", "/2", "/3"]
        assert problems.counts["record_too_large"] == 1


def test_a_member_with_a_wrong_checksum_is_not_trusted(tmp_path: Path) -> None:
    members = [gzip.compress(record, mtime=0) for record in pages(3)]
    members[4] = members[4][:-8] + bytes(4) + members[4][-4:]
    path = tmp_path / "a.warc.gz"
    path.write_bytes(b"".join(members))
    documents, problems = read(path, "warc")
    assert [d["url"][-1] for d in documents] == ["1", "3"]
    assert problems.counts["damaged_compression"] == 1
    (item,) = problems.items
    assert item["where"] == f"a.warc.gz:{sum(map(len, members[:4]))}"
    assert "incorrect data check" in item["detail"]


def test_a_long_member_that_breaks_off_gives_its_whole_records_only(tmp_path: Path) -> None:
    noise = "".join(f"<p>{random.Random(n).getrandbits(4000):x}</p>" for n in range(400))
    first, second = response_record(page(paragraph("First")).encode(), 1), response_record(page(noise).encode(), 2)
    member = gzip.compress(first + second, mtime=0)
    assert len(member) > 150_000
    path = tmp_path / "a.warc.gz"
    for broken in (member[:-60_000], member[:-8] + bytes(8)):
        path.write_bytes(broken + gzip_members(pages(1)))
        documents, problems = read(path, "warc")
        assert [d["url"][-1] for d in documents] == ["1", "1"]
        assert len(problems.items) == problems.counts["damaged_compression"] == 1


def test_a_member_that_breaks_off_at_once_is_told_whatever_the_spans(tmp_path: Path) -> None:
    members = [gzip_members([response_record(page(paragraph("x")).encode(), number)]) for number in range(3)]
    before = len(members[0] + members[1])
    path = tmp_path / "a.warc.gz"
    for length in range(20, 140):
        path.write_bytes(b"".join(members)[: before + length])
        documents, problems = read(path, "warc", before - 1)
        assert len(documents) == 2
        assert problems.counts == read(path, "warc")[1].counts == {"damaged_compression": 1}, length


def test_zeros_behind_the_last_member_are_padding(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    path.write_bytes(gzip_members(pages(2)) + bytes(5000))
    documents, problems = read(path, "warc")
    assert len(documents) == 2
    assert not problems.items


def test_zstd_files_bring_their_dictionary(tmp_path: Path) -> None:
    records = pages(40)
    dictionary = zstandard.train_dictionary(4000, records * 4)
    packer = zstandard.ZstdCompressor(dict_data=dictionary)
    stored = zstandard.compress(dictionary.as_bytes())
    head = b"\x5d\x2a\x4d\x18" + len(stored).to_bytes(4, "little") + stored
    path = tmp_path / "a.warc.zst"
    path.write_bytes(head + b"".join(packer.compress(record) for record in records))
    documents, problems = read(path, "warc")
    assert len(documents) == 40
    assert not problems.items
    assert read(path, "warc", 2000)[0] == documents


BODY = page(paragraph("Grüße")).encode()
CODINGS = {
    "gzip": gzip.compress(BODY),
    "x-gzip": gzip.compress(BODY),
    "deflate": zlib.compress(BODY),
    "br": brotli(BODY),
    "zstd": zstandard.compress(BODY),
    "identity": BODY,
    "GZIP": gzip.compress(BODY),
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("transfer", ["", "Transfer-Encoding: chunked"])
def test_bodies_are_unchunked_and_decompressed(coding: str, transfer: str) -> None:
    body = CODINGS[coding]
    fields = [HTML, f"Content-Encoding: {coding}", *([transfer] if transfer else [])]
    response = parse_response(http_response(chunked(body) if transfer else body, *fields), 1 << 20)
    assert response is not None
    assert response.body == BODY
    assert (response.status, response.media_type, response.charset) == (200, "text/html", "utf-8")
    assert response.problem == ""


def test_raw_deflate_and_several_codings_are_undone() -> None:
    raw = zlib.compressobj(wbits=-15)
    squeezed = raw.compress(BODY) + raw.flush()
    response = parse_response(http_response(squeezed, HTML, "Content-Encoding: deflate"), 1 << 20)
    assert response is not None
    assert response.body == BODY
    twice = gzip.compress(zlib.compress(BODY))
    response = parse_response(http_response(twice, HTML, "Content-Encoding: deflate, gzip"), 1 << 20)
    assert response is not None
    assert response.body == BODY


def test_headers_that_lie_about_the_body_do_no_harm() -> None:
    response = parse_response(http_response(BODY, HTML, "Content-Encoding: br", "Transfer-Encoding: chunked"), 1 << 20)
    assert response is not None
    assert response.body == BODY
    cut = parse_response(http_response(gzip.compress(BODY)[:-30], HTML, "Content-Encoding: gzip"), 1 << 20)
    assert cut is not None
    assert BODY.startswith(cut.body[:50])
    assert cut.problem == "the compressed body is cut off"
    assert unchunk(b"5\r\nhello\r\n6\r\n wor") == (b"hello wor", "the last chunk is not complete")
    assert unchunk(b"no chunks here") == (b"no chunks here", "")
    assert unchunk(b"ffffffffffff\r\nx")[0] == b"x"
    assert parse_response(b"HTTPX/1.1 200 OK\r\n\r\n", 10) is None


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
def test_a_compressed_bomb_is_set_aside(tmp_path: Path, coding: str) -> None:
    zeros = bytes(30 << 20)
    packed = {
        "gzip": gzip.compress,
        "br": brotli,
        "zstd": zstandard.compress,
        "deflate": zlib.compress,
    }[coding](zeros)
    path = tmp_path / "a.warc.gz"
    path.write_bytes(gzip_members([response_record(packed, 1, HTML, f"Content-Encoding: {coding}"), *pages(1)]))
    documents, problems = read(path, "warc", max_record_bytes=1 << 20)
    assert len(documents) == 1
    assert problems.counts["record_too_large"] == 1


def test_what_is_no_page_is_counted_and_left_out(tmp_path: Path) -> None:
    records = [
        response_record(b"", 1, "Location: /x", status="301 Moved"),
        response_record(b"\x89PNG", 2, "Content-Type: image/png"),
        response_record(b"   ", 3),
        response_record(b"<html><body></body></html>", 4),
        warc_record("revisit", b"HTTP/1.1 200 OK\r\n\r\n", 5, Content_Type="application/http"),
        warc_record("resource", b"log", 6, Content_Type="text/plain", WARC_Target_URI="urn:X-wpull:log"),
        warc_record("response", b"1 2 3", 7, Content_Type="text/dns", WARC_Target_URI="dns:example.org"),
        warc_record("response", b"nonsense", 8, Content_Type="application/http", WARC_Target_URI="http://x/"),
        warc_record("resource", BODY, 9, Content_Type="text/html", WARC_Target_URI="http://x/9"),
        warc_record("resource", b"Plain words.\r\nMore.", 10, Content_Type="text/plain", WARC_Target_URI="http://x/10"),
    ]
    path = tmp_path / "a.warc.gz"
    path.write_bytes(gzip_members(records))
    documents, problems = read(path, "warc")
    assert [d["url"] for d in documents] == ["http://x/9", "http://x/10"]
    assert texts(documents)[1] == "Plain words.\nMore."
    assert problems.counts == {
        "skipped:http_status": 1,
        "skipped:media_type": 1,
        "skipped:empty_body": 1,
        "no_text": 1,
        "skipped:revisit": 1,
        "skipped:crawler_notes": 1,
        "skipped:not_http": 1,
        "bad_http": 1,
    }


def test_charset_of_the_header_then_of_the_page_then_by_detection(tmp_path: Path) -> None:
    russian = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 8
    plain = page(f"<p>{russian}</p>")
    meta = plain.replace("<head>", '<head><meta http-equiv="Content-Type" content="text/html; charset=koi8-r">')
    records = [
        response_record(plain.encode("cp1251"), 1, "Content-Type: text/html; charset=windows-1251"),
        response_record(meta.encode("koi8-r"), 2, "Content-Type: text/html"),
        response_record(plain.encode("cp1251"), 3, "Content-Type: text/html"),
        response_record(plain.encode(), 4, "Content-Type: text/html; charset=iso-8859-1"),
        response_record(plain.encode(), 5, "Content-Type: text/html; charset=no-such-charset"),
    ]
    path = tmp_path / "a.warc.gz"
    path.write_bytes(gzip_members(records))
    documents, _ = read(path, "warc")
    assert ["мягких французских булок" in text for text in texts(documents)] == [True] * 5


def test_nul_bytes_and_invalid_utf8_do_not_reach_the_text(tmp_path: Path) -> None:
    body = page(paragraph("A\0B &#0; &#xD800; \x0b")).encode() + b"\xff\xfe\xc3"
    path = tmp_path / "a.warc"
    path.write_bytes(response_record(body, 1))
    (document,), _ = read(path, "warc")
    assert "\0" not in document["text"]
    document["text"].encode()


def test_wet_files_are_read_as_the_text_they_hold(tmp_path: Path) -> None:
    records = [
        warc_record("warcinfo", b"Software-Info: ia-web-commons", 1, WARC_Filename="x.warc.wet.gz"),
        warc_record(
            "conversion", b"Ein Satz.\nNoch einer.", 2, Content_Type="text/plain", WARC_Target_URI="http://x/2"
        ),
        warc_record("conversion", b" \n ", 3, Content_Type="text/plain", WARC_Target_URI="http://x/3"),
    ]
    path = tmp_path / "CC-MAIN.warc.wet.gz"
    path.write_bytes(gzip_members(records))
    assert recognise(str(path), path.name) == "wet"
    documents, problems = read(path, "wet")
    assert texts(documents) == ["Ein Satz.\nNoch einer."]
    assert documents[0]["url"] == "http://x/2"
    assert problems.counts == {"skipped:warcinfo": 1, "no_text": 1}


@given(
    data=st.binary(max_size=3000), at=st.integers(0, 4000), name=st.sampled_from(["f.warc", "f.warc.gz", "f.warc.zst"])
)
def test_arbitrary_bytes_end_in_counts_not_in_exceptions(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, at: int, name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    good = PACKINGS["a" + name[1:]](pages(3))
    path.write_bytes(good[:at] + data + good[at:])
    whole, problems = read(path, "warc", 1 << 30)
    cut, cut_problems = read(path, "warc", 1500)
    assert (cut, cut_problems.counts) == (whole, problems.counts)


def test_memory_is_bounded_by_the_record_not_the_file(tmp_path: Path) -> None:
    filler = warc_record("metadata", random.Random(0).randbytes(300_000), 1)
    for name in ("a.warc", "a.warc.gz", "whole.warc.gz"):
        path = tmp_path / name
        path.write_bytes(PACKINGS[name]([filler] * 60 + pages(1)))
        tracemalloc.start()
        documents, problems = read(path, "warc")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(documents) == 1
        assert problems.counts["skipped:metadata"] == 60
        assert peak < 8 << 20


def arc_records(count: int, version: int = 1) -> list[bytes]:
    more = "200 - - 0 a.arc " if version == 2 else ""
    head = f"{version} 0 By hand\nURL IP-address Archive-date Content-type Archive-length\n".encode()
    records = [
        arc_record("filedesc://a.arc", head, "text/plain"),
        arc_record("dns:example.org", b"x 1", "text/dns", more),
    ]
    for n in range(1, count + 1):
        body = http_response(page(paragraph(f"Number {n}") * (n % 5 + 1)).encode(), HTML)
        records.append(arc_record(f"http://example.org/a page {n}", body, "text/html", more))
    return records


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", ["a.arc", "a.arc.gz", "whole.arc.gz"])
def test_arc_files_are_read_whole_and_in_spans(tmp_path: Path, name: str, version: int) -> None:
    path = tmp_path / name
    path.write_bytes(PACKINGS[name.replace("arc", "warc")](arc_records(9, version)))
    documents, problems = read(path, "arc", 1 << 30)
    assert [d["url"] for d in documents] == [f"http://example.org/a page {n}" for n in range(1, 10)]
    assert orjson.loads(documents[0]["metadata"])["date"] == "2008-04-30T20:48:25Z"
    assert "Number 1 is the subject" in documents[0]["text"]
    assert problems.counts == {"skipped:filedesc": 1, "skipped:not_http": 1}
    assert recognise(str(path), name) == "arc"
    for unit_bytes in (90, 700, 3000):
        again, counted = read(path, "arc", unit_bytes)
        assert (again, counted.counts) == (documents, problems.counts)


@pytest.mark.parametrize("name", ["a.arc", "a.arc.gz"])
@pytest.mark.parametrize("kind", ["truncated", "bytes missing", "garbage between", "garbage first"])
def test_damage_of_arc_files_costs_what_it_hits(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    path.write_bytes(damage(PACKINGS[name.replace("arc", "warc")](arc_records(12)), kind))
    documents, problems = read(path, "arc", 1 << 30)
    assert len(documents) >= (4 if kind == "truncated" else 10)
    for unit_bytes in (100, 700):
        again, counted = read(path, "arc", unit_bytes)
        assert (again, counted.counts) == (documents, problems.counts)


@pytest.mark.parametrize("piece", [b"http://a 1.1.1.1 12345678 x ", b"http://", b"dns: 1 12345678 ", b"filedesc:1 "])
def test_lines_that_nearly_are_headers_take_linear_time(tmp_path: Path, piece: bytes) -> None:
    path = tmp_path / "a.arc"
    path.write_bytes(arc_records(1)[0] + piece * (400_000 // len(piece)) + b"\n" + b"".join(arc_records(2)[1:]))
    start = time.perf_counter()
    documents, problems = read(path, "arc", 1 << 17)
    assert time.perf_counter() - start < 20
    assert len(documents) == 2
    assert problems.counts["bad_warc_record"] == 1


def test_pages_without_an_http_header_are_read_where_the_record_says_html(tmp_path: Path) -> None:
    body = page(paragraph("Bare")).encode()
    path = tmp_path / "a.warc"
    path.write_bytes(warc_record("response", body, 1, Content_Type="text/html", WARC_Target_URI="http://x/"))
    (document,), _ = read(path, "warc")
    assert "Bare is the subject" in document["text"]
    path = tmp_path / "a.arc"
    path.write_bytes(arc_record("http://x/", body))
    (document,), _ = read(path, "arc")
    assert "Bare is the subject" in document["text"]


def test_the_archives_of_a_wacz_package_are_read_and_nothing_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "a.wacz"
    with zipfile.ZipFile(path, "w") as package:
        for name, data in (
            ("archive/one.warc.gz", gzip_members(pages(3))),
            ("archive/two.warc", b"".join(pages(2))),
            ("indexes/index.cdx.gz", gzip.compress(b"x")),
            ("pages/pages.jsonl", b'{"id": "p", "url": "http://x/", "text": "not a page of ours"}\n'),
            ("datapackage.json", b"{}"),
        ):
            package.writestr(name, data)
    assert recognise(str(path), path.name) == "wacz"
    for unit_bytes in (1 << 30, 500):
        documents, problems = read(path, "wacz", unit_bytes)
        assert [d["url"][-1] for d in documents] == ["1", "2", "3", "1", "2"]
        assert problems.counts == {"skipped:warcinfo": 2, "skipped:request": 5, "skipped:beside_archives": 3}
    assert documents[3]["source"] == "web"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.warc.wat.gz", r"is a WAT file .* which megadata does not read; read the crawl's WARC or WET files"),
        ("a.cdx.gz", r"is an index of web archives, which megadata does not read; read the WARC files it names"),
    ],
)
def test_what_lies_beside_archives_is_refused_with_what_to_do(tmp_path: Path, name: str, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"x") if name.endswith(".gz") else b"x")
    with pytest.raises(CorpusError, match=message):
        expand([str(path)])
    (tmp_path / "b.warc").write_bytes(b"".join(pages(1)))
    assert expand([str(tmp_path)]).passed_over


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.warc.zst"])
@pytest.mark.parametrize("inner", ["a.warc", "a.warc.gz", "a.warc.zst"])
def test_an_archive_inside_a_record_gives_no_documents_whatever_the_spans(
    tmp_path: Path, name: str, inner: str
) -> None:
    noise = random.Random(4)
    words = ["".join(noise.choices("abcdefghijklmnopqrstuvwxyz", k=9)) for _ in range(5000)]
    many = [response_record(page(f"<p>{' '.join(noise.sample(words, 60))}</p>").encode(), 1000 + n) for n in range(120)]
    content = PACKINGS[inner](many)
    fields = {"Content_Type": "application/octet-stream", "WARC_Target_URI": "http://x/inner"}
    records = [*pages(3), warc_record("resource", content, 99, **fields), *pages(5)[3:]]
    path = tmp_path / name
    path.write_bytes(PACKINGS[name](records))
    whole, problems = read(path, "warc", 1 << 30)
    assert [d["url"] for d in whole] == [f"http://example.org/{n}" for n in (1, 2, 3, 2, 3, 4, 5)]
    assert problems.counts["skipped:media_type"] == 1
    for unit_bytes in (512, 5000, 40_000):
        cut, counted = read(path, "warc", unit_bytes)
        assert [d["url"] for d in cut] == [d["url"] for d in whole]
        assert counted.counts == problems.counts


def test_elements_that_a_server_calls_plain_text_are_no_text(tmp_path):
    path = tmp_path / "a.warc"
    bodies = (
        b"<?xml version='1.0'?>\n<playlist><title>Songs</title></playlist>\n",
        b"\xef\xbb\xbf<!-- sheet --><script>x()</script>",
        b"<3 is a heart, and this is text",
        b"<p>Some write elements first, and then words",
    )
    path.write_bytes(b"".join(response_record(body, n, "Content-Type: text/plain") for n, body in enumerate(bodies)))
    documents, problems = read(path, "warc")
    assert [d["text"][:5] for d in documents] == ["<3 is", "<p>So"]
    assert dict(problems.counts) == {"skipped:media_type": 2}
