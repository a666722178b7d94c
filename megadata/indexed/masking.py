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
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megadata.errors import ConfigError
from megadata.indexed.batch import IGNORED, Batch
from megadata.indexed.hiding import Hiding, Masking
from megadata.indexed.megatronsamples import MegatronSamples
from megadata.indexed.order import I64, U64, chance, mix64, seed64
from megadata.indexed.provenance import DocumentSpan, documents_of_all
from megadata.indexed.samples import Numbered, Samples, SourceStream
from megadata.indexed.sentences import SPLIT_KEY, has_sentences, sentence_spans
from megadata.indexed.stream import Piece, TokenRange, TokenStream

if TYPE_CHECKING:
    from megadata.indexed.blend import Blend

SPECIALS = 3
"""[CLS] and two [SEP]."""

__all__ = ["SPECIALS", "MaskedSamples", "Masking", "Placed", "placed"]

SWAP_KEY, OTHER_KEY = np.uint64(12), np.uint64(17)

TRIES = 4
"""How often a second segment from another document is looked for."""


class Placed(Numbered, Protocol):
    """Samples that say where they lie: `Samples` and `SequentialSamples`."""

    @property
    def sources(self) -> tuple[SourceStream, ...]:
        """The sources that samples come from."""

    def places(self, samples: ArrayLike) -> tuple[I64, I64, I64]:
        """Source, rank and start of each sample."""


def placed(samples: Placed | MegatronSamples) -> Placed:
    """Samples that can be masked, or `ConfigError`."""
    if isinstance(samples, MegatronSamples):
        raise ConfigError(
            "blend: Megatron's order is that of its GPT samples, BERT has none of it; remove `order: megatron`"
        )
    return samples


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
        found = [(of, first) if isinstance(of, Piece) else of.piece_at(first) for of, first in self.places]
        out[:, 0] = [id(piece.dataset) for piece, _ in found]
        tokens = np.array([token for _, token in found], np.int64)
        for number, dataset in {id(piece.dataset): piece.dataset for piece, _ in found}.items():
            mine = out[:, 0] == number
            out[mine, 1] = dataset.document_at(dataset.sequence_at(tokens[mine]))
        return out

    def pair(self, rows: I64, other: _Content, others: I64) -> None:
        """Put the beginnings of some rows of other content behind the first segments of these rows."""
        width = self.tokens.shape[1]
        split = self.splits[rows]
        room = np.minimum(other.lengths[others], width - split)
        place = np.arange(width)[None, :] - split[:, None]
        tokens = np.take_along_axis(other.tokens[others], np.maximum(place, 0), axis=1)
        self.tokens[rows] = np.where((place >= 0) & (place < room[:, None]), tokens, self.tokens[rows])
        self.lengths[rows] = split + room


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
        self._cls, self._sep = (vocabulary.special(role) for role in ("cls", "sep"))
        self._hiding = Hiding(self.masking, vocabulary)
        self._pad = vocabulary.special_tokens.get("pad", self._sep)

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
            for rows, other, others in self._others(source, content, unnatural, keys):
                content.pair(rows, other, others)
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
            for _, other, others in self._others(source, content, unnatural & (content.splits > 0), keys):
                split = int(content.splits[0])
                room = min(int(other.lengths[others[0]]), content.tokens.shape[1] - split)
                ranges = content.ranges(0, split) + other.ranges(int(others[0]), room)
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
    ) -> Iterator[tuple[I64, _Content, I64]]:
        """The rows that are to get a second segment from another document: rows, other content, and its rows for them.

        Rows for which none is found are taken out of `wanted`.
        """
        open_rows, own = np.flatnonzero(wanted), content.documents()
        tokens = np.array([s.stream.tokens for s in self.samples.sources], np.uint64)
        for attempt in range(TRIES):
            if not open_rows.size:
                return
            key = mix64(keys[open_rows], OTHER_KEY, np.uint64(attempt))
            start = (key % tokens[source[open_rows]]).astype(np.int64)
            other = self._content(source[open_rows], start, key)
            good = (other.documents() != own[open_rows]).any(axis=1)
            if good.any():
                yield open_rows[good], other, np.flatnonzero(good)
            open_rows = open_rows[~good]
        wanted[open_rows] = False

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
        units = self._hiding.units(plain, (place == 1) | (place == first + 2), keys)
        chosen = self._hiding.choose(plain, inside, units, keys)
        return Batch(
            input_ids=self._hiding.hide(plain, chosen, units, keys),
            labels=np.where(chosen, plain, IGNORED),
            loss_mask=chosen.astype(np.float32),
            position_ids=np.tile(np.arange(length), (rows, 1)),
            document_lengths=(lengths + SPECIALS).astype(np.int32)[:, None],
            token_type_ids=((place >= first + 2) & (place <= total + 2)).astype(np.int64),
            is_swapped=unnatural,
        )
