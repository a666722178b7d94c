"""How every benchmark measures: warm-up outside the clock, repeats, one JSON line with the spread and a hash of the result.

::

    from harness import measure

    measure("minhash/112x400", lambda: signatures(shingles, offsets, config), items=20_000, unit="documents")

prints ``{"bench": "minhash/112x400", "unit": "documents/s", "median": ..., "low": ..., "high": ..., "result_sha": ...}``.
"""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["compare", "machine", "measure", "sha"]

Work = Callable[[], Any]


def machine() -> str:
    """Processor and number of cores this process may use."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{model}, {cores} cores"


def sha(value: Any) -> str:
    """First 16 hexadecimal digits of a SHA-256 over a result: arrays, bytes, text, numbers, files, and collections of them.

    Raises
    ------
    TypeError
        If `value` holds something that has no bytes to compare; give `measure` a `result` function then.
    """
    digest = hashlib.sha256()
    for piece in _pieces(value):
        digest.update(len(piece).to_bytes(8, "little"))
        digest.update(piece)
    return digest.hexdigest()[:16]


def _pieces(value: Any) -> Iterable[bytes | memoryview]:
    if isinstance(value, np.ndarray):
        yield f"{value.dtype.str} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, (bytes, bytearray)):
        yield bytes(value)
    elif isinstance(value, (str, bool, int, float, np.generic)) or value is None:
        yield f"{type(value).__name__} {value!r}".encode()
    elif isinstance(value, Path):
        yield value.read_bytes()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield field.name.encode()
            yield from _pieces(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for key in sorted(value, key=repr):
            yield from _pieces(key)
            yield from _pieces(value[key])
    elif isinstance(value, (list, tuple)):
        yield f"{len(value)} items".encode()
        for item in value:
            yield from _pieces(item)
    else:
        raise TypeError(
            f"a {type(value).__name__} cannot be hashed as a result; give measure(..., result=) a function that makes "
            "arrays, bytes, text or numbers of it"
        )


def _timed(function: Work) -> tuple[float, Any]:
    gc.collect()
    began = time.perf_counter()
    value = function()
    return time.perf_counter() - began, value


def _rates(seconds: list[float], items: float) -> dict[str, float]:
    rates = sorted(items / one for one in seconds)
    return {"median": _round(statistics.median(rates)), "low": _round(rates[0]), "high": _round(rates[-1])}


def _round(rate: float) -> float:
    """Four significant digits: more would not repeat."""
    return float(f"{rate:.4g}")


def _print(line: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps(line), flush=True)
    return line


def _circumstances(threads: int, repeats: int) -> dict[str, Any]:
    return {
        "repeats": repeats,
        "threads": threads,
        "machine": machine(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _one_answer(name: str, answers: list[str]) -> str:
    if len(set(answers)) > 1:
        raise ValueError(f"{name}: expected the same result from each run, found {', '.join(sorted(set(answers)))}")
    return answers[0]


def measure(
    name: str,
    function: Work,
    items: float,
    unit: str,
    repeats: int = 5,
    warmup: int = 1,
    result: Callable[[Any], Any] | None = None,
    threads: int = 1,
) -> dict[str, Any]:
    """Time `function`, print one JSON line, and return what it says.

    Parameters
    ----------
    name : subject and size, such as ``minhash/112x400``.
    function : the work; what it returns is hashed, so that a speedup that changes the answer is seen.
    items, unit : how much one call does, and of what: 60.0 and "MB", 20_000 and "documents".
    repeats, warmup : calls on the clock, and before it.
    result : makes of the returned value what `sha` can hash; the value itself by default.
    threads : how many threads or processes the work uses.

    Raises
    ------
    ValueError
        If two calls gave different results.
    """
    for _ in range(warmup):
        function()
    seconds: list[float] = []
    answers: list[str] = []
    for _ in range(repeats):
        took, value = _timed(function)
        seconds.append(took)
        answers.append(sha(result(value) if result else value))
    return _print(
        {
            "bench": name,
            "unit": f"{unit}/s",
            **_rates(seconds, items),
            "items": items,
            **_circumstances(threads, repeats),
            "result_sha": _one_answer(name, answers),
        }
    )


def compare(
    name: str,
    ours: Work,
    peer: Work,
    items: float,
    unit: str,
    repeats: int = 5,
    warmup: int = 1,
    result: Callable[[Any], Any] | None = None,
    threads: int = 1,
    equal: bool = True,
) -> dict[str, Any]:
    """Time two ways of doing the same work in turn, so that a slow moment of the machine hits both; print the ratio.

    The ratio is how many times faster `ours` is; its low and high are those of the pairs of neighbouring runs. With `equal`
    the two must give the same result.

    Raises
    ------
    ValueError
        If `equal` and the two results differ, or if one of them is not the same in every run.
    """
    for _ in range(warmup):
        ours()
        peer()
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    answers: dict[str, list[str]] = {"ours": [], "peer": []}
    for _ in range(repeats):
        for side, function in (("ours", ours), ("peer", peer)):
            took, value = _timed(function)
            seconds[side].append(took)
            answers[side].append(sha(result(value) if result else value))
    shas = {side: _one_answer(f"{name} ({side})", found) for side, found in answers.items()}
    if equal and shas["ours"] != shas["peer"]:
        raise ValueError(f"{name}: expected equal results, found {shas['ours']} (ours) and {shas['peer']} (peer)")
    ratios = sorted(b / a for a, b in zip(seconds["ours"], seconds["peer"], strict=True))
    return _print(
        {
            "bench": name,
            "unit": f"{unit}/s",
            "ours": _rates(seconds["ours"], items),
            "peer": _rates(seconds["peer"], items),
            "ratio": {
                "median": _round(statistics.median(ratios)),
                "low": _round(ratios[0]),
                "high": _round(ratios[-1]),
            },
            "items": items,
            **_circumstances(threads, repeats),
            "result_sha": shas["ours"],
        }
    )


def as_installed(folder: Path) -> dict[str, str]:
    """Environment in which Python keeps compiled modules, in `folder`, as it does for an installed package."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "pycache")}


if __name__ == "__main__":
    sys.exit("harness.py holds the functions that benchmarks use; run benchmarks/bench_*.py")
