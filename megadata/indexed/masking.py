"""Samples for BERT: two segments, masked words or spans, and whether the segments belong together.

A sample is a pure function of (data, seed, k): all randomness is a hash of seed, k and a position, so masks differ from epoch to
epoch and nothing needs to be stored. Letters: N samples, C tokens of content, L = C + 3 tokens with [CLS] and two [SEP].

Devlin et al. 2019 (arXiv:1810.04805) for masking and next sentences; sentence order as in ALBERT (Lan et al. 2020,
arXiv:1909.11942), which is also what Megatron's "classification head" learns; spans as in SpanBERT (Joshi et al. 2020,
arXiv:1907.10529): whole words, a geometric number of them, all hidden alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megadata.errors import ConfigError
from megadata.indexed.batch import IGNORED, Batch
from megadata.indexed.megatronsamples import MegatronSamples
from megadata.indexed.order import I64, U64, below, chance, mix64, seed64
from megadata.indexed.provenance import DocumentSpan, documents_of_all
from megadata.indexed.samples import Samples, SourceStream
from megadata.indexed.sentences import SPLIT_KEY, has_sentences, sentence_spans
from megadata.indexed.stream import Piece, TokenRange, TokenStream
from megadata.indexed.vocabulary import Vocabulary

if TYPE_CHECKING:
    from megadata.indexed.blend import Blend

SPECIALS = 3
"""[CLS] and two [SEP]."""

SWAP_KEY, WORD_KEY, ACTION_KEY, TOKEN_KEY, SPAN_KEY, OTHER_KEY = (np.uint64(key) for key in range(12, 18))

SPAN_WORDS = 10
"""Most words of a masked span."""
SPAN_ODDS = np.cumsum(0.8 ** np.arange(SPAN_WORDS))[:-1] / np.sum(0.8 ** np.arange(SPAN_WORDS))
"""Chance that a span has at most 1, 2, ... words: geometric with p = 0.2."""
TRIES = 4
"""How often a second segment from another document is looked for."""


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


def placed(samples: Placed | MegatronSamples) -> Placed:
    """Samples that can be masked, or `ConfigError`."""
    if isinstance(samples, MegatronSamples):
        raise ConfigError(
            "blend: Megatron's order is that of its GPT samples, BERT has none of it; remove `order: megatron`"
        )
    return samples


@dataclass(frozen=True, kw_only=True, slots=True)
class Masking:
    """How tokens are hidden and segments are paired."""

    probability: float = 0.15
    """Part of the tokens that are to be predicted."""
    masked: float = 0.8
    """Part of those that become [MASK]."""
    random: float = 0.1
    """Part of those that become a random token; the rest stays as it is."""
    unit: Literal["words", "tokens", "spans"] = "words"
    """What is predicted as a whole; words and spans where the sidecar knows which tokens begin a word."""
    pairs: Literal["order", "next", "none"] = "order"
    """What is told of two segments: whether they were swapped, whether the second is from another document, or nothing."""
    swap: float = 0.5
    """Part of the samples whose segments are swapped, or whose second segment is from another document."""

    def __post_init__(self) -> None:
        for name in ("probability", "masked", "random", "swap"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ConfigError(f"masking.{name} must lie between 0 and 1, got {value}")
        for name, known in (("unit", ("words", "tokens", "spans")), ("pairs", ("order", "next", "none"))):
            if getattr(self, name) not in known:
                raise ConfigError(f"masking.{name} must be {', '.join(known)}, got {getattr(self, name)!r}")
        if self.masked + self.random > 1:
            raise ConfigError(f"masking.masked and masking.random add up to {self.masked + self.random}, more than 1")


@dataclass(frozen=True, slots=True)
class _Content:
    """What stands between the special tokens. Letters: N samples, C tokens."""

    tokens: I64
    """Shape (N, C)."""
    lengths: I64
    """How many of them count, shape (N,)."""
    splits: I64
    """Where segment B starts, shape (N,)."""
    places: list[tuple[TokenStream | Piece, int]]
    """Where each begins: a token of a stream, or, for sentences, of the dataset of a piece."""

    def ranges(self, row: int, length: int) -> tuple[TokenRange, ...]:
        """The first `length` tokens of a row as tokens of datasets."""
        of, first = self.places[row]
        if isinstance(of, Piece):
            return (TokenRange(of.dataset.prefix, first, length),)
        return of.ranges(first, length)

    def documents(self) -> I64:
        """Dataset and document in which each row begins, as two numbers, shape (N, 2)."""
        out = np.empty((len(self.places), 2), np.int64)
        for row, (of, first) in enumerate(self.places):
            piece, token = (of, first) if isinstance(of, Piece) else of.piece_at(first)
            document = piece.dataset.document_at(piece.dataset.sequence_at(np.array([token])))
            out[row] = id(piece.dataset), int(document[0])
        return out


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
        self._word_starts = vocabulary.word_starts if self.masking.unit != "tokens" else None

    @staticmethod
    def of(blend: Blend, sequence_length: int, *, masking: Masking | None = None) -> MaskedSamples:
        """Masked samples of `sequence_length` tokens, [CLS] and two [SEP] among them, with the seed of the blend."""
        if sequence_length <= SPECIALS:
            raise ConfigError(f"masked samples need more than {SPECIALS} tokens, got {sequence_length}")
        return MaskedSamples(placed(blend.samples(sequence_length - SPECIALS)), seed=blend.seed, masking=masking)

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
        keys = mix64(seed64(self.seed), numbers.astype(np.uint64))
        source, _, start = self.samples.places(numbers)
        content = self._content(source, start, keys)
        unnatural = chance(mix64(keys, SWAP_KEY)) < self.masking.swap
        unnatural &= (content.splits > 0) & (content.splits < content.lengths)
        if self.masking.pairs == "order":
            return self._assemble(content, unnatural, unnatural, keys)
        if self.masking.pairs == "next":
            for row, other, at in self._others(source, content, unnatural, keys):
                self._pair(content, row, other, at)
            return self._assemble(content, np.zeros_like(unnatural), unnatural, keys)
        return self._assemble(content, np.zeros_like(unnatural), None, keys)

    def provenance(self, k: int) -> list[DocumentSpan]:
        """The documents that sample `k` covers, those of its second segment last."""
        return documents_of_all([self.ranges(k)])[0]

    def ranges(self, k: int) -> tuple[TokenRange, ...]:
        """The tokens of datasets that sample `k` covers, those of its second segment last."""
        numbers = np.array([k], np.int64)
        keys = mix64(seed64(self.seed), numbers.astype(np.uint64))
        source, _, start = self.samples.places(numbers)
        content = self._content(source, start, keys)
        ranges = content.ranges(0, int(content.lengths[0]))
        unnatural = (chance(mix64(keys, SWAP_KEY)) < self.masking.swap) & (content.splits < content.lengths)
        if self.masking.pairs == "next":
            for _, other, row in self._others(source, content, unnatural & (content.splits > 0), keys):
                split = int(content.splits[0])
                room = min(int(other.lengths[row]), content.tokens.shape[1] - split)
                ranges = content.ranges(0, split) + other.ranges(row, room)
        return ranges

    def showing(self, source: str, start: int, stop: int, before: int) -> I64:
        """The samples below `before` whose text covers any of the tokens start, ..., stop - 1 of a source's stream, rising.

        In sentence data second segments from elsewhere (`pairs: next`) are left out: they are drawn, not laid out.

        Raises
        ------
        ConfigError
            If the samples are not those of a blend.
        """
        if not isinstance(self.samples, Samples):
            raise ConfigError("showing: only samples of a blend have an order that can be followed back")
        stream = next(one.stream for one in self.samples.sources if one.name == source)
        piece, first = stream.piece_at(start)
        if not has_sentences(piece.dataset):
            return self.samples.showing(source, start, stop, before, self.samples.sequence_length)
        data, offset = piece.dataset, start - first
        document = data.document_at(data.sequence_at(np.array([first, first + stop - start - 1])))
        sentences = data.sequence_at(data.document_starts(np.array([document[0], document[1] + 1])) - np.array([0, 1]))
        before_it, last = data.starts(np.array([max(int(sentences[0]) - 1, 0), int(sentences[1])])).tolist()
        near = [self.samples.showing(source, before_it + offset, last + 1 + offset, before, 1)]
        if document[0] == data.document_at(data.sequence_at(np.array([piece.start])))[0]:
            end = int(data.starts(data.sequence_at(np.array([piece.stop - 1])))[0])
            near.append(self.samples.showing(source, end + offset, piece.stop + offset, before, 1))
        found = np.unique(np.concatenate(near))
        _, _, starts = self.samples.places(found)
        keys = mix64(seed64(self.seed), found.astype(np.uint64))
        number = self.samples.names.index(source)
        content = self._content(np.full(found.size, number), starts, keys)
        begins = np.array([place for _, place in content.places], np.int64)
        shown = (begins < first + stop - start) & (begins + content.lengths > first)
        return found[shown]

    def _others(
        self, source: I64, content: _Content, wanted: NDArray[np.bool_], keys: U64
    ) -> Iterator[tuple[int, _Content, int]]:
        """For each row that is to get a second segment from another document: the row, and where its other content is.

        Rows for which none is found are taken out of `wanted`.
        """
        open_rows = np.flatnonzero(wanted)
        tokens = np.array([s.stream.tokens for s in self.samples.sources], np.uint64)
        for attempt in range(TRIES):
            if not open_rows.size:
                return
            key = mix64(keys[open_rows], OTHER_KEY, np.uint64(attempt))
            start = (key % tokens[source[open_rows]]).astype(np.int64)
            other = self._content(source[open_rows], start, key)
            good = (other.documents() != content.documents()[open_rows]).any(axis=1)
            for at in np.flatnonzero(good).tolist():
                yield int(open_rows[at]), other, at
            open_rows = open_rows[~good]
        wanted[open_rows] = False

    @staticmethod
    def _pair(content: _Content, row: int, other: _Content, at: int) -> None:
        """Put the beginning of another content behind the first segment of a row."""
        split = int(content.splits[row])
        room = min(int(other.lengths[at]), content.tokens.shape[1] - split)
        content.tokens[row, split : split + room] = other.tokens[at, :room]
        content.lengths[row] = split + room

    def _content(self, source: I64, start: I64, keys: U64) -> _Content:
        """What stands at the given places of the given sources."""
        size = self.samples.sequence_length
        content = np.zeros((source.size, size), np.int64)
        lengths = np.full(source.size, size, np.int64)
        places: list[tuple[TokenStream | Piece, int]] = [(self.samples.sources[0].stream, 0)] * source.size
        splits = size // 4 + (mix64(keys, SPLIT_KEY) % np.uint64(max(1, size - 2 * (size // 4)))).astype(np.int64)
        rows_of: dict[int, tuple[Piece, list[int], list[int]]] = {}
        for row, (i, first) in enumerate(zip(source.tolist(), start.tolist(), strict=True)):
            stream = self.samples.sources[i].stream
            piece, token = stream.piece_at(first)
            if not has_sentences(piece.dataset):
                stream.read(first, content[row])
                places[row] = (stream, first)
                continue
            _, rows, tokens = rows_of.setdefault(id(piece), (piece, [], []))
            rows.append(row)
            tokens.append(token)
        for piece, rows, tokens in rows_of.values():
            spans = sentence_spans(piece, np.array(tokens), keys[rows], size, self.vocabulary.eod)
            lengths[rows], splits[rows] = spans.stop - spans.begin, spans.split
            for row, first, last in zip(rows, spans.begin.tolist(), spans.stop.tolist(), strict=True):
                content[row, : last - first] = piece.dataset.window(first, last - first)
                places[row] = (piece, first)
        return _Content(content, lengths, splits, places)

    def _assemble(
        self, given: _Content, swapped: NDArray[np.bool_], unnatural: NDArray[np.bool_] | None, keys: U64
    ) -> Batch:
        """[CLS] first [SEP] second [SEP], padded, with masks."""
        content, lengths, splits = given.tokens, given.lengths, given.splits
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
        units = self._units(plain, (place == 1) | (place == first + 2), keys)
        chosen = self._choose(plain, inside, units, keys)
        return Batch(
            input_ids=self._hide(plain, chosen, units, keys),
            labels=np.where(chosen, plain, IGNORED),
            loss_mask=chosen.astype(np.float32),
            position_ids=np.tile(np.arange(length), (rows, 1)),
            document_lengths=(lengths + SPECIALS).astype(np.int32)[:, None],
            token_type_ids=((place >= first + 2) & (place <= total + 2)).astype(np.int64),
            is_swapped=unnatural,
        )

    def _units(self, tokens: I64, segment_starts: NDArray[np.bool_], keys: U64) -> I64:
        """Number of the unit that each token belongs to, rising along the row, shape (N, L)."""
        if self._word_starts is None:
            return np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
        known = np.minimum(tokens, self._size - 1)
        breaks = segment_starts | self._is_special[known]
        begins = self._word_starts[known] | breaks
        words: I64 = np.cumsum(begins, axis=1)
        if self.masking.unit == "words":
            return words
        rows, width = tokens.shape
        draws = mix64(keys[:, None], SPAN_KEY, np.arange(width, dtype=np.uint64)[None, :])
        sizes = 1 + np.searchsorted(SPAN_ODDS, chance(draws), side="right")
        first_word = np.cumsum(sizes, axis=1) - below(draws[:, :1] << np.uint64(8), sizes[:, :1])
        is_first = np.zeros((rows, width + 2), np.bool_)  # a row has at most `width` words
        is_first[np.arange(rows)[:, None], np.minimum(first_word, width + 1)] = True
        starts: NDArray[np.bool_] = (begins & np.take_along_axis(is_first, words, axis=1)) | breaks
        spans: I64 = np.cumsum(starts, axis=1)
        return spans

    def _choose(self, tokens: I64, inside: NDArray[np.bool_], units: I64, keys: U64) -> NDArray[np.bool_]:
        """Which tokens are to be predicted, shape (N, L): whole units in the order of their hashes, as many as fit best."""
        candidate = inside & ~self._is_special[np.minimum(tokens, self._size - 1)]
        draws = mix64(keys[:, None], WORD_KEY, units.astype(np.uint64)) >> np.uint64(1)
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

    def _hide(self, tokens: I64, chosen: NDArray[np.bool_], units: I64, keys: U64) -> I64:
        """Tokens as the model sees them."""
        place = np.arange(tokens.shape[1], dtype=np.uint64)[None, :]
        acted = units.astype(np.uint64) if self.masking.unit == "spans" else place
        action = chance(mix64(keys[:, None], ACTION_KEY, acted))
        other = below(mix64(keys[:, None], TOKEN_KEY, place), self._size)
        hidden = np.where(chosen & (action < self.masking.masked), self._mask, tokens)
        random = (action >= self.masking.masked) & (action < self.masking.masked + self.masking.random)
        return np.where(chosen & random, other, hidden)
