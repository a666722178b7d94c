"""Damaged files of every kind: seeds, what is done to them, and what must hold whatever was done.

Each case follows from (seed, number) alone. To see one again::

    PYTHONPATH=.:tests python -m fuzz_support --seed 7 --first 1234 --cases 1 --keep FOLDER

and to run as many as there is time for, with a count for each kind at the end::

    PYTHONPATH=.:tests python -m fuzz_support --seed 7 --cases 100000
"""

from __future__ import annotations

import argparse
import bz2
import faulthandler
import gzip
import io
import itertools
import lzma
import os
import random
import signal
import sys
import tarfile
import tempfile
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from sources_support import (
    Documents,
    arc_record,
    dump_head,
    dump_page,
    epub_file,
    gzip_members,
    http_response,
    input_file,
    multistream,
    page,
    paragraph,
    read,
    response_record,
    warc_record,
)

from megadata.documents.inputs import expand
from megadata.documents.registry import OURS
from megadata.errors import MegadataError
from megadata.runtime.entering import decoded_length

HANG_SECONDS = 10
"""Time that one case may take."""
LIMITS: dict[str, Any] = {"max_record_bytes": 1 << 20, "max_page_characters": 1 << 20, "page_seconds": 3.0}
MOST_SPANS = 1000
"""Spans that a file is cut into at most."""
REAL_BYTES = 1 << 16
"""What is taken of a real file; more would take the time of many small cases."""


@dataclass(frozen=True)
class Seed:
    """A whole file: its kind, its name, its bytes, and whether its words are worth replacing."""

    kind: str
    name: str
    data: bytes
    options: dict[str, Any] = field(default_factory=dict)


def _tar(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members.items():
            head = tarfile.TarInfo(name)
            head.size = len(data)
            archive.addfile(head, io.BytesIO(data))
    return out.getvalue()


def _zip(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def _parquet(table: pa.Table, **how: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=4, **how)
    return out.getvalue()


def _arrow(table: pa.Table, new: Callable[..., Any]) -> bytes:
    out = io.BytesIO()
    with new(out, table.schema) as writer:
        writer.write_table(table, 3)
    return out.getvalue()


ROWS = [
    {"id": f"r{n}", "text": f"Row {n} “quoted”, \\ and 漢字 " * (n % 4), "meta": {"n": n, "a": [1, None]}}
    for n in range(9)
]
RECORDS = [response_record(page(paragraph(f"Number {n}")).encode(), n) for n in range(4)]
CHUNKED = response_record(
    b"9\r\n<p>chunk \r\n5\r\nof it\r\n0\r\n\r\n", 8, "Content-Type: text/html", "Transfer-Encoding: chunked"
)
PACKED = response_record(
    gzip.compress(page(paragraph("Packed")).encode(), mtime=0),
    9,
    "Content-Type: text/html; charset=windows-1252",
    "Content-Encoding: gzip",
)
ARC = [arc_record(f"http://x/{n}", http_response(page(paragraph(f"Number {n}")).encode())) for n in range(4)]
WET = [
    warc_record("conversion", f"Plain text {n}.\nMore.".encode(), n, WARC_Target_URI=f"http://x/{n}") for n in range(4)
]
WIKITEXT = (
    "'''A''' [[b|c]] {{convert|3|km}} <ref name=a>x</ref> <math>x^2</math>\n== Head ==\n* one\n# two\n"
    "{| class=a\n! h\n|-\n| x || y\n|}\n"
    "[[File:A.jpg|thumb|200px|A [[link]] caption]] {{lang|de|Wort}} &nbsp; {{formatnum:1234}} "
    "<!-- no --> [http://x y] {{#if: a | b | c }}\n"
)
PAGES = [dump_page(n, WIKITEXT * 2) for n in range(1, 5)]
BOOK = (
    "The Project Gutenberg EBook of X\n\n*** START OF THIS PROJECT GUTENBERG EBOOK X ***\n\n[Illustration: y]\n\n"
    "It was seven o'clock of a very warm evening in the Seeonee hills when\nFather Wolf woke up from his day's rest, and\n\n"
    "    Now Rann the Kite\n      brings home the night\n\nEnd of Project Gutenberg's X\n"
)
SENTENCES = (
    "Rivers rise in the hills",
    "The mill stood by the water",
    "Nobody came that winter",
    "Ships were built of oak",
)
PDF_TEXT = "\f".join(
    f"A Running Head\n\n{one}, as it is told in this chap-\nter, with ﬁ and ﬂ in it, and {one.lower()[::-1]} as well.\n\n{n}\n"
    for n, one in enumerate(SENTENCES, 1)
)
HTML = page(
    paragraph("One") + "<ul><li>a<li>b</ul><table><tr><th>x<td>y</table><pre>code\n  more</pre><b><i>odd</b></i>"
    "<script>var x = '<p>';</script><style>p{}</style><!-- c --><math><mi>x</mi></math>" + paragraph("Two")
)
TEI = (
    b'<TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader><title>T</title></teiHeader><text><body><div><head>H</head><p>A<note>b</note>'
    b"</p><lg><l>c</l><l>d</l></lg><table><row><cell>1</cell></row></table></div></body></text></TEI>"
)

WIKITEXT = """{{Infobox mine|depth={{convert|5|km|mi}}|name=[[Salt]]}}
A '''salt mine''' is a [[mine|place]] where <math>\\ce{NaCl}</math> is dug.<ref>{{cite book|title=Salt}}</ref>
{| class="wikitable"
! Year !! Tonnes
|-
| 1905 || {{formatnum:1200}}
|}
== See also ==
* [[File:Mine.jpg|thumb|200px|A mine]] [[Category:Mines]]
"""


@cache
def seeds() -> list[Seed]:
    """Small whole files of every kind."""
    json_lines = b"".join(orjson.dumps(row) + b"\n" for row in ROWS)
    table = pa.Table.from_pylist(ROWS)
    words = pa.table({"text": pa.array([row["text"] for row in ROWS]).dictionary_encode(), "id": list(range(9))})
    cells = '"id","text"\n' + "".join(f'{n},"A ""cell"" of\nlines {n}, and more"\n' for n in range(6))
    dump = "".join([dump_head(), *PAGES, "</mediawiki>\n"]).encode()
    frames = b"".join(zstandard.ZstdCompressor().compress(one) for one in RECORDS)
    inside = {"a.jsonl": json_lines, "b/c.txt": b"Plain text.\n" * 5, "d.html": HTML.encode(), "e.csv": cells.encode()}
    archive = {"archive/a.warc.gz": gzip_members(RECORDS), "pages/pages.jsonl": b"{}", "datapackage.json": b"{}"}
    book = epub_file({"c1.xhtml": page("<p>One</p>"), "c2.xhtml": page("<p>Two</p>"), "nav.xhtml": page("<p>Toc</p>")})
    doc = b'<doc id="1" url="https://en.wikipedia.org/x" title="t">\nt\n\nx &amp; <b>y</b>\n</doc>\n' * 3
    lines = "One line\n\nAnother – line\nlast".encode()
    return [
        Seed("jsonl", "a.jsonl", json_lines),
        Seed("jsonl", "a.jsonl.gz", gzip.compress(json_lines, mtime=0)),
        Seed("json", "a.json", orjson.dumps(ROWS, option=orjson.OPT_INDENT_2)),
        Seed("lines", "a.txt", lines),
        Seed("csv", "a.csv", cells.encode()),
        Seed("csv", "a.tsv", cells.replace(",", "\t").encode()),
        Seed("parquet", "a.parquet", _parquet(table)),
        Seed("parquet", "b.parquet", _parquet(words, compression="zstd")),
        Seed("arrow", "a.arrow", _arrow(table, pa.ipc.new_stream)),
        Seed("arrow", "b.arrow", _arrow(table, pa.ipc.new_file)),
        Seed("arrow", "c.arrow", _arrow(words, pa.ipc.new_stream)),
        Seed("warc", "a.warc", b"".join([*RECORDS, CHUNKED, PACKED])),
        Seed("warc", "a.warc.gz", gzip_members([*RECORDS, CHUNKED, PACKED])),
        Seed("warc", "a.warc.zst", frames),
        Seed("wet", "a.wet", b"".join(WET)),
        Seed("wet", "a.warc.wet.gz", gzip_members(WET)),
        Seed("arc", "a.arc", b"".join(ARC)),
        Seed("arc", "a.arc.gz", gzip_members(ARC)),
        Seed("wacz", "a.wacz", _zip(archive, zipfile.ZIP_STORED)),
        Seed("html", "a.html", HTML.encode()),
        Seed("html", "b.html", HTML.encode("utf-16")),
        Seed("html", "c.html", HTML.encode(), {"extractor": "resiliparse"}),
        Seed("mediawiki", "d.xml", dump),
        Seed("mediawiki", "d.xml.bz2", multistream(dump_head(), ["".join(PAGES[:2]), "".join(PAGES[2:])])),
        Seed("wikidoc", "wiki_00", doc),
        Seed("wikitext", "Salt_mine.wiki", WIKITEXT.encode()),
        Seed("epub", "b.epub", book),
        Seed("tei", "t.xml", TEI),
        Seed("gutenberg", "g.txt", BOOK.encode()),
        Seed("txt", "x.txt", "hello – world\n".encode() * 9),
        Seed("txt", "p.txt", PDF_TEXT.encode()),
        Seed("tar", "a.tar", _tar(inside)),
        Seed("tar", "a.tar.gz", gzip.compress(_tar(inside), mtime=0)),
        Seed("zip", "a.zip", _zip(inside)),
    ]


REAL = ("*.warc.gz", "*.wet.gz", "*.xml.bz2", "*.epub", "*.parquet", "*.html", "*.txt", "*.jsonl", "*.xml")


@cache
def real_seeds() -> list[Seed]:
    """Beginnings of a few real files, where MEGADATA_REAL_DATA says that there are any; a file of every ending."""
    place = os.environ.get("MEGADATA_REAL_DATA")
    found: list[Seed] = []
    for pattern in REAL if place else ():
        files = [path for path in itertools.islice(Path(place or "").rglob(pattern), 400) if path.is_file()]
        for path in sorted(files, key=lambda one: (one.stat().st_size, one.name))[:2]:
            try:
                (known,) = expand([str(path)]).files
            except (MegadataError, ValueError):
                continue
            kind = known.kind
            whole = kind in ("epub", "parquet") and path.stat().st_size > REAL_BYTES * 4
            if not whole:
                found.append(
                    Seed(kind, path.name, path.read_bytes()[: REAL_BYTES if kind not in ("epub", "parquet") else None])
                )
    return found


WORDS = (
    b"{{", b"[[", b"]]", b"}}", b"{|", b"|}", b"<div>", b"<p>", b"<b>", b"<font a=1>", b"<!--", b"-->",
    b"&#", b"&", b'"', b"'", b"\\",
    b"{", b"}", b"[", b"]", b"<ref>", b"<nowiki>", b"<math>", b"<table>", b"<script>", b"<![CDATA[", b"<a ",
    b"=", b"|", b"\t", b" ",
    b"\n", b"\r", b"\f", b",", b"''", b"<doc id=\"", b"\0",
)  # fmt: skip
EDGES = (
    b"\0", bytes(8), b"\xff" * 8, b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xed\xa0\x80",
    b"\xed\xb0\x80", b"\xc0\xaf", b"\xc0\x80",
    b"\xf4\x90\x80\x80", b"\xe2\x80\xa8", b"\xc2\x85", b"\xf0\x9f", b"\\ud800", b"\\udc00\\ud800",
    b"&#xD800;", b"&#0;", b"&#x110000;",
    b"\x1b$B", b"\xcc\x81" * 50, b"\xe2\x80\xae", b"\xef\xbf\xbe", b"\x1a", b"\x0c",
)  # fmt: skip
MARKS = (
    b"</page>\n", b"<page>\n", b"</text>", b"\r\n\r\nWARC/1.0\r\n", b"\r\n\r\n", b"BZh91AY&SY",
    b"\x1f\x8b\x08", b"PK\x03\x04",
    b"PK\x05\x06", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\x00", b"PAR1", b"ARROW1", b"\xff\xff\xff\xff",
    b'<!DOCTYPE x [<!ENTITY y "z">]>&y;',
    b"</doc>", b"ustar", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip, br, zstd\r\n",
    b"charset=utf-7", b"[" * 300,
    b'{"text": "x"}\n', b"*** END OF THE PROJECT GUTENBERG EBOOK X ***\n",
)  # fmt: skip
NUMBERS = (b"0", b"-1", b"1", b"99999999", b"2147483648", b"18446744073709551616", b"1e999", b"0x10", b"")


def _flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice([1, 1, 1, 4, 30])):
        if data:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _lose(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    del data[at : at + chance.choice([1, 3, 50, 700])]


def _double(data: bytearray, chance: random.Random) -> None:
    """A block once more, or many times."""
    at = chance.randrange(len(data) + 1)
    block = data[at : at + chance.choice([1, 20, 300, 5000])]
    put = chance.randrange(len(data) + 1)
    data[put:put] = block * chance.choice([1, 1, 2, 20])


def _splice(data: bytearray, chance: random.Random) -> None:
    """The end of another seed, of this kind or any."""
    other = chance.choice(seeds()).data
    data[chance.randrange(len(data) + 1) :] = other[chance.randrange(len(other) + 1) :]


def _length(data: bytearray, chance: random.Random) -> None:
    """A number in digits, or four or eight bytes of one, become another."""
    at = chance.randrange(len(data) + 1)
    if chance.random() < 0.5:
        digits = next((i for i in range(at, min(at + 2000, len(data))) if 48 <= data[i] <= 57), None)
        if digits is not None:
            end = digits
            while end < len(data) and 48 <= data[end] <= 57:
                end += 1
            data[digits:end] = chance.choice(NUMBERS)
            return
    size = chance.choice([1, 2, 4, 8])
    value = chance.choice([0, 1, (1 << 8 * size) - 1, 1 << (8 * size - 1), (1 << (8 * size - 1)) - 1, 1 << (4 * size)])
    data[at : at + size] = value.to_bytes(size, chance.choice(["little", "big"]))


def _repeat(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    word = b"".join(chance.choices(WORDS, k=chance.choice([1, 1, 2, 3])))
    data[at:at] = word * chance.choice([1, 5, 60, 600, 3000])


def _edge(data: bytearray, chance: random.Random) -> None:
    at = chance.choice([0, chance.randrange(len(data) + 1), len(data)])
    data[at:at] = chance.choice(EDGES)


def _mark(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.choice(MARKS)


def _noise(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    data[at : at + chance.choice([0, 8])] = chance.randbytes(chance.choice([1, 8, 60, 900]))


MUTATORS = (_flip, _flip, _cut, _lose, _double, _splice, _length, _length, _repeat, _edge, _mark, _noise)


def _seekable(data: bytes) -> bytes:
    from megadata.runtime.seekable import seek_table_bytes

    parts = [data[at : at + 700] for at in range(0, len(data), 700)]
    frames = [zstandard.ZstdCompressor().compress(part) for part in parts]
    return b"".join(frames) + seek_table_bytes([(len(f), len(p)) for f, p in zip(frames, parts, strict=True)])


def _halves(pack: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: pack(data[: len(data) // 2]) + pack(data[len(data) // 2 :])


WRAPPERS: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    (".gz", lambda data: gzip.compress(data, 1, mtime=0)),
    (".gz", _halves(lambda data: gzip.compress(data, 1, mtime=0))),
    (".bz2", lambda data: bz2.compress(data, 1)),
    (".bz2", _halves(lambda data: bz2.compress(data, 1))),
    (".xz", lambda data: lzma.compress(data, preset=0)),
    (".xz", _halves(lambda data: lzma.compress(data, preset=0))),
    (".zst", zstandard.ZstdCompressor(1).compress),
    (".zst", _halves(zstandard.ZstdCompressor(1).compress)),
    (".zst", _seekable),
)


def mutate(data: bytes, chance: random.Random) -> bytes:
    """A copy to which a few things were done."""
    out = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        chance.choice(MUTATORS)(out, chance)
    return bytes(out)


def make(seed: int, number: int, real: bool = False) -> Seed:
    """The file of a case."""
    chance = random.Random(f"{seed}:{number}")
    base = real_seeds() if real and real_seeds() and chance.random() < 0.1 else seeds()
    one = base[number % len(base)]
    data, name = one.data, one.name
    packed = name.endswith((".gz", ".bz2", ".zst", ".xz"))
    if not packed and chance.random() < 0.15:
        ending, pack = chance.choice(WRAPPERS)
        data, name = pack(mutate(data, chance) if chance.random() < 0.5 else data), name + ending
    elif packed and chance.random() < 0.5 and name.endswith(".gz"):
        data = gzip.compress(mutate(gzip.decompress(data), chance), 1, mtime=0) if one in seeds() else data
    options = dict(one.options)
    if one.kind == "html" and chance.random() < 0.02:
        options["extractor"] = "trafilatura"
    return Seed(one.kind, name, mutate(data, chance), options)


def warm(folder: Path) -> dict[str, int]:
    """Read every seed as it is, without a bound: kernels may have to be compiled first. Documents by name of the seed."""
    found = {}
    for number, one in enumerate(seeds()):
        path = folder / f"{number}-{one.name}"
        path.write_bytes(one.data)
        found[f"{one.kind} {path.name}"] = len(read(path, one.kind, **LIMITS, **one.options)[0])
    return found


class Hang(BaseException):
    """A case takes too long. Not an `Exception`, so that nobody keeps it."""


@contextmanager
def bounded(seconds: int = HANG_SECONDS) -> Iterator[None]:
    """Raise `Hang` in what takes longer."""

    def tell(number: int, frame: object) -> None:
        raise Hang(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, tell)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(path: Path, one: Seed, unit_bytes: int) -> tuple[Documents, Counter[str], str]:
    """Documents, counts and the sentence with which a file was refused."""
    try:
        documents, problems = read(path, one.kind, unit_bytes, **LIMITS, **one.options)
    except MegadataError as error:
        return [], Counter(), str(error)
    return documents, problems.counts, ""


def check(path: Path, one: Seed, units: list[int]) -> tuple[int, int]:
    """Assert what must hold of any file; (documents, set aside)."""
    with bounded():
        documents, counts, refused = outcome(path, one, 1 << 30)
        said = decoded_length(input_file(path, one.kind)) or 0  # a seek table that lies tells of any length
        for unit_bytes in (max(unit, said // MOST_SPANS) for unit in units):
            again = outcome(path, one, unit_bytes)
            assert again[0] == documents, f"other documents in units of {unit_bytes}: {_differ(documents, again[0])}"
            assert again[1] == counts, f"other counts in units of {unit_bytes}: {counts} and {again[1]}"
            assert again[2] == refused, f"another error in units of {unit_bytes}: {refused!r} and {again[2]!r}"
    for document in documents:
        assert document["text"].strip() or one.kind in ("jsonl", "json", "csv", "parquet", "arrow", "tar", "zip")
        for value in document.values():
            if isinstance(value, str):
                value.encode()
    assert "\n" not in refused, f"more than a sentence: {refused}"
    return len(documents), sum(counts.values()) + bool(refused)


def _differ(left: Documents, right: Documents) -> str:
    for number, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return f"document {number}: {str(a)[:300]} and {str(b)[:300]}"
    return f"{len(left)} and {len(right)} documents"


@dataclass
class Tally:
    """What came of many cases."""

    cases: Counter[str] = field(default_factory=Counter)
    read: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def table(self) -> str:
        """A line for each kind."""
        rows = [f"{kind:10} {self.cases[kind]:8} {self.read[kind]:10} {self.refused[kind]:10}" for kind in OURS]
        total = f"{'all':10} {self.cases.total():8} {self.read.total():10} {self.refused.total():10}"
        return "\n".join([f"{'kind':10} {'cases':>8} {'documents':>10} {'set aside':>10}", *rows, total])


def run(folder: Path, seed: int, cases: range, real: bool = False, stop_at: int = 20, keep: bool = False) -> Tally:
    """Run cases; failures are collected, each with how to see it again."""
    tally = Tally()
    for number in cases:
        one = make(seed, number, real)
        path = folder / one.name
        path.write_bytes(one.data)
        chance = random.Random(number)
        units = [chance.choice([512, 700, 1500, 4096])] + ([1 << 30] if number % 4 == 0 else [])
        tally.cases[one.kind] += 1
        try:
            documents, aside = check(path, one, units)
        except (Exception, Hang) as error:
            again = f"python -m fuzz_support --seed {seed} --first {number} --cases 1{' --real' if real else ''} --keep FOLDER"
            last = "".join(traceback.format_exception(error)[-3:])
            tally.failures.append(f"{one.kind} {one.name} ({again}):\n{last}")
            print(tally.failures[-1], flush=True)
            if len(tally.failures) >= stop_at:
                break
        else:
            tally.read[one.kind] += documents
            tally.refused[one.kind] += aside
        if not keep:
            path.unlink()
    return tally


def main() -> int:
    """Run cases from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--real", action="store_true", help="take some cases from the real data")
    parser.add_argument("--keep", type=Path, help="leave the files here")
    arguments = parser.parse_args()
    faulthandler.enable()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        warm(Path(scratch))
        last = arguments.first + arguments.cases
        failed = 0
        total = Tally()
        for first in range(arguments.first, last, 1000):
            print(f"from case {first}", file=sys.stderr, flush=True)
            some = run(
                folder,
                arguments.seed,
                range(first, min(first + 1000, last)),
                arguments.real,
                1000,
                bool(arguments.keep),
            )
            total.cases += some.cases
            total.read += some.read
            total.refused += some.refused
            failed += len(some.failures)
    print(total.table(), f"{failed} failures", sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
