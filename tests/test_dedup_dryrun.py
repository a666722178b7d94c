"""What `dedup --dry-run` says that a run takes, held against what the run takes."""

from __future__ import annotations

import gzip
import json
import mmap
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from megadata.cli import cli
from megadata.corpus.dedup import DedupConfig, Prediction, predict
from megadata.documents.inputs import expand
from megadata.errors import CorpusError
from megadata.runtime.footprint import peak_memory, resident_memory
from megadata.runtime.settings import RunSettings

LEAST, MOST = 0.75, 1.25
"""How far below the least and above the most that is printed a run may lie."""


def write(path: Path, count: int, copies: float = 0.0, words: int = 250, seed: int = 4) -> Path:
    """Documents of random words; a share of them near copies of others."""
    rng = random.Random(seed)
    with path.open("wb") as file:
        text: list[str] = []
        for number in range(count):
            if not text or rng.random() >= copies:
                text = [f"w{rng.randrange(50_000)}" for _ in range(words)]
            else:
                text[rng.randrange(words)] = "changed"
            file.write(orjson.dumps({"id": f"d{number}", "text": " ".join(text)}, option=orjson.OPT_APPEND_NEWLINE))
    return path


def foresee(path: Path, workers: int = 1, **changes: Any) -> Prediction:
    return predict(expand([str(path)]), DedupConfig(**changes), RunSettings(workers=workers))


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "megadata", "dedup", *map(str, arguments), "--workers", "1", "--json"]


def measured(output: Path, *arguments: str | Path) -> tuple[int, int]:
    """Most bytes of memory of the process, and most bytes below its output while it ran."""
    process = subprocess.Popen(command(*arguments, "-o", output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most, ram = 0, 0
    while process.poll() is None:
        held = 0
        for folder, _, names in os.walk(output):
            for name in names:
                try:
                    held += (Path(folder) / name).stat().st_size
                except OSError:
                    continue
        most, ram = max(most, held), max(ram, highest(process.pid))
        time.sleep(0.01)
    assert process.returncode == 0
    return ram, most


def highest(pid: int) -> int:
    """Most bytes of memory of a process since it began; what `ru_maxrss` counts began with the process that forked it."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("copies", [0.0, 0.6])
def test_a_run_uses_the_memory_and_the_disk_that_the_dry_run_has_said(tmp_path: Path, copies: float):
    path = write(tmp_path / "in.jsonl", 8_000, copies)
    memory = ["--memory", "256M"]
    said = json.loads(subprocess.run(command(path, "--dry-run", *memory), check=True, capture_output=True).stdout)
    ram, disk = measured(tmp_path / "out", path, *memory)
    assert said["documents"] == 8_000
    for name, used in (("ram", ram), ("disk", disk)):
        bounds = said["total"][name]
        assert LEAST * bounds["least"] < used < MOST * bounds["most"], (name, used, bounds)


def test_an_input_that_is_tried_whole_is_counted_exactly(tmp_path: Path):
    path = write(tmp_path / "in.jsonl", 500, copies=0.5)
    predicted = foresee(path)
    assert (predicted.documents, predicted.sampled, predicted.share) == (500, 500, 1.0)
    assert predicted.text_bytes == sum(len(orjson.loads(line)["text"]) for line in path.read_bytes().splitlines())
    assert 0.6 < predicted.candidates < 0.9


@pytest.mark.parametrize("packed", [False, True])
def test_documents_of_a_large_input_are_counted_from_a_portion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
):
    path = write(tmp_path / "in.jsonl", 6_000, words=60)
    if packed:
        path = path.with_suffix(".jsonl.gz")
        path.write_bytes(gzip.compress(path.with_suffix("").read_bytes(), 6))
    monkeypatch.setattr("megadata.corpus.dedup.dryrun.TEXT_BYTES", 600_000)
    predicted = foresee(path, unit_bytes=100_000)
    assert predicted.share < 0.5
    assert predicted.documents == pytest.approx(6_000, rel=0.25)


def test_more_workers_take_less_time_and_more_memory(tmp_path: Path):
    path = write(tmp_path / "in.jsonl", 3_000)
    one, four = foresee(path), foresee(path, workers=4)
    assert four.total_ram.least > one.total_ram.least
    assert set(one.seconds) == set(four.seconds)
    for bounds in (*one.seconds.values(), *one.disk.values(), *one.ram.values()):
        assert 0 <= bounds.least <= bounds.most


def test_nothing_is_compared_with_exact_only(tmp_path: Path):
    path = write(tmp_path / "in.jsonl", 400, copies=0.5)
    predicted = foresee(path, exact_only=True)
    assert predicted.candidates == 0
    assert predicted.seconds["compare"].most == 0
    assert predicted.total_disk.most < foresee(path).total_disk.most


def test_the_tables_name_every_phase_and_what_is_supposed(tmp_path: Path):
    path = write(tmp_path / "in.jsonl", 300)
    told = CliRunner().invoke(cli, ["dedup", str(path), "-o", str(tmp_path / "out"), "--dry-run", "--workers", "2"])
    assert told.exit_code == 0, told.output
    for words in ("13 bands of 8 rows", "300 documents", "2 workers", "all time", "most disk", "all RAM", "at most"):
        assert words in told.output
    assert "Measured on 300 documents, 1e+02 % of the input" not in told.output
    assert "Measured on 300 documents, 100 % of the input" in told.output
    assert not (tmp_path / "out").exists()


def test_an_input_without_documents_is_refused(tmp_path: Path):
    path = tmp_path / "empty.jsonl"
    path.write_bytes(b'{"no": "text"}\n')
    with pytest.raises(CorpusError, match=r"--dry-run: expected documents to try, found none in empty\.jsonl"):
        foresee(path)


def test_the_most_memory_of_a_block_is_seen_after_it_was_given_back():
    before = resident_memory()
    with peak_memory() as peak:
        held = mmap.mmap(-1, 64 << 20)  # pages of its own: memory that was freed before may still be resident
        held.write(b"x" * (64 << 20))
        held.close()
    assert peak.bytes > before + (48 << 20)
