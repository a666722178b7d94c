"""Samples of a blend: sample k is a pure function of the data, the seed and k.

Nothing is built or cached at the start and nothing grows with samples or documents. Letters: N samples asked for, L tokens of a
sample; each sample is L + 1 tokens, so that shifted by one they are inputs and labels.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike

from megadata.errors import ConfigError
from megadata.indexed.inverse import numbers_of, ranks_showing
from megadata.indexed.mixture import ENDLESS, Schedule, Segment, segment_of
from megadata.indexed.order import I64, LOCAL_BLOCK_BYTES, Windows, mix64_of
from megadata.indexed.provenance import DocumentSpan, documents_of_all
from megadata.indexed.stream import TokenRange, TokenStream
from megadata.indexed.vocabulary import Vocabulary

LOOKAHEAD = 1024
"""Samples whose places are computed together when few are asked for at a time: it costs little more than computing one."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a sample's tokens lie."""

    source: str
    """Name of the source in the blend."""
    epoch: int
    """How often all of the source was seen before."""
    start: int
    """First token, counted in the source's stream."""
    length: int
    """Tokens, the last label among them; packed rows have none."""
    ranges: tuple[TokenRange, ...]
    """The same as tokens of datasets; more than one where a sample runs over the end of a file or of the source."""

    @property
    def prefix(self) -> str:
        """The dataset the sample starts in."""
        return self.ranges[0].prefix


@dataclass(frozen=True, slots=True)
class Origin:
    """Where samples begin that go on from others: what came before is not theirs to tell."""

    start: int
    """The first sample."""
    base: Mapping[str, int]
    """Samples that each source counts as given before it."""


@dataclass(frozen=True, slots=True)
class SourceStream:
    """A source as the order sees it."""

    name: str
    stream: TokenStream
    limit: int | None
    """Most windows it may give."""
    fingerprint: str
    digest: str | None


def fingerprints_of(sources: Sequence[SourceStream]) -> dict[str, Mapping[str, Any]]:
    """What tells whether each source's data is still the same: tokens, fingerprint, and digest where it is known."""
    return {
        source.name: {"tokens": source.stream.tokens, "fingerprint": source.fingerprint, "digest": source.digest}
        for source in sources
    }


class Numbered(Protocol):
    """What has samples by number."""

    @property
    def sequence_length(self) -> int:
        """Tokens of a sample, the label of the last not counted."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the tokens."""

    @property
    def total(self) -> int | None:
        """How many samples there are; None where nothing ends them."""


class Samples:
    """All samples of a blend at one length; made by `Blend.samples`.

    `samples[k]` is an int64 array of L + 1 tokens for any k; `batch` and `take` give many at once. Objects are immutable,
    picklable, and cost the same to make for any amount of data.
    """

    def __init__(
        self,
        sources: Sequence[SourceStream],
        segments: Sequence[Segment],
        *,
        sequence_length: int,
        seed: int,
        vocabulary: Vocabulary,
        locality: bool = False,
        schedule: Schedule | None = None,
    ) -> None:
        self.sources = tuple(sources)
        self.segments = tuple(segments)
        self.sequence_length = sequence_length
        self.seed = seed
        self.vocabulary = vocabulary
        self.locality = locality
        self._schedule = schedule
        keys = [mix64_of(seed, int(source.fingerprint[:16], 16)) for source in self.sources]
        itemsizes = [max(piece.dataset.dtype.itemsize for piece in s.stream.pieces) for s in self.sources]
        blocks = [max(1, LOCAL_BLOCK_BYTES // (sequence_length * itemsize)) for itemsize in itemsizes]
        self._windows = Windows(
            sequence_length,
            np.array([source.stream.tokens for source in self.sources], np.uint64),
            np.array(keys, np.uint64),
            np.array(blocks, np.uint64) if locality else None,
            np.array([source.stream.row is not None for source in self.sources]),
        )
        self._near: tuple[int, I64, I64] | None = None
        self.origin: Origin | None = None

    def rebased(self, origin: Origin) -> Samples:
        """The same samples from `origin` on, as if each source had given as many before it."""
        if self._schedule is None:
            raise ConfigError("samples: only samples of a whole blend can go on from others")
        made = copy.copy(self)
        base = [origin.base.get(name, 0) for name in self.names]
        made.segments = tuple(self._schedule.segments(origin.start, base))
        if not made.segments:
            raise ConfigError(
                f"blend: every source has reached its max_epochs before sample {origin.start}; raise them"
            )
        made.origin, made._near = origin, None
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_near": None}

    @property
    def total(self) -> int | None:
        """How many samples there are; None where no cap ends them."""
        stop = self.segments[-1].stop
        return None if stop == ENDLESS else stop

    @property
    def epoch(self) -> int:
        """Samples in one pass over all sources, whatever their weights."""
        return int(self._windows.per_epoch.sum())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sources, in the order of the numbers that `places` gives."""
        return tuple(source.name for source in self.sources)

    @overload
    def __getitem__(self, k: int) -> I64: ...
    @overload
    def __getitem__(self, k: slice) -> I64: ...
    def __getitem__(self, k: int | slice) -> I64:
        """Sample `k`, shape (L + 1,); samples [k.start, k.stop), shape (N, L + 1)."""
        if isinstance(k, slice):
            start, stop, step = k.indices(self.segments[-1].stop)
            if step != 1 or k.stop is None:
                raise ConfigError("samples: a slice needs an end and steps of 1, as in samples[0:32]")
            return self.batch(start, max(start, stop))
        source, start = self._near_place(int(k))
        out = np.empty(self.sequence_length + 1, np.int64)
        self.sources[source].stream.read(start, out)
        return out

    def __iter__(self) -> Iterator[I64]:
        """All samples from 0 on; endless where no cap ends them."""
        for k in range(self.segments[-1].stop):
            yield self[k]

    def batch(self, start: int, stop: int) -> I64:
        """Samples start, ..., stop - 1 as int64 tokens, shape (stop - start, L + 1)."""
        return self.take(np.arange(start, stop, dtype=np.int64))

    def take(self, samples: ArrayLike) -> I64:
        """The samples of the given numbers as int64 tokens, shape (N, L + 1)."""
        wanted = np.asarray(samples, np.int64).reshape(-1)
        near = self._near_places(int(wanted.min()), int(wanted.max())) if wanted.size else None
        if near is None:
            source, _, start = self.places(wanted)
        else:
            source, start = near[1][wanted - near[0]], near[2][wanted - near[0]]
        return self.read(source, start)

    def read(self, source: I64, start: I64) -> I64:
        """L + 1 tokens of each of the given sources from the given starts on, as int64 tokens, shape (N, L + 1)."""
        out = np.empty((source.size, self.sequence_length + 1), np.int64)
        streams = [s.stream for s in self.sources]
        for row, i, first in zip(out, source.tolist(), start.tolist(), strict=True):
            streams[i].read(first, row)
        return out

    def places(self, samples: ArrayLike) -> tuple[I64, I64, I64]:
        """Source, rank among all samples of that source, and start in its stream, of each sample; three int64 arrays (N,).

        Raises
        ------
        IndexError
            If a sample is negative or lies after the end that `max_epochs` sets.
        """
        wanted = np.asarray(samples, np.int64).reshape(-1)
        first = self.segments[0].start
        if (
            wanted.size
            and not first <= (low := int(wanted.min())) <= (high := int(wanted.max())) < self.segments[-1].stop
        ):
            if first:
                raise IndexError(
                    f"sample {low if low < first else high} asked for, the blend goes on from sample {first}"
                )
            raise IndexError(
                f"sample {low if low < 0 else high} asked for, the blend gives {self.segments[-1].stop} "
                "before every source has reached its max_epochs"
            )
        if len(self.segments) == 1 and not first:
            source, rank = self.segments[0].tree.descend(wanted)
        else:
            source, rank = np.empty_like(wanted), np.empty_like(wanted)
            number = segment_of(self.segments, wanted)
            for i in np.unique(number).tolist():
                segment, mine = self.segments[i], np.flatnonzero(number == i)
                source[mine], inside = segment.tree.descend(wanted[mine] - segment.start)
                rank[mine] = inside + np.array(segment.base, np.int64)[source[mine]]
        return source, rank, self._windows.starts(source, rank)

    def locate(self, k: int) -> Location:
        """Which source, which epoch and which tokens of which datasets make sample `k`."""
        source, rank, start = (int(found[0]) for found in self.places([k]))
        width = self._width(source)
        ranges = self.sources[source].stream.ranges(start, width)
        epoch = rank // int(self._windows.per_epoch[source])
        return Location(self.sources[source].name, epoch, start, width, ranges)

    def provenance(self, k: int) -> list[DocumentSpan]:
        """The documents that sample `k` covers, with their ids where the dataset has PREFIX.docs.parquet beside it."""
        return documents_of_all([self.ranges(k)])[0]

    def ranges(self, k: int) -> tuple[TokenRange, ...]:
        """The tokens of datasets that sample `k` covers."""
        return self.locate(k).ranges

    def showing(self, source: str, start: int, stop: int, before: int, width: int | None = None) -> I64:
        """The samples below `before` that cover any of the tokens start, ..., stop - 1 of a source's stream, rising.

        In closed form: the time it takes depends on how many they are, not on `before`. With `width` only so many tokens of
        each sample count, from its first on.
        """
        number = self.names.index(source)
        width = self._width(number) if width is None else width
        given = self.counts(min(before, self.segments[-1].stop))[source]
        ranks = ranks_showing(self._windows, number, start, stop, width, given)
        return np.sort(numbers_of(self.segments, number, ranks))

    def _width(self, source: int) -> int:
        return self.sequence_length + (self.sources[source].stream.row is None)

    def counts(self, samples: int) -> dict[str, int]:
        """How many of the first `samples` samples each source gives."""
        for segment in reversed(self.segments):
            if segment.start <= samples:
                counts = segment.counts(min(samples, segment.stop))
                return {source.name: count for source, count in zip(self.sources, counts, strict=True)}
        raise IndexError(f"samples must not be negative, got {samples}")

    def windows_per_epoch(self) -> dict[str, int]:
        """Samples in one epoch of each source."""
        return {s.name: int(w) for s, w in zip(self.sources, self._windows.per_epoch, strict=True)}

    def fingerprints(self) -> dict[str, Mapping[str, Any]]:
        """See `fingerprints_of`."""
        return fingerprints_of(self.sources)

    def _near_place(self, k: int) -> tuple[int, int]:
        """Source and start of one sample."""
        near = self._near_places(k, k)
        if near is None:
            source, _, start = self.places([k])
            return int(source[0]), int(start[0])
        return int(near[1][k - near[0]]), int(near[2][k - near[0]])

    def _near_places(self, low: int, high: int) -> tuple[int, I64, I64] | None:
        """The first of a run of samples that has `low` to `high`, and the sources and starts of the run; kept, because its
        others are usually next. None where the two lie far apart or outside of the blend.
        """
        near = self._near
        if near is None or not near[0] <= low <= high < near[0] + near[1].size:
            begin, stop = self.segments[0].start, self.segments[-1].stop
            if not begin <= low <= high < stop or high - low >= LOOKAHEAD:
                return None
            first = max(low - low % LOOKAHEAD, begin)
            if high >= first + LOOKAHEAD:
                first = low
            source, _, start = self.places(np.arange(first, min(first + LOOKAHEAD, stop)))
            near = self._near = (first, source, start)
        return near


class SequentialSamples:
    """The windows of one stream in order, each token once: what validation reads.

    `windows[i]` is tokens [i * L, (i + 1) * L] of the stream, L + 1 of them. The tail that fills no window is left out.
    """

    def __init__(self, name: str, stream: TokenStream, sequence_length: int, vocabulary: Vocabulary) -> None:
        self.name = name
        self.stream = stream
        self.sequence_length = sequence_length
        self.vocabulary = vocabulary

    def __len__(self) -> int:
        last_label = 0 if self.stream.row is not None else 1
        return max(0, (self.stream.tokens - last_label) // self.sequence_length)

    @property
    def total(self) -> int:
        """Number of windows."""
        return len(self)

    def __getitem__(self, i: int) -> I64:
        """Window `i`, shape (L + 1,)."""
        if not 0 <= i < len(self):
            raise IndexError(f"window {i} of {self.name} asked for, there are {len(self)}")
        window: I64 = self.batch(i, i + 1)[0]
        return window

    def batch(self, start: int, stop: int) -> I64:
        """Windows start, ..., stop - 1 as int64 tokens, shape (stop - start, L + 1)."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"windows {start} to {stop} of {self.name} asked for, there are {len(self)}")
        return self.take(np.arange(start, stop, dtype=np.int64))

    def take(self, samples: ArrayLike) -> I64:
        """The windows of the given numbers as int64 tokens, shape (N, L + 1)."""
        source, _, start = self.places(samples)
        return self.read(source, start)

    def read(self, source: I64, start: I64) -> I64:
        """As `Samples.read`, of the one source."""
        out = np.empty((start.size, self.sequence_length + 1), np.int64)
        for row, first in zip(out, start.tolist(), strict=True):
            self.stream.read(first, row)
        return out

    def places(self, samples: ArrayLike) -> tuple[I64, I64, I64]:
        """As `Samples.places`, of the one source."""
        wanted = np.asarray(samples, np.int64).reshape(-1)
        return np.zeros_like(wanted), wanted, wanted * self.sequence_length

    @property
    def sources(self) -> tuple[SourceStream, ...]:
        """The one source."""
        return (SourceStream(self.name, self.stream, len(self), self.stream.fingerprint, self.stream.digest),)
