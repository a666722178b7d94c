"""Byte-level BPE from counted pre-tokens, and the trainers of other libraries: special tokens, the byte alphabet, then merges."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from megadata.kernels.base import I64
from megadata.tokenize.convert import byte_level
from megadata.tokenize.count import Counts
from megadata.tokenize.load import from_content
from megadata.tokenize.merge import Token, Words, find_merges
from megadata.tokenize.patterns import byte_alphabet, pre_tokenizer
from megadata.tokenize.specials import added_token
from megadata.tokenize.spool import SEPARATOR, texts_of

Merges = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a vocabulary is to be like: its size, its special tokens in order of their ids, and where BPE cuts text."""

    size: int
    special: tuple[str, ...]
    pattern: str = "gpt2"
    lowercase: bool = True


@dataclass(frozen=True, slots=True)
class Model:
    """What a trainer found."""

    vocabulary: dict[str, int]
    merges: Merges
    used: I64 | None = None
    """How often each entry stands in the corpus, by id; None where the trainer does not tell."""


def alphabet_after(special: Sequence[str]) -> list[str]:
    """Entries before any merge: special tokens, then the bytes in the order of their characters."""
    return [*special, *(char for char in sorted(byte_alphabet()) if char not in special)]


def train(counts: Counts, shape: Shape, advance: Callable[[int], None] = lambda _: None) -> Model:
    """Merges of counted pre-tokens, with the ids and ties of `tokenizers`."""
    table = byte_alphabet()
    number = {char: byte for byte, char in enumerate(table)}
    entries = alphabet_after(shape.special)
    tokens = []
    for entry in entries:  # a special token that merges can make has their bytes, any other none that they could make
        made = all(char in number for char in entry)
        tokens.append(Token(bytes(number[char] for char in entry)) if made else Token(entry.encode(), inner=True))
    ids = {entry: i for i, entry in enumerate(entries)}
    of_byte = np.array([ids[char] for char in table], np.int32)
    found = find_merges(Words(of_byte[counts.text], counts.bounds, counts.counts), tokens, shape.size, advance)
    names = [*entries, *("".join(map(table.__getitem__, token.piece)) for token in found.tokens[len(entries) :])]
    merges = [(names[left], names[right]) for left, right in found.merges]
    return Model({name: i for i, name in enumerate(names)}, merges, found.used)


def content(model: Model, shape: Shape) -> dict[str, Any]:
    """The content of a tokenizer.json."""
    added = [added_token(token, number) for number, token in enumerate(shape.special)]
    return byte_level(model.vocabulary, model.merges, added, shape.pattern)


def by_tokenizers(texts: Iterable[str], shape: Shape) -> Model:
    """What the trainer of `tokenizers` finds: the definition. It counts pairs in 32 bits."""
    empty = {**byte_level({}, [], [], shape.pattern), "pre_tokenizer": pre_tokenizer(shape.pattern)}
    model = tokenizers.Tokenizer(models.BPE())
    model.pre_tokenizer = tokenizers.Tokenizer.from_buffer(orjson.dumps(empty)).pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=shape.size,
        special_tokens=list(shape.special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(texts, trainer)
    found = orjson.loads(model.to_str())["model"]
    return Model(found["vocab"], [(left, right) for left, right in found["merges"]])


def by_gigatoken(paths: list[Path], shape: Shape) -> Model:
    """What the trainer of gigatoken finds, for GPT-2's pattern, in spooled files."""
    import gigatoken

    source = gigatoken.TextFileSource([str(path) for path in paths], separator=SEPARATOR)
    with _silent():
        _, found = gigatoken.train_bpe(source, shape.size - len(shape.special), [], tie_breaking="huggingface")
    table = byte_alphabet()
    merges = [("".join(table[b] for b in left), "".join(table[b] for b in right)) for left, right in found]
    return _live(merges, paths, shape)


def _live(merges: Merges, paths: list[Path], shape: Shape) -> Model:
    """The merges up to the last that the corpus needs.

    When every word has become one token `tokenizers` stops; gigatoken goes on with pairs that occur no more. The last merge that
    did occur made a token that is still there.
    """
    model = _numbered(merges, shape)
    tokenizer = from_content(content(model, shape), "gigatoken")
    made = np.array([tokenizer.vocabulary[left + right] for left, right in merges], np.int64)
    seen = np.zeros(tokenizer.vocabulary_size, np.bool_)
    for path in paths:
        if made.size == 0 or seen[made[-1]]:
            break
        pieces = [text.encode() for text in texts_of(path)]
        offsets = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
        ids, _ = tokenizer.encode_batch(np.frombuffer(b"".join(pieces), np.uint8), offsets, "gigatoken")
        seen[ids] = True
    needed = np.flatnonzero(seen[made])
    return _numbered(merges[: needed[-1] + 1] if needed.size else [], shape)


def _numbered(merges: Merges, shape: Shape) -> Model:
    numbers: dict[str, int] = {}
    for entry in (*alphabet_after(shape.special), *(left + right for left, right in merges)):
        numbers.setdefault(entry, len(numbers))  # two merges may make the same entry
    return Model(numbers, merges)


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
