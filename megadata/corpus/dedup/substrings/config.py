"""Configuration of the removal of repeated substrings."""

from __future__ import annotations

from typing import Literal

from megadata.config import configclass
from megadata.documents.source import ReadOptions
from megadata.errors import ConfigError
from megadata.runtime.shards import SHARD_BYTES
from megadata.runtime.units import UNIT_BYTES

_SHORTEST, _LONGEST = 8, 10_000


@configclass
class SubstringConfig:
    """How long a repeated string of bytes must be, and where the text is cut."""

    length: int = 100
    """Bytes of UTF-8 that a string must have to be removed where it occurs again."""
    cut: Literal["sentences", "lines", "characters"] = "sentences"
    """What is removed whole or not at all: sentences (which end at the ends of lines too), lines, or characters."""
    prefer: tuple[str, ...] = ()
    """Sources in order of preference: the first occurrence, which stays, is that of the best."""
    removed: Literal["text", "ids", "none"] = "text"
    """What is kept of removed text."""
    form: Literal["jsonl.zst", "parquet"] = "jsonl.zst"
    """File format of the shards."""
    read: ReadOptions = ReadOptions()
    """How inputs are read."""
    unit_bytes: int = UNIT_BYTES
    """Bytes of input a unit of work holds."""
    shard_bytes: int = SHARD_BYTES
    """Decoded bytes a shard holds."""

    def __post_init__(self) -> None:
        where = "dedup --mode substrings"
        if not _SHORTEST <= self.length <= _LONGEST:
            raise ConfigError(f"{where}: length must be from {_SHORTEST} to {_LONGEST:,} bytes, got {self.length}")
        if len(set(self.prefer)) < len(self.prefer):
            raise ConfigError(f"{where}: prefer must name each source once, got {','.join(self.prefer)}")

    @property
    def gram(self) -> int:
        """Bytes of the grams by which strings are looked for: shorter ones repeat by chance, longer ones are more work."""
        return self.length // 2
