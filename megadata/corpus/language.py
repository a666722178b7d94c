"""`language` and `languages`: identify the language of documents, and keep those in the languages asked for.

The model is the one inside the wheel of py3langid (140 languages, naive Bayes over n-grams of bytes that an automaton finds);
nothing is fetched. Kernels walk its automaton and add its weights over flat buffers; labels and scores are those of py3langid. It
is loaded when the first document is identified, which takes about a second. Long documents are judged by three samples.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import ClassVar

import numpy as np
import orjson

from megadata.config import configclass, nearest
from megadata.corpus.characters import UNICODE
from megadata.corpus.step import Decision, Verdict
from megadata.documents.batch import DocBatch
from megadata.errors import ConfigError
from megadata.kernels import language as kernels
from megadata.kernels.base import F64, I16, I32, I64, U8, U16, U32

UNDETERMINED = "und"
"""Label of documents without any text to go by (ISO 639-2)."""

SAMPLE_BYTES = 1600
"""Bytes of each sample; documents of up to three times as many are read whole."""

_TOGETHER = 1 << 20
"""Bytes of samples that are read at a time, which bounds the memory that features take."""

_UNIT = 1 / 512
"""What the model's weights are whole multiples of."""

_WIDTH = 32
"""Weights of a feature are padded to a multiple of this many numbers, a whole number of vector registers."""

_CODES = (
    "ara=ar ces=cs cmn=zh cze=cs chi=zh dan=da deu=de dut=nl ell=el eng=en fas=fa fil=tl fin=fi fra=fr fre=fr ger=de "
    "heb=he hin=hi hun=hu ind=id ita=it iw=he jpn=ja jw=jv kor=ko nb=no nld=nl nob=no nor=no per=fa pol=pl por=pt "
    "ron=ro rum=ro rus=ru spa=es swe=sv tha=th tur=tr ukr=uk urd=ur vie=vi zho=zh "
)
_OTHER_CODES = dict(pair.split("=") for pair in _CODES.split())
"""Codes that people write -> the model's."""


@dataclass(frozen=True)
class _Model:
    """What kernels are given: ``following[row[t], byte]`` and ``feature[t]`` of a state, weights[F, L]; the rest of classes."""

    labels: tuple[str, ...]
    following: U32
    row: U16
    feature: I32
    weights: I16
    prior: F64
    same: I64


@functools.cache
def _model() -> _Model:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    read = LanguageIdentifier.from_model_file(MODEL_FILE)
    weights = np.asarray(read.nb_ptc)
    steps = np.rint(np.asarray(weights, np.float32) / np.float32(_UNIT))
    if len(read.tk_row) != len(read.tk_output) or not np.array_equal(steps * np.float32(_UNIT), weights):
        raise ConfigError(
            f"py3langid {version('py3langid')}: its model has another form than that of version 0.4; install that one"
        )
    padded = np.zeros((len(steps), -(-steps.shape[1] // _WIDTH) * _WIDTH), np.int16)
    padded[:, : steps.shape[1]] = steps
    labels: list[str] = read.nb_classes
    return _Model(
        labels=tuple(labels),
        following=np.array(read.tk_nextmove, np.uint32).reshape(-1, 256),
        row=np.array(read.tk_row, np.uint16),
        feature=np.array(read.tk_output, np.int32),
        weights=padded,
        prior=np.array(read.nb_pc, np.float64),
        same=np.array([labels.index(label) for label in labels], np.int64),
    )


@functools.cache
def known_languages() -> tuple[str, ...]:
    """Codes the model can answer: ISO 639-1 where there is one, else ISO 639-3."""
    return tuple(dict.fromkeys(_model().labels))


def _as_trained(sample: bytes) -> bytes:
    """A sample as the model was trained on text: in normal form C, capitals alone in lower case; nothing if it has no letter."""
    text = sample.decode()
    if not any(map(str.isalpha, text)):
        return b""
    if text.isupper():
        text = text.lower()
    elif unicodedata.is_normalized("NFC", text):
        return sample
    return unicodedata.normalize("NFC", text).encode()


def room_for_samples(sizes: I64, sample: int) -> int:
    """Most bytes that the samples of documents take: one byte above the whole, two line ends make more of it than it was."""
    return int(np.where(sizes <= 3 * sample, sizes, 3 * sample + 2).sum())


def _samples(text: U8, offsets: I64) -> tuple[U8, I64]:
    """What the model is asked about of each document, as flat text."""
    sizes = np.diff(offsets)
    out = np.empty(room_for_samples(sizes, SAMPLE_BYTES), np.uint8)
    borders = np.empty_like(offsets)
    how = np.empty(sizes.size, np.uint8)
    kernels.take_samples(text, offsets, SAMPLE_BYTES, out, borders, how)
    changed: dict[int, bytes] = {}
    data, places = out.data, borders.tolist()
    for d in np.flatnonzero(how != kernels.LOWER).tolist():
        sample = bytes(data[places[d] : places[d + 1]])
        trained = _as_trained(sample)
        if trained != sample:
            changed[d] = trained
    if changed:
        pieces = [changed[d] if d in changed else data[places[d] : places[d + 1]] for d in range(sizes.size)]
        out = np.frombuffer(b"".join(pieces), np.uint8)
        borders = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
    return out, borders


def _together(offsets: I64) -> Iterator[I64]:
    """The offsets of documents that are read at a time."""
    ends = np.cumsum(np.minimum(np.diff(offsets), 3 * SAMPLE_BYTES + 2))
    first = 0
    while first < ends.size:
        goal = _TOGETHER + (int(ends[first - 1]) if first else 0)
        last = max(first + 1, int(np.searchsorted(ends, goal, side="right")))
        yield offsets[first : last + 1]
        first = last


def identify_all(text: U8, offsets: I64) -> list[tuple[str, float]]:
    """Language of each document and how sure the model is of it, from 0 to 1 (three decimals).

    Parameters
    ----------
    text : uint8 array, valid UTF-8.
    offsets : int64 array, shape (D + 1,)
        Document d is text[offsets[d]:offsets[d + 1]].
    """
    model = _model()
    answers: list[tuple[str, float]] = []
    for some in _together(offsets):
        samples, borders = _samples(text, some)
        features = np.empty(samples.size, np.int32)
        best, share = np.empty(some.size - 1, np.int64), np.empty(some.size - 1, np.float64)
        kernels.find_features(samples, borders, model.following, model.row, model.feature, features)
        sizes = np.diff(borders)
        counted = np.log1p(np.arange(sizes.max() + 1, dtype=np.float64)) * _UNIT
        flat = 1 / np.sqrt(np.maximum(sizes, 1))
        kernels.classify(features, borders, model.weights, counted, model.prior, model.same, flat, best, share)
        for label, score in zip(best.tolist(), share.tolist(), strict=True):
            answers.append((model.labels[label], round(score, 3)) if label >= 0 else (UNDETERMINED, 0.0))
    return answers


def identify(text: bytes) -> tuple[str, float]:
    """Language of one UTF-8 text, and how sure the model is of it."""
    return identify_all(np.frombuffer(text, np.uint8), np.array([0, len(text)], np.int64))[0]


def _libraries() -> tuple[str, ...]:
    return f"py3langid {version('py3langid')}", UNICODE


@configclass
class Language:
    """Write each document's language and the score of it to its metadata, as `language` and `language_score`."""

    name: ClassVar[str] = "language"
    version: ClassVar[int] = 2

    @property
    def libraries(self) -> tuple[str, ...]:
        """The model's package, and the character data for normal form C."""
        return _libraries()

    def map(self, docs: DocBatch) -> DocBatch:
        """The documents with language and score in their metadata."""
        columns: list[str | None] = []
        for metadata, (label, score) in zip(
            docs.column("metadata"), identify_all(docs.text, docs.offsets), strict=True
        ):
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
    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        for code in self.keep:
            if code not in known_languages():
                other = _OTHER_CODES.get(code.lower().partition("-")[0])
                hint = f"; its code here is {other!r}" if other else nearest(code, known_languages())
                raise ConfigError(f"unknown language {code!r}{hint}")
        if not 0 <= self.min_score <= 1:
            raise ConfigError(f"min_score: expected 0 to 1, found {self.min_score}")

    @property
    def libraries(self) -> tuple[str, ...]:
        """The model's package, and the character data for normal form C."""
        return _libraries()

    def judge(self, docs: DocBatch) -> Verdict:
        """Decisions `other_language` and `unsure`; the value of both is the score."""
        return self.decide(self._tags(docs))

    def decide(self, answers: list[tuple[str, float]]) -> Verdict:
        """The decisions for documents of these languages and scores."""
        scores = np.array([score for _, score in answers], np.float64)
        other = np.array([bool(self.keep) and label not in self.keep for label, _ in answers], np.bool_)
        return {
            "other_language": Decision(other, scores, f"not {', '.join(self.keep)}"),
            "unsure": Decision(scores < self.min_score, scores, f"< {self.min_score:g}", None, self.min_score, True),
        }

    def _tags(self, docs: DocBatch) -> list[tuple[str, float]]:
        """What `language` wrote; what is identified now of documents without it."""
        found: list[tuple[str, float]] = []
        missing = np.zeros(len(docs), np.bool_)
        for at, metadata in enumerate(docs.column("metadata")):
            known = orjson.loads(metadata) if metadata else {}
            label, score = known.get("language"), known.get("language_score")
            if isinstance(label, str) and isinstance(score, (int, float)):
                found.append((label, float(score)))
            else:
                missing[at] = True
                found.append((UNDETERMINED, 0.0))
        if missing.any():
            others = docs.select(missing)
            answers = identify_all(others.text, others.offsets)
            for at, answer in zip(np.flatnonzero(missing).tolist(), answers, strict=True):
                found[at] = answer
        return found
