"""How good near-duplicate search is: recall beside the S-curve, and every removal beside the truth, on 20,000 real documents.

Run from the repository: ``MEGADATA_REAL_DATA=DIR python benchmarks/bench_dedup_quality.py [--seeds 32] [--corpus FILE]``.

The truth is brute force: the Jaccard similarity of the sets of *all* pairs, from one sparse product. Documents are those of
`real_documents`, and the chapters of books that are there in several editions, which stand for labelled near-duplicates such as
CORE's and NEWS-COPY's: the editions differ in spelling, markup and line breaks, and the news wire repeats its own stories.
To every second document a copy is added in which words are replaced, at similarities from .5 to 1. For each interval of
similarity a line has the pairs, the share of them that the curve promises and the share that share a band value, over several
seeds. Then the whole command runs, and what it removes must be what the definition gives when all similarities are known.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import pyarrow.parquet as pq
from dedup_texts import plant
from harness import machine
from numpy.typing import NDArray
from real_documents import real_documents
from scipy.sparse import csr_array

from megadata.corpus.dedup import DedupConfig, dedup, ranks, signatures
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import expand
from megadata.runtime.settings import RunSettings

LEAST = 0.5
"""Pairs of less similarity are not looked at."""
EDGES = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
POINT = 0.01
FEWEST = 4_000
"""Trials (pairs times seeds) that an interval needs before it is judged: with fewer, chance is more than a point."""
EDITIONS = ("gutenberg_editions", "gutenberg_copies", "gutenberg_orig", "near_dup_extra")
_CHAPTER = re.compile(r"(?im)^\s*(?:chapter|letter|stave|book|adventure)\s+[ivxlc\d]+\b")
_ROWS = 500


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of documents, left < right, and how similar they are."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    shared: NDArray[np.int64]
    total: NDArray[np.int64]

    @property
    def similarity(self) -> NDArray[np.float64]:
        """Jaccard similarity."""
        return self.shared / self.total


def chapters(place: Path) -> Iterator[tuple[str, str]]:
    """Chapters of books that are there more than once."""
    for folder in EDITIONS:
        for path in sorted((place / "books" / folder).rglob("*.txt")):
            text = path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
            starts = [0, *(found.start() for found in _CHAPTER.finditer(text)), len(text)]
            for number, (start, stop) in enumerate(pairwise(starts)):
                if 400 < stop - start < 60_000:
                    yield f"{folder}/{path.name}/{number}", text[start:stop]


def all_pairs(sets: signatures.Sets) -> Pairs:
    """Every pair of at least `LEAST` similarity: intersections are the entries of a sparse matrix times its transpose."""
    sizes = sets.stops - sets.starts
    values, columns, counts = np.unique(sets.hashes, return_inverse=True, return_counts=True)
    again = counts[columns] > 1  # a shingle of one document alone is in no intersection
    document = np.repeat(np.arange(sizes.size), sizes)[again]
    shape = (sizes.size, values.size)
    matrix = csr_array((np.ones(document.size, np.int32), (document, columns[again])), shape=shape)
    other = matrix.T.tocsc().T.tocsr().T
    found: list[tuple[NDArray[np.int64], ...]] = []
    for start in range(0, sizes.size, _ROWS):
        block = (matrix[start : start + _ROWS] @ other).tocoo()
        left, right, shared = block.row + start, block.col, block.data.astype(np.int64)
        total = sizes[left] + sizes[right] - shared
        near = (left < right) & (shared >= LEAST * total)
        found.append(tuple(a[near].astype(np.int64) for a in (left, right, shared, total)))
    return Pairs(*(np.concatenate(column) for column in zip(*found, strict=True)))


def judge(docs: DocBatch, pairs: Pairs, config: DedupConfig, seeds: int) -> bool:
    """Print a line for each interval of similarity; whether all that have enough trials are within a point of the curve."""
    shingles = signatures.shingle(docs.text, docs.offsets, config)
    hits = np.zeros(pairs.left.size)
    for seed in range(1, seeds + 1):
        values = signatures.sign(shingles, replace(config, seed=seed))
        hits += (values[pairs.left] == values[pairs.right]).any(axis=1)
    similarity = pairs.similarity
    expected = np.array([config.probability(float(s)) for s in similarity])
    holds = True
    intervals = [*pairwise(EDGES), (1.0, 1.01), (config.threshold, 1.01)]
    for low, high in intervals:
        mine = (similarity >= low) & (similarity < high)
        number = int(mine.sum())
        if number == 0:
            continue
        promised, found = float(expected[mine].mean()), float(hits[mine].mean() / seeds)
        judged = number * seeds >= FEWEST
        holds &= not judged or abs(found - promised) <= POINT
        line = {"bench": "dedup/recall", "from": low, "to": min(high, 1.0), "pairs": number, "seeds": seeds,
                "expected": round(promised, 4), "found": round(found, 4), "difference": round(found - promised, 4),
                "judged": judged}  # fmt: skip
        print(json.dumps(line), flush=True)
    return holds


def by_definition(docs: DocBatch, pairs: Pairs, config: DedupConfig) -> dict[int, int]:
    """Who is removed for whom: the greedy choice in rank order, over the true similarities and the band values."""
    shingles = signatures.shingle(docs.text, docs.offsets, config)
    values = signatures.sign(shingles, config)
    order = sorted(range(len(docs)), key=_rank(docs, shingles.digests).__getitem__)
    numerator, denominator = config.ratio
    similar = pairs.shared * denominator >= pairs.total * numerator
    near: dict[int, list[int]] = {}
    for left, right in zip(pairs.left[similar].tolist(), pairs.right[similar].tolist(), strict=True):
        near.setdefault(left, []).append(right)
        near.setdefault(right, []).append(left)
    place = np.empty(len(docs), np.int64)
    place[order] = np.arange(len(docs))
    memory: dict[tuple[int, int], set[int]] = {}
    removed: dict[int, int] = {}
    exact: dict[bytes, int] = {}
    for v in order:
        first = exact.setdefault(shingles.digests[v].tobytes(), v)
        if first != v:
            removed[v] = removed.get(first, first)
            continue
        bands = list(enumerate(values[v].tolist()))
        known = set().union(*(memory.get(band, set()) for band in bands))
        for u in sorted(near.get(v, []), key=place.__getitem__):
            if u in known:
                removed[v] = u
                break
        else:
            for band in bands:
                held = memory.setdefault(band, set())
                if len(held) < config.remembered:
                    held.add(v)
    return removed


def _rank(docs: DocBatch, digests: NDArray[np.uint64]) -> list[tuple[object, ...]]:
    short = ranks.shortness(docs.sizes).tolist()
    return [(s, *d, own.encode()) for s, d, own in zip(short, digests.tolist(), docs.ids, strict=True)]


def corpus(kept: Path | None) -> list[tuple[str, str]]:
    """The documents, from a file where an earlier run has kept them."""
    if kept is not None and kept.exists():
        return [tuple(orjson.loads(line)) for line in kept.read_bytes().splitlines()]
    documents = [*real_documents(), *chapters(Path(os.environ["MEGADATA_REAL_DATA"]))]
    if kept is not None:
        kept.write_bytes(b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in documents))
    return documents


def main() -> None:
    """Measure and judge."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--corpus", type=Path, help="file that keeps the documents for the next time")
    given = parser.parse_args()
    documents = corpus(given.corpus)
    if given.seeds == 0:
        return
    planted = plant([one for one in documents if len(one[1].split()) >= 60], 0.5)
    texts = [text for _, text in documents] + [one.copy for one in planted]
    docs = DocBatch.of([f"{row:06d}" for row in range(len(texts))], texts)
    config = DedupConfig()
    pairs = all_pairs(signatures.distinct(signatures.shingle(docs.text, docs.offsets, config)))
    holds = judge(docs, pairs, config, given.seeds)
    expected = by_definition(docs, pairs, config)
    with tempfile.TemporaryDirectory(prefix="megadata-quality-") as scratch:
        path = Path(scratch) / "in.jsonl"
        with path.open("wb") as file:
            for own, text in zip(docs.ids, docs.texts, strict=True):
                file.write(orjson.dumps({"id": own, "text": text}, option=orjson.OPT_APPEND_NEWLINE))
        dedup(expand([str(path)]), Path(scratch) / "out", config, RunSettings(workers=2))
        rows = pq.read_table(Path(scratch) / "out" / "duplicates.parquet").to_pylist()
    found = {int(row["removed_id"]): int(row["kept_id"]) for row in rows}
    similar = dict(zip(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True), pairs.similarity, strict=True))
    below = sum(bool(similar.get((min(one), max(one)), 0.0) < config.threshold) for one in found.items())
    chained = sum(kept in found for kept in found.values())
    line = {"bench": "dedup/removed", "documents": len(documents), "copies": len(planted), "similar_pairs": int(pairs.left.size),
            "removed": len(found), "below_threshold": below, "for_a_removed_one": chained, "as_defined": found == expected,
            "recall_within_a_point": holds, "machine": machine()}  # fmt: skip
    print(json.dumps(line), flush=True)
    if below or chained or found != expected or not holds:
        sys.exit("what was found is not what the definition and the curve say")


if __name__ == "__main__":
    main()
