"""`language` and `languages`: identify the language of documents, and keep those in the languages asked for.

The model is the one inside the wheel of py3langid (140 languages, naive Bayes over byte n-grams); nothing is fetched. It is
loaded when the first document is identified, which takes about a second. Long documents are judged by three samples.
"""

from __future__ import annotations

import functools
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
import orjson

from megadata.config import configclass, nearest
from megadata.corpus.step import Decision, Verdict
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError

UNDETERMINED = "und"
"""Label of documents without any text to go by (ISO 639-2)."""

SAMPLE_BYTES = 800
"""Bytes of each sample; documents of up to three times as many are read whole."""


@functools.cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@functools.cache
def known_languages() -> tuple[str, ...]:
    """Codes the model can answer: ISO 639-1 where there is one, else ISO 639-3."""
    return tuple(_identifier().labels)


def _sample(text: bytes) -> str:
    """The beginning, middle and end of a long text, each of whole characters."""
    if len(text) <= 3 * SAMPLE_BYTES:
        return text.decode()
    middle = (len(text) - SAMPLE_BYTES) // 2
    pieces = (text[:SAMPLE_BYTES], text[middle : middle + SAMPLE_BYTES], text[-SAMPLE_BYTES:])
    return "\n".join(piece.decode(errors="ignore") for piece in pieces)


def identify(text: bytes) -> tuple[str, float]:
    """Language of a UTF-8 text and how sure the model is of it, from 0 to 1 (three decimals)."""
    sample = _sample(text)
    if not any(map(str.isalpha, sample)):
        return UNDETERMINED, 0.0
    label, score = _identifier().classify(sample)
    return label, round(float(score), 3)


def _answers(docs: DocBatch) -> list[tuple[str, float]]:
    data, offsets = memoryview(docs.text.data), docs.offsets.tolist()
    return [identify(bytes(data[offsets[d] : offsets[d + 1]])) for d in range(len(docs))]


def _libraries() -> tuple[str, ...]:
    return (f"py3langid {version('py3langid')}",)


@configclass
class Language:
    """Write each document's language and the score of it to its metadata, as `language` and `language_score`."""

    name: ClassVar[str] = "language"
    version: ClassVar[int] = 1

    @property
    def libraries(self) -> tuple[str, ...]:
        """The model's package."""
        return _libraries()

    def map(self, docs: DocBatch) -> DocBatch:
        """The documents with language and score in their metadata."""
        columns: list[str | None] = []
        for metadata, (label, score) in zip(docs.column("metadata"), _answers(docs), strict=True):
            known = orjson.loads(metadata) if metadata else {}
            columns.append(orjson.dumps({**known, "language": label, "language_score": score}).decode())
        return docs.replace(metadata=columns)


@configclass
class Languages:
    """Keep documents in the given languages; uses what the step `language` wrote, or identifies them itself."""

    keep: tuple[str, ...]
    """Codes of the languages to keep, for example ``en``; all of them when empty."""
    min_score: float = 0.5
    """Least score of the language found."""

    name: ClassVar[str] = "languages"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for code in self.keep:
            if code not in known_languages():
                raise ConfigError(f"languages.keep: unknown language {code!r}{nearest(code, known_languages())}")
        if not 0 <= self.min_score <= 1:
            raise ConfigError(f"languages.min_score: expected 0 to 1, found {self.min_score}")

    @property
    def libraries(self) -> tuple[str, ...]:
        """The model's package."""
        return _libraries()

    def judge(self, docs: DocBatch) -> Verdict:
        """Decisions `other_language` and `unsure`; the value of both is the score."""
        answers = self._tags(docs) or _answers(docs)
        scores = np.array([score for _, score in answers], np.float64)
        other = np.array([bool(self.keep) and label not in self.keep for label, _ in answers], np.bool_)
        return {
            "other_language": Decision(other, scores, f"not {', '.join(self.keep)}"),
            "unsure": Decision(scores < self.min_score, scores, f"< {self.min_score:g}", None, self.min_score, True),
        }

    def _tags(self, docs: DocBatch) -> list[tuple[str, float]] | None:
        """What `language` wrote; None when any document lacks it."""
        found: list[tuple[str, float]] = []
        for metadata in docs.column("metadata"):
            known = orjson.loads(metadata) if metadata else {}
            if "language" not in known or "language_score" not in known:
                return None
            found.append((str(known["language"]), float(known["language_score"])))
        return found
