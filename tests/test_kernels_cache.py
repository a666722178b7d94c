"""Where compiled kernels lie, and that workers find all of them there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from megadata.kernels import base

ROOT = Path(__file__).parent.parent


def folder_with(**variables: str) -> Path:
    environment = {
        k: v for k, v in os.environ.items() if k not in ("MEGADATA_CACHE", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR")
    }
    code = "from megadata.kernels.base import CACHE_FOLDER; print(CACHE_FOLDER)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return Path(result.stdout.strip())


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


def test_every_kernel_is_registered_with_a_signature():
    kernels = base._import_all()
    assert len({k.__name__ for k in kernels}) == len(kernels)
    for one in kernels:
        assert one.signature
        assert one.__doc__, f"{one.__name__} says nothing of what it does"
