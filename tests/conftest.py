"""Shared by all tests: no network, the real data where it lies, seeded hypothesis profiles."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "megadata",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("megadata")

_connect = socket.socket.connect


def _only_this_machine(self: socket.socket, address: object) -> None:
    """Refuse connections that leave the machine: megadata never needs one after it is installed."""
    host = address[0] if isinstance(address, tuple) else address
    if self.family != socket.AF_UNIX and host not in ("127.0.0.1", "::1", "localhost", "0.0.0.0"):
        raise AssertionError(f"a test tried to reach {address}")
    _connect(self, address)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", _only_this_machine)


@pytest.fixture(scope="module", autouse=True)
def _servers_of_its_own() -> Iterator[None]:
    """End the server that a module's workers were forked from: what it has loaded is nothing to the next module."""
    yield
    forkserver._forkserver._stop()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real dumps, books and pages (MEGADATA_REAL_DATA); the test is skipped without it."""
    place = os.environ.get("MEGADATA_REAL_DATA")
    if not place:
        pytest.skip("MEGADATA_REAL_DATA is not set")
    return Path(place)


def pytest_configure() -> None:
    """Hear Ctrl-C even where a shell started the tests behind it: children of a deaf process are deaf as well."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`long` and `peers` tests run only when they are asked for with -m."""
    if config.getoption("-m"):
        return
    dropped = [item for item in items if item.get_closest_marker("long") or item.get_closest_marker("peers")]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]
