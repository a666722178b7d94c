"""Is a dataset intact? Fast: sizes and structure. Deep: every byte against its digest, every id, every end of document."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from megadata.errors import IndexFormatError
from megadata.indexed.files import open_sidecar
from megadata.indexed.format import CHUNK
from megadata.indexed.meta import BLOCK_BYTES, Meta, digest_of_blocks
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.writer import digest_blocks, digest_file

TOKENS = 1 << 24
"""Tokens looked at together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a check of one dataset found."""

    prefix: str
    tokens: int
    sequences: int
    documents: int
    checked: tuple[str, ...]
    """What was looked at, in order."""
    problems: tuple[str, ...]
    """One sentence a fault; empty where all is well."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(prefix: str | Path, *, deep: bool = False, vocabulary: Meta | None = None, workers: int = 1) -> Report:
    """Check an indexed dataset and say everything that is wrong with it.

    Parameters
    ----------
    prefix : str or Path
        What the files of the dataset share.
    deep : bool
        Also read every token: digests by block, ids within the vocabulary, the EOD where it is promised.
    vocabulary : Meta, optional
        What is known of the tokenizer that should have written it (`megadata.tokenize.sidecar.vocabulary_of`).
    workers : int
        Threads that compute digests.

    Returns
    -------
    Report
        Faults are in the report, not raised, so that all of them are seen at once.
    """
    checked = ["sizes"]
    try:
        data = IndexedDataset(prefix)
    except IndexFormatError as error:
        return _report(prefix, None, checked, [str(error)])
    problems: list[str] = []
    meta: Meta | None = None
    try:
        meta = data.meta
        checked.append("sidecar" if meta else "no sidecar")
    except IndexFormatError as error:
        problems.append(str(error))
    if vocabulary is not None and meta is not None and meta.tokenizer_sha256 not in (None, vocabulary.tokenizer_sha256):
        problems.append(
            f"{data.prefix}.meta.json: the dataset was written with tokenizer {str(meta.tokenizer_sha256)[:12]}, "
            f"not with {str(vocabulary.tokenizer_sha256)[:12]}; give the tokenizer that lies beside it"
        )
    checked.append("structure")
    problems += structure(data)
    if deep:
        if meta is not None and meta.bin_sha256:
            checked.append(f"digests of {len(meta.blocks)} blocks")
            problems += digests(data, meta, workers)
        if not problems:
            checked.append("token ids")
            sizes = [known.vocabulary_size for known in (vocabulary, meta) if known is not None]
            problems += outside_ids(data, min((size for size in sizes if size is not None), default=None))
        if meta is not None and meta.appended_eod and not problems:
            checked.append("ends of documents")
            problems += _ends(data, meta)
    return _report(prefix, data, checked, problems)


def _report(prefix: str | Path, data: IndexedDataset | None, checked: list[str], problems: list[str]) -> Report:
    return Report(
        prefix=str(prefix),
        tokens=data.tokens if data else 0,
        sequences=len(data) if data else 0,
        documents=data.documents if data else 0,
        checked=tuple(checked),
        problems=tuple(problems),
    )


def structure(data: IndexedDataset) -> list[str]:
    """The first sequence whose pointer does not follow from the lengths; the first document whose bounds fall."""
    path = f"{data.prefix}.idx"
    position = 0
    for start in range(0, len(data), CHUNK):
        lengths = data.lengths[start : start + CHUNK].astype(np.int64)
        if (negative := np.flatnonzero(lengths < 0)).size:
            return [f"{path}: sequence {start + negative[0]} has {lengths[negative[0]]} tokens; the file is damaged"]
        ends = position + np.cumsum(lengths) * data.dtype.itemsize
        expected = np.concatenate(([position], ends[:-1]))
        found = data.pointers[start : start + CHUNK]
        if (wrong := np.flatnonzero(found != expected)).size:
            at = wrong[0]
            return [
                f"{path}: sequence {start + at} should start at byte {expected[at]} of .bin, the pointer says {found[at]}; "
                "the file is damaged"
            ]
        position = int(ends[-1])
    bounds = data.bounds
    for start in range(0, data.documents, CHUNK):
        part = bounds[start : start + CHUNK + 1]
        if (falling := np.flatnonzero(np.diff(part) < 0)).size:
            at = falling[0]
            return [
                f"{path}: document {start + at} starts at sequence {part[at]} and ends at {part[at + 1]}; the file is damaged"
            ]
    return []


def digests(data: IndexedDataset, meta: Meta, workers: int) -> list[str]:
    """The first block of .bin whose bytes changed; whether .idx changed."""
    problems = []
    path = f"{data.prefix}.bin"
    if digest_of_blocks(meta.blocks) != meta.bin_sha256:
        problems.append(f"{path}: the digests in the sidecar do not belong together; the sidecar is damaged")
    found = digest_blocks(path, workers)
    if len(found) != len(meta.blocks):
        problems.append(f"{path}: expected {len(meta.blocks)} blocks of 64 MiB, found {len(found)}")
    for block, (now, then) in enumerate(zip(found, meta.blocks, strict=False)):
        if now != then:
            start = block * BLOCK_BYTES
            end = min(start + BLOCK_BYTES, data.tokens * data.dtype.itemsize)
            first = int(data.sequence_at(np.array([start // data.dtype.itemsize]))[0])
            problems.append(
                f"{path}: block {block} (bytes {start} to {end}, from sequence {first} on) is not what was written; "
                "copy the file again or write it again"
            )
            break
    if meta.idx_sha256 and digest_file(f"{data.prefix}.idx") != meta.idx_sha256:
        problems.append(f"{data.prefix}.idx: the bytes are not what was written; copy the file again")
    for ending, digest in (("docs.parquet", meta.docs_sha256), ("tokenizer.json", meta.tokenizer_sha256)):
        path = f"{data.prefix}.{ending}"
        if digest and open_sidecar(path) is not None and digest_file(path) != digest:
            problems.append(f"{path}: the bytes are not what was written; copy the file again")
    return problems


def outside_ids(data: IndexedDataset, size: int | None) -> list[str]:
    """The first id outside a vocabulary of `size` entries, or below 0."""
    for start in range(0, data.tokens, TOKENS):
        part = data.window(start, min(TOKENS, data.tokens - start))
        low, high = int(part.min()), int(part.max())
        if low >= 0 and (size is None or high < size):
            continue
        at = int(np.flatnonzero(part < 0 if size is None else (part < 0) | (part >= size))[0])
        owner = int(data.document_at(data.sequence_at(np.array([start + at])))[0])
        limit = "must not be negative" if size is None else f"must be below {size}, the size of the vocabulary"
        return [
            f"{data.prefix}.bin: token {start + at}, in document {owner}, is {part[at]}, ids {limit}; "
            "another tokenizer wrote this, or another type"
        ]
    return []


def _ends(data: IndexedDataset, meta: Meta) -> list[str]:
    """The first document with tokens that does not end with the EOD it should."""
    starts = data.bounds
    for first in range(0, data.documents, CHUNK):
        borders = data.starts(starts[first : first + CHUNK + 1])
        filled = np.flatnonzero(np.diff(borders) > 0)
        ends = borders[filled + 1] - 1
        wrong = np.flatnonzero(data.stream(0, data.tokens)[ends] != meta.eod)
        if wrong.size:
            at = wrong[0]
            return [
                f"{data.prefix}.bin: document {first + filled[at]} ends with token "
                f"{data.window(int(ends[at]), 1)[0]}, the sidecar promises the EOD {meta.eod}"
            ]
    return []
