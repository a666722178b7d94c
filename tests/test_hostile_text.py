"""Texts made to keep the expressions for personal data busy, and tables made to lie about their sizes."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from sources_support import read

from megadata.corpus import pii_patterns
from megadata.documents.inputs import expand
from megadata.errors import CorpusError


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (pii_patterns._CALL, "tel" + "\t" * 200_000 + "x"),
        (pii_patterns._CALL, "tel" + ":" * 200_000 + "x"),
        (pii_patterns._BOOKS, b"isbn" + b"\t" * 200_000 + b"x"),
        (pii_patterns._BOOKS, b"isbn " + b"10-" * 70_000 + b"x"),
    ],
)
def test_blanks_after_a_word_before_numbers_are_looked_at_once(pattern: object, text: object) -> None:
    assert pattern.search(text) is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["Tel.: ", "phone no. ", "Fax -  ", "call us: "])
def test_words_before_a_telephone_number_are_still_known(text: str) -> None:
    assert pii_patterns._CALL.search(text) is not None


def test_names_of_columns_are_told_in_one_short_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"a\nb",' + ",".join(f"c{n}" for n in range(5000)) + "\n1,2\n")
    with pytest.raises(CorpusError, match=r"found columns a b, c0, c1, .*, c18 and 4981 more; name it with") as caught:
        read(path, "csv")
    assert len(str(caught.value)) < 500


def test_a_member_without_a_name_costs_itself(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "Kept text.")
        archive.writestr("b.txt", "Lost text.")
    path = tmp_path / "a.zip"
    path.write_bytes(out.getvalue().replace(b"b.txt", b"\0.txt"))
    documents, problems = read(path, "zip")
    assert [one["text"] for one in documents] == ["Kept text."]
    assert problems.counts == {"damaged_zip": 1}


@pytest.mark.parametrize("unit_bytes", [100, 1 << 30])
def test_a_damaged_batch_of_arrow_costs_itself_whatever_the_units(tmp_path: Path, unit_bytes: int) -> None:
    table = pa.table({"text": [f"row {n}" for n in range(9)]})
    out = io.BytesIO()
    starts = []
    with pa.ipc.new_stream(out, table.schema) as writer:
        for batch in table.to_batches(3):
            starts.append(out.tell())
            writer.write_batch(batch)
    data = bytearray(out.getvalue())
    at = data.index(struct.pack("<qq", 3, 0), starts[1])  # rows and nulls of the column
    data[at : at + 8] = struct.pack("<q", 1 << 40)
    path = tmp_path / "a.arrow"
    path.write_bytes(data)
    documents, problems = read(path, "arrow", unit_bytes)
    assert [one["text"] for one in documents] == [f"row {n}" for n in (0, 1, 2, 6, 7, 8)]
    assert problems.counts == {"damaged_arrow": 1}


def test_a_damaged_schema_of_arrow_is_told_once(tmp_path: Path) -> None:
    table = pa.table({"text": [f"row {n}" for n in range(900)]})
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table, 30)
    data = bytearray(out.getvalue())
    data[8:40] = b"\xff" * 32
    path = tmp_path / "a.arrow"
    path.write_bytes(data)
    assert read(path, "arrow", 100)[1].counts == {"damaged_arrow": 1}


def test_names_that_are_not_utf8_are_spelled_out(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\n.jsonl"
    with open(path, "wb") as file:
        file.write(b'{"text": "x"}\n')
    (found,) = expand([str(tmp_path)]).files
    assert found.name == "\\xff\n.jsonl"
    assert Path(found.path).read_bytes()
