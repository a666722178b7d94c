"""Deduplication of 10^5, 10^6 and 10^7 documents: seconds and bytes for each of them, and what follows for 10^9.

Run from the repository: ``python benchmarks/bench_dedup_scale.py [--documents N...] [--memory 2G] [--workers 2] [--folder DIR]``.
Linux only. What is done is kept in the folder, and the same command goes on after an interruption.

Texts of ten million documents would fill the disk, so the first read is replaced: signatures are drawn at random, and so are
digests; a fifth of the documents copy another one's signature in all bands but a few, as near copies do, and one in twenty is
an exact copy. All that follows is the command's own: the sorted runs on disk, the exchange, exact copies, bands, components.
Comparing goes by the candidates' own text, and is measured with text by `bench_dedup_peers.py`. Memory is the sum over all
processes of what is theirs alone and their share of what they have in common (Pss), files that are mapped included.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import machine
from processes import children, pss

from megadata.corpus.dedup import DedupConfig, components
from megadata.corpus.dedup.ranges import FindCopies, FindEdges, range_bytes, run_ranges
from megadata.corpus.dedup.records import BANDS, COPIES, Numbering, Run
from megadata.documents.ids import NOTE
from megadata.documents.repeats import find_repeats
from megadata.runtime.exchange import Exchange
from megadata.runtime.executor import LocalExecutor
from megadata.runtime.progress import Reporter
from megadata.runtime.settings import parse_size

UNIT = 2_000
"""Documents of a unit: 8 MiB of documents of four kilobytes. Each unit is a sorted run of its own."""
NEAR, EXACT = 0.2, 0.05
SHARED = 9
"""Bands that a near copy has in common with its original."""
NAME = 40
"""Bytes of a document's id and path."""
LARGE = 1_000_000_000
"""Documents that are foreseen."""


class Survey:
    """Task that writes what the first read leaves of one unit, for documents that are drawn at random."""

    def __init__(self, folder: Path, documents: int, bands: int) -> None:
        self.folder, self.documents, self.bands = folder, documents, bands

    def __call__(self, unit: int) -> int:
        """Write three runs, unless they are there; the unit's documents."""
        first = unit * UNIT
        size = min(UNIT, self.documents - first)
        if Exchange(self.folder / "bands", BANDS).has(unit):
            return size
        rng = np.random.default_rng([7, unit])
        own = np.arange(first, first + size)
        kind, band = rng.random(size), np.arange(self.bands)
        older = (own * rng.random(size)).astype(np.int64)
        like = np.where(kind < NEAR + EXACT, older, own)
        values = _mixed(own[:, None] * 64 + band)
        shared = _mixed(like[:, None] * 64 + band)
        near = (kind < NEAR)[:, None] & (band < SHARED)
        values = np.where(near | ((kind >= NEAR) & (kind < NEAR + EXACT))[:, None], shared, values)
        digest = np.where((kind >= NEAR) & (kind < NEAR + EXACT), like, own)
        ids = Run(NOTE)
        ids.add(key=_mixed(own + (1 << 40)), check=_mixed(own), path=0, unit=unit, stream=0, offset=np.arange(size))
        ids.write(Exchange(self.folder / "ids", NOTE), unit)
        copies = Run(COPIES)
        copies.add(
            rng.integers(97, 123, NAME * size, dtype=np.uint8),
            np.full(size, NAME),
            key=_mixed(digest + (1 << 41)),
            rest=_mixed(digest + (1 << 42)),
            priority=1,
            rank=rng.integers(0, 1 << 16, size),
            tie=0,
            unit=unit,
            index=np.arange(size),
            weight=1,
        )
        copies.write(Exchange(self.folder / "copies", COPIES), unit, with_payload=True)
        bands = Run(BANDS)
        bands.add(key=values.ravel(), unit=unit, index=np.repeat(np.arange(size), self.bands))
        bands.write(Exchange(self.folder / "bands", BANDS), unit)
        return size


def _mixed(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Numbers of 64 bits that look random and are the same for the same input (splitmix64)."""
    value = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


class Watch:
    """Highest memory of this process and its children, all together, while it is open."""

    def __init__(self) -> None:
        self.peak = 0
        self.base = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        import os

        while not self._ended.wait(0.1):
            self.peak = max(self.peak, sum(pss(pid) for pid in (os.getpid(), *children(os.getpid()))))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def stored(folder: Path) -> int:
    """Bytes of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(documents: int, memory: int, workers: int, folder: Path) -> dict[str, Any]:
    """Make the runs, and time what the command does with them."""
    config = DedupConfig()
    bands = config.shape[0]
    numbering = Numbering.of([min(UNIT, documents - first) for first in range(0, documents, UNIT)])
    executor = LocalExecutor(workers)
    quiet = Reporter()
    try:
        for _ in executor.run(Survey(folder, documents, bands), list(range(len(numbering.base) - 1))):
            pass
        disk = stored(folder)
        seconds: dict[str, float] = {}

        def common(kind: Any, name: str) -> Any:
            task = kind(
                source=folder / name,
                target=folder / kind.__name__,
                numbering=numbering,
                memory=range_bytes(memory, workers),
            )
            return run_ranges(executor, task, memory, quiet, name)

        with Watch() as watch:
            began = time.perf_counter()
            find_repeats(executor, Exchange(folder / "ids", NOTE), folder / "repeats.npy", memory)
            seconds["ids"] = time.perf_counter() - began
            began = time.perf_counter()
            copies = common(FindCopies, "copies")
            standing = np.ones(documents, np.uint8)
            removed = 0
            for found in copies:
                gone = found["removed"]
                standing[gone] = 0
                removed += gone.size
            seconds["exact copies"] = time.perf_counter() - began
            began = time.perf_counter()
            parent = components.singles(documents)
            edges = 0
            for found in common(FindEdges, "bands"):
                left = found["left"]
                edges += left.size
                components.unite(parent, left, found["right"])
            seconds["bands"] = time.perf_counter() - began
            began = time.perf_counter()
            company = components.settle(parent, standing)
            seconds["components"] = time.perf_counter() - began
        most = stored(folder)
    finally:
        executor.close()
    return {
        "documents": documents, "exact": removed, "candidates": int(company.sum()), "edges": edges,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "nanoseconds_a_document": round(1e9 * sum(seconds.values()) / documents),
        "disk_bytes_a_document": round(most / documents, 1), "surveyed_bytes_a_document": round(disk / documents, 1),
        "peak_MB": round(watch.peak / 1e6), "resident_bytes_a_document": _ARRAYS,
    }  # fmt: skip


_ARRAYS = np.dtype(np.uint32).itemsize + 4 * np.dtype(np.uint8).itemsize
"""A component, and flags: standing, members, company, and one while they are combined."""


def main() -> None:
    """A line for each size; each is measured in a process of its own, so that its memory is its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, nargs="*", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--memory", default="2G")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    memory = parse_size(given.memory)
    if given.one is not None:
        line = measure(given.one, memory, given.workers, given.folder)
        limit = memory + (given.workers + 1) * (160 << 20)
        line |= {"bench": "dedup/scale", "memory": given.memory, "workers": given.workers,
                 "holds": line["peak_MB"] * 1e6 < memory, "limit_MB": round(limit / 1e6), "machine": machine()}  # fmt: skip
        print(json.dumps(line), flush=True)
        return
    for documents in given.documents:
        folder = (given.folder or Path(tempfile.gettempdir())) / f"megadata-scale-{documents}"
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, __file__, "--one", str(documents), "--memory", given.memory]
        subprocess.run([*command, "--workers", str(given.workers), "--folder", str(folder)], check=True)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
