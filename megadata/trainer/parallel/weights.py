"""The weights of a process as the optimizer sees them: local parts, and who else holds the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from megadata.trainer.models.trunk import Trunk
from megadata.trainer.parallel.layout import Layout
from megadata.trainer.parallel.tensor import adds_up, shared_dimension


@dataclass(frozen=True, kw_only=True)
class Weight:
    """One parameter."""

    name: str
    parameter: nn.Parameter
    """As the model holds it: a DTensor where processes share it."""
    local: Tensor
    """The part that lies here, which the optimizer steps."""
    counted: bool = True
    """Whether this process is the one, of those that hold the same part, that adds to the norm and writes to checkpoints."""
    adds_up: bool = False
    """Whether the gradient is an addend of a sum over the tensor axis."""
    tied: bool = False
    """Whether the first and the last stage of the pipeline hold a copy each."""

    def take_gradient(self) -> None:
        """Give the local part the parameter's gradient."""
        grad = self.parameter.grad
        if self.local is not self.parameter:
            self.local.grad = grad.to_local() if isinstance(grad, DTensor) else grad

    def drop_gradient(self) -> None:
        """Free the gradient."""
        self.parameter.grad = self.local.grad = None


def weights_of(models: Iterable[Trunk], layout: Layout) -> list[Weight]:
    """The weights of this process's stages; to be called when they have memory, and again when that is another."""
    axes = layout.axes
    found = []
    for model in models:
        ties = axes.pipeline > 1 and model.config.tied
        for name, parameter in model.named_parameters():
            copied = axes.tensor > 1 and shared_dimension(name) is None
            tied = ties and name == "tokens.weight"
            holds_first = layout.place("replicate") == 0 and not (copied and layout.place("tensor"))
            found.append(
                Weight(
                    name=name,
                    parameter=parameter,
                    local=_leaf(parameter),
                    counted=holds_first and not (tied and not model.first),
                    adds_up=copied and adds_up(name, axes.sequence),
                    tied=tied,
                )
            )
    return found


def _leaf(parameter: nn.Parameter) -> Tensor:
    """The local part as a leaf of its own, in the same memory."""
    if not isinstance(parameter, DTensor):
        return parameter
    local: Tensor = parameter.to_local()
    return local.detach().requires_grad_()
