"""Near-duplicate removal from JSON lines to JSON lines: `megadata dedup` beside datatrove, text-dedup and rensa, whole commands.

Run from the repository, with the peers in environments of their own (``make peers``; those that are missing are left out)::

    python benchmarks/dedup_texts.py all.jsonl --megabytes 200 --texts BOOKS    # needs MEGADATA_REAL_DATA
    python benchmarks/bench_dedup_peers.py all.jsonl [--sample 42] [--workers 2] [--only PEER...]

All have 13 bands of 8 rows over word 5-grams and as many workers (text-dedup runs with its own 250 permutations as well); ours
compares every pair before it removes a document. The slow peers get every n-th document, so many that they reach the rate at
which they go on; ours and rensa get all. Each starts from nothing and ends with files of what it keeps.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import orjson
from harness import machine

HERE = Path(__file__).parent
PEERS = Path(os.environ.get("MEGADATA_PEERS", HERE.parent / ".peers"))
BANDS, ROWS = 13, 8
REPEATS = 3


def text_bytes(lines: list[bytes]) -> int:
    """Bytes of text in lines."""
    return sum(len(orjson.loads(line)["text"].encode()) for line in lines)


def timed(command: list[str], **more: str) -> tuple[float, str]:
    """Seconds of a command, and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **more}
    )
    return time.perf_counter() - began, done.stdout


def ours(path: Path, folder: Path, workers: int) -> tuple[float, int]:
    """Seconds, and documents kept."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "megadata",
        "dedup",
        str(path),
        "-o",
        str(folder),
        "--workers",
        str(workers),
        "--json",
    ]
    took, printed = timed(command, PYTHONDONTWRITEBYTECODE="")  # as where it is installed: modules are compiled once
    counts = json.loads(printed)["counts"]
    return took, sum(v for k, v in counts.items() if k.startswith("documents_kept|"))


def datatrove(path: Path, folder: Path, workers: int) -> tuple[float, int]:
    """The four stages, one file for each worker."""
    lines = path.read_bytes().splitlines(keepends=True)
    (folder / "in").mkdir(parents=True)
    for worker in range(workers):
        (folder / "in" / f"{worker}.jsonl").write_bytes(b"".join(lines[worker::workers]))
    python, script = str(PEERS / "datatrove/bin/python"), str(HERE / "peers/datatrove_dedup.py")
    took, printed = timed(
        [python, script, str(folder / "in"), str(folder / "out"), str(workers), str(BANDS), str(ROWS)]
    )
    return took, int(printed.split()[-1])


def text_dedup(path: Path, folder: Path, workers: int) -> tuple[float, int]:
    """Its own command, with our bands and rows and its faster hash."""
    more = {"num_perm": str(BANDS * ROWS), "b": str(BANDS), "r": str(ROWS), "hash_func": "xxh3"}
    return text_dedup_as_it_comes(path, folder, workers, **more)


def text_dedup_as_it_comes(path: Path, folder: Path, workers: int, **more: str) -> tuple[float, int]:
    """Its own command, told nothing but the threshold: 250 permutations, SHA-1."""
    python = str(PEERS / "textdedup/bin/python")
    options = {
        "path": "json", "data_files": str(path), "split": "train", "cache_dir": str(folder / "cache"), "column": "text",
        "output": str(folder / "out"), "ngram": "5", "threshold": "0.8", "num_proc": str(workers), "batch_size": "1000", **more,
    }  # fmt: skip
    folder.mkdir()
    words = (word for name, value in options.items() for word in (f"--{name}", value))
    command = [python, "-m", "text_dedup.minhash", *words]
    took, _ = timed(command, HF_DATASETS_OFFLINE="1", HF_HUB_OFFLINE="1", HF_HOME=str(folder / "home"))
    code = f"import datasets; print(datasets.load_from_disk({str(folder / 'out')!r}).num_rows)"
    return took, int(timed([python, "-c", code])[1])


def rensa(path: Path, folder: Path, workers: int) -> tuple[float, int]:
    """Its full-set pipeline, with shingles made in Python; it takes all cores."""
    folder.mkdir()
    python, script = str(PEERS / "rensa/bin/python"), str(HERE / "peers/rensa_dedup.py")
    took, printed = timed([python, script, str(path), str(folder / "out.jsonl"), str(BANDS), str(ROWS)])
    return took, int(printed.split()[-1])


Peer = Callable[[Path, Path, int], tuple[float, int]]
ALL: dict[str, tuple[Peer, str, bool]] = {
    "datatrove": (datatrove, "datatrove", True),
    "text-dedup": (text_dedup, "textdedup", True),
    "text-dedup-as-it-comes": (text_dedup_as_it_comes, "textdedup", True),
    "rensa": (rensa, "rensa", False),
}
"""Function, environment, and whether the peer gets the sample alone."""


def main() -> None:
    """A line for ours, and one for each peer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--sample", type=int, default=42, help="megabytes of text for the slow peers")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=list(ALL), help="peers to run")
    given = parser.parse_args()
    lines = given.file.read_bytes().splitlines(keepends=True)
    size = text_bytes(lines)
    sample = lines[:: max(1, round(size / (given.sample * 1e6)))]
    few = text_bytes(sample)
    with tempfile.TemporaryDirectory(prefix="megadata-dedup-") as base:
        part = Path(base) / "sample.jsonl"
        part.write_bytes(b"".join(sample))
        runs = sorted(ours(given.file, Path(base) / "ours", given.workers) for _ in range(REPEATS))
        rate = size / 1e6 / runs[len(runs) // 2][0]
        rates = [round(size / 1e6 / took, 1) for took, _ in reversed(runs)]
        line = {"bench": "dedup/jsonl-to-jsonl", "unit": "MB/s", "workers": given.workers, "megabytes": round(size / 1e6, 1),
                "documents": len(lines), "kept": runs[0][1], "median": round(rate, 1), "low": rates[0], "high": rates[-1],
                "machine": machine()}  # fmt: skip
        print(json.dumps(line), flush=True)
        for name in given.only:
            peer, folder, slow = ALL[name]
            if not (PEERS / folder / "bin/python").exists():
                continue
            took, kept = peer(part if slow else given.file, Path(base) / name, given.workers)
            theirs = (few if slow else size) / 1e6 / took
            line = {"bench": f"dedup/{name}", "unit": "MB/s", "workers": given.workers,
                    "megabytes": round((few if slow else size) / 1e6, 1), "documents": len(sample if slow else lines),
                    "kept": kept, "rate": round(theirs, 2), "times": round(rate / theirs, 1)}  # fmt: skip
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
