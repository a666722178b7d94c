"""`megadata why ID` on a folder of 10^8 documents: a stage's key index, an indexed dataset and a run.

Run from the repository: ``python benchmarks/bench_why.py [DOCUMENTS] [--keep DIR]``. The folder is synthetic: its indexes are
written directly, in the form that `clean`, `tokenize` and `train` write them, and hold a few real documents among invented keys.
Each answer is asked for in a new process, with the files dropped from the page cache (cold) and again (warm), and is checked
against where the documents were put. 10^8 documents take about 8 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard
from harness import machine

from megadata.documents.ids import KEY, hash_id
from megadata.indexed.blend import Blend
from megadata.indexed.format import write_index
from megadata.indexed.meta import Meta, write_meta
from megadata.tokenize.keys import shuffle_keys
from megadata.tokenize.records import DOCS_SCHEMA
from megadata.tokenize.write import ROW_GROUP
from megadata.trainer.config import config_from
from megadata.trainer.runfolder import write_run_config

PROBES = [f"probe-{number}" for number in range(5)]
TOKENS = 700  # of each document
LENGTH, BATCH, STEPS = 2048, 512, 100_000


def spread(count: int, placed: dict[int, int], start: int, stop: int) -> np.ndarray:
    """The entries start, ..., stop - 1 of `count` rising 64-bit keys; `placed` are keys to stand among them, by entry."""
    step = 2**64 // count
    keys = (np.arange(start, stop, dtype=np.uint64) * np.uint64(step)) + np.uint64(step // 2)
    for entry, key in placed.items():
        if start <= entry < stop:
            keys[entry - start] = key
    return keys


def entries(count: int, keys: dict[str, int]) -> dict[str, int]:
    """The entry at which each key lies among `count` evenly spread ones."""
    return {name: min(count - 1, key // (2**64 // count)) for name, key in keys.items()}


def write_stage(folder: Path, count: int) -> None:
    """An output of `clean`: one shard with the probes, and a key index of `count` documents."""
    folder.mkdir(parents=True)
    lines = [orjson.dumps({"id": name, "text": f"text of {name}", "source": "web"}) + b"\n" for name in PROBES]
    (folder / "docs-00000.jsonl.zst").write_bytes(zstandard.compress(b"".join(lines)))
    offsets = dict(zip(PROBES, np.cumsum([0, *map(len, lines)]).tolist(), strict=False))
    hashes = {name: hash_id(name) for name in PROBES}
    at = entries(count, {name: key for name, (key, _) in hashes.items()})
    with (folder / "keys.idx").open("wb") as file:
        for start in range(0, count, 1 << 22):
            stop = min(count, start + (1 << 22))
            rows = np.zeros(stop - start, KEY)
            rows["key"] = spread(count, {at[name]: hashes[name][0] for name in PROBES}, start, stop)
            for name in PROBES:
                if start <= at[name] < stop:
                    rows["check"][at[name] - start], rows["offset"][at[name] - start] = hashes[name][1], offsets[name]
            file.write(rows.tobytes())


def write_dataset(prefix: Path, count: int) -> dict[str, int]:
    """A dataset of `count` documents of equal length, its .bin a hole; returns the document of each probe."""
    prefix.parent.mkdir(parents=True)
    keys = {name: int(shuffle_keys([name], 0)[0][0]) for name in PROBES}
    at = entries(count, keys)
    names = {entry: name for name, entry in at.items()}
    with pq.ParquetWriter(f"{prefix}.docs.parquet", DOCS_SCHEMA, compression="zstd") as writer:
        for start in range(0, count, ROW_GROUP):
            stop = min(count, start + ROW_GROUP)
            numbers = pa.array(np.arange(start, stop)).cast(pa.string())
            ids = pc.binary_join_element_wise("CC-MAIN-2026-30", numbers, "-")
            for entry in names.keys() & range(start, stop):
                ids = pa.concat_arrays([ids[: entry - start], pa.array([names[entry]]), ids[entry - start + 1 :]])
            columns = {
                "id": ids,
                "source": pa.repeat("web", len(ids)),
                "url": pc.binary_join_element_wise("https://example.org", ids, "/"),
                "shard": pa.repeat("docs-00000.jsonl.zst", len(ids)),
                "cluster_size": np.ones(len(ids), np.uint32),
                "key": spread(count, {at[name]: keys[name] for name in PROBES}, start, stop),
            }
            writer.write_table(pa.table(columns, schema=DOCS_SCHEMA), row_group_size=ROW_GROUP)
    lengths = np.broadcast_to(np.int32(TOKENS), count)
    write_index(f"{prefix}.idx", np.uint16, lengths, np.arange(count + 1), sync=False)
    with Path(f"{prefix}.bin").open("wb") as file:
        file.truncate(count * TOKENS * 2)
    counts = {"tokens": count * TOKENS, "sequences": count, "documents": count}
    write_meta(
        prefix,
        Meta(**counts, dtype="uint16", eod=0, vocabulary_size=50_000, shuffled=True, seed=0, fingerprint="5" * 64),
    )
    return at


def write_run(run: Path, prefix: Path) -> Blend:
    """A run of `STEPS` steps on the dataset."""
    run.mkdir(parents=True)
    model = {"kind": "gpt", "num_layers": 1, "hidden_size": 8, "num_attention_heads": 1}
    data = {"sequence_length": LENGTH, "batch_size": BATCH}
    sections = {"model": {**model, "max_position_embeddings": LENGTH}, "data": data, "trainer": {"steps": STEPS}}
    write_run_config(run, config_from(sections))
    blend = Blend.of({"web": prefix})
    blend.save(run / "blend.yaml")
    with (run / "metrics.jsonl").open("wb") as file:
        for step in range(1, STEPS + 1):
            line = {"step": step, "loss": 2.0, "grad_norm": 1.0, "lr": 1e-4, "tokens": step * BATCH * LENGTH}
            file.write(orjson.dumps({**line, "first_sample": (step - 1) * BATCH, "tokens_per_s": 1e6}) + b"\n")
    return blend


def drop(folder: Path) -> None:
    """Have nothing of the folder in the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def ask(folder: Path, name: str) -> tuple[float, list[dict]]:
    """Seconds of a process that answers, and its answer."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "megadata", "why", name, "--in", str(folder), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - began, json.loads(done.stdout)


def check(answer: list[dict], name: str, document: int, blend: Blend) -> int:
    """Raise unless the answer is where the document was put; returns how many steps saw it."""
    kept, place, seen = answer
    steps = seen["record"]["steps"]
    assert kept["record"]["text"] == f"text of {name}"
    assert (place["record"]["document"], place["record"]["start"]) == (document, document * TOKENS)
    samples = blend.samples(LENGTH)
    for step in steps:
        starts = samples.places(np.arange((step - 1) * BATCH, step * BATCH))[2]
        first, last = document * TOKENS, (document + 1) * TOKENS
        assert any(start < last and start + LENGTH + 1 > first for start in starts.tolist())
    return len(steps)


def main() -> None:
    """Write the folder, ask for each probe cold and warm, and print the seconds."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("documents", nargs="?", type=int, default=10**8)
    arguments.add_argument("--keep", type=Path, help="Write the folder here and leave it.")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        prefix = folder / "data" / "web"
        if not (folder / "runs").exists():
            write_stage(folder / "clean", given.documents)
            write_dataset(prefix, given.documents)
            write_run(folder / "runs" / "gpt", prefix)
        at = entries(given.documents, {name: int(shuffle_keys([name], 0)[0][0]) for name in PROBES})
        blend = Blend.load(folder / "runs" / "gpt" / "blend.yaml")
        seconds: dict[str, list[float]] = {"cold": [], "warm": []}
        seen = 0
        for name in PROBES:
            drop(folder)
            for state in ("cold", "warm"):
                took, answer = ask(folder, name)
                seconds[state].append(took)
                steps = check(answer, name, at[name], blend)
            seen += steps
        if not seen:
            raise ValueError("no step of the run saw a probe: the benchmark shows nothing")
        line = {"bench": f"why/{given.documents}", "unit": "seconds", "steps_told": seen, "machine": machine()}
        line |= {f"{state}_{what}": round(of(v), 3) for state, v in seconds.items() for what, of in STATISTICS.items()}
        print(json.dumps(line), flush=True)


STATISTICS = {"median": statistics.median, "high": max}

if __name__ == "__main__":
    main()
