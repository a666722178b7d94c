"""WARC to JSONL: `megadata clean --rules none` beside its own extractor in a bare loop, and beside datatrove.

Run from the repository, with datatrove in an environment of its own (``make peers``; without it that part is left out)::

    MEGADATA_REAL_DATA=DIR python benchmarks/bench_warc.py [--extractor NAME] [--repeats 3] [--copies 1]

The archive is made of the pages below ``$MEGADATA_REAL_DATA/web`` (of Python's documentation without it) as Common Crawl makes
its own: gzip by record, a request and a metadata record beside each response; with ``--copies``, so many copies of each, since a
file of Common Crawl holds some 30,000 pages. The bare loop gives the extractor the same decoded pages, each a fresh string; runs
alternate, so that a slow moment hits both.

``warc/start-NAME`` is what a fresh interpreter takes for an archive of one page: imports and kernels, which each worker loads.
Lines ``warc/clean-NAME-Nw`` hold the rates of clean and of the bare loop on one core, and as ``ratio`` the share of the
extractor's own speed that is left: clean's rate over the bare loop's times the workers. ``cpu_ratio`` is the same of processor
time, which holds on a busy machine. ``warc/datatrove-NAME-Nw`` compares pages a second, datatrove's on a sample. Texts must be
those of the bare loop, and both readers must find the same share of pages.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from harness import machine

from megadata.corpus.clean import CleanConfig, clean
from megadata.corpus.sources import extract
from megadata.corpus.sources.charset import decode
from megadata.documents.inputs import expand
from megadata.documents.source import ReadOptions
from megadata.pipeline.demo_corpus.modules import STANDARD_LIBRARY
from megadata.pipeline.demo_corpus.pages import render_modules
from megadata.runtime.settings import RunSettings
from megadata.runtime.streams import open_decoded

PEER = Path(__file__).parent / "peers" / "datatrove_warc.py"
PYTHON = Path(os.environ.get("MEGADATA_PEERS") or Path(__file__).parents[1] / ".peers") / "datatrove/bin/python"
SAMPLE_EVERY = 2
"""datatrove is given one page in so many: it would take minutes for all."""


def pages() -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of pages as they were saved."""
    real = os.environ.get("MEGADATA_REAL_DATA")
    if not real:
        for one in render_modules(STANDARD_LIBRARY):
            yield one.name, one.html.encode()
        return
    root = Path(real) / "web"
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_relative_to(root / "warc"):
            data = path.read_bytes()
            data = gzip.decompress(data) if path.suffix == ".gz" else data
            head = data[:2000].lower()
            if b"<html" in head or b"<!doctype html" in head:
                yield path.relative_to(root).as_posix(), data


def record(kind: str, number: int, url: str, media: str, content: bytes, more: str = "") -> bytes:
    """One WARC record as a gzip member."""
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Date: 2024-05-18T01:58:10Z\r\nWARC-Record-ID: <urn:uuid:{number:032x}>\r\n"
        f"Content-Length: {len(content)}\r\nContent-Type: {media}\r\nWARC-Target-URI: {url}\r\n{more}\r\n"
    )
    return gzip.compress(head.encode() + content + b"\r\n\r\n", 6, mtime=0)


def write_archive(path: Path, found: list[tuple[str, bytes]], copies: int = 1) -> None:
    """An archive of these pages, or of so many copies of each."""
    with path.open("wb") as file:
        for number, (name, body) in enumerate(found * copies):
            url = f"https://example.org/{number}/" + "".join(c if c.isalnum() else "-" for c in name if c.isascii())
            try:
                body.decode()
                charset = "; charset=utf-8"
            except UnicodeDecodeError:
                charset = ""
            request = (
                b"GET / HTTP/1.1\r\nUser-Agent: CCBot/2.0\r\nHost: example.org\r\nAccept-Encoding: br,gzip\r\n\r\n"
            )
            head = (
                f"HTTP/1.1 200 OK\r\nDate: Sat, 18 May 2024 01:58:10 GMT\r\nContent-Type: text/html{charset}\r\nServer: nginx\r\n"
                "X-Crawler-Transfer-Encoding: chunked\r\nX-Crawler-Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n"
                f"Cache-Control: max-age=600\r\nContent-Length: {len(body)}\r\n\r\n"
            ).encode()
            notes = b"fetchTimeMs: 260\r\ncharset-detected: UTF-8\r\n"
            html = "WARC-Identified-Payload-Type: text/html\r\n"
            file.write(record("request", 3 * number, url, "application/http; msgtype=request", request))
            file.write(record("response", 3 * number + 1, url, "application/http; msgtype=response", head + body, html))
            file.write(record("metadata", 3 * number + 2, url, "application/warc-fields", notes))


@dataclass(frozen=True)
class Took:
    """What some work took, and gave."""

    wall: float
    cpu: float
    """Processor seconds of this process and of the children that have ended."""
    result: Any


def timed(work: Callable[..., Any], *arguments: Any) -> Took:
    """Do some work on the clock."""
    wall, cpu = time.perf_counter(), processor_seconds()
    result = work(*arguments)
    return Took(time.perf_counter() - wall, processor_seconds() - cpu, result)


def processor_seconds() -> float:
    """User and system time so far."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in found)


def bare_loop(name: str, given: list[tuple[str, str | None]]) -> list[str | None]:
    """The extractor, and nothing else."""
    chosen = extract.extractor(name)
    return [chosen.extract(html, url) for html, url in given]


def run_clean(archive: Path, output: Path, name: str, workers: int) -> None:
    """Clean the archive."""
    config = CleanConfig(rules="none", read=ReadOptions(extractor=name))
    clean(expand([str(archive)]), output, config, RunSettings(workers=workers))


def texts_in(output: Path, pages: int) -> dict[int, str]:
    """The texts that clean has written, by the number of their page; copies of a page must have the same text."""
    texts: dict[int, str] = {}
    for path in sorted(output.glob("docs-*.jsonl.zst")):
        with open_decoded(str(path)) as lines:
            for row in map(json.loads, lines):
                number = number_in(row["url"]) % pages
                if texts.setdefault(number, row["text"]) != row["text"]:
                    raise SystemExit(f"{row['url']}: two copies of a page have different texts")
    return texts


def number_in(url: str | None) -> int:
    """The number of a page, from its address."""
    return int((url or "").split("/")[3])


def given_to(name: str, archive: Path, folder: Path) -> list[tuple[str, str | None]]:
    """(page, URL) pairs as reading the archive gives them to the extractor, decoded."""
    calls: list[tuple[str, str | None]] = []

    def listen(html: str, url: str | None) -> str | None:
        if url is not None:
            calls.append((html, url))
        return "A page."

    members = {"name": "listening", "extract": staticmethod(listen)}
    if isinstance(extract.extractor(name), extract.OnePass):
        members["extract_utf8"] = staticmethod(lambda page, url: listen(decode(page, "utf-8"), url))
    extract.OURS["listening"] = type("Listening", (), members)
    run_clean(archive, folder / "given", "listening", 1)
    return calls


def ratios(found: Iterable[float]) -> dict[str, float]:
    """Median, low and high."""
    ordered = sorted(found)
    return {"median": round(median(ordered), 3), "low": round(ordered[0], 3), "high": round(ordered[-1], 3)}


def against_bare_loop(name: str, found: list[tuple[str, bytes]], copies: int, folder: Path, repeats: int) -> None:
    """clean with one worker and with two over so many copies of the pages, beside the extractor alone over one."""
    write_archive(folder / "pages.warc.gz", found)
    given = given_to(name, folder / "pages.warc.gz", folder)
    larger = folder / "copies.warc.gz"
    write_archive(larger, found, copies)
    for workers in range(1, min(2, len(os.sched_getaffinity(0))) + 1):
        pairs: list[tuple[Took, Took]] = []
        for number in range(repeats):
            given = [(html.encode("utf-8").decode("utf-8"), url) for html, url in given]
            bare = timed(bare_loop, name, given)
            output = folder / f"clean-{workers}-{number}"
            ours = timed(run_clean, larger, output, name, workers)
            tidied = {
                number_in(url): extract.tidy(text) for (_, url), text in zip(given, bare.result, strict=True) if text
            }
            if {key: text for key, text in tidied.items() if text} != texts_in(output, len(found)):
                raise SystemExit(f"warc/clean-{name}: the texts are not those of the bare loop")
            pairs.append((ours, bare))
        show(
            f"warc/clean-{name}-{workers}w",
            {
                "ours": copies * len(given) / median(ours.wall for ours, _ in pairs),
                "bare_loop": len(given) / median(bare.wall for _, bare in pairs),
            },
            ratios(copies * bare.wall / workers / ours.wall for ours, bare in pairs),
            cpu_ratio=ratios(copies * bare.cpu / ours.cpu for ours, bare in pairs),
            pages=copies * len(given),
            threads=workers,
        )


def starting(name: str, found: list[tuple[str, bytes]], folder: Path) -> None:
    """What a fresh interpreter takes to clean an archive of one page."""
    write_archive(folder / "one.warc.gz", found[:1])
    command = [sys.executable, "-m", "megadata", "clean", str(folder / "one.warc.gz"), "--rules", "none"]
    took = [
        timed(
            lambda output: subprocess.run(
                [*command, "--extractor", name, "-o", output], check=True, capture_output=True
            ),
            str(folder / f"one-{number}"),
        )
        for number in range(3)
    ]
    seconds = {"wall": median(one.wall for one in took), "cpu": median(one.cpu for one in took)}
    rounded = {key: round(value, 2) for key, value in seconds.items()}
    print(json.dumps({"bench": f"warc/start-{name}", "unit": "seconds", **rounded, "machine": machine()}), flush=True)


def against_datatrove(name: str, found: list[tuple[str, bytes]], folder: Path, python: Path) -> None:
    """clean beside datatrove's pipeline, each with two workers."""
    sample, workers = found[::SAMPLE_EVERY], min(2, len(os.sched_getaffinity(0)))
    archives = folder / "sample"
    archives.mkdir()
    for worker in range(workers):
        write_archive(archives / f"{worker}.warc.gz", sample[worker::workers])
    command = [str(python), str(PEER), str(archives), str(folder / "peer"), str(workers)]
    answer = json.loads(
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=900).stdout.splitlines()[-1]
    )
    write_archive(folder / "all.warc.gz", found)
    ours = timed(run_clean, folder / "all.warc.gz", folder / "beside", name, workers)
    written = texts_in(folder / "beside", len(found))
    if not 0.9 < (answer["pages"] / len(sample)) / (len(written) / len(found)) < 1.1:
        raise SystemExit(
            f"warc/datatrove: {answer['pages']} of {len(sample)} pages against {len(written)} of {len(found)}"
        )
    rate = {"ours": len(found) / ours.wall, "peer": len(sample) / answer["seconds"]}
    ratio = round(rate["ours"] / rate["peer"], 2)
    show(f"warc/datatrove-{name}-{workers}w", rate, ratio, pages=len(sample), threads=workers)


def show(bench: str, rate: dict[str, float], ratio: Any, **more: Any) -> None:
    """One JSON line."""
    rates = {key: round(value, 1) for key, value in rate.items()}
    print(
        json.dumps({"bench": bench, "unit": "pages/s", **rates, "ratio": ratio, **more, "machine": machine()}),
        flush=True,
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--extractor", default=ReadOptions().extractor)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, help="take one page in so many")
    parser.add_argument("--copies", type=int, default=1, help="how often the archive holds each page")
    parser.add_argument("--peer", type=Path, default=PYTHON)
    arguments = parser.parse_args()
    found = list(pages())[:: arguments.every]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        starting(arguments.extractor, found, folder)
        against_bare_loop(arguments.extractor, found, arguments.copies, folder, arguments.repeats)
        if arguments.peer.exists():
            against_datatrove(arguments.extractor, found, folder, arguments.peer)
        else:
            print(f"{arguments.peer}: not there; `make peers` installs datatrove", file=sys.stderr)


if __name__ == "__main__":
    main()
