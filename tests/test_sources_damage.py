"""Seekable files with a damaged frame: it costs the records that touch it and no others, whatever the spans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
import zstandard
from sources_support import (
    arc_record,
    dump_head,
    dump_page,
    http_response,
    page,
    paragraph,
    read,
    response_record,
    warc_record,
)

from megadata.runtime.seekable import seek_table_bytes

FRAME = 700


def dump(number: int) -> bytes:
    return ((dump_head() if number == 1 else "") + dump_page(number, f"Number {number}. " * 20)).encode()


def article(number: int) -> str:
    return f'<doc id="{number}" url="http://x/{number}" title="t">\nt\n\n{"It is. " * 40}Number {number} \n</doc>\n'


RECORDS: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "jsonl": ("a.jsonl", lambda n: orjson.dumps({"text": f"Number {n} " * 30}) + b"\n"),
    "lines": ("a.txt", lambda n: f"Number {n} ".encode() * 30 + b"\n"),
    "warc": ("a.warc", lambda n: response_record(page(paragraph(f"Number {n}")).encode(), n)),
    "wet": ("a.wet", lambda n: warc_record("conversion", b"Number %d. " % n * 30, n, WARC_Target_URI="http://x")),
    "arc": ("a.arc", lambda n: arc_record(f"http://x/{n}", http_response(page(paragraph(f"Number {n}")).encode()))),
    "mediawiki": ("d.xml", dump),
    "wikidoc": ("wiki_00", lambda n: article(n).encode()),
}


@pytest.mark.parametrize("unit_bytes", [300, 701, 2500, 1 << 30])
@pytest.mark.parametrize("kind", RECORDS)
def test_a_damaged_frame_costs_the_records_that_touch_it(tmp_path: Path, kind: str, unit_bytes: int) -> None:
    name, record = RECORDS[kind]
    records = [record(number) for number in range(1, 13)]
    content = b"".join(records)
    parts = [content[at : at + FRAME] for at in range(0, len(content), FRAME)]
    frames = [bytearray(zstandard.ZstdCompressor().compress(part)) for part in parts]
    table = seek_table_bytes([(len(frame), len(part)) for frame, part in zip(frames, parts, strict=True)])
    path = tmp_path / f"{name}.zst"
    path.write_bytes(b"".join(frames) + table)
    whole, problems = read(path, kind, unit_bytes)
    assert [int(d["text"].split("Number ")[1].split()[0].strip(".,")) for d in whole] == list(range(1, 13))
    assert not problems.counts
    lost = {2, len(frames) - 2}
    for number in lost:
        frames[number][0] ^= 1
    path.write_bytes(b"".join(frames) + table)
    expected, at = [], 0
    for document, one in zip(whole, records, strict=True):
        touched = range(max(at - 1, 0) // FRAME, (at + len(one) - 1) // FRAME + 1)
        if not lost.intersection(touched):
            expected.append(document)
        at += len(one)
    found, problems = read(path, kind, unit_bytes)
    assert found == expected
    assert len(found) >= 6
    assert problems.counts["damaged_compression"] == 2
    assert set(problems.counts) <= {"damaged_compression", "truncated_record", "bad_warc_record"}
