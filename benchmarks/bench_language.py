"""Language identification: how often the answer is right, by set of texts and by language, and at what speed, beside others.

Run from the repository, with the others in an environment of their own (``make peers``; without it they are left out)::

    MEGADATA_REAL_DATA=DIR python benchmarks/bench_language.py [--peer PYTHON] [--only NAME,NAME] [--speed]

The texts are those of `labelled_languages.py`. One JSON line an identifier: the share of right answers in each set, over all
languages and over those that every identifier knows (`common`); of each of ten large languages in the paragraphs and in FLORES;
and the speed of a bare loop over each set, in processor time. Slow ones are asked about every tenth text. A line of its own says
how often our answer to a sample of a long text is that to all of it. ``--speed`` asks about paragraphs, documents and pages only,
``--every N`` about every n-th text.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import numpy as np
import orjson
from harness import machine
from labelled_languages import TEN, Codes, Labelled, labelled

from megadata.corpus import language
from megadata.documents.batch import DocBatch

PYTHON = Path(os.environ.get("MEGADATA_PEERS") or Path(__file__).parents[1] / ".peers") / "language" / "bin" / "python"
PEER = Path(__file__).parent / "peers" / "language_peers.py"
TIMED = ("paragraphs", "documents", "pages")


def ours(texts: list[Labelled]) -> dict[str, object]:
    """Answers in the form that the peers' script has."""
    language.identify(b"A first text, so that the model is loaded.")
    labels: list[str] = []
    seconds: dict[str, list[float]] = {}
    for name, members in groupby(texts, key=lambda text: text.set):
        asked = [member.text for member in members]
        docs = DocBatch.of([str(i) for i in range(len(asked))], asked)
        began = time.process_time()
        labels += [label for label, _ in language.identify_all(docs.text, docs.offsets)]
        seconds[name] = [time.process_time() - began, len(asked), docs.text.size]
    return {"labels": labels, "known": list(language.known_languages()), "seconds": seconds}


def peers(python: str, texts: list[Labelled], names: list[str]) -> dict[str, dict[str, object]]:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "texts.jsonl", Path(folder) / "answers.json"
        source.write_bytes(b"".join(orjson.dumps(text._asdict()) + b"\n" for text in texts))
        subprocess.run([python, str(PEER), str(source), str(target), *names], check=True)
        return json.loads(target.read_text("utf-8"))


def line(name: str, answer: dict, texts: list[Labelled], codes: Codes, common: set[str]) -> dict[str, object]:
    """What is printed of an identifier."""
    right: Counter[tuple[str, str]] = Counter()
    asked: Counter[tuple[str, str]] = Counter()
    for text, label in zip(texts, answer["labels"], strict=True):
        if label is not None and text.code:
            asked[text.set, text.code] += 1
            right[text.set, text.code] += codes.plain(label) == text.code

    def share(set_name: str, among: set[str] | None) -> float:
        pairs = [pair for pair in asked if pair[0] == set_name and (among is None or pair[1] in among)]
        return round(100 * sum(right[pair] for pair in pairs) / max(1, sum(asked[pair] for pair in pairs)), 2)

    sets = list(dict.fromkeys(text.set for text in texts if text.code))
    return {
        "identifier": name,
        "right": {one: share(one, None) for one in sets},
        "common": {one: share(one, common) for one in sets},
        "ten": {one: {code: share(one, {code}) for code in TEN} for one in ("paragraphs", "flores") if one in sets},
        "MB/s": {one: round(size / took / 1e6, 1) for one, (took, _, size) in answer["seconds"].items()},
        "texts/s": {one: round(count / took) for one, (took, count, _) in answer["seconds"].items()},
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def sampled(texts: list[Labelled], codes: Codes) -> dict[str, object]:
    """Answers to samples beside answers to whole texts, of texts that are long enough to be sampled."""
    long = [text for text in texts if len(text.text.encode()) > 3 * language.SAMPLE_BYTES]
    docs = DocBatch.of([str(i) for i in range(len(long))], [text.text for text in long])
    samples = [label for label, _ in language.identify_all(docs.text, docs.offsets)]
    size, language.SAMPLE_BYTES = language.SAMPLE_BYTES, 1 << 28
    whole = [label for label, _ in language.identify_all(docs.text, docs.offsets)]
    language.SAMPLE_BYTES = size
    found: dict[str, Counter[str]] = {}
    for text, sample, all_of_it in zip(long, samples, whole, strict=True):
        count = found.setdefault(text.set, Counter())
        count["texts"] += 1
        count["other answer than to the whole"] += sample != all_of_it
        if text.code:
            count["sample right"] += codes.plain(sample) == text.code
            count["whole right"] += codes.plain(all_of_it) == text.code
        elif sample != all_of_it:
            count[f"{all_of_it} taken for {sample}"] += 1
    return {"sampled": found, "sample": 3 * size, "bytes": int(np.sum(docs.sizes))}


def main() -> None:
    """Ask all identifiers about all texts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer", default=str(PYTHON))
    parser.add_argument("--only", default="", metavar="NAME,NAME")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--every", type=int, default=1, metavar="N")
    options = parser.parse_args()
    place = os.environ.get("MEGADATA_REAL_DATA")
    if not place:
        raise SystemExit("MEGADATA_REAL_DATA: not set; the texts are real ones")
    codes = Codes(Path(place))
    texts = labelled(Path(place))
    if options.speed:
        texts = [text for text in texts if text.set in TIMED]
    texts = texts[:: options.every]
    answers = {"megadata": ours(texts)}
    if Path(options.peer).exists():
        answers |= peers(options.peer, texts, [name for name in options.only.split(",") if name])
    else:
        print(f"{options.peer}: not there; the others are left out", file=sys.stderr)
    known = [{codes.plain(code) for code in answer["known"]} for answer in answers.values() if answer["known"]]
    common = {text.code for text in texts if text.code}.intersection(*known)
    for name, answer in answers.items():
        print(json.dumps(line(name, answer, texts, codes, common)), flush=True)
    if not options.speed:
        print(json.dumps(sampled(texts, codes)))
        print(json.dumps({"languages": len({text.code for text in texts if text.code}), "common": sorted(common)}))


if __name__ == "__main__":
    main()
