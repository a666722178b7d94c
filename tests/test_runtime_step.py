"""Steps: the same shards for any number of workers, after any kill, and again only when something changed."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from sources_support import refuse

from megadata.errors import OutputError
from megadata.runtime import files as files_module
from megadata.runtime import receipts
from megadata.runtime.entering import lines
from megadata.runtime.executor import LocalExecutor
from megadata.runtime.files import atomic_write, lock_folder, write_json
from megadata.runtime.manifest import Manifest, StepSpec, input_digests
from megadata.runtime.progress import Reporter
from megadata.runtime.receipts import CHANGED, Part, Receipt, UnitWriter, part_path, receipt_path
from megadata.runtime.shards import Shard, ShardPlanner
from megadata.runtime.step import assemble_shards, map_units, mark_spent, publish, work_folder
from megadata.runtime.streams import open_decoded
from megadata.runtime.units import InputFile, Span, Unit, cut, pack_units


@dataclass(frozen=True)
class Route:
    """Lines of even length are kept, the others removed; dies once at each unit listed."""

    folder: Path
    die: tuple[int, ...] = ()

    def __call__(self, unit: Unit) -> Receipt:
        mark = self.folder / f"died-{unit.ordinal}"
        with UnitWriter(self.folder, unit) as writer:
            for span in unit.spans:
                for _, line in lines(span, 1 << 20, refuse):
                    assert line is not None
                    writer.write("kept" if len(line) % 2 == 0 else "removed", [line + b"\n"])
                    writer.counts["lines"] += 1
            if unit.ordinal in self.die and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return writer.finish()


def units_of(path: Path) -> list[Unit]:
    status = path.stat()
    file = InputFile(path.name, str(path), status.st_size, status.st_mtime_ns, "jsonl", "text", "text")
    return pack_units(cut(file, status.st_size, 500), 500)


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"".join(b"x" * (i % 37) + b"\n" for i in range(1000)))
    return path


def mapped(folder: Path, corpus: Path, task=None, executor=None) -> tuple[list[Receipt], list[Shard]]:
    executor = executor or LocalExecutor(1)
    receipts = map_units(executor, task or Route(folder), units_of(corpus), folder, Reporter(), "route")
    mark_spent(folder)
    shards, _ = assemble_shards(executor, receipts, folder, Reporter(), shard_bytes=2000)
    return receipts, shards


def made(folder: Path, corpus: Path, workers: int = 1, die: tuple[int, ...] = ()) -> dict[str, bytes]:
    executor = LocalExecutor(workers, lambda _: None)
    try:
        receipts, shards = mapped(folder, corpus, Route(folder, die), executor)
    finally:
        executor.close()
    assert sum(r.counts["lines"] for r in receipts) == 1000
    written = {f"{s.stream}/{s.name}": (folder / "shards" / s.stream / s.name).read_bytes() for s in shards}
    assert [s.sha256 for s in shards] == [sha256(content).hexdigest() for content in written.values()]
    return written


def test_shards_are_the_same_for_any_number_of_workers_and_after_dying_workers(tmp_path, corpus):
    alone = made(tmp_path / "one", corpus)
    assert len(alone) > 4
    assert made(tmp_path / "two", corpus, workers=2) == alone
    assert made(tmp_path / "five", corpus, workers=5, die=(0, 7, 8)) == alone


def test_shards_hold_every_line_in_order_and_can_be_entered(tmp_path, corpus):
    made(tmp_path / "out", corpus)
    kept = b""
    for shard in sorted((tmp_path / "out" / "shards" / "kept").glob("*.zst")):
        with open_decoded(str(shard)) as stream:
            kept += stream.read()
    assert kept == b"".join(line for line in corpus.read_bytes().splitlines(keepends=True) if len(line) % 2)


def test_a_run_that_was_killed_is_taken_up_where_it_was(tmp_path, corpus):
    folder = tmp_path / "out"

    class Stop(Exception):
        pass

    calls = []

    @dataclass(frozen=True)
    class Counting:
        stop_at: int

        def __call__(self, unit: Unit) -> Receipt:
            if len(calls) == self.stop_at:
                raise Stop
            calls.append(unit.ordinal)
            return Route(folder)(unit)

    number = len(units_of(corpus))
    for stop_at in (3, 11, number):
        try:
            mapped(folder, corpus, Counting(stop_at))
        except Stop:
            continue
    assert sorted(calls) == list(range(number)), "a finished unit was made again"
    assert made(folder, corpus) == made(tmp_path / "whole", corpus)


def test_a_touched_input_is_noticed_by_digest_and_a_changed_one_is_read_again(tmp_path, corpus):
    folder = tmp_path / "out"
    first = made(folder, corpus)
    os.utime(corpus, ns=(1, 1))
    before = {p: p.stat().st_mtime_ns for p in (folder / "receipts").iterdir()}
    assert made(folder, corpus) == first
    assert {p: p.stat().st_mtime_ns for p in (folder / "receipts").iterdir()} == before, "touched only, yet made again"
    text = bytearray(corpus.read_bytes())
    text[700] = ord("y")
    corpus.write_bytes(text)
    changed = made(folder, corpus)
    assert changed != first
    assert changed == made(tmp_path / "fresh", corpus)


def test_identity_depends_on_what_shapes_the_output_and_not_on_where_it_lies():
    spec = StepSpec(name="clean", version="1", config={"a": 1}, libraries=("numpy",))
    assert spec.identity == StepSpec(name="clean", version="1", config={"a": 1}, libraries=("numpy",)).identity
    others = [
        StepSpec(name="clean", version="2", config={"a": 1}, libraries=("numpy",)),
        StepSpec(name="clean", version="1", config={"a": 2}, libraries=("numpy",)),
        StepSpec(name="clean", version="1", config={"a": 1}, libraries=("numpy", "click")),
        StepSpec(name="clean", version="1", config={"a": 1}, libraries=("numpy",), upstream=("x",)),
    ]
    assert len({spec.identity, *(o.identity for o in others)}) == 5


def test_published_output_is_known_as_current_until_input_or_output_change(tmp_path, corpus):
    output = tmp_path / "out"
    spec = StepSpec(name="route", version="1", config={})
    folder = work_folder(output, spec)
    units = units_of(corpus)
    receipts, shards = mapped(folder, corpus)
    records = publish(folder, output, shards, {"kept": Path(), "removed": Path("removed")})
    Manifest("route", spec.identity, spec.describe(), input_digests(receipts), records).save(output, receipts)
    manifest = Manifest.load(output)
    assert manifest is not None
    assert manifest.is_current(output, spec.identity, units)
    assert not manifest.is_current(output, "other", units)
    assert not manifest.is_current(output, spec.identity, units[:-1])
    (output / "docs-00000.jsonl.zst").write_bytes(b"")
    assert not manifest.is_current(output, spec.identity, units)


def test_a_second_run_into_the_same_folder_is_refused(tmp_path):
    with lock_folder(tmp_path), pytest.raises(OutputError, match="another megadata run is writing here; wait for it"):
        with lock_folder(tmp_path):
            pass


def test_an_atomic_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="half way"), atomic_write(path) as file:
        file.write(b"half")
        raise ValueError("half way")
    assert path.read_bytes() == b'{\n  "a": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files_module.os, "fsync", full)
    with pytest.raises(OutputError, match=r"a\.bin: the disk is full; free some space and run the same command again"):
        with atomic_write(tmp_path / "a.bin") as file:
            file.write(b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_receipt_counts_as_none(tmp_path):
    for content in (b"", b"{", b"[]", b'{"format": "receipt", "version": 1}'):
        path = receipt_path(tmp_path, 0)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        assert Receipt.load(path) is None


def test_a_digest_is_taken_from_an_earlier_phase_only_while_the_file_lies_there_as_it_did(tmp_path, monkeypatch):
    path = tmp_path / "in.txt"
    path.write_bytes(b"one\n")
    status = path.stat()
    file = InputFile("in.txt", str(path), status.st_size, status.st_mtime_ns, "text", "", "")
    unit = Unit(0, (Span(file, 0, 4),))
    with UnitWriter(tmp_path / "first", unit) as writer:
        known = writer.finish()
    digested = []
    monkeypatch.setattr(receipts, "digest_span", lambda span: digested.append(span) or "new")
    for content, expected in ((b"one\n", known.read[0].digest), (b"two\n", CHANGED)):
        if content != b"one\n":
            path.write_bytes(content)
            os.utime(path, ns=(status.st_mtime_ns + 1, status.st_mtime_ns + 1))
        with UnitWriter(tmp_path / "second", unit, known=known) as writer:
            assert writer.finish().read[0].digest == expected
    assert len(digested) == 1


def test_a_receipt_vouches_for_no_bytes_that_were_written_after_they_were_read(tmp_path, corpus):
    folder, units = tmp_path / "out", units_of(corpus)
    with UnitWriter(folder, units[0]) as writer:
        before = corpus.read_bytes()
        corpus.write_bytes(b"y" + before[1:])
        os.utime(corpus, ns=(0, corpus.stat().st_mtime_ns + 1))
        receipt = writer.finish()
    assert receipt.read[0].digest == CHANGED
    assert not receipt.fits(units[0])
    assert not receipt.fits(units_of(corpus)[0])


@pytest.mark.parametrize(
    ("left", "spent"),  # a part that is gone from a spent phase is most often in a shard: see the next test
    [(b"", False), (b"half", False), (None, False), (b"", True), (b"half", True)],
)
def test_parts_that_a_power_cut_has_torn_are_made_again(tmp_path, corpus, left, spent):
    folder, calls = tmp_path / "out", []
    receipts = map_units(LocalExecutor(1), Route(folder), units_of(corpus), folder, Reporter(), "route")
    if spent:
        mark_spent(folder)
    torn = part_path(folder, "kept", receipts[3].unit)
    torn.unlink() if left is None else torn.write_bytes(left)

    def counting(unit: Unit) -> Receipt:
        calls.append(unit.ordinal)
        return Route(folder)(unit)

    mapped(folder, corpus, counting)
    assert calls == [3]
    assert made(folder, corpus) == made(tmp_path / "whole", corpus)


def test_a_part_that_vanished_under_the_assembler_is_told_and_made_again_by_the_next_run(tmp_path, corpus):
    folder = tmp_path / "out"
    receipts = map_units(LocalExecutor(1), Route(folder), units_of(corpus), folder, Reporter(), "route")
    mark_spent(folder)
    part_path(folder, "kept", receipts[3].unit).unlink()
    with pytest.raises(OutputError, match=r"000003\.part: expected \d+ bytes, found -1; run the same command again"):
        assemble_shards(LocalExecutor(1), receipts, folder, Reporter(), shard_bytes=2000)
    assert made(folder, corpus) == made(tmp_path / "whole", corpus)


def test_planning_shards_takes_time_in_proportion_to_the_units():
    planner = ShardPlanner()
    part = Part(1, 1, [[1, 1]])
    began = time.process_time()
    plans = [plan for unit in range(50_000) for plan in planner.add(Receipt(unit, [], {"kept": part}, {}))]
    [last] = [*plans, *planner.finish()]
    assert (len(last.units), last.documents) == (50_000, 50_000)
    assert time.process_time() - began < 10, "once three minutes: the bytes of a shard were summed anew for every unit"


def test_an_atomic_write_blames_its_file_for_nothing_but_failed_writes(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"input\.txt"), atomic_write(tmp_path / "a.bin"):
        (tmp_path / "input.txt").read_bytes()
    with pytest.raises(OutputError, match=r"/dev/full: the disk is full"):
        with monkeypatch.context() as patched:
            patched.setattr(files_module, "temporary_name", lambda _: Path("/dev/full"))
            patched.setattr(Path, "unlink", lambda *_, **__: None)
            with atomic_write(Path("/dev/full")) as file:
                file.write(b"x" * 100_000)
    assert list(tmp_path.iterdir()) == []
