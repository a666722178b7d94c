"""The state of a run over a blend, and whether another blend may go on from it.

A sample number means the same tokens only while the sources' data, the seed and the weights up to that number are the same. The
state therefore holds them; what lies after the position may change freely.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from megadata.errors import ConfigError
from megadata.indexed.megatronsamples import MegatronSamples
from megadata.indexed.samples import Origin, Samples

ADVICE = "; go on with the blend the run started with, and append a phase for what is to change"


def blend_state(samples: Samples | MegatronSamples, position: int) -> dict[str, Any]:
    """Plain values: the seed, the data of each source drawn from, and the segments before sample `position`."""
    if isinstance(samples, MegatronSamples):
        return _megatron_state(samples, position)
    names = samples.names
    segments = []
    used: set[str] = set()
    for segment in samples.segments:
        if segment.start < position or segment is samples.segments[0]:
            weights = {name: weight for name, weight in zip(names, segment.weights, strict=True) if weight}
            base = {name: base for name, base in zip(names, segment.base, strict=True) if base}
            segments.append({"start": segment.start, "weights": weights, "base": base})
            used |= set(weights)
    fingerprints = samples.fingerprints()
    return {
        "seed": samples.seed,
        "locality": samples.locality,
        "sources": {name: dict(fingerprints[name]) for name in sorted(used)},
        "segments": segments,
        "cursors": samples.counts(min(position, samples.segments[-1].stop)),
        **(
            {}
            if samples.origin is None
            else {"origin": {"start": samples.origin.start, "base": dict(samples.origin.base)}}
        ),
    }


def state_origin(state: Mapping[str, Any]) -> Origin | None:
    """Where the samples of a loader's state begin, if they went on from others."""
    found = state.get("blend", {}).get("origin")
    return None if found is None else Origin(found["start"], found["base"])


def rebase_origin(samples: Samples, state: Mapping[str, Any]) -> tuple[Origin, list[str]]:
    """Where to go on from a loader's state whose past these samples cannot repeat, and what that costs, in sentences.

    Sources whose data, order and sample length are unchanged go on where they were; no token is repeated or skipped. Others begin
    the epoch after the one they were in, so no token is seen more often than in whole epochs. Changed data begins anew.
    """
    past, length = state["blend"], state["sequence_length"]
    keyed = (length, past["seed"], past["locality"]) == (samples.sequence_length, samples.seed, samples.locality)
    data = samples.fingerprints()
    base, notes = {}, []
    for name, cursor in past["cursors"].items():
        then = past["sources"].get(name)
        if cursor == 0 or then is None:
            continue
        if name not in data:
            notes.append(f"{name} was drawn from and is gone")
            continue
        if data[name]["fingerprint"] != then["fingerprint"]:
            notes.append(f"{name} holds other data than before and begins anew")
            continue
        if keyed:
            base[name] = cursor
            continue
        windows = then["tokens"] // length
        epoch = -(-cursor // windows)
        base[name] = epoch * samples.windows_per_epoch()[name]
        if unread := (epoch * windows - cursor) * length:
            notes.append(f"{name} begins epoch {epoch}; {unread:,} tokens of the epoch before are not read")
    return Origin(-(-state["position"] * length // samples.sequence_length), base), notes


def check_state(samples: Samples | MegatronSamples, state: Mapping[str, Any], position: int) -> None:
    """Raise `ConfigError` that names the first difference if samples before `position` would not be the same.

    Adding sources, changing weights from a later sample on and appending phases are no differences.
    """
    if ("megatron" in state) != isinstance(samples, MegatronSamples):
        then, now = ("Megatron's", "not") if "megatron" in state else ("not Megatron's", "it")
        raise ConfigError(f"blend: the order was {then} when the state was taken, it is {now} now{ADVICE}")
    if isinstance(samples, MegatronSamples):
        _check_megatron(samples, state)
        return
    for name in ("seed", "locality"):
        if state[name] != getattr(samples, name):
            raise ConfigError(
                f"blend: {name} was {state[name]} when the state was taken, it is {getattr(samples, name)} now{ADVICE}"
            )
    data = samples.fingerprints()
    for name, then in state["sources"].items():
        if name not in data:
            raise ConfigError(f"blend: source {name!r} was drawn from and is gone{ADVICE}")
        _same_data(name, then, data[name])
    ours = blend_state(samples, position)["segments"]
    for number, then in enumerate(state["segments"]):
        found = ours[number] if number < len(ours) else None
        if found != then:
            raise ConfigError(
                f"blend: from sample {then['start']} on the weights were {_words(then['weights'])} when the state was taken, "
                f"they are {_words(found['weights']) + ' from sample ' + str(found['start']) if found else 'not there'} now"
                f"{ADVICE}"
            )
    if len(ours) > len(state["segments"]):
        extra = ours[len(state["segments"])]
        raise ConfigError(
            f"blend: the weights change to {_words(extra['weights'])} at sample {extra['start']}, before the state's "
            f"sample {position}{ADVICE}"
        )


def _megatron_state(samples: MegatronSamples, position: int) -> dict[str, Any]:
    """Plain values: the seed, the data of all sources, and the numbers that Megatron's order follows from."""
    return {
        "seed": samples.seed,
        "megatron": _megatron_order(samples),
        "sources": {name: dict(data) for name, data in samples.fingerprints().items()},
        "cursors": samples.counts(min(position, samples.total)),
        "mark": samples.mark(position),
    }


def _megatron_order(samples: MegatronSamples) -> dict[str, Any]:
    """Each number that Megatron's order follows from, by how messages name it."""
    return {
        "samples": samples.total,
        "sources": list(samples.names),
        "weights": samples.weights,
        "samples built": [len(dataset) for dataset in samples.datasets],
        "sequences": [[dataset.sequences.start, dataset.sequences.stop] for dataset in samples.datasets],
    }


def _check_megatron(samples: MegatronSamples, state: Mapping[str, Any]) -> None:
    """Raise at the first difference; in Megatron's order each number and all data matter from the first sample on."""
    advice = (
        "; Megatron's order follows from all of these from the first sample on, so go on with what the run started with"
    )
    if state["seed"] != samples.seed:
        raise ConfigError(f"blend: seed was {state['seed']} when the state was taken, it is {samples.seed} now{advice}")
    for name, now in _megatron_order(samples).items():
        if (then := state["megatron"][name]) != now:
            raise ConfigError(f"blend order: {name} was {then} when the state was taken, it is {now} now{advice}")
    data = samples.fingerprints()
    for name, then in state["sources"].items():
        _same_data(name, then, data[name])
    samples.resume(state["mark"])


def _same_data(name: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise if the data of a source is other data."""
    if then["tokens"] != now["tokens"]:
        what = f"had {then['tokens']:,} tokens, it has {now['tokens']:,}"
    elif then["digest"] and now["digest"] and then["digest"] != now["digest"]:
        what = f"had digest {then['digest'][:12]}, it has {now['digest'][:12]}"
    elif then["fingerprint"] != now["fingerprint"]:
        what = f"had fingerprint {then['fingerprint'][:12]}, it has {now['fingerprint'][:12]}"
    else:
        return
    raise ConfigError(
        f"blend: the data of source {name!r} {what} now; it is not what the run was trained on. "
        "Restore it, or add the new data as another source with a phase of its own"
    )


def _words(weights: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={weight}" for name, weight in sorted(weights.items()))
