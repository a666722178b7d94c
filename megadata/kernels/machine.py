"""Machine code of kernels: made by numba once, kept as object files, called without numba.

Numba's own cache spares a process the compiler, not the import of numba and of all it knows how to type: most of a second of
processor time in every worker and every command. So what numba made of a kernel is kept as an object file with one symbol;
llvmlite's loader puts it into memory, and ctypes calls it. The symbol is a door before numba's code: it takes the arrays as they
are, sees that each has the kernel's type, and passes it on as numba does.

Two parts of numba that are not its public interface are used: its compiler, one step below the decorator, and the helpers in C
that its arrays are allocated with. Where a version of numba has neither, and where ``NUMBA_BOUNDSCHECK`` asks for checks, kernels
run as numba's dispatchers do, from numba's cache.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.machinery
import importlib.util
import operator
import os
import secrets
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llvmlite.binding as llvm
import numpy as np

from megadata.kernels.door import FAILED, PREFIX, UNFIT, door, layout_is_known

if TYPE_CHECKING:
    from collections.abc import Callable

    from megadata.kernels.base import Kernel

_DIGEST_BYTES = 32
_ALLOCATOR = ("MemInfo_alloc", "MemInfo_alloc_aligned", "MemInfo_call_dtor", "Allocate", "Free")
_FROM_PROCESS = (
    *(f"NRT_{name}" for name in _ALLOCATOR),
    *("memset", "memcpy", "memmove", "sqrt", "exp", "log", "log2", "log10", "pow", "floor", "ceil"),
)
"""What code may leave to be found by the loader: numba's allocator, and functions of the C library."""
_lock = threading.Lock()


class _NotByUs(Exception):
    """This numba is not known well enough to keep its code."""


def code_of(kernel: Kernel, folder: Path) -> Callable[..., Any]:
    """What runs the kernel: its machine code, from `folder` or made now."""
    if os.environ.get("NUMBA_BOUNDSCHECK", "0") == "0":
        path = folder / processor() / f"{kernel.__name__}.o"
        with _lock:
            try:
                _allocator()
                return _Code(kernel, _load(_read(path) or _make(kernel, path), PREFIX + kernel.__name__))
            except _NotByUs:
                pass
    return _dispatcher(kernel, folder)


@cache
def processor() -> str:
    """Name of the processor's kind: code is made for its features, and a home folder may be shared by several kinds."""
    features = llvm.get_host_cpu_features().flatten()
    return f"{llvm.get_host_cpu_name()}-{hashlib.sha256(features.encode()).hexdigest()[:8]}"


_STATUSES = 1 << 33
"""Results below `FAILED` and this are none."""


class _Code:
    """Machine code with the signature of its kernel."""

    def __init__(self, kernel: Kernel, address: int) -> None:
        self._kernel, self._takes = kernel, len(kernel.signature)
        words = [_whole(one) if isinstance(one, type) else ctypes.py_object for one in kernel.signature]
        self._function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, *words)(address)

    def __call__(self, *arguments: Any) -> int | None:
        if len(arguments) != self._takes:  # ctypes would let more pass
            raise TypeError(f"{self._kernel.__name__}: takes {self._takes} arguments, got {len(arguments)}")
        try:
            result: int = self._function(id(np.ndarray), *arguments)
        except ctypes.ArgumentError as error:
            raise TypeError(f"{self._kernel.__name__}: {error}") from error
        if result < FAILED + _STATUSES:
            return self._again(result - FAILED, arguments)
        return result if self._kernel.gives_number else None

    def _again(self, status: int, arguments: tuple[Any, ...]) -> int | None:
        """Call once more without classes derived from arrays; else the error behind a status."""
        name = self._kernel.__name__
        if status < UNFIT:
            raise RuntimeError(f"{name}: ended without a result: out of memory, or a division by zero")
        plain = [one.view(np.ndarray) if isinstance(one, np.ndarray) else one for one in arguments]
        if any(one is not other and type(other) is not np.ndarray for one, other in zip(plain, arguments, strict=True)):
            return self(*plain)
        unfit = arguments[status - UNFIT]
        raise TypeError(f"{name}: expected {self._kernel.signature[status - UNFIT]}, got {_described(unfit)}")


@cache
def _whole(kind: type) -> Any:
    """A ctypes argument that takes every whole number which `kind` holds."""
    word = np.ctypeslib.as_ctypes_type(kind)
    least, most = (0, 1) if kind is np.bool_ else (int(np.iinfo(kind).min), int(np.iinfo(kind).max))

    class Whole:
        @classmethod
        def from_param(cls, value: Any) -> Any:
            number = int(value) if isinstance(value, np.bool_) else operator.index(value)
            if not least <= number <= most:
                raise TypeError(f"expected {kind.__name__}, got {number}")
            return word(number)

    return Whole


def _described(argument: Any) -> str:
    if not isinstance(argument, np.ndarray):
        return type(argument).__name__
    return f"{argument.dtype}, {argument.ndim} dimensions, {'' if argument.flags.writeable else 'not '}writable"


def _read(path: Path) -> bytes | None:
    """Kept code, None where there is none or it is damaged."""
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    digest, code = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
    return code if hashlib.sha256(code).digest() == digest else None


def _make(kernel: Kernel, path: Path) -> bytes:
    """Compile a kernel and keep its code."""
    code = _compiled(kernel)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    temporary.write_bytes(hashlib.sha256(code).digest() + code)
    temporary.replace(path)
    return code


def _compiled(kernel: Kernel) -> bytes:
    """The object file of a kernel: one symbol that can be seen, and nothing left to be found but `_FROM_PROCESS`."""
    try:
        return _by_compiler(kernel)
    except (ImportError, AttributeError) as error:  # another numba
        raise _NotByUs from error


def _by_compiler(kernel: Kernel) -> bytes:
    import numba
    from numba.core.compiler import Flags, compile_extra
    from numba.core.compiler_lock import global_compiler_lock

    flags = Flags()
    flags.nrt, flags.no_cpython_wrapper, flags.no_cfunc_wrapper = True, True, True
    target = numba.njit(nogil=True)(kernel.function).targetdescr
    with global_compiler_lock:
        made = compile_extra(
            target.typing_context, target.target_context, kernel.function, _numba_types(kernel), None, flags, {}
        )
    library, symbol, gives = made.library, made.fndesc.llvm_func_name, str(made.signature.return_type)
    assert gives == ("int64" if kernel.gives_number else "none"), f"{kernel.__name__} returns {gives}"
    module, machine = llvm.parse_bitcode(library._final_module.as_bitcode()), library._codegen._tm
    module.link_in(llvm.parse_assembly(door(kernel, symbol, module.triple, module.data_layout)))
    for one in (*module.functions, *module.global_variables):
        if not one.is_declaration and one.name != PREFIX + kernel.__name__:
            one.linkage = "internal"
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    left = [one.name for one in (*module.functions, *module.global_variables) if one.is_declaration]
    if library._dynamic_globals or any(not name.startswith("llvm.") and name not in _FROM_PROCESS for name in left):
        raise _NotByUs
    code: bytes = machine.emit_object(module)
    return code


def _numba_types(kernel: Kernel) -> tuple[Any, ...]:
    from numba import from_dtype, types

    return tuple(
        from_dtype(np.dtype(one))
        if isinstance(one, type)
        else types.Array(from_dtype(one.dtype), one.ndim, "C", readonly=not one.writable)
        for one in kernel.signature
    )


@cache
def _engine() -> Any:
    """What holds loaded code, as long as the process runs."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


@cache
def _allocator() -> None:
    """Make numba's allocator known to the loader: an extension module that needs no other part of numba."""
    found = importlib.util.find_spec("numba")
    folder = str(Path(found.origin).parent / "core" / "runtime") if found and found.origin else ""
    name = "numba.core.runtime._nrt_python"
    place = importlib.machinery.PathFinder.find_spec(name, [folder])
    if place is None or not layout_is_known():
        raise _NotByUs
    helpers = importlib.util.module_from_spec(place).c_helpers
    for function in _ALLOCATOR:
        llvm.add_symbol(f"NRT_{function}", helpers[function])


def _load(code: bytes, symbol: str) -> int:
    """Address of the symbol."""
    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address: int = engine.get_function_address(symbol)
    return address


def _dispatcher(kernel: Kernel, folder: Path) -> Callable[..., Any]:
    """The kernel as numba runs it."""
    import numba

    numba.config.CACHE_DIR = str(folder)
    dispatcher: Any = numba.njit(nogil=True, cache=True)(kernel.function)
    dispatcher.compile(_numba_types(kernel))
    dispatcher.disable_compile()
    made: Callable[..., Any] = dispatcher
    return made
