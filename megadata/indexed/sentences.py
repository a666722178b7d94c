"""Whole sentences of one document near a token: what a BERT sample is made of. Letter: N samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from megadata.indexed.order import I64, U64, mix64
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.stream import Piece

SPLIT_KEY = np.uint64(11)


@dataclass(frozen=True, slots=True)
class Spans:
    """Content of samples: where it starts and ends in its dataset, and where segment B starts. Each of shape (N,)."""

    begin: I64
    stop: I64
    split: I64


def has_sentences(dataset: IndexedDataset) -> bool:
    """Whether sequences are sentences: the sidecar says so, or documents have several sequences."""
    meta = dataset.meta
    return meta.level == "sentence" if meta is not None else dataset.documents < len(dataset)


def sentence_spans(piece: Piece, tokens: I64, keys: U64, size: int, eod: int | None) -> Spans:
    """Whole sentences of one document near each token, at most `size` tokens of them."""
    dataset = piece.dataset
    sentence = dataset.sequence_at(tokens)
    sentence += dataset.starts(sentence) < tokens
    past = dataset.starts(sentence) >= piece.stop
    sentence[past] = dataset.sequence_at(np.array([piece.start]))[0]
    document = dataset.document_at(sentence)
    first, end = dataset.document_starts(document), dataset.document_starts(document + 1)
    start = dataset.starts(sentence)
    earlier = np.maximum(end - size, first)
    slid = dataset.sequence_at(np.minimum(earlier, max(0, dataset.tokens - 1)))
    slid += dataset.starts(slid) < earlier
    short = end < start + size
    sentence = np.where(short, np.minimum(slid, sentence), sentence)
    start = dataset.starts(sentence)
    full = np.minimum(start + size, end)
    last = dataset.sequence_at(np.minimum(full, max(0, dataset.tokens - 1)))
    snapped = dataset.starts(last)
    stop = np.where((full == end) | (snapped <= start), full, snapped)
    if eod is not None and dataset.tokens:
        tail = dataset.stream(0, dataset.tokens)[np.maximum(stop - 1, 0)]
        stop -= (stop > start) & (tail == eod)
    last = dataset.sequence_at(np.maximum(stop - 1, 0)) + 1
    inner = np.maximum(last - sentence - 1, 0)
    step = 1 + (mix64(keys, SPLIT_KEY) % np.maximum(inner, 1).astype(np.uint64)).astype(np.int64)
    split = dataset.starts(np.minimum(sentence + step, len(dataset))) - start
    length = stop - start
    usable = (inner > 0) & (split > 0) & (split < length)
    return Spans(start, stop, np.where(usable, split, (length + 1) // 2))
