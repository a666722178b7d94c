"""Repair against ftfy.fix_text on the same documents, with equal results.

Run from the repository: ``MEGADATA_REAL_DATA=DIR python benchmarks/bench_repair.py`` (without it: a smaller text).
"""

from __future__ import annotations

import ftfy
import numpy as np
from harness import compare, measure
from real_text import pieces, texts

from megadata.corpus.normalise import Controls, Whitespace
from megadata.corpus.repair import Nfc, Repair

SAMPLE_BYTES = 4_000_000
"""ftfy is given only so much: it would take minutes for all."""


def main() -> None:
    """Measure each map, and repair beside ftfy."""
    docs = pieces(texts())
    megabytes = docs.text.size / 1e6
    for step in (Repair(), Nfc(), Controls(), Whitespace()):
        measure(f"clean/{step.name}", lambda step=step: step.map(docs).texts, items=megabytes, unit="MB")
    every = max(1, docs.text.size // SAMPLE_BYTES)
    few = docs.select(np.arange(len(docs)) % every == 0)
    compare(
        "clean/repair-against-ftfy",
        lambda: Repair().map(few).texts,
        lambda: [ftfy.fix_text(text) for text in few.texts],
        items=few.sizes.sum() / 1e6,
        unit="MB",
        repeats=3,
    )


if __name__ == "__main__":
    main()
