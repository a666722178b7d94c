"""`megadata clean --train-quality`: a quality model from two piles of text, judged on documents that it has not seen.

Units are read as always and leave the features of their documents in files, so that memory holds the weights and little else.
Then logistic regressions are fitted (`megadata.corpus.logistic`): some without a tenth of the documents each, which they judge,
and the model itself on all of them. What the former say of documents they have not seen makes the report, and turns the
model's margins into probabilities.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from megadata.config import configclass, to_dict
from megadata.corpus.classifier import QualityModel, features_of, probability, words_identity
from megadata.corpus.held_out import HeldOut, calibrate, judge_held_out
from megadata.corpus.logistic import LOGS, Rows, fit
from megadata.corpus.rules import RuleList
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import Inputs, plan, read_span
from megadata.documents.source import Problems, ReadOptions
from megadata.documents.unpack import unpack
from megadata.errors import ConfigError, CorpusError, OutputError
from megadata.kernels import hashing, linear
from megadata.kernels.base import F64, U64
from megadata.runtime.files import temporary_name
from megadata.runtime.settings import RunSettings
from megadata.runtime.step import unit_bytes
from megadata.runtime.units import UNIT_BYTES, Unit

FEWEST = 20
"""Documents that each pile must have."""
_SEED = np.uint64(0x7175616C697479)


@configclass
class QualityConfig:
    """What is counted of documents, and how it is weighed."""

    ngrams: int = 2
    """Words of the longest n-grams."""
    bits: int = 20
    """Logarithm of the number of buckets for n-grams."""
    min_documents: int = 2
    """Documents in which a bucket must occur to get a weight."""
    strength: float = 10.0
    """By how much the documents outweigh the penalty on large weights; less for piles that are small or not alike."""
    folds: int = 10
    """Parts into which documents fall by their digest; each is held out in turn, as long as `held_out` asks for more."""
    held_out: int = 2000
    """Documents of each pile that are enough to be held out."""
    unit_bytes: int = UNIT_BYTES
    """Bytes of input a unit of work holds."""

    def __post_init__(self) -> None:
        limits = {"ngrams": (1, 5), "bits": (10, linear.MOST_BITS), "min_documents": (1, 1 << 20), "folds": (2, 100)}
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise ConfigError(f"{name}: expected {least} to {most}, found {getattr(self, name)}")
        if not 0 < self.strength < float("inf"):
            raise ConfigError(f"strength: expected more than 0, found {self.strength}")


@dataclass(frozen=True, slots=True)
class Pile:
    """One of the two piles of text, as far as it was used."""

    documents: int
    bytes: int
    sha256: str
    """Over the digests of the documents' texts, in order."""
    wordless: int
    """Documents without words, which were left out."""
    repeated: int
    """Documents with the text of an earlier one, which were left out."""
    unreadable: int


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What a model was trained on, and how well it does."""

    output: Path
    piles: dict[str, Pile]
    both: int
    """Texts that both piles held and neither kept."""
    features: int
    held_out: HeldOut

    def plain(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {f.name: to_dict(getattr(self, f.name)) for f in fields(self)}


@dataclass(frozen=True, slots=True)
class Counted:
    """What a unit left."""

    path: Path
    documents: int
    features: int
    wordless: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class FeaturesTask:
    """Task of one unit: write the features of its documents, their scales, digests and sizes."""

    folder: Path
    config: QualityConfig
    rules: RuleList | None
    options: ReadOptions

    def __call__(self, unit: Unit) -> Counted:
        """Read one unit."""
        parts: list[tuple[Any, ...]] = []
        wordless = 0
        problems = Problems(self.options.max_set_aside)
        for span in unit.spans:
            for docs in read_span(span, self.options, problems):
                kept = docs if self.rules is None else self.rules.apply(docs).kept
                if len(kept):
                    parts.append(self._count(kept))
                    wordless += len(kept) - parts[-1][1].size
        columns = [np.concatenate(part) for part in zip(*parts, strict=True)] if parts else _NO_COLUMNS
        path = self.folder / f"{unit.ordinal:06d}.features"
        with path.open("wb") as file:
            for column in columns:
                np.save(file, column)
        unreadable = sum(n for reason, n in problems.counts.items() if not reason.startswith("skipped:"))
        return Counted(path, columns[1].size, columns[0].size, wordless, unreadable)

    def _count(self, docs: DocBatch) -> tuple[Any, ...]:
        features, bounds = features_of(docs, self.config.ngrams, self.config.bits)
        scales, digests = np.empty(len(docs)), np.empty(len(docs), np.uint64)
        linear.scale(features, bounds, LOGS, scales)
        hashing.hash_rows(docs.text, docs.offsets, _SEED, digests)
        worded = scales > 0
        return features, np.diff(bounds)[worded], scales[worded], digests[worded], docs.sizes[worded]


_NO_COLUMNS = [np.zeros(0, kind) for kind in (np.uint32, np.int64, np.float64, np.uint64, np.int64)]


def train_quality(
    good: Inputs,
    bad: Inputs,
    output: Path,
    config: QualityConfig,
    settings: RunSettings,
    options: ReadOptions | None = None,
    rules: RuleList | None = None,
) -> QualityReport:
    """Train a model that tells the documents of `good` from those of `bad`, and write it to `output`.

    The same documents and configuration give the same bytes, whatever the settings. Features lie in a folder beside `output`
    meanwhile, about a byte for each byte of text.

    Parameters
    ----------
    rules : applied first, and what they keep is used; documents are used as they are read by default.

    Raises
    ------
    CorpusError
        When a pile is empty or too small, or both hold the same documents.
    """
    output = Path(output)
    if output.is_dir():
        raise OutputError(
            f"{output}: expected the name of a file for the quality model, found a folder; name a file in it"
        )
    options = options or ReadOptions()
    folder = temporary_name(output)
    folder.mkdir(parents=True)
    try:
        counted = [
            _count(inputs, folder / name, config, settings, options, rules)
            for name, inputs in (("good", good), ("bad", bad))
        ]
        rows, piles, digests, both, buckets = _rows(counted, folder / "rows", config)
        settings.progress.note(
            f"training a quality model of {rows.known:,} features on {sum(p.documents for p in piles.values()):,} documents"
        )
        weights, held_out, slope, shift = _train(rows, digests, config)
        order = np.argsort(buckets)
        header = {
            "words": words_identity(),
            "ngrams": config.ngrams,
            "bits": config.bits,
            "bias": float(slope * weights[-1] + shift),
            "config": {k: v for k, v in to_dict(config).items() if k != "unit_bytes"},
            "rules": None if rules is None else rules.identity,
            "piles": {name: to_dict(pile) for name, pile in piles.items()},
            "held_out": held_out.plain(),
        }
        QualityModel(header, buckets[order], (slope * weights[:-1]).astype(np.float32)[order]).save(output)
        return QualityReport(output, piles, both, rows.known, held_out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _count(
    inputs: Inputs,
    folder: Path,
    config: QualityConfig,
    settings: RunSettings,
    options: ReadOptions,
    rules: RuleList | None,
) -> list[Counted]:
    """Leave the features of a pile's units in files."""
    folder.mkdir()
    task = FeaturesTask(folder, config, rules, options)
    found: dict[int, Counted] = {}
    with settings.executor() as executor:
        files = unpack(executor, inputs.files, folder / "unpacked", settings.progress, options, config.unit_bytes)
        units = plan(files, config.unit_bytes)
        with settings.progress.stage(f"read the {folder.name} pile", sum(map(unit_bytes, units))) as stage:
            for unit, counted in executor.run(task, units):
                found[unit.ordinal] = counted
                stage.advance(unit_bytes(unit), documents=counted.documents)
    return [found[unit.ordinal] for unit in units]


def _load(counted: Counted) -> list[Any]:
    """Features, numbers of features, scales, digests and sizes of a unit's documents."""
    with counted.path.open("rb") as file:
        return [np.load(file, allow_pickle=False) for _ in range(5)]


def _rows(
    counted: list[list[Counted]], path: Path, config: QualityConfig
) -> tuple[Rows, dict[str, Pile], U64, int, Any]:
    """The documents of both piles that are used, with features numbered by falling number of documents that hold them."""
    columns = [[np.concatenate(c) for c in zip(*(_load(one)[2:] for one in units), strict=True)] for units in counted]
    repeated = [~_first(digests) for _, digests, _ in columns]
    shared = np.intersect1d(columns[0][1], columns[1][1])
    used = [~again & ~np.isin(digests, shared) for again, (_, digests, _) in zip(repeated, columns, strict=True)]
    _check(counted, used, repeated, shared.size)
    piles = {
        name: Pile(
            int(mine.sum()),
            int(sizes[mine].sum()),
            hashlib.sha256(digests[mine].astype("<u8").tobytes()).hexdigest(),
            sum(one.wordless for one in units),
            int(again.sum()),
            sum(one.unreadable for one in units),
        )
        for name, units, mine, again, (_, digests, sizes) in zip(
            ("good", "bad"), counted, used, repeated, columns, strict=True
        )
    }
    parts = [(one, mine) for units, all_of in zip(counted, used, strict=True) for one, mine in _by_unit(units, all_of)]
    holding = np.zeros(1 << config.bits, np.uint32)
    for one, mine in parts:
        features, numbers, *_ = _load(one)
        linear.count_documents(features[np.repeat(mine, numbers)], holding)
    order = np.argsort(-holding.astype(np.int64), kind="stable")
    known = int((holding >= config.min_documents).sum())
    names = np.full(holding.size, linear.UNKNOWN, np.int32)
    names[order[:known]] = np.arange(known, dtype=np.int32)
    room = max(1, int(holding[order[:known]].sum()))
    store = np.memmap(path, np.uint32, "w+", shape=(room,))
    bounds, at = [np.zeros(1, np.int64)], 0
    for one, mine in parts:
        features, numbers, *_ = _load(one)
        features, begins = features[np.repeat(mine, numbers)], np.concatenate([[0], np.cumsum(numbers[mine])])
        ends = np.empty(begins.size, np.int64)
        linear.renumber(features, begins, names, store[at:], ends)
        bounds.append(at + ends[1:])
        at += int(ends[-1])
    scales, digests = (
        np.concatenate([column[at][mine] for column, mine in zip(columns, used, strict=True)]) for at in (0, 1)
    )
    signs = np.repeat([1.0, -1.0], [int(mine.sum()) for mine in used])
    rows = Rows(store, np.concatenate(bounds), scales, signs, known)
    return rows, piles, digests, int(shared.size), order[:known].astype(np.uint32)


def _by_unit(units: list[Counted], used: Any) -> list[tuple[Counted, Any]]:
    ends = np.cumsum([one.documents for one in units])
    return [(one, used[end - one.documents : end]) for one, end in zip(units, ends.tolist(), strict=True)]


def _first(digests: U64) -> Any:
    """Where each digest stands for the first time."""
    found = np.zeros(digests.size, np.bool_)
    found[np.unique(digests, return_index=True)[1]] = True
    return found


def _check(counted: list[list[Counted]], used: list[Any], repeated: list[Any], shared: int) -> None:
    """Refuse piles that are empty, the same, or too small."""
    different = [int((~again).sum()) for again in repeated]
    for name, units, number in zip(("GOOD", "BAD"), counted, different, strict=True):
        if not number:
            wordless = sum(one.wordless for one in units)
            raise CorpusError(
                f"--train-quality: {name}: expected documents with words, found none"
                f"{f' ({wordless} documents without any)' if wordless else ''}; check the input"
            )
    if 2 * shared > min(different):
        raise CorpusError(
            f"--train-quality: expected two different piles, found {shared} of {min(different)} texts of one in the other; "
            "name other inputs"
        )
    for name, mine in zip(("GOOD", "BAD"), used, strict=True):
        if mine.sum() < FEWEST:
            raise CorpusError(
                f"--train-quality: {name}: expected at least {FEWEST} different documents with words, found {mine.sum()}; "
                "add some"
            )


def _shares(signs: F64, among: Any) -> F64:
    """What documents weigh: both piles the same, all together as many as there are."""
    shares = np.zeros(signs.size)
    for sign in (1.0, -1.0):
        mine = among & (signs == sign)
        shares[mine] = among.sum() / (2 * mine.sum())
    return shares


def _train(rows: Rows, digests: U64, config: QualityConfig) -> tuple[F64, HeldOut, float, float]:
    """Weights on all documents; what weights on the others say of held-out ones; slope and shift to probabilities."""
    good = rows.signs > 0
    parts = (digests % np.uint64(config.folds)).astype(np.int64)
    unseen = np.full(good.size, np.nan)
    weights: F64 | None = None
    for part in range(config.folds):
        among = parts != part
        if not (among & good).any() or not (among & ~good).any() or among.all():
            continue
        weights = fit(rows, _shares(rows.signs, among), config.strength)
        unseen[~among] = rows.margins(weights)[~among]
        judged = ~np.isnan(unseen)
        if min((judged & good).sum(), (judged & ~good).sum()) >= config.held_out:
            break
    judged = ~np.isnan(unseen)
    slope, shift = calibrate(unseen[judged], good[judged])
    weights = fit(rows, _shares(rows.signs, np.ones(good.size, np.bool_)), config.strength, weights)
    held_out = judge_held_out(probability(slope * unseen[judged] + shift), good[judged])
    return weights, held_out, slope, shift
