"""Training a tokenizer: byte-level BPE, or WordPiece as BERT has it.

Words are counted by kernels in all workers, within the memory given, and merged by a kernel with 64-bit counts. The merges are
those of the trainers of `tokenizers`: a run compares them on a sample of its corpus, and where they differ `tokenizers` trains.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from megadata.config import configclass
from megadata.documents.inputs import Inputs, plan, read_unit, refuse_unfit
from megadata.documents.source import Problems, ReadOptions
from megadata.documents.unpack import unpack
from megadata.errors import ConfigError, CorpusError
from megadata.kernels.base import I64
from megadata.runtime.executor import Executor
from megadata.runtime.files import temporary_name, write_json
from megadata.runtime.progress import human
from megadata.runtime.settings import RunSettings
from megadata.runtime.step import unit_bytes
from megadata.runtime.units import UNIT_BYTES, InputFile, Unit
from megadata.tokenize import bpe, wordpieces
from megadata.tokenize.bpe import Model, Shape
from megadata.tokenize.classes import classes
from megadata.tokenize.count import Counted, Counts, CountUnit, Cut, Excerpt, Pretokens, count_texts, count_words
from megadata.tokenize.load import from_content
from megadata.tokenize.patterns import known_pattern
from megadata.tokenize.quality import Identify, Quality, measure
from megadata.tokenize.specials import DEFAULT_SPECIALS, added_token, expand, transformers_config
from megadata.tokenize.spool import Spool, SpoolUnit
from megadata.tokenize.tokenizer import Tokenizer

CHECK_BYTES = 1 << 20
"""Text on which merges are compared with those of `tokenizers`; a smaller corpus is compared whole."""
CHECK_MERGES = 4096
"""Merges that are compared on a sample of a larger corpus."""
SAMPLE_BYTES = 4 << 20
"""Text on which the quality is measured."""
_LEAST_SHARE = 1 << 14
"""Bytes that each unit may add to the sample."""
_UNITS = 256
"""Units are larger where there would be more than about this many, so that words are written to disk less often."""
_MOST_UNIT_BYTES = 256 << 20
TABLE_SHARE = 2
"""Tables of words may take one part in so many of the memory."""
_WORD_BYTES = 160
"""Memory that merging takes for each different word, about."""


@configclass
class TokenizerConfig:
    """What tokenizer to train."""

    vocab_size: int = 50_257
    """Entries wanted, special tokens among them. A corpus that has too few different words gives fewer."""
    kind: Literal["bpe", "wordpiece"] = "bpe"
    """Byte-level BPE, or BERT's WordPiece."""
    pattern: str = "gpt2"
    """Where BPE cuts text before merging: gpt2, cl100k (llama3 is another name for it), o200k or qwen."""
    special: tuple[str, ...] = DEFAULT_SPECIALS
    """Special tokens; they get the first ids, in this order. gpt, bert, both and none stand for the usual ones."""
    pad_vocab_to: int = 1
    """Unused special entries are added until the size is a multiple of this."""
    lowercase: bool = True
    """Whether WordPiece lower-cases text and strips accents, as uncased BERT does."""
    trainer: Literal["megadata", "gigatoken", "tokenizers"] = "megadata"
    """What finds the merges. gigatoken knows GPT-2's pattern alone and holds the whole corpus in memory."""
    min_count: int = 1
    """Words that occur less often are left out: 2 about halves the memory that merging takes, and changes rare merges."""

    def __post_init__(self) -> None:
        known_pattern(self.pattern)
        if not all(self.special) or (len(set(self.special)) != len(self.special)):
            raise ConfigError(
                f"special tokens must be different and not empty, found {', '.join(map(repr, self.special))}"
            )
        special = expand(self.special)
        least = len(special) + (256 if self.kind == "bpe" else 1)
        if self.vocab_size < least:
            raise ConfigError(
                f"vocab_size must be at least {least} ({len(special)} special tokens and the alphabet), "
                f"got {self.vocab_size}"
            )
        for name in ("pad_vocab_to", "min_count"):
            if (value := getattr(self, name)) < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        if self.trainer == "gigatoken" and (self.kind, known_pattern(self.pattern)) != ("bpe", "gpt2"):
            raise ConfigError("trainer gigatoken trains BPE with the pattern gpt2 alone; use trainer=megadata")
        if self.trainer == "gigatoken" and self.min_count > 1:
            raise ConfigError("trainer gigatoken does not know min_count; use trainer=megadata")

    @property
    def shape(self) -> Shape:
        """What the vocabulary is to be like."""
        return Shape(self.vocab_size, expand(self.special), known_pattern(self.pattern), self.lowercase)

    @property
    def cut(self) -> Cut:
        """How text is cut into words."""
        return Pretokens(self.shape.pattern) if self.kind == "bpe" else wordpieces.BertWords(self.lowercase)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainReport:
    """What a trained tokenizer is like."""

    path: Path
    kind: str
    trainer: str
    """What found the merges."""
    documents: int
    bytes: int
    words: int
    """Different words of the corpus; 0 where the trainer does not count them."""
    requested: int
    """Entries asked for."""
    vocabulary: int
    """Entries there are."""
    quality: tuple[Quality, ...]
    """On a sample: of all of it, and by language."""
    unused: int
    """Entries, special tokens left out, that are not used."""
    unused_in: str
    """Where they are not used: corpus or sample."""
    notes: tuple[str, ...] = ()
    problems: dict[str, int] = field(default_factory=dict)
    """Records that could not be read, by reason."""

    @property
    def bytes_per_token(self) -> float:
        """On the sample."""
        return self.quality[0].bytes_per_token


@dataclass(slots=True)
class _Trained:
    model: Model
    trainer: str
    notes: list[str] = field(default_factory=list)


def train_tokenizer(
    inputs: Inputs | Sequence[InputFile],
    output: Path,
    config: TokenizerConfig,
    settings: RunSettings,
    options: ReadOptions | None = None,
    identify: Identify | None = None,
) -> TrainReport:
    """Train a tokenizer on the documents of `inputs` and write it to `output` as a ``tokenizer.json``.

    The same documents and configuration give the same bytes, in whatever order the documents come and whatever the settings. An
    `output` named ``tokenizer.json`` gets a ``tokenizer_config.json`` beside it, by which `transformers` loads the folder. Counts
    that do not fit the memory lie in a folder beside `output` while training runs. `identify` names languages for the report.

    Raises
    ------
    CorpusError
        When the inputs hold no text.
    """
    files = inputs.files if isinstance(inputs, Inputs) else list(inputs)
    output = Path(output)
    folder = temporary_name(output)
    folder.mkdir(parents=True)
    try:
        with settings.executor() as executor:
            run = _Run(files, folder, config, settings, options or ReadOptions(), executor)
            counted = run.count()
            if counted.bytes == 0:
                refuse_unfit(files, run.options)
                raise CorpusError(
                    f"expected text to train a tokenizer on, found {counted.documents} documents without any; "
                    "check the inputs"
                )
            trained = run.train(counted)
        tokenizer = from_content(_padded(run.content(trained.model), config.pad_vocab_to), str(output))
        tokenizer.save(output)
        if output.name == "tokenizer.json":
            _write_config(output.with_name("tokenizer_config.json"), tokenizer)
        return _report(output, config, tokenizer, counted, trained, identify)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Run:
    files: list[InputFile]
    folder: Path
    config: TokenizerConfig
    settings: RunSettings
    options: ReadOptions
    executor: Executor

    @cached_property
    def units(self) -> list[Unit]:
        files = unpack(self.executor, self.files, self.folder / "unpacked", self.settings.progress, self.options)
        total = sum(file.unpacked.length if file.unpacked else file.size for file in files)
        return plan(files, min(max(total // _UNITS, UNIT_BYTES), _MOST_UNIT_BYTES))

    def count(self) -> Counted:
        """The words of the corpus."""
        memory = self.settings.memory // (TABLE_SHARE * self.executor.workers)
        share = max(SAMPLE_BYTES // max(len(self.units), 1), _LEAST_SHARE)
        (self.folder / "words").mkdir()
        task = CountUnit(self.folder / "words", self.config.cut, classes(), self.options, memory, share)
        return count_words(
            self.executor, self.units, task, self.settings.memory, self.config.min_count, self.settings.progress
        )

    def content(self, model: Model) -> dict[str, Any]:
        of = bpe if self.config.kind == "bpe" else wordpieces
        made: dict[str, Any] = of.content(model, self.config.shape)
        return made

    def train(self, counted: Counted) -> _Trained:
        """The merges, compared with those of `tokenizers` on a sample while they are found."""
        trainer, notes = self._chosen(counted)
        if trainer == "tokenizers":
            return self._by_tokenizers(counted, notes)
        sample = check_sample(counted.sample, CHECK_BYTES)
        with ThreadPoolExecutor(1) as beside:
            whole = sum(len(one.text) for one in sample) == counted.bytes
            different: Future[bool] = beside.submit(self._differs, sample, whole, trainer)
            model = self._by_gigatoken() if trainer == "gigatoken" else self._merged(counted)
            if not different.result():
                return _Trained(model, trainer, notes)
        note = f"the merges of {trainer} differ from those of `tokenizers` on a sample, so `tokenizers` trained"
        return self._by_tokenizers(counted, [*notes, note])

    def _chosen(self, counted: Counted) -> tuple[str, list[str]]:
        """What finds the merges, and what is worth knowing before it does; both are also told at once."""
        config, memory = self.config, self.settings.memory
        words, trainer, notes = counted.words.counts.size, config.trainer, []
        if trainer == "gigatoken" and counted.bytes > memory:
            notes.append(
                f"gigatoken would hold the corpus of {human(counted.bytes)} in memory, more than --memory, so megadata merges"
            )
            trainer = "megadata"
        if trainer == "megadata" and words * _WORD_BYTES > memory:
            notes.append(
                f"merging {words} different words takes about {human(words * _WORD_BYTES)}, more than --memory; "
                f"--set min_count={config.min_count + 1} leaves rare ones out"
            )
        if trainer == "tokenizers" and counted.words.occurrences >= 1 << 31:
            notes.append(
                "`tokenizers` counts pairs in 32 bits, and this corpus can overflow them; use trainer=megadata"
            )
        self.settings.progress.note(
            f"training a {config.kind} tokenizer of {config.vocab_size} entries on {human(counted.bytes)} of text: "
            f"{words} different words, merged by {trainer}"
        )
        for note in notes:
            self.settings.progress.note(note)
        return trainer, notes

    def _merged(self, counted: Counted) -> Model:
        shape = self.config.shape
        given = len(shape.special) + (256 if self.config.kind == "bpe" else 0)
        with self.settings.progress.stage("merge", shape.size - given, "tokens") as stage:
            return self._train(counted.words, shape, stage.advance)

    def _train(self, words: Counts, shape: Shape, advance: Callable[[int], None] = lambda _: None) -> Model:
        of = bpe if self.config.kind == "bpe" else wordpieces
        made: Model = of.train(words, shape, advance)
        return made

    def _differs(self, sample: list[Excerpt], whole: bool, trainer: str) -> bool:
        """Whether the trainer's merges of a sample are others than those of `tokenizers`."""
        shape = self.config.shape
        if not whole:
            most = len(shape.special) + 256 + CHECK_MERGES
            shape = Shape(min(shape.size, most), shape.special, shape.pattern, shape.lowercase)
        texts = [one.text.decode() for one in sample]
        if trainer == "gigatoken":
            path = self.folder / "sample"
            path.write_bytes(b"\xff".join(one.text for one in sample))
            ours = bpe.by_gigatoken([path], shape)
        else:
            flat = np.frombuffer(b"".join(one.text for one in sample), np.uint8)
            offsets = np.cumsum([0, *(len(one.text) for one in sample)], dtype=np.int64)
            words = count_texts(self.config.cut, classes(), flat, offsets)
            ours = self._train(words, shape)
            if self.config.kind == "wordpiece":
                theirs = wordpieces.by_tokenizers(texts, shape, wordpieces.alphabet(words, shape))
                return ours.vocabulary != theirs.vocabulary
        theirs = bpe.by_tokenizers(texts, shape)
        return (ours.vocabulary, ours.merges) != (theirs.vocabulary, theirs.merges)

    def _by_tokenizers(self, counted: Counted, notes: list[str]) -> _Trained:
        shape = self.config.shape
        if self.config.kind == "bpe":
            return _Trained(bpe.by_tokenizers(self._texts(), shape), "tokenizers", notes)
        alphabet = wordpieces.alphabet(counted.words, shape)
        return _Trained(wordpieces.by_tokenizers(self._texts(), shape, alphabet), "tokenizers", notes)

    def _texts(self) -> Iterator[str]:
        for unit in self.units:
            for batch in read_unit(unit, self.options, Problems(self.options.max_set_aside)):
                yield from batch.texts

    def _by_gigatoken(self) -> Model:
        found: dict[int, Spool] = {}
        with self.settings.progress.stage("write text", sum(map(unit_bytes, self.units))) as stage:
            for unit, spool in self.executor.run(SpoolUnit(self.folder, self.options), self.units):
                found[unit.ordinal] = spool
                stage.advance(unit_bytes(unit), documents=spool.documents)
        return bpe.by_gigatoken([found[unit.ordinal].path for unit in self.units], self.config.shape)


def check_sample(sample: list[Excerpt], size: int) -> list[Excerpt]:
    """Documents from all over a sample, about `size` bytes in all; all of them where they are no more."""
    total = sum(len(one.text) for one in sample)
    if total <= size:
        return sample
    chosen, left, step = [], size, -(-total // size)
    for one in (one for first in range(step) for one in sample[first::step]):
        text = one.text[:left].decode("utf-8", "ignore").encode()
        chosen.append(Excerpt(text, one.language))
        left -= len(text)
        if left < 4:  # less than a character may need
            break
    return chosen


def _padded(content: dict[str, Any], multiple: int) -> dict[str, Any]:
    """The tokenizer with unused special tokens up to a multiple."""
    size = len(content["model"]["vocab"])
    extra = [added_token(f"<|unused_{i}|>", size + i) for i in range(-size % multiple)]
    return {**content, "added_tokens": [*content["added_tokens"], *extra]}


def _write_config(path: Path, tokenizer: Tokenizer) -> None:
    names = {int(token["id"]): str(token["content"]) for token in tokenizer.document["added_tokens"]}
    tokens = {role: names[number] for role, number in tokenizer.special.items() if number in names}
    write_json(path, transformers_config(tokens, tokenizer.kind == "WordPiece"))


def _report(
    output: Path,
    config: TokenizerConfig,
    tokenizer: Tokenizer,
    counted: Counted,
    trained: _Trained,
    identify: Identify | None,
) -> TrainReport:
    quality, in_sample = measure(tokenizer, counted.sample, identify)
    used: Any = (
        in_sample if trained.model.used is None else _extended(trained.model.used, tokenizer.vocabulary_size) > 0
    )
    special = {int(token["id"]) for token in tokenizer.document["added_tokens"]}
    notes = list(trained.notes)
    wanted = -(-config.vocab_size // config.pad_vocab_to) * config.pad_vocab_to
    if tokenizer.vocabulary_size < wanted:
        notes.append(
            f"nothing is left to merge: the corpus supports {tokenizer.vocabulary_size} entries, {config.vocab_size} were "
            "asked for; give more text for more"
        )
    return TrainReport(
        path=output,
        kind=config.kind if config.kind == "wordpiece" else f"byte-level BPE, pattern {config.shape.pattern}",
        trainer=trained.trainer,
        documents=counted.documents,
        bytes=counted.bytes,
        words=counted.words.counts.size,
        requested=config.vocab_size,
        vocabulary=tokenizer.vocabulary_size,
        quality=tuple(quality),
        unused=sum(1 for number in tokenizer.vocabulary.values() if not used[number] and number not in special),
        unused_in="sample" if trained.model.used is None else "corpus",
        notes=tuple(notes),
        problems=dict(counted.problems),
    )


def _extended(used: I64, size: int) -> I64:
    return np.concatenate([used, np.zeros(max(size - used.size, 0), np.int64)])
