"""Other thresholds: `clean --from-scores` beside `clean` of the raw text with the same rules, whole commands.

Run from the repository::

    MEGADATA_REAL_DATA=DIR python benchmarks/bench_scores.py [--megabytes 200] [--workers 2] [--rules web]

The text is that of `bench_clean.py`. One JSON line: seconds of `clean --scores` once, of `clean` with the new thresholds, of
`--from-scores` with them, and of its `--dry-run`; how many times the second is the third and the fourth; and that the two outputs
are the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_clean import documents, write
from harness import machine

CHANGES = ("quality.too_few_words=120", "repetition.top_2gram=0.1", "quality.short_lines=off")


def run(*words: str) -> tuple[float, dict[str, float]]:
    """Seconds of a `clean` command, and its counts."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "megadata", "clean", *words, "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began, json.loads(done.stdout)


def content(folder: Path) -> dict[str, bytes]:
    """All files of an output but the state of runs."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".megadata" not in path.parts
    }


def main() -> None:
    """Measure and print one line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rules", default="web")
    given = parser.parse_args()
    real = os.environ.get("MEGADATA_REAL_DATA")
    if not real:
        raise SystemExit("MEGADATA_REAL_DATA: not set; this script cleans real text")
    with tempfile.TemporaryDirectory(prefix="megadata-scores-") as base:
        lines = list(documents(Path(real), given.megabytes * 1_000_000))
        raw, scored, straight, decided = (Path(base, name) for name in ("all.jsonl", "scored", "straight", "decided"))
        size = write(raw, lines)
        workers = ("--workers", str(given.workers))
        changes = ("--rules", given.rules, *(word for change in CHANGES for word in ("--set", change)))
        first, _ = run(str(raw), "-o", str(scored), "--rules", given.rules, "--scores", *workers)
        fresh, counts = run(str(raw), "-o", str(straight), *changes, *workers)
        again, report = run("--from-scores", str(scored), "-o", str(decided), *changes, *workers)
        dry, _ = run("--from-scores", str(scored), "--dry-run", *changes)
        if content(straight) != content(decided):
            raise SystemExit("the outputs differ")
        print(
            json.dumps(
                {
                    "bench": f"from-scores/{given.rules}",
                    "megabytes": round(size / 1e6, 1),
                    "documents": len(lines),
                    "back": report["back"],
                    "gone": report["gone"],
                    "workers": given.workers,
                    "seconds": {k: round(v, 2) for k, v in
                                (("scores", first), ("clean", fresh), ("from-scores", again), ("dry-run", dry))},
                    "ratio": round(fresh / again, 1),
                    "ratio_dry_run": round(fresh / dry, 1),
                    "same_bytes": counts["counts"] == report["counts"],
                    "machine": machine(),
                }
            ),
            flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
