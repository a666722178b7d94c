"""`MegatronSamples`: the samples of a blend in the order that Megatron-core gives them, for those who move a run.

Each source is one dataset with its own document, sample and shuffle arrays (`megatron`), made when its first sample is read and
held in memory: 4 bytes for each sequence of each epoch and 12 for each sample. The order is that of one number of samples.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megadata.errors import ConfigError
from megadata.indexed.megatron import (
    SURPLUS,
    Epochs,
    Greedy,
    Integer,
    check_enough,
    document_index,
    normalize,
    sample_index,
    shuffle_index,
    sizes_of,
)
from megadata.indexed.order import I64
from megadata.indexed.provenance import DocumentSpan, documents_of
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.samples import Location, SourceStream, fingerprints_of
from megadata.indexed.stream import Piece, TokenRange, TokenStream
from megadata.indexed.vocabulary import Vocabulary

SHORT_PIECE = 96
"""Documents of fewer tokens than this, on average, are gathered token by token rather than copied one by one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MegatronOrder:
    """Megatron-core's order instead of ours."""

    samples: int | None = None
    """Samples of the whole run: training iterations times the global batch. Another number is another order."""
    surplus: float = SURPLUS
    """Megatron's `mid_level_dataset_surplus`."""

    def __post_init__(self) -> None:
        if self.samples is not None and self.samples < 1:
            raise ConfigError(f"blend order: samples must be at least 1, got {self.samples}")
        if self.surplus < 0:
            raise ConfigError(f"blend order: surplus must not be negative, got {self.surplus}")


@dataclass(frozen=True, slots=True)
class Arrays:
    """What Megatron builds for one dataset."""

    documents: NDArray[np.int32]
    """The sequences of all epochs in shuffled order."""
    samples: Integer
    """Where each sample starts: place in `documents`, token in that document; shape (N + 1, 2)."""
    shuffle: Integer
    """Which sample stands at each place of the order."""


class MegatronDataset:
    """One dataset in Megatron's order: its `GPTDataset`.

    Parameters
    ----------
    name : str
        How messages name it.
    dataset : IndexedDataset
    sequences : range
        Those that take part.
    samples : int or None
        Samples it must give at least; None: one epoch.
    length : int
        Tokens of a sample, the last label not counted.
    seed : int

    Raises
    ------
    ConfigError
        If it has no tokens, or too many sequences for Megatron's 32-bit numbers.
    """

    def __init__(
        self, name: str, dataset: IndexedDataset, sequences: range, samples: int | None, length: int, seed: int
    ) -> None:
        self.name = name
        self.dataset = dataset
        self.sequences = sequences
        self.seed = seed
        first, last = dataset.starts(np.array([sequences.start, sequences.stop])).tolist()
        if last - first < (length + 1 if samples is None else 1):
            raise ConfigError(
                f"{dataset.prefix}: source {name!r} has {last - first} tokens, too few for a sample of {length}; leave it out"
            )
        if sequences.stop > np.iinfo(np.int32).max:
            raise ConfigError(
                f"{dataset.prefix}: {sequences.stop} sequences do not fit Megatron's 32-bit document numbers; "
                "leave `order: megatron` out"
            )
        self.epochs = Epochs.of(last - first, length, samples)
        self._arrays: Arrays | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_arrays": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.epochs.samples

    @property
    def arrays(self) -> Arrays:
        """Built at the first use, from one random state in Megatron's order of draws."""
        with self._lock:
            if self._arrays is None:
                random = np.random.RandomState(self.seed)
                documents = document_index(self.sequences, self.epochs, random)
                samples = sample_index(self.dataset.lengths, documents, self.epochs)
                self._arrays = Arrays(documents, samples, shuffle_index(self.epochs, random))
            return self._arrays

    def pieces(self, samples: I64) -> tuple[I64, I64, I64]:
        """The parts of sequences that make some samples, in order.

        Parameters
        ----------
        samples : int64 array, shape (N,)
            Places in the order of this dataset.

        Returns
        -------
        three int64 arrays, shape (P,)
            Number of the sample each piece belongs to (0 to N - 1), its first token in the dataset, its tokens.
        """
        arrays = self.arrays
        at = arrays.shuffle[samples].astype(np.int64)
        begin, end = arrays.samples[at].astype(np.int64), arrays.samples[at + 1].astype(np.int64)
        many = end[:, 0] - begin[:, 0] + 1
        owner = np.repeat(np.arange(at.size), many)
        within = np.arange(owner.size) - np.repeat(np.cumsum(many) - many, many)
        sequences = arrays.documents[begin[owner, 0] + within]
        skip = np.where(within == 0, begin[owner, 1], 0)
        stop = np.where(within == many[owner] - 1, end[owner, 1] + 1, self.dataset.lengths[sequences])
        return owner, self.dataset.starts(sequences) + skip, stop - skip

    def showing(self, start: int, stop: int) -> I64:
        """Places in the order of this dataset whose samples cover any of the tokens start, ..., stop - 1 of its stream."""
        arrays = self.arrays
        origin = int(self.dataset.starts(np.array([self.sequences.start]))[0])
        first, last = self.dataset.sequence_at(np.array([start, stop - 1]) + origin).tolist()
        sequences = np.arange(first, last + 1)
        starts, ends = (self.dataset.starts(sequences + more) - origin for more in (0, 1))
        places = np.flatnonzero((arrays.documents >= first) & (arrays.documents <= last))
        which = arrays.documents[places] - first
        low = np.maximum(start - starts, 0)[which]
        high = np.minimum(stop, ends)[which] - starts[which]
        places, low, high = (part[low < high] for part in (places, low, high))
        # A sample ends with the token that the next begins with.
        rows = (arrays.samples[:, 0].astype(np.int64) << 32) + arrays.samples[:, 1]
        begin = np.searchsorted(rows, (places << 32) + low, side="left") - 1
        end = np.searchsorted(rows, (places << 32) + high, side="left")
        found = np.zeros(len(self) + 1, np.int64)
        np.add.at(found, np.clip(begin, 0, len(self)), 1)
        np.add.at(found, np.clip(end, 0, len(self)), -1)
        return np.flatnonzero(np.cumsum(found)[arrays.shuffle] > 0)

    def read(self, samples: I64, rows: I64, out: I64) -> None:
        """Fill the given rows of `out`, of shape (B, L + 1), with the tokens of some samples."""
        owner, first, size = self.pieces(samples)
        width = out.shape[1]
        tokens = self.dataset.stream(0, self.dataset.tokens)
        if size.size * SHORT_PIECE > samples.size * width:
            places = np.repeat(first - (np.cumsum(size) - size), size) + np.arange(samples.size * width)
            out[rows] = tokens[places].reshape(samples.size, width)
            return
        target = np.cumsum(size) - size - owner * width
        for row, at, start, length in zip(
            rows[owner].tolist(), target.tolist(), first.tolist(), size.tolist(), strict=True
        ):
            out[row, at : at + length] = tokens[start : start + length]


class MegatronSamples:
    """All samples of a blend in Megatron-core's order; made by `Blend.samples` where the blend's order is megatron.

    Parameters
    ----------
    names : sequence of str
    datasets : sequence of IndexedDataset
        One for each source.
    sequences : sequence of range
        Which of their sequences take part.
    weights : sequence of float, or None
        As given to Megatron; None: each source once, in proportion to its samples.
    single : bool
        Whether a lone source is read without a blend around it, as Megatron does where it has no weight.
    sequence_length, seed, vocabulary : as for `Samples`
    order : MegatronOrder

    Raises
    ------
    ConfigError
        If the order asks a source for more samples than Megatron would build, or weights are given and `order.samples` is not.
    """

    def __init__(
        self,
        names: Sequence[str],
        datasets: Sequence[IndexedDataset],
        sequences: Sequence[range],
        weights: Sequence[float] | None,
        *,
        single: bool,
        sequence_length: int,
        seed: int,
        vocabulary: Vocabulary,
        order: MegatronOrder,
    ) -> None:
        self.names = tuple(names)
        self.sequence_length = sequence_length
        self.seed = seed
        self.vocabulary = vocabulary
        self.order = order
        if weights is not None and order.samples is None:
            raise ConfigError(
                "blend: Megatron's order of weighted sources follows from the samples of the whole run; give order.samples, "
                "training iterations times the global batch"
            )
        shares = None if weights is None else normalize(weights)
        wanted: Sequence[int | None] = (
            [order.samples if single else None] * len(names)
            if shares is None or order.samples is None
            else sizes_of(shares, order.samples, order.surplus)
        )
        self.datasets = tuple(
            MegatronDataset(name, dataset, part, samples, sequence_length, seed)
            for name, dataset, part, samples in zip(names, datasets, sequences, wanted, strict=True)
        )
        lengths = [len(dataset) for dataset in self.datasets]
        if shares is None:
            whole = sum(lengths)
            # Without a number of samples each dataset gives all it has; else the blend may end early.
            size = whole if order.samples is None or single else min(order.samples, whole)
            exhaust = lengths if order.samples is None and not single else None
            # Megatron divides in C++ for an exhaustive blend, in numpy for others; the quotients are the same.
            self._greedy = Greedy(normalize([float(length) for length in lengths]), size, exhaust)
        else:
            size = sum(sizes_of(shares, order.samples or 0))
            self._greedy = Greedy(normalize(shares), size)
        check_enough(self._greedy, lengths, names)
        self.weights = self._greedy.weights.tolist()
        """Part of the samples that each source gives."""

    @property
    def total(self) -> int:
        """How many samples there are."""
        return self._greedy.size

    @property
    def epoch(self) -> int:
        """Samples in one pass over all sources, whatever their weights."""
        return sum(self.windows_per_epoch().values())

    @property
    def sources(self) -> tuple[SourceStream, ...]:
        """The sources, with their tokens in the order of the files."""
        found = []
        for dataset in self.datasets:
            start, stop = dataset.dataset.starts(np.array([dataset.sequences.start, dataset.sequences.stop])).tolist()
            stream = TokenStream([Piece(dataset.dataset, start, stop)])
            found.append(SourceStream(dataset.name, stream, None, stream.fingerprint, stream.digest))
        return tuple(found)

    def __getitem__(self, k: int) -> I64:
        """Sample `k`, shape (L + 1,)."""
        tokens: I64 = self.take([k])[0]
        return tokens

    def batch(self, start: int, stop: int) -> I64:
        """Samples start, ..., stop - 1 as int64 tokens, shape (stop - start, L + 1)."""
        return self.take(np.arange(start, stop, dtype=np.int64))

    def take(self, samples: ArrayLike) -> I64:
        """The samples of the given numbers as int64 tokens, shape (N, L + 1)."""
        source, rank = self.places(samples)
        out = np.empty((source.size, self.sequence_length + 1), np.int64)
        for one in np.unique(source).tolist():
            rows = np.flatnonzero(source == one)
            self.datasets[one].read(rank[rows], rows, out)
        return out

    def places(self, samples: ArrayLike) -> tuple[I64, I64]:
        """Source of each sample and its place in the order of that source; two int64 arrays, shape (N,).

        Raises
        ------
        IndexError
            If a sample is negative or not below `total`.
        """
        wanted = np.asarray(samples, np.int64).reshape(-1)
        if wanted.size and not 0 <= (low := int(wanted.min())) <= (high := int(wanted.max())) < self.total:
            raise IndexError(f"sample {low if low < 0 else high} asked for, Megatron's order has {self.total}")
        source, rank = self._greedy.find(wanted)
        return source.astype(np.int64), rank

    def locate(self, k: int) -> Location:
        """Which source and which tokens of its dataset make sample `k`; the epoch is that of its first token."""
        source, rank = (int(found[0]) for found in self.places([k]))
        dataset = self.datasets[source]
        _, first, size = dataset.pieces(np.array([rank]))
        ranges = tuple(
            TokenRange(dataset.dataset.prefix, start, length)
            for start, length in zip(first.tolist(), size.tolist(), strict=True)
            if length
        )
        epoch = int(dataset.arrays.shuffle[rank]) * self.sequence_length // dataset.epochs.tokens
        return Location(dataset.name, epoch, ranges[0].start, self.sequence_length + 1, ranges)

    def provenance(self, k: int) -> list[DocumentSpan]:
        """The documents that sample `k` covers, with their ids where the dataset has PREFIX.docs.parquet beside it."""
        return [span for tokens in self.ranges(k) for span in documents_of(tokens)]

    def ranges(self, k: int) -> tuple[TokenRange, ...]:
        """The tokens of datasets that sample `k` covers."""
        return self.locate(k).ranges

    def showing(self, source: str, start: int, stop: int, before: int) -> I64:
        """The samples below `before` that cover any of the tokens start, ..., stop - 1 of a source's stream, rising.

        Goes through the blend from its first step, about a microsecond each.
        """
        number = self.names.index(source)
        return self._greedy.steps_of(number, self.datasets[number].showing(start, stop), min(before, self.total))

    def counts(self, samples: int) -> dict[str, int]:
        """How many of the first `samples` samples each source gives."""
        return dict(zip(self.names, self._greedy.counts(samples).tolist(), strict=True))

    def windows_per_epoch(self) -> dict[str, int]:
        """Samples in one epoch of each source."""
        return {d.name: max(1, (d.epochs.tokens - 1) // self.sequence_length) for d in self.datasets}

    def fingerprints(self) -> dict[str, Mapping[str, Any]]:
        """See `fingerprints_of`."""
        return fingerprints_of(self.sources)

    def mark(self, position: int) -> dict[str, Any]:
        """Plain values with which `resume` spares going through the blend from its first step."""
        step, given = self._greedy.mark(min(position, self.total))
        return {"step": step, "given": given}

    def resume(self, mark: Mapping[str, Any]) -> None:
        """Take a mark of the same order."""
        self._greedy.resume(mark["step"], mark["given"])
