"""PREFIX.meta.json: what a .bin/.idx pair cannot say about itself.

Other readers ignore it. It holds counts, the type and special ids of the vocabulary, the tokenizer's hash, which tokens begin a
word, and a digest for each 64 MiB of .bin, so that damage can be named to the block. It ends with a digest of its own fields.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from megadata import formats
from megadata.errors import CorpusError, IndexFormatError
from megadata.indexed.files import open_sidecar
from megadata.indexed.format import meta_path

BLOCK_BYTES = 64 << 20
"""Bytes of .bin under one digest."""

Level = Literal["document", "sentence"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Meta:
    """The sidecar of an indexed dataset. Writers fill in the counts, the type, the digests and the fingerprint themselves."""

    tokens: int = 0
    """Tokens in .bin."""
    sequences: int = 0
    """Sequences: documents, or sentences of them."""
    documents: int = 0
    """Documents."""
    dtype: str = ""
    """Name of the token type, ``uint16`` or ``int32``."""
    vocabulary_size: int | None = None
    """Entries of the vocabulary; ids are below it."""
    eod: int | None = None
    """Id that ends a document."""
    appended_eod: bool = False
    """Whether every document that has tokens ends with `eod`."""
    special_tokens: Mapping[str, int] = field(default_factory=dict)
    """Ids by role, where they exist: bos, eod, cls, sep, mask, pad, unk."""
    tokenizer_sha256: str | None = None
    """SHA-256 of the tokenizer's file."""
    tokenizer_path: str | None = None
    """The tokenizer's file, relative to the folder of this sidecar."""
    word_start: str | None = None
    """Base64 of one bit a vocabulary entry: does this token begin a word (`pack_bits`)?"""
    blocks: tuple[str, ...] = ()
    """SHA-256 of each 64 MiB of .bin."""
    bin_sha256: str | None = None
    """SHA-256 of the list of block digests (`digest_of_blocks`)."""
    idx_sha256: str | None = None
    """SHA-256 of .idx."""
    docs_sha256: str | None = None
    """SHA-256 of .docs.parquet, where there is one."""
    fingerprint: str | None = None
    """What keys the order of samples (`IndexedDataset.fingerprint`), kept so that it need not be computed."""
    shuffled: bool = False
    """Whether the documents lie in shuffled order."""
    seed: int | None = None
    """Seed of the shuffle."""
    level: Level = "document"
    """What one sequence is."""
    pack: int | None = None
    """Tokens of a row, where documents were packed into rows of one length: each row is a document of one sequence."""
    padding: int | None = None
    """Id that fills the rest of rows."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The configuration of the step that wrote the dataset."""
    identity: str | None = None
    """Identity of the step that wrote the dataset."""

    def word_starts(self) -> NDArray[np.bool_] | None:
        """Which tokens begin a word, shape (vocabulary_size,); None where the sidecar does not know."""
        if self.word_start is None or self.vocabulary_size is None:
            return None
        return unpack_bits(self.word_start, self.vocabulary_size)


def pack_bits(mask: NDArray[np.bool_]) -> str:
    """Base64 of a bit a entry, lowest entry in the highest bit of the first byte."""
    return base64.b64encode(np.packbits(np.asarray(mask, np.bool_)).tobytes()).decode("ascii")


def unpack_bits(text: str, entries: int) -> NDArray[np.bool_]:
    """The first `entries` bits of what `pack_bits` wrote."""
    raw = np.frombuffer(base64.b64decode(text), np.uint8)
    return np.unpackbits(raw, count=entries).astype(np.bool_)


def digest_of_blocks(blocks: tuple[str, ...] | list[str]) -> str:
    """SHA-256 over the digests of all blocks, 32 bytes each."""
    return sha256(b"".join(bytes.fromhex(block) for block in blocks)).hexdigest()


def meta_temporary(prefix: str | Path) -> Path:
    """Where the sidecar of PREFIX is written before it is complete; while it is there, so is a dataset of ours under way."""
    path = meta_path(prefix)
    return path.with_name(path.name + ".tmp")


def write_meta(prefix: str | Path, meta: Meta) -> Path:
    """Write PREFIX.meta.json under a temporary name, flush it to disk, and rename it."""
    path = meta_path(prefix)
    content = formats.stamp("indexed", {**dataclasses.asdict(meta), "blocks": list(meta.blocks)})
    content["sha256"] = _digest(content)
    temporary = meta_temporary(prefix)
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return path


def read_meta(prefix: str | Path) -> Meta | None:
    """The sidecar of PREFIX, or None where there is none.

    Raises
    ------
    IndexFormatError
        If it is there but damaged, of another kind, or of a newer version.
    """
    path = f"{prefix}.meta.json"
    try:
        file = open_sidecar(path)
    except (OSError, CorpusError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise IndexFormatError(f"{path}: cannot be read: {said}; check the file's rights") from error
    if file is None:
        return None
    try:
        told = json.loads(file.read(0, file.size))
        content = formats.check("indexed", told, path)
    except CorpusError as error:
        raise IndexFormatError(str(error)) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"is not JSON: {error}") from error
    meta = _parse(content, path)
    if told["version"] > 1 and told.get("sha256") != _digest(told):
        raise _damaged(path, "is not what was written: its own digest does not fit")
    return meta


def _digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of a sidecar's fields, however they are laid out."""
    fields = {name: value for name, value in content.items() if name != "sha256"}
    return sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _damaged(path: str, what: str) -> IndexFormatError:
    return IndexFormatError(f"{path}: {what}; write the sidecar again with `megadata verify --write-meta`")


_INTEGERS = ("tokens", "sequences", "documents")
_OPTIONAL_COUNTS = ("vocabulary_size", "eod", "pack", "padding")
_OPTIONAL_STRINGS = (
    "tokenizer_sha256",
    "tokenizer_path",
    "word_start",
    "bin_sha256",
    "idx_sha256",
    "docs_sha256",
    "fingerprint",
    "identity",
)
_BOOLEANS = ("appended_eod", "shuffled")


def _integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_digest(value: object) -> bool:
    if not isinstance(value, str) or len(value) != 64:
        return False
    try:
        return len(bytes.fromhex(value)) == 32
    except ValueError:
        return False


_FIELDS = frozenset(f.name for f in dataclasses.fields(Meta))
_CHECKS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(_INTEGERS, lambda v: _integer(v) and v >= 0),
    **dict.fromkeys(_OPTIONAL_COUNTS, lambda v: v is None or (_integer(v) and v >= 0)),
    "seed": lambda v: v is None or _integer(v),
    **dict.fromkeys(_OPTIONAL_STRINGS, lambda v: v is None or isinstance(v, str)),
    **dict.fromkeys(_BOOLEANS, lambda v: isinstance(v, bool)),
    "dtype": lambda v: isinstance(v, str),
    "level": lambda v: v in ("document", "sentence"),
    "config": lambda v: isinstance(v, dict),
    "special_tokens": lambda v: isinstance(v, dict) and all(_integer(token) for token in v.values()),
    "blocks": lambda v: isinstance(v, list) and all(_is_digest(block) for block in v),
}


def _parse(content: dict[str, Any], path: str) -> Meta:
    """Check every field's type: the file may have been edited or damaged."""
    values = {key: value for key, value in content.items() if key in _FIELDS}
    for name, good in _CHECKS.items():
        if name in values and not good(values[name]):
            raise _damaged(path, f"field {name!r} holds {values[name]!r:.60}, which is not what belongs there")
    missing = [name for name in (*_INTEGERS, "dtype") if name not in values]
    if missing:
        raise _damaged(path, f"field {missing[0]!r} is missing")
    if values.get("word_start") is not None:
        try:
            enough = len(base64.b64decode(values["word_start"], validate=True)) * 8 >= (
                values.get("vocabulary_size") or 0
            )
        except (binascii.Error, ValueError) as error:
            raise _damaged(path, f"field 'word_start' is not base64: {error}") from error
        if not enough:
            raise _damaged(path, "field 'word_start' holds fewer bits than the vocabulary has entries")
    return Meta(**{**values, "blocks": tuple(values.get("blocks", ()))})
