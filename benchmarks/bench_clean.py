"""Gopher, C4 and FineWeb filters over JSON lines: `megadata clean` beside datatrove's filters, whole commands.

Run from the repository, with datatrove in an environment of its own (``make peers``; without it that part is left out)::

    MEGADATA_REAL_DATA=DIR python benchmarks/bench_clean.py [--megabytes 200] [--texts DIR] [--sample 12] [--workers 2]

The text is distinct: books, articles and pages of MEGADATA_REAL_DATA, cut into documents of four thousand characters; where
they do not suffice, the `.txt` files of --texts come after them. Both sides start from nothing and end with files of what they
keep; datatrove gets a sample, every n-th document, because it would take minutes for all. Modules of both sides are compiled
and kernels are there, as after an installation and a first run; start-up and imports are on the clock.
With ``--words spacy`` ours cuts words as datatrove does, on the sample, and must keep the very same number of documents.
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
from collections.abc import Iterator
from pathlib import Path

import orjson
from harness import as_installed, machine

PEERS = Path(os.environ.get("MEGADATA_PEERS") or Path(__file__).parents[1] / ".peers")
PYTHON = PEERS / "datatrove" / "bin" / "python"
PEER = Path(__file__).parent / "peers" / "datatrove_clean.py"
RULES = "gopher@datatrove,c4@datatrove,fineweb@datatrove"
PATTERNS = (
    "books/**/*.txt", "wikipedia/extracted-*/*", "jsonl/reuters21578/**/training/*", "web/**/GoldStandard/*.txt",
    "web/daniel/reference/**/*", "messy/langid-lingua/**/*.txt", "messy/flores200_dev/**/*",
)  # fmt: skip
PIECE = 4_000


def documents(root: Path, most: int, more: Path | None = None) -> Iterator[bytes]:
    """JSON lines of at most `most` bytes of text."""
    size = 0
    seen: set[bytes] = set()
    for base, pattern in (*((root, one) for one in PATTERNS), *([(more, "**/*.txt")] if more else [])):
        for path in sorted(base.glob(pattern)):
            if not path.is_file():
                continue
            data = path.read_bytes()
            if data[:64] in seen:  # some books are there twice
                continue
            seen.add(data[:64])
            text = data.decode("utf-8", "replace")
            for at in range(0, len(text), PIECE):
                piece = text[at : at + PIECE]
                size += len(piece.encode())
                yield orjson.dumps({"text": piece, "id": f"{path.relative_to(base)}/{at}"}) + b"\n"
                if size >= most:
                    return


def write(path: Path, lines: list[bytes]) -> int:
    """The bytes of text written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(lines))
    return sum(len(orjson.loads(line)["text"].encode()) for line in lines)


def size_of_texts(lines: list[bytes], more: Path | None) -> int:
    """How much of the text comes from the folder of more texts."""
    names = {path.relative_to(more).as_posix() for path in more.glob("**/*.txt")} if more else set()
    found = map(orjson.loads, lines)
    return sum(len(one["text"].encode()) for one in found if one["id"].rpartition("/")[0] in names)


def ours(path: Path, output: Path, workers: int, words: str) -> tuple[float, int]:
    """Seconds, and documents kept."""
    shutil.rmtree(output, ignore_errors=True)
    change = (
        []
        if words == "unicode"
        else ["--set", "gopher.words=spacy", "--set", "fineweb.words=spacy", "--set", "c4.sentences=spacy"]
    )
    command = [
        sys.executable,
        "-m",
        "megadata",
        "clean",
        str(path),
        "-o",
        str(output),
        "--rules",
        RULES,
        "--json",
        "--workers",
        str(workers),
    ]
    environment = as_installed(output.parent)
    began = time.perf_counter()
    done = subprocess.run(
        [*command, *change], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    took = time.perf_counter() - began
    counts = json.loads(done.stdout)["counts"]
    return took, sum(v for k, v in counts.items() if k.startswith("documents_kept|"))


def peers(python: Path, folder: Path, output: Path, workers: int) -> tuple[float, int]:
    """Seconds, and documents kept."""
    shutil.rmtree(output, ignore_errors=True)
    environment = {name: value for name, value in as_installed(output).items() if name != "PYTHONPYCACHEPREFIX"}
    began = time.perf_counter()
    done = subprocess.run(
        [str(python), str(PEER), str(folder), str(output), str(workers)],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    return time.perf_counter() - began, int(done.stdout.split()[-1])


def main() -> None:
    """Measure and print one line for each side and the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--texts", type=Path, help="folder of more text files")
    parser.add_argument("--sample", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--words", choices=["unicode", "spacy"], default="unicode")
    parser.add_argument("--peer", type=Path, default=PYTHON)
    given = parser.parse_args()
    real = os.environ.get("MEGADATA_REAL_DATA")
    if not real:
        raise SystemExit("MEGADATA_REAL_DATA: not set; this script cleans real text")
    with tempfile.TemporaryDirectory(prefix="megadata-clean-") as base:
        lines = list(documents(Path(real), given.megabytes * 1_000_000, given.texts))
        size = write(Path(base, "all.jsonl"), lines)
        every = max(1, size // (given.sample * 1_000_000))
        sample = lines[::every]
        for worker in range(given.workers):
            write(Path(base, "sample", f"{worker}.jsonl"), sample[worker :: given.workers])
        few = write(Path(base, "sample.jsonl"), sample)
        ours(Path(base, "sample.jsonl"), Path(base, "first"), given.workers, "unicode")
        took, kept = min(ours(Path(base, "all.jsonl"), Path(base, "out"), given.workers, "unicode") for _ in range(2))
        line = {"bench": "clean/gopher+c4+fineweb", "unit": "MB/s", "workers": given.workers, "megabytes": round(size / 1e6, 1),
                "megabytes_of_texts": round(size_of_texts(lines, given.texts) / 1e6, 1), "documents": len(lines), "kept": kept,
                "ours": round(size / 1e6 / took, 2), "seconds": round(took, 2), "machine": machine()}  # fmt: skip
        if given.peer.exists():
            seconds, theirs = peers(given.peer, Path(base, "sample"), Path(base, "peer"), given.workers)
            again, mine = ours(Path(base, "sample.jsonl"), Path(base, "few"), given.workers, given.words)
            if given.words == "spacy" and mine != theirs:
                raise SystemExit(f"datatrove keeps {theirs} of {len(sample)} documents, megadata {mine}")
            line |= {
                "datatrove": round(few / 1e6 / seconds, 3),
                "sample_megabytes": round(few / 1e6, 1),
                "kept_by_datatrove": theirs,
                "kept_of_sample": mine,
                "seconds_of_sample": round(again, 2),
                "ratio": round(size / took / (few / seconds), 1),
            }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
