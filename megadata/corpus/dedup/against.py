"""`dedup --against`: the documents of a saved index that those of this run could be copies of.

They take part as units of their own behind the run's: in the exact stage by their digests, in the near stage by their band
values, with the first rank and never removed. Only those that share a digest or a band value with a document of this run are
looked up; their texts are read from the shards the index names, or their shingle sets from the index itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megadata.corpus.dedup import ranks, records, signatures
from megadata.corpus.dedup.config import DedupConfig
from megadata.corpus.dedup.indexfile import Part
from megadata.corpus.dedup.ranges import Arrays, RangeTask, Saved
from megadata.corpus.dedup.records import BANDS, COPIES, SETS, Numbering, Run
from megadata.corpus.dedup.survey import add_candidates
from megadata.documents.inputs import read_span
from megadata.documents.source import Problems, ReadOptions
from megadata.errors import ConfigError, CorpusError
from megadata.kernels.base import I64, U8, U32
from megadata.runtime.exchange import Exchange, Partition
from megadata.runtime.files import atomic_write
from megadata.runtime.units import InputFile, Span

_MILLION = 1_000_000
_BLOCK = 1 << 16
"""Keys that are searched for at a time."""
_OWN_SHARDS = ReadOptions(max_record_bytes=1 << 62, max_expansion=1 << 62)
"""What megadata wrote is read whatever its size: a record set aside would shift the rows that the index names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindKnownCopies(RangeTask):
    """Which documents of each part have a digest of this run: ``numbers0``, ``numbers1`` and so on.

    Also the documents of this run that stand for more than one (``heavy``, with ``weights``).
    """

    parts: tuple[Path, ...]

    @property
    def exchange(self) -> Exchange:
        """Digests of this run."""
        return Exchange(self.source, COPIES)

    def work(self, part: Partition) -> Arrays:
        """Look up one range."""
        keys, rests = (np.ascontiguousarray(part.records[name]) for name in ("key", "rest"))
        heavy = part.records[part.records["weight"] > 1]
        found: Arrays = {"heavy": self.numbering.numbers(heavy["unit"], heavy["index"]), "weights": heavy["weight"]}
        for at, saved in enumerate(map(Part, self.parts)):
            their_rests = saved.column("rest")
            equal = [rows[their_rests[rows] == rests[own]] for own, rows in occurrences(saved.column("key"), keys)]
            found[f"numbers{at}"] = np.unique(np.concatenate([np.zeros(0, np.int64), *equal])).astype(np.uint32)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class FindKnownBands(RangeTask):
    """Which band values of each part this run has: ``values0`` and ``holders0`` and so on.

    With `pairs`, also which document of this run (``left0``) has a value of which document of a part (``right0``).
    """

    parts: tuple[Path, ...]
    pairs: tuple[bool, ...]
    remembered: int

    @property
    def exchange(self) -> Exchange:
        """Band values of this run."""
        return Exchange(self.source, BANDS)

    def work(self, part: Partition) -> Arrays:
        """Look up one range."""
        keys = np.ascontiguousarray(part.records["key"])
        numbers = self.numbering.numbers(part.records["unit"], part.records["index"])
        found: Arrays = {}
        for at, saved in enumerate(map(Part, self.parts)):
            column, theirs = saved.column("values"), saved.column("holders")
            hits = [(column[rows], theirs[rows]) for _, rows in occurrences(column, np.unique(keys))]
            values = np.concatenate([np.zeros(0, column.dtype), *(one for one, _ in hits)])
            holders = np.concatenate([np.zeros(0, theirs.dtype), *(one for _, one in hits)])
            found[f"values{at}"], found[f"holders{at}"] = values, holders
            if self.pairs[at]:
                found[f"left{at}"], found[f"right{at}"] = _pairs(keys, numbers, values, holders, self.remembered)
        return found


def occurrences(column: NDArray[Any], keys: NDArray[Any]) -> Iterator[tuple[I64, I64]]:
    """Where each of the sorted `keys` occurs in a sorted column, a block of keys at a time: places in `keys`, rows of the column.

    The keys are searched for in the column, which may be a thousand times as long, and of it only what is looked at is read.
    """
    for start in range(0, keys.size, _BLOCK):
        block = keys[start : start + _BLOCK]
        first = np.searchsorted(column, block, "left")
        counts = np.searchsorted(column, block, "right") - first
        hit = np.flatnonzero(counts)
        counts = counts[hit]
        within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        yield start + np.repeat(hit, counts), np.repeat(first[hit], counts) + within


def _pairs(keys: NDArray[Any], numbers: U32, values: NDArray[Any], holders: NDArray[Any], most: int) -> tuple[U32, U32]:
    """Each document of this run with each of the first `most` holders of its band value."""
    first, last = np.searchsorted(values, keys, "left"), np.searchsorted(values, keys, "right")
    counts = np.minimum(last - first, most)
    left = np.repeat(numbers, counts)
    within = np.arange(left.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return left, holders[np.repeat(first, counts) + within].astype(np.uint32)


@dataclass(frozen=True, slots=True)
class Known:
    """The documents of an index that take part, as units behind those of the run."""

    parts: tuple[Part, ...]
    first_unit: int
    folder: Path
    """Where their runs, numbers and estimates lie."""

    @classmethod
    def open(cls, parts: Sequence[Part], units: int, folder: Path, config: DedupConfig) -> Known:
        """Check that what is needed to verify with can be read.

        Raises
        ------
        ConfigError
            If neither the shards nor the sets of a part can be read, and estimates were not asked for.
        """
        for part in parts:
            if not (config.estimate or config.exact_only or part.has_sets or part.shard_paths()):
                place = part.header["folder"]["absolute"]
                raise ConfigError(
                    f"{part.path}: expected the shards of the saved documents in {place}, found them gone or changed; "
                    "put them back, save the index with --index-with-sets, or give --estimate to remove without verifying"
                )
        return cls(tuple(parts), units, folder)

    @property
    def complete(self) -> bool:
        """Whether an earlier run has settled all parts."""
        return all((self.folder / f"numbers-{at}.npy").exists() for at in range(len(self.parts)))

    @property
    def estimated(self) -> tuple[bool, ...]:
        """Which parts can only be estimated with."""
        return tuple(not (part.has_sets or part.shard_paths()) for part in self.parts)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Files of the parts, for tasks."""
        return tuple(part.path for part in self.parts)

    @property
    def exchanges(self) -> dict[str, tuple[Path, ...]]:
        """Folders of the runs that the index adds to each exchange."""
        return {name: (self.folder / name,) if self.parts else () for name in ("copies", "bands", "sets")}

    def numbers(self, at: int) -> U32:
        """Numbers, in its part, of the documents of part `at` that take part, sorted."""
        return np.load(self.folder / f"numbers-{at}.npy", mmap_mode="r")  # type: ignore[no-any-return]

    def counts(self) -> list[int]:
        """How many documents of each part take part."""
        return [self.numbers(at).size for at in range(len(self.parts))]

    def settle(self, copies: Sequence[Saved], bands: Sequence[Saved]) -> None:
        """From what was looked up: number the documents, and write their digests and band values as runs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for at, part in enumerate(self.parts):
            values = np.concatenate([np.zeros(0, np.uint64), *(f[f"values{at}"] for f in bands)])
            holders = np.concatenate([np.zeros(0, np.uint32), *(f[f"holders{at}"] for f in bands)])
            equal = np.concatenate([np.zeros(0, np.uint32), *(f[f"numbers{at}"] for f in copies)])
            numbers = np.union1d(holders, equal).astype(np.uint32)
            unit = self.first_unit + at
            names, lengths = names_of(part, numbers)
            own = Run(COPIES)
            if numbers.size:
                columns = {name: part.column(name)[numbers] for name in ("key", "rest", "weight")}
                columns |= {"rank": part.column("short")[numbers], "tie": np.zeros(numbers.size, np.uint32)}
                own.add(names, lengths, priority=ranks.SAVED, unit=unit, index=np.arange(numbers.size), **columns)
            own.write(Exchange(self.folder / "copies", COPIES), unit, with_payload=True)
            shared = Run(BANDS)
            if values.size and not self.estimated[at]:
                shared.add(key=values, unit=unit, index=np.searchsorted(numbers, holders))
            shared.write(Exchange(self.folder / "bands", BANDS), unit)
            with atomic_write(self.folder / f"numbers-{at}.npy", sync=False) as file:
                np.save(file, numbers)

    def shards(self, numbering: Numbering, company: NDArray[Any]) -> list[KnownShard]:
        """What has to be read for the documents that could have near copies, a shard at a time."""
        found: list[KnownShard] = []
        for at, part in enumerate(self.parts):
            low, high = numbering.span(self.first_unit + at)
            places = np.flatnonzero(company[low:high])
            if places.size == 0 or self.estimated[at]:
                continue
            shards = (
                np.zeros(places.size, np.uint32) if part.has_sets else part.column("shard")[self.numbers(at)[places]]
            )
            for shard in np.unique(shards).tolist():
                found.append(KnownShard(self.first_unit + len(found), at, shard, places[shards == shard]))
        return found


def names_of(part: Part, numbers: NDArray[Any]) -> tuple[U8, I64]:
    """Names of documents as they are passed on (id, zero byte, no path), and the length of each."""
    bounds, names = part.column("name_bounds"), part.column("names")
    each = [bytes(names[int(bounds[n]) : int(bounds[n + 1])]) + b"\0" for n in numbers.tolist()]
    return np.frombuffer(b"".join(each), np.uint8), np.array([len(one) for one in each], np.int64)


@dataclass(frozen=True, slots=True)
class KnownShard:
    """Documents to collect from one shard of a part (or from its sets)."""

    ordinal: int
    part: int
    shard: int
    places: I64
    """Their places in the unit of the part."""

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"shard {self.shard} of part {self.part} of the index"


@dataclass(frozen=True, slots=True)
class CollectKnown:
    """Task that leaves a run of the shingle sets of an index's candidates, as `Collect` does for those of the run."""

    known: Known
    config: DedupConfig
    numbering: Numbering
    components: Path

    def __call__(self, work: KnownShard) -> int:
        """Read one shard, unless it is done; how many documents that gave."""
        target = Exchange(self.known.folder / "sets", SETS)
        if target.has(work.ordinal):
            return 0
        part = self.known.parts[work.part]
        numbers = self.known.numbers(work.part)[work.places]
        run = Run(SETS)
        for rows, sets, values in self._sets(part, work.shard, numbers):
            chosen, places = numbers[rows], work.places[rows]
            first, _ = self.numbering.span(self.known.first_unit + work.part)
            component = np.load(self.components, mmap_mode="r")[first + places]
            names, lengths = names_of(part, chosen)
            add_candidates(
                run,
                values,
                sets,
                (names, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])),
                key=records.spread(component),
                priority=ranks.SAVED,
                rank=part.column("short")[chosen],
                tie=0,
                high=part.column("key")[chosen],
                low=part.column("rest")[chosen],
                unit=self.known.first_unit + work.part,
                index=places,
                weight=part.column("weight")[chosen],
            )
        run.write(target, work.ordinal, with_payload=True)
        return int(numbers.size)

    def _sets(self, part: Part, shard: int, numbers: U32) -> Any:
        """(rows of `numbers`, their shingle sets, their band values), in batches."""
        bands, rows = self.config.shape
        if part.has_sets:
            bounds = part.column("set_bounds")
            sizes = bounds[numbers.astype(np.int64) + 1] - bounds[numbers]
            stops = np.cumsum(sizes)
            hashes = np.concatenate(
                [np.zeros(0, np.uint64), *(part.column("sets")[bounds[n] : bounds[n + 1]] for n in numbers.astype(int))]
            )
            sets = signatures.Sets(hashes, stops - sizes, stops)
            made = signatures.signatures(hashes, np.append(0, stops).astype(np.int64), bands * rows, self.config.seed)
            yield np.arange(numbers.size), sets, signatures.band_values(made, bands, rows)
            return
        yield from self._read(part, shard, numbers)

    def _read(self, part: Part, shard: int, numbers: U32) -> Any:
        path = (part.shard_paths() or [])[shard]
        status = path.stat()
        kind = "parquet" if path.suffix == ".parquet" else "jsonl"
        file = InputFile(path.name, str(path), status.st_size, status.st_mtime_ns, kind, "", "")
        wanted = part.column("row")[numbers]
        order = np.argsort(wanted)
        wanted = wanted[order]
        keys, rests = part.column("key")[numbers], part.column("rest")[numbers]
        start = 0
        for docs in read_span(Span(file, 0, -1), _OWN_SHARDS, Problems()):
            low, high = np.searchsorted(wanted, [start, start + len(docs)])
            if low < high:
                mask = np.zeros(len(docs), np.bool_)
                mask[wanted[low:high] - start] = True
                chosen = docs.select(mask)
                shingles = signatures.shingle(chosen.text, chosen.offsets, self.config)
                rows = order[low:high]
                if (shingles.digests != np.stack([keys[rows], rests[rows]], axis=1)).any():
                    break
                yield rows, signatures.distinct(shingles), signatures.sign(shingles, self.config)
                wanted_left = wanted.size - high
                if not wanted_left:
                    return
            start += len(docs)
        raise CorpusError(
            f"{path}: expected the documents that the index was made of, found others; save the index again"
        )


def estimates(
    known: Known,
    copies: Sequence[Saved],
    bands: Sequence[Saved],
    numbering: Numbering,
    standing: U8,
    config: DedupConfig,
) -> Arrays:
    """Documents that an estimate of their similarity removes, as the near stage gives what it finds.

    Of two documents whose signatures agree in m of b bands, the similarity is about ``(m / b) ** (1 / rows)``. Each is removed
    for the first in rank of those that are similar enough.
    """
    columns = [_similar(known, at, bands, standing, config) for at, guessed in enumerate(known.estimated) if guessed]
    left, part, right, similarity, short, key = (np.concatenate(c) for c in zip(*columns, strict=True))
    order = np.lexsort((key, short, left))
    _, first = np.unique(left[order], return_index=True)
    chosen = order[first]
    left, part, right = left[chosen], part[chosen], right[chosen]
    weights = np.ones(numbering.documents, np.uint32)
    for found in copies:
        weights[found["heavy"]] = found["weights"]
    kept, own = np.zeros(left.size, np.uint32), np.zeros(left.size, np.uint32)
    names: list[bytes] = [b""] * left.size
    for at in np.unique(part).tolist():
        rows = np.flatnonzero(part == at)
        first_number, _ = numbering.span(known.first_unit + at)
        kept[rows] = first_number + np.searchsorted(known.numbers(at), right[rows])
        own[rows] = known.parts[at].column("weight")[right[rows]]
        for row in rows.tolist():
            names[row] = names_of(known.parts[at], right[row : row + 1])[0].tobytes()
    return {
        "removed": left.astype(np.uint32),
        "weight": weights[left],
        "kept": kept,
        "keepers": kept,
        "own": own,
        "names": np.frombuffer(b"".join(names), np.uint8),
        "bounds": np.concatenate([np.zeros(1, np.int64), np.cumsum([len(name) for name in names], dtype=np.int64)]),
        "shared": np.round(similarity[chosen] * _MILLION).astype(np.uint32),
        "total": np.full(left.size, _MILLION, np.uint32),
        "tally": np.zeros(2, np.int64),
    }


def _similar(
    known: Known, at: int, bands: Sequence[Saved], standing: U8, config: DedupConfig
) -> tuple[NDArray[Any], ...]:
    """Documents of this run, and of part `at`, that are estimated to be similar: with similarity and rank."""
    total, rows = config.shape
    numerator, denominator = config.ratio
    low = np.uint64(32)
    codes = [(f[f"left{at}"].astype(np.uint64) << low) | f[f"right{at}"] for f in bands]
    pairs, counts = np.unique(np.concatenate([np.zeros(0, np.uint64), *codes]), return_counts=True)
    similarity = (counts / total) ** (1 / rows)
    left = (pairs >> low).astype(np.int64)
    right = (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)
    good = (similarity * denominator >= numerator) & (standing[left] > 0)
    left, right = left[good], right[good]
    part = known.parts[at]
    return left, np.full(left.size, at), right, similarity[good], part.column("short")[right], part.column("key")[right]
