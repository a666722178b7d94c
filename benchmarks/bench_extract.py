"""Extractors of main text beside one another: agreement with pages that people have marked, and pages a second of one core.

Run from the repository: ``MEGADATA_REAL_DATA=DIR python benchmarks/bench_extract.py [EXTRACTOR...] [--sets NAME...]``. For each
set (see `labelled_pages`) and extractor it prints one JSON line; ``held_out`` is the same measure over the pages that no points
were fitted on. Speed is processor time of `Extractor.extract` on decoded pages; extractors take turns, set by set, so that a slow
moment of the machine hits all of them. A table closes the report.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from harness import machine, sha
from labelled_pages import Page, labelled_pages, score

from megadata.corpus.sources.charset import decode
from megadata.corpus.sources.extract import OURS, extractor


def extract_all(name: str, pages: list[str], urls: list[str | None]) -> tuple[list[str], float]:
    """Texts of the pages and the processor seconds they took; a page on which the extractor fails has no text."""
    texts = []
    began = time.process_time()
    for page, url in zip(pages, urls, strict=True):
        try:
            texts.append(extractor(name).extract(page, url) or "")
        except Exception:
            texts.append("")
    return texts, time.process_time() - began


def report(collection: str, pages: list[Page], names: list[str], repeats: int) -> dict[str, tuple[float, float, float]]:
    """Print a line an extractor; its F1, F1 on held-out pages, and pages a second."""
    decoded, urls = [decode(page.data) for page in pages], [page.url for page in pages]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    texts: dict[str, list[str]] = {}
    for repeat in range(repeats):
        for name in names:
            if repeat == 0:
                extract_all(name, decoded[:5], urls[:5])
            texts[name], took = extract_all(name, decoded, urls)
            seconds[name].append(took)
    results = {}
    for name in names:
        kept = [i for i, page in enumerate(pages) if page.held_out]
        whole = score(pages, texts[name])
        held = score([pages[i] for i in kept], [texts[name][i] for i in kept])
        rates = sorted(len(pages) / took for took in seconds[name])
        results[name] = (whole.f1, held.f1, statistics.median(rates))
        line = {
            "bench": f"extract/{collection}/{name}",
            **{key: round(getattr(whole, key), 4) for key in ("pages", "f1", "precision", "recall")},
            "held_out": {key: round(getattr(held, key), 4) for key in ("pages", "f1", "precision", "recall")},
            "unit": "pages/s",
            "median": float(f"{statistics.median(rates):.4g}"),
            "low": float(f"{rates[0]:.4g}"),
            "high": float(f"{rates[-1]:.4g}"),
            "repeats": repeats,
            "threads": 1,
            "machine": machine(),
            "python": platform.python_version(),
            "date": datetime.now(UTC).date().isoformat(),
            "result_sha": sha(texts[name]),
        }
        print(json.dumps(line), flush=True)
    return results


def main() -> None:
    """Measure the extractors named as arguments, or all of ours, on every set there is or those named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("extractors", nargs="*", default=list(OURS))
    parser.add_argument("--sets", nargs="+", help="names of sets; all without")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    place = os.environ.get("MEGADATA_REAL_DATA")
    if not place:
        sys.exit("bench_extract: set MEGADATA_REAL_DATA to the folder of real data; its web/ holds the marked pages")
    names = arguments.extractors
    sets = labelled_pages(Path(place))
    found = {name: report(name, sets[name], names, arguments.repeats) for name in arguments.sets or sets}
    print("\n| set | " + " | ".join(f"{name} F1 (held out), pages/s" for name in names) + " |")
    print("|---|" + "---|" * len(names))
    for collection, results in found.items():
        cells = (f"{f1:.3f} ({held:.3f}), {rate:.0f}" for f1, held, rate in (results[name] for name in names))
        print(f"| {collection} | " + " | ".join(cells) + " |")
    means = ((statistics.fmean(one[name][i] for one in found.values()) for i in range(2)) for name in names)
    print("| mean | " + " | ".join(f"{whole:.3f} ({held:.3f})" for whole, held in means) + " |")


if __name__ == "__main__":
    main()
