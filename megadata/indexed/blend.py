"""`Blend`: which datasets a run draws from, in what proportion, and from when on.

A blend names sources; a source is one or many datasets whose documents a run may see. Weights say how many of the samples each
source gives. `samples` turns a blend into samples of a length, at once: see `order`, `mixture` and `samples` for how.

blend.yaml, with everything that may stand in it::

    format: blend
    version: 1
    seed: 0
    weigh_by: explicit          # explicit, tokens, documents or equal; the weight then multiplies tokens, documents or one
    temperature: 1              # shares become share ** (1 / temperature)
    order: {locality: false}    # true: keep windows that lie together together in time
    split: [949, 50, 1]         # sources without validation of their own: training, validation and test parts
    sources:
      web: {data: [web/text], weight: 3, max_epochs: 4, validation: [web/validation]}
      books: {data: [books/text], weight: 1}
    phases:                     # append only: from these many tokens on, these weights; others keep theirs
      - {from_tokens: 1000000000, weights: {books: 3}}
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from megadata.errors import ConfigError
from megadata.indexed.blendfile import parse_blend, render_blend
from megadata.indexed.mixture import compile_segments
from megadata.indexed.plan import Plan, plan_of
from megadata.indexed.reader import IndexedDataset
from megadata.indexed.samples import Samples, SequentialSamples, SourceStream
from megadata.indexed.stream import Piece, TokenStream
from megadata.indexed.vocabulary import Vocabulary, common_vocabulary
from megadata.indexed.weights import Number, WeighBy, exact, resolve_weights

Data = IndexedDataset | str | Path
Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")


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
        if self.weight is not None and exact(self.weight, f"blend source {self.name!r}: weight") < 0:
            raise ConfigError(f"blend source {self.name!r}: weight must not be negative, got {self.weight}")
        if self.max_epochs is not None and exact(self.max_epochs, f"blend source {self.name!r}: max_epochs") <= 0:
            raise ConfigError(f"blend source {self.name!r}: max_epochs must be above 0, got {self.max_epochs}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """From `from_tokens` tokens of the run on, these weights; sources not named keep theirs."""

    from_tokens: int
    weights: Mapping[str, Number]

    def __post_init__(self) -> None:
        if self.from_tokens <= 0:
            raise ConfigError(f"blend phase: from_tokens must be above 0, got {self.from_tokens}")
        for name, weight in self.weights.items():
            if exact(weight, f"blend phase from {self.from_tokens} tokens: weight of {name!r}") < 0:
                raise ConfigError(
                    f"blend phase from {self.from_tokens} tokens: weight of {name!r} is negative: {weight}"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class Blend:
    """Sources, their weights over the run, and a seed."""

    sources: tuple[Source, ...]
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
    origin: str = field(default="blend", compare=False)
    """How messages name the blend: its file."""

    def __post_init__(self) -> None:
        names = [source.name for source in self.sources]
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
        for phase in self.phases:
            for name in phase.weights:
                if name not in names:
                    raise ConfigError(
                        f"{self.origin}: the phase from {phase.from_tokens} tokens weighs {name!r}, which is no source; "
                        f"sources: {', '.join(names)}"
                    )
        if self.split is not None and (len(self.split) != 3 or min(self.split) < 0 or self.split[0] <= 0):
            raise ConfigError(f"{self.origin}: split must be three parts like 949,50,1, got {list(self.split)}")

    @staticmethod
    def of(
        sources: Mapping[str, Data | Sequence[Data]],
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
    ) -> Blend:
        """A blend of datasets, or prefixes, by name.

        Parameters
        ----------
        sources : mapping of name to dataset, prefix, or several of them
        weights : mapping of name to number, optional
            Without any, each source weighs as much as it has tokens.
        weigh_by, temperature, seed, phases, split, locality
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
        return Blend(
            sources=tuple(
                Source(
                    name=name,
                    data=_prefixes(data),
                    weight=(weights or {}).get(name),
                    max_epochs=(max_epochs or {}).get(name),
                    validation=_prefixes((validation or {}).get(name, ())),
                )
                for name, data in sources.items()
            ),
            phases=tuple(phases),
            weigh_by=weigh_by,
            temperature=temperature,
            seed=seed,
            split=tuple(split) if split is not None else None,
            locality=locality,
        )

    @staticmethod
    def load(path: str | Path) -> Blend:
        """Read a blend.yaml; prefixes in it are relative to its folder.

        Raises
        ------
        ConfigError
            If the file is not YAML, of a newer version, or has a key or value that does not belong.
        """
        folder = Path(path).parent
        content = parse_blend(Path(path))
        sources = []
        for name, given in content.pop("sources").items():
            data, validation = (
                tuple(str(folder / prefix) for prefix in given.pop(key, ())) for key in ("data", "validation")
            )
            sources.append(Source(name=name, data=data, validation=validation, **given))
        phases = tuple(Phase(**phase) for phase in content.pop("phases", ()))
        return Blend(sources=tuple(sources), phases=phases, origin=str(path), **content)

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

    def with_phase(self, from_tokens: int, weights: Mapping[str, Number], added: Sequence[Source] = ()) -> Blend:
        """This blend with other weights from `from_tokens` tokens on, and sources that take part only from then on."""
        joining = tuple(dataclasses.replace(source, weight=0) for source in added)
        phase = Phase(from_tokens=from_tokens, weights=weights)
        return dataclasses.replace(self, sources=self.sources + joining, phases=(*self.phases, phase))

    def samples(self, sequence_length: int, part: Part = "train") -> Samples:
        """Training samples of `sequence_length` + 1 tokens, in the order of the blend.

        Raises
        ------
        ConfigError
            If a source has fewer tokens than one sample, no source has a weight, or tokenizers differ.
        IndexFormatError
            If a dataset is damaged.
        """
        if sequence_length < 1:
            raise ConfigError(f"sequence_length must be at least 1, got {sequence_length}")
        streams = [self._stream(source, part) for source in self.sources]
        for source, stream in zip(self.sources, streams, strict=True):
            stream.refuse_other_length(source.name, sequence_length)
            if stream.tokens < sequence_length:
                raise ConfigError(
                    f"{self.origin}: source {source.name!r} has {stream.tokens} tokens, fewer than one sample of "
                    f"{sequence_length}; leave the source out or shorten the samples"
                )
        vocabulary = common_vocabulary(piece.dataset for stream in streams for piece in stream.pieces)
        limits = [
            None if source.max_epochs is None else int(exact(source.max_epochs) * (stream.tokens // sequence_length))
            for source, stream in zip(self.sources, streams, strict=True)
        ]
        sources = [
            SourceStream(source.name, stream, limit, stream.fingerprint, stream.digest)
            for source, stream, limit in zip(self.sources, streams, limits, strict=True)
        ]
        self._different(sources)
        weights = resolve_weights(self, [(stream.tokens, stream) for stream in streams])
        starts = [0, *(-(-phase.from_tokens // sequence_length) for phase in self.phases)]
        ties = [f"{source.fingerprint} {source.name}" for source in sources]
        segments = compile_segments(list(zip(starts, weights, strict=True)), limits, ties)
        if not segments:
            raise ConfigError(f"{self.origin}: max_epochs allow no sample of {sequence_length} tokens; raise them")
        return Samples(
            sources,
            segments,
            sequence_length=sequence_length,
            seed=self.seed,
            vocabulary=vocabulary,
            locality=self.locality,
        )

    def validation(self, sequence_length: int, part: Part = "validation") -> dict[str, SequentialSamples]:
        """The held-out windows of each source that has any, in order, by name of the source.

        Warns
        -----
        UserWarning
            If what a source holds out is shorter than one window; the source is then left out.
        """
        out = {}
        for source in self.sources:
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
        return plan_of(self.samples(sequence_length), tokens, tuple(phase.from_tokens for phase in self.phases))

    def fingerprints(self) -> dict[str, str]:
        """Hex digest of each source's training data, by name."""
        return {source.name: self._stream(source, "train").fingerprint for source in self.sources}

    def vocabulary(self) -> Vocabulary:
        """The vocabulary all training data was written with, as far as its sidecars say."""
        return common_vocabulary(IndexedDataset(prefix) for source in self.sources for prefix in source.data)

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
        return TokenStream([_cut(prefix, self.split, PARTS.index(part)) for prefix in source.data])


def _prefixes(data: Data | Sequence[Data]) -> tuple[str, ...]:
    many = [data] if isinstance(data, (IndexedDataset, str, Path)) else data
    return tuple(one.prefix if isinstance(one, IndexedDataset) else os.fspath(one) for one in many)


def _whole(prefix: str) -> Piece:
    dataset = IndexedDataset(prefix)
    return Piece(dataset, 0, dataset.tokens)


def _cut(prefix: str, split: Sequence[int], part: int) -> Piece:
    """The `part`-th range of a dataset cut at documents in the proportions of `split`."""
    dataset = IndexedDataset(prefix)
    shares = [Fraction(sum(split[:end]), sum(split)) for end in (part, part + 1)]
    documents = np.array([round(share * dataset.documents) for share in shares])
    start, stop = dataset.document_starts(documents).tolist()
    return Piece(dataset, start, stop)
