"""The door before a kernel's machine code, in LLVM's language: from Python's arrays to the arguments numba's code takes.

Numba takes of an array its owner and parent (none here), the number of items, their size, the data, shape and strides. All but
the first two stand in numpy's array object, whose layout is part of numpy's binary interface; so does what an array must be to be
passed at all. Reading them here costs nothing, where asking for them in Python would cost a microsecond or two for each array.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from megadata.kernels.base import Flat, Kernel

PREFIX = "megadata_"
FAILED = -(1 << 63)
"""What the door returns where there is no result: this and the status of numba's code, or this, `UNFIT` and the number of an
argument that is not of the kernel's type."""
UNFIT = 1 << 32
NUMBERS = {np.bool_: "i8", np.int32: "i32", np.uint32: "i32", np.int64: "i64", np.uint64: "i64"}
"""Types of numbers among a kernel's arguments, and what LLVM calls them."""

_HEAD = object.__basicsize__
_TYPE = _HEAD - 8
_DATA, _NDIM, _SHAPE, _STRIDES, _DTYPE, _FLAGS = (_HEAD + at for at in (0, 8, 16, 24, 40, 48))
"""Where an array object has its fields, in bytes (``PyArrayObject_fields``)."""
_BYTE_ORDER, _NUMBER = _HEAD + 10, _HEAD + 12
"""The same of a dtype (``PyArray_Descr``)."""
_CONTIGUOUS, _ALIGNED, _WRITABLE = 0x1, 0x100, 0x400


def layout_is_known() -> bool:
    """Whether this numpy lays arrays out as the door reads them."""
    array = np.zeros((2, 3), np.uint16)
    at = id(array)

    def word(offset: int, kind: type[ctypes.c_int64 | ctypes.c_int32] = ctypes.c_int64) -> int:
        return int(kind.from_address(at + offset).value)

    if (word(_TYPE), word(_DATA), word(_NDIM, ctypes.c_int32)) != (id(np.ndarray), array.ctypes.data, 2):
        return False
    if (word(_DTYPE), word(_FLAGS, ctypes.c_int32) & 0xFFFF) != (id(array.dtype), array.flags.num):
        return False
    shape, strides = (tuple((ctypes.c_int64 * 2).from_address(word(offset))) for offset in (_SHAPE, _STRIDES))
    if (shape, strides) != (array.shape, array.strides):
        return False
    at = id(array.dtype)
    return word(_NUMBER, ctypes.c_int32) == array.dtype.num and word(_BYTE_ORDER) & 0xFF == ord("=")


def door(kernel: Kernel, symbol: str, triple: str, layout: str) -> str:
    """A module with one function, ``megadata_NAME(numpy.ndarray, arguments...)``, that calls `symbol`."""
    takes, passed, declared, body = ["ptr %class"], ["ptr %result", "ptr %raised"], ["ptr", "ptr"], []
    for number, one in enumerate(kernel.signature):
        if isinstance(one, type):
            word = NUMBERS[one]
            takes.append(f"{word} %a{number}")
            passed.append(f"{word} %a{number}")
            declared.append(word)
            continue
        takes.append(f"ptr %a{number}")
        body.append(_array(number, one))
        words = [f"i64 %shape{number}_{d}" for d in range(one.ndim)]
        words += [f"i64 %stride{number}_{d}" for d in range(one.ndim)]
        passed += [
            "ptr null",
            "ptr null",
            f"i64 %items{number}",
            f"i64 {one.dtype.itemsize}",
            f"ptr %data{number}",
            *words,
        ]
        declared += ["ptr", "ptr", "i64", "i64", "ptr"] + ["i64"] * len(words)
    return f'''
target triple = "{triple}"
target datalayout = "{layout}"
declare i32 @"{symbol}"({", ".join(declared)})
define i64 @{PREFIX}{kernel.__name__}({", ".join(takes)}) {{
  %result = alloca i64
  %raised = alloca ptr
  store i64 0, ptr %result
  store ptr null, ptr %raised
{"".join(body)}
  %status = call i32 @"{symbol}"({", ".join(passed)})
  %well = icmp eq i32 %status, 0
  br i1 %well, label %done, label %failed
done:
  %value = load i64, ptr %result
  ret i64 %value
failed:
  %code = zext i32 %status to i64
  %told = add i64 {FAILED}, %code
  ret i64 %told
}}
'''


def _array(number: int, wanted: Flat) -> str:
    """Instructions that read the fields of one array, and return where it is not as wanted."""
    flags = _CONTIGUOUS | _ALIGNED | (_WRITABLE if wanted.writable else 0)
    names = [n for n in range(np.dtype(np.float64).num + 1) if _same(n, wanted)]
    lines = [
        *_load(f"class{number}", "ptr", f"%a{number}", _TYPE),
        f"%is_array{number} = icmp eq ptr %class{number}, %class",
        f"br i1 %is_array{number}, label %array{number}, label %unfit{number}",
        f"unfit{number}:",
        f"ret i64 {FAILED + UNFIT + number}",
        f"array{number}:",
        *_load(f"ndim{number}", "i32", f"%a{number}", _NDIM),
        *_load(f"flags{number}", "i32", f"%a{number}", _FLAGS),
        *_load(f"dtype{number}", "ptr", f"%a{number}", _DTYPE),
        *_load(f"order{number}", "i8", f"%dtype{number}", _BYTE_ORDER),
        *_load(f"number{number}", "i32", f"%dtype{number}", _NUMBER),
        f"%has_ndim{number} = icmp eq i32 %ndim{number}, {wanted.ndim}",
        f"%masked{number} = and i32 %flags{number}, {flags}",
        f"%has_flags{number} = icmp eq i32 %masked{number}, {flags}",
        f"%has_order{number} = icmp ne i8 %order{number}, {ord('>')}",
        *(f"%is{number}_{n} = icmp eq i32 %number{number}, {n}" for n in names),
    ]
    known = f"%is{number}_{names[0]}"
    for n in names[1:]:
        lines.append(f"%or{number}_{n} = or i1 {known}, %is{number}_{n}")
        known = f"%or{number}_{n}"
    for at, condition in enumerate((f"%has_ndim{number}", f"%has_flags{number}", f"%has_order{number}")):
        lines.append(f"%and{number}_{at} = and i1 {known}, {condition}")
        known = f"%and{number}_{at}"
    lines += [
        f"br i1 {known}, label %fit{number}, label %unfit{number}",
        f"fit{number}:",
        *_load(f"data{number}", "ptr", f"%a{number}", _DATA),
        *_load(f"shapes{number}", "ptr", f"%a{number}", _SHAPE),
        *_load(f"strides{number}", "ptr", f"%a{number}", _STRIDES),
    ]
    items = "1"
    for d in range(wanted.ndim):
        lines += _load(f"shape{number}_{d}", "i64", f"%shapes{number}", 8 * d)
        lines += _load(f"stride{number}_{d}", "i64", f"%strides{number}", 8 * d)
        name = f"%items{number}" + ("" if d == wanted.ndim - 1 else f"_{d}")
        lines.append(f"{name} = mul i64 {items}, %shape{number}_{d}")
        items = name
    return "".join(f"  {line}\n" for line in lines)


def _load(name: str, kind: str, base: str, offset: int) -> list[str]:
    """Instructions that load ``%name`` from an offset in bytes."""
    return [f"%at_{name} = getelementptr i8, ptr {base}, i64 {offset}", f"%{name} = load {kind}, ptr %at_{name}"]


def _same(number: int, wanted: Flat) -> bool:
    """Whether numpy's type of this number is the wanted one; of a size there may be two (long and long long)."""
    found = next((np.dtype(c) for c in "?bBhHiIlLqQfd" if np.dtype(c).num == number), None)
    return found == wanted.dtype
