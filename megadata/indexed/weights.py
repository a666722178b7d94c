"""From what the user wrote beside a source to integer weights, exactly and the same on every machine."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import TYPE_CHECKING

from megadata.errors import ConfigError
from megadata.indexed.mixture import SCALED_SUM, integer_weights
from megadata.indexed.sources import WAYS, Group, Node, WeighBy, exact, walk

if TYPE_CHECKING:
    from megadata.indexed.blend import Blend
    from megadata.indexed.stream import TokenStream

NOTHING = Fraction(0)

RAMP_PHASES = 64
"""Constant phases that stand for a ramp, the one that follows it included."""


@dataclass(frozen=True, slots=True)
class Level:
    """The sources and groups that share out what their group, or the blend, gets."""

    way: WeighBy
    temperature: Fraction
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """A source or a group within its level."""

    name: str
    """Whole name."""
    measure: int
    """What the weight multiplies."""
    inside: int | Level
    """Number of the source, or the members of the group."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a phase, for any set of sources that can give no more."""

    level: Level
    factors: Mapping[str, Fraction]
    """Weight of each source and group, by whole name."""
    sources: int
    """Number of sources."""

    def without(self, spent: Collection[int]) -> list[int]:
        """Integer weight of each source where those of the given numbers give nothing; all 0 where none is left."""
        shares = self._divide(self.level, frozenset(spent))
        return integer_weights([shares.get(source, NOTHING) for source in range(self.sources)])

    def _divide(self, level: Level, spent: frozenset[int]) -> dict[int, Fraction]:
        """What each source of a level weighs against the others; those that weigh nothing are left out."""
        shares = _flatten([self.factors[m.name] * m.measure for m in level.members], level.temperature)
        out: dict[int, Fraction] = {}
        for member, share in zip(level.members, shares, strict=True):
            if not share:
                continue
            if isinstance(member.inside, Level):
                inner = self._divide(member.inside, spent)
                total = sum(inner.values())
                out.update((source, share * part / total) for source, part in inner.items())
            elif member.inside not in spent:
                out[member.inside] = share
        return out

    @property
    def any(self) -> bool:
        """Whether any source weighs something."""
        return bool(self._divide(self.level, frozenset()))


def resolve_weights(blend: Blend, streams: Sequence[TokenStream]) -> list[tuple[int, Weights]]:
    """From which token on which weights hold; the first from 0 on.

    Parameters
    ----------
    blend : Blend
    streams : sequence of TokenStream
        The training data of each source, in the order of `blend.leaves`.

    Raises
    ------
    ConfigError
        If weights are explicit and one is missing, or all of a phase are 0.
    """
    level, _ = _level(blend.origin, blend.sources, blend.weigh_by, exact(blend.temperature), "", streams)
    current = {name: exact(1 if n.weight is None else n.weight) for name, n in walk(blend.sources)}
    out = [_weights(blend, level, current, len(streams), 0)]
    for phase in blend.phases:
        goal = {**current, **{name: exact(weight) for name, weight in phase.weights.items()}}
        length = phase.end - phase.from_tokens
        steps = min(RAMP_PHASES - 1, length)
        for step in range(steps):
            part = Fraction(2 * step + 1, 2 * steps)
            moved = {name: current[name] + (goal[name] - current[name]) * part for name in phase.weights}
            between = {**current, **moved}
            start = phase.from_tokens + step * length // steps
            out.append(_weights(blend, level, between, len(streams), start))
        out.append(_weights(blend, level, goal, len(streams), phase.end))
        current = goal
    return out


def _weights(
    blend: Blend, level: Level, factors: Mapping[str, Fraction], sources: int, start: int
) -> tuple[int, Weights]:
    weights = Weights(level, dict(factors), sources)
    if not weights.any:
        when = f"from {start} tokens on" if start else "at the start"
        raise ConfigError(f"{blend.origin}: all weights are 0 {when}; give a source a weight above 0")
    return start, weights


def _level(
    origin: str,
    nodes: Sequence[Node],
    weigh_by: WeighBy | None,
    temperature: Fraction,
    above: str,
    streams: Sequence[TokenStream],
    first: int = 0,
) -> tuple[Level, int]:
    """The level that some nodes make, and the number of the source after theirs."""
    given = [node.weight for node in nodes]
    way = weigh_by or ("explicit" if any(weight is not None for weight in given) else "tokens")
    if way not in WAYS:
        raise ConfigError(f"{origin}: weigh_by {way!r} is not known; use {', '.join(WAYS)}")
    if way == "explicit" and None in given:
        name = above + nodes[given.index(None)].name
        raise ConfigError(
            f"{origin}: source {name!r} has no weight, others have; give it one, or set weigh_by to tokens"
        )
    members = []
    for node in nodes:
        begin, name = first, above + node.name
        inside: int | Level
        if isinstance(node, Group):
            inside, first = _level(
                origin, node.sources, node.weigh_by, exact(node.temperature), f"{name}/", streams, first
            )
        else:
            inside, first = first, first + 1
        members.append(Member(name, _measure(way, streams[begin:first]), inside))
    return Level(way, temperature, tuple(members)), first


def _measure(way: WeighBy, streams: Sequence[TokenStream]) -> int:
    if way == "tokens":
        return sum(stream.tokens for stream in streams)
    return sum(stream.documents for stream in streams) if way == "documents" else 1


def _flatten(shares: Sequence[Fraction], temperature: Fraction) -> list[Fraction]:
    """Shares to the power of 1 / temperature, in decimal arithmetic, which rounds alike everywhere."""
    total = sum(shares)
    if temperature == 1 or not total:
        return list(shares)
    with localcontext() as context:
        context.prec = 40
        power = Decimal(temperature.denominator) / Decimal(temperature.numerator)
        parts = [share / total for share in shares]
        powers = [(Decimal(p.numerator) / Decimal(p.denominator)) ** power if p else Decimal(0) for p in parts]
        whole = sum(powers)
        return [Fraction(int((p / whole * SCALED_SUM).to_integral_value())) if p else Fraction(0) for p in powers]
