"""Repair against ftfy.fix_text on the same documents, with equal results.

Run from the repository: ``MEGADATA_REAL_DATA=DIR python benchmarks/bench_repair.py`` (without it: a smaller text).
With ``--distinct 200`` instead 200 MB of distinct text (that of `bench_clean.py`) are repaired, and every eighth document of them
by ftfy as well. That `repair` equals ftfy on every file of text is the business of `parity_repair.py`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import ftfy
import numpy as np
import orjson
from bench_clean import documents
from harness import compare, measure
from real_text import pieces, texts

from megadata.corpus.normalise import Controls, Whitespace
from megadata.corpus.repair import Nfc, Repair
from megadata.documents.batch import DocBatch

SAMPLE_BYTES = 4_000_000
"""ftfy is given only so much: it would take minutes for all."""


BATCH = 2_000
"""Documents that are repaired at a time."""
EVERY = 8


def distinct(megabytes: int) -> None:
    """Repair so much text, and a part of it beside ftfy."""
    place = os.environ.get("MEGADATA_REAL_DATA")
    if not place:
        raise SystemExit("MEGADATA_REAL_DATA: not set; the text is that of real books, articles and pages")
    found = [orjson.loads(line)["text"] for line in documents(Path(place), megabytes * 1_000_000)]
    batches = [
        DocBatch.of([str(i) for i in range(len(some))], some)
        for some in (found[at : at + BATCH] for at in range(0, len(found), BATCH))
    ]
    size = sum(int(docs.sizes.sum()) for docs in batches) / 1e6
    measure(f"clean/repair-{megabytes}", lambda: [Repair().map(docs).texts for docs in batches], size, "MB", repeats=3)
    few = DocBatch.of([str(i) for i in range(len(found[::EVERY]))], found[::EVERY])
    compare(
        f"clean/repair-{megabytes}-against-ftfy",
        lambda: Repair().map(few).texts,
        lambda: [ftfy.fix_text(text) for text in few.texts],
        items=int(few.sizes.sum()) / 1e6,
        unit="MB",
        repeats=1,
        warmup=0,
    )


def main() -> None:
    """Measure each map, and repair beside ftfy."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--distinct", type=int, metavar="MEGABYTES")
    options = parser.parse_args()
    if options.distinct:
        distinct(options.distinct)
        return
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
