"""csv and tsv: the csv module's rows, whatever is quoted; bad rows cost themselves. JSON arrays, scanned for their objects."""

from __future__ import annotations

import bz2
import csv
import io
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megadata.documents import jsonarray
from megadata.documents.inputs import expand, plan, read_unit
from megadata.documents.source import Problems, ReadOptions
from megadata.errors import ConfigError, CorpusError

CELL = st.text(st.sampled_from(list('ab",;\t|\n é😀')), max_size=8)


def docs(path: Path, data: bytes | str | None = None, **options):
    if data is not None:
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    read, problems = ReadOptions(**options), Problems()
    units = plan(expand([str(path)], read=read).files)
    return [d for unit in units for batch in read_unit(unit, read, problems) for d in batch], problems


@settings(max_examples=300)
@given(
    rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=12),
    ends=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory, rows, ends, quoting, mark):
    out = io.StringIO()
    csv.writer(out, lineterminator=ends, quoting=quoting).writerows([("text", "id", "other"), *rows])
    found, problems = docs(tmp_path_factory.mktemp("csv") / "a.csv", mark + out.getvalue())
    assert [d["text"] for d in found] == [text for text, _, _ in rows]
    kept = [orjson.loads(d["metadata"]) for d in found]
    assert [one["other"] for one in kept] == [other for _, _, other in rows]
    assert [d["id"] for d, (_, own, _) in zip(found, rows, strict=True) if own] == [own for _, own, _ in rows if own]
    assert not problems.counts


@settings(max_examples=300)
@given(text=st.text(st.sampled_from(list('ab",\n\r \x00é')), max_size=60), quotes=st.booleans())
def test_any_text_gives_the_csv_modules_rows_of_the_right_width_or_is_set_aside(tmp_path_factory, text, quotes):
    table = "text,n\n" + text
    found, problems = docs(tmp_path_factory.mktemp("any") / "a.csv", table.encode(), quotes=quotes)
    if '"' not in text and "\r" not in text:
        expected = list(csv.reader(io.StringIO(table, newline="")))[1:]
        assert [d["text"] for d in found] == [row[0] for row in expected if len(row) == 2]
        wrong = sum(len(row) not in (0, 2) and not (len(row) == 1 and not row[0].strip()) for row in expected)
        assert sum(problems.counts.values()) == wrong
    assert set(problems.counts) <= {"bad_row", "not_utf8"}


def test_rows_are_named_by_the_position_of_their_first_byte(tmp_path):
    table = 'text,n\n"two\nlines",1\n\nplain,2\n"say ""so""",3\n'
    found, _ = docs(tmp_path / "a.csv", table)
    assert [(d["id"], d["text"]) for d in found] == [
        (f"a.csv:{table.index(start)}", text)
        for start, text in (('"two', "two\nlines"), ("plain", "plain"), ('"say', 'say "so"'))
    ]


def test_bad_rows_are_set_aside_and_the_good_ones_around_them_kept(tmp_path):
    table = b"text,n\ngood,1\nshort\nlong,2,3\nb\xffd,4\nlast,5\n"
    found, problems = docs(tmp_path / "a.csv", table)
    assert [d["text"] for d in found] == ["good", "last"]
    assert problems.counts == {"bad_row": 2, "not_utf8": 1}
    assert [i["detail"] for i in problems.items] == [
        "expected 2 cells, found 1",
        "expected 2 cells, found 3",
        "bytes that are not UTF-8",
    ]


def test_a_quote_that_is_never_closed_costs_its_line_alone(tmp_path):
    table = 'text,n\none,1\n"open,2\ntwo,3\n"three, too",4\n'
    found, problems = docs(tmp_path / "a.csv", table)
    assert [d["text"] for d in found][:1] == ["one"]
    assert problems.counts["bad_row"] >= 1
    table = "text,n\n" + '"open,2\nfine,1\n' * 50
    found, problems = docs(tmp_path / "b.csv", table + '"last,9\n')
    assert len(found) + problems.counts["bad_row"] >= 51
    limit = 'text,n\n"open,2\n' + "fine,1\n" * 100
    found, problems = docs(tmp_path / "c.csv", limit, max_record_bytes=50)
    assert [d["text"] for d in found] == ["fine"] * 100
    assert problems.items[0]["detail"] == "a quote that is not closed within the limit of a record"


@pytest.mark.parametrize(
    ("name", "table", "options"),
    [
        ("a.tsv", "text\tn\none\t1\n", {}),
        ("a.csv", "text;n\none;1\n", {}),
        ("a.csv", "text|n\none|1\n", {}),
        ("a.csv", "text\tn\none\t1\n", {}),
        ("a.data", "text:n\none:1\n", {"kind": "csv", "delimiter": ":"}),
        ("a.csv", "n,text\n1,one\n", {}),
        ("a.csv", "text\none\n", {}),
    ],
)
def test_the_delimiter_is_told_from_name_and_header(tmp_path, name, table, options):
    found, problems = docs(tmp_path / name, table, **options)
    assert [d["text"] for d in found] == ["one"]
    assert not problems.counts


def test_quotes_of_tsv_belong_to_the_text_unless_they_come_in_pairs(tmp_path):
    literal = 'text\tn\n"Hello" he said\t1\nplain\t2\n'
    assert [d["text"] for d in docs(tmp_path / "a.tsv", literal)[0]] == ['"Hello" he said', "plain"]
    paired = 'text\tn\n"two\nlines\tand a tab"\t1\nplain\t2\n'
    assert [d["text"] for d in docs(tmp_path / "b.tsv", paired)[0]] == ["two\nlines\tand a tab", "plain"]
    assert len(docs(tmp_path / "c.tsv", paired, quotes=False)[0]) == 1


def test_without_a_header_columns_have_numbers(tmp_path):
    found, _ = docs(
        tmp_path / "a.tsv.bz2", bz2.compress(b"1\tone\n2\ttwo\n"), header=False, text_field="1", id_field="0"
    )
    assert [(d["id"], d["text"]) for d in found] == [("1", "one"), ("2", "two")]


def test_columns_of_one_name_are_told_apart(tmp_path):
    found, _ = docs(tmp_path / "a.csv", "text,text,\none,two,three\n")
    assert found[0]["text"] == "one"
    assert orjson.loads(found[0]["metadata"]) == {"text.1": "two", "column 2": "three", "path": "a.csv"}


def test_a_table_without_the_column_and_wrong_options_are_one_sentence(tmp_path):
    with pytest.raises(
        CorpusError, match=r"a\.csv: expected a text column 'text', found columns body, n; name it with --text-f"
    ):
        docs(tmp_path / "a.csv", "body,n\nx,1\n")
    with pytest.raises(CorpusError, match=r"a\.csv: expected UTF-8, found UTF-16; convert it first"):
        docs(tmp_path / "a.csv", "text\nx\n".encode("utf-16"))
    with pytest.raises(ConfigError, match=r"read\.delimiter must be one character, got '::'"):
        ReadOptions(delimiter="::")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.sampled_from(list('a"\\[]{},:\n é')), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.lists(st.fixed_dictionaries({"text": st.text(max_size=9), "more": JSON}), max_size=6)


@settings(max_examples=100)
@given(records=RECORDS, array=st.booleans(), indent=st.booleans(), block=st.integers(1, 40))
def test_objects_of_an_array_or_one_after_another_are_records(tmp_path_factory, records, array, indent, block):
    option = orjson.OPT_INDENT_2 if indent else 0
    data = (
        orjson.dumps(records, option=option) if array else b"\n".join(orjson.dumps(r, option=option) for r in records)
    )
    before, jsonarray._BLOCK = jsonarray._BLOCK, block
    try:
        found, problems = docs(tmp_path_factory.mktemp("json") / "a.json", b"\xef\xbb\xbf" + data, kind="json")
    finally:
        jsonarray._BLOCK = before
    assert [d["text"] for d in found] == [r["text"] for r in records]
    assert not problems.counts


@settings(max_examples=200)
@given(data=st.binary(max_size=80) | st.text(st.sampled_from(list('{}[]"\\:,a1 \n')), max_size=80).map(str.encode))
def test_no_bytes_make_the_json_reader_fail(tmp_path_factory, data):
    found, problems = docs(tmp_path_factory.mktemp("json") / "a.json", data, kind="json")
    assert not found or b"text" in data
    assert set(problems.counts) <= {"bad_json", "not_an_object", "no_text_field"}


def test_damage_inside_an_array_costs_its_record(tmp_path):
    text = (
        b'[{"text": "one"}, {"text": bad}, [1], {"text": "two", "n": '
        + b"9" * 300
        + b'}, {"text": "three"}, {"text": "cut'
    )
    found, problems = docs(tmp_path / "a.json", text, max_record_bytes=200)
    assert [d["text"] for d in found] == ["one", "three"]
    assert problems.counts == {"bad_json": 2, "not_an_object": 1, "record_too_large": 1}
    third = text.index(b'{"text": "three')
    assert found[1]["id"] == f"a.json:{third}"


DAMAGE = {
    "a quote is missing": lambda record: record.replace(b'x"', b"x", 1),
    "a bracket is missing": lambda record: record.rstrip(b"}\n "),
    "a bracket is too much": lambda record: record.replace(b"{", b"{[", 1),
    "the end is missing": lambda record: record[: record.index(b"x")],
    "no number": lambda record: b"one".join(record.rsplit(b"1", 1)),
}


@pytest.mark.parametrize(("block", "limit"), [(7, 100), (7, 1 << 20), (1 << 20, 1 << 20)])
@pytest.mark.parametrize("indent", [False, True])
@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize("damaged", [0, 1, 4, 8, 9])
@pytest.mark.parametrize("name", list(DAMAGE))
def test_a_damaged_record_costs_no_other(tmp_path, monkeypatch, name, damaged, array, indent, limit, block):
    monkeypatch.setattr(jsonarray, "_BLOCK", block)
    option = orjson.OPT_INDENT_2 if indent else 0
    whole = [{"text": f"{i} {{, [x", "of": [{"n": 1}, {"n": 2}]} for i in range(10)]
    records = [orjson.dumps(record, option=option) for record in whole]
    records[damaged] = DAMAGE[name](records[damaged])
    data = (b"[" if array else b"") + (b",\n" if array else b"\n").join(records) + (b"]" if array else b"")
    found, problems = docs(tmp_path / "a.json", data, kind="json", max_record_bytes=limit)
    expected = [r["text"] for i, r in enumerate(whole) if i != damaged]
    assert [d["text"] for d in found] == expected
    assert 1 <= problems.counts.total() <= 6, "a bracket that is left over is told of"


def test_damage_without_end_is_scanned_in_linear_time(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonarray, "_SPARE", 1 << 16)
    data = b'[{"text": "a"}, {"text": "b"}, ' + b'{"text": "c", ' * 100_000
    scanned = 0
    before = jsonarray._scan_block

    def counting(scan, block, base):
        nonlocal scanned
        scanned += len(block)
        return before(scan, block, base)

    monkeypatch.setattr(jsonarray, "_scan_block", counting)
    found, _ = docs(tmp_path / "a.json", data, kind="json")
    assert [d["text"] for d in found] == ["a", "b"]
    assert scanned < 4 * len(data)


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.json", b'[{"text": "x"}]', "json"),
        ("a.json", b'{\n  "text": "x"\n}', "json"),
        ("a.json", b'{"text": "x"}\n{"text": "y"}\n', "jsonl"),
        ("a.json", b'{"text": "x"}', "jsonl"),
        ("data", b' [\n {"text": "x"}]', "json"),
    ],
)
def test_arrays_and_lines_are_told_apart_by_what_they_hold(tmp_path, name, data, kind):
    (tmp_path / name).write_bytes(data)
    assert [f.kind for f in expand([str(tmp_path / name)]).files] == [kind]
    assert docs(tmp_path / name)[0][0]["text"] == "x"


def test_real_tables_are_read_as_other_readers_read_them(real_data):
    for name, column, options in (
        ("eval/anli/ANLI_analysis_r1_dev.csv", "context", {}),
        ("eval/agnews/dev.tsv", "1", {"header": False}),
        ("eval/sst2/dev.tsv", "0", {"header": False}),
    ):
        found, problems = docs(real_data / name, text_field=column, **options)
        quoting, delimiter = (csv.QUOTE_MINIMAL, ",") if name.endswith("csv") else (csv.QUOTE_NONE, "\t")
        with (real_data / name).open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file, quoting=quoting, delimiter=delimiter))
        at = rows[0].index(column) if column.isalpha() else int(column)
        assert [d["text"] for d in found] == [row[at] for row in (rows[1:] if column.isalpha() else rows)]
        assert not problems.counts


def test_columns_of_one_name_get_numbers_that_no_other_column_has(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,text,text.1,,text,\nfirst,second,third,fourth,fifth,sixth\n")
    file = expand([str(path)]).files[0]
    names = ("text.2", "text.1", "column 3", "text.3", "column 5")
    for name, expected in zip(names, ("second", "third", "fourth", "fifth", "sixth"), strict=True):
        read = ReadOptions(text_field=name)
        [batch] = [b for unit in plan([file]) for b in read_unit(unit, read, Problems())]
        assert list(batch.texts) == [expected]
