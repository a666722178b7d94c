"""From what the user wrote beside a source to integer weights, exactly and the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from megadata.errors import ConfigError
from megadata.indexed.mixture import SCALED_SUM, integer_weights

if TYPE_CHECKING:
    from megadata.indexed.blend import Blend
    from megadata.indexed.stream import TokenStream

Number = int | float | Fraction
WeighBy = Literal["explicit", "tokens", "documents", "equal"]
WAYS: tuple[WeighBy, ...] = ("explicit", "tokens", "documents", "equal")


def exact(value: Number, where: str = "weight") -> Fraction:
    """The number as written: 0.1 is one tenth, not the nearest binary fraction."""
    try:
        return value if isinstance(value, Fraction) else Fraction(str(value))
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"{where} must be a finite number, got {value!r}") from error


def resolve_weights(blend: Blend, streams: Sequence[tuple[int, TokenStream]]) -> list[list[int]]:
    """Integer weights of each source in each phase, the first phase included.

    Parameters
    ----------
    blend : Blend
    streams : sequence of (tokens, stream)
        The training data of each source, in the blend's order.

    Raises
    ------
    ConfigError
        If weights are explicit and one is missing, or all of a phase are 0.
    """
    given = [source.weight for source in blend.sources]
    way = blend.weigh_by or ("explicit" if any(weight is not None for weight in given) else "tokens")
    if way not in WAYS:
        raise ConfigError(f"{blend.origin}: weigh_by {way!r} is not known; use {', '.join(WAYS)}")
    if way == "explicit" and None in given:
        name = blend.sources[given.index(None)].name
        raise ConfigError(
            f"{blend.origin}: source {name!r} has no weight, others have; give it one, or set weigh_by to tokens"
        )
    measures = [
        {"tokens": tokens, "documents": stream.documents if way == "documents" else 0}.get(way, 1)
        for tokens, stream in streams
    ]
    current = [exact(1 if weight is None else weight) for weight in given]
    out = [_phase(blend, current, measures, "at the start")]
    names = [source.name for source in blend.sources]
    for phase in blend.phases:
        for name, weight in phase.weights.items():
            current[names.index(name)] = exact(weight)
        out.append(_phase(blend, current, measures, f"from {phase.from_tokens} tokens on"))
    return out


def _phase(blend: Blend, factors: Sequence[Fraction], measures: Sequence[int], when: str) -> list[int]:
    shares = [factor * measure for factor, measure in zip(factors, measures, strict=True)]
    if not any(shares):
        raise ConfigError(f"{blend.origin}: all weights are 0 {when}; give a source a weight above 0")
    return integer_weights(_flatten(shares, exact(blend.temperature)))


def _flatten(shares: Sequence[Fraction], temperature: Fraction) -> list[Fraction]:
    """Shares to the power of 1 / temperature, in decimal arithmetic, which rounds alike everywhere."""
    if temperature == 1:
        return list(shares)
    total = sum(shares)
    with localcontext() as context:
        context.prec = 40
        power = Decimal(temperature.denominator) / Decimal(temperature.numerator)
        parts = [share / total for share in shares]
        powers = [(Decimal(p.numerator) / Decimal(p.denominator)) ** power if p else Decimal(0) for p in parts]
        whole = sum(powers)
        return [Fraction(int((p / whole * SCALED_SUM).to_integral_value())) if p else Fraction(0) for p in powers]
