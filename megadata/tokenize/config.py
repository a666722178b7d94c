"""What `tokenize` is told: how documents are parted, ordered and stored."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Literal

from megadata.config import configclass
from megadata.errors import ConfigError
from megadata.tokenize.repeat import parse_repeat

MAX_PACK = 1 << 22
"""Tokens of a row; longer ones would not fit the memory that packing is given."""
_COUNTS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12}


@configclass
class TokenizeConfig:
    """How documents become indexed datasets.

    With `by`, each value of that field has a dataset of its own, ``PREFIX-VALUE``; with `split`, each split, ``PREFIX-SPLIT``
    (``PREFIX-VALUE-SPLIT`` with both); with `max_tokens_per_file` each is cut into ``...-00000``, ``...-00001`` and so on.
    """

    by: str | None = None
    """Field whose values are kept apart: ``source``, or one of the metadata by dotted path (``language``). Documents without it
    go to ``unknown``."""
    split: Mapping[str, float] | None = None
    """Share of the documents in each split. A document's split follows from a hash of its id alone."""
    eod: bool = True
    """Whether the end-of-document token follows the last token of each document that has tokens."""
    parse_special: bool = False
    """Whether special tokens written out in documents (``<|endoftext|>``) are given their ids; else they are text."""
    sentences: bool = False
    """Whether a sequence is a sentence (for BERT) instead of a document."""
    shuffle: bool = True
    """Whether documents lie in the order of a keyed hash of their ids, or in that of the input."""
    seed: int = 0
    """Key of the shuffle."""
    dtype: Literal["auto", "uint16", "int32", "megatron"] = "auto"
    """Type of a stored token: uint16 up to 65,536 entries (auto) or below 65,500 (megatron), else int32; or as named."""
    max_tokens_per_file: int | None = None
    """Tokens after which a new file begins; a longer document has a file of its own."""
    repeat: str | None = None
    """How often documents are written, by a field of their metadata: ``cluster_size=1:1,2-4:2,5-:3``. Copies lie apart from each
    other where documents are shuffled; a document that the table does not name is written once."""
    pack: int | None = None
    """Tokens of a row into which documents are packed, best fit first; only documents longer than a row are cut."""

    def __post_init__(self) -> None:
        if self.repeat is not None:
            parse_repeat(self.repeat)
        if self.pack is not None:
            self._check_pack(self.pack)
        if self.max_tokens_per_file is not None and self.max_tokens_per_file < 1:
            raise ConfigError(f"tokenize: max_tokens_per_file must be at least 1, got {self.max_tokens_per_file}")
        if self.by is not None and (not self.by or self.by in ("id", "text", "url")):
            raise ConfigError(f"tokenize: by must name the source or a field of the metadata, got {self.by!r}")
        if self.split is not None:
            _check_split(self.split)

    def _check_pack(self, length: int) -> None:
        if not 2 <= length <= MAX_PACK:
            raise ConfigError(f"tokenize: pack must be 2 to {MAX_PACK} tokens, got {length}")
        if self.sentences:
            raise ConfigError(
                "tokenize: pack makes rows for GPT and sentences sequences for BERT; leave one of them out"
            )
        if self.max_tokens_per_file is not None and self.max_tokens_per_file < length:
            raise ConfigError(
                f"tokenize: max_tokens_per_file must hold a row of {length} tokens, got {self.max_tokens_per_file}"
            )

    @property
    def thresholds(self) -> list[tuple[str, int]]:
        """(split, end) in order: a document belongs to the first split whose end lies above the 64-bit hash of its id."""
        shares = {name: _exact(share) for name, share in (self.split or {}).items()}
        ends: list[tuple[str, int]] = []
        total = Fraction(0)
        for name, share in shares.items():
            total += share
            ends.append((name, int(total * 2**64)))
        return [*ends[:-1], (ends[-1][0], 2**64)] if ends else []


def _exact(share: float) -> Fraction:
    """The decimal fraction the user wrote, free of binary rounding."""
    return Fraction(repr(share))


def _check_split(split: Mapping[str, float]) -> None:
    shares = [_exact(share) for share in split.values()]
    total = sum(shares)
    if not split or any(share <= 0 for share in shares) or total != 1:
        written = ",".join(f"{name}={share:g}" for name, share in split.items())
        raise ConfigError(
            f"--split {written}: expected shares above 0 that add up to 1, found {float(total):g}; "
            "for example train=.98,validation=.02"
        )
    for name in split:
        if not name or not all(c.isascii() and (c.isalnum() or c in "_.") for c in name):
            raise ConfigError(f"--split {name!r}: expected a name of letters, digits, _ and .")


def parse_split(text: str) -> dict[str, float]:
    """``train=.98,validation=.02`` as shares by name."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, equals, share = part.strip().partition("=")
        try:
            value = float(share)
        except ValueError:
            value = float("nan")
        if not equals or value != value or name in shares:
            raise ConfigError(f"--split {text!r}: expected NAME=SHARE,..., for example train=.98,validation=.02")
        shares[name] = value
    _check_split(shares)
    return shares


def parse_count(text: str) -> int:
    """Tokens in ``10B``, ``500M`` or ``1000``; suffixes are powers of 1,000."""
    cleaned = text.strip().upper()
    suffix = cleaned[-1:] if cleaned[-1:] in _COUNTS else ""
    try:
        count = int(Fraction(cleaned.removesuffix(suffix)) * _COUNTS[suffix])
    except (ValueError, ZeroDivisionError):
        count = 0
    if count < 1:
        raise ConfigError(f"count {text!r}: expected a number with K, M, B or T, for example 10B")
    return count
