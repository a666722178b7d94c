"""Batches for next-token prediction: packed rows, and documents rearranged for infilling."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles_indexed import make, numbered

from megadata.errors import ConfigError
from megadata.indexed.batch import IGNORED, Batch
from megadata.indexed.blend import Blend
from megadata.indexed.gpt import GptSamples
from megadata.indexed.infilling import Infilling, infill
from megadata.indexed.loader import Loader
from megadata.indexed.meta import Meta
from megadata.indexed.order import mix64
from megadata.indexed.packing import pack
from megadata.indexed.vocabulary import Vocabulary
from megadata.indexed.writer import IndexedWriter

EOD, L = 0, 32
FIM = {"fim_prefix": 1, "fim_middle": 2, "fim_suffix": 3}
SPECIAL = {"eod": EOD, **FIM}


def write_packed(prefix, documents: list[list[int]], length: int = L, padding: int = EOD) -> str:
    """The documents, each ended by the EOD, best-fit packed into rows as `packing` describes."""
    ended = [[*document, EOD] for document in documents]
    packing = pack([len(document) for document in ended], length)
    meta = Meta(
        vocabulary_size=70_000, eod=EOD, appended_eod=True, special_tokens=SPECIAL, pack=length, padding=padding
    )
    with IndexedWriter(prefix, np.int32, meta) as writer:
        for row in range(packing.rows):
            mine = np.flatnonzero(packing.row == row)
            tokens: list[int] = []
            for piece in mine.tolist():
                start = int(packing.start[piece])
                tokens += ended[int(packing.document[piece])][start : start + int(packing.tokens[piece])]
            writer.add_document(tokens + [padding] * (length - len(tokens)))
    return str(prefix)


@pytest.fixture(scope="module")
def documents():
    """Documents that share no token; some are longer than a row."""
    rng = np.random.default_rng(0)
    sizes = [*rng.integers(1, 30, 300).tolist(), 31, 32, 33, 64, 100]
    borders = np.cumsum([10, *sizes])
    return [list(range(a, b)) for a, b in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True)]


@pytest.fixture(scope="module", params=[EOD, 4])
def packed(request, tmp_path_factory, documents):
    """The documents in packed rows, padded with the EOD or with an id of its own."""
    return write_packed(tmp_path_factory.mktemp("packed") / "p", documents, padding=request.param)


def pieces(batch: Batch, row: int) -> list[tuple[list[int], list[int], list[int]]]:
    """(tokens, labels, positions) of each stretch that attends to itself alone."""
    out, at = [], 0
    for size in batch.document_lengths[row].tolist():
        if size:
            part = slice(at, at + size)
            out.append(tuple(getattr(batch, f)[row, part].tolist() for f in ("input_ids", "labels", "position_ids")))
        at += size
    assert sum(len(tokens) for tokens, _, _ in out) == batch.input_ids.shape[1]
    return out


def test_packed_rows_hold_whole_documents_that_neither_see_nor_predict_each_other(packed, documents):
    samples = Blend.of({"p": packed}, seed=3, max_epochs={"p": 1}).samples(L)
    batch = GptSamples(samples).batch(0, samples.total)
    seen: Counter[int] = Counter()
    for row in range(len(batch)):
        for tokens, labels, positions in pieces(batch, row):
            assert positions == list(range(len(tokens)))
            if set(tokens) <= {EOD, 4} and set(labels) == {IGNORED}:
                continue  # padding
            assert EOD not in tokens[:-1]
            assert labels == [*tokens[1:], IGNORED]
            seen.update(token for token in tokens if token != EOD)
    assert seen == Counter(chain.from_iterable(documents))
    assert (batch.loss_mask == (batch.labels != IGNORED)).all()
    whole = [d for d in documents if len(d) < L]
    found = {tuple(tokens[:-1]) for row in range(len(batch)) for tokens, _, _ in pieces(batch, row)}
    assert {tuple(d) for d in whole} <= found


def test_rows_are_visited_in_another_order_each_epoch_and_never_shifted(packed):
    samples = Blend.of({"p": packed}).samples(L)
    one, two = (samples.batch(e * samples.epoch, (e + 1) * samples.epoch)[:, :-1] for e in (0, 1))
    assert one.tolist() != two.tolist()
    assert sorted(map(tuple, one)) == sorted(map(tuple, two))


def test_packed_and_plain_sources_share_a_batch(packed, tmp_path):
    plain = numbered(tmp_path / "n", 5000, 20_000, Meta(vocabulary_size=70_000, eod=EOD, special_tokens=SPECIAL))
    samples = Blend.of({"p": packed, "n": plain}, {"p": 1, "n": 1}).samples(L)
    batch = next(Loader(samples, 64, prefetch=0))
    source, _, _ = samples.places(np.arange(64))
    is_plain = source == samples.names.index("n")
    assert is_plain.sum() == 32
    assert (batch.labels[is_plain] == batch.input_ids[is_plain] + 1).all()
    assert (batch.document_lengths[is_plain, 0] == L).all()
    assert batch.loss_mask[is_plain].all()
    assert (batch.labels[~is_plain, -1] == IGNORED).all()


def test_held_out_packed_rows_are_read_to_the_last(packed, documents, tmp_path):
    other = make(tmp_path / "d", 500, meta=Meta(vocabulary_size=70_000, eod=EOD, special_tokens=SPECIAL))
    held_out = Blend.of({"d": other}, validation={"d": packed}).validation(L)["d"]
    batch = GptSamples(held_out).batch(0, len(held_out))
    tokens = batch.input_ids[batch.input_ids > 4]
    assert sorted(tokens.tolist()) == list(chain.from_iterable(documents))


def test_what_does_not_fit_packed_rows_is_refused(packed, tmp_path):
    with pytest.raises(
        ConfigError, match="source 'p' was packed into rows of 32 tokens, the samples have 31; use samples of 32"
    ):
        Blend.of({"p": packed}).samples(31)
    with pytest.raises(ConfigError, match="p: is packed, and a document may lie in several of its rows; split it when"):
        Blend.of({"p": packed}, split=(9, 1, 0)).samples(L)
    plain = numbered(tmp_path / "n", 500, 0)
    with pytest.raises(ConfigError, match="n: packed into rows of different lengths, or not all packed"):
        Blend.of({"p": [packed, plain]}).samples(L)
    bare = tmp_path / "bare"
    with IndexedWriter(bare, np.int32, Meta(pack=L)) as writer:
        writer.add_document(range(2 * L))
    with pytest.raises(ConfigError, match="packed rows and infilling need the id that ends a document"):
        Loader(Blend.of({"b": bare}).samples(L), 2)


def restored(row: list[int]) -> list[list[int]]:
    """Documents of a row in their own order, from their PSM or SPM form; a cut last one is left out."""
    out = []
    *whole, _ = "".join(map(chr, row)).split(chr(EOD))
    for text in whole:
        if not text.startswith(chr(1)):
            out.append(text)
        elif text.startswith(chr(1) + chr(3)):
            suffix, rest = text[2:].split(chr(2))
            out.append(rest + suffix)
        else:
            prefix, rest = text[1:].split(chr(3))
            suffix, middle = rest.split(chr(2))
            out.append(prefix + middle + suffix)
    return [[ord(c) for c in text] for text in out]


DOCUMENT = st.lists(st.integers(10, 99), max_size=12)


@given(
    st.lists(st.lists(DOCUMENT, min_size=1, max_size=5), min_size=1, max_size=4),
    st.integers(0, 2**63),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.0, 0.5, 1.0]),
)
@settings(max_examples=150)
def test_rearranged_documents_hold_what_they_held(rows, seed, rate, spm):
    width = 120
    given_rows = np.array([[*chain(*([*d, EOD] for d in row)), *[7] * width][:width] for row in rows])
    keys = mix64(np.arange(len(rows), dtype=np.uint64) + np.uint64(seed))
    vocabulary = Vocabulary(special_tokens=SPECIAL)
    found = infill(given_rows, keys, Infilling(rate=rate, spm=spm), vocabulary, EOD)
    assert found.shape == given_rows.shape
    for row, original in zip(found.tolist(), rows, strict=True):
        assert restored(row) == original[: len(restored(row))]
        assert len(restored(row)) >= len(original) - 1
    if rate == 0:
        assert found.tolist() == given_rows.tolist()


def test_rates_of_infilling_are_those_asked_for_and_cuts_are_uniform():
    rng = np.random.default_rng(0)
    size = 20
    tokens = np.concatenate([rng.integers(10, 99, (4000, size)), np.zeros((4000, 1), np.int64)], axis=1)
    tokens = np.concatenate([tokens, np.full((4000, 3), 7)], axis=1)
    found = infill(
        tokens,
        mix64(np.arange(4000, dtype=np.uint64)),
        Infilling(rate=0.7, spm=0.25),
        Vocabulary(special_tokens=SPECIAL),
        EOD,
    )
    head = found[:, 0] == 1
    assert abs(head.mean() - 0.7) < 0.03
    psm_empty_prefix = 1 - (size / (size + 1)) ** 2
    spm = head & (found[:, 1] == 3)
    expected = 0.25 + 0.75 * psm_empty_prefix
    assert abs(spm.sum() / head.sum() - expected) < 0.04
    plain = head & ~spm
    prefix = np.argmax(found[plain] == 3, axis=1) - 1
    counts = np.bincount(prefix, minlength=size + 1)[1:]
    weights = np.array([(2 * (size - a) + 1) for a in range(1, size + 1)], float)  # the smaller of two cuts
    wanted = counts.sum() * weights / weights.sum()
    assert (((counts - wanted) ** 2) / wanted).sum() < size + 4.5 * np.sqrt(2 * size)


def test_infilling_depends_on_the_sample_alone_and_keeps_labels_shifted(tmp_path):
    meta = Meta(vocabulary_size=1000, eod=EOD, special_tokens=SPECIAL)
    prefix = tmp_path / "d"
    rng = np.random.default_rng(1)
    with IndexedWriter(prefix, np.uint16, meta) as writer:
        for _ in range(200):
            writer.add_document([*rng.integers(10, 1000, rng.integers(1, 40)).tolist(), EOD])
    samples = Blend.of({"d": prefix}).samples(64)
    filled = GptSamples(samples, infilling=Infilling(rate=1), document_aware=True, seed=5)
    together = filled.take([5, 900, 3])
    for row, k in enumerate((5, 900, 3)):
        for f in fields(Batch):
            one, many = getattr(filled[k], f.name), getattr(together, f.name)
            if one is not None and f.name != "document_lengths":
                assert np.array_equal(one[0], many[row])
    assert (together.labels[:, :-1] == together.input_ids[:, 1:]).all()
    assert (together.input_ids == FIM["fim_middle"]).sum() > 3
    assert samples.batch(0, 50)[:, :-1].tolist() != filled.batch(0, 50).input_ids.tolist()


def test_infilling_without_its_tokens_is_refused(tmp_path):
    samples = Blend.of({"d": make(tmp_path / "d", 500, meta=Meta(eod=EOD))}).samples(L)
    with pytest.raises(ConfigError, match="the data's tokenizer has no 'fim_prefix' token"):
        GptSamples(samples, infilling=Infilling())
    with pytest.raises(ConfigError, match=r"infilling\.rate must lie between 0 and 1, got 2"):
        Infilling(rate=2)
