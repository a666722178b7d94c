"""Executors: results, dying workers, errors, and the end of all children."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
import weakref
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from megadata.errors import ConfigError, OutputError, WorkerError
from megadata.runtime import server
from megadata.runtime.executor import LocalExecutor
from megadata.runtime.server import ONE_THREAD


@dataclass(frozen=True)
class Square:
    def __call__(self, unit: int) -> int:
        return unit * unit


@dataclass(frozen=True)
class DieOnce:
    folder: Path

    def __call__(self, unit: int) -> int:
        mark = self.folder / str(unit)
        if unit % 2 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return unit


@dataclass(frozen=True)
class DieAlways:
    def __call__(self, unit: int) -> int:
        if unit == 3:
            os._exit(7)
        return unit


@dataclass(frozen=True)
class Fail:
    kind: str

    def __call__(self, unit: int) -> int:
        if self.kind == "ours":
            raise ConfigError("the recipe is wrong")
        if self.kind == "disk":
            raise OSError(28, "No space left on device", "out.bin")
        raise ValueError("surprise")


@dataclass(frozen=True)
class Threads:
    def __call__(self, unit: int) -> list[str | None]:
        return [os.environ.get(name) for name in ONE_THREAD]


@pytest.fixture
def workers():
    executors = []

    def make(count: int, **options) -> LocalExecutor:
        executors.append(LocalExecutor(count, **options))
        return executors[-1]

    yield make
    for executor in executors:
        executor.close()


@pytest.mark.parametrize("count", [1, 3])
def test_every_unit_gets_its_result(workers, count):
    assert sorted(workers(count).run(Square(), range(20))) == [(u, u * u) for u in range(20)]


def test_a_unit_whose_worker_dies_is_tried_once_more(workers, tmp_path):
    said: list[str] = []
    results = sorted(workers(2, report=said.append).run(DieOnce(tmp_path), range(6)))
    assert results == [(u, u) for u in range(6)]
    assert len(said) == 3
    assert "SIGKILL" in said[0]
    assert "once more" in said[0]


def test_a_unit_that_kills_twice_is_set_aside_and_the_others_are_finished(workers):
    done = []
    with pytest.raises(
        WorkerError, match=r"^3: its worker ended with exit code 7, twice; every other unit is done and kept"
    ):
        for unit, _ in workers(2, report=lambda _: None).run(DieAlways(), range(8)):
            done.append(unit)
    assert sorted(done) == [0, 1, 2, 4, 5, 6, 7]


@pytest.mark.parametrize("count", [1, 2])
def test_our_own_errors_arrive_as_they_are(workers, count):
    with pytest.raises(ConfigError, match="the recipe is wrong"):
        list(workers(count).run(Fail("ours"), range(4)))


@pytest.mark.parametrize("count", [1, 2])
def test_a_full_disk_is_one_sentence(workers, count):
    with pytest.raises(
        OutputError, match=r"out\.bin: the disk is full; free some space and run the same command again"
    ):
        list(workers(count).run(Fail("disk"), range(4)))


def test_an_unexpected_exception_keeps_its_traceback(workers):
    with pytest.raises(WorkerError, match="ValueError: surprise") as caught:
        list(workers(2).run(Fail("other"), range(4)))
    assert "in __call__" in "".join(caught.value.__notes__)


def test_workers_use_one_thread_each(workers):
    for _, values in workers(2).run(Threads(), range(2)):
        assert values == ["1"] * len(ONE_THREAD)


@dataclass(frozen=True)
class Told:
    def __call__(self, unit: int) -> str | None:
        return os.environ.get("MEGADATA_TOLD")


def test_workers_have_the_environment_of_the_moment_they_start(workers, monkeypatch):
    server.prepare("megadata.errors")
    monkeypatch.setenv("MEGADATA_TOLD", "late")
    assert {said for _, said in workers(2).run(Told(), range(4))} == {"late"}


def test_objects_of_the_caller_are_collected_after_tasks_in_its_own_process(workers):
    seen = weakref.ref(seeable := Seeable())
    seeable.itself = seeable
    assert list(workers(1).run(Square(), range(2))) == [(0, 0), (1, 1)]
    del seeable
    gc.collect()
    assert seen() is None


_TRAP = """
import sys
sys.path.insert(0, {tests!r})
from megadata.runtime.executor import LocalExecutor
from megadata.runtime import server
from test_runtime_executor import Square
if __name__ == "__main__":
    server.prepare("megadata.documents.shards")
    print(sorted(LocalExecutor(2).run(Square(), range(3))))
"""


def test_workers_load_no_modules_of_the_current_folder(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("zstandard", "orjson"):
        (data / f"{name}.py").write_text("open('sprung', 'w').close()\n")
    script = tmp_path / "trapped.py"
    script.write_text(_TRAP.format(tests=str(Path(__file__).parent)))
    root = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, str(script)], cwd=data, env={**os.environ, "PYTHONPATH": root}, capture_output=True, timeout=60
    )
    assert done.stdout == b"[(0, 0), (1, 1), (2, 4)]\n", done.stderr
    assert done.stderr == b""
    assert not (data / "sprung").exists()


def test_an_interrupt_while_the_server_loads_is_not_heard_by_it(tmp_path):
    (tmp_path / "slow_to_load.py").write_text("import time\ntime.sleep(1)\n")
    script = tmp_path / "interrupted.py"
    script.write_text(
        "import time\nfrom megadata.runtime import server\n"
        "server.prepare('slow_to_load')\nprint('started', flush=True)\n"
        "try:\n    time.sleep(30)\nexcept KeyboardInterrupt:\n    time.sleep(1.5)\n"
    )
    root = str(Path(__file__).parent.parent)
    running = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == b"started\n"
    time.sleep(0.5)
    os.killpg(running.pid, signal.SIGINT)
    assert running.communicate(timeout=30) == (b"", b"")


class Seeable:
    itself: object


@dataclass(frozen=True)
class Spin:
    def __call__(self, unit: int) -> int:
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
        return os.getpid()


def test_the_time_of_workers_counts_as_that_of_children(workers):
    def taken() -> float:
        told = resource.getrusage(resource.RUSAGE_CHILDREN)
        return told.ru_utime + told.ru_stime

    executor, before = workers(2), taken()
    list(executor.run(Spin(), range(4)))
    executor.close()
    assert taken() - before > 1.1


def test_a_server_of_the_caller_stays(workers):
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        first = pool.apply(os.getppid)
        executor = workers(2)
        assert sorted(executor.run(Square(), range(3))) == [(0, 0), (1, 1), (2, 4)]
        executor.close()
        assert pool.apply(os.getppid) == first
        assert psutil.pid_exists(first)
    server._SERVER._stop()


_SLEEPER = """
import sys, time
sys.path.insert(0, {tests!r})
from megadata.runtime.executor import LocalExecutor
from test_runtime_executor import Sleep
if __name__ == "__main__":
    executor = LocalExecutor(2)
    print("started", flush=True)
    list(executor.run(Sleep(), range(4)))
"""


@dataclass(frozen=True)
class Sleep:
    def __call__(self, unit: int) -> int:
        time.sleep(60)
        return unit


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_child_outlives_its_parent_by_two_seconds(tmp_path, how):
    script = tmp_path / "sleeper.py"
    script.write_text(_SLEEPER.format(tests=str(Path(__file__).parent)))
    root = str(Path(__file__).parent.parent)
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        assert parent.stdout.readline() == b"started\n"
        deadline = time.monotonic() + 20
        while len(children := psutil.Process(parent.pid).children(recursive=True)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.0)
        parent.send_signal(how)
        try:
            parent.wait(10)
        finally:
            parent.kill()
    _, alive = psutil.wait_procs(children, timeout=2)
    assert not alive
