"""Deduplication equals its definition, whatever the order of the input, and never chains."""

from __future__ import annotations

import itertools
import math
import random
import time
from fractions import Fraction

import numpy as np
import oracles_dedup as oracles
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megadata.corpus.dedup import components, find, normaliser, ranks, signatures, stars
from megadata.corpus.dedup.config import DedupConfig, MinHashConfig
from megadata.documents.batch import DocBatch

TABLE = normaliser.table().tolist()
LOOSE = DedupConfig(threshold=0.5, bands=6, rows=2, width=2)


def brute_force(docs: DocBatch, config: DedupConfig) -> tuple[dict[int, tuple[int, Fraction, str]], int]:
    """Deduplication from its definition, sharing with the product only the table of characters."""
    words = [oracles.tokens(text, TABLE, config.shingle == "characters") for text in docs.texts]
    digests = [oracles.digest(one) for one in words]
    hashes = [oracles.shingles(one, config.width) for one in words]
    mul, add = (p.tolist() for p in signatures.permutations(math.prod(config.shape), config.seed))
    places = {name: at for at, name in enumerate(config.prefer)}
    sizes = [len(text.encode()) for text in docs.texts]
    sources = docs.column("source")
    scores = [float(np.float32(orjson.loads(one or "{}").get(config.quality) or 0)) for one in docs.column("metadata")]
    measures = [(-q, -n) if config.quality_first else (-n, -q) for n, q in zip(sizes, scores, strict=True)]
    rank = [
        (places.get(sources[d] or "", len(places)), *measures[d], digests[d], docs.ids[d].encode())
        for d in range(len(docs))
    ]
    first: dict[tuple[int, int], int] = {}
    for d in sorted(range(len(docs)), key=rank.__getitem__):
        first.setdefault(digests[d], d)
    exact = {d: first[digests[d]] for d in range(len(docs)) if first[digests[d]] != d}
    if config.exact_only:
        return {d: (k, Fraction(1), "exact") for d, k in exact.items()}, 0
    standing = sorted(set(range(len(docs))) - set(exact))
    rows = [oracles.signature(hashes[d], mul, add) for d in standing]
    near, saturated = oracles.deduplicate(
        [
            (rank[d], oracles.band_values(row, *config.shape), frozenset(hashes[d]))
            for d, row in zip(standing, rows, strict=True)
        ],
        Fraction(str(config.threshold)),
        config.measure == "containment",
        config.remembered,
    )
    final = {standing[v]: (standing[u], similarity, "minhash") for v, (u, similarity) in near.items()}
    return {d: final.get(k, (k, Fraction(1), "exact")) for d, k in exact.items()} | final, saturated


def check(docs: DocBatch, config: DedupConfig) -> find.Found:
    expected, saturated = brute_force(docs, config)
    found = find.find_duplicates(docs, config)
    assert {d.removed: (d.kept, d.rule) for d in found.duplicates} == {d: (k, r) for d, (k, _, r) in expected.items()}
    for one in found.duplicates:
        assert one.similarity == float(expected[one.removed][1])
    assert found.saturated == saturated
    return found


def scored(quality: object) -> str | None:
    """Metadata with a score."""
    return None if quality is None else orjson.dumps({"quality": quality, "deep": {"er": quality}}).decode()


FAMILY = st.lists(
    st.sampled_from(["one", "two", "three", "four", "five", "six", "seven"]), min_size=0, max_size=14
).map(" ".join)
SOURCES = st.sampled_from(["web", "books", "wikipedia"])


@given(
    texts=st.lists(st.tuples(FAMILY, SOURCES, st.none() | st.floats(-2, 2, width=32)), max_size=14),
    threshold=st.sampled_from([0.3, 0.5, 0.8, 1.0]),
    measure=st.sampled_from(["jaccard", "containment"]),
    width=st.integers(1, 3),
    remembered=st.integers(1, 3),
    prefer=st.sampled_from([(), ("books",), ("wikipedia", "books")]),
    exact_only=st.booleans(),
    quality_first=st.booleans(),
)
@settings(max_examples=300)
def test_deduplication_equals_brute_force(
    texts, threshold, measure, width, remembered, prefer, exact_only, quality_first
):
    names, metadata = [f"d{i}" for i in range(len(texts))], [scored(q) for _, _, q in texts]
    docs = DocBatch.of(names, [t for t, _, _ in texts], [s for _, s, _ in texts], None, metadata)
    config = DedupConfig(
        threshold=threshold,
        measure=measure,
        width=width,
        remembered=remembered,
        prefer=prefer,
        exact_only=exact_only,
        quality_first=quality_first,
        bands=8,
        rows=1,
    )
    check(docs, config)


@given(texts=st.lists(FAMILY, min_size=1, max_size=12), seed=st.integers(0, 1000))
def test_the_order_of_the_input_does_not_matter(texts: list[str], seed: int):
    ids = [f"d{i}" for i in range(len(texts))]
    shuffled = list(range(len(texts)))
    random.Random(seed).shuffle(shuffled)

    def by_id(order: list[int]) -> set[tuple[str, str, float, str]]:
        docs = DocBatch.of([ids[i] for i in order], [texts[i] for i in order])
        found = find.find_duplicates(docs, LOOSE).duplicates
        return {(docs.ids[d.removed], docs.ids[d.kept], d.similarity, d.rule) for d in found}

    assert by_id(list(range(len(texts)))) == by_id(shuffled)


def test_what_is_left_has_no_duplicates():
    rng = random.Random(3)
    docs = DocBatch.of([str(i) for i in range(300)], variants(rng, 300, 40))
    removed = find.find_duplicates(docs, LOOSE).removed
    assert removed
    left = docs.select(np.array([d not in removed for d in range(len(docs))]))
    assert find.find_duplicates(left, LOOSE).duplicates == []


def variants(rng: random.Random, count: int, families: int, words: int = 60, vocabulary: int = 4000) -> list[str]:
    """Texts that are copies of a few, each with some words changed."""
    bases = [[f"w{rng.randrange(vocabulary)}" for _ in range(words)] for _ in range(families)]
    texts = []
    for _ in range(count):
        text = list(rng.choice(bases))
        for _ in range(rng.randrange(0, 7)):
            text[rng.randrange(words)] = f"w{rng.randrange(vocabulary)}"
        texts.append(" ".join(text))
    return texts


def test_families_of_near_copies_equal_brute_force_at_the_default_settings():
    docs = DocBatch.of([str(i) for i in range(240)], variants(random.Random(1), 240, 30, words=90))
    found = check(docs, DedupConfig())
    assert 30 < len(found.duplicates) < 210


def test_a_chain_of_neighbours_is_not_merged():
    """Each document is more than .85 like the next, while those further apart are not alike: only neighbours may go."""
    words = [f"w{i}" for i in range(1000)]
    texts = [" ".join(words[10 * i : 10 * i + 140]) for i in range(60)]
    docs = DocBatch.of([f"{i:03d}" for i in range(60)], texts)
    config = DedupConfig(threshold=0.85, bands=120, rows=4)
    found = check(docs, config)
    sets = [set(oracles.shingles(oracles.tokens(text, TABLE), 5)) for text in texts]
    neighbours = [len(a & b) / len(a | b) for a, b in itertools.pairwise(sets)]
    assert min(neighbours) > 0.85
    assert all(abs(d.removed - d.kept) == 1 and d.similarity > 0.85 for d in found.duplicates)
    assert 60 - len(found.duplicates) >= 20


def test_distinct_short_texts_all_stay_and_equal_ones_go():
    texts = ["cat", "dog", "cat", "", "  ", "C++", "C#", "!", "?", "one two three four", "One, two; three four!"]
    docs = DocBatch.of([str(i) for i in range(len(texts))], texts)
    found = check(docs, DedupConfig())
    assert {(d.removed, d.kept, d.rule) for d in found.duplicates} == {
        (2, 0, "exact"),
        (3, 4, "exact"),
        (9, 10, "exact"),
    }


def test_nothing_comes_of_no_documents():
    assert find.find_duplicates(DocBatch.empty(), DedupConfig()).duplicates == []


def test_the_preferred_source_stays_even_when_it_is_shorter():
    text = " ".join(f"w{i}" for i in range(100))
    docs = DocBatch.of(["a", "b", "c"], [text + " and more", text, text + "!"], ["web", "wikipedia", "books"])
    assert find.find_duplicates(docs, DedupConfig(prefer=("wikipedia", "books"))).removed == {0, 2}
    assert find.find_duplicates(docs, DedupConfig(prefer=("books",))).removed == {0, 1}
    assert find.find_duplicates(docs, DedupConfig()).removed == {1, 2}


def test_the_longest_copy_stays_and_the_least_id_among_equals():
    docs = DocBatch.of(["b", "a", "aa", "c"], ["same text here"] * 3 + ["same text here."])
    assert find.find_duplicates(docs, DedupConfig(exact_only=True)).removed == {0, 1, 2}
    assert find.find_duplicates(docs.slice(0, 3), DedupConfig(exact_only=True)).removed == {0, 2}


def test_of_texts_of_one_length_the_best_stays_and_with_quality_first_of_all():
    text = " ".join(f"w{i}" for i in range(100))
    texts = [text, text.replace("w99", "W99"), text.replace("w99", "w98"), text + " and a tail"]
    docs = DocBatch.of(list("abcd"), texts, "", None, [scored(q) for q in (0.1, 0.9, None, -3)])
    assert {(d.removed, d.kept) for d in check(docs, DedupConfig()).duplicates} == {(0, 3), (1, 3), (2, 3)}
    same = docs.slice(0, 3)
    assert {(d.removed, d.kept) for d in check(same, DedupConfig()).duplicates} == {(0, 1), (2, 1)}
    first = check(docs, DedupConfig(quality_first=True))
    assert {(d.removed, d.kept) for d in first.duplicates} == {(0, 1), (2, 1), (3, 1)}
    deep = find.find_duplicates(docs, DedupConfig(quality="deep.er", quality_first=True)).duplicates
    assert deep == first.duplicates
    assert find.find_duplicates(docs, DedupConfig(quality="no.such", quality_first=True)).removed == {0, 1, 2}


@pytest.mark.parametrize("odd", ["high", True, [], {}, 1e300, float("nan")])
def test_what_is_no_score_counts_as_none(odd: object):
    text = " ".join(f"w{i}" for i in range(100))
    metadata = [orjson.dumps({"quality": odd}).decode(), scored(0.5), scored(-0.5)]
    docs = DocBatch.of(list("abc"), [text, text, text], "", None, metadata)
    assert {(d.removed, d.kept) for d in find.find_duplicates(docs, DedupConfig()).duplicates} == {(0, 1), (2, 1)}
    docs = docs.replace(metadata=[metadata[0], scored(-0.5), None])
    assert {(d.removed, d.kept) for d in find.find_duplicates(docs, DedupConfig()).duplicates} == {(1, 0), (2, 0)}


@given(values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=2))
def test_scores_rank_as_numbers_do(values: list[float]):
    low = ranks.lowness(np.array(values, np.float32)).tolist()
    assert (low[0] < low[1]) == (values[0] > values[1])
    assert (low[0] == low[1]) == (values[0] == values[1])


def test_copies_of_a_near_duplicate_are_credited_to_the_document_that_stays():
    text = " ".join(f"w{i}" for i in range(100))
    docs = DocBatch.of(["a", "b", "c"], [text + " tail", text, text])
    found = check(docs, DedupConfig())
    assert [(d.removed, d.kept, d.rule) for d in found.duplicates] == [(1, 0, "minhash"), (2, 0, "minhash")]
    assert len({d.similarity for d in found.duplicates}) == 1


def test_the_threshold_itself_is_similar_enough():
    """4 shared of 5 shingles is 0.8 exactly, which no rounding may turn into less."""
    docs = DocBatch.of(["a", "b"], ["a b c d e f g h i", "a b c d e f g h"])
    config = DedupConfig(threshold=0.8, bands=60, rows=1)
    assert [d.similarity for d in check(docs, config).duplicates] == [0.8]
    assert check(docs, DedupConfig(threshold=0.800001, bands=60, rows=1)).duplicates == []


def test_a_template_family_of_five_thousand_takes_seconds():
    """Pages that share most of their text: near copies of one another, and unlike ones that only share bands."""
    rng = random.Random(5)
    shared = [f"w{i}" for i in range(120)]
    texts = [" ".join(shared + [f"x{rng.randrange(10**6)}" for _ in range(i % 60)]) for i in range(5000)]
    docs = DocBatch.of([str(i) for i in range(5000)], texts)
    find.find_duplicates(docs.slice(0, 10), DedupConfig())
    began = time.perf_counter()
    found = find.find_duplicates(docs, DedupConfig())
    assert time.perf_counter() - began < 3
    assert found.comparisons <= 5000 * 13 * 128
    assert 500 < len(found.duplicates) < 5000


def test_comparisons_of_unlike_pages_with_one_template_stay_linear():
    bands = np.tile(np.array([[7, 8]], np.uint64), (3000, 1))
    hashes = np.arange(3000 * 4, dtype=np.uint64)
    starts = np.arange(0, 3000 * 4, 4)
    sets = signatures.Sets(hashes, starts, starts + 4)
    result = stars.choose(bands, sets, MinHashConfig())
    assert result.removed.size == 0
    assert result.comparisons == 128 * 127 // 2 + (3000 - 128) * 128
    assert result.saturated == 2 * (3000 - 128)


@given(
    edges=st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30),
    standing=st.lists(st.integers(0, 1), min_size=20, max_size=20),
)
def test_components_are_those_of_the_edges_by_their_least_member(edges: list[tuple[int, int]], standing: list[int]):
    parent = components.singles(20)
    left, right = (np.array([e[i] for e in edges], np.uint32) for i in (0, 1))
    half = len(edges) // 2
    components.unite(parent, left[half:], right[half:])
    components.unite(parent, left[:half], right[:half])
    company = components.settle(parent, np.array(standing, np.uint8))
    reach = [{i} for i in range(20)]
    for _ in range(20):
        for a, b in edges:
            reach[a] |= reach[b]
            reach[b] |= reach[a]
    for d in range(20):
        assert parent[d] == min(reach[d])
        assert company[d] == (bool(standing[d]) and sum(standing[m] for m in reach[d]) > 1)


def of_sources(*sources: str) -> DocBatch:
    return DocBatch.of([str(d) for d in range(len(sources))], ["text"] * len(sources), sources)


def test_priorities_follow_the_name_of_the_input_before_the_documents_own_source():
    assert ranks.priorities(("new", "web"), "new", of_sources("web", "")).tolist() == [1, 1]
    assert ranks.priorities(("new", "web"), "old", of_sources("web", "", "x")).tolist() == [2, 3, 3]


def real_news(real_data, count: int) -> DocBatch:
    files = sorted((real_data / "jsonl/reuters21578/training").iterdir())[:count]
    return DocBatch.of([f.name for f in files], [f.read_text("latin-1") for f in files])


def test_real_news_equals_brute_force(real_data):
    found = check(real_news(real_data, 1000), DedupConfig(threshold=0.6))
    assert len(found.duplicates) > 10


@pytest.mark.long
def test_all_real_news_equals_brute_force(real_data):
    found = check(real_news(real_data, 100_000), DedupConfig())
    assert len(found.duplicates) > 100
