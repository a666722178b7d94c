"""`dedup --mode substrings` over books: speed, the memory of all processes together, and a suffix array beside it.

Run from the repository::

    python benchmarks/bench_substrings.py TEXTS [--megabytes 500] [--memory 4G] [--peer PYTHON --peer-megabytes 50]

TEXTS is a folder of text files, each of which becomes a document, such as the 1.2 GB of books in
github.com/LuEE-C/FewShotAuthorClassificationMetaLearning. PYTHON is an environment with pydivsufsort: libdivsufsort sorts the
suffixes of the same documents in one process, in memory, and both sides count the bytes that lie in strings of 100 bytes that
occur before. Ours are those of cuts at characters, so a character of several bytes of which a part alone is repeated is not among
them. The peer's seconds are from a file of bare text to a count, ours those of the whole command, from JSON lines to JSON lines.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.compute as pc
import pyarrow.parquet as pq
from harness import machine, sha
from processes import Watched, watch

from megadata.corpus.dedup import records
from megadata.documents.batch import DocBatch

WORKERS = 2
LENGTH = 100
NAME = "books.jsonl"


def gather(place: Path, megabytes: int) -> list[tuple[str, str]]:
    """Names and texts of files, up to so many bytes of text."""
    found, size = [], 0
    for path in sorted(place.rglob("*.txt")):
        text = path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n").replace("\0", "")
        found.append((path.relative_to(place).as_posix(), text))
        size += len(text.encode())
        if size >= megabytes * 1_000_000:
            break
    return found


def ours(folder: Path, memory: str, cut: str) -> tuple[Watched, Path]:
    """Run the command; what it took, and its output."""
    output = folder / f"out-{cut}"
    command = [sys.executable, "-m", "megadata", "dedup", str(folder / NAME), "-o", str(output), "--mode", "substrings"]
    command += ["--set", f"length={LENGTH}", "--set", f"cut={cut}", "--workers", str(WORKERS), "--memory", memory]
    return watch(command), output


def write(path: Path, books: list[tuple[str, str]]) -> int:
    """JSON lines of books; bytes of their texts."""
    path.write_bytes(b"".join(orjson.dumps({"id": n, "text": t}, option=orjson.OPT_APPEND_NEWLINE) for n, t in books))
    return sum(len(text.encode()) for _, text in books)


def told(name: str, size: int, took: Watched, threads: int = WORKERS, **more: Any) -> None:
    """Print one line."""
    line = {
        "bench": name,
        "unit": "MB/s",
        "rate": round(size / 1e6 / took.seconds, 2),
        "megabytes": round(size / 1e6, 1),
        "seconds": round(took.seconds, 2),
        "cpu_seconds": round(took.cpu_seconds, 2),
        "peak_mib": took.together >> 20,
        "largest_process_mib": max(took.peaks, default=0) >> 20,
        **more,
        "threads": threads,
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    print(json.dumps(line), flush=True)


def in_rank(books: list[tuple[str, str]]) -> list[bytes]:
    """Texts in the order in which the first occurrence is looked for."""
    names = DocBatch.of([name for name, _ in books], [""] * len(books))
    keys = records.hash_strings(records.names_of(names, [NAME] * len(books)))
    return [books[at][1].encode() for at in np.argsort(keys)]


def main() -> None:
    """Measure ours, and the peer where there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--memory", default="4G")
    parser.add_argument("--peer", metavar="PYTHON")
    parser.add_argument("--peer-megabytes", type=int, default=50)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="megadata-substrings-") as base:
        folder = Path(base)
        if arguments.megabytes:
            size = write(folder / NAME, gather(arguments.texts, arguments.megabytes))
            took, output = ours(folder, arguments.memory, "sentences")
            totals = json.loads((output / "manifest.json").read_bytes())["totals"]
            kept = sum(number for name, number in totals.items() if name.startswith("bytes_kept|"))
            result = sha(output / "spans.parquet")
            told("substrings/books", size, took, memory=arguments.memory, bytes_removed=size - kept, result_sha=result)
        if arguments.peer:
            books = gather(arguments.texts, arguments.peer_megabytes)
            size = write(folder / NAME, books)
            took, output = ours(folder, arguments.memory, "characters")
            rows = pq.read_table(output / "spans.parquet")
            told("substrings/ours", size, took, repeated=pc.sum(pc.subtract(rows["stop"], rows["start"])).as_py())
            (folder / "texts").write_bytes(b"".join(text + b"\0" for text in in_rank(books)))
            script = Path(__file__).parent / "peers" / "suffix_array.py"
            said = folder / "said.json"
            took = watch([arguments.peer, str(script), str(folder / "texts"), str(LENGTH), str(said)])
            told("substrings/suffix_array", size, took, 1, **json.loads(said.read_bytes()))


if __name__ == "__main__":
    main()
