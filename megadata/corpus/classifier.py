"""A quality model: the weights of hashed word n-grams by which a document resembles a good pile of text more than a bad one.

The file is one line of JSON (its kind and version, how words are cut and hashed, what it was trained on, how well it does on
documents that were held out) and behind it the buckets that have a weight, uint32, rising, and their weights, float32.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson

from megadata import formats
from megadata.corpus.logistic import LOGS
from megadata.corpus.quantities import Cuts, Measured
from megadata.documents.batch import DocBatch
from megadata.errors import CorpusError
from megadata.kernels import linear
from megadata.kernels.base import F32, F64, I64, U32
from megadata.runtime.files import atomic_write

KIND = "quality_model"
CUTTING: Literal["unicode"] = "unicode"
_HEADER_BYTES = 1 << 20
_PROBE = "It's 3.14 o'clock – naïve ΑΒΓ\u0301 привет 日本語 ไทย नमस्ते ٣٫٥, snake_case; U.S.A. £9,999 🙂 x²"
_MOST_MARGIN = 500.0


@dataclass(frozen=True)
class QualityModel:
    """A trained classifier; `header` is the first line of its file."""

    header: dict[str, Any]
    buckets: U32
    """Rising; n-grams of all other buckets weigh nothing, and only make a document's row longer."""
    weights: F32

    @property
    def digest(self) -> str:
        """By what its answers follow."""
        told = [self.header[name] for name in ("words", "ngrams", "bits", "bias", "sha256")]
        return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]

    @cached_property
    def _table(self) -> F32:
        table = np.zeros(1 << self.header["bits"], np.float32)
        table[self.buckets] = self.weights
        return table

    def score(self, docs: DocBatch) -> F64:
        """float64[D]: how likely each document is from the good pile, if both were equally likely; NaN where it has no words."""
        features, bounds = features_of(docs, self.header["ngrams"], self.header["bits"])
        scales, sums = np.empty(len(docs)), np.empty(len(docs))
        linear.scale(features, bounds, LOGS, scales)
        linear.margins(features, bounds, LOGS, scales, self._table, sums)
        return np.where(scales > 0, probability(sums + self.header["bias"]), np.nan)

    def save(self, path: Path) -> None:
        """Write the model's file."""
        body = self.buckets.astype("<u4").tobytes() + self.weights.astype("<f4").tobytes()
        header = {**self.header, "features": self.buckets.size, "sha256": hashlib.sha256(body).hexdigest()}
        with atomic_write(path) as file:
            file.write(orjson.dumps(formats.stamp(KIND, header)) + b"\n" + body)


def load_model(path: Path) -> QualityModel:
    """Read a model's file.

    Raises
    ------
    CorpusError
        When it cannot be read, is no model, is damaged, is of a newer version, or cuts or hashes words in another way.
    """
    try:
        with path.open("rb") as file:
            line = file.readline(_HEADER_BYTES)
            body = file.read()
    except OSError as error:
        raise CorpusError(f"{path}: the quality model cannot be read: {error.strerror}; check the path") from error
    try:
        content = orjson.loads(line)
    except ValueError:
        content = None
    if content is None:
        raise CorpusError(
            f"{path}: expected a quality model, as `megadata clean --train-quality` writes it, found something else"
        )
    header = formats.check(KIND, content, path)
    if hashlib.sha256(body).hexdigest() != header.get("sha256") or len(body) != 8 * header["features"]:
        raise CorpusError(
            f"{path}: the quality model is damaged: its weights are not those it was written with; train it again"
        )
    if header["words"] != words_identity():
        raise CorpusError(
            f"{path}: expected words cut and hashed as when the model was trained, found another way in this megadata; "
            "train it again"
        )
    half = len(body) // 2
    return QualityModel(header, np.frombuffer(body[:half], "<u4"), np.frombuffer(body[half:], "<f4"))


def features_of(docs: DocBatch, longest: int, bits: int) -> tuple[U32, I64]:
    """Features of the documents' n-grams, and where each document's begin."""
    words = Measured(docs, Cuts(words=CUTTING)).cut_words
    out = np.empty(longest * words.hashes.size, np.uint32)
    bounds = np.empty(len(docs) + 1, np.int64)
    count = linear.count_ngrams(words.hashes, words.bounds, longest, np.zeros(1 << bits, np.uint8), out, bounds)
    return out[:count], bounds


def probability(margins: F64) -> F64:
    """Logistic function."""
    return np.asarray(1 / (1 + np.exp(-np.clip(margins, -_MOST_MARGIN, _MOST_MARGIN))))


@functools.cache
def words_identity() -> dict[str, str]:
    """How words are cut, and a digest of the features of a probe: models are of use only where both are the same."""
    features, _ = features_of(DocBatch.of(["probe"], [_PROBE]), 2, linear.MOST_BITS)
    return {"cut": CUTTING, "probe": hashlib.sha256(features.astype("<u4").tobytes()).hexdigest()[:16]}
