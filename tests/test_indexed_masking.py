"""Masked samples: structure, statistics, and that each depends on its number alone."""

from __future__ import annotations

from dataclasses import fields
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megadata.errors import ConfigError
from megadata.indexed.batch import IGNORED, Batch
from megadata.indexed.blend import Blend
from megadata.indexed.masking import MaskedSamples, Masking
from megadata.indexed.meta import Meta, pack_bits
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.writer import IndexedWriter

EOD, CLS, SEP, MASK, PAD = range(5)
V = 500
SPECIAL = {"eod": EOD, "cls": CLS, "sep": SEP, "mask": MASK, "pad": PAD}
STARTS = np.random.default_rng(1).random(V) < 0.5
LENGTH = 64


def write(prefix: Path, documents: list[list[list[int]]], level: str = "sentence") -> str:
    meta = Meta(
        vocabulary_size=V, eod=EOD, appended_eod=True, special_tokens=SPECIAL, word_start=pack_bits(STARTS), level=level
    )
    with IndexedWriter(prefix, "uint16", meta) as writer:
        for document in documents:
            for sentence in document:
                writer.add_sequence(sentence)
            writer.end_document()
    return str(prefix)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """A dataset of sentences; the last of each document ends with the EOD."""
    rng = np.random.default_rng(0)
    documents = []
    for _ in range(400):
        sentences = [rng.integers(5, V, rng.integers(1, 30)).tolist() for _ in range(rng.integers(1, 12))]
        sentences[-1].append(EOD)
        documents.append(sentences)
    return write(tmp_path_factory.mktemp("bert") / "d", documents)


@pytest.fixture(scope="module")
def masked(prefix):
    return MaskedSamples.of(Blend.of({"d": prefix}, seed=9), LENGTH)


@pytest.fixture(scope="module")
def batch(masked):
    return masked.batch(0, 600)


def original(batch: Batch) -> np.ndarray:
    return np.where(batch.labels == IGNORED, batch.input_ids, batch.labels)


def segments(batch: Batch, row: int) -> tuple[list[int], list[int]]:
    """Segments A and B of a row in the order of the text, checked for their frame."""
    tokens = original(batch)[row].tolist()
    size = int(batch.document_lengths[row, 0])
    types = batch.token_type_ids[row].tolist()
    border = tokens.index(SEP, 1)
    assert tokens[0] == CLS
    assert tokens[size - 1] == SEP
    assert set(tokens[size:]) <= {PAD}
    assert types == [0] * (border + 1) + [1] * (size - border - 1) + [0] * (len(tokens) - size)
    first, second = tokens[1:border], tokens[border + 1 : size - 1]
    return (second, first) if batch.is_swapped[row] else (first, second)


def test_a_sample_is_whole_sentences_of_one_document_between_its_special_tokens(prefix, batch):
    data = IndexedDataset(prefix)
    texts = {}
    for d in range(data.documents):
        sentences = [s.tolist() for s in data[slice(*data.document_bounds(d))]]
        sentences[-1].pop()
        texts[d] = sentences
    for row in range(200):
        a, b = segments(batch, row)
        found = [
            (d, i)
            for d, sentences in texts.items()
            for i in range(len(sentences))
            if (flat := list(chain.from_iterable(sentences[i:])))[: len(a + b)] == a + b
            and (len(flat) == len(a + b) or len(a + b) in np.cumsum([len(s) for s in sentences[i:]]))
        ]
        assert len(found) == 1
        d, i = found[0]
        borders = set(np.cumsum([len(s) for s in texts[d][i:]]).tolist())
        assert len(a) in borders or len(a + b) == min(borders)


def test_a_sample_is_as_full_as_its_document_allows(prefix, batch):
    data = IndexedDataset(prefix)
    sizes = batch.document_lengths[:, 0] - 3
    longest_sentence = int(data.lengths.max())
    documents = np.diff(data.document_starts(np.arange(data.documents + 1))) - 1
    shortest = np.sort(np.unique(documents))
    for size in sizes.tolist():
        assert size > LENGTH - 3 - longest_sentence - 1 or size in shortest


def test_the_rates_are_those_of_the_paper(batch):
    chosen = batch.labels != IGNORED
    content = (batch.document_lengths[:, 0] - 3).sum()
    assert abs(chosen.sum() / content - 0.15) < 0.01
    hidden, truth = batch.input_ids[chosen], batch.labels[chosen]
    assert abs((hidden == MASK).mean() - 0.8) < 0.02
    assert abs((hidden == truth).mean() - 0.1) < 0.02
    assert abs(batch.is_swapped.mean() - 0.5) < 0.06
    assert (batch.loss_mask == chosen).all()
    assert not np.isin(truth, list(SPECIAL.values())).any()
    assert (np.abs(chosen.sum(axis=1) - 0.15 * (batch.document_lengths[:, 0] - 3)) < 8).all()
    assert (chosen.sum(axis=1) >= 1).all()


def test_words_are_masked_as_a_whole(batch):
    tokens, chosen = original(batch), batch.labels != IGNORED
    inside = (tokens[:, 1:] > PAD) & (tokens[:, :-1] > PAD) & ~STARTS[tokens[:, 1:]]
    assert inside.sum() > 1000
    assert (chosen[:, 1:] == chosen[:, :-1])[inside].all()


def test_without_whole_words_tokens_are_chosen_one_by_one(prefix):
    masking = Masking(unit="tokens")
    batch = MaskedSamples.of(Blend.of({"d": prefix}), LENGTH, masking=masking).batch(0, 300)
    chosen = batch.labels != IGNORED
    wanted = np.maximum(1, np.rint((batch.document_lengths[:, 0] - 3) * 0.15))
    assert chosen.sum(axis=1).tolist() == wanted.tolist()
    places = chosen[:, :40].sum(axis=0)
    assert places[1:].min() > 15


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
@settings(max_examples=25)
def test_a_sample_depends_on_its_number_alone(masked, numbers):
    together = masked.take(numbers)
    for row, number in enumerate(numbers):
        alone = masked[number]
        for f in fields(Batch):
            assert np.array_equal(getattr(alone, f.name)[0], getattr(together, f.name)[row])


def test_masks_change_from_epoch_to_epoch_and_with_the_seed(prefix, masked):
    samples = Blend.of({"d": prefix}, seed=9).samples(LENGTH - 3)
    one, other = (MaskedSamples(samples, seed=s).batch(0, 50) for s in (9, 10))
    assert np.array_equal(one.input_ids, masked.batch(0, 50).input_ids)
    assert not np.array_equal(one.labels, other.labels)


def test_documents_without_sentences_are_cut_as_they_lie(tmp_path):
    rng = np.random.default_rng(0)
    documents = [[[*rng.integers(5, V, 200).tolist(), EOD]] for _ in range(20)]
    prefix = write(tmp_path / "d", documents, level="document")
    blend = Blend.of({"d": prefix})
    samples = blend.samples(LENGTH - 3)
    batch = MaskedSamples.of(blend, LENGTH).batch(0, 60)
    for row in range(60):
        a, b = segments(batch, row)
        assert a + b == samples[row][:-1].tolist()
        assert min(len(a), len(b)) >= (LENGTH - 3) // 4


def test_a_sentence_longer_than_a_sample_is_cut(tmp_path):
    prefix = write(tmp_path / "d", [[list(range(5, 305)), [5, EOD]], [[7, 8, EOD]]])
    batch = MaskedSamples.of(Blend.of({"d": prefix}), 32).batch(0, 40)
    for row in range(40):
        a, b = segments(batch, row)
        assert a + b in ([*range(5, 34)], [5], [7, 8])


def test_a_validation_part_never_shows_training_sentences(tmp_path):
    documents = [[list(range(start, start + 9)) for start in range(20 + 40 * d, 56 + 40 * d, 9)] for d in range(10)]
    blend = Blend.of({"d": write(tmp_path / "d", documents)}, split=(8, 1, 1))
    held_out = blend.validation(12)["d"]
    assert held_out.stream.pieces[0].start == 8 * 36
    train = original(MaskedSamples(blend.samples(12)).batch(0, 1000))
    validation = original(MaskedSamples(held_out).batch(0, len(held_out)))
    assert set(train.ravel().tolist()) - set(SPECIAL.values()) == {t for d in documents[:8] for s in d for t in s}
    assert set(validation.ravel().tolist()) - set(SPECIAL.values()) <= {t for s in documents[8] for t in s}


def test_what_is_missing_is_named(tmp_path, prefix):
    bare = write(tmp_path / "d", [[list(range(5, 200))]])
    blend = Blend.of({"d": bare})
    Path(f"{bare}.meta.json").unlink()
    with pytest.raises(ConfigError, match=r"has no 'cls' token \(it has none\)"):
        MaskedSamples.of(blend, 32)
    with pytest.raises(ConfigError, match="masked samples need more than 3 tokens, got 3"):
        MaskedSamples.of(blend, 3)
    with pytest.raises(ConfigError, match=r"masking\.probability must lie between 0 and 1, got 2"):
        Masking(probability=2)
    with pytest.raises(ConfigError, match=r"add up to 1\.4"):
        Masking(masked=0.9, random=0.5)


def runs(mask: np.ndarray) -> list[int]:
    """Lengths of the stretches of true values in a row."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return (edges[1::2] - edges[::2]).tolist()


def test_spans_are_whole_words_of_geometric_number_all_hidden_alike(tmp_path):
    words = np.zeros(V, np.bool_)
    words[5:] = True  # every token is a word, so that words of a span can be counted
    meta = Meta(vocabulary_size=V, eod=EOD, special_tokens=SPECIAL, word_start=pack_bits(words))
    with IndexedWriter(tmp_path / "d", "uint16", meta) as writer:
        writer.add_document(np.random.default_rng(0).integers(5, V, 60_000))
    blend = Blend.of({"d": tmp_path / "d"})
    batch = MaskedSamples.of(blend, 512, masking=Masking(unit="spans", swap=0)).batch(0, 100)
    chosen = batch.labels != IGNORED
    assert abs(chosen.sum() / (100 * 509) - 0.15) < 0.005
    sizes = np.array([size for row in chosen for size in runs(row)])
    assert 4 < sizes.mean() < 5.5  # 3.8 words on average, a little more where spans touch
    shares = np.bincount(np.minimum(sizes, 11))[1:4] / sizes.size
    assert np.abs(shares - 0.2 * 0.8 ** np.arange(3) / (1 - 0.8**10) * 0.85).max() < 0.04
    hidden = chosen & (batch.input_ids == MASK)
    alike = [hidden[row, a:b].mean() for row in range(100) for a, b in stretches(chosen[row]) if b - a <= 3]
    assert np.mean([share in (0.0, 1.0) for share in alike]) > 0.9
    assert abs(hidden.sum() / chosen.sum() - 0.8) < 0.03


def stretches(mask: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0])))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def test_spans_end_at_words(prefix):
    batch = MaskedSamples.of(Blend.of({"d": prefix}), LENGTH, masking=Masking(unit="spans")).batch(0, 300)
    tokens, chosen = original(batch), batch.labels != IGNORED
    inside = (tokens[:, 1:] > PAD) & (tokens[:, :-1] > PAD) & ~STARTS[tokens[:, 1:]]
    assert (chosen[:, 1:] == chosen[:, :-1])[inside].all()


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Documents of sentences whose tokens tell the document: 5 + document."""
    rng = np.random.default_rng(2)
    documents = [[[5 + d] * int(n) for n in rng.integers(2, 9, rng.integers(6, 30))] for d in range(150)]
    return write(tmp_path_factory.mktemp("next") / "d", documents)


def test_the_next_sentence_is_from_another_document_half_of_the_time(told):
    masked = MaskedSamples.of(Blend.of({"d": told}), LENGTH, masking=Masking(pairs="next", random=0))
    batch = masked.batch(0, 500)
    assert abs(batch.is_swapped.mean() - 0.5) < 0.07
    tokens = original(batch)
    for row in range(500):
        size = int(batch.document_lengths[row, 0])
        border = tokens[row].tolist().index(SEP, 1)
        a, b = set(tokens[row, 1:border].tolist()), set(tokens[row, border + 1 : size - 1].tolist())
        assert len(a) == len(b) == 1
        assert (a != b) == batch.is_swapped[row]
    found = masked.provenance(3)
    assert len(found) == 1 + int(batch.is_swapped[3])
    for k in range(40):
        ids = [5 + span.document for span in masked.provenance(k)]
        rows = tokens[k, : int(batch.document_lengths[k, 0])]
        assert ids == list(dict.fromkeys(t for t in rows.tolist() if t > PAD))
        assert sum(span.length for span in masked.provenance(k)) == int(batch.document_lengths[k, 0]) - 3


def test_samples_of_pairs_and_spans_depend_on_their_number_alone(told):
    masking = Masking(pairs="next", unit="spans")
    masked = MaskedSamples.of(Blend.of({"d": told}), LENGTH, masking=masking)
    together = masked.take([7, 1000, 3, 77])
    for row, k in enumerate((7, 1000, 3, 77)):
        for f in fields(Batch):
            assert np.array_equal(getattr(masked[k], f.name)[0], getattr(together, f.name)[row])


def test_a_single_document_has_no_other_and_without_pairs_nothing_is_told(tmp_path):
    prefix = write(tmp_path / "d", [[[5 + i] * 4 for i in range(100)]])
    alone = MaskedSamples.of(Blend.of({"d": prefix}), LENGTH, masking=Masking(pairs="next")).batch(0, 20)
    assert not alone.is_swapped.any()
    plain = MaskedSamples.of(Blend.of({"d": prefix}), LENGTH, masking=Masking(pairs="none")).batch(0, 20)
    assert plain.is_swapped is None
    with pytest.raises(ConfigError, match=r"masking\.unit must be words, tokens, spans, got 'letters'"):
        Masking(unit="letters")
