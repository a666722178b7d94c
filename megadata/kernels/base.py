"""What all kernels share: where compiled code is kept, the array types of signatures, and the `kernel` decorator.

A kernel's machine code does not follow from its own file alone, so the cache folder is named by a hash of all kernel sources: an
edit anywhere in this folder starts a fresh cache and never replays an old answer. How the code is made, kept and called is in
`machine`; numba is imported by a process that compiles, and by no other.

The cache lies in ``$MEGADATA_CACHE`` when that is set, else in ``~/.cache/megadata`` (``$XDG_CACHE_HOME`` is honoured), else,
where that cannot be written, in the system's temporary folder. site-packages is never written to.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
U16 = NDArray[np.uint16]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I16 = NDArray[np.int16]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Flat:
    """Type of an argument: a C-contiguous array."""

    dtype: np.dtype[Any]
    ndim: int
    writable: bool


def reads(dtype: Any, ndim: int = 1) -> Flat:
    """Type of an input: an array that is only read (writable arrays are accepted as well)."""
    return Flat(np.dtype(dtype), ndim, False)


def writes(dtype: Any, ndim: int = 1) -> Flat:
    """Type of an output: an array the kernel fills."""
    return Flat(np.dtype(dtype), ndim, True)


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
    made_with = version("numba"), version("llvmlite"), np.__version__, platform.machine(), object.__basicsize__
    digest = hashlib.sha256(" ".join(map(str, made_with)).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


CACHE_FOLDER = Path(os.environ.get("NUMBA_CACHE_DIR") or cache_root() / "kernels" / _sources_digest())

_REGISTRY: list[Kernel] = []


class Kernel:
    """A compiled function with one signature, loaded from the cache (or compiled) at its first call.

    ``function`` is the undecorated Python original.
    """

    def __init__(self, function: Callable[..., Any], signature: tuple[Any, ...]) -> None:
        self.function = function
        self.signature = signature
        self.gives_number = function.__annotations__["return"] == "int"
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self._code: Callable[..., Any] | None = None

    def compile(self) -> Callable[..., Any]:
        """Compile now, or load what an earlier run compiled; the function that runs it."""
        if self._code is None:
            from megadata.kernels.machine import code_of

            self._code = code_of(self, CACHE_FOLDER)
        return self._code

    def __call__(self, *arguments: Any) -> Any:
        return (self._code or self.compile())(*arguments)


def kernel(*signature: Any) -> Callable[[Callable[..., Any]], Kernel]:
    """Make a function of flat arrays a kernel: GIL released, cached, compiled for exactly this signature.

    A signature is made of `reads`, `writes` and numpy's types of numbers; the result is None or an int, as annotated. Kernels
    are called from Python only; what kernels call inside is decorated with `helper`.
    """

    def wrap(function: Callable[..., Any]) -> Kernel:
        made = Kernel(function, signature)
        _REGISTRY.append(made)
        return made

    return wrap


class Helper:
    """A function that kernels call; compiled into each of its callers, once for the types of its arguments.

    Left to itself, numba compiles it again for each constant that it is called with.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__

    @cached_property
    def _dispatcher(self) -> Any:
        import numba

        made = numba.njit(nogil=True, inline="never")(self.function)
        template, plain = made.get_call_template, numba.types.unliteral

        def of_types(args: Iterable[Any], kws: dict[str, Any]) -> Any:
            return template(tuple(map(plain, args)), {name: plain(kind) for name, kind in kws.items()})

        made.get_call_template = of_types
        return made

    @property
    def _numba_type_(self) -> Any:
        """By this numba knows what it finds in the globals of a kernel."""
        return self._dispatcher._numba_type_

    def __call__(self, *arguments: Any) -> Any:
        return self._dispatcher(*arguments)


def helper(function: Callable[..., Any]) -> Any:
    """Make a function one that kernels may call."""
    return Helper(function)


def _import_all() -> list[Kernel]:
    for source in sorted(Path(__file__).parent.glob("*.py")):
        if source.stem not in ("__init__", "base", "door", "machine"):
            importlib.import_module(f"{__package__}.{source.stem}")
    return _REGISTRY


def _stamp() -> Path:
    from megadata.kernels.machine import processor

    return CACHE_FOLDER / processor() / "complete"


def all_compiled() -> bool:
    """Whether the cache holds every kernel for this processor."""
    return _stamp().exists()


def compile_all(announce: Callable[[str], None] | None = None) -> int:
    """Compile every kernel that the cache lacks, and return how many there are.

    Called once before workers start, so that they do not all compile the same.
    """
    if all_compiled():
        return 0
    kernels = _import_all()
    if announce is not None:
        announce(f"compiling {len(kernels)} kernels, once for this machine (cache: {CACHE_FOLDER})")
    for one in kernels:
        one.compile()
    _stamp().parent.mkdir(parents=True, exist_ok=True)
    _stamp().touch()
    return len(kernels)
