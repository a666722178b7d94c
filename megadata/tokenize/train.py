"""Training a tokenizer: byte-level BPE, or WordPiece as BERT has it.

Byte-level BPE with GPT-2's split pattern is trained by `gigatoken`, whose ties are broken as in `tokenizers`; other patterns by
`tokenizers`. Wherever both can run, the merges of a sample are compared, so that the file is the one `tokenizers` would write.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
import tokenizers
from numpy.typing import NDArray
from tokenizers import models, normalizers, pre_tokenizers, trainers

from megadata.config import configclass, nearest
from megadata.documents.inputs import Inputs, plan, refuse_unfit
from megadata.documents.source import ReadOptions
from megadata.documents.unpack import unpack
from megadata.errors import ConfigError, CorpusError
from megadata.runtime.files import temporary_name
from megadata.runtime.settings import RunSettings
from megadata.runtime.step import unit_bytes
from megadata.runtime.units import InputFile
from megadata.tokenize.convert import byte_level, wordpiece
from megadata.tokenize.encode import choose_encoder
from megadata.tokenize.load import from_content
from megadata.tokenize.patterns import PATTERNS, byte_alphabet, pre_tokenizer
from megadata.tokenize.specials import DEFAULT_SPECIALS, added_token
from megadata.tokenize.spool import SEPARATOR, Spool, SpoolUnit, texts_of
from megadata.tokenize.tokenizer import Tokenizer

CHECK_BYTES = 4 << 20
"""Text on which gigatoken's merges are compared with those of `tokenizers`; a smaller corpus is compared whole."""
SAMPLE_BYTES = 16 << 20
"""Text on which bytes per token and unused entries are measured."""
WORDPIECE_ALPHABET = 1000
"""Characters a WordPiece vocabulary knows: the most frequent ones."""


@configclass
class TokenizerConfig:
    """What tokenizer to train."""

    vocab_size: int = 50_257
    """Entries wanted, special tokens among them. A corpus that has too few different words gives fewer."""
    kind: Literal["bpe", "wordpiece"] = "bpe"
    """Byte-level BPE, or BERT's WordPiece."""
    pattern: str = "gpt2"
    """Where BPE cuts text before merging: gpt2, cl100k, o200k or qwen."""
    special: tuple[str, ...] = DEFAULT_SPECIALS
    """Special tokens; they get the first ids, in this order."""
    pad_vocab_to: int = 1
    """Unused special entries are added until the size is a multiple of this."""
    lowercase: bool = True
    """Whether WordPiece lower-cases text and strips accents, as uncased BERT does."""

    def __post_init__(self) -> None:
        if self.pattern not in PATTERNS:
            raise ConfigError(f"pattern {self.pattern!r} is not known{nearest(self.pattern, PATTERNS)}")
        if len(set(self.special)) != len(self.special) or not all(self.special):
            raise ConfigError(
                f"special tokens must be different and not empty, found {', '.join(map(repr, self.special))}"
            )
        least = len(self.special) + (256 if self.kind == "bpe" else 1)
        if self.vocab_size < least:
            raise ConfigError(
                f"vocab_size must be at least {least} ({len(self.special)} special tokens and the alphabet), "
                f"got {self.vocab_size}"
            )
        if self.pad_vocab_to < 1:
            raise ConfigError(f"pad_vocab_to must be at least 1, got {self.pad_vocab_to}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainReport:
    """What a trained tokenizer is like."""

    path: Path
    kind: str
    trainer: str
    """Library that found the merges."""
    documents: int
    bytes: int
    requested: int
    """Entries asked for."""
    vocabulary: int
    """Entries there are."""
    sample_bytes: int
    """Text on which the next two were measured."""
    bytes_per_token: float
    unused: int
    """Entries, special tokens left out, that the sample does not use."""
    notes: tuple[str, ...] = ()
    problems: dict[str, int] = field(default_factory=dict)
    """Records that could not be read, by reason."""

    def table(self) -> str:
        """The report for reading."""
        rows = [
            ("tokenizer", f"{self.path} ({self.kind}, trained with {self.trainer})"),
            ("corpus", f"{self.documents} documents, {self.bytes / 1e6:.1f} MB"),
            ("vocabulary", f"{self.vocabulary} entries"),
            ("bytes/token", f"{self.bytes_per_token:.2f} on {self.sample_bytes / 1e6:.1f} MB"),
            ("unused", f"{self.unused} entries on the same text"),
            *(("note", note) for note in self.notes),
        ]
        return "\n".join(f"{name:<12}{value}" for name, value in rows)


@dataclass(slots=True)
class _Trained:
    content: dict[str, Any]
    trainer: str
    notes: list[str] = field(default_factory=list)


def train_tokenizer(
    inputs: Inputs | Sequence[InputFile],
    output: Path,
    config: TokenizerConfig,
    settings: RunSettings,
    options: ReadOptions | None = None,
) -> TrainReport:
    """Train a tokenizer on the documents of `inputs` and write it to `output` as a ``tokenizer.json``.

    The same documents and configuration give the same bytes, whatever the settings. The text is copied to a folder beside
    `output` while training runs; memory grows with the number of different words, not with the corpus.

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
        spools = _spool(files, folder, options or ReadOptions(), settings)
        documents, size = sum(s.documents for s in spools), sum(s.bytes for s in spools)
        if size == 0:
            refuse_unfit(files, options or ReadOptions())
            raise CorpusError(
                f"expected text to train a tokenizer on, found {documents} documents without any; check the inputs"
            )
        settings.progress.note(
            f"training a {config.kind} tokenizer of {config.vocab_size} entries on {size / 1e6:.1f} MB"
        )
        paths = [s.path for s in spools]
        trained = _wordpiece(paths, config) if config.kind == "wordpiece" else _bpe(paths, size, config)
        tokenizer = from_content(_padded(trained.content, config.pad_vocab_to), str(output))
        tokenizer.save(output)
        notes = trained.notes
        wanted = -(-config.vocab_size // config.pad_vocab_to) * config.pad_vocab_to
        if tokenizer.vocabulary_size < wanted:
            notes = [
                *notes,
                f"the corpus supports {tokenizer.vocabulary_size} entries, {config.vocab_size} were asked for; "
                "give more text for more",
            ]
        sample, ratio, unused = _quality(tokenizer, paths)
        return TrainReport(
            path=output,
            kind=config.kind if config.kind == "wordpiece" else f"byte-level BPE, pattern {config.pattern}",
            trainer=trained.trainer,
            documents=documents,
            bytes=size,
            requested=config.vocab_size,
            vocabulary=tokenizer.vocabulary_size,
            sample_bytes=sample,
            bytes_per_token=ratio,
            unused=unused,
            notes=tuple(notes),
            problems=dict(sum((spool.problems for spool in spools), Counter())),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _spool(files: list[InputFile], folder: Path, options: ReadOptions, settings: RunSettings) -> list[Spool]:
    found: dict[int, Spool] = {}
    with settings.executor() as executor:
        units = plan(unpack(executor, files, folder / "unpacked", settings.progress, options))
        with settings.progress.stage("read", sum(map(unit_bytes, units))) as stage:
            for unit, spool in executor.run(SpoolUnit(folder, options), units):
                found[unit.ordinal] = spool
                stage.advance(unit_bytes(unit), documents=spool.documents)
    return [found[unit.ordinal] for unit in units]


def _bpe(paths: list[Path], size: int, config: TokenizerConfig) -> _Trained:
    """Byte-level BPE with the same ids as `tokenizers` gives: special tokens, the byte alphabet, then merges."""
    if config.pattern != "gpt2":
        notes = []
        if size > 1 << 34:
            notes.append(
                "`tokenizers` counts pairs in 32 bits, and a corpus of this size can overflow them; check the first merges"
            )
        return _Trained(_vocabulary_of(_reference(_texts(paths), config), config), "tokenizers", notes)
    whole = size <= CHECK_BYTES
    sample = list(_texts(paths) if whole else _sample(paths, CHECK_BYTES))
    checked = config if whole else _smaller(config)
    if _gigatoken([_write_sample(paths[0].parent, sample)], checked) != _reference(sample, checked):
        note = "gigatoken's merges differ from those of `tokenizers` on a sample, so `tokenizers` trained"
        return _Trained(_vocabulary_of(_reference(_texts(paths), config), config), "tokenizers", [note])
    return _Trained(_vocabulary_of(_gigatoken(paths, config), config), "gigatoken")


def _smaller(config: TokenizerConfig) -> TokenizerConfig:
    """The configuration for comparing trainers on a sample of a larger corpus: fewer merges are enough."""
    size = min(config.vocab_size, len(config.special) + 256 + 8192)
    return TokenizerConfig(vocab_size=size, pattern=config.pattern, special=config.special)


def _write_sample(folder: Path, sample: list[str]) -> Path:
    path = folder / "sample"
    path.write_bytes(SEPARATOR.join(text.encode() for text in sample))
    return path


Merges = list[tuple[str, str]]


def _gigatoken(paths: list[Path], config: TokenizerConfig) -> Merges:
    import gigatoken

    source = gigatoken.TextFileSource([str(path) for path in paths], separator=SEPARATOR)
    with _silent():
        _, merges = gigatoken.train_bpe(source, config.vocab_size - len(config.special), [], tie_breaking="huggingface")
    table = byte_alphabet()
    named = [("".join(table[b] for b in left), "".join(table[b] for b in right)) for left, right in merges]
    return _live(named, paths, config)


def _live(merges: Merges, paths: list[Path], config: TokenizerConfig) -> Merges:
    """The merges up to the last that the corpus needs.

    When every word has become one token `tokenizers` stops; gigatoken goes on with pairs that occur no more. The last merge that
    did occur made a token that is still there.
    """
    tokenizer = from_content(_vocabulary_of(merges, config), "gigatoken")
    numbers = tokenizer.vocabulary
    made = np.array([numbers[left + right] for left, right in merges], np.int64)
    seen = np.zeros(tokenizer.vocabulary_size, np.bool_)
    for path in paths:
        if made.size == 0 or seen[made[-1]]:
            break
        ids, _ = tokenizer.encode_batch(*_flat(texts_of(path)), "gigatoken")
        seen[ids] = True
    needed = np.flatnonzero(seen[made])
    return merges[: needed[-1] + 1] if needed.size else []


def _reference(texts: Iterable[str], config: TokenizerConfig) -> Merges:
    model = tokenizers.Tokenizer(models.BPE())
    model.pre_tokenizer = _as_pre_tokenizer(config.pattern)
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        special_tokens=list(config.special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(texts, trainer)
    pairs = orjson.loads(model.to_str())["model"]["merges"]
    return [(left, right) for left, right in pairs]


def _as_pre_tokenizer(pattern: str) -> Any:
    section = orjson.dumps({**byte_level({}, [], [], pattern), "pre_tokenizer": pre_tokenizer(pattern)})
    return tokenizers.Tokenizer.from_buffer(section).pre_tokenizer


def _vocabulary_of(merges: Merges, config: TokenizerConfig) -> dict[str, Any]:
    entries = [*config.special, *sorted(byte_alphabet()), *(left + right for left, right in merges)]
    numbers: dict[str, int] = {}
    for entry in entries:  # two merges may make the same entry
        numbers.setdefault(entry, len(numbers))
    added = [added_token(token, number) for number, token in enumerate(config.special)]
    return byte_level(numbers, merges, added, config.pattern)


def _wordpiece(paths: list[Path], config: TokenizerConfig) -> _Trained:
    """WordPiece by `tokenizers`; the alphabet is given to it in a fixed order, since its own order changes from run to run."""
    special = list(config.special) if "[UNK]" in config.special else ["[UNK]", *config.special]
    model = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    model.normalizer = normalizers.BertNormalizer(lowercase=config.lowercase)
    model.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    counts: Counter[str] = Counter()
    for text in _texts(paths):
        counts.update(model.normalizer.normalize_str(text))
    frequent = sorted((c for c in counts if not c.isspace()), key=lambda c: (-counts[c], c))[:WORDPIECE_ALPHABET]
    alphabet = sorted(frequent)[: max(0, (config.vocab_size - len(special)) // 2)]
    fixed = [*special, *alphabet, *("##" + char for char in alphabet)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=max(config.vocab_size, len(fixed)),
        special_tokens=fixed,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        continuing_subword_prefix="##",
        show_progress=False,
    )
    model.train_from_iterator(_texts(paths), trainer)
    vocabulary = orjson.loads(model.to_str())["model"]["vocab"]
    added = [added_token(token, number) for number, token in enumerate(special)]
    return _Trained(wordpiece(vocabulary, added, config.lowercase), "tokenizers")


def _padded(content: dict[str, Any], multiple: int) -> dict[str, Any]:
    """The tokenizer with unused special tokens up to a multiple."""
    size = len(content["model"]["vocab"])
    extra = [added_token(f"<|unused_{i}|>", size + i) for i in range(-size % multiple)]
    return {**content, "added_tokens": [*content["added_tokens"], *extra]}


def _texts(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        yield from texts_of(path)


def _sample(paths: list[Path], size: int) -> Iterator[str]:
    """Documents from all over the corpus, about `size` bytes in all: from each unit its first, up to an equal share."""
    share = max(size // max(len(paths), 1), 1 << 14)
    for path in paths:
        held = 0
        for text in texts_of(path):
            if held >= share or size <= 0:
                break
            part = text[: size if size < len(text) else None]
            held += len(part)
            size -= len(part)
            yield part


def _flat(texts: Iterable[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Texts as flat UTF-8 bytes and offsets."""
    pieces = [text.encode() for text in texts]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(piece) for piece in pieces], dtype=np.int64)])
    return np.frombuffer(b"".join(pieces), np.uint8), offsets


def _quality(tokenizer: Tokenizer, paths: list[Path]) -> tuple[int, float, int]:
    """Bytes of the sample, bytes a token, and entries that it leaves unused."""
    text, offsets = _flat(_sample(paths, SAMPLE_BYTES))
    ids, _ = tokenizer.encode_batch(text, offsets, choose_encoder(tokenizer).name)
    used = np.bincount(ids, minlength=tokenizer.vocabulary_size) > 0
    special = {int(token["id"]) for token in tokenizer.document["added_tokens"]}
    unused = sum(1 for number in tokenizer.vocabulary.values() if not used[number] and number not in special)
    return text.size, text.size / max(ids.size, 1), unused


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep a library that prints from Rust quiet."""
    saved = [os.dup(1), os.dup(2)]
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        yield
    finally:
        for number, descriptor in zip((1, 2), saved, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.close(nothing)
