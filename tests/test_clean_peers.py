"""`*@datatrove` rule-sets against datatrove's own filters: what they once answered (golden), and what they answer now (peers)."""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

import pytest
from rule_texts import TEXTS

from megadata.corpus.rules import load_rules
from megadata.documents.batch import DocBatch

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(__file__).parent / "golden" / "datatrove.json"
PEER = Path(os.environ.get("MEGADATA_PEERS") or ROOT / ".peers") / "datatrove" / "bin" / "python"
DOCUMENTS = [(str(i), text) for i, text in enumerate(TEXTS)]

sys.path.insert(0, str(ROOT / "benchmarks"))
import parity_datatrove as parity  # noqa: E402

pytest.importorskip("spacy")


def test_rule_sets_answer_what_datatrove_answered() -> None:
    """The golden file holds its reason for each text of `rule_texts`; to make it anew: ``python tests/test_clean_peers.py``."""
    golden = json.loads(GOLDEN.read_text("utf-8"))
    for column, overrides in parity.EXACT.items():
        found = parity.ours(f"{column}@datatrove", overrides, DOCUMENTS)
        expected = [parity.expected(column, [reason, None])[0] for reason in golden[column]]
        assert [found[i][0] for i, _ in DOCUMENTS] == expected
        assert len(set(expected)) > 3


def test_reasons_of_datatrove_are_all_known() -> None:
    """Each of our reasons stands for one of datatrove's."""
    for column, overrides in parity.EXACT.items():
        steps = load_rules(f"{column}@datatrove", overrides).steps
        reasons = {reason for _, step in steps for reason in step.judge(DocBatch.empty())}  # type: ignore[union-attr]
        assert reasons <= {*parity.REASONS.values(), *parity.EMPTY.values()}


@pytest.mark.peers
@pytest.mark.skipif(not PEER.exists(), reason="no environment with datatrove; run `make peers`")
@pytest.mark.timeout(600)
def test_decisions_are_those_of_datatrove_now() -> None:
    documents = list(DOCUMENTS)
    if os.environ.get("MEGADATA_REAL_DATA"):
        from real_documents import real_documents

        documents += random.Random(4).sample([(i, text[:20_000]) for i, text in real_documents()], 300)
    answers = parity.peers(str(PEER), documents)
    assert parity.compare(documents, answers, exact=True) == {column: [] for column in parity.EXACT}
    golden = json.loads(GOLDEN.read_text("utf-8"))
    for column in parity.EXACT:
        assert [answers[i][column][0] for i, _ in DOCUMENTS] == golden[column]


@pytest.mark.peers
@pytest.mark.skipif(not PEER.exists(), reason="no environment with datatrove; run `make peers`")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("code", ["deu", "fra", "rus", "arb"])
def test_decisions_of_fineweb2_are_those_of_datatrove_now(code: str) -> None:
    assert parity.compare_fineweb2(str(PEER), code, DOCUMENTS) == []


if __name__ == "__main__":
    now = parity.peers(str(PEER), DOCUMENTS)
    columns = {column: [now[i][column][0] for i, _ in DOCUMENTS] for column in parity.EXACT}
    GOLDEN.write_text(json.dumps(columns, indent=1) + "\n", encoding="utf-8")
