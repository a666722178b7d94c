"""The ends of what there is to deduplicate: nothing, one word, one huge document, one text for all, no text twice.

Each is done within memory and in a time that grows with the input and no faster; `make test-long` does them at full size.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
import zstandard

from megadata.corpus.dedup import DedupConfig, dedup
from megadata.documents.inputs import expand
from megadata.runtime.footprint import peak_memory, resident_memory
from megadata.runtime.settings import RunSettings

MEMORY = 256 << 20
Texts = Callable[[int], Iterable[str]]


def write(path: Path, texts: Iterable[str]) -> Path:
    with path.open("wb") as file:
        for number, text in enumerate(texts):
            file.write(orjson.dumps({"id": f"d{number:07d}", "text": text}, option=orjson.OPT_APPEND_NEWLINE))
    return path


def run(path: Path, output: Path, **changes: Any) -> tuple[float, int]:
    """Seconds of the processor, and bytes of memory beyond those at the start."""
    before = resident_memory()
    began = time.process_time()
    with peak_memory() as peak:
        dedup(expand([str(path)]), output, DedupConfig(**changes), RunSettings(workers=1, memory=MEMORY))
    return time.process_time() - began, peak.bytes - before


def kept(output: Path) -> Iterator[dict[str, Any]]:
    for shard in sorted(output.glob("docs-*.jsonl.zst")):
        with zstandard.open(shard, "rb") as file:
            yield from map(orjson.loads, file.read().splitlines())


def removed(output: Path) -> int:
    return int(pq.read_metadata(output / "duplicates.parquet").num_rows)


def check_growth(folder: Path, texts: Texts, count: int, most: int, expected: Callable[[int], int]) -> None:
    """Four times the documents take at most six times the time, and memory within `most` bytes."""
    run(write(folder / "warm.jsonl", texts(10)), folder / "warm")
    seconds = []
    for times in (1, 4):
        size = count * times // 4
        output = folder / f"out{times}"
        path = write(folder / f"in{times}.jsonl", texts(size))
        took, memory = run(path, output)
        seconds.append(took)
        assert memory < most, f"{memory >> 20} MiB"
        assert removed(output) == size - expected(size)
    assert seconds[1] < 6 * seconds[0] + 0.5, seconds


def equal(count: int) -> Iterator[str]:
    text = " ".join(f"w{i}" for i in range(40))
    return (text for _ in range(count))


def unique(count: int) -> Iterator[str]:
    rng = random.Random(1)
    return (" ".join(f"w{rng.randrange(1 << 30)}" for _ in range(40)) for _ in range(count))


def one_template(count: int) -> Iterator[str]:
    """Pages that are alike below the threshold: each shares bands with most others, and none goes for another."""
    rng = random.Random(2)
    shared = " ".join(f"w{i}" for i in range(60))
    return (f"{shared} {' '.join(f'x{rng.randrange(1 << 30)}' for _ in range(22))}" for _ in range(count))


def huge(megabytes: float) -> str:
    rng = random.Random(3)
    size = int(megabytes * 1e6)
    words = [f"w{rng.randrange(1 << 24):x}" for _ in range(size // 8)]
    return " ".join(words)[:size]


def test_all_documents_empty_leaves_one_of_them(tmp_path: Path):
    run(write(tmp_path / "in.jsonl", [""] * 2_000), tmp_path / "out")
    (only,) = kept(tmp_path / "out")
    assert (only["id"], only["text"], only["metadata"]["cluster_size"]) == ("d0000000", "", 2_000)


@pytest.mark.parametrize("text", ["", "word", "!", "五", "\n\t "])
def test_a_single_document_stays(tmp_path: Path, text: str):
    run(write(tmp_path / "in.jsonl", [text]), tmp_path / "out")
    assert [one["text"] for one in kept(tmp_path / "out")] == [text]
    assert removed(tmp_path / "out") == 0


def test_of_documents_of_one_word_the_equal_ones_go_alone(tmp_path: Path):
    words = [f"word{number % 700}" for number in range(2_100)]
    run(write(tmp_path / "in.jsonl", words), tmp_path / "out")
    assert sorted(one["text"] for one in kept(tmp_path / "out")) == sorted(set(words))


def test_equal_documents_take_linear_time_and_bounded_memory(tmp_path: Path):
    check_growth(tmp_path, equal, 20_000, 400 << 20, lambda _: 1)


def test_unique_documents_take_linear_time_and_bounded_memory(tmp_path: Path):
    check_growth(tmp_path, unique, 20_000, 400 << 20, lambda count: count)


def test_pages_of_one_template_take_linear_time_and_bounded_memory(tmp_path: Path):
    check_growth(tmp_path, one_template, 8_000, 400 << 20, lambda count: count)


def check_huge(folder: Path, megabytes: float) -> None:
    """A huge document, a near copy and an exact one of it, and small ones: memory is a small multiple of the largest."""
    text = huge(megabytes)
    changed = text.replace("w1", "v1", 1)
    small = list(unique(50))
    path = write(folder / "in.jsonl", [*small, text, text.upper(), changed + " tail"])
    _, memory = run(path, folder / "out")
    assert [one["id"] for one in kept(folder / "out")] == [f"d{number:07d}" for number in (*range(50), 52)]
    assert memory < (400 << 20) + 14 * len(text), f"{memory >> 20} MiB"
    seconds = []
    for size in (megabytes / 4, megabytes):
        took, _ = run(write(folder / "one.jsonl", [huge(size)]), folder / f"alone{size}")
        seconds.append(took)
    assert seconds[1] < 6 * seconds[0] + 0.5, seconds


def test_a_huge_document_takes_a_small_multiple_of_its_size(tmp_path: Path):
    check_huge(tmp_path, 6)


@pytest.mark.long
def test_a_document_of_a_hundred_megabytes_takes_a_small_multiple_of_its_size(tmp_path: Path):
    check_huge(tmp_path, 100)


@pytest.mark.long
def test_seven_hundred_thousand_equal_documents(tmp_path: Path):
    check_growth(tmp_path, equal, 700_000, 700 << 20, lambda _: 1)


@pytest.mark.long
def test_half_a_million_unique_documents(tmp_path: Path):
    check_growth(tmp_path, unique, 500_000, 700 << 20, lambda count: count)


@pytest.mark.long
def test_forty_thousand_pages_of_one_template(tmp_path: Path):
    check_growth(tmp_path, one_template, 40_000, 700 << 20, lambda count: count)
