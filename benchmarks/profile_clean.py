"""Where the time of `megadata clean` goes with the rules of FineWeb, and how far each part is from reading the bytes once.

Run from the repository::

    MEGADATA_REAL_DATA=DIR python benchmarks/profile_clean.py [--megabytes 50]

One thread, text in memory or in the page cache; processor time, the least of three runs. It prints the table of
docs/profile.md: for each part seconds for 100 MB of text, MB/s, and how many passes of a trivial kernel over the same bytes
would fit in.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from bench_clean import RULES, documents
from harness import machine

from megadata.corpus.clean import LEVELS
from megadata.corpus.record import Recorder
from megadata.corpus.rules import load_rules
from megadata.documents.ids import IdNotes, file_paths
from megadata.documents.inputs import plan, read_span
from megadata.documents.shards import encode
from megadata.documents.source import Problems, ReadOptions
from megadata.kernels.base import Kernel
from megadata.runtime.allocator import keep_freed_memory
from megadata.runtime.receipts import FRAME_BYTES, ZSTD_LEVEL, digest_span
from megadata.runtime.units import InputFile, Span

PARTS = {
    "cut_words": "words: cut, classed, hashed",
    "count_words": "words: counted, stop words",
    "count_symbols": "characters and symbols",
    "take_texts": "read: texts out of JSON",
    "take_ids": "read: ids out of JSON",
    "put_texts": "write: texts into JSON",
    "place": "texts of documents that leave a batch, copied",
    "count_lines": "lines and paragraphs, three cuttings",
    "skipped_ngrams": "repeated 5- to 10-grams",
    "repeated_ngrams": "top 2- to 4-grams",
    "keep_lines": "lines that C4 keeps",
}
"""Kernel -> what it is called in the table."""
REST = "thresholds, the record, who stays"


class Clock:
    """Processor seconds of named parts; those of a part inside another are not the other's."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside = 0.0

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        outside, self._inside = self._inside, 0.0
        began = time.thread_time()
        yield
        took = time.thread_time() - began
        self.seconds[name] += took - self._inside
        self._inside = outside + took


def compressed(level: int, data: memoryview) -> None:
    """Frames as `UnitWriter` writes them."""
    one = zstandard.ZstdCompressor(level=level)
    for at in range(0, len(data), FRAME_BYTES):
        one.compress(data[at : at + FRAME_BYTES])


def run(path: Path, clock: Clock) -> None:
    """All that a worker does with a file, its parts on the clock."""
    keep_freed_memory()
    rules = load_rules(RULES)
    recorder = Recorder()
    file = InputFile(path.name, str(path), path.stat().st_size, 0, "jsonl", "text", "text")
    for unit in plan([file]):
        notes = IdNotes(unit.ordinal)
        with clock("read: lines, rest of JSON, Arrow columns"):
            batches = [one for span in unit.spans for one in read_span(span, ReadOptions(), Problems())]
        for docs in batches:
            with clock(REST):
                outcome = rules.apply(docs, recorder)
            for stream, part, more in (
                ("kept", outcome.kept, ()),
                ("removed", outcome.removed, (outcome.reasons, outcome.values, outcome.thresholds)),
            ):
                with clock("write: rest of JSON, notes of ids"):
                    lines = notes.take_all(stream, part.ids, file_paths(part), encode(part, *more)).data
                with clock("write: zstd"):
                    compressed(LEVELS.get(stream, ZSTD_LEVEL), lines)
    with clock("read: SHA-256"):
        digest_span(Span(file, 0, file.size))


def with_kernels(path: Path) -> dict[str, float]:
    """`run`, with the rules' kernels as parts of their own."""
    clock = Clock()
    original = Kernel.__call__

    def call(kernel: Kernel, *arguments: Any) -> Any:
        code = kernel._code or kernel.compile()
        with clock(PARTS.get(kernel.__name__, kernel.__name__)):
            return code(*arguments)

    Kernel.__call__ = call  # type: ignore[method-assign]
    try:
        run(path, clock)
    finally:
        Kernel.__call__ = original  # type: ignore[method-assign]
    return dict(clock.seconds)


def one_pass(path: Path) -> float:
    """Seconds in which a kernel of one addition reads the bytes once."""
    data = np.frombuffer(path.read_bytes()[: path.stat().st_size // 8 * 8], np.uint64)
    best = 9.0
    for _ in range(5):
        began = time.thread_time()
        data.sum()
        best = min(best, time.thread_time() - began)
    return best


def start_up(folder: Path) -> tuple[float, float]:
    """Processor seconds of the command over one document, and of what a worker imports."""
    one = folder / "one.jsonl"
    one.write_bytes(b'{"text": "One document."}\n')
    found = []
    for command in (
        ["-m", "megadata", "clean", str(one), "-o", str(folder / "one"), "--rules", RULES, "--json"],
        ["-c", "import megadata.corpus.clean"],
    ):
        before = os.times()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        after = os.times()
        found.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return found[0], found[1]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=50)
    given = parser.parse_args()
    real = os.environ.get("MEGADATA_REAL_DATA")
    if not real:
        raise SystemExit("MEGADATA_REAL_DATA: not set; this script cleans real text")
    with tempfile.TemporaryDirectory(prefix="megadata-profile-") as base:
        path = Path(base, "text.jsonl")
        lines = list(documents(Path(real), 10**9))
        chosen = lines[:: max(1, sum(map(len, lines)) // (given.megabytes * 1_000_000))]
        path.write_bytes(b"".join(chosen))
        megabytes = path.stat().st_size / 1e6
        runs = [with_kernels(path) for _ in range(4)][1:]
        parts = {name: min(one[name] for one in runs) for name in runs[0]}
        once = one_pass(path)
        command, imports = start_up(Path(base))
    total = sum(parts.values())
    print(f"{megabytes:.0f} MB in {len(chosen):,} documents; {machine()}; {time.strftime('%Y-%m-%d')}")
    print(
        f"start-up: {command:.2f} s for a command over one document, {imports:.2f} s for the imports of each worker\n"
    )
    print("| part | seconds for 100 MB | share | MB/s | passes |\n|---|---:|---:|---:|---:|")
    for name, seconds in [*sorted(parts.items(), key=lambda one: -one[1]), ("all of it", total), ("one pass", once)]:
        share = f"{seconds / total:.0%}" if name != "one pass" else ""
        print(
            f"| {name} | {100 * seconds / megabytes:.3f} | {share} | {megabytes / seconds:,.0f} | {seconds / once:,.0f} |"
        )


if __name__ == "__main__":
    main()
