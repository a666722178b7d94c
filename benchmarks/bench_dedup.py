"""Deduplication: text to signatures, the sets of candidates, and the verified choice, one thread each.

Run from the repository: ``MEGADATA_REAL_DATA=DIR python benchmarks/bench_dedup.py`` (without it: a smaller text).
"""

from __future__ import annotations

import numpy as np
from harness import measure
from real_text import pieces, texts

from megadata.corpus.dedup import DedupConfig, find_duplicates, signatures
from megadata.documents.batch import DocBatch

NEAR_COPIES = 0.3
"""Share of the documents that are followed by a copy of themselves with one word in fifty changed."""


def corpus() -> DocBatch:
    """Real text in pieces of the size of web pages, with near copies planted."""
    rng = np.random.default_rng(0)
    found: list[str] = []
    for text in pieces(texts()).texts:
        found.append(text)
        words = text.split(" ")
        if rng.random() < NEAR_COPIES and len(words) >= 50:
            for at in rng.integers(len(words), size=len(words) // 50):
                words[at] = "changed"
            found.append(" ".join(words))
    return DocBatch.of([f"{d:06d}" for d in range(len(found))], found)


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
