"""Streams: every compression, entering a file at an offset, lines that belong to a span."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from io import BufferedReader, BytesIO
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from sources_support import refuse

from megadata.errors import CorpusError
from megadata.runtime.damage import DamagedStream
from megadata.runtime.entering import decoded_length, lines, open_at, seek_table
from megadata.runtime.gzipstream import GZIP_ERROR, GzipMembers
from megadata.runtime.seekable import seek_table_bytes
from megadata.runtime.streams import open_decoded
from megadata.runtime.units import InputFile, Span, cut, pack_units

TEXT = "".join(f"line {i} with some text\n" for i in range(2000)).encode()
ENCODERS = {
    "": lambda b: b,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}


def input_file(path: Path) -> InputFile:
    status = path.stat()
    return InputFile(path.name, str(path), status.st_size, status.st_mtime_ns, "jsonl", "text", "text")


def seekable(text: bytes, frame: int) -> bytes:
    blocks = [text[i : i + frame] for i in range(0, len(text), frame)]
    frames = [zstandard.compress(block) for block in blocks]
    return b"".join(frames) + seek_table_bytes([(len(f), len(b)) for f, b in zip(frames, blocks, strict=True)])


@pytest.mark.parametrize("ending", ENCODERS)
def test_every_compression_is_read_by_its_ending(tmp_path, ending):
    path = tmp_path / f"a.jsonl{ending}"
    path.write_bytes(ENCODERS[ending](TEXT))
    with open_decoded(str(path)) as stream:
        assert stream.read() == TEXT


@pytest.mark.parametrize("ending", [".gz", ".zst", ".bz2"])
def test_several_members_are_one_stream(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_bytes(ENCODERS[ending](b"one\n") + ENCODERS[ending](b"two\n"))
    with open_decoded(str(path)) as stream:
        assert stream.read() == b"one\ntwo\n"


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_a_truncated_file_gives_its_good_lines_and_then_says_where_it_ends(tmp_path, ending):
    path = tmp_path / f"a.jsonl{ending}"
    whole = ENCODERS[ending](bytes(range(256)) * 4000 + TEXT)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        DamagedStream, match=rf"a\.jsonl\{ending}: expected a whole \w+ stream, found damage after \d+ decoded"
    ):
        list(lines(Span(input_file(path), 0, -1), 1 << 20, refuse))


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(CorpusError, match=r"nothing\.jsonl: cannot be read: No such file or directory; check the path"):
        open_decoded(str(tmp_path / "nothing.jsonl"))


@pytest.mark.parametrize("start", [0, 1, 999, 1000, 1001, 5000, len(TEXT) - 1, len(TEXT), len(TEXT) + 9])
def test_a_seekable_file_is_entered_at_any_byte(tmp_path, start):
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(seekable(TEXT, 1000))
    file = input_file(path)
    assert decoded_length(file) == len(TEXT)
    with open_at(file, start) as stream:
        assert stream.read() == TEXT[start:]


def test_a_zstd_file_without_a_table_has_no_known_length(tmp_path):
    path = tmp_path / "a.zst"
    path.write_bytes(zstandard.compress(TEXT))
    assert decoded_length(input_file(path)) is None


@given(
    text=st.lists(st.sampled_from([b"", b"a", b"bb\r", b"c" * 30, "é".encode()]), max_size=30),
    ends=st.booleans(),
    unit=st.integers(1, 40),
    frame=st.integers(1, 25),
)
def test_each_line_belongs_to_exactly_one_span(tmp_path_factory, text, ends, unit, frame):
    content = b"\n".join(text) + (b"\n" if ends else b"")
    folder = tmp_path_factory.mktemp("spans")
    for name, stored in (("a.jsonl", content), ("a.jsonl.zst", seekable(content, frame))):
        path = folder / name
        path.write_bytes(stored)
        file = input_file(path)
        whole = list(lines(Span(file, 0, -1), 1 << 20, refuse))
        pieces = [line for span in cut(file, len(content), unit) for line in lines(span, 1 << 20, refuse)]
        assert pieces == whole
        assert [line for _, line in whole] == [
            line.rstrip(b"\r\n") for line in content.splitlines(keepends=True) if line
        ]


@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=20),
    frame=st.integers(1, 25),
    unit=st.integers(1, 60),
    bad=st.sets(st.integers(0, 20), min_size=1, max_size=3),
)
def test_a_damaged_frame_costs_the_lines_it_touches_and_is_told_by_one_span(tmp_path_factory, sizes, frame, unit, bad):
    content = b"".join(b"%c" % (97 + n) * size + b"\n" for n, size in enumerate(sizes))
    path = tmp_path_factory.mktemp("damage") / "a.jsonl.zst"
    stored = bytearray(seekable(content, frame))
    file = input_file(path) if path.write_bytes(stored) else None
    table = seek_table(file)
    starts = table.decoded.tolist()
    bad = {n for n in bad if n < len(starts) - 1}
    for n in bad:
        stored[int(table.stored[n])] ^= 1  # no frame begins so
    path.write_bytes(stored)

    def read(spans):
        told: list[int] = []
        found = []
        for span in spans:
            mine: list[int] = []
            found += lines(span, 1 << 20, lambda damage, mine=mine: mine.append(damage.start))
            told += [start for start in set(mine) if span.start <= start and (span.stop == -1 or start < span.stop)]
        return found, sorted(told)

    lost = [range(starts[n], starts[n + 1]) for n in bad]
    whole, told = read([Span(file, 0, -1)])
    assert told == sorted(starts[n] for n in bad)
    assert (whole, told) == read(cut(file, len(content), unit))
    at, expected = 0, []
    for line in content.splitlines(keepends=True):
        before = {at - 1, *range(at, at + len(line))}  # what ends the line before tells that one begins
        if not any(byte in span for span in lost for byte in before):
            expected.append((at, line.rstrip(b"\n")))
        at += len(line)
    assert whole == expected


@pytest.mark.parametrize("at", [0, 4, 8, -9, -4], ids=["magic", "length", "first frame", "count", "last magic"])
def test_a_seek_table_that_does_not_fit_the_file_is_none(tmp_path, at):
    path = tmp_path / "a.zst"
    frame = zstandard.compress(TEXT)
    table = bytearray(seek_table_bytes([(len(frame), len(TEXT))]))
    path.write_bytes(frame + table)
    assert decoded_length(input_file(path)) == len(TEXT)
    table[at] ^= 1
    path.write_bytes(frame + table)
    assert decoded_length(input_file(path)) is None


def test_a_table_of_frames_too_large_to_hold_is_none(tmp_path):
    path = tmp_path / "a.zst"
    frame = zstandard.compress(TEXT)
    path.write_bytes(frame + seek_table_bytes([(len(frame), 1 << 31)]))
    assert decoded_length(input_file(path)) is None


def test_a_frame_of_another_size_than_the_table_tells_is_damage(tmp_path):
    path = tmp_path / "a.zst"
    frames = [zstandard.compress(b"x" * 50), zstandard.compress(b"y" * 50)]
    path.write_bytes(b"".join(frames) + seek_table_bytes([(len(frames[0]), 49), (len(frames[1]), 50)]))
    with pytest.raises(
        DamagedStream, match=r"expected a zstd frame of 49 bytes at 0, found damage \(it says"
    ) as caught:
        open_at(input_file(path), 10)
    assert (caught.value.start, caught.value.resumes) == (0, 49)
    with open_at(input_file(path), 49) as stream:
        assert stream.read() == b"y" * 50


def test_a_line_that_is_too_long_is_given_as_none_and_the_next_one_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"short\n" + b"x" * 5000 + b"\nnext\n")
    assert list(lines(Span(input_file(path), 0, -1), 100, refuse)) == [(0, b"short"), (6, None), (5007, b"next")]


def test_units_gather_small_files_and_part_large_ones_and_sources():
    files = [
        InputFile(str(i), str(i), size, 0, "jsonl", label, "text")
        for i, (size, label) in enumerate([(3, "a"), (4, "a"), (25, "a"), (1, "a"), (1, "b")])
    ]
    units = pack_units((span for f in files for span in cut(f, f.size, 10)), 10)
    assert [[(s.file.name, s.start, s.stop) for s in u.spans] for u in units] == [
        [("0", 0, 3), ("1", 0, 4)],
        [("2", 0, 10)],
        [("2", 10, 20)],
        [("2", 20, 25), ("3", 0, 1)],
        [("4", 0, 1)],
    ]


@given(
    members=st.lists(st.binary(max_size=300) | st.integers(0, 3).map(lambda n: b"ab" * (n * 50_000)), max_size=3),
    padding=st.sampled_from([b"", b"\0", b"\0" * 200_000]),
    behind=st.sampled_from([b"", b"\0\0", b"x", b"\x1f", b"other"]),
    cut=st.none() | st.integers(0, 900),
    flip=st.none() | st.integers(10 * 8, 10_000),
)
def test_gzip_members_are_read_as_the_standard_library_reads_them(members, padding, behind, cut, flip):
    stored = bytearray(padding.join(map(gzip.compress, members)) + behind)[:cut]
    if flip is not None and flip < 8 * len(stored):
        stored[flip // 8] ^= 1 << flip % 8
    ours, our_end = everything(BufferedReader(GzipMembers(BytesIO(stored)), 1 << 20))
    theirs, their_end = everything(gzip.GzipFile(fileobj=BytesIO(stored)))
    if flip is None or our_end is their_end is None:
        assert (ours, our_end) == (theirs, their_end)
    else:  # in a damaged member the two may stop at different bytes
        common = min(len(ours), len(theirs))
        assert ours[:common] == theirs[:common]


def everything(stream):
    """All bytes that a stream gives, and the kind of error that ends it."""
    blocks = []
    try:
        while block := stream.read1(1 << 16):
            blocks.append(block)
    except (OSError, EOFError, GZIP_ERROR, zlib.error) as error:
        return b"".join(blocks), "damage" if isinstance(error, (GZIP_ERROR, zlib.error)) else type(error)
    return b"".join(blocks), None


def test_two_spans_of_a_file_are_two_units_however_small_they_are_stored():
    files = [InputFile(str(i), str(i), 10, 0, "jsonl", "a", "text") for i in range(2)]
    units = pack_units((span for f in files for span in cut(f, 10, 6)), 1000)
    assert [[(s.file.name, s.start, s.stop) for s in u.spans] for u in units] == [
        [("0", 0, 6)],
        [("0", 6, 10), ("1", 0, 6)],
        [("1", 6, 10)],
    ]
