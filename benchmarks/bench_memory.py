"""Peak memory of every process of `megadata clean` on one large file of each kind.

Run from the repository: ``MEGADATA_REAL_DATA=DIR python benchmarks/bench_memory.py [MEGABYTES [KIND...]]``. The
highest proportional set size of each process is printed, in MiB (see `processes`).
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from harness import machine
from large_inputs import KINDS
from processes import watch

_WORKERS = 2
_LIMIT_MIB = 1024


def bench(kind: str, megabytes: int) -> None:
    """Clean one file of a kind and print its line."""
    with tempfile.TemporaryDirectory(prefix="megadata-memory-") as base:
        path = Path(base) / f"large.{kind}"
        KINDS[kind](path, megabytes * 1_000_000)
        command = [
            sys.executable,
            "-m",
            "megadata",
            "clean",
            str(path),
            "-o",
            f"{base}/out",
            "--workers",
            str(_WORKERS),
        ]
        main, *others = (peak >> 20 for peak in watch(command).peaks)
        line = {
            "bench": f"memory/{kind}",
            "megabytes": megabytes,
            "unit": "MiB",
            "main": main,
            "workers": sorted(others, reverse=True)[:_WORKERS],
            "holds": max(main, *others) < _LIMIT_MIB,
            "machine": machine(),
        }
        print(json.dumps(line), flush=True)


def main() -> None:
    """Measure the kinds named, or those that large inputs come as."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    for kind in sys.argv[2:] or ("jsonl", "jsonl.gz", "warc.gz", "multistream.xml.bz2", "xml.bz2"):
        bench(kind, megabytes)


if __name__ == "__main__":
    main()
