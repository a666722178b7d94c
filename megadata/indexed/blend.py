"""`Blend`: which datasets a run draws from, in what proportion, and from when on.

A blend names sources; a source is one or many datasets whose documents a run may see, or a group: a blend inside the blend.
Weights say how many of the samples each source gives. `samples` turns a blend into samples of a length, at once: see `order`,
`mixture` and `samples` for how.

blend.yaml, with everything that may stand in it::

    format: blend
    version: 1
    seed: 0
    weigh_by: explicit          # explicit, tokens, documents or equal; the weight then multiplies tokens, documents or one
    temperature: 1              # shares become share ** (1 / temperature)
    order: {locality: false}    # true: keep windows that lie together together in time
                                # {kind: megatron, samples: 1000000}: Megatron-core's order of a run of so many samples
    split: [949, 50, 1]         # sources without validation of their own: training, validation and test parts
    sources:
      web: {data: [web/text], weight: 3, max_epochs: 4, validation: [web/validation]}
      books: {data: [books/text], weight: 1}
      code:                     # a group: its share is divided among its members, and stays theirs while any has data left
        weight: 2
        weigh_by: tokens
        temperature: 2
        max_epochs: 4           # of each member
        sources: {python: {data: [code/python]}, rust: {data: [code/rust]}}
      more: {blend: other/blend.yaml, weight: 1}      # the same, from a file
    phases:                     # append only: from these many tokens on, these weights; others keep theirs
      - {from_tokens: 1000000000, weights: {books: 3, code/rust: 2}}
      - {from_tokens: 2000000000, to_tokens: 3000000000, weights: {web: 0.5}}    # a ramp, in at most 64 constant steps
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from megadata.errors import ConfigError
from megadata.indexed.blendfile import parse_blend, render_blend
from megadata.indexed.files import is_url
from megadata.indexed.megatron import split_range
from megadata.indexed.megatronblend import check_megatron, cut_as_megatron, megatron_samples
from megadata.indexed.megatronsamples import MegatronOrder, MegatronSamples
from megadata.indexed.mixture import Schedule
from megadata.indexed.plan import Plan, plan_of
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.samples import Samples, SequentialSamples, SourceStream
from megadata.indexed.sources import Group, Node, Number, Phase, Source, WeighBy, exact, leaves, walk
from megadata.indexed.stream import Piece, TokenStream
from megadata.indexed.vocabulary import Vocabulary, common_vocabulary
from megadata.indexed.weights import resolve_weights

__all__ = ["Blend", "Data", "Group", "MegatronOrder", "Part", "Phase", "Source"]

Data = IndexedDataset | str | Path
Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class Blend:
    """Sources, their weights over the run, and a seed."""

    sources: tuple[Node, ...]
    phases: tuple[Phase, ...] = ()
    """Changes of weights, in rising order of tokens. Append only: what lies behind a running training must stay."""
    weigh_by: WeighBy | None = None
    """What a weight weighs; None: explicit where any weight is given, else tokens."""
    temperature: Number = 1
    """Shares become share ** (1 / temperature); above 1 flattens them."""
    seed: int = 0
    split: tuple[int, ...] | None = None
    """Proportions of documents for training, validation and test, in this order, for sources without validation of their own."""
    locality: bool = False
    """Whether windows that lie together are read together; for object storage and spinning disks."""
    megatron: MegatronOrder | None = None
    """Megatron-core's order instead of ours."""
    origin: str = field(default="blend", compare=False)
    """How messages name the blend: its file."""

    def __post_init__(self) -> None:
        names = [name for name, _ in walk(self.sources)]
        if not names:
            raise ConfigError(f"{self.origin}: needs at least one source")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(f"{self.origin}: source {twice!r} is named twice; give each source a name of its own")
        if exact(self.temperature, f"{self.origin}: temperature") <= 0:
            raise ConfigError(f"{self.origin}: temperature must be above 0, got {self.temperature}")
        starts = [phase.from_tokens for phase in self.phases]
        if any(later <= earlier for earlier, later in pairwise(starts)):
            raise ConfigError(f"{self.origin}: phases must start at rising from_tokens, found {starts}")
        for earlier, later in pairwise(self.phases):
            if later.from_tokens < earlier.end:
                raise ConfigError(
                    f"{self.origin}: the phase from {later.from_tokens} tokens starts before the ramp to {earlier.end} ends"
                )
        for phase in self.phases:
            for name in phase.weights:
                if name not in names:
                    raise ConfigError(
                        f"{self.origin}: the phase from {phase.from_tokens} tokens weighs {name!r}, which is no source; "
                        f"sources: {', '.join(names)}"
                    )
        if self.split is not None and (len(self.split) != 3 or min(self.split) < 0 or self.split[0] <= 0):
            raise ConfigError(f"{self.origin}: split must be three parts like 949,50,1, got {list(self.split)}")
        if self.megatron is not None:
            check_megatron(self)

    @staticmethod
    def of(
        sources: Mapping[str, Data | Blend | Sequence[Data]],
        weights: Mapping[str, Number] | None = None,
        *,
        weigh_by: WeighBy | None = None,
        temperature: Number = 1,
        seed: int = 0,
        max_epochs: Mapping[str, Number] | None = None,
        validation: Mapping[str, Data | Sequence[Data]] | None = None,
        phases: Iterable[Phase] = (),
        split: Sequence[int] | None = None,
        locality: bool = False,
        megatron: MegatronOrder | None = None,
    ) -> Blend:
        """A blend of datasets, or prefixes, by name.

        Parameters
        ----------
        sources : mapping of name to dataset, prefix, several of them, or a whole blend, which becomes a group
        weights : mapping of name to number, optional
            Without any, each source weighs as much as it has tokens.
        weigh_by, temperature, seed, phases, split, locality, megatron
            The fields of `Blend`.
        max_epochs : mapping of name to number, optional
            Most times a source is seen.
        validation : mapping of name to dataset, prefix, or several of them, optional
            What to measure the loss on.

        Raises
        ------
        ConfigError
            If a mapping names what is no source, or a value is out of its range.
        """
        for what, given in (("weights", weights), ("max_epochs", max_epochs), ("validation", validation)):
            for name in given or {}:
                if name not in sources:
                    raise ConfigError(
                        f"blend: {what} names {name!r}, which is no source; sources: {', '.join(sources)}"
                    )
        nodes: list[Node] = []
        for name, data in sources.items():
            weight, cap = ((given or {}).get(name) for given in (weights, max_epochs))
            held_out = (validation or {}).get(name)
            if not isinstance(data, Blend):
                held_out = () if held_out is None else held_out
                nodes.append(
                    Source(
                        name=name, data=_prefixes(data), weight=weight, max_epochs=cap, validation=_prefixes(held_out)
                    )
                )
                continue
            if held_out is not None:
                raise ConfigError(f"blend: {name!r} is a blend; name its validation data beside the sources inside it")
            nodes.append(data.as_group(name, weight, cap))
        return Blend(
            sources=tuple(nodes),
            phases=tuple(phases),
            weigh_by=weigh_by,
            temperature=temperature,
            seed=seed,
            split=tuple(split) if split is not None else None,
            locality=locality,
            megatron=megatron,
        )

    @staticmethod
    def load(path: str | Path) -> Blend:
        """Read a blend.yaml; prefixes in it are relative to its folder.

        Raises
        ------
        ConfigError
            If the file is not YAML, of a newer version, or has a key or value that does not belong.
        """
        return _load(Path(path), ())

    def as_group(self, name: str, weight: Number | None = None, max_epochs: Number | None = None) -> Group:
        """This blend as one source of another; the other's seed holds.

        Raises
        ------
        ConfigError
            If it has phases, a split or an order of its own: those belong to the whole.
        """
        for what, given in (("phases", self.phases), ("split", self.split), ("order", self.locality or self.megatron)):
            if given:
                raise ConfigError(
                    f"{self.origin}: has {what} of its own, which a blend inside another cannot have; give them to the outer"
                )
        return Group(
            name=name,
            sources=self.sources,
            weight=weight,
            max_epochs=max_epochs,
            weigh_by=self.weigh_by,
            temperature=self.temperature,
        )

    @property
    def leaves(self) -> tuple[Source, ...]:
        """All sources under their whole names, those of groups as NAME/SOURCE."""
        return tuple(leaves(self.sources))

    def save(self, path: str | Path) -> Path:
        """Write blend.yaml; prefixes are written relative to its folder, so that both can move together."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(target.name + ".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(render_blend(self, target.parent))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        return target

    def with_phase(
        self,
        from_tokens: int,
        weights: Mapping[str, Number],
        added: Sequence[Node] = (),
        to_tokens: int | None = None,
    ) -> Blend:
        """This blend with other weights from `from_tokens` tokens on, and sources that take part only from then on.

        With `to_tokens` the weights are reached there, evenly.
        """
        joining = tuple(dataclasses.replace(source, weight=0) for source in added)
        phase = Phase(from_tokens=from_tokens, weights=weights, to_tokens=to_tokens)
        return dataclasses.replace(self, sources=self.sources + joining, phases=(*self.phases, phase))

    def samples(
        self, sequence_length: int, part: Part = "train", count: int | None = None
    ) -> Samples | MegatronSamples:
        """Training samples of `sequence_length` + 1 tokens, in the order of the blend.

        Parameters
        ----------
        sequence_length : int
        part : str
        count : int, optional
            Samples of the whole run. Only Megatron's order depends on it, where the blend does not say `order.samples` itself.

        Raises
        ------
        ConfigError
            If a source has fewer tokens than one sample, no source has a weight, or tokenizers differ.
        IndexFormatError
            If a dataset is damaged.
        """
        if sequence_length < 1:
            raise ConfigError(f"sequence_length must be at least 1, got {sequence_length}")
        if self.megatron is not None:
            return megatron_samples(self, self.megatron, sequence_length, PARTS.index(part), count)
        members = self.leaves
        streams = [self._stream(source, part) for source in members]
        for source, stream in zip(members, streams, strict=True):
            stream.refuse_other_length(source.name, sequence_length)
            if stream.tokens < sequence_length:
                raise ConfigError(
                    f"{self.origin}: source {source.name!r} has {stream.tokens} tokens, fewer than one sample of "
                    f"{sequence_length}; leave the source out or shorten the samples"
                )
        vocabulary = common_vocabulary(piece.dataset for stream in streams for piece in stream.pieces)
        limits = [
            None if source.max_epochs is None else int(exact(source.max_epochs) * (stream.tokens // sequence_length))
            for source, stream in zip(members, streams, strict=True)
        ]
        sources = [
            SourceStream(source.name, stream, limit, stream.fingerprint, stream.digest)
            for source, stream, limit in zip(members, streams, limits, strict=True)
        ]
        self._different(sources)
        phases = [(-(-start // sequence_length), weights) for start, weights in resolve_weights(self, streams)]
        ties = [f"{source.fingerprint} {source.name}" for source in sources]
        schedule = Schedule(tuple(phases), tuple(limits), tuple(ties))
        segments = schedule.segments()
        if not segments:
            raise ConfigError(f"{self.origin}: max_epochs allow no sample of {sequence_length} tokens; raise them")
        return Samples(
            sources,
            segments,
            sequence_length=sequence_length,
            seed=self.seed,
            vocabulary=vocabulary,
            locality=self.locality,
            schedule=schedule,
        )

    def validation(self, sequence_length: int, part: Part = "validation") -> dict[str, SequentialSamples]:
        """The held-out windows of each source that has any, in order, by name of the source.

        Warns
        -----
        UserWarning
            If what a source holds out is shorter than one window; the source is then left out.
        """
        out = {}
        for source in self.leaves:
            stream = self._stream(source, part)
            if not stream.pieces and not source.validation and self.split is None:
                continue
            stream.refuse_other_length(source.name, sequence_length)
            vocabulary = common_vocabulary(piece.dataset for piece in stream.pieces)
            windows = SequentialSamples(source.name, stream, sequence_length, vocabulary)
            if len(windows):
                out[source.name] = windows
            elif part == "validation":
                warnings.warn(
                    f"{self.origin}: the validation data of source {source.name!r} has {stream.tokens} tokens, fewer than "
                    f"a window of {sequence_length} and its last label; its loss is not reported",
                    stacklevel=2,
                )
        return out

    def plan(self, tokens: int, sequence_length: int = 1024) -> Plan:
        """What a run of `tokens` tokens draws from each source: tokens, epochs, shares, and what to think about."""
        samples = self.samples(sequence_length, count=max(1, -(-tokens // sequence_length)))
        return plan_of(samples, tokens, tuple(phase.from_tokens for phase in self.phases))

    def fingerprints(self) -> dict[str, str]:
        """Hex digest of each source's training data, by name."""
        return {source.name: self._stream(source, "train").fingerprint for source in self.leaves}

    def vocabulary(self) -> Vocabulary:
        """The vocabulary all training data was written with, as far as its sidecars say."""
        return common_vocabulary(IndexedDataset(prefix) for source in self.leaves for prefix in source.data)

    def _different(self, sources: Sequence[SourceStream]) -> None:
        """Refuse the same data under two names: both would give the same samples in the same order."""
        seen: dict[str, str] = {}
        for source in sources:
            if source.fingerprint in seen:
                raise ConfigError(
                    f"{self.origin}: sources {seen[source.fingerprint]!r} and {source.name!r} hold the same data; "
                    "name it once and give it the weight of both"
                )
            seen[source.fingerprint] = source.name

    def _stream(self, source: Source, part: Part) -> TokenStream:
        """The tokens of one part of a source."""
        if part == "validation" and source.validation:
            return TokenStream([_whole(prefix) for prefix in source.validation])
        if source.validation or self.split is None:
            return TokenStream([_whole(prefix) for prefix in source.data] if part == "train" else [])
        cut = _cut if self.megatron is None else cut_as_megatron
        return TokenStream([cut(prefix, self.split, PARTS.index(part)) for prefix in source.data])


def _prefixes(data: Data | Sequence[Data]) -> tuple[str, ...]:
    many = [data] if isinstance(data, (IndexedDataset, str, Path)) else data
    return tuple(one.prefix if isinstance(one, IndexedDataset) else os.fspath(one) for one in many)


def _whole(prefix: str) -> Piece:
    dataset = IndexedDataset(prefix)
    return Piece(dataset, 0, dataset.tokens)


def _cut(prefix: str, split: Sequence[int], part: int) -> Piece:
    """The `part`-th range of a dataset cut at documents in the proportions of `split`, rounded as Megatron-core does."""
    dataset = IndexedDataset(prefix)
    if dataset.meta is not None and dataset.meta.pack is not None:
        raise ConfigError(
            f"{prefix}: is packed, and a document may lie in several of its rows; "
            "split it when it is written (`tokenize --split`) and leave out split"
        )
    documents = split_range(split, part, dataset.documents)
    start, stop = dataset.document_starts(np.array([documents.start, documents.stop])).tolist()
    return Piece(dataset, start, stop)


def _load(path: Path, outer: tuple[Path, ...]) -> Blend:
    """A blend file, and those it names; `outer` are the files that name this one."""
    if path.resolve() in outer:
        raise ConfigError(f"{path}: is a source of itself, by way of {' and '.join(str(p) for p in outer)}")
    content = parse_blend(path)
    inner = (*outer, path.resolve())
    nodes = tuple(_node(name, given, path.parent, inner) for name, given in content.pop("sources").items())
    phases = tuple(Phase(**phase) for phase in content.pop("phases", ()))
    if (order := content.pop("megatron", None)) is not None:
        content["megatron"] = MegatronOrder(**order)
    return Blend(sources=nodes, phases=phases, origin=str(path), **content)


def _node(name: str, given: dict[str, Any], folder: Path, outer: tuple[Path, ...]) -> Node:
    """A source or a group from its mapping in the file."""
    if "blend" in given:
        blend = _load(folder / given.pop("blend"), outer)
        return blend.as_group(name, given.get("weight"), given.get("max_epochs"))
    if "sources" in given:
        inside = given.pop("sources")
        return Group(name=name, sources=tuple(_node(n, one, folder, outer) for n, one in inside.items()), **given)
    data, validation = (
        tuple(prefix if is_url(prefix) else str(folder / prefix) for prefix in given.pop(key, ()))
        for key in ("data", "validation")
    )
    return Source(name=name, data=data, validation=validation, **given)
