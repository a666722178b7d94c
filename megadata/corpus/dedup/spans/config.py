"""Configuration of the removal of repeated spans."""

from __future__ import annotations

from typing import Any, Literal

from megadata.config import configclass
from megadata.documents.source import ReadOptions
from megadata.errors import ConfigError
from megadata.runtime.shards import SHARD_BYTES
from megadata.runtime.units import UNIT_BYTES

Mode = Literal["lines", "paragraphs", "sentences"]

DEFAULTS: dict[str, dict[str, Any]] = {
    "lines": {"more_than": 6, "window": 1, "keep_first": False, "count": "documents"},
    "paragraphs": {"more_than": 1, "window": 1, "keep_first": True, "count": "occurrences"},
    "sentences": {"more_than": 1, "window": 3, "keep_first": True, "count": "occurrences"},
}
"""What each mode does unless told otherwise.

Lines: as Llama 3 (arXiv:2407.21783, 3.1.1) drops those that appear more than six times. Paragraphs: as CCNet (Wenzek et al.
2020, arXiv:1911.00359, 3.1) keeps one of each. Sentences: as C4 (Raffel et al. 2020, JMLR 21(140), 2.2) keeps one of each
span of three."""

_MOST_WINDOW = 100


@configclass
class SpanConfig:
    """Which spans repeat too often, and what becomes of them."""

    mode: Mode = "lines"
    """What spans are: lines, paragraphs (parted by blank lines) or sentences."""
    more_than: int = 6
    """How often a span may occur before it is removed."""
    window: int = 1
    """Spans in a row that are compared, and removed, together. Blank ones are passed over."""
    keep_first: bool = False
    """Whether the first occurrence stays: that of the document whose source is preferred, then of the least hash of its id."""
    count: Literal["documents", "occurrences"] = "documents"
    """Whether a span that is repeated inside a document counts once."""
    shortest: int = 0
    """Bytes, blanks not counted, under which spans are left alone."""
    prefer: tuple[str, ...] = ()
    """Sources in order of preference, for `keep_first`."""
    removed: Literal["text", "ids", "none"] = "text"
    """What is kept of removed spans and documents."""
    form: Literal["jsonl.zst", "parquet"] = "jsonl.zst"
    """File format of the shards."""
    read: ReadOptions = ReadOptions()
    """How inputs are read."""
    unit_bytes: int = UNIT_BYTES
    """Bytes of input a unit of work holds."""
    shard_bytes: int = SHARD_BYTES
    """Decoded bytes a shard holds."""

    def __post_init__(self) -> None:
        if self.more_than < 1:
            raise ConfigError(f"dedup --mode {self.mode}: more_than must be at least 1, got {self.more_than}")
        if not 1 <= self.window <= _MOST_WINDOW:
            raise ConfigError(f"dedup --mode {self.mode}: window must be from 1 to {_MOST_WINDOW}, got {self.window}")
        if self.shortest < 0:
            raise ConfigError(f"dedup --mode {self.mode}: shortest must be at least 0, got {self.shortest}")
        if len(set(self.prefer)) < len(self.prefer):
            raise ConfigError(
                f"dedup --mode {self.mode}: prefer must name each source once, got {','.join(self.prefer)}"
            )
