"""`clean --train-quality` beside fastText's supervised training: how well, and how fast.

Run from the repository, with fastText in an environment of its own (``make peers``)::

    MEGADATA_REAL_DATA=DIR python benchmarks/bench_quality.py [judged] [speed] [--megabytes 40] [--peer PYTHON]

``judged``: the pages that people have judged for DCLM (jsonl/dclm). Five folds, three times; each fold's fifth is held out, and
what is trained on the rest is asked about it. fastText's settings are chosen among eight, and ours among six, by two folds inside
the rest: no held-out page has a part in any choice. Ours is also asked with its defaults. fastText gets the text as it
is, and the words as we cut them with blanks between.

``speed``: books and articles against pages of the web, cut into documents of about four thousand characters; nine tenths train,
one tenth is asked. One thread each. Ours reads JSON lines, counts, trains twice (the report is made of documents held out) and
writes the model; fastText's clock runs from its own input file to the model in memory. Seconds are of the processor. Piles of
fewer than some 20,000 documents are held out in ten parts, which is most of ours; ``--held-out 1`` holds out one, as with more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from harness import machine

from megadata.corpus.classifier import CUTTING, load_model
from megadata.corpus.held_out import area
from megadata.corpus.quantities import cut
from megadata.corpus.train_quality import QualityConfig, train_quality
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import expand
from megadata.runtime.progress import Reporter
from megadata.runtime.settings import RunSettings

PEERS = Path(os.environ.get("MEGADATA_PEERS") or Path(__file__).parents[1] / ".peers")
PEER = Path(__file__).parent / "peers" / "fasttext_quality.py"
GOOD = ("books/100_english_novels/**/*.txt", "books/68_german_novels/**/*.txt", "wikipedia/extracted-[de]*/*")
BAD = ("web/**/*.html", "web_debian/**/*.html", "messy/ungoliant-garbage/*")
PIECE = 4_000
BUCKETS = 1 << 20
GRID = [{"wordNgrams": n, "epoch": epoch, "lr": lr, "dim": 10} for n, epoch, lr in product((1, 2), (5, 25), (0.5, 1.0))]
OURS = [{"ngrams": n, "strength": strength} for n, strength in product((1, 2), (3.0, 10.0, 30.0))]
INNER = 2
"""Folds by which settings are chosen."""
SPEEDS = [{"wordNgrams": n, "dim": dim, "epoch": 5, "lr": 0.1} for n, dim in product((1, 2), (100, 10))]


def train(texts: list[str], good: Any, folder: Path, settings: dict[str, Any]) -> tuple[Any, float]:
    """Our model, and the seconds from files to file."""
    inputs = []
    for name, side in (("good", True), ("bad", False)):
        path = folder / f"{name}.jsonl"
        path.write_bytes(
            b"".join(orjson.dumps({"text": t}) + b"\n" for t, g in zip(texts, good, strict=True) if g == side)
        )
        inputs.append(path)
    quietly = RunSettings(workers=1, memory=1 << 30, progress=Reporter())
    began = time.process_time()
    train_quality(*(expand([str(path)]) for path in inputs), folder / "model", QualityConfig(**settings), quietly)
    return load_model(folder / "model"), time.process_time() - began


def batch(texts: list[str]) -> DocBatch:
    return DocBatch.of([str(n) for n in range(len(texts))], texts)


def peer(python: Path, jobs: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """What fastText answers."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    done = subprocess.run([python, PEER, folder / "jobs.json"], check=True, stdout=subprocess.PIPE)
    return [json.loads(line) for line in done.stdout.splitlines()]


def written(texts: list[str], good: Any, among: Any, path: Path) -> dict[str, str]:
    """fastText's files of documents to train on, and of the others."""
    lines = [" ".join(text.split()) for text in texts]
    with path.with_suffix(".train").open("w") as file:
        for n in np.flatnonzero(among).tolist():
            file.write(f"__label__{'good' if good[n] else 'bad'} {lines[n]}\n")
    with path.with_suffix(".test").open("w") as file:
        for n in np.flatnonzero(~among).tolist():
            file.write(lines[n] + "\n")
    return {"train": str(path.with_suffix(".train")), "test": str(path.with_suffix(".test"))}


def spaced(texts: list[str]) -> list[str]:
    """The texts as our words with blanks between."""
    docs = batch(texts)
    words = cut(docs.text, docs.offsets, CUTTING)
    data, ends = docs.text.tobytes(), (words.starts + words.sizes).tolist()
    found = [data[a:b].decode() for a, b in zip(words.starts.tolist(), ends, strict=True)]
    bounds = words.bounds.tolist()
    return [" ".join(found[a:b]) for a, b in pairwise(bounds)]


def parts(good: Any, number: int, seed: int) -> Any:
    """A part for each document, so that all parts hold as many good ones."""
    rng = np.random.default_rng(seed)
    found = np.empty(good.size, np.int64)
    for side in (True, False):
        places = rng.permutation(np.flatnonzero(good == side))
        found[places] = np.arange(places.size) % number
    return found


def judged(root: Path, python: Path, repeats: int) -> None:
    """AUC on pages that people have judged, each by models that were neither trained nor chosen with it."""
    rows = [orjson.loads(line) for line in (root / "jsonl/dclm/majority_data.jsonl").read_bytes().splitlines()]
    texts, good = [row["text"] for row in rows], np.array([row["label"] == 1 for row in rows])
    found: dict[str, list[float]] = {}
    for repeat in range(repeats):
        with tempfile.TemporaryDirectory() as name:
            for who, values in _nested(texts, good, python, Path(name), repeat).items():
                found.setdefault(who, []).append(area(values, good))
    line = {"bench": "quality/judged", "pages": good.size, "good": int(good.sum()), "auc": found}
    means = {who: round(float(np.mean(values)), 4) for who, values in found.items()}
    print(json.dumps({**line, "mean": means, "machine": machine()}), flush=True)


def _nested(texts: list[str], good: Any, python: Path, folder: Path, seed: int) -> dict[str, Any]:
    outer = parts(good, 5, seed)
    found = {who: np.empty(good.size) for who in ("ours", "ours, defaults", "fasttext", "fasttext, our words")}
    for fold in range(5):
        among = outer != fold
        places = np.flatnonzero(among)
        inner = np.full(good.size, -1)
        inner[places] = parts(good[places], INNER, 100 + seed)
        for who, given in (("fasttext", texts), ("fasttext, our words", spaced(texts))):
            files = [
                written([given[n] for n in places], good[places], inner[places] != part, folder / f"inner{part}")
                for part in range(INNER)
            ]
            jobs = [
                {**files[part], "settings": {**one, "bucket": BUCKETS, "thread": 1, "seed": 0}}
                for one, part in product(GRID, range(INNER))
            ]
            answers = iter(peer(python, jobs, folder))
            scores = []
            for _ in GRID:
                values = np.empty(good.size)
                for part in range(INNER):
                    values[inner == part] = next(answers)["scores"]
                scores.append(area(values[places], good[places]))
            best = {**GRID[int(np.argmax(scores))], "bucket": BUCKETS, "thread": 1, "seed": 0}
            answer = peer(python, [{**written(given, good, among, folder / "outer"), "settings": best}], folder)[0]
            found[who][~among] = answer["scores"]
        scores = []
        for one in OURS:
            values = np.empty(good.size)
            for part in range(INNER):
                values[inner == part] = _ours(texts, good, among & (inner != part), inner == part, folder, one)
            scores.append(area(values[places], good[places]))
        found["ours"][~among] = _ours(texts, good, among, ~among, folder, OURS[int(np.argmax(scores))])
        found["ours, defaults"][~among] = _ours(texts, good, among, ~among, folder, {})
    return found


def _ours(texts: list[str], good: Any, among: Any, asked: Any, folder: Path, settings: dict[str, Any]) -> Any:
    model, _ = train([texts[n] for n in np.flatnonzero(among)], good[among], folder, {**settings, "held_out": 1})
    return np.nan_to_num(model.score(batch([texts[n] for n in np.flatnonzero(asked)])), nan=0.5)


def piles(root: Path, size: int) -> tuple[list[str], Any]:
    """Documents of two piles of about half of `size` bytes each, and which are good."""
    texts: list[str] = []
    counts = []
    for patterns in (GOOD, BAD):
        held = 0
        groups = [[path for path in sorted(root.glob(pattern)) if path.is_file()] for pattern in patterns]
        for group in groups:
            mine = 0
            for path in group:
                text = path.read_bytes().decode("utf-8", "replace")
                for at in range(0, len(text), PIECE):
                    texts.append(text[at : at + PIECE])
                    mine += len(texts[-1].encode())
                if mine >= size / 2 / len(groups):
                    break
            held += mine
        counts.append(len(texts) - sum(counts))
    return texts, np.repeat([True, False], counts)


def speed(root: Path, python: Path, megabytes: int, held_out: int) -> None:
    """Seconds to train and to score, and AUC on the tenth that was held out."""
    texts, good = piles(root, megabytes * 1_000_000)
    among = np.random.default_rng(0).random(good.size) >= 0.1
    sizes = np.array([len(text.encode()) for text in texts])
    asked = [texts[n] for n in np.flatnonzero(~among)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = written(texts, good, among, folder / "all")
        ours: dict[int, dict[str, float]] = {}
        for n in (1, 2):
            mine = [texts[i] for i in np.flatnonzero(among)]
            train(mine[:200] + mine[-200:], np.repeat([True, False], 200), folder, {"ngrams": n})  # kernels are loaded
            model, took = train(mine, good[among], folder, {"ngrams": n, "held_out": held_out})
            docs = batch(asked)
            began = time.process_time()
            values = model.score(docs)
            ours[n] = {"train_s": took, "predict_s": time.process_time() - began, "auc": area(values, good[~among])}
        for one in SPEEDS:
            answer = peer(python, [{**files, "settings": {**one, "bucket": BUCKETS, "thread": 1, "seed": 0}}], folder)[
                0
            ]
            answer["auc"] = area(np.array(answer.pop("scores")), good[~among])
            mine_of = ours[one["wordNgrams"]]
            line = {
                "bench": "quality/speed",
                "fasttext": one,
                "megabytes": round(float(sizes[among].sum()) / 1e6, 1),
                "documents": int(among.sum()),
                "held_out": held_out,
                "ours": {k: round(v, 3) for k, v in mine_of.items()},
                "peer": {k: round(v, 3) for k, v in answer.items()},
                "ratio": {k: round(answer[k] / mine_of[k], 2) for k in ("train_s", "predict_s")},
                "machine": machine(),
            }
            print(json.dumps(line), flush=True)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", default=["judged", "speed"])
    parser.add_argument("--megabytes", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--held-out", type=int, default=QualityConfig().held_out)
    parser.add_argument("--peer", type=Path, default=PEERS / "fasttext" / "bin" / "python")
    asked = parser.parse_args()
    place = os.environ.get("MEGADATA_REAL_DATA")
    if not place or not asked.peer.exists():
        sys.exit("expected MEGADATA_REAL_DATA and an environment with fastText (make peers); set both and run again")
    if "judged" in asked.what:
        judged(Path(place), asked.peer, asked.repeats)
    if "speed" in asked.what:
        speed(Path(place), asked.peer, asked.megabytes, asked.held_out)


if __name__ == "__main__":
    main()
