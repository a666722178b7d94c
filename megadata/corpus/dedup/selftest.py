"""`dedup --self-test`: near copies of known similarity, planted among the user's own documents, and what becomes of them.

A sample of the inputs is freed of its own duplicates; each document gets one copy in which words are replaced by words of other
documents, so many that the pair is about as similar as wanted. The similarity that counts is measured, not aimed at. Documents
and copies then go through the whole of `dedup`, with the user's settings, in a folder of their own; what it removes is held
against the S-curve, and every removal against the threshold.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq

from megadata.corpus.dedup import evidence, signatures
from megadata.corpus.dedup.config import DedupConfig
from megadata.corpus.dedup.find import find_duplicates
from megadata.corpus.dedup.normaliser import UNSPACED_BLOCKS
from megadata.corpus.dedup.run import dedup
from megadata.corpus.dedup.sample import sample
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import Inputs, expand
from megadata.documents.source import ReadOptions
from megadata.errors import CorpusError
from megadata.runtime.settings import RunSettings

DOCUMENTS = 10_000
"""Documents that are sampled, and at most as many pairs planted."""
FEWEST = 100
"""Documents that a self-test needs: with fewer, chance hides any fault."""
SIMILARITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
"""What pairs are planted at, in turn."""

_SHINGLES = 40
"""Distinct shingles a document must have: pairs of shorter ones can only have a few similarities."""
_LARGEST = 1 << 20
"""Bytes of the longest document that is used."""
_DEVIATIONS = 4.0
"""Standard deviations by which a share may miss its expectation: chance alone does so once in ten thousand times."""
_SEED = 2020
_TOKENS = re.compile("[" + "".join(f"{chr(a)}-{chr(b)}" for a, b in UNSPACED_BLOCKS) + r"]|[^\W_]+")
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Row:
    """What became of the pairs of about one similarity."""

    similarity: float
    """Jaccard similarity of the pairs, their mean."""
    pairs: int
    expected: float
    """Share of the pairs that the S-curve says share a band value, by the similarity of each."""
    compared: float
    """Share of the pairs that do."""
    removed: float
    """Share of the pairs of which one document was removed."""
    due: float
    """Share of the pairs that are at least as similar as the threshold and share a band value: of these one must go."""

    @property
    def agrees(self) -> bool:
        """Whether as many pairs were compared as expected, up to chance, and all removed that had to be."""
        chance = math.sqrt(max(self.expected * (1 - self.expected), 1e-3) / self.pairs)
        return abs(self.compared - self.expected) <= _DEVIATIONS * chance and self.removed >= self.due


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The whole report."""

    shape: tuple[int, int]
    """Bands and rows."""
    threshold: float
    documents: int
    """Documents that got a copy."""
    own_duplicates: int
    """Documents of the sample that were duplicates already, and were left out."""
    removed: int
    """Documents that were removed."""
    wrong: int
    """Removed documents whose similarity to the one kept for them, computed once more, is below the threshold."""
    rows: list[Row]

    @property
    def passed(self) -> bool:
        """Whether nothing was removed wrongly and every row agrees with the curve."""
        return self.wrong == 0 and all(row.agrees for row in self.rows)

    @property
    def precision(self) -> float:
        """Share of the removed documents that are at least as similar as the threshold."""
        return 1 - self.wrong / self.removed if self.removed else 1.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        rows = [{**asdict(row), "agrees": row.agrees} for row in self.rows]
        return {**asdict(self), "rows": rows, "precision": self.precision, "passed": self.passed}


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Originals and their copies, row by row, and how alike they are."""

    originals: DocBatch
    copies: DocBatch
    aims: list[float]
    jaccard: list[float]
    measure: list[float]
    """What is held against the threshold; containment is that of the one which may be removed."""
    share: list[bool]
    """Whether the two share a band value."""


def self_test(inputs: Inputs, config: DedupConfig, settings: RunSettings) -> SelfTest:
    """Plant pairs in a sample of the inputs, deduplicate it, and compare the outcome with the curve and the threshold.

    Raises
    ------
    CorpusError
        If fewer than `FEWEST` documents of the sample are long enough and distinct.
    """
    found = sample(inputs.files, config.read, config.unit_bytes, DOCUMENTS)
    docs = DocBatch.concat(found.batches)
    docs = docs.replace(id=[f"o{row}" for row in range(len(docs))], metadata=[None] * len(docs))
    own = find_duplicates(docs, config).removed
    shingles = signatures.shingle(docs.text, docs.offsets, config)
    sets = signatures.distinct(shingles)
    usable = (sets.stops - sets.starts >= _SHINGLES) & (docs.sizes <= _LARGEST)
    usable[sorted(own)] = False
    docs = docs.select(usable)
    if len(docs) < FEWEST:
        raise CorpusError(
            f"--self-test: expected at least {FEWEST} distinct documents of {_SHINGLES} or more shingles, found {len(docs)} "
            f"in a sample of {found.documents}; name more inputs"
        )
    pairs = _plant(docs, config)
    with TemporaryDirectory(prefix="megadata-self-test-") as scratch:
        rows = _run(pairs, config, settings, Path(scratch))
    return _judge(pairs, config, rows, len(own))


def _plant(docs: DocBatch, config: DedupConfig) -> _Pairs:
    rng = random.Random(_SEED)
    texts = docs.texts
    pool = [word for text in texts[:200] for word in _TOKENS.findall(text)[:500]]
    aims = [SIMILARITIES[row % len(SIMILARITIES)] for row in range(len(texts))]
    changed = [_changed(text, aim, pool, config.width, rng) for text, aim in zip(texts, aims, strict=True)]
    copies = docs.replace(id=[f"c{row}" for row in range(len(texts))], text=changed)
    left, right = (_sets(batch, config) for batch in (docs, copies))
    jaccard, measure = [], []
    for one, other, sizes in zip(left, right, zip(docs.sizes, copies.sizes, strict=True), strict=True):
        jaccard.append(_similarity(one, other, "jaccard"))
        leaves = other if sizes[0] >= sizes[1] else one  # the shorter text is the one that may be removed
        stays = one if leaves is other else other
        measure.append(_similarity(stays, leaves, config.measure))
    bands = [signatures.sign(signatures.shingle(batch.text, batch.offsets, config), config) for batch in (docs, copies)]
    return _Pairs(docs, copies, aims, jaccard, measure, (bands[0] == bands[1]).any(axis=1).tolist())


def _changed(text: str, similarity: float, pool: Sequence[str], width: int, rng: random.Random) -> str:
    """The text with so many words replaced that its shingles are about as similar as wanted; at 1, with other blanks.

    When each word is replaced with chance p, a window of `width` words stays whole with chance q = (1 - p)**width, and the sets
    of windows have a Jaccard similarity of q / (2 - q).
    """
    if similarity == 1:
        return _BLANKS.sub("  ", text)
    whole = 2 * similarity / (1 + similarity)
    words = list(_TOKENS.finditer(text))
    chosen = set(rng.sample(range(len(words)), round(len(words) * (1 - whole ** (1 / width)))))
    pieces: list[str] = []
    end = 0
    for at, word in enumerate(words):
        if at in chosen:
            pieces += [text[end : word.start()], rng.choice(pool)]
            end = word.end()
    return "".join([*pieces, text[end:]])


def _sets(docs: DocBatch, config: DedupConfig) -> list[frozenset[int]]:
    shingles = signatures.shingle(docs.text, docs.offsets, config)
    bounds = shingles.bounds.tolist()
    hashes = shingles.hashes.tolist()
    return [frozenset(hashes[a:b]) for a, b in pairwise(bounds)]


def _similarity(stays: frozenset[int], leaves: frozenset[int], measure: str) -> float:
    return len(stays & leaves) / len(leaves if measure == "containment" else stays | leaves)


def _run(pairs: _Pairs, config: DedupConfig, settings: RunSettings, scratch: Path) -> list[dict[str, Any]]:
    """Evidence of the deduplication of originals and copies."""
    path = scratch / "planted.jsonl"
    with path.open("wb") as file:
        for batch in (pairs.originals, pairs.copies):
            for name, text, source in zip(batch.ids, batch.texts, batch.column("source"), strict=True):
                file.write(orjson.dumps({"id": name, "text": text, "source": source}, option=orjson.OPT_APPEND_NEWLINE))
    own = replace(config, read=ReadOptions(), removed="none", form="jsonl.zst")
    dedup(expand([str(path)]), scratch / "out", own, settings)
    return list(pq.read_table(scratch / "out" / evidence.FILE).to_pylist())


def _judge(pairs: _Pairs, config: DedupConfig, rows: list[dict[str, Any]], own: int) -> SelfTest:
    sets: dict[str, frozenset[int]] = {}
    for batch in (pairs.originals, pairs.copies):
        sets.update(zip(batch.ids, _sets(batch, config), strict=True))
    removed = {row["removed_id"] for row in rows}
    gone = [bool({o, c} & removed) for o, c in zip(pairs.originals.ids, pairs.copies.ids, strict=True)]
    numerator, denominator = config.ratio
    limit = numerator / denominator
    wrong = sum(_similarity(sets[r["kept_id"]], sets[r["removed_id"]], config.measure) < limit for r in rows)
    jaccard, share = np.array(pairs.jaccard), np.array(pairs.share)
    due = share & (np.array(pairs.measure) >= limit)
    if config.exact_only:
        due = np.array(pairs.aims) == 1
    chances = np.array([config.probability(s) for s in pairs.jaccard])
    found = []
    for aim in SIMILARITIES:
        mine = np.array(pairs.aims) == aim
        if mine.any():
            means = (float(values[mine].mean()) for values in (chances, share, np.array(gone), due))
            found.append(Row(float(jaccard[mine].mean()), int(mine.sum()), *means))
    return SelfTest(config.shape, config.threshold, len(pairs.originals), own, len(rows), wrong, found)
