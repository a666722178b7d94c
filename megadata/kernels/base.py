"""What all kernels share: where compiled code is cached, the array types of signatures, and the `kernel` decorator.

Numba's cache does not see a change in a file that a kernel imports, so the cache folder is named by a hash of all kernel
sources: an edit anywhere in this folder starts a fresh cache and never replays an old answer.

The cache lies in ``$MEGADATA_CACHE`` when that is set, else in ``~/.cache/megadata`` (``$XDG_CACHE_HOME`` is honoured), else,
where that cannot be written, in the system's temporary folder. site-packages is never written to.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba as nb
import numpy as np
from numba import types
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


def reads(dtype: Any, ndim: int = 1) -> Any:
    """Numba type of an input: a C-contiguous array that is only read (writable arrays are accepted as well)."""
    return types.Array(dtype, ndim, "C", readonly=True)


def writes(dtype: Any, ndim: int = 1) -> Any:
    """Numba type of an output: a C-contiguous array the kernel fills."""
    return types.Array(dtype, ndim, "C")


def cache_root() -> Path:
    """Folder for everything megadata may recreate: the first of the documented places that can be written."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")  # noqa: PTH111, PTH118
    user = f"megadata-{os.getuid()}" if hasattr(os, "getuid") else "megadata"
    for place in (os.environ.get("MEGADATA_CACHE"), Path(home) / "megadata", Path(tempfile.gettempdir()) / user):
        if not place:
            continue
        folder = Path(place)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="megadata-"))


def _sources_digest() -> str:
    digest = hashlib.sha256(f"{nb.__version__} {np.__version__} {platform.machine()}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


CACHE_FOLDER = Path(os.environ.get("NUMBA_CACHE_DIR") or cache_root() / "kernels" / _sources_digest())
nb.config.CACHE_DIR = str(CACHE_FOLDER)

_REGISTRY: list[Kernel] = []


class Kernel:
    """A compiled function with one signature, loaded from the cache (or compiled) at its first call.

    ``function`` is the undecorated Python original.
    """

    def __init__(self, function: Callable[..., Any], signature: tuple[Any, ...]) -> None:
        self.function = function
        self.signature = signature
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self._dispatcher: Any = nb.njit(nogil=True, cache=True)(function)
        self._ready = False

    def compile(self) -> None:
        """Compile now, or load what an earlier run compiled."""
        if not self._ready:
            self._dispatcher.compile(self.signature)
            self._dispatcher.disable_compile()
            self._ready = True

    def __call__(self, *arguments: Any) -> Any:
        if not self._ready:
            self.compile()
        return self._dispatcher(*arguments)


def kernel(*signature: Any) -> Callable[[Callable[..., Any]], Kernel]:
    """Make a function of flat arrays a kernel: GIL released, cached, compiled for exactly this signature.

    Kernels are called from Python only; what kernels call inside is decorated with `helper`.
    """

    def wrap(function: Callable[..., Any]) -> Kernel:
        made = Kernel(function, signature)
        _REGISTRY.append(made)
        return made

    return wrap


def helper(function: Callable[..., Any]) -> Any:
    """A function that kernels call; compiled into each of its callers."""
    return nb.njit(nogil=True, inline="never")(function)


def _import_all() -> list[Kernel]:
    for source in sorted(Path(__file__).parent.glob("*.py")):
        if source.stem not in ("__init__", "base"):
            importlib.import_module(f"{__package__}.{source.stem}")
    return _REGISTRY


def compile_all(announce: Callable[[str], None] | None = None) -> int:
    """Compile every kernel that the cache lacks, and return how many there are.

    Called once before workers start: workers that race to fill the cache can crash each other (numba issue 4807).
    """
    stamp = CACHE_FOLDER / "complete"
    if stamp.exists():
        return 0
    kernels = _import_all()
    if announce is not None:
        announce(f"compiling {len(kernels)} kernels, once for this machine (cache: {CACHE_FOLDER})")
    for one in kernels:
        one.compile()
    CACHE_FOLDER.mkdir(parents=True, exist_ok=True)
    stamp.touch()
    return len(kernels)
