"""Indexed datasets beside megatron-core on the same files: opening, random documents, contiguous windows, merging.

Run from the repository after ``make peers``: ``python benchmarks/bench_indexed_megatron.py``. It goes on in the environment
``.peers/megatron``, which has megatron-core. Every pair must give the same tokens.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PEER = Path(os.environ.get("MEGADATA_PEERS") or ROOT / ".peers") / "megatron" / "bin" / "python"

if Path(sys.prefix) != PEER.parent.parent:
    os.execve(PEER, [str(PEER), *sys.argv], {**os.environ, "PYTHONPATH": str(ROOT)})

import numpy as np  # noqa: E402
from harness import _print, compare, machine  # noqa: E402

from megadata.indexed.merge import merge  # noqa: E402
from megadata.indexed.reader import IndexedDataset  # noqa: E402
from megadata.indexed.writer import IndexedWriter  # noqa: E402

DOCUMENTS = 200_000
READS = 100_000
WINDOW = 2049
BATCH = 1024
MANY = 100_000_000

OPEN = """
import json, sys, time
{imports}
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
before, began = resident(), time.perf_counter()
data = {opened}
took, grown = time.perf_counter() - began, resident() - before
began = time.perf_counter()
length = data[{last}].size
print(json.dumps({{"open_ms": took * 1e3, "open_mb": grown / 1e6, "first_read_ms": (time.perf_counter() - began) * 1e3,
                  "documents": len(data), "length": int(length)}}))
"""


def write(prefix: Path, documents: int, seed: int) -> Path:
    """Random tokens in documents of 400 tokens in the median."""
    rng = np.random.default_rng(seed)
    with IndexedWriter(prefix, np.uint16) as writer:
        for start in range(0, documents, 20_000):
            lengths = rng.lognormal(6, 1, min(20_000, documents - start)).astype(np.int64) + 1
            writer.add_documents(rng.integers(0, 50_000, lengths.sum(), dtype=np.uint16), lengths)
    return prefix


def joined(parts: Any) -> Any:
    """The tokens of many reads as one array, to be compared."""
    return np.concatenate(parts)


def reading(prefix: Path) -> None:
    """Random documents and windows of the stream."""
    from megatron.core.datasets.indexed_dataset import IndexedDataset as Peer

    ours, theirs = IndexedDataset(prefix), Peer(str(prefix))
    rng = np.random.default_rng(1)
    numbers = rng.integers(0, len(ours), READS)
    one_by_one = numbers.tolist()

    def documents_of_megatron() -> Any:
        return [theirs[i] for i in one_by_one]

    def batches() -> Any:
        return [one for start in range(0, READS, BATCH) for one in ours.take(numbers[start : start + BATCH])]

    compare(
        "indexed/documents-one-by-one",
        lambda: [ours[i] for i in one_by_one],
        documents_of_megatron,
        READS,
        "documents",
        result=joined,
    )
    compare("indexed/documents-in-batches", batches, documents_of_megatron, READS, "documents", result=joined)
    compare(
        "indexed/documents-copied",
        lambda: joined(batches()),
        lambda: joined(documents_of_megatron()),
        READS,
        "documents",
    )
    starts = rng.integers(0, ours.tokens - WINDOW, READS // 10)
    ends = starts + WINDOW - 1
    first, last = ours.sequence_at(starts), ours.sequence_at(ends)
    skip, rest = starts - ours.starts(first), ends - ours.starts(last) + 1
    pieces = list(zip(first.tolist(), last.tolist(), skip.tolist(), rest.tolist(), strict=True))

    def megatron_window(first: int, last: int, skip: int, rest: int) -> Any:
        """As GPTDataset puts a sample together, from places that it has computed before."""
        if first == last:
            return theirs.get(first, skip, WINDOW)
        parts = [theirs.get(first, skip), *(theirs.get(i) for i in range(first + 1, last)), theirs.get(last, 0, rest)]
        return np.concatenate(parts)

    compare(
        f"indexed/windows-of-{WINDOW}",
        lambda: [ours.window(start, WINDOW) for start in starts.tolist()],
        lambda: [megatron_window(*one) for one in pieces],
        starts.size,
        "windows",
        result=joined,
    )
    compare(
        f"indexed/windows-of-{WINDOW}-copied",
        lambda: np.stack([ours.window(start, WINDOW) for start in starts.tolist()]),
        lambda: np.stack([megatron_window(*one) for one in pieces]),
        starts.size,
        "windows",
    )


def opening(folder: Path) -> None:
    """A dataset of 10^8 documents of one token, in a fresh process each."""
    prefix = folder / "many"
    with (folder / "many.idx").open("wb") as file:
        file.write(b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, MANY, MANY + 1))
        for kind, first, step in (("<i4", 1, 0), ("<i8", 0, 2), ("<i8", 0, 1)):
            count = MANY + (step == 1)
            for start in range(0, count, 1 << 22):
                size = min(1 << 22, count - start)
                file.write((first + step * np.arange(start, start + size)).astype(kind).tobytes())
    with (folder / "many.bin").open("wb") as file:
        file.truncate(2 * MANY)
    sides = {
        "ours": ("from megadata.indexed.reader import IndexedDataset", f"IndexedDataset({str(prefix)!r})"),
        "peer": (
            "import warnings; warnings.simplefilter('ignore')\nfrom megatron.core.datasets.indexed_dataset import IndexedDataset",
            f"IndexedDataset({str(prefix)!r})",
        ),
    }
    for side, (imports, opened) in sides.items():
        code = OPEN.format(imports=imports, opened=opened, last=MANY - 1)
        runs = []
        for _ in range(5):
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
        worst = {name: round(max(run[name] for run in runs), 2) for name in runs[0]}
        _print({"bench": "indexed/open-10^8", "side": side, "of": "the worst of 5", **worst, "machine": machine()})


def merging(folder: Path) -> None:
    """Two datasets into one; ours writes digests of all it wrote as well."""
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    parts = [write(folder / f"part{number}", DOCUMENTS, number) for number in range(2)]
    size = sum(Path(f"{part}.bin").stat().st_size for part in parts) / 1e6

    def ours() -> Path:
        merge(parts, folder / "ours", workers=os.cpu_count() or 1)
        return folder / "ours.idx"

    def theirs() -> Path:
        builder = IndexedDatasetBuilder(str(folder / "theirs.bin"), dtype=np.uint16)
        for part in parts:
            builder.add_index(str(part))
        builder.finalize(str(folder / "theirs.idx"))
        return folder / "theirs.idx"

    compare("indexed/merge", ours, theirs, size, "MB", repeats=3, threads=os.cpu_count() or 1)


def main() -> None:
    """Measure all parts."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reading(write(folder / "d", DOCUMENTS, 0))
        opening(folder)
        merging(folder)


if __name__ == "__main__":
    main()
