"""Sixty-four bytes at a time: which of them fall in a range, as a mask of 64 bits; and eight bytes as a number.

Numba has no vectors of its own. These few operations are written for LLVM instead, which makes of them what the processor has:
AVX-512, AVX2, SSE2, NEON. Bit i of a mask stands for text[at + i]; the lowest byte of `eight` is text[at].

None of them looks at the bounds of an array: the caller sees to it that 64 (or 8) bytes are there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from inspect import Parameter, Signature
from typing import Any

import numpy as np

from megadata.kernels.base import U8, helper

BLOCK = 64
NONE = np.uint64(0)
ONE = np.uint64(1)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


class Instruction:
    """An operation that kernels and helpers call, written for LLVM; numba is imported when one of them is compiled.

    `arguments` and `gives` are names of numba's types; of an array, which can only be the first argument, the name is ``array``.
    """

    def __init__(self, write: Callable[..., Any], arguments: tuple[str, ...], gives: str) -> None:
        self._write, self._arguments, self._gives = write, arguments, gives
        self.__name__ = write.__name__
        self.__doc__ = write.__doc__

    @cached_property
    def _numba_type_(self) -> Any:
        """By this numba knows what it finds in the globals of a kernel."""
        from numba.core import types
        from numba.core.typing.templates import make_intrinsic_template

        write, names, gives = self._write, self._arguments, getattr(types, self._gives)

        def make(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            if names[0] == "array":  # the address of the byte that is meant
                data = context.make_array(signature.args[0])(context, builder, values[0]).data
                values = (builder.gep(data, [values[1]]), *values[2:])
            return write(builder, *values)

        def typed(typing: Any, *arguments: Any) -> Any:
            given = (arguments[0] if name == "array" else getattr(types, name) for name in names)
            return gives(*given), make

        letters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in ("typing", *"abcd"[: len(names)])]
        typed.__signature__ = Signature(letters)  # type: ignore[attr-defined]
        template = make_intrinsic_template(self, typed, self.__name__)
        return types.Function(template)

    def __call__(self, *arguments: Any) -> Any:
        raise NotImplementedError(f"{self.__name__}: only kernels can call it")


def instruction(*arguments: str, gives: str) -> Callable[[Callable[..., Any]], Any]:
    """Make a function of a builder of LLVM code, and of values, an operation for kernels."""
    return lambda write: Instruction(write, arguments, gives)


@instruction("array", "int64", "int64", "int64", gives="uint64")
def between(builder: Any, place: Any, low: Any, high: Any) -> Any:
    """between(text, at, low, high): mask of the bytes of text[at:at + 64] from `low` to `high`."""
    from llvmlite import ir

    byte, lanes = ir.IntType(8), ir.VectorType(ir.IntType(8), BLOCK)

    def everywhere(number: Any) -> Any:
        nothing = ir.Constant(lanes, ir.Undefined)
        first = builder.insert_element(nothing, builder.trunc(number, byte), ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), [0] * BLOCK))

    block = builder.load(builder.bitcast(place, lanes.as_pointer()), align=1)
    inside = builder.icmp_unsigned("<=", builder.sub(block, everywhere(low)), everywhere(builder.sub(high, low)))
    return builder.bitcast(inside, ir.IntType(64))


@instruction("array", "int64", gives="uint64")
def eight(builder: Any, place: Any) -> Any:
    """eight(text, at): text[at:at + 8] as a number, little-endian."""
    from llvmlite import ir

    return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)


@instruction("array", "int64", "uint64", gives="uint64")
def put_eight(builder: Any, place: Any, value: Any) -> Any:
    """put_eight(out, at, value): write the eight bytes of `value` to out[at:at + 8]; gives `value`."""
    builder.store(value, builder.bitcast(place, value.type.as_pointer()), align=1)
    return value


@instruction("uint64", gives="int64")
def count(builder: Any, mask: Any) -> Any:
    """count(mask): number of bits that are set."""
    return builder.ctpop(mask)


@instruction("uint64", gives="int64")
def lowest(builder: Any, mask: Any) -> Any:
    """lowest(mask): number of the lowest bit that is set; 64 when none is."""
    from llvmlite import ir

    return builder.cttz(mask, ir.Constant(ir.IntType(1), 0))


@helper
def first_bits(number: int) -> np.uint64:
    """Mask of the lowest `number` (0 to 64) bits."""
    return ALL if number >= BLOCK else np.uint64(np.uint64(ONE << np.uint64(number)) - ONE)


@helper
def up_to_eight(text: U8, at: int, size: int) -> np.uint64:
    """text[at:at + size] as a number, little-endian, for sizes from 1 to 8."""
    if at + 8 <= text.size:
        return np.uint64(eight(text, at) & np.uint64(ALL >> np.uint64(64 - 8 * size)))
    value = NONE
    for i in range(at + size - 1, at - 1, -1):
        value = np.uint64(np.uint64(value << np.uint64(8)) | np.uint64(text[i]))
    return value
