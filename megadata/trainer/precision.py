"""Names of precisions, and which one the hardware is fast in."""

from __future__ import annotations

import functools
from pathlib import Path

import torch

from megadata.errors import ConfigError

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64}


def dtype_of(precision: str) -> torch.dtype:
    """The dtype of the arithmetic of a precision by name."""
    if precision not in _DTYPES:
        raise ConfigError(f"precision {precision!r} is not known; choose one of {', '.join(_DTYPES)}")
    return _DTYPES[precision]


def resolve_precision(precision: str, device: torch.device) -> str:
    """What ``auto`` means on `device`: bf16 where the hardware computes in it, else fp32."""
    if precision != "auto":
        return precision
    fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else cpu_computes_in_bf16()
    return "bf16" if fast else "fp32"


@functools.cache
def cpu_computes_in_bf16() -> bool:
    """Whether the CPU has bfloat16 products (AVX512-BF16, AMX, Arm's BF16); without them bf16 is slower than fp32."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "").split()
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)
