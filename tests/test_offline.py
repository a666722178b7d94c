"""After installation nothing reaches for a network: not the commands, not their workers, not a training run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pipelines import write_project

ROOT = Path(__file__).parent.parent
BLOCK = """
import socket

LOCAL = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "", None)
_connect, _look_up = socket.socket.connect, socket.getaddrinfo

def connect(self, address):
    if self.family != socket.AF_UNIX and address[0] not in LOCAL:
        raise SystemExit(f"tried to reach {address}")
    return _connect(self, address)

def look_up(host, *rest, **options):
    if host not in LOCAL and host != socket.gethostname():
        raise SystemExit(f"tried to look up {host}")
    return _look_up(host, *rest, **options)

socket.socket.connect, socket.getaddrinfo = connect, look_up
"""


@pytest.fixture
def environment(tmp_path):
    """Variables under which every Python process of a command blocks its sockets."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BLOCK)
    return {**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{ROOT}"}


def test_the_block_works(environment):
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert "tried to" in result.stderr


def test_a_whole_recipe_runs_with_sockets_blocked(tmp_path, environment):
    pytest.importorskip("torch")
    recipe = write_project(tmp_path, documents=60)
    result = subprocess.run(
        [sys.executable, "-m", "megadata", "run", str(recipe), "--workers", "2", "--set", "sources.web.languages=[en]"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "runs" / "gpt" / "metrics.jsonl").exists()
