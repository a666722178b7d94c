"""Loaders of packed tokens beside each other: time to the first batch, memory a rank, index files, and tokens a second of a core.

Run from the repository, with the peers in an environment of their own (``make peers``)::

    python benchmarks/bench_loaders.py FOLDER [--documents 10000000] [--sources 100] [--only megadata,megatron]
    python benchmarks/bench_loaders.py FOLDER --documents 1000000000 --synthetic [--only ...]

The first makes FOLDER with that many documents of 100 tokens on average in that many sources, converts them for each peer (not
timed as reading; `prepare_s`), and reads shuffled batches of 32 x 1,024 tokens, blended from all sources, in a process for each
loader that has the same Python, numpy and torch. `megatron` runs twice: cold, building its index files, and cached. The tokens of
the first batch must lie in the sources as they stand there, and ours in Megatron's order must be Megatron's own.

``--synthetic``: sources whose .idx is real, of 10^7 documents each, and whose .bin is a hole of the file system; only loaders
that read such files take part. Files lie in the page cache; one process, no workers, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from harness import machine

from megadata.indexed.writer import IndexedWriter

HERE = Path(__file__).parent
PEERS = Path(os.environ.get("MEGADATA_PEERS", HERE.parent / ".peers"))
DOCUMENT = 100
LOADERS = (
    "megadata",
    "megadata_torch",
    "megadata_megatron",
    "megatron",
    "streaming",
    "litdata",
    "grain",
    "datasets",
    "nanogpt",
)
NEEDS = {"streaming": "mds", "litdata": "litdata", "grain": "arrayrecord", "datasets": "arrow", "nanogpt": "nanogpt"}
"""What must be written first, and where."""


def make(folder: Path, documents: int, sources: int) -> None:
    """Sources of random tokens, and a file that says they are whole."""
    (folder / "tokens").mkdir(parents=True, exist_ok=True)
    for i in range(sources):
        rng = np.random.default_rng(i)
        lengths = rng.integers(1, 2 * DOCUMENT, documents // sources)
        with IndexedWriter(folder / "tokens" / f"s{i:03}", np.uint16) as writer:
            writer.add_documents(rng.integers(0, 1 << 16, int(lengths.sum()), dtype=np.uint16), lengths)
    (folder / "made").write_text(f"{documents} {sources}")


def make_synthetic(folder: Path, documents: int, sources: int) -> None:
    """One index of documents / sources documents, linked under a name a source; the tokens are holes with a number each."""
    (folder / "tokens").mkdir(parents=True, exist_ok=True)
    lengths = np.random.default_rng(0).integers(1, 2 * DOCUMENT, documents // sources).astype("<i4")
    size = int(lengths.sum()) * 2
    first = folder / "tokens" / "s000"
    pointers = np.concatenate(([0], np.cumsum(lengths, dtype="<i8")[:-1])) * 2
    with Path(f"{first}.idx").open("wb") as file:
        file.write(b"MMIDIDX\x00\x00" + np.array([1], "<u8").tobytes() + b"\x08")
        file.write(np.array([lengths.size, lengths.size + 1], "<u8").tobytes())
        for part in (lengths, pointers.astype("<i8"), np.arange(lengths.size + 1, dtype="<i8")):
            file.write(part.tobytes())
    for i in range(sources):
        prefix = folder / "tokens" / f"s{i:03}"
        if i:
            os.link(f"{first}.idx", f"{prefix}.idx")
        with Path(f"{prefix}.bin").open("wb") as file:
            file.write(np.array([i + 1], "<u8").tobytes())
            file.truncate(size)
    (folder / "made").write_text(f"{documents} {sources}")


def run(python: str, what: str, name: str, folder: Path, seconds: float, limit: float) -> dict[str, Any]:
    """What a process of one loader says."""
    command = [python, "-W", "ignore", str(HERE / "peers" / "loaders.py"), what, name, str(folder), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {limit:.0f} s"}
    if done.returncode or not done.stdout.strip():
        return {"error": done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def lies_in(rows: list[list[int]], folder: Path) -> bool:
    """Whether the first tokens of each row stand in a source, side by side; rows that begin at the end of a document may not."""
    wanted = {np.array(row, np.uint16).tobytes() for row in rows}
    for path in sorted((folder / "tokens").glob("*.bin")):
        data = path.read_bytes()
        wanted -= {row for row in wanted if row in data}
        if not wanted:
            return True
    return False


def files_mb(folder: Path) -> float:
    """Megabytes below a folder."""
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 1)


def main() -> None:
    """Make, convert, read."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--documents", type=int, default=10_000_000)
    parser.add_argument("--sources", type=int, default=100)
    parser.add_argument("--synthetic", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--prepare", action="store_true", help="make and convert, read nothing")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--limit", type=float, default=280.0)
    args = parser.parse_args()
    folder = args.folder.resolve()
    python = str(PEERS / "loaders" / "bin" / "python")
    if not Path(python).exists():
        sys.exit(f"{python}: not there; `make peers` makes the environment of the peers")
    if not (folder / "made").exists():
        (make_synthetic if args.synthetic else make)(folder, args.documents, args.sources)
    names = args.only.split(",") if args.only else [*LOADERS]
    if args.synthetic:
        names = [name for name in names if name in ("megadata", "megadata_megatron", "megatron")]
    documents, sources = (folder / "made").read_text().split()
    say = {"documents": int(documents), "sources": int(sources), "machine": machine()}
    for name in names:
        made = folder / NEEDS[name] if name in NEEDS else None
        if made is not None and not (made / "done").exists() and not (folder / f"{made.name}.done").exists():
            shutil.rmtree(made, ignore_errors=True)
            found = run(python, "prepare", name, folder, 0, args.limit)
            print(
                json.dumps({"bench": f"loaders/prepare-{name}", **found, "files_mb": files_mb(made), **say}), flush=True
            )
            if "error" not in found:
                (folder / f"{made.name}.done").write_text(json.dumps(found))
    if args.prepare:
        return
    first_rows: dict[str, list[list[int]]] = {}
    for name in names:
        turns = ("cold", "cached") if name == "megatron" else ("",)
        for turn in turns:
            if turn == "cold":
                shutil.rmtree(folder / "megatron", ignore_errors=True)
            found = run(python, "read", name, folder, args.seconds, args.limit)
            rows = found.pop("rows", [])
            if rows:
                first_rows[name] = rows
            if rows and not args.synthetic and "megatron" not in name:
                found["tokens_lie_in_the_sources"] = lies_in(rows, folder)
            if turn == "cold":
                found["index_mb"] = files_mb(folder / "megatron")
            print(json.dumps({"bench": f"loaders/{name}{turn and '-' + turn}", **found, **say}), flush=True)
    if "megatron" in first_rows and "megadata_megatron" in first_rows:
        equal = first_rows["megatron"] == first_rows["megadata_megatron"]
        print(json.dumps({"bench": "loaders/megatron-order", "equal": equal}), flush=True)


if __name__ == "__main__":
    main()
