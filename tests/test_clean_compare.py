"""`clean --compare`: where two rule lists disagree."""

from __future__ import annotations

import random

import orjson
import pytest
from pipelines import text

from megadata.corpus.compare import compare
from megadata.documents.inputs import expand
from megadata.runtime.settings import RunSettings
from megadata.runtime.streams import open_decoded


@pytest.mark.parametrize("unit_bytes", [300, 1 << 20])
def test_documents_that_one_list_keeps_are_listed_with_the_reason_of_the_other(tmp_path, unit_bytes):
    rng = random.Random(1)
    long = text(rng, 120)
    docs = [{"id": "long", "text": long}, {"id": "short", "text": "Too few."}, {"id": "other", "text": "Few too."}]
    (tmp_path / "a.jsonl").write_bytes(b"".join(orjson.dumps(d) + b"\n" for d in docs))
    given = expand([str(tmp_path / "a.jsonl")])
    report = compare(given, tmp_path / "out", ("none", "gopher@paper"), RunSettings(workers=1), unit_bytes=unit_bytes)
    assert report.pairs == {("", "gopher.too_few_words"): 2, ("", ""): 1}
    with open_decoded(str(tmp_path / "out/compare.jsonl.zst")) as stream:
        first, second = (orjson.loads(line) for line in stream)
    assert (first["id"], first["a"]["reason"], second["id"]) == ("short", None, "other")
    assert first["b"] == {"reason": "gopher.too_few_words", "value": 2.0, "threshold": "< 50"}
    assert [e["id"] for e in report.plain()["pairs"][0]["examples"]] == ["short", "other"]
