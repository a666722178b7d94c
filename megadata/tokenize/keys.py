"""Keys of documents: where a document lies in the shuffle, to which split and to which dataset it belongs.

All follow from the document's own id and fields, so a corpus that grows leaves every document where it is.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from megadata.documents.batch import DocBatch

UNKNOWN = "unknown"
"""Value of documents that lack the field they are parted by."""


def shuffle_keys(
    ids: Sequence[str], seed: int, copies: Sequence[int] | None = None
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """128 bits of BLAKE2b of each id, keyed by the seed, as two arrays: what documents are sorted by, and its tie-breaker.

    `copies` numbers the copies of a document, the first 0; each has a key of its own, the first the document's.
    """
    key = seed.to_bytes(16, "little", signed=True)
    blake = hashlib.blake2b
    if copies is None:
        digests = b"".join([blake(own.encode(), digest_size=16, key=key).digest() for own in ids])
    else:
        numbered = zip(ids, (number.to_bytes(16, "little") for number in copies), strict=True)
        digests = b"".join([blake(own.encode(), digest_size=16, key=key, salt=s).digest() for own, s in numbered])
    pairs = np.frombuffer(digests, "<u8").reshape(-1, 2)
    return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])


def split_hash(own: str) -> int:
    """64 bits of an id that decide its split; they do not depend on the seed of the shuffle."""
    return int.from_bytes(hashlib.blake2b(own.encode(), digest_size=8, person=b"megadata split").digest(), "little")


def splits_of(ids: Sequence[str], thresholds: Sequence[tuple[str, int]]) -> list[str]:
    """The split of each id; see `TokenizeConfig.thresholds`."""
    ends = [end for _, end in thresholds]
    names = [name for name, _ in thresholds]
    return [names[bisect_right(ends, split_hash(own))] for own in ids]


def metadata_of(batch: DocBatch) -> list[dict[str, Any]]:
    """The metadata of each document, parsed; what is not an object counts as none."""
    parsed = (orjson.loads(text) if text else {} for text in batch.column("metadata"))
    return [one if isinstance(one, dict) else {} for one in parsed]


def field_of(metadata: dict[str, Any], path: str) -> Any:
    """A field of the metadata by dotted path; None where there is none."""
    value: Any = metadata
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def values_of(batch: DocBatch, by: str) -> list[str]:
    """The value of the field `by` of each document, as it will stand in the name of its dataset."""
    if by == "source":
        values: list[Any] = batch.column("source")
    else:
        values = [field_of(metadata, by) for metadata in metadata_of(batch)]
    return [file_name(_text(value)) for value in values]


def _text(value: Any) -> str:
    if value is None or value == "":
        return UNKNOWN
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def file_name(value: str) -> str:
    """A value as part of a file name: other characters than letters, digits, _ and . become _, and a hash keeps values apart."""
    safe = re.sub(r"[^A-Za-z0-9_.]", "_", value)[:48]
    if safe == value:
        return value
    return f"{safe}_{hashlib.blake2b(value.encode(), digest_size=4).hexdigest()}"


def group_hash(name: str) -> int:
    """64 bits that stand for a dataset's name in records."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
