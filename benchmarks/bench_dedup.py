"""Deduplication: text to signatures, the sets of candidates, and the verified choice, one thread each.

Run from the repository: ``python benchmarks/bench_dedup.py``.
"""

from __future__ import annotations

import numpy as np
from harness import measure

from megadata.corpus.dedup import DedupConfig, find_duplicates, signatures
from megadata.documents.batch import DocBatch

DOCUMENTS = 10_000
WORDS = 400
NEAR_COPIES = 0.3
"""Share of the documents that are others with one word in fifty changed."""


def corpus() -> DocBatch:
    """Documents of words with the frequencies of a language (Zipf), a share of them near copies of earlier ones."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 11, size=50_000)
    vocabulary = np.array(["".join(rng.choice(list("etaoinshrdlu"), size=length)) for length in lengths])
    words = vocabulary[np.minimum(rng.zipf(1.3, size=(DOCUMENTS, WORDS)), vocabulary.size) - 1]
    for d in range(1, DOCUMENTS):
        if rng.random() < NEAR_COPIES:
            words[d] = words[rng.integers(d)]
            words[d, rng.integers(WORDS, size=WORDS // 50)] = "changed"
    return DocBatch.of([f"{d:06d}" for d in range(DOCUMENTS)], [" ".join(row) for row in words])


def main() -> None:
    """Measure each stage and the whole."""
    docs, config = corpus(), DedupConfig()
    megabytes = docs.text.size / 1e6
    text, offsets = docs.text, docs.offsets
    shingles = signatures.shingle(text, offsets, config)

    def whole() -> list[tuple[int, int, float]]:
        return [(d.removed, d.kept, d.similarity) for d in find_duplicates(docs, config).duplicates]

    measure("dedup/shingles", lambda: signatures.shingle(text, offsets, config).hashes, items=megabytes, unit="MB")
    measure("dedup/signatures-13x8", lambda: signatures.sign(shingles, config), items=megabytes, unit="MB")
    measure(
        "dedup/text-to-bands-13x8",
        lambda: signatures.sign(signatures.shingle(text, offsets, config), config),
        items=megabytes,
        unit="MB",
    )
    measure("dedup/sets", lambda: signatures.distinct(shingles).hashes, items=megabytes, unit="MB")
    measure("dedup/in-memory", whole, items=megabytes, unit="MB")


if __name__ == "__main__":
    main()
