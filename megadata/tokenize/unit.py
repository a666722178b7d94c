"""First pass: the documents of one unit, encoded, with their keys and provenance, as a run of the exchange."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megadata.documents.batch import DocBatch
from megadata.documents.inputs import read_span, read_unit
from megadata.documents.source import Problems, ReadOptions
from megadata.errors import MegadataError
from megadata.runtime.exchange import Exchange, sort_order
from megadata.runtime.receipts import Part, Receipt, reads_of, receipt_path
from megadata.runtime.units import Unit
from megadata.tokenize import keys
from megadata.tokenize.config import TokenizeConfig
from megadata.tokenize.encode import Choice, backend, choose_encoder, first_difference, sample_of
from megadata.tokenize.records import NO_TEXT, RECORD, Bytes, Counts, as_bytes, interleave, text_column
from megadata.tokenize.repeat import parse_repeat
from megadata.tokenize.sentences import DEFAULT_LANGUAGE, flat_sentences
from megadata.tokenize.tokenizer import Tokenizer

CHUNK_BYTES = 16 << 20
"""Text that is encoded at once; a larger unit becomes several runs."""
RUNS_PER_UNIT = 1 << 20
_PROBE_DOCUMENTS = 8
_PROBE_CHARACTERS = 512


class EncoderDiffersError(MegadataError):
    """The fast encoder gave other ids than `tokenizers` on a sample: the run starts over with `tokenizers`."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """Task: load the encoders in a worker; the first worker chooses between them, also by the first documents of a unit."""

    tokenizer: Tokenizer
    options: ReadOptions
    unit: Unit | None

    def __call__(self, worker: int) -> Choice:
        """The choice; that of other workers than 0 is by the built-in texts alone.

        Raises
        ------
        TokenizerError
            When `tokenizers` cannot load the tokenizer.
        """
        backend(self.tokenizer, "tokenizers")
        return choose_encoder(self.tokenizer, self._sample() if worker == 0 else ())

    def _sample(self) -> list[str]:
        batches = read_unit(self.unit, self.options, Problems()) if self.unit is not None else iter(())
        first = next(batches, None)
        documents = first.slice(0, min(len(first), _PROBE_DOCUMENTS)).texts if first is not None else []
        return [text[:_PROBE_CHARACTERS] for text in documents]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Ids of the documents of a unit, one after another; lengths by sequence and by document."""

    ids: NDArray[np.uint32]
    lengths: NDArray[np.int64]
    sequences: NDArray[np.int64]
    """Sequences of each document."""
    tokens: NDArray[np.int64]
    """Tokens of each document."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Documents of a unit that are encoded together."""

    docs: DocBatch
    shards: list[str]
    """The file each was read from."""
    run: int
    """Number of the run they are written to."""
    place: int
    """Place of the first of them in the input: unit and position."""


@dataclass(frozen=True, slots=True)
class EncodeUnit:
    """Task: encode a unit and write its runs; the receipt counts its documents and tokens by dataset."""

    folder: Path
    tokenizer: Tokenizer
    encoder: str
    config: TokenizeConfig
    options: ReadOptions
    dtype: str

    def __call__(self, unit: Unit) -> Receipt:
        """Read, encode and write one unit; a large one (a file that cannot be entered in the middle) in many runs.

        Raises
        ------
        EncoderDiffersError
            When a sample of the unit has other ids with `tokenizers`.
        """
        problems = Problems(self.options.max_set_aside)
        exchange = Exchange(self.folder / "runs", RECORD)
        counts: Counter[str] = Counter()
        groups: Counter[str] = Counter()
        run = unit.ordinal * RUNS_PER_UNIT
        for chunk in self._chunks(unit, problems):
            docs = chunk.docs
            encoded = self._encode(chunk, unit)
            records, names = self._records(chunk, encoded)
            streams = self._streams(chunk, encoded, records)
            rows = self._copies(chunk, records)
            if rows.size != len(docs):
                records, names = self._of_copies(chunk, records, rows), [names[row] for row in rows]
            order = sort_order(records)  # sorted here, the payload is moved once
            for piece in _pieces(streams, rows[order]):
                payload, lengths = interleave(streams, rows[order[piece]])
                exchange.write(run, records[order[piece]], payload, lengths)
                run += 1
            groups.update(names)
            counts.update({"documents": len(docs), "copies": rows.size - len(docs)})
            counts.update({"bytes": int(docs.sizes[rows].sum()), "tokens": int(records["tokens"].sum())})
            counts.update({"sequences": int(records["sequences"].sum())})
            counts.update({"empty": int((records["tokens"] == 0).sum())})
        counts.update(problems.counts)
        parts = {name: Part(count, 0, []) for name, count in sorted(groups.items())}
        receipt = Receipt(unit.ordinal, reads_of(unit), parts, dict(sorted(counts.items())))
        receipt.save(receipt_path(self.folder, unit.ordinal))
        return receipt

    def _copies(self, chunk: _Chunk, records: NDArray[np.void]) -> NDArray[np.int64]:
        """Numbers of the documents, each as often as it is to be written."""
        rows = np.arange(records.size)
        if self.config.repeat is None:
            return rows
        return np.repeat(rows, parse_repeat(self.config.repeat).copies(keys.metadata_of(chunk.docs)))

    def _of_copies(self, chunk: _Chunk, records: NDArray[np.void], rows: NDArray[np.int64]) -> NDArray[np.void]:
        """Records of copies: as those of their documents, but each with a place of its own in the shuffle."""
        found = records[rows]
        heads = np.flatnonzero(np.diff(rows, prepend=-1))
        number = np.arange(rows.size) - np.repeat(heads, np.diff(heads, append=rows.size))
        ids = chunk.docs.ids
        found["hash"], found["tie"] = keys.shuffle_keys([ids[row] for row in rows], self.config.seed, number.tolist())
        found["key"] = found["hash"] if self.config.shuffle else found["place"]
        return found

    def _chunks(self, unit: Unit, problems: Problems) -> Iterator[_Chunk]:
        held: list[DocBatch] = []
        shards: list[str] = []
        size = 0
        run, place = unit.ordinal * RUNS_PER_UNIT, unit.ordinal << 32
        for span in unit.spans:
            for batch in read_span(span, self.options, problems):
                held.append(batch)
                shards += [span.file.name] * len(batch)
                size += int(batch.sizes.sum())
                if size >= CHUNK_BYTES:
                    yield _Chunk(DocBatch.concat(held), shards, run, place)
                    run, place = run + 1, place + len(shards)
                    held, shards, size = [], [], 0
        if shards:
            yield _Chunk(DocBatch.concat(held), shards, run, place)

    def _encode(self, chunk: _Chunk, unit: Unit) -> Encoded:
        docs = chunk.docs
        text, offsets = docs.text, docs.offsets
        count = np.ones(len(docs), np.int64)
        if self.config.sentences:
            languages = _languages(docs)
            text, offsets, count = flat_sentences(docs.texts, languages)
        ids, lengths = self.tokenizer.encode_batch(text, offsets, self.encoder)
        if self.encoder == "gigatoken":
            self._compare(text, offsets, chunk.run, unit)
        kept = lengths > 0  # a sequence without tokens is none
        owner = np.repeat(np.arange(len(docs)), count)
        sequences = np.bincount(owner[kept], minlength=len(docs)).astype(np.int64)
        tokens = np.bincount(owner, weights=lengths, minlength=len(docs)).astype(np.int64)
        return Encoded(ids, lengths[kept], sequences, tokens)

    def _compare(self, text: NDArray[np.uint8], offsets: NDArray[np.int64], run: int, unit: Unit) -> None:
        """Compare the encoders on a sample that the number of the run picks."""
        order = np.random.default_rng(run).permutation(offsets.size - 1)
        sample = sample_of(text, offsets, order)
        flat = np.frombuffer(b"".join(sample), np.uint8)
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(s) for s in sample], dtype=np.int64)])
        different = first_difference(self.tokenizer, flat, bounds)
        if different is not None:
            raise EncoderDiffersError(f"{unit.label}: gigatoken's ids differ from those of `tokenizers` on {different}")

    def _records(self, chunk: _Chunk, encoded: Encoded) -> tuple[NDArray[np.void], list[str]]:
        docs, ids = chunk.docs, chunk.docs.ids
        records = np.zeros(len(docs), RECORD)
        records["hash"], records["tie"] = keys.shuffle_keys(ids, self.config.seed)
        records["place"] = np.uint64(chunk.place) + np.arange(len(docs), dtype=np.uint64)
        records["key"] = records["hash"] if self.config.shuffle else records["place"]
        ends = self.config.eod
        records["tokens"] = encoded.tokens + (ends & (encoded.tokens > 0))
        records["sequences"] = encoded.sequences
        records["cluster"] = _cluster_sizes(docs)
        groups = group_names(docs, ids, self.config)
        numbers = {name: keys.group_hash(name) for name in set(groups)}
        records["group"] = np.fromiter((numbers[name] for name in groups), np.uint64, len(groups))
        return records, groups

    def _streams(self, chunk: _Chunk, encoded: Encoded, records: NDArray[np.void]) -> list[tuple[Bytes, Counts]]:
        """The payload as streams for `interleave`; the sizes of texts are put into the records."""
        columns = chunk.docs.records
        kind = np.dtype(self.dtype)
        streams = [(as_bytes(encoded.ids.astype(kind)), encoded.tokens * kind.itemsize)]
        ended = (records["tokens"].astype(np.int64) - encoded.tokens) * kind.itemsize
        if ended.any():
            streams.append((as_bytes(np.full(int(ended.sum()) // kind.itemsize, self.tokenizer.eod, kind)), ended))
        if self.config.sentences:
            lengths = encoded.lengths.astype("<i4")
            last = np.cumsum(encoded.sequences)[ended > 0] - 1
            lengths[last] += 1
            streams.append((as_bytes(lengths), encoded.sequences * 4))
        for name, values in (*((n, columns.column(n)) for n in ("id", "source", "url")), ("shard", chunk.shards)):
            data, marks, sizes = text_column(values)
            records[name] = marks
            streams.append((data, sizes))
        return streams


def _pieces(streams: list[tuple[Bytes, Counts]], rows: NDArray[np.int64]) -> list[slice]:
    """Stretches of the rows, in order, whose payload is about `CHUNK_BYTES`: copies can be many times the documents."""
    ends = np.cumsum(np.sum([sizes for _, sizes in streams], axis=0)[rows])
    borders = np.searchsorted(ends, np.arange(CHUNK_BYTES, int(ends[-1]) if rows.size else 0, CHUNK_BYTES))
    return [slice(a, b) for a, b in pairwise([0, *np.unique(borders).tolist(), rows.size]) if b > a]


def group_names(docs: DocBatch, ids: Sequence[str], config: TokenizeConfig) -> list[str]:
    """What follows PREFIX in the name of the dataset each document goes to: nothing, ``-VALUE``, ``-SPLIT`` or both."""
    names = [""] * len(docs)
    if config.by is not None:
        names = [f"-{value}" for value in keys.values_of(docs, config.by)]
    if config.split is not None:
        splits = keys.splits_of(ids, config.thresholds)
        names = [f"{name}-{split}" for name, split in zip(names, splits, strict=True)]
    return names


def _languages(docs: DocBatch) -> list[str]:
    found = (keys.field_of(metadata, "language") for metadata in keys.metadata_of(docs))
    return [language if isinstance(language, str) and language else DEFAULT_LANGUAGE for language in found]


def _cluster_sizes(docs: DocBatch) -> Any:
    """Size of each document's cluster of near-duplicates; `NO_TEXT` where the metadata has none."""
    import pyarrow.compute as pc

    column = docs.records.column("metadata")
    if not pc.any(pc.match_substring(column, '"cluster_size"')).as_py():
        return NO_TEXT
    sizes = [metadata.get("cluster_size") for metadata in keys.metadata_of(docs)]
    return [size if isinstance(size, int) and 0 <= size < NO_TEXT else NO_TEXT for size in sizes]
