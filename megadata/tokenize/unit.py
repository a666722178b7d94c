"""First pass: the documents of one unit, encoded, with their keys and provenance, as a run of the exchange."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megadata.documents.batch import DocBatch
from megadata.documents.inputs import read_span
from megadata.documents.source import Problems, ReadOptions
from megadata.errors import MegadataError
from megadata.runtime.exchange import Exchange, sort_order
from megadata.runtime.receipts import Part, Receipt, reads_of, receipt_path
from megadata.runtime.units import Unit
from megadata.tokenize import keys
from megadata.tokenize.config import TokenizeConfig
from megadata.tokenize.encode import first_difference, sample_of
from megadata.tokenize.records import NO_TEXT, RECORD, as_bytes, interleave, text_column
from megadata.tokenize.sentences import DEFAULT_LANGUAGE, flat_sentences
from megadata.tokenize.tokenizer import Tokenizer


class EncoderDiffersError(MegadataError):
    """The fast encoder gave other ids than `tokenizers` on a sample: the run starts over with `tokenizers`."""


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
class EncodeUnit:
    """Task: encode a unit and write its run; the receipt counts its documents and tokens by dataset."""

    folder: Path
    tokenizer: Tokenizer
    encoder: str
    config: TokenizeConfig
    options: ReadOptions
    dtype: str

    def __call__(self, unit: Unit) -> Receipt:
        """Read, encode and write one unit.

        Raises
        ------
        EncoderDiffersError
            When a sample of the unit has other ids with `tokenizers`.
        """
        problems = Problems()
        batches: list[DocBatch] = []
        shards: list[str] = []
        for span in unit.spans:
            for batch in read_span(span, self.options, problems):
                batches.append(batch)
                shards += [span.file.name] * len(batch)
        docs = DocBatch.concat(batches)
        encoded = self._encode(docs, unit)
        records, groups = self._records(docs, encoded, unit)
        order = sort_order(records)  # sorted here, the payload is moved once
        payload, lengths = self._payload(docs, shards, encoded, records, order)
        Exchange(self.folder / "runs", RECORD).write(unit.ordinal, records[order], payload, lengths)
        counts: Counter[str] = Counter({"documents": len(docs), "bytes": int(docs.sizes.sum())})
        counts.update({"tokens": int(records["tokens"].sum()), "sequences": int(records["sequences"].sum())})
        counts["empty"] = int((records["tokens"] == 0).sum())
        counts.update(problems.counts)
        parts = {name: Part(count, 0, "", []) for name, count in sorted(Counter(groups).items())}
        receipt = Receipt(unit.ordinal, reads_of(unit), parts, dict(sorted(counts.items())))
        receipt.save(receipt_path(self.folder, unit.ordinal))
        return receipt

    def _encode(self, docs: DocBatch, unit: Unit) -> Encoded:
        text, offsets = docs.text, docs.offsets
        count = np.ones(len(docs), np.int64)
        if self.config.sentences:
            languages = _languages(docs)
            text, offsets, count = flat_sentences(docs.texts, languages)
        ids, lengths = self.tokenizer.encode_batch(text, offsets, self.encoder)
        if self.encoder == "gigatoken":
            self._compare(text, offsets, unit)
        kept = lengths > 0  # a sequence without tokens is none
        owner = np.repeat(np.arange(len(docs)), count)
        sequences = np.bincount(owner[kept], minlength=len(docs)).astype(np.int64)
        tokens = np.bincount(owner, weights=lengths, minlength=len(docs)).astype(np.int64)
        return Encoded(ids, lengths[kept], sequences, tokens)

    def _compare(self, text: NDArray[np.uint8], offsets: NDArray[np.int64], unit: Unit) -> None:
        """Compare the encoders on a sample that the unit's ordinal picks."""
        order = np.random.default_rng(unit.ordinal).permutation(offsets.size - 1)
        sample = sample_of(text, offsets, order)
        flat = np.frombuffer(b"".join(sample), np.uint8)
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(s) for s in sample], dtype=np.int64)])
        different = first_difference(self.tokenizer, flat, bounds)
        if different is not None:
            raise EncoderDiffersError(f"{unit.label}: gigatoken's ids differ from those of `tokenizers` on {different}")

    def _records(self, docs: DocBatch, encoded: Encoded, unit: Unit) -> tuple[NDArray[np.void], list[str]]:
        ids = docs.ids
        records = np.zeros(len(docs), RECORD)
        records["hash"], records["tie"] = keys.shuffle_keys(ids, self.config.seed)
        records["place"] = (np.uint64(unit.ordinal) << np.uint64(32)) + np.arange(len(docs), dtype=np.uint64)
        records["key"] = records["hash"] if self.config.shuffle else records["place"]
        ends = self.config.eod
        records["tokens"] = encoded.tokens + (ends & (encoded.tokens > 0))
        records["sequences"] = encoded.sequences
        records["cluster"] = _cluster_sizes(docs)
        groups = group_names(docs, ids, self.config)
        numbers = {name: keys.group_hash(name) for name in set(groups)}
        records["group"] = np.fromiter((numbers[name] for name in groups), np.uint64, len(groups))
        return records, groups

    def _payload(
        self,
        docs: DocBatch,
        shards: Sequence[str],
        encoded: Encoded,
        records: NDArray[np.void],
        order: NDArray[np.int64],
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
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
        for name, values in (*((n, docs.records.column(n)) for n in ("id", "source", "url")), ("shard", shards)):
            data, marks, sizes = text_column(values)
            records[name] = marks
            streams.append((data, sizes))
        return interleave(streams, order)


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
