"""Where compiled kernels lie, and that workers find all of them there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megadata.kernels import base, machine

ROOT = Path(__file__).parent.parent


def python(code: str, without: tuple[str, ...] = (), **variables: str) -> str:
    """What a process of its own prints."""
    environment = {k: v for k, v in os.environ.items() if k not in without}
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return result.stdout.strip()


def folder_with(**variables: str) -> Path:
    code = "from megadata.kernels.base import CACHE_FOLDER; print(CACHE_FOLDER)"
    return Path(python(code, without=("MEGADATA_CACHE", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"), **variables))


def test_the_cache_lies_where_the_documentation_says(tmp_path):
    assert folder_with(MEGADATA_CACHE=str(tmp_path / "own")).parent == tmp_path / "own" / "kernels"
    assert folder_with(XDG_CACHE_HOME=str(tmp_path / "xdg")).parent == tmp_path / "xdg" / "megadata" / "kernels"
    assert folder_with(HOME=str(tmp_path)).parent == tmp_path / ".cache" / "megadata" / "kernels"


def test_a_home_that_cannot_be_written_is_no_obstacle(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file, where a folder would have to be")
    found = folder_with(HOME=str(blocked), TMPDIR=str(tmp_path))
    assert found.is_relative_to(tmp_path)
    assert not found.is_relative_to(blocked)


def test_the_folder_is_named_by_the_sources(monkeypatch, tmp_path):
    before = base._sources_digest()
    copy = tmp_path / "kernels"
    copy.mkdir()
    for source in Path(base.__file__).parent.glob("*.py"):
        (copy / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(base, "__file__", str(copy / "base.py"))
    assert base._sources_digest() == before
    (copy / "ragged.py").write_text((copy / "ragged.py").read_text() + "\n# changed\n")
    assert base._sources_digest() != before


def test_a_kernel_takes_no_other_types_than_its_own():
    from megadata.kernels.ragged import gather

    with pytest.raises(TypeError):
        gather(np.zeros(3, np.int32), np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8))


def test_every_kernel_is_kept_as_machine_code():
    for one in base._import_all():
        assert isinstance(one.compile(), machine._Code), f"{one.__name__} runs by numba's dispatcher"


def test_a_process_that_finds_its_kernels_imports_no_numba():
    code = (
        "import sys, numpy as np\n"
        "from megadata.kernels.base import compile_all\n"
        "from megadata.kernels.ragged import gather\n"
        "out = np.zeros(3, np.uint8)\n"
        "compile_all()\n"
        "gather(np.arange(5, dtype=np.uint8), np.array([0, 2, 5]), np.array([1]), out)\n"
        "print(out.tolist(), 'numba' in sys.modules)"
    )
    base.compile_all()
    assert python(code) == "[2, 3, 4] False"


def test_code_that_is_damaged_on_disk_is_made_again(tmp_path):
    from megadata.kernels.ragged import gather

    machine.code_of(gather, tmp_path)
    (kept,) = tmp_path.rglob("gather.o")
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    assert machine._read(kept) is None
    machine.code_of(gather, tmp_path)
    assert machine._read(kept) is not None


def test_bounds_are_checked_where_numba_is_asked_to(tmp_path):
    code = (
        "import numpy as np\n"
        "from megadata.kernels.hashing import hash_rows\n"
        "try:\n"
        "    hash_rows(np.zeros(1, np.uint8), np.array([0, 9]), np.uint64(0), np.zeros(1, np.uint64))\n"
        "except IndexError as error:\n"
        "    print(error)"
    )
    assert "out of bounds" in python(code, NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path))


def quotient(numbers: base.I64, out: base.I64) -> None:
    out[0] = numbers[0] // numbers[1]


def halves(numbers: base.I64, out: base.I64) -> None:
    out[: out.size // 2] = numbers[: out.size // 2]


def nth(numbers: base.U64, at: int, upwards: bool) -> int:
    return np.int64(numbers[at] + np.uint64(1)) if upwards else np.int64(numbers[at] - np.uint64(1))


def made(function: Callable[..., Any], *signature: Any) -> base.Kernel:
    """A kernel that is not registered among megadata's."""
    return base.Kernel(function, signature)


def test_an_error_inside_a_kernel_is_not_taken_for_a_result(tmp_path):
    code = machine.code_of(made(quotient, base.reads(np.int64), base.writes(np.int64)), tmp_path)
    out = np.zeros(1, np.int64)
    code(np.array([7, 2]), out)
    assert out.tolist() == [3]
    with pytest.raises(RuntimeError, match="quotient: ended without a result"):
        code(np.array([7, 0]), out)


def test_files_mapped_into_memory_are_arrays_as_well(tmp_path):
    from megadata.kernels.ragged import gather

    np.arange(5, dtype=np.uint8).tofile(tmp_path / "data")
    out = np.zeros(3, np.uint8)
    gather(np.memmap(tmp_path / "data", np.uint8, "r"), np.array([0, 2, 5]), np.array([1]), out)
    assert out.tolist() == [2, 3, 4]


def test_a_kernel_whose_code_needs_python_runs_by_numba(tmp_path):
    code = machine.code_of(made(halves, base.reads(np.int64), base.writes(np.int64)), tmp_path)
    assert not isinstance(code, machine._Code)
    out = np.zeros(4, np.int64)
    code(np.arange(4), out)
    assert out.tolist() == [0, 1, 0, 0]


def test_numbers_go_in_and_come_out(tmp_path):
    code = machine.code_of(made(nth, base.reads(np.uint64), np.int64, np.bool_), tmp_path)
    numbers = np.array([5, 1 << 40], np.uint64)
    assert [code(numbers, np.int64(1), True), code(numbers, 0, np.bool_(False))] == [(1 << 40) + 1, 4]
    with pytest.raises(TypeError):
        code(numbers, 0.5, True)
    with pytest.raises(TypeError, match="expected int64, got"):
        code(numbers, 1 << 63, True)


@pytest.mark.parametrize(
    "changed",
    [
        {"data": np.zeros(6, np.uint8)[::2]},
        {"data": np.zeros((1, 3), np.uint8)},
        {"data": [0, 0, 0]},
        {"out": np.frombuffer(bytes(3), np.uint8)},
        {"order": np.zeros(1, np.int32)},
        {"order": np.zeros(1, ">i8")},
        {"offsets": np.frombuffer(bytes(17), np.uint8)[1:].view(np.int64)},
    ],
    ids=["strided", "two dimensions", "list", "output that cannot be written", "int32", "big endian", "unaligned"],
)
def test_arguments_of_another_kind_are_refused(changed):
    from megadata.kernels.ragged import gather

    right: dict[str, Any] = {
        "data": np.zeros(3, np.uint8),
        "offsets": np.array([0, 3]),
        "order": np.array([0]),
        "out": np.zeros(3, np.uint8),
    }
    gather(*right.values())
    with pytest.raises(TypeError, match="gather: expected"):
        gather(*(right | changed).values())
    with pytest.raises(TypeError, match="takes 4 arguments, got 3"):
        gather(*list(right.values())[:3])


def test_every_kernel_is_registered_with_a_signature():
    kernels = base._import_all()
    assert len({k.__name__ for k in kernels}) == len(kernels)
    for one in kernels:
        assert one.signature
        assert one.__doc__, f"{one.__name__} says nothing of what it does"
