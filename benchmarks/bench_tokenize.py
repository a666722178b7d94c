"""From JSON lines to indexed datasets: `megadata tokenize` beside Megatron-LM's two ways and gigatoken alone, whole commands.

Run from the repository, with the peers in an environment of their own (``make peers``)::

    python benchmarks/bench_tokenize.py make all.jsonl --megabytes 600 --books BOOKS   # needs MEGADATA_REAL_DATA
    python benchmarks/bench_tokenize.py speed all.jsonl --tokenizer gpt2_tokenizer.json [--repeats 3] [--pool-share 0.1]
    python benchmarks/bench_tokenize.py memory all.jsonl --tokenizer gpt2_tokenizer.json

`make` writes real documents, each once: those of `real_documents`, and chapters of books in the lengths of web pages. `speed`
runs in turn gigatoken alone (a fresh process, `encode_batch` of bytes on all cores: nothing is read or written on its clock),
ours, ours in the order of the input, ours from ``.jsonl.zst`` of both kinds, and once the peers. Ours are on the clock from
the start of the command to its end, of the peers the work without imports. The pool gets a share of the documents. What ours
writes in the order of the input is compared with the whole-file method's, byte by byte. `memory` tells the peak of all
processes together.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
import zstandard
from dedup_texts import of_books
from harness import as_installed, machine
from processes import watch
from real_documents import real_documents

from megadata.runtime.receipts import FRAME_BYTES
from megadata.runtime.seekable import seek_table_bytes

HERE = Path(__file__).parent
PEERS = Path(os.environ.get("MEGADATA_PEERS") or HERE.parent / ".peers")
PYTHON = PEERS / "megatron" / "bin" / "python"


def make(path: Path, megabytes: int, books: Path) -> None:
    """Write distinct documents, shuffled, as JSON lines."""
    lines: list[bytes] = []
    seen: set[bytes] = set()
    size = 0
    for name, text in chain(real_documents(), of_books(books, random.Random(1))):
        key = hashlib.blake2b(text.encode(), digest_size=12).digest()
        if key in seen or not text:
            continue
        seen.add(key)
        lines.append(orjson.dumps({"id": name, "text": text}, option=orjson.OPT_APPEND_NEWLINE))
        size += len(text.encode())
        if size >= megabytes * 1_000_000:
            break
    random.Random(3).shuffle(lines)
    with path.open("wb") as file:
        file.writelines(lines)
    print(json.dumps({"documents": len(lines), "bytes": size}))


def ours(file: Path, tokenizer: Path, prefix: Path, workers: int, *options: str) -> list[str]:
    """Our command."""
    given = ["-o", str(prefix), "--tokenizer", str(tokenizer), "--workers", str(workers), *options]
    return [sys.executable, "-m", "megadata", "tokenize", str(file), *given]


def timed(command: list[str], environment: dict[str, str]) -> float:
    """Seconds of a command."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - began


def peer(method: str, file: Path, given: argparse.Namespace, out: Path) -> dict[str, Any]:
    """What a method of the peers says of itself."""
    command = [str(PYTHON), str(HERE / "peers/tokenize_peers.py"), method, str(file), str(given.tokenizer), str(out)]
    done = subprocess.run(
        [*command, str(given.workers)], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def part_of(file: Path, share: float, target: Path) -> int:
    """Write every n-th line; bytes of text in them."""
    step, size = max(1, round(1 / share)), 0
    with file.open("rb") as lines, target.open("wb") as out:
        for number, line in enumerate(lines):
            if number % step == 0:
                out.write(line)
                size += len(orjson.loads(line)["text"].encode())
    return size


def equal(one: Path, other: Path) -> bool:
    """Whether two datasets are the same bytes."""
    return all(one.with_suffix(end).read_bytes() == other.with_suffix(end).read_bytes() for end in (".bin", ".idx"))


def report(name: str, seconds: list[float], size: int, rate: float | None = None, **more: Any) -> None:
    """One line: seconds, MB/s, and the part of gigatoken's own rate."""
    middle = statistics.median(seconds)
    line = {
        "bench": f"tokenize/{name}",
        "seconds": [round(s, 3) for s in seconds],
        "MB/s": round(size / middle / 1e6, 1),
    }
    if rate is not None:
        line["of_gigatoken"] = round(size / middle / rate, 3)
    print(json.dumps({**line, **more}), flush=True)


def compress(file: Path, whole: Path, seekable: Path) -> None:
    """Write the file as one frame, as the `zstd` command does, and in frames with a table of them, as our shards are."""
    with file.open("rb") as source, whole.open("wb") as target:
        zstandard.ZstdCompressor(level=3, threads=-1).copy_stream(source, target)
    frames: list[tuple[int, int]] = []
    with file.open("rb") as source, seekable.open("wb") as target:
        while block := source.read(FRAME_BYTES):
            frames.append((target.write(zstandard.compress(block, 3)), len(block)))
        target.write(seek_table_bytes(frames))


def speed(given: argparse.Namespace) -> None:
    """Ours and the peers on the same file."""
    print(json.dumps({"machine": machine(), "workers": given.workers, "file": given.file.name}))
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        environment = as_installed(folder)
        compressed = folder / "all.jsonl.zst"
        compress(given.file, compressed, folder / "seekable.jsonl.zst")
        runs: dict[str, list[float]] = {}
        size = 0
        for turn in range(given.repeats + 1):  # the first leaves compiled modules, as an installation does
            found = peer("rate", given.file, given, folder / "none")
            size = found["bytes"]
            runs.setdefault("gigatoken", []).append(found["seconds"])
            for kind, file, options in (
                ("ours", given.file, ()),
                ("ours, no shuffle", given.file, ("--no-shuffle",)),
                ("ours, zst with a seek table", folder / "seekable.jsonl.zst", ()),
                ("ours, zst of one frame", compressed, ()),
            ):
                command = ours(file, given.tokenizer, folder / f"{kind}-{turn}" / "web", given.workers, *options)
                runs.setdefault(kind, []).append(timed(command, environment))
        rates = {kind: seconds[1:] for kind, seconds in runs.items()}
        alone = size / statistics.median(rates["gigatoken"])
        for kind, seconds in rates.items():
            report(kind, seconds, size, alone)
        if not PYTHON.exists():
            sys.exit("the peers are missing: make peers")
        mine = size / statistics.median(rates["ours"])
        whole = peer("whole", given.file, given, folder / "whole")
        same = equal(folder / f"ours, no shuffle-{given.repeats}" / "web", folder / "whole")
        report(
            "whole file", [whole["seconds"]], size, ours_is=round(mine / (size / whole["seconds"]), 2), same_bytes=same
        )
        part = folder / "part.jsonl"
        part_size = part_of(given.file, given.pool_share, part)
        pool = peer("pool", part, given, folder / "pool")
        report("pool", [pool["seconds"]], part_size, ours_is=round(mine / (part_size / pool["seconds"]), 1))
        if not same:
            sys.exit("the files of ours and of the whole-file method differ")


def memory(given: argparse.Namespace) -> None:
    """The peak of all processes of our command together."""
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        seen = watch(ours(given.file, given.tokenizer, Path(name) / "web", given.workers, *given.options))
    line = {"bench": "tokenize/memory", "file_MB": given.file.stat().st_size >> 20, "together_MiB": seen.together >> 20}
    print(
        json.dumps(
            {**line, "peaks_MiB": [peak >> 20 for peak in seen.peaks], "cpu_seconds": round(seen.cpu_seconds, 2)}
        )
    )


def main() -> None:
    """Make the input, or measure."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("file", type=Path)
    making.add_argument("--megabytes", type=int, default=600)
    making.add_argument("--books", type=Path, required=True, help="folder of books as .txt")
    for command in ("speed", "memory"):
        one = commands.add_parser(command)
        one.add_argument("file", type=Path)
        one.add_argument("--tokenizer", type=Path, required=True, help="a tokenizer.json with <|endoftext|>")
        one.add_argument("--workers", type=int, default=2)
        one.add_argument("--folder", type=Path, help="where files are written")
        one.add_argument("--repeats", type=int, default=3)
        one.add_argument("--pool-share", type=float, default=0.1)
        one.add_argument("options", nargs="*", help="more options of tokenize, behind --")
    given = parser.parse_args()
    if given.command == "make":
        make(given.file, given.megabytes, given.books)
    else:
        {"speed": speed, "memory": memory}[given.command](given)


if __name__ == "__main__":
    main()
