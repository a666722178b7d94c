"""What a blend is made of: sources, groups of them, and the phases in which their weights change."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Union

from megadata.errors import ConfigError

Number = int | float | Fraction
WeighBy = Literal["explicit", "tokens", "documents", "equal"]
WAYS: tuple[WeighBy, ...] = ("explicit", "tokens", "documents", "equal")

Node = Union["Source", "Group"]


def exact(value: Number, where: str = "weight") -> Fraction:
    """The number as written: 0.1 is one tenth, not the nearest binary fraction."""
    try:
        return value if isinstance(value, Fraction) else Fraction(str(value))
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"{where} must be a finite number, got {value!r}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One source of a blend."""

    name: str
    data: tuple[str, ...]
    """Prefixes of its datasets, read end to end in this order."""
    weight: Number | None = None
    """Its share, or what its tokens or documents are multiplied with; 0: takes part only from a later phase on."""
    max_epochs: Number | None = None
    """Most times its data is seen; what is over goes to the other sources."""
    validation: tuple[str, ...] = ()
    """Prefixes of datasets that training never sees."""

    def __post_init__(self) -> None:
        if not self.data:
            raise ConfigError(f"blend source {self.name!r}: needs at least one dataset prefix under data")
        _check(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Sources that share one weight: a blend inside a blend. Inside it is called NAME/SOURCE."""

    name: str
    sources: tuple[Node, ...]
    """Its members; what one can no longer give goes to the other members first."""
    weight: Number | None = None
    """Share of the group, as of a source."""
    max_epochs: Number | None = None
    """Most times each member is seen that says nothing of its own."""
    weigh_by: WeighBy | None = None
    """What the members' weights weigh."""
    temperature: Number = 1
    """Flattens the members' shares within the group."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ConfigError(f"blend source {self.name!r}: needs at least one source inside")
        _check(self)
        if exact(self.temperature, f"blend source {self.name!r}: temperature") <= 0:
            raise ConfigError(f"blend source {self.name!r}: temperature must be above 0, got {self.temperature}")


def _check(node: Node) -> None:
    where = f"blend source {node.name!r}"
    if node.weight is not None and exact(node.weight, f"{where}: weight") < 0:
        raise ConfigError(f"{where}: weight must not be negative, got {node.weight}")
    if node.max_epochs is not None and exact(node.max_epochs, f"{where}: max_epochs") <= 0:
        raise ConfigError(f"{where}: max_epochs must be above 0, got {node.max_epochs}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """From `from_tokens` tokens of the run on, these weights; sources not named keep theirs."""

    from_tokens: int
    weights: Mapping[str, Number]
    """By name of the source or group; NAME/SOURCE for one inside a group."""
    to_tokens: int | None = None
    """A ramp: the weights move evenly from what they were and are reached at this token; in at most 64 constant steps."""

    def __post_init__(self) -> None:
        if self.to_tokens is not None and self.to_tokens <= self.from_tokens:
            raise ConfigError(
                f"blend phase from {self.from_tokens} tokens: to_tokens must be above from_tokens, got {self.to_tokens}"
            )
        if self.from_tokens < 0 or (self.from_tokens == 0 and self.to_tokens is None):
            raise ConfigError(f"blend phase: from_tokens must be above 0, got {self.from_tokens}")
        for name, weight in self.weights.items():
            if exact(weight, f"blend phase from {self.from_tokens} tokens: weight of {name!r}") < 0:
                raise ConfigError(
                    f"blend phase from {self.from_tokens} tokens: weight of {name!r} is negative: {weight}"
                )

    @property
    def end(self) -> int:
        """The token from which on its weights hold."""
        return self.from_tokens if self.to_tokens is None else self.to_tokens


def walk(nodes: Sequence[Node], above: str = "") -> Iterator[tuple[str, Node]]:
    """Every source and group with its whole name, groups before their members."""
    for node in nodes:
        name = f"{above}{node.name}"
        yield name, node
        if isinstance(node, Group):
            yield from walk(node.sources, f"{name}/")


def leaves(nodes: Sequence[Node], above: str = "", max_epochs: Number | None = None) -> Iterator[Source]:
    """Every source under its whole name, with the cap of its group where it has none of its own."""
    for node in nodes:
        name = f"{above}{node.name}"
        cap = max_epochs if node.max_epochs is None else node.max_epochs
        if isinstance(node, Group):
            yield from leaves(node.sources, f"{name}/", cap)
        else:
            yield dataclasses.replace(node, name=name, max_epochs=cap)
