"""The sidecar that foreign .bin/.idx files lack: what they hold is checked, and the end of documents found."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from megadata.errors import ConfigError, IndexFormatError
from megadata.indexed.files import is_url
from megadata.indexed.format import CHUNK, docs_path, tokenizer_path
from megadata.indexed.meta import Meta, digest_of_blocks, read_meta, write_meta
from megadata.indexed.reader import IndexedDataset, sampled_fingerprint
from megadata.indexed.verify import digests, outside_ids, structure
from megadata.indexed.writer import digest_blocks, digest_file

TELLING_DOCUMENTS = 16
"""Documents that must end alike before their last token is taken for an EOD that no tokenizer names."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """What was found about a foreign dataset."""

    meta: Meta
    """Its sidecar, as written."""
    ends: str
    """How its documents end, as a sentence."""


def adopt(prefix: str | Path, vocabulary: Meta | None = None, *, workers: int = 1) -> Adopted:
    """Check a dataset and write PREFIX.meta.json for it.

    Parameters
    ----------
    prefix : str or Path
        A local dataset, with or without a sidecar; what a sound sidecar knows of order and origin is kept.
    vocabulary : Meta, optional
        What is known of its tokenizer (`megadata.tokenize.sidecar.vocabulary_of`): ids are checked against it.
    workers : int
        Threads that compute digests.

    Raises
    ------
    IndexFormatError
        If the files are damaged, or not those that a sound sidecar speaks of.
    ConfigError
        If an id lies outside the vocabulary, or the dataset lies behind a URL.
    """
    if is_url(str(prefix)):
        raise ConfigError(f"{prefix}: a sidecar is written beside local files; copy the dataset to a disk first")
    data = IndexedDataset(prefix)
    for problem in structure(data):
        raise IndexFormatError(problem)
    before = _sound_meta(data)
    if before is not None and before.bin_sha256:
        for problem in digests(data, before, workers):
            raise IndexFormatError(
                f"{problem}; to take the files for what they are, delete {data.prefix}.meta.json first"
            )
    known = vocabulary or before or Meta()
    for problem in outside_ids(data, known.vocabulary_size):
        raise ConfigError(problem)
    eod, appended, ends = find_eod(data, known)
    blocks = digest_blocks(f"{data.prefix}.bin", workers)
    docs = docs_path(data.prefix)
    meta = dataclasses.replace(
        before or Meta(),
        **{
            name: getattr(known, name)
            for name in ("vocabulary_size", "special_tokens", "tokenizer_sha256", "word_start")
        },
        tokenizer_path=tokenizer_path(data.prefix).name if known.tokenizer_sha256 else None,
        eod=eod,
        appended_eod=appended,
        level="sentence" if len(data) > data.documents else "document",
        tokens=data.tokens,
        sequences=len(data),
        documents=data.documents,
        dtype=data.dtype.name,
        blocks=blocks,
        bin_sha256=digest_of_blocks(blocks),
        idx_sha256=digest_file(f"{data.prefix}.idx"),
        docs_sha256=digest_file(docs) if docs.exists() else None,
        fingerprint=sampled_fingerprint(data.prefix),
    )
    write_meta(data.prefix, meta)
    return Adopted(meta, ends)


def _sound_meta(data: IndexedDataset) -> Meta | None:
    try:
        return read_meta(data.prefix)
    except IndexFormatError:
        return None


def find_eod(data: IndexedDataset, known: Meta) -> tuple[int | None, bool, str]:
    """The id that ends documents, whether it ends all that have tokens, and both as a sentence.

    A token with which all documents end is the EOD if the vocabulary says so or has it as a special token; if nothing is known of
    the vocabulary, if there are `TELLING_DOCUMENTS` of them.
    """
    counts: dict[int, int] = {}
    filled = 0
    for first in range(0, data.documents, CHUNK):
        borders = data.document_starts(np.arange(first, min(first + CHUNK, data.documents) + 1))
        ends = borders[1:][np.diff(borders) > 0] - 1
        filled += ends.size
        for token, count in zip(*np.unique(data.stream(0, data.tokens)[ends], return_counts=True), strict=True):
            counts[int(token)] = counts.get(int(token), 0) + int(count)
    if not filled:
        return known.eod, False, "no document has tokens"
    common = max(counts, key=lambda token: (counts[token], -token))
    special = {token: role for role, token in known.special_tokens.items()}
    if counts[common] == filled and (
        common == known.eod or common in special or (known.eod is None and filled >= TELLING_DOCUMENTS)
    ):
        whose = (
            "the EOD"
            if common == known.eod
            else f"the special token {special[common]}"
            if common in special
            else "the id"
        )
        return common, True, f"all {filled:,} documents with tokens end with {whose} {common}"
    if known.eod is None:
        return None, False, f"documents end with {len(counts):,} different tokens; no EOD was found"
    share = counts.get(known.eod, 0)
    return known.eod, False, f"{share:,} of {filled:,} documents with tokens end with the EOD {known.eod}"
