"""What a second pass of a rule list removes or changes of the documents that the first pass kept.

Run from the repository: ``MEGADATA_REAL_DATA=DIR python benchmarks/second_pass.py``. One JSON line for each list whose second
pass does anything; lists whose maps precede their rules do nothing in it.
"""

from __future__ import annotations

import json

from real_documents import real_documents

from megadata.corpus.rulefiles import files
from megadata.corpus.rules import load_rules
from megadata.documents.batch import DocBatch

STEP = 4
"""Every how many-th document is looked at."""


def second_pass(name: str, documents: list[tuple[str, str]]) -> dict[str, object]:
    """Documents kept once, and of these: removed by the second pass, kept with another text."""
    rules = load_rules(name)
    counts = {"rules": name, "documents": len(documents), "kept": 0, "removed by a second pass": 0, "changed by it": 0}
    for at in range(0, len(documents), 500):
        part = documents[at : at + 500]
        once = rules.apply(DocBatch.of([i for i, _ in part], [text for _, text in part])).kept
        texts = dict(zip(once.ids, once.texts, strict=True))
        twice = rules.apply(once)
        counts["kept"] += len(once)
        counts["removed by a second pass"] += len(twice.removed)
        counts["changed by it"] += sum(
            texts[i] != text for i, text in zip(twice.kept.ids, twice.kept.texts, strict=True)
        )
    return counts


def main() -> None:
    """All lists, over all real documents."""
    documents = real_documents()[::STEP]
    quiet = []
    for name in files():
        counts = second_pass(name, documents)
        if counts["removed by a second pass"] or counts["changed by it"]:
            print(json.dumps(counts), flush=True)
        else:
            quiet.append(name)
    print(json.dumps({"documents": len(documents), "nothing in a second pass": quiet}))


if __name__ == "__main__":
    main()
