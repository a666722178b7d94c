"""JSON lines: what kernels take out of lines and write into them is what orjson reads and writes, line by line."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from megadata.documents import jsonl
from megadata.documents.batch import DocBatch
from megadata.documents.fields import Rows
from megadata.documents.inputs import expand, plan, read_unit
from megadata.documents.jsonl import Jsonl
from megadata.documents.shards import encode, encode_lines
from megadata.documents.source import Problems, ReadOptions
from megadata.runtime import entering
from megadata.runtime.entering import lines
from megadata.runtime.units import InputFile, Span

TEXTS = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from('\\"\n\t\x00\x1f/é日😀{}[],:')))
NAMES = st.sampled_from(["text", "id", "url", "source", "metadata", "body", "te\\xt", 'te"xt'])
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(-5, 5), st.booleans(), st.none(), st.just("text")),
    lambda inside: st.one_of(st.lists(inside, max_size=2), st.dictionaries(NAMES, inside, max_size=2)),
    max_leaves=4,
)


@st.composite
def json_lines(draw: st.DrawFn) -> bytes:
    """A line: JSON as various programs write it, some of it damaged."""
    fields = draw(st.lists(st.tuples(NAMES, VALUES), max_size=4))  # names may repeat
    if draw(st.booleans()):
        fields.insert(draw(st.integers(0, len(fields))), ("text", draw(TEXTS)))
    ascii_only, spaced = draw(st.booleans()), draw(st.sampled_from(["", " ", "\t "]))
    dumped = [
        f"{json.dumps(name, ensure_ascii=ascii_only)}{spaced}:{spaced}{json.dumps(value, ensure_ascii=ascii_only)}"
        for name, value in fields
    ]
    line = ("{" + f"{spaced},{spaced}".join(dumped) + "}" + draw(st.sampled_from(["", " ", "\r"]))).encode()
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(line)))
        damage = draw(
            st.sampled_from([b"", b'"', b"{", b"}", b"[", b"]", b",", b"\\", b"\xff", b"\xed\xa0\x80", b"\\ud800"])
        )
        line = line[:at] + damage + line[at + draw(st.integers(0, 2)) :]
    return line.replace(b"\n", b"")


def whole(found: Iterator[DocBatch], problems: Problems) -> object:
    """All that comes of reading."""
    return [row for docs in found for row in docs], problems.items


def one_by_one(data: bytes, file: InputFile, options: ReadOptions) -> object:
    """What comes of reading when every line goes through orjson whole."""
    problems = Problems()
    rows = Rows(file, options, problems)
    at = 0
    for line in data.split(b"\n"):
        bare = line.rstrip(b"\r\n")
        if bare and not bare.isspace():
            jsonl._parse(rows, at, bare)
        at += len(line) + 1
    return whole(iter([rows.take()]), problems)


def reader(path: Path, data: bytes) -> InputFile:
    path.write_bytes(data)
    return InputFile(path.name, str(path), len(data), 1, "jsonl", "text", "text")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    found=st.lists(json_lines(), max_size=8),
    name=st.sampled_from(["text", "body", "url", "metadata", ".", "id"]),
    ended=st.booleans(),
)
@example(
    found=[b'{"text":"x","a":[{}', b'{"q":1}]},{"text":"y"}'], name="text", ended=True
)  # wrong alone, right together
@example(found=[b'{"text":"x"', b'"b":1}'], name="text", ended=True)
@example(found=[b'{"text":"x"},{"id":"b"}', b'{"text":"y"}'], name="text", ended=True)
@example(
    found=[b'{"a":{"text":"inside"}}', b'{"text":"a","text":"b"}', b'{"kind":"text","text":"c"}'],
    name="text",
    ended=True,
)
@example(
    found=[b'{"text":"a","te\\u0078t":"b"}', b'{"text":"\\ud83d\\ude00\\u00e9\\/\\b\\f\\r"}'], name="text", ended=True
)
@example(
    found=[b'{"text":"\\ud83d"}', b'{"text":"\\u12"}', b'{"text":"\\x"}', b'{"text":"a\x01b"}'], name="text", ended=True
)
@example(found=[b'{"text":"' + b"x" * 200 + b'\\n"}'] * 3 + [b'{"text":"\xff"}'], name="text", ended=False)
def test_lines_read_together_are_what_they_are_one_by_one(tmp_path, found, name, ended):
    data = b"\n".join(found) + (b"\n" if ended and found else b"")
    file = reader(tmp_path / "a.jsonl", data)
    options, problems = ReadOptions(text_field=name), Problems()
    got = whole(Jsonl().read(Span(file, 0, len(data)), options, problems), problems)
    assert got == one_by_one(data, file, options)


@st.composite
def plain_lines(draw: st.DrawFn) -> list[bytes]:
    """Lines of an id and a text, as they come from most programs, and now and then one that is something else."""
    name = st.text(st.one_of(st.characters(exclude_categories=["Cs"], min_codepoint=32), st.sampled_from("é日 ,:{}[]")))
    spaced = draw(st.sampled_from(["", " "]))
    odd = draw(st.lists(st.integers(0, 7), max_size=2, unique=True))
    found = []
    for row in range(8):
        fields: list[tuple[str, object]] = [("id", draw(name) or "x"), ("text", draw(TEXTS))]
        if row in odd:
            fields[0] = ("id", draw(VALUES)) if draw(st.booleans()) else (draw(NAMES), "x")
            fields += [("url", "x")] * draw(st.integers(0, 1))
        if draw(st.booleans()):
            fields.reverse()
        members = [f"{json.dumps(k)}{spaced}:{spaced}{json.dumps(v, ensure_ascii=False)}" for k, v in fields]
        found.append(("{" + f",{spaced}".join(members) + "}" + draw(st.sampled_from(["", " ", "\r"]))).encode())
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    found=plain_lines(),
    own=st.sampled_from(["id", "url", "id.x"]),
    ended=st.booleans(),
    lines_read=st.sampled_from([64, 4096]),
)
@example(found=[b'{"id":"a\x01","text":"x"}', b'{"id":"\xff","text":"x"}'], own="id", ended=True, lines_read=4096)
@example(found=[b'{"id":"\xff","text":"x"}', b'{"id":"","text":"x"}'], own="id", ended=True, lines_read=4096)
@example(found=[b'{"id":"a","id":"b","text":"x"}', b'{"id":"a"}'], own="id", ended=True, lines_read=4096)
@example(found=[b'{"id":"a","text":"x"', b',"text":"y"}'], own="id", ended=True, lines_read=4096)
def test_records_of_an_id_and_a_text_are_what_they_are_one_by_one(tmp_path, found, own, ended, lines_read):
    data = b"\n".join(found) + (b"\n" if ended else b"")
    file = reader(tmp_path / "a.jsonl", data)
    options, problems = ReadOptions(id_field=own), Problems()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entering, "_LINES", lines_read)  # so that what comes as columns meets what comes one by one
        got = whole(Jsonl().read(Span(file, 0, len(data)), options, problems), problems)
    assert got == one_by_one(data, file, options)


def test_records_of_an_id_and_a_text_become_no_objects(tmp_path, monkeypatch):
    data = b"".join(b'{"id": "%d", "text": "a\\nb"}\n' % row for row in range(5000))
    file = reader(tmp_path / "a.jsonl", data)
    monkeypatch.setattr(Rows, "add_with_text", None)
    found = [row for docs in Jsonl().read(Span(file, 0, len(data)), ReadOptions(), Problems()) for row in docs]
    assert [row["id"] for row in found] == [str(row) for row in range(5000)]
    assert {row["text"] for row in found} == {"a\nb"}
    assert {row["metadata"] for row in found} == {'{"path":"a.jsonl"}'}


def test_a_byte_order_mark_and_blank_lines_are_read_over(tmp_path):
    file = reader(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"text": "a"}\r\n\n \t\r\n{"text": "b"}\r\r\n\x0b\n{"text": "c"}')
    problems = Problems()
    (docs,) = Jsonl().read(Span(file, 0, file.size), ReadOptions(), problems)
    assert docs.texts == ["a", "b", "c"]
    assert not problems.items


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    found=st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=12),
    most=st.integers(1, 12),
    cuts=st.lists(st.integers(0, 150), max_size=3),
)
def test_lines_are_the_same_for_all_cuts(tmp_path, monkeypatch, found, most, cuts):
    monkeypatch.setattr("megadata.runtime.entering._LINES", 5)
    data = b"\n".join(found)
    file = reader(tmp_path / "a.txt", data)
    expected, at = [], 0
    for line in found:
        expected.append((at, None if len(line) > most else line.rstrip(b"\r")))
        at += len(line) + 1
    if expected and expected[-1][0] == len(data):  # nothing begins at the end
        expected.pop()
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    spans = [Span(file, start, stop) for start, stop in itertools.pairwise(bounds) if start < stop]
    assert [one for span in spans for one in lines(span, most, pytest.fail)] == expected


@given(
    texts=st.lists(TEXTS, max_size=6),
    url=st.one_of(st.none(), TEXTS),
    reason=st.one_of(st.none(), TEXTS),
    value=st.floats(allow_infinity=False),
)
@example(texts=["".join(map(chr, range(300))), "x" * 64, "\n" * 64, "\x00" * 500], url=None, reason=None, value=0.0)
def test_lines_are_written_as_orjson_writes_them(texts, url, reason, value):
    docs = DocBatch.of(
        [f"id{text[:9]}" for text in texts], texts, "a source", [url] * len(texts), ['{"a": 1}'] * len(texts)
    )
    told = () if reason is None else ([reason] * len(texts), [value] * len(texts), ["< 5"] * len(texts))
    expected = []
    for text in texts:
        line = {"id": f"id{text[:9]}", "text": text, "source": "a source", **({} if url is None else {"url": url})}
        line["metadata"] = orjson.Fragment(b'{"a": 1}')
        expected.append(line if reason is None else line | {"reason": reason, "value": value, "threshold": "< 5"})
    expected = [orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in expected]
    assert list(encode_lines(docs, *told)) == expected
    if texts:
        rest = docs.slice(1, len(docs))
        assert list(encode_lines(rest, *(one[1:] for one in told))) == expected[1:]
    assert bytes(encode(docs, *told).data) == b"".join(expected)


@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_what_python_writes_for_no_number_is_null(tmp_path, kind):
    odd = {
        "text": 'NaN "Infinity" \\',
        "metadata": {"a": float("nan"), "b": [float("-inf"), float("inf"), 1.5], "NaN": "NaN"},
    }
    path = tmp_path / f"a.{kind}"
    path.write_text(
        json.dumps(odd) + "\n" + json.dumps({"text": "next"}) if kind == "jsonl" else json.dumps([odd], indent=1)
    )
    problems = Problems()
    [batch] = [b for u in plan(expand([str(path)]).files) for b in read_unit(u, ReadOptions(), problems)]
    assert not problems.counts
    row = next(iter(batch))
    assert row["text"] == odd["text"]
    assert orjson.loads(row["metadata"])["a"] is None
    assert orjson.loads(row["metadata"])["b"] == [None, None, 1.5]
    assert orjson.loads(row["metadata"])["NaN"] == "NaN"


def test_no_number_outside_of_a_value_is_still_no_json(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x"}\n{"text": "y", NaN}\n{"text": "z", "n": NaNa}\n')
    problems = Problems()
    assert [
        t for u in plan(expand([str(path)]).files) for b in read_unit(u, ReadOptions(), problems) for t in b.texts
    ] == ["x"]
    assert problems.counts == {"bad_json": 2}
