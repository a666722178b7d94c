"""Configuration of deduplication."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from megadata.config import configclass
from megadata.corpus.dedup import curve
from megadata.documents.source import ReadOptions
from megadata.errors import ConfigError
from megadata.runtime.shards import SHARD_BYTES
from megadata.runtime.units import UNIT_BYTES

_BOUNDS = {"width": 1000, "remembered": 1 << 20}


@configclass
class MinHashConfig:
    """How alike two documents must be to count as copies, and how surely copies are found."""

    threshold: float = 0.8
    """Least similarity of the shingle sets at which a document is removed."""
    recall: float = 0.9
    """Wanted chance to find a pair that is exactly at the threshold; bands and rows follow from it."""
    measure: Literal["jaccard", "containment"] = "jaccard"
    """`jaccard`: intersection over union; `containment`: intersection over the set of the document that may be removed."""
    shingle: Literal["words", "characters"] = "words"
    """What windows are made of; characters of scripts without spaces count as words."""
    width: int = 5
    """Words or characters in a window. With characters, windows under 20 make unrelated texts look alike."""
    bands: int | None = None
    """Bands of the signature. None, together with `rows`: chosen from `threshold` and `recall`."""
    rows: int | None = None
    """Hashes that must all agree inside one band."""
    seed: int = 1
    """Seed of the permutations, as datasketch uses it."""
    remembered: int = 128
    """Kept documents that each band value remembers; later ones remove nothing through it, and are counted as saturated."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"dedup: threshold must be more than 0 and at most 1, got {self.threshold}")
        if not 0 < self.recall < 1:
            raise ConfigError(f"dedup: recall must be more than 0 and less than 1, got {self.recall}")
        for name, most in _BOUNDS.items():
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"dedup: {name} must be from 1 to {most}, got {getattr(self, name)}")
        if not 0 <= self.seed < 1 << 32:
            raise ConfigError(f"dedup: seed must be from 0 to 2**32 - 1, got {self.seed}")
        if (self.bands is None) != (self.rows is None):
            raise ConfigError("dedup: bands and rows must be given together, got only one of them")
        if self.bands is not None and self.rows is not None and not self._fits(self.bands, self.rows):
            raise ConfigError(
                f"dedup: bands and rows must be at least 1 and have at most {curve.MOST} hashes together, "
                f"got {self.bands} x {self.rows}"
            )
        curve.choose(self.threshold, self.recall)

    @staticmethod
    def _fits(bands: int, rows: int) -> bool:
        return bands >= 1 and rows >= 1 and bands * rows <= curve.MOST

    @property
    def shape(self) -> tuple[int, int]:
        """Bands and rows in use."""
        if self.bands is not None and self.rows is not None:
            return self.bands, self.rows
        return curve.choose(self.threshold, self.recall)

    @property
    def ratio(self) -> tuple[int, int]:
        """The threshold as written in decimals, as a fraction, so that comparisons are exact."""
        exact = Fraction(repr(self.threshold)).limit_denominator(1_000_000)
        return exact.numerator, exact.denominator

    def probability(self, similarity: float) -> float:
        """Chance that a pair of this Jaccard similarity is found."""
        return curve.expected_recall(similarity, *self.shape)

    def curve(self) -> list[tuple[float, float]]:
        """(similarity, chance to be found) at several similarities."""
        return curve.curve(*self.shape)

    def table(self) -> str:
        """The S-curve as lines for people."""
        return curve.table(self.threshold, *self.shape)


@configclass
class DedupConfig(MinHashConfig):
    """Which documents are copies, which of the copies stays, and how the result is written."""

    exact_only: bool = False
    """Remove only documents whose normalised texts are equal."""
    prefer: tuple[str, ...] = ()
    """Sources in order of preference (names of inputs, or the documents' own `source`); those not listed come last."""
    quality: str = "quality"
    """Field of the metadata (nested: a dotted path) with a score; of documents of one length the best stays."""
    quality_first: bool = False
    """Whether the better document stays even where it is the shorter one."""
    index_with_sets: bool = False
    """Whether a saved index holds the shingle sets themselves, so that it needs no shards to verify with."""
    estimate: bool = False
    """Whether documents may be removed by an estimate where neither shards nor sets of an index can be read."""
    removed: Literal["text", "ids", "none"] = "text"
    """What is kept of removed documents."""
    form: Literal["jsonl.zst", "parquet"] = "jsonl.zst"
    """File format of the shards."""
    read: ReadOptions = ReadOptions()
    """How inputs are read."""
    unit_bytes: int = UNIT_BYTES
    """Bytes of input a unit of work holds."""
    shard_bytes: int = SHARD_BYTES
    """Decoded bytes a shard holds."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.prefer)) < len(self.prefer):
            raise ConfigError(f"dedup: prefer must name each source once, got {','.join(self.prefer)}")
