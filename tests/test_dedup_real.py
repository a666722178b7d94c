"""Real documents: signatures and candidates are those of datasketch, what is removed is what brute force removes."""

from __future__ import annotations

import random
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import oracles_dedup as oracles
import orjson
import pyarrow.parquet as pq
import pytest
from datasketch import LeanMinHash, MinHash, MinHashLSH
from hypothesis import given
from hypothesis import strategies as st
from test_dedup_stars import brute_force

from megadata.corpus.dedup import DedupConfig, MinHashConfig, dedup, normaliser, signatures
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import expand
from megadata.runtime.settings import RunSettings

TABLE = normaliser.table().tolist()
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "Ünï", "中文字", "C++", "don't", "\n", "👍"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join)
KINDS = (
    ("jsonl/reuters21578/training", "*", "latin-1"),
    ("web/daniel", "**/*.html", "utf-8"),
    ("books/100_polish_novels", "**/*.txt", "utf-8"),
    ("books/100_english_novels", "**/*.txt", "utf-8"),
    ("wikipedia/extracted-de", "wiki_*", "utf-8"),
    ("books/sentencepiece", "wagahai*", "utf-8"),
)


def real_texts(place: Path, of_each: int) -> list[str]:
    """Texts of up to 6,000 characters, of each kind so many; files as they are, markup and broken characters included."""
    found: list[str] = []
    for folder, pattern, encoding in KINDS:
        mine: list[str] = []
        for path in sorted((place / folder).glob(pattern)):
            if path.is_file() and len(mine) < of_each:
                text = path.read_bytes().decode(encoding, "replace")
                mine += [text[at : at + 6_000] for at in range(0, len(text), 6_000)][: max(1, of_each // 10)]
        found += mine[:of_each]
    return found


def with_copies(texts: list[str], seed: int) -> list[str]:
    """The texts, and of every third a copy in which some words are gone."""
    rng = random.Random(seed)
    copies = []
    for text in texts[::3]:
        share = rng.choice([0.002, 0.01, 0.03, 0.08])
        copies.append(" ".join(word for word in text.split(" ") if rng.random() > share))
    return [*texts, *copies]


def batch(texts: list[str]) -> DocBatch:
    return DocBatch.of([f"{d:05d}" for d in range(len(texts))], texts)


def sketches(docs: DocBatch, config: MinHashConfig) -> list[LeanMinHash]:
    """datasketch's own signatures of the words and windows of the plain definition."""
    count = config.shape[0] * config.shape[1]
    found = []
    for text in docs.texts:
        hashes = oracles.shingles(oracles.tokens(text, TABLE), config.width)
        theirs = MinHash(num_perm=count, seed=config.seed, hashfunc=lambda h: h & 0xFFFFFFFF, scheme="affine32")
        theirs.update_batch(hashes)
        found.append(LeanMinHash(theirs))
    return found


def candidates(values: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of documents with a band value in common."""
    groups: dict[tuple[int, int], list[int]] = {}
    for d, row in enumerate(values.tolist()):
        for band, value in enumerate(row):
            groups.setdefault((band, value), []).append(d)
    return {pair for group in groups.values() for pair in combinations(group, 2)}


def check_against_datasketch(docs: DocBatch, config: MinHashConfig) -> set[tuple[int, int]]:
    """Signatures to the bit, and the pairs that would be verified; those pairs."""
    bands, rows = config.shape
    shingles = signatures.shingle(docs.text, docs.offsets, config)
    mine = signatures.signatures(shingles.hashes, shingles.bounds, bands * rows, config.seed)
    theirs = sketches(docs, config)
    assert mine.tolist() == [sketch.hashvalues.tolist() for sketch in theirs]
    index = MinHashLSH(num_perm=bands * rows, params=(bands, rows))
    for d, sketch in enumerate(theirs):
        index.insert(d, sketch)
    pairs = {(min(d, e), max(d, e)) for d, sketch in enumerate(theirs) for e in index.query(sketch) if e != d}
    assert candidates(signatures.sign(shingles, config)) == pairs
    return pairs


@given(texts=st.lists(TEXTS, min_size=1, max_size=10), width=st.integers(1, 5), seed=st.integers(0, 99))
def test_text_has_the_signatures_and_the_candidates_of_datasketch(texts: list[str], width: int, seed: int):
    check_against_datasketch(batch(texts), MinHashConfig(width=width, seed=seed, bands=6, rows=2))


def test_real_documents_have_the_signatures_and_the_candidates_of_datasketch(real_data: Path):
    texts = with_copies(real_texts(real_data, 60), 1)
    assert len(texts) > 300
    pairs = check_against_datasketch(batch(texts), DedupConfig())
    assert len(pairs) > 30


def run(docs: DocBatch, folder: Path, config: DedupConfig, workers: int = 1) -> list[dict[str, Any]]:
    """Evidence of the whole command on documents."""
    path = folder / "in.jsonl"
    rows = [{"id": own, "text": text} for own, text in zip(docs.ids, docs.texts, strict=True)]
    path.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))
    dedup(expand([str(path)]), folder / "out", config, RunSettings(workers=workers))
    found: list[dict[str, Any]] = pq.read_table(folder / "out/duplicates.parquet").to_pylist()
    return found


def check_against_brute_force(docs: DocBatch, folder: Path, config: DedupConfig) -> int:
    expected, _ = brute_force(docs, config)
    found = run(docs, folder, config)
    assert {r["removed_id"]: (r["kept_id"], r["rule"], r["similarity"]) for r in found} == {
        docs.ids[d]: (docs.ids[kept], rule, float(similarity)) for d, (kept, similarity, rule) in expected.items()
    }
    return len(found)


def test_the_command_removes_of_real_documents_what_brute_force_removes(tmp_path: Path, real_data: Path):
    docs = batch(with_copies(real_texts(real_data, 20), 2))
    assert check_against_brute_force(docs, tmp_path, DedupConfig(threshold=0.7, unit_bytes=200_000)) > 10


@pytest.mark.long
def test_the_command_removes_of_many_real_documents_what_brute_force_removes(tmp_path: Path, real_data: Path):
    docs = batch(with_copies(real_texts(real_data, 400), 3))
    assert check_against_brute_force(docs, tmp_path, DedupConfig(unit_bytes=1 << 20)) > 200


def test_nothing_is_removed_below_the_threshold_and_nothing_for_a_document_that_is_gone(
    tmp_path: Path, real_data: Path
):
    """By the shingles of the plain definition, of real documents and of copies at every distance."""
    docs = batch(with_copies(with_copies(real_texts(real_data, 80), 4), 5))
    rows = run(docs, tmp_path, DedupConfig(threshold=0.75, unit_bytes=200_000), workers=2)
    sets = [frozenset(oracles.shingles(oracles.tokens(text, TABLE), 5)) for text in docs.texts]
    gone = {row["removed_id"] for row in rows}
    assert len(gone) > 50
    for row in rows:
        one, other = sets[int(row["removed_id"])], sets[int(row["kept_id"])]
        assert row["kept_id"] not in gone
        assert row["similarity"] == len(one & other) / len(one | other) >= 0.75
