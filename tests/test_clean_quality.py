"""Quality models: kernels against plain Python, training from two piles, the model's file, and what it says of text."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import oracles_quality as oracles
import orjson
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from megadata.cli import cli
from megadata.corpus.classifier import features_of, load_model, words_identity
from megadata.corpus.clean import CleanConfig, clean
from megadata.corpus.held_out import area, calibrate, judge_held_out
from megadata.corpus.logistic import LOGS, Rows, fit
from megadata.corpus.quantities import cut
from megadata.corpus.train_quality import QualityConfig, QualityReport, train_quality
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import expand
from megadata.errors import ConfigError, CorpusError, OutputError
from megadata.kernels import linear
from megadata.runtime.settings import RunSettings

U64S = st.integers(0, 2**64 - 1)
HASHES = st.lists(st.one_of(U64S, st.sampled_from([0, 1, 7, 2**63])), max_size=40)
ROWS = st.lists(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 255)), min_size=1, max_size=6, unique_by=lambda f: f[0]),
    min_size=1,
    max_size=6,
)
WEIGHT = st.floats(-8, 8, width=32)


def batch(texts: list[str]) -> DocBatch:
    return DocBatch.of([str(i) for i in range(len(texts))], texts)


def flat(rows: list[list[tuple[int, int]]]) -> tuple[np.ndarray, np.ndarray]:
    features = np.array([k | times << 24 for row in rows for k, times in row], np.uint32)
    return features, np.cumsum([0, *map(len, rows)], dtype=np.int64)


def packed(features: np.ndarray, bounds: np.ndarray) -> list[list[tuple[int, int]]]:
    pairs = [(int(f) & 0xFFFFFF, int(f) >> 24) for f in features]
    return [pairs[a:b] for a, b in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)]


@given(documents=st.lists(HASHES, max_size=4), longest=st.integers(1, 5), bits=st.sampled_from([1, 3, 10, 24]))
def test_ngrams_are_counted_as_the_oracle_counts_them(documents, longest, bits):
    hashes = np.array([h for one in documents for h in one], np.uint64)
    bounds = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    out, rows = np.empty(longest * hashes.size, np.uint32), np.empty(bounds.size, np.int64)
    times = np.zeros(1 << bits, np.uint8)
    count = linear.count_ngrams(hashes, bounds, longest, times, out, rows)
    assert packed(out[:count], rows) == [oracles.ngrams(one, longest, bits) for one in documents]
    assert not times.any()


def test_an_ngram_counts_as_255_when_it_occurs_more_often():
    features, _ = features_of(batch(["word " * 255, "word " * 256, "word " * 400]), 1, 10)
    assert (features >> 24).tolist() == [255, 255, 255]


@given(rows=ROWS, numbers=st.lists(st.integers(-1, 5), min_size=6, max_size=6))
def test_buckets_are_renumbered_and_counted_as_plain_python_does(rows, numbers):
    features, bounds = flat(rows)
    out, ends = np.empty_like(features), np.empty_like(bounds)
    count = linear.renumber(features, bounds, np.array(numbers, np.int32), out, ends)
    assert packed(out[:count], ends) == [[(numbers[k], t) for k, t in row if numbers[k] != -1] for row in rows]
    holding = np.zeros(6, np.uint32)
    linear.count_documents(features, holding)
    assert holding.tolist() == [sum(k == one for row in rows for k, _ in row) for one in range(6)]


@given(rows=ROWS, weights=st.lists(WEIGHT, min_size=7, max_size=7), data=st.data())
def test_loss_and_gradient_match_the_oracle(rows, weights, data):
    signs = data.draw(st.lists(st.sampled_from([1, -1]), min_size=len(rows), max_size=len(rows)))
    shares = data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=len(rows), max_size=len(rows)))
    features, bounds = flat(rows)
    scales, gradient = np.empty(len(rows)), np.empty(7)
    linear.scale(features, bounds, LOGS, scales)
    made = Rows(features, bounds, scales, np.array(signs, np.float64), 6)
    value = made.loss(np.array(weights), np.array(shares), 0.25, gradient)
    wanted, slopes = oracles.loss(rows, signs, shares, 0.25, weights)
    assert value == pytest.approx(wanted, rel=1e-9, abs=1e-9)
    assert gradient.tolist() == pytest.approx(slopes, rel=1e-9, abs=1e-9)


@given(made=st.integers(0, 5), seed=st.integers(0, 1000))
def test_the_direction_is_that_of_bfgs_with_whole_matrices(made, seed):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(5, 5))
    hessian = root @ root.T + np.eye(5)
    moves, gradient = rng.normal(size=(made, 5)), rng.normal(size=5)
    changes = moves @ hessian
    kept_moves, kept_changes, out = np.zeros((3, 5)), np.zeros((3, 5)), np.empty(5)
    for n in range(made):
        kept_moves[n % 3], kept_changes[n % 3] = moves[n], changes[n]
    linear.descend(gradient, kept_moves, kept_changes, made, out)
    last = slice(max(0, made - 3), made)
    wanted = oracles.direction(gradient.tolist(), moves[last].tolist(), changes[last].tolist())
    assert out.tolist() == pytest.approx(wanted, rel=1e-6, abs=1e-9)


def test_the_fit_is_where_the_gradient_vanishes_and_does_not_hang_on_its_start():
    rng = np.random.default_rng(0)
    rows = [[(int(k), int(rng.integers(1, 9))) for k in rng.choice(30, 8, replace=False)] for _ in range(200)]
    features, bounds = flat(rows)
    scales = np.empty(200)
    linear.scale(features, bounds, LOGS, scales)
    signs = np.where([any(k < 6 for k, _ in row) for row in rows], 1.0, -1.0)
    made = Rows(features, bounds, scales, signs, 30)
    shares, zero, gradient = np.ones(200), np.empty(31), np.empty(31)
    made.loss(np.zeros(31), shares, 0.1, zero)
    fits = [fit(made, shares, 10.0), fit(made, shares, 10.0, rng.normal(size=31))]
    losses = [made.loss(weights, shares, 0.1, gradient) for weights in fits]
    enough = 3e-3 * np.linalg.norm(zero)
    for weights in fits:
        made.loss(weights, shares, 0.1, gradient)
        assert np.linalg.norm(gradient) <= enough
    assert abs(losses[0] - losses[1]) <= enough**2 / (2 * 0.1)  # how far above the least loss such a gradient can be
    assert area(made.margins(fits[0]), signs > 0) > 0.9
    without = fit(made, np.where(np.arange(200) < 150, 1.0, 0.0), 10.0)
    alone = Rows(features[: bounds[150]], bounds[:151], scales[:150], signs[:150], 30)
    assert without == pytest.approx(fit(alone, np.ones(150), 10.0), abs=1e-6)  # sums of other lengths end otherwise


@given(
    good=st.lists(st.integers(0, 6), min_size=1, max_size=20), bad=st.lists(st.integers(0, 6), min_size=1, max_size=20)
)
def test_the_area_counts_pairs_and_halves_ties(good, bad):
    values = np.array([*good, *bad], np.float64)
    side = np.array([True] * len(good) + [False] * len(bad))
    assert area(values, side) == pytest.approx(float(oracles.area(good, bad)))


def test_thresholds_keep_at_least_the_share_of_the_good_pile_that_they_promise():
    rng = np.random.default_rng(1)
    good = np.arange(1000) < 600
    values = 1 / (1 + np.exp(-(rng.normal(size=1000) + np.where(good, 1, -1))))
    found = judge_held_out(values, good)
    for keep, one in zip((0.9, 0.95, 0.99), found.thresholds, strict=True):
        assert keep <= (values[good] >= one.threshold).mean() == one.good < keep + 0.01
        assert (values[~good] >= one.threshold).mean() == one.bad
    assert found.accuracy == pytest.approx(((values[good] >= 0.5).mean() + (values[~good] < 0.5).mean()) / 2)


def test_probabilities_are_calibrated_for_piles_that_weigh_the_same():
    rng = np.random.default_rng(2)
    margins = rng.normal(0, 2, 40_000)
    good = rng.random(40_000) < 1 / (1 + np.exp(-(3 * margins - 1)))
    slope, shift = calibrate(margins, good)
    odds = np.log((~good).sum() / good.sum())
    assert slope == pytest.approx(3, rel=0.05)
    assert shift == pytest.approx(-1 + odds, abs=0.1)
    apart = calibrate(np.array([1.0, 2.0, -1.0, -2.0]), np.array([True, True, False, False]))
    assert np.isfinite(apart).all()
    assert apart[0] > 0


GOOD_WORDS = ["theory", "evidence", "method", "result", "measure", "history", "language", "nature", "reason", "model"]
BAD_WORDS = ["click", "buy", "cheap", "login", "cookie", "free", "deal", "subscribe", "banner", "share"]
BOTH_WORDS = ["the", "of", "and", "to", "a", "in", "is", "that", "it", "for"]


def pile(folder: Path, name: str, words: list[str], count: int, seed: int) -> Path:
    rng = random.Random(seed)
    path = folder / f"{name}.jsonl"
    with path.open("wb") as file:
        for n in range(count):
            text = " ".join(
                rng.choice(words if rng.random() < 0.15 else BOTH_WORDS) for _ in range(rng.randint(20, 60))
            )
            file.write(orjson.dumps({"id": f"{name}{n}", "text": text}) + b"\n")
    return path


@pytest.fixture
def piles(tmp_path: Path) -> tuple[Path, Path]:
    return pile(tmp_path, "good", GOOD_WORDS, 150, 0), pile(tmp_path, "bad", BAD_WORDS, 120, 1)


def train(good: Path, bad: Path, output: Path, workers: int = 1, **config) -> QualityReport:
    made = QualityConfig(unit_bytes=4000, **config)
    return train_quality(expand([str(good)]), expand([str(bad)]), output, made, RunSettings(workers=workers))


def test_a_model_tells_held_out_documents_apart_and_says_on_what_it_was_trained(piles, tmp_path):
    report = train(*piles, tmp_path / "m.quality")
    assert report.held_out.documents == 270
    assert report.held_out.auc > 0.97
    model = load_model(tmp_path / "m.quality")
    fresh = [pile(tmp_path, name, words, 40, 9) for name, words in (("g", GOOD_WORDS), ("b", BAD_WORDS))]
    texts = [orjson.loads(line)["text"] for path in fresh for line in path.read_bytes().splitlines()]
    scores = model.score(batch(texts))
    assert area(scores, np.arange(80) < 40) > 0.97
    assert ((scores > 0) & (scores < 1)).all()
    assert model.header["piles"]["good"]["documents"] == 150
    assert model.header["held_out"]["auc"] == report.held_out.auc
    assert model.header["words"] == words_identity()
    assert len(model.header["piles"]["bad"]["sha256"]) == 64
    assert [p.name for p in tmp_path.iterdir() if ".tmp" in p.name] == []


def test_a_document_is_scored_as_the_weights_in_the_file_say(piles, tmp_path):
    train(*piles, tmp_path / "m.quality")
    model = load_model(tmp_path / "m.quality")
    weights = dict(zip(model.buckets.tolist(), model.weights.tolist(), strict=True))
    texts = ["evidence of the theory", "buy cheap cheap deal", "of words never seen before", ""]
    docs = batch(texts)
    words = cut(docs.text, docs.offsets, "unicode")
    for d, score in enumerate(model.score(docs).tolist()):
        hashes = words.hashes[words.bounds[d] : words.bounds[d + 1]].tolist()
        if not hashes:
            assert np.isnan(score)
            continue
        row = oracles.ngrams(hashes, 2, 20)
        margin = sum(weights.get(k, 0.0) * v for (k, _), v in zip(row, oracles.values(row), strict=True))
        assert score == pytest.approx(1 / (1 + np.exp(-(margin + model.header["bias"]))), rel=1e-9)


def test_the_same_piles_give_the_same_bytes_for_any_workers_and_any_cut_of_the_files(piles, tmp_path):
    good, bad = piles
    split = tmp_path / "split"
    split.mkdir()
    lines = good.read_bytes().splitlines(keepends=True)
    for n in range(3):
        (split / f"{n}.jsonl").write_bytes(b"".join(lines[n * 50 : (n + 1) * 50]))
    train(good, bad, tmp_path / "one.quality")
    train(good, bad, tmp_path / "two.quality", workers=2)
    train(split, bad, tmp_path / "three.quality")
    assert (
        (tmp_path / "one.quality").read_bytes()
        == (tmp_path / "two.quality").read_bytes()
        == (tmp_path / "three.quality").read_bytes()
    )


def test_repeated_texts_count_once_and_texts_of_both_piles_not_at_all(piles, tmp_path):
    good, bad = piles
    with good.open("ab") as file:
        file.write(good.read_bytes().splitlines(keepends=True)[0])
        file.write(bad.read_bytes().splitlines(keepends=True)[0])
        file.write(b'{"text": ""}\n')
    report = train(good, bad, tmp_path / "m.quality")
    assert (report.piles["good"].documents, report.piles["good"].repeated, report.piles["good"].wordless) == (150, 1, 1)
    assert (report.both, report.piles["bad"].documents) == (1, 119)


def test_as_many_folds_are_held_out_as_are_asked_for(piles, tmp_path):
    few = train(*piles, tmp_path / "few.quality", held_out=10)
    assert 20 <= few.held_out.documents < 100


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        (b"", None, r"--train-quality: GOOD: expected documents with words, found none; check the input"),
        (b'{"text": " "}\n{"text": ""}\n', None, r"GOOD: expected documents with words, found none \(2 documents without any\)"),
        (b'{"text": "a b"}\n' * 30, None, r"GOOD: expected at least 20 different documents with words, found 1; add some"),
        (None, "same", r"expected two different piles, found 150 of 150 texts of one in the other; name other inputs"),
    ],
)  # fmt: skip
def test_piles_that_cannot_be_meant_are_refused(piles, tmp_path, good, bad, message):
    first, second = piles
    if good is not None:
        first.write_bytes(good)
    if bad == "same":
        second.write_bytes(first.read_bytes())
    with pytest.raises(CorpusError, match=message):
        train(first, second, tmp_path / "m.quality")
    assert not (tmp_path / "m.quality").exists()


def test_a_file_that_is_no_model_of_this_megadata_is_refused(piles, tmp_path):
    path = tmp_path / "m.quality"
    train(*piles, path)
    line, body = path.read_bytes().split(b"\n", 1)
    header = orjson.loads(line)

    def refused(content: bytes) -> str:
        path.write_bytes(content)
        with pytest.raises(CorpusError) as caught:
            load_model(path)
        return str(caught.value).removeprefix(f"{path}: ")

    def stamped(**changes) -> bytes:
        return orjson.dumps({**header, **changes}) + b"\n"

    assert refused(b"\x80\x04 pickle") == (
        "expected a quality model, as `megadata clean --train-quality` writes it, found something else"
    )
    assert refused(stamped(version=9) + body) == (
        "quality_model version 9, this megadata reads up to 1; upgrade megadata or write it again"
    )
    assert refused(stamped(format="stats") + body) == (
        "expected a megadata quality_model file, found 'stats'; is this the right path?"
    )
    damaged = "the quality model is damaged: its weights are not those it was written with; train it again"
    assert refused(stamped() + body[:-1]) == damaged
    assert refused(stamped() + bytes([body[0] ^ 1]) + body[1:]) == damaged
    assert refused(stamped(words={"cut": "unicode", "probe": "0"}) + body) == (
        "expected words cut and hashed as when the model was trained, found another way in this megadata; train it again"
    )
    path.unlink()
    with pytest.raises(
        CorpusError, match="the quality model cannot be read: No such file or directory; check the path"
    ):
        load_model(path)


def test_a_folder_is_no_place_for_a_model(piles, tmp_path):
    with pytest.raises(OutputError, match="expected the name of a file for the quality model, found a folder"):
        train(*piles, tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ngrams": 0}, "ngrams: expected 1 to 5, found 0"),
        ({"bits": 25}, "bits: expected 10 to 24, found 25"),
        ({"strength": 0.0}, "strength: expected more than 0, found 0.0"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        QualityConfig(**values)


def test_the_command_trains_and_rules_drop_by_what_it_trained(piles, tmp_path):
    good, bad = piles
    result = CliRunner().invoke(
        cli, ["clean", "--train-quality", str(good), str(bad), "-o", str(tmp_path / "m.quality"), "--workers", "1"]
    )
    assert result.exit_code == 0, result.output
    assert "270 documents held out" in result.output
    assert "AUC 0.9" in result.output or "AUC 1.0" in result.output
    (tmp_path / "rules.yaml").write_text(
        "rules: 1\nsteps:\n- filter:\n    label: model\n    scorers: {quality: m.quality}\n    drop: {low: quality < 0.5}\n"
    )
    config = CleanConfig(rules=str(tmp_path / "rules.yaml"), scores=True)
    report = clean(expand([str(good), str(bad)]), tmp_path / "out", config, RunSettings(workers=1))
    assert 130 < report.total("documents_kept") < 170
    rows = pq.read_table(tmp_path / "out" / "scores.parquet").to_pylist()
    assert all((row["model.quality"] < 0.5) == (row["reason"] == "model.low") for row in rows)


def test_the_command_wants_two_piles_and_nothing_else(piles, tmp_path):
    good, bad = map(str, piles)
    command = ["clean", "--train-quality", good, bad, "-o", str(tmp_path / "m.quality")]
    for more, option in ((["--scores"], "--scores"), ([good], "INPUT"), (["--languages", "en"], "--languages")):
        result = CliRunner().invoke(cli, [*command, *more])
        assert result.exit_code == 1
        assert f"--train-quality: expected two piles of text and no {option}; leave it out" in result.output
    result = CliRunner().invoke(cli, [*command, "--set", "stength=3"])
    assert "unknown key 'stength'; did you mean \"strength\"?" in result.output
    result = CliRunner().invoke(cli, ["clean", "-o", str(tmp_path / "x")])
    assert (result.exit_code, "Missing argument 'INPUT...'" in result.output) == (2, True)


def test_rules_are_applied_to_the_piles_before_training(piles, tmp_path):
    good, bad = map(str, piles)
    (tmp_path / "long.yaml").write_text("rules: 1\nsteps:\n- filter: {drop: {short: words < 40}}\n")
    for rules, fewer in ((str(tmp_path / "long.yaml"), True), ("none", False)):
        output = tmp_path / "m.quality"
        result = CliRunner().invoke(
            cli, ["clean", "--train-quality", good, bad, "-o", str(output), "--rules", rules, "--workers", "1"]
        )
        assert result.exit_code == 0, result.output
        assert (load_model(output).header["piles"]["good"]["documents"] < 150) is fewer


def test_text_after_the_model_is_trained_is_hashed_as_before():
    """A golden value: a model of an earlier megadata stays of use as long as it is the same."""
    assert words_identity() == {"cut": "unicode", "probe": "1cdfa20e7d42ceb5"}
