"""Mutated files of every kind: no exception, no hang, and the same documents and counts whatever the spans."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from sources_support import (
    arc_record,
    dump_head,
    dump_page,
    epub_file,
    gzip_members,
    http_response,
    multistream,
    page,
    paragraph,
    read,
    response_record,
)

RECORDS = [response_record(page(paragraph(f"Number {n}")).encode(), n) for n in range(4)]
ARC = [arc_record(f"http://x/{n}", http_response(page(paragraph(f"Number {n}")).encode())) for n in range(4)]
PAGES = [dump_page(n, f"'''A''' [[b|c]] {{{{convert|{n}|km}}}} <ref>x</ref> {{| |}} " * 9) for n in range(1, 5)]
BOOK = (
    "The Project Gutenberg EBook of X\n\n*** START OF THIS PROJECT GUTENBERG EBOOK X ***\n\n[Illustration: y]\n\n"
    "It was seven o'clock of a very warm evening in the Seeonee hills when\nFather Wolf woke up from his day's rest, and\n\n"
    "End of Project Gutenberg's X\n"
)
SEEDS: list[tuple[str, str, bytes]] = [
    ("warc", "a.warc", b"".join(RECORDS)),
    ("warc", "a.warc.gz", gzip_members(RECORDS)),
    ("arc", "a.arc", b"".join(ARC)),
    ("arc", "a.arc.gz", gzip_members(ARC)),
    ("mediawiki", "d.xml", "".join([dump_head(), *PAGES, "</mediawiki>\n"]).encode()),
    ("mediawiki", "d.xml.bz2", multistream(dump_head(), ["".join(PAGES[:2]), "".join(PAGES[2:])])),
    (
        "wikidoc",
        "wiki_00",
        b'<doc id="1" url="https://en.wikipedia.org/x" title="t">\nt\n\nx &amp; <b>y</b>\n</doc>\n' * 3,
    ),
    ("epub", "b.epub", epub_file({"c1.xhtml": page("<p>One</p>"), "c2.xhtml": page("<p>Two</p>")})),
    ("tei", "t.xml", b'<TEI xmlns="x"><text><body><p>A<note>b</note></p><lg><l>c</l></lg></body></text></TEI>'),
    ("gutenberg", "g.txt", BOOK.encode()),
    ("html", "h.html", page(paragraph("x")).encode()),
    ("txt", "x.txt", b"hello\n" * 9),
]
INSERTS = (
    bytes(8), b"\xff" * 8, b"99999999", b"</page>\n", b"<page>\n", b"\r\n\r\nWARC/1.0\r\n", b"&#xD800;", b"{{{{[[|",
    b"<div>" * 99, b"BZh91AY&SY", b"\x1f\x8b\x08", b"PK\x03\x04", b'<!DOCTYPE x [<!ENTITY y "z">]>', b"\x1b$B", b"</doc>",
    b'<doc id="',
)  # fmt: skip


def mutate(data: bytes, chance: random.Random) -> bytes:
    """A copy with a few bytes changed, lost, repeated or put in."""
    out = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        at = chance.randrange(len(out) + 1)
        match chance.randrange(6):
            case 0:
                out[at : at + 1] = chance.randbytes(1)
            case 1:
                del out[at : at + chance.randrange(1, 200)]
            case 2:
                out[at:at] = chance.randbytes(chance.randrange(1, 60))
            case 3:
                copied = chance.randrange(len(out) + 1)
                out[at:at] = out[copied : copied + chance.randrange(300)]
            case 4:
                del out[max(at, 1) :]
            case _:
                out[at:at] = chance.choice(INSERTS)
    return bytes(out)


def run(folder: Path, cases: int, seed: int) -> None:
    """Read as many mutated files, each twice: whole and in small spans."""
    chance = random.Random(seed)
    for case in range(cases):
        kind, name, data = SEEDS[case % len(SEEDS)]
        path = folder / name
        path.write_bytes(mutate(data, chance))
        start = time.perf_counter()
        documents, problems = read(path, kind, 1 << 30, max_record_bytes=1 << 20)
        again, counted = read(path, kind, chance.choice([50, 500, 3000]), max_record_bytes=1 << 20)
        message = f"case {case} of seed {seed}: {name}"
        assert time.perf_counter() - start < 5, message
        assert again == documents, message
        assert counted.counts == problems.counts, message
        for document in documents:
            document["text"].encode()


def test_mutated_files_end_in_documents_and_counts(tmp_path: Path) -> None:
    run(tmp_path, 1000, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 22))
def test_a_hundred_thousand_mutated_files_end_in_documents_and_counts(tmp_path: Path, seed: int) -> None:
    run(tmp_path, 5000, seed)
