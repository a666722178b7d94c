"""Collectives that gradients flow through, and how the processes of a layer share its work.

The pairs are Megatron's f and g (Shoeybi et al. 2019, arXiv:1909.08053) and those of sequence parallelism (Korthikanti et al.
2022, arXiv:2205.05198): where one direction sums, the other copies, and where one gathers, the other scatters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_reduce_scatter: Any = (
    getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
)  # older versions have the second


@dataclass(frozen=True)
class Group:
    """Processes along one axis of the layout."""

    handle: Any
    """The process group."""
    rank: int
    """This process's number in it."""
    size: int

    def sum(self, values: Tensor) -> Tensor:
        """Sum over the processes, in place."""
        dist.all_reduce(values, group=self.handle)
        return values

    def largest(self, values: Tensor) -> Tensor:
        """Maximum over the processes, in place."""
        dist.all_reduce(values, dist.ReduceOp.MAX, group=self.handle)
        return values

    def gather(self, part: Tensor, dim: int) -> Tensor:
        """All parts, joined along `dim` in the order of the processes."""
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(self.size)]
        dist.all_gather(parts, part.contiguous(), group=self.handle)
        return torch.cat(parts, dim)

    def scatter_sum(self, values: Tensor, dim: int) -> Tensor:
        """This process's part along `dim` of the sum."""
        parts = torch.stack(values.chunk(self.size, dim)).contiguous()
        out = torch.empty_like(parts[0])
        _reduce_scatter(out, parts.flatten(0, 1), group=self.handle)
        return out

    def exchange(self, rows: Tensor, sent: list[int] | None = None, got: list[int] | None = None) -> Tensor:
        """Give each process its run of rows, `sent` of them in order, and get `got` from each; none: equal runs."""
        out = rows.new_empty((sum(got) if got is not None else rows.shape[0], *rows.shape[1:]))
        dist.all_to_all_single(out, rows.contiguous(), got, sent, group=self.handle)
        return out

    def part(self, values: Tensor, dim: int) -> Tensor:
        """This process's part along `dim`, as a view."""
        size = values.shape[dim] // self.size
        return values.narrow(dim, self.rank * size, size)


class _Copy(torch.autograd.Function):
    """Each process goes on with its own copy: gradients are summed."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.group.sum(grad.contiguous().clone()), None


class _Sum(torch.autograd.Function):
    """The sum of all processes' values: each gets the gradient as it is."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: Group) -> Tensor:
        return group.sum(values.contiguous().clone())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


class _Gather(torch.autograd.Function):
    """All parts along a dimension. `summed`: processes go on differently, gradients are summed; else each keeps its part."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, group: Group, dim: int, summed: bool) -> Tensor:
        ctx.group, ctx.dim, ctx.summed = group, dim, summed
        return group.gather(part, dim)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        group = ctx.group
        part = group.scatter_sum(grad, ctx.dim) if ctx.summed else group.part(grad, ctx.dim).contiguous()
        return part, None, None, None


class _ScatterSum(torch.autograd.Function):
    """This process's part of the sum along a dimension: gradients are gathered."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, group: Group, dim: int) -> Tensor:
        ctx.group, ctx.dim = group, dim
        return group.scatter_sum(values, dim)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return ctx.group.gather(grad, ctx.dim), None, None


class _Exchange(torch.autograd.Function):
    """Rows to the processes they are for: gradients go back the same way."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: Group, sent: list[int], got: list[int]) -> Tensor:
        ctx.group, ctx.sent, ctx.got = group, sent, got
        return group.exchange(rows, sent, got)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return ctx.group.exchange(grad, ctx.got, ctx.sent), None, None, None


def exchanged(rows: Tensor, group: Group, sent: list[int], got: list[int]) -> Tensor:
    """Rows given and got, through which gradients flow; see `Group.exchange`."""
    out: Tensor = _Exchange.apply(rows, group, sent, got)  # type: ignore[no-untyped-call]
    return out


def gathered(part: Tensor, group: Group | None, dim: int, *, summed: bool) -> Tensor:
    """All parts along `dim`, through which gradients flow; the part itself without a group."""
    if group is None:
        return part
    out: Tensor = _Gather.apply(part, group, dim, summed)  # type: ignore[no-untyped-call]
    return out


@dataclass(frozen=True, kw_only=True)
class Split:
    """How the work of a layer is shared. Tokens lie along dimension 1; none of the axes: a process alone, and nothing is done."""

    tensor: Group | None = None
    """Processes that share each matrix."""
    sequence: bool = False
    """Whether the tensor axis also shares the tokens between matrices (sequence parallelism)."""
    context: Group | None = None
    """Processes that share each sequence, everywhere but in attention's keys and values."""
    expert: Group | None = None
    """Processes that share the experts."""

    @property
    def parts(self) -> int:
        """In how many parts the tokens of the residual stream lie."""
        tensor = self.tensor.size if self.tensor is not None and self.sequence else 1
        return tensor * (1 if self.context is None else self.context.size)

    def open(self, hidden: Tensor) -> Tensor:
        """The residual stream as a layer shared over the tensor axis reads it."""
        if self.tensor is None:
            return hidden
        if self.sequence:
            return gathered(hidden, self.tensor, 1, summed=True)
        out: Tensor = _Copy.apply(hidden, self.tensor)  # type: ignore[no-untyped-call]
        return out

    def close(self, addend: Tensor) -> Tensor:
        """What a shared layer gives back to the residual stream, from each process's addend."""
        if self.tensor is None:
            return addend
        out: Tensor
        if self.sequence:
            out = _ScatterSum.apply(addend, self.tensor, 1)  # type: ignore[no-untyped-call]
        else:
            out = _Sum.apply(addend, self.tensor)  # type: ignore[no-untyped-call]
        return out

    def rejoin(self, hidden: Tensor) -> Tensor:
        """The residual stream with all tokens of the context part, for work that all of the tensor axis do alike."""
        return gathered(hidden, self.tensor if self.sequence else None, 1, summed=False)

    def copy(self, hidden: Tensor) -> Tensor:
        """What was computed alike, as a layer shared over the tensor axis reads it."""
        if self.tensor is None:
            return hidden
        out: Tensor = _Copy.apply(hidden, self.tensor)  # type: ignore[no-untyped-call]
        return out

    def mine(self, values: Tensor) -> Tensor:
        """The context part of values along the tokens."""
        return values if self.context is None else self.context.part(values, 1)

    def residual(self, values: Tensor) -> Tensor:
        """The part of values along the tokens that lies in the residual stream here."""
        values = self.mine(values)
        return self.tensor.part(values, 1) if self.tensor is not None and self.sequence else values


ALONE = Split()
"""A process alone."""
