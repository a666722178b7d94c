"""Decontamination: the search against 100,000 evaluation items; beside Megatron-LM's filter_ngrams.py and datatrove's filter.

Run from the repository::

    MEGADATA_REAL_DATA=DIR python benchmarks/bench_decontaminate.py \\
        [--megatron filter_ngrams.py --python PYTHON] [--datatrove PYTHON]

``filter_ngrams.py`` lies in tools/openwebtext of Megatron-LM before May 2025 and runs where nltk is installed. Both sides get the
same lines, with evaluation texts planted into real text; ends of sentences and the length of pieces are set to Megatron-LM's. The
pieces of each document are compared, and so are those that Megatron-LM's rule makes of our matches: it goes on behind its first
cut.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import zstandard
from harness import measure
from real_text import pieces, texts

from megadata.corpus.decontaminate import DecontaminateConfig, cuts, decontaminate
from megadata.corpus.decontaminate.evaluation import leaves
from megadata.corpus.decontaminate.index import Index, build, by_document, places, search
from megadata.documents.batch import DocBatch
from megadata.documents.inputs import expand
from megadata.runtime.settings import RunSettings

ITEMS = 100_000
SMALL_BYTES = 3_000_000
PLANTED = 0.2
"""Share of the documents that get an evaluation text."""
LIKE_MEGATRON = {"ends": ".!?", "least_piece": 201, "unit_bytes": 64 << 20}
LARGEST_COUNT = 10**9
WIDTH = 13


def evaluation_texts() -> list[str]:
    """Texts of real evaluation sets where they lie, filled up to `ITEMS` with windows of other real text."""
    found: list[str] = []
    place = os.environ.get("MEGADATA_REAL_DATA")
    for path in sorted(Path(place or "").glob("eval/*/*.jsonl") if place else []):
        for line in path.read_bytes().splitlines():
            found += [text for _, text in leaves(orjson.loads(line)) if len(text.split()) >= 8]
    found = list(dict.fromkeys(found))
    rng = np.random.default_rng(1)
    words = " ".join(found or texts()[-1:]).split()
    while len(found) < ITEMS:
        chosen = rng.integers(len(words), size=40)
        found.append(" ".join(words[n] for n in chosen))
    return found[:ITEMS]


def planted(docs: DocBatch, items: list[str]) -> list[dict[str, str]]:
    """Documents, some of them with an evaluation text between two of their lines."""
    rng = np.random.default_rng(2)
    records = []
    for number, text in enumerate(docs.texts):
        if rng.random() < PLANTED:
            lines = text.split("\n")
            lines.insert(int(rng.integers(len(lines) + 1)), items[int(rng.integers(len(items)))])
            text = "\n".join(lines)
        records.append({"id": f"d{number:06d}", "text": text})
    return records


def write(path: Path, records: list[dict[str, str]]) -> Path:
    """JSON lines."""
    path.write_bytes(b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in records))
    return path


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """Documents of finished shards."""
    for shard in sorted(folder.glob("docs-*.jsonl.zst")):
        with zstandard.open(shard, "rb") as file:
            yield from (orjson.loads(line) for line in file.read().splitlines())


def our_pieces(documents: Path, items: Path, output: Path) -> tuple[dict[str, list[str]], float]:
    """What `decontaminate` leaves of each document, with Megatron-LM's settings, and the seconds it took in one process."""
    config = DecontaminateConfig(**LIKE_MEGATRON)
    began = time.perf_counter()
    decontaminate(expand([str(documents)]), [str(items)], output, config, RunSettings(workers=1))
    seconds = time.perf_counter() - began
    left: dict[str, list[str]] = {}
    for one in read(output):
        left.setdefault(one["id"].partition("/")[0], []).append(one["text"].strip())
    return left, seconds


def megatron_pieces(script: Path, python: str, documents: Path, items: Path, folder: Path) -> tuple[Any, float]:
    """What filter_ngrams.py leaves of each document, and the seconds it took."""
    target = folder / "megatron.jsonl"
    command = [
        python,
        str(script),
        "--tasks",
        "lambada",
        "--lambada-path",
        str(items),
        "--dedup-dataset",
        str(documents),
        "text",
    ]
    command += ["--output", str(target), "--num-threads", "1", "--key-threshold", str(LARGEST_COUNT)]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    left: dict[str, list[str]] = {}
    for line in target.read_bytes().splitlines():
        one = orjson.loads(line)
        left.setdefault(one["id"], []).append(one["text"].strip())
    return left, seconds


@dataclass(frozen=True, slots=True)
class Hit:
    """A match: first word, the one behind the last, and letters of the words joined by blanks."""

    start: int
    stop: int
    letters: int


def one_after_another(text: str, words: list[int], hits: list[Hit], config: DecontaminateConfig) -> list[str]:
    """Megatron-LM's cuts over our matches: the first match is cut, then what is behind the cut is a text of its own.

    `words` are the first characters of the text's words.
    """
    left: list[str] = []
    base = 0
    while True:
        rest = text[base:]
        first_word = bisect_left(words, base)
        hit = first(hits, first_word, len(words) - first_word)
        if hit is None:
            return [*left, rest]
        at = words[hit.start] - base - config.margin
        while at > 0 and rest[at] not in config.ends:
            at -= 1
        if at > 0 and at + 1 >= config.least_piece:
            left.append(rest[: at + 1])
        at = words[hit.start] - base + hit.letters + config.margin
        while at < len(rest) and rest[at] not in config.ends:
            at += 1
        if len(rest) - at - 1 < config.least_piece:
            return left
        base += at + 1


def first(hits: list[Hit], word: int, count: int) -> Hit | None:
    """The match that filter_ngrams.py comes upon first: in order up to the last thirteen words, among these by length."""
    early = [hit for hit in hits if 0 <= hit.start - word <= count - WIDTH]
    if early:
        return min(early, key=lambda hit: (hit.start, hit.stop - hit.start != WIDTH, hit.stop))
    late = [hit for hit in hits if hit.start - word > count - WIDTH]
    return min(late, key=lambda hit: (hit.stop - hit.start, hit.start)) if late and count > WIDTH else None


def by_their_rule(records: list[dict[str, str]], index: Index) -> dict[str, list[str]]:
    """What Megatron-LM's cuts leave of each document when the matches are ours."""
    config = DecontaminateConfig(**LIKE_MEGATRON)
    docs = DocBatch.of([one["id"] for one in records], [one["text"] for one in records])
    matches = dict(by_document(search(docs, index, config)))
    left: dict[str, list[str]] = {}
    for row, record in enumerate(records):
        found = [record["text"]]
        if row in matches:
            spans = places(docs, row)[:, 0].tolist()
            at = cuts.characters(record["text"].encode(), spans)
            hits = [Hit(start, stop, len(index.ngram(gram))) for _, start, stop, gram in matches[row].tolist()]
            found = one_after_another(record["text"], [at[one] for one in spans], hits, config)
        if found and len(found) <= config.most_pieces:
            left[record["id"]] = [piece.strip() for piece in found]
    return left


def beside_megatron(script: Path, python: str, folder: Path, records: list[dict[str, str]], items: list[str]) -> None:
    """Print both rates, and how the pieces of each document compare."""
    documents = write(folder / "documents.jsonl", records)
    evals = write(folder / "items.jsonl", [{"text": one} for one in items])
    megabytes = documents.stat().st_size / 1e6
    our_pieces(documents, evals, folder / "warm")
    ours, seconds = our_pieces(documents, evals, folder / "ours")
    theirs, their_seconds = megatron_pieces(script, python, documents, evals, folder)
    rule = by_their_rule(records, build(items, DecontaminateConfig(**LIKE_MEGATRON)))
    kinds: Counter[str] = Counter()
    for record in records:
        name = record["id"]
        if ours.get(name) == theirs.get(name):
            kinds["equal"] += 1
            kinds["equal, cut"] += ours.get(name) != [record["text"].strip()]
        elif rule.get(name) == theirs.get(name):
            kinds["equal by its rule of cutting over our matches"] += 1
        else:
            kinds["different words"] += 1
    line = {
        "bench": "decontaminate/megatron",
        "unit": "MB/s",
        "ours": round(megabytes / seconds, 2),
        "peer": round(megabytes / their_seconds, 3),
        "items": len(items),
        "documents": len(records),
        "pieces": dict(kinds),
    }
    print(json.dumps(line), flush=True)


def beside_datatrove(python: str, folder: Path, records: list[dict[str, str]], items: list[str]) -> None:
    """Print the rates of both filters, and which documents only one of them removes."""
    documents = write(folder / "documents.jsonl", records)
    evals = write(folder / "items.jsonl", [{"text": one} for one in items])
    peer = Path(__file__).parent / "peers" / "datatrove_decontaminate.py"
    command = [python, str(peer), str(evals), str(documents), str(folder / "index"), "13"]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    config = DecontaminateConfig(shortest=13)
    docs = DocBatch.of([one["id"] for one in records], [one["text"] for one in records])
    index = build(items, config)
    began = time.perf_counter()
    matches = search(docs, index, config)
    seconds = time.perf_counter() - began
    ours = {docs.ids[row] for row, _ in by_document(matches)}
    theirs = set(answer["removed"])
    megabytes = docs.text.size / 1e6
    line = {
        "bench": "decontaminate/datatrove",
        "unit": "MB/s",
        "ours": round(megabytes / seconds, 1),
        "peer": round(megabytes / answer["seconds"], 3),
        "documents": len(records),
        "both": len(ours & theirs),
        "only ours": len(ours - theirs),
        "only datatrove": len(theirs - ours),
    }
    print(json.dumps(line), flush=True)


def main() -> None:
    """Measure the search, and what was asked for beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megatron", type=Path, help="filter_ngrams.py")
    parser.add_argument("--python", default=sys.executable, help="Python with nltk, for filter_ngrams.py")
    parser.add_argument("--datatrove", help="Python with datatrove")
    given = parser.parse_args()
    items, docs, config = evaluation_texts(), pieces(texts()), DecontaminateConfig()
    index = build(items, config)
    megabytes = docs.text.size / 1e6
    measure(
        f"decontaminate/search-{len(items)}-items-{index.hashes.size}-ngrams",
        lambda: search(docs, index, config),
        items=megabytes,
        unit="MB",
    )
    measure("decontaminate/index", lambda: build(items, config).hashes, items=len(items), unit="items", repeats=3)
    small = docs.slice(0, int(np.searchsorted(docs.offsets, SMALL_BYTES)))
    records = planted(small, items)
    with tempfile.TemporaryDirectory() as folder:
        if given.megatron:
            beside_megatron(given.megatron, given.python, Path(folder), records, items)
        if given.datatrove:
            beside_datatrove(given.datatrove, Path(folder), records, items)


if __name__ == "__main__":
    main()
