"""`megadata doctor`: what this machine and installation can do."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from megadata.kernels.base import CACHE_FOLDER, all_compiled, compile_all
from megadata.runtime.executor import default_workers
from megadata.runtime.progress import human

_PACKAGES = (
    "numpy",
    "numba",
    "pyarrow",
    "tokenizers",
    "gigatoken",
    "datasketch",
    "ftfy",
    "fastwarc",
    "resiliparse",
    "torch",
)


def doctor(compile_kernels: bool = False) -> dict[str, Any]:
    """Facts about machine and installation, by name; with `compile_kernels` all kernels are compiled now."""
    compiled = compile_all(print) if compile_kernels else 0
    rows: dict[str, Any] = {
        "megadata": _version("megadata"),
        "python": platform.python_version(),
        "cores": default_workers(),
        "memory": human(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
        "free disk here": human(shutil.disk_usage(Path.cwd()).free),
        "kernel cache": str(CACHE_FOLDER),
        "kernels": "compiled" if compiled or all_compiled() else "compiled at first use",
    }
    rows |= {name: _version(name) for name in _PACKAGES}
    rows["gpu"] = _gpu()
    return rows


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _gpu() -> str:
    if importlib.util.find_spec("torch") is None:
        return "unknown (torch is not installed)"
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none: training runs on the CPU"
