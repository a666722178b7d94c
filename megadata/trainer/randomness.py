"""Random numbers that do not know the layout: pure functions of (seed, step, sample, name, position).

Initial weights depend on (seed, parameter name) and dropout masks on (seed, step, global sample, site, position), so one process
and any arrangement of many draw the same numbers. Torch's own generators depend on who asks first.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import torch
from torch import Tensor

BLOCK = 1 << 18
"""Elements of a parameter drawn from one generator, so that a slice can be made without the whole."""

_GOLDEN = -0x61C8864680B583EB
_MULTIPLY_1 = -0x40A7B892E31B1A47
_MULTIPLY_2 = -0x6B2FB644ECCEEE15
_SIGN = 1 << 63


def _signed(value: int) -> int:
    """The 64 bits of `value` as torch's int64 holds them."""
    return ((value & (2 * _SIGN - 1)) ^ _SIGN) - _SIGN


def hash64(*parts: object) -> int:
    """64 bits, as a signed integer, that depend on the text of `parts` only."""
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest()
    return _signed(int.from_bytes(digest, "little"))


def mix64_(values: Tensor) -> Tensor:
    """Scramble int64 `values` in place (SplitMix64's finaliser, Steele et al. 2014, doi:10.1145/2660193.2660195)."""
    shifted = values >> 30
    values ^= shifted.bitwise_and_((1 << 34) - 1)
    values *= _MULTIPLY_1
    torch.bitwise_right_shift(values, 27, out=shifted)
    values ^= shifted.bitwise_and_((1 << 37) - 1)
    values *= _MULTIPLY_2
    torch.bitwise_right_shift(values, 31, out=shifted)
    values ^= shifted.bitwise_and_((1 << 33) - 1)
    return values


def sample_keys(seed: int, step: int, samples: Tensor) -> Tensor:
    """One key per global sample of a step.

    Parameters
    ----------
    seed, step
        Seed of the run and number of the step.
    samples : int64 tensor, shape (B,)
        Global sample numbers.

    Returns
    -------
    int64 tensor, shape (B,)
    """
    return mix64_(samples * _GOLDEN + hash64(seed, step, "dropout"))


@lru_cache(maxsize=32)
def _counters(rows: int, groups: int, device: torch.device) -> Tensor:
    return (torch.arange(rows * groups, dtype=torch.int64, device=device) * _GOLDEN).view(rows, groups)


def keep_mask(keys: Tensor, site: int, rows: int | Tensor, features: int, p: float) -> Tensor:
    """Which of (rows, features) elements of each sample survive dropout.

    Parameters
    ----------
    keys : int64 tensor, shape (B,)
        From `sample_keys`.
    site
        `hash64` of the name of the place that drops.
    rows : int, or int64 tensor of shape (rows,)
        How many rows a sample has, or the numbers of those that lie here.
    p
        Probability to drop, rounded to a multiple of 1 / 65536: one 64-bit hash decides for four elements.

    Returns
    -------
    bool tensor, shape (B, rows, features)
    """
    groups = -(-features // 4)
    if isinstance(rows, int):
        counters = _counters(rows, groups, keys.device)
    else:
        counters = (rows[:, None] * groups + torch.arange(groups, device=keys.device)) * _GOLDEN
    bits = (keys ^ site)[:, None, None] + counters
    lanes = mix64_(bits).view(torch.int16)[:, :, :features]
    return lanes >= round(p * 65536) - 32768


def dropout(hidden: Tensor, p: float, keys: Tensor | None, site: int, rows: Tensor | None = None) -> Tensor:
    """Zero elements of `hidden` (B, ..., F) with probability p and scale the rest; without keys (evaluation) do nothing.

    `rows` are the numbers of the rows that lie here, where a sample's rows are shared among processes.
    """
    if keys is None or p == 0.0:
        return hidden
    features = hidden.shape[-1]
    chosen = hidden[0].numel() // features if rows is None else rows
    keep = keep_mask(keys, site, chosen, features, p).view(hidden.shape)
    return hidden * keep.to(hidden.dtype).mul_(1.0 / (1.0 - p))


def fill_normal(part: Tensor, name: str, seed: int, std: float, start: int, width: int | None = None) -> None:
    """Fill a contiguous slice of parameter `name` with N(0, std^2).

    Parameters
    ----------
    part : floating tensor, any shape
        The slice to fill: the elements from `start` on of the flattened parameter.
    start
        Position of the first element of `part` in the flattened parameter.
    width
        Elements of the whole parameter, flattened; the last block ends there. None: where `part` ends.
    """
    flat = torch.empty(part.numel(), dtype=torch.float32)
    stop = start + flat.numel()
    total = stop if width is None else width
    for block in range(start // BLOCK, -(-stop // BLOCK)):
        first, last = block * BLOCK, min((block + 1) * BLOCK, total)
        generator = torch.Generator().manual_seed(hash64(seed, name, block) & (2**63 - 1))
        values = torch.empty(last - first, dtype=torch.float32).normal_(0.0, std, generator=generator)
        low, high = max(first, start), min(last, stop)
        flat[low - start : high - start] = values[low - first : high - first]
    with torch.no_grad():
        part.copy_(flat.view(part.shape))


def fingerprint(values: Tensor, start: int = 0, run: int = 1, step: int = 1) -> int:
    """Order-free digest of a slice: fingerprints of the slices of a tensor add up (modulo 2**64) to the whole's.

    Parameters
    ----------
    values : tensor of any dtype, any shape
        The slice.
    start
        Position of its first element in the flattened whole.
    run, step
        The slice lies there in runs of `run` elements whose beginnings are `step` apart.
    """
    flat = values.detach().contiguous().view(-1)
    size = flat.element_size()
    if size < 8:
        flat = flat.view({1: torch.int8, 2: torch.int16, 4: torch.int32}[size])
    total = 0
    for low in range(0, flat.numel(), BLOCK):
        bits = flat[low : low + BLOCK].view(torch.int64) if size == 8 else flat[low : low + BLOCK].to(torch.int64)
        place = torch.arange(low, low + bits.numel(), dtype=torch.int64, device=flat.device)
        if run != step:
            place += place.div(run, rounding_mode="floor") * (step - run)
        place += start
        total += int(mix64_(mix64_(bits.clone()) + place * _GOLDEN).sum())
    return total & (2 * _SIGN - 1)
