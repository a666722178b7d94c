"""Samples for BERT: two segments, masked words, and whether the segments were swapped.

A sample is a pure function of (data, seed, k): all randomness is a hash of seed, k and a position, so masks differ from epoch to
epoch and nothing needs to be stored. Letters: N samples, C tokens of content, L = C + 3 tokens with [CLS] and two [SEP].

Devlin et al. 2019 (arXiv:1810.04805) for masking; sentence order as in ALBERT (Lan et al. 2020, arXiv:1909.11942), which is also
what Megatron's "classification head" learns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megadata.errors import ConfigError
from megadata.indexed.batch import IGNORED, Batch
from megadata.indexed.order import I64, U64, mix64
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.stream import Piece
from megadata.indexed.vocabulary import Vocabulary

if TYPE_CHECKING:
    from megadata.indexed.blend import Blend
    from megadata.indexed.samples import SourceStream

SPECIALS = 3
"""[CLS] and two [SEP]."""

SPLIT_KEY, SWAP_KEY, WORD_KEY, ACTION_KEY, TOKEN_KEY = (np.uint64(key) for key in range(11, 16))


class Placed(Protocol):
    """Samples that say where they lie: `Samples` and `SequentialSamples`."""

    @property
    def sources(self) -> tuple[SourceStream, ...]:
        """The sources that samples come from."""

    @property
    def sequence_length(self) -> int:
        """Tokens of a sample."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the tokens."""

    @property
    def total(self) -> int | None:
        """How many samples there are; None where nothing ends them."""

    def places(self, samples: ArrayLike) -> tuple[I64, I64, I64]:
        """Source, rank and start of each sample."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Masking:
    """How tokens are hidden and segments are swapped."""

    probability: float = 0.15
    """Part of the tokens that are to be predicted."""
    masked: float = 0.8
    """Part of those that become [MASK]."""
    random: float = 0.1
    """Part of those that become a random token; the rest stays as it is."""
    whole_words: bool = True
    """Whether all tokens of a word are predicted together, where the sidecar knows which tokens begin a word."""
    swap: float = 0.5
    """Part of the samples whose segments stand in the wrong order."""

    def __post_init__(self) -> None:
        for name in ("probability", "masked", "random", "swap"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ConfigError(f"masking.{name} must lie between 0 and 1, got {value}")
        if self.masked + self.random > 1:
            raise ConfigError(f"masking.masked and masking.random add up to {self.masked + self.random}, more than 1")


@dataclass(frozen=True, slots=True)
class _Spans:
    """Content of samples: where it starts and ends in its dataset, and where segment B starts. Each of shape (N,)."""

    begin: I64
    stop: I64
    split: I64


class MaskedSamples:
    """Masked two-segment samples over the windows of `samples`.

    In a dataset of sentences a sample begins with the first sentence at or after its window's start and holds whole sentences of
    one document; where the document ends before the sample is full, it begins as much earlier in the same document as fits. Other
    datasets are cut as they lie.

    Parameters
    ----------
    samples : Samples or SequentialSamples
        Windows of C tokens; made by ``blend.samples(C)``. `MaskedSamples.of` does it for a length with special tokens.
    seed : int
        Keys the masks.
    masking : Masking
        How much is hidden.

    Raises
    ------
    ConfigError
        If the vocabulary has no cls, sep or mask token, or its size is not known.
    """

    def __init__(self, samples: Placed, *, seed: int = 0, masking: Masking | None = None) -> None:
        vocabulary = samples.vocabulary
        self.samples = samples
        self.seed = seed
        self.masking = masking or Masking()
        self.vocabulary = vocabulary
        self.sequence_length = samples.sequence_length + SPECIALS
        self._cls, self._sep, self._mask = (vocabulary.special(role) for role in ("cls", "sep", "mask"))
        self._pad = vocabulary.special_tokens.get("pad", self._sep)
        if vocabulary.size is None:
            raise ConfigError(
                "masked samples need the size of the vocabulary; write the sidecar with `megadata verify`"
            )
        self._size = vocabulary.size
        special = {*vocabulary.special_tokens.values(), *([] if vocabulary.eod is None else [vocabulary.eod])}
        self._is_special = np.zeros(self._size, np.bool_)
        self._is_special[[token for token in special if token < self._size]] = True
        starts = vocabulary.word_starts
        self._word_starts = starts if self.masking.whole_words else None

    @staticmethod
    def of(blend: Blend, sequence_length: int, *, masking: Masking | None = None) -> MaskedSamples:
        """Masked samples of `sequence_length` tokens, [CLS] and two [SEP] among them, with the seed of the blend."""
        if sequence_length <= SPECIALS:
            raise ConfigError(f"masked samples need more than {SPECIALS} tokens, got {sequence_length}")
        return MaskedSamples(blend.samples(sequence_length - SPECIALS), seed=blend.seed, masking=masking)

    @property
    def total(self) -> int | None:
        """How many samples there are; None where nothing ends them."""
        return self.samples.total

    def __getitem__(self, k: int) -> Batch:
        """Sample `k`, as a batch of one."""
        return self.take([k])

    def batch(self, start: int, stop: int) -> Batch:
        """Samples start, ..., stop - 1."""
        return self.take(np.arange(start, stop, dtype=np.int64))

    def take(self, samples: ArrayLike) -> Batch:
        """The samples of the given numbers."""
        numbers = np.asarray(samples, np.int64).reshape(-1)
        keys = mix64(np.uint64(self.seed & 0xFFFFFFFFFFFFFFFF), numbers.astype(np.uint64))
        content, lengths, splits = self._content(numbers, keys)
        swapped = _chance(mix64(keys, SWAP_KEY)) < self.masking.swap
        swapped &= (splits > 0) & (splits < lengths)
        return self._assemble(content, lengths, splits, swapped, keys)

    def _content(self, numbers: I64, keys: U64) -> tuple[I64, I64, I64]:
        """Tokens (N, C), how many of them count (N,), and where segment B starts (N,)."""
        source, _, start = self.samples.places(numbers)
        size = self.samples.sequence_length
        content = np.zeros((numbers.size, size), np.int64)
        lengths = np.full(numbers.size, size, np.int64)
        splits = size // 4 + (mix64(keys, SPLIT_KEY) % np.uint64(max(1, size - 2 * (size // 4)))).astype(np.int64)
        rows_of: dict[int, tuple[Piece, list[int], list[int]]] = {}
        for row, (i, first) in enumerate(zip(source.tolist(), start.tolist(), strict=True)):
            stream = self.samples.sources[i].stream
            piece, token = stream.piece_at(first)
            if not _has_sentences(piece.dataset):
                stream.read(first, content[row])
                continue
            _, rows, tokens = rows_of.setdefault(id(piece), (piece, [], []))
            rows.append(row)
            tokens.append(token)
        for piece, rows, tokens in rows_of.values():
            spans = _sentences(piece, np.array(tokens), keys[rows], size, self.vocabulary.eod)
            lengths[rows], splits[rows] = spans.stop - spans.begin, spans.split
            for row, first, last in zip(rows, spans.begin.tolist(), spans.stop.tolist(), strict=True):
                content[row, : last - first] = piece.dataset.window(first, last - first)
        return content, lengths, splits

    def _assemble(self, content: I64, lengths: I64, splits: I64, swapped: NDArray[np.bool_], keys: U64) -> Batch:
        """[CLS] first [SEP] second [SEP], padded, with masks."""
        rows, length = lengths.size, self.sequence_length
        place = np.arange(length)[None, :]
        first = np.where(swapped, lengths - splits, splits)[:, None]
        total = lengths[:, None]
        in_first = (place >= 1) & (place <= first)
        in_second = (place >= first + 2) & (place <= total + 1)
        inside = in_first | in_second
        offset_first = np.where(swapped, splits, 0)[:, None] - 1
        offset_second = np.where(swapped, 0, splits)[:, None] - 2 - first
        where = np.where(in_first, place + offset_first, place + offset_second)
        tokens = np.take_along_axis(content, np.clip(where, 0, max(0, content.shape[1] - 1)), axis=1)
        plain = np.where(inside, tokens, self._pad)
        plain[:, 0] = self._cls
        is_sep = (place == first + 1) | (place == total + 2)
        plain[is_sep] = self._sep
        chosen = self._choose(plain, inside, (place == 1) | (place == first + 2), keys)
        return Batch(
            input_ids=self._hide(plain, chosen, keys),
            labels=np.where(chosen, plain, IGNORED),
            loss_mask=chosen.astype(np.float32),
            position_ids=np.tile(np.arange(length), (rows, 1)),
            document_lengths=(lengths + SPECIALS).astype(np.int32)[:, None],
            token_type_ids=((place >= first + 2) & (place <= total + 2)).astype(np.int64),
            is_swapped=swapped,
        )

    def _choose(
        self, tokens: I64, inside: NDArray[np.bool_], segment_starts: NDArray[np.bool_], keys: U64
    ) -> NDArray[np.bool_]:
        """Which tokens are to be predicted, shape (N, L): whole words in the order of their hashes, as many as fit best."""
        known = np.minimum(tokens, self._size - 1)
        candidate = inside & ~self._is_special[known]
        if self._word_starts is None:
            word = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
        else:
            begins = self._word_starts[known] | segment_starts | self._is_special[known]
            word = np.cumsum(begins, axis=1)
        draws = mix64(keys[:, None], WORD_KEY, word.astype(np.uint64)) >> np.uint64(1)
        draws = np.where(candidate, draws, np.uint64(0xFFFFFFFFFFFFFFFF))
        order = np.argsort(draws, axis=1, kind="stable")
        drawn = np.take_along_axis(draws, order, axis=1)
        place = np.arange(tokens.shape[1])[None, :]
        heads = np.ones(tokens.shape, np.bool_)
        heads[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
        first = np.maximum.accumulate(np.where(heads, place, 0), axis=1)
        tails = np.ones(tokens.shape, np.bool_)
        tails[:, :-1] = heads[:, 1:]
        last = np.minimum.accumulate(np.where(tails, place + 1, tokens.shape[1])[:, ::-1], axis=1)[:, ::-1]
        count = candidate.sum(axis=1)
        wanted = np.rint(count * self.masking.probability)
        if self.masking.probability > 0:
            wanted = np.maximum(wanted, 1)
        taken = ((first + last) / 2 <= wanted[:, None]) | ((first == 0) & (wanted[:, None] > 0))
        chosen = np.zeros(tokens.shape, np.bool_)
        np.put_along_axis(chosen, order, taken, axis=1)
        return chosen & candidate

    def _hide(self, tokens: I64, chosen: NDArray[np.bool_], keys: U64) -> I64:
        """Tokens as the model sees them."""
        place = np.arange(tokens.shape[1], dtype=np.uint64)[None, :]
        action = _chance(mix64(keys[:, None], ACTION_KEY, place))
        other = _below(mix64(keys[:, None], TOKEN_KEY, place), self._size)
        hidden = np.where(chosen & (action < self.masking.masked), self._mask, tokens)
        random = (action >= self.masking.masked) & (action < self.masking.masked + self.masking.random)
        return np.where(chosen & random, other, hidden)


def _chance(draws: U64) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) of 53 bits."""
    return (draws >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _below(draws: U64, size: int) -> I64:
    """Uniform integers below `size`, which is below 2**32."""
    return (((draws >> np.uint64(32)) * np.uint64(size)) >> np.uint64(32)).astype(np.int64)


def _has_sentences(dataset: IndexedDataset) -> bool:
    """Whether sequences are sentences: the sidecar says so, or documents have several sequences."""
    meta = dataset.meta
    return meta.level == "sentence" if meta is not None else dataset.documents < len(dataset)


def _sentences(piece: Piece, tokens: I64, keys: U64, size: int, eod: int | None) -> _Spans:
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
        tail = dataset.window(0, dataset.tokens)[np.maximum(stop - 1, 0)]
        stop -= (stop > start) & (tail == eod)
    last = dataset.sequence_at(np.maximum(stop - 1, 0)) + 1
    inner = np.maximum(last - sentence - 1, 0)
    step = 1 + (mix64(keys, SPLIT_KEY) % np.maximum(inner, 1).astype(np.uint64)).astype(np.int64)
    split = dataset.starts(np.minimum(sentence + step, len(dataset))) - start
    length = stop - start
    usable = (inner > 0) & (split > 0) & (split < length)
    return _Spans(start, stop, np.where(usable, split, (length + 1) // 2))
