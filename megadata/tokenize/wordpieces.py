"""WordPiece, as BERT has it, from counted words.

Text is cut at white space first, and what is between is counted; each different piece is then normalized and cut into words by
`tokenizers` once. Neither can reach over white space, so the words and their counts are those of the whole text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from megadata.kernels import pretokens as kernels
from megadata.kernels.base import I64
from megadata.tokenize.bpe import Model, Shape
from megadata.tokenize.convert import wordpiece
from megadata.tokenize.count import Counts
from megadata.tokenize.merge import Token, Words, find_merges
from megadata.tokenize.specials import added_token

UNKNOWN = "[UNK]"
INNER = "##"
ALPHABET = 1000
"""Characters a vocabulary knows: the most frequent ones."""

_PLAIN = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9]")


@lru_cache(maxsize=2)
def _library(lowercase: bool) -> tuple[Any, Any]:
    return normalizers.BertNormalizer(lowercase=lowercase), pre_tokenizers.BertPreTokenizer()


def cut(piece: str, lowercase: bool) -> list[str]:
    """Words of a text, as BERT has them."""
    if piece.isascii() and piece.isprintable() and " " not in piece:  # the same by hand, in a tenth of the time
        return _PLAIN.findall(piece.lower() if lowercase else piece)
    normalizer, splitter = _library(lowercase)
    return [word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(piece))]


@dataclass(frozen=True, slots=True)
class BertWords:
    """Words as BERT has them; see `megadata.tokenize.count.Cut`."""

    lowercase: bool

    @property
    def pattern(self) -> int:
        """Pieces are what stands between white space."""
        return kernels.BLANKS

    def words(self, pieces: Counts) -> Counts:
        """Words of the pieces."""
        found: Counter[str] = Counter()
        for piece, count in pieces.words():
            for word in cut(piece.decode(), self.lowercase):
                found[word] += count
        return Counts.of({word.encode(): count for word, count in found.items()})


def special_of(shape: Shape) -> tuple[str, ...]:
    """Special tokens, with one for unknown words before them where there is none."""
    return shape.special if UNKNOWN in shape.special else (UNKNOWN, *shape.special)


def train(counts: Counts, shape: Shape, advance: Callable[[int], None] = lambda _: None) -> Model:
    """The vocabulary of counted words: special tokens, characters, characters inside words, merges; ties as in `tokenizers`.

    The characters are the most frequent ones; of those that occur equally often the first by code point. The trainer of
    `tokenizers` takes any of them, and numbers those inside words in another order in each run.
    """
    codes, starts = _characters(counts)
    known_characters = alphabet(counts, shape)
    entries = list(dict.fromkeys([*special_of(shape), *known_characters, *(INNER + char for char in known_characters)]))
    ids = {entry: i for i, entry in enumerate(entries)}
    number = np.full((2, 0x110000), -1, np.int32)
    for char in known_characters:
        number[:, ord(char)] = ids[char], ids[INNER + char]
    inner = np.ones(codes.size, np.int64)
    inner[starts[:-1][np.diff(starts) > 0]] = 0
    symbols = number[inner, codes]
    known = symbols >= 0  # other characters are left out, and their neighbours meet
    kept = np.concatenate([np.zeros(1, np.int64), np.cumsum(known)])[starts]
    tokens = [
        Token(entry.removeprefix(INNER).encode(), entry.startswith(INNER) and entry != INNER) for entry in entries
    ]
    limit = max(shape.size, len(entries))
    found = find_merges(Words(symbols[known], kept, counts.counts), tokens, limit, advance)
    made = [(INNER if t.inner else "") + t.piece.decode() for t in found.tokens[len(entries) :]]
    names = [*entries, *made]
    return Model({name: i for i, name in enumerate(names)}, [(names[a], names[b]) for a, b in found.merges])


def _characters(counts: Counts) -> tuple[I64, I64]:
    """Code points of all words, and where each word begins among them."""
    codes = np.frombuffer(counts.text.tobytes().decode().encode("utf-32-le"), np.uint32).astype(np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum((counts.text & 0xC0) != 0x80)])[counts.bounds]
    return codes, starts


def alphabet(counts: Counts, shape: Shape) -> list[str]:
    """The characters that the vocabulary knows, by code point; they and those inside words take half of it at most."""
    codes, starts = _characters(counts)
    totals = np.zeros(0x110000, np.int64)
    np.add.at(totals, codes, np.repeat(counts.counts, np.diff(starts)))
    seen = [code for code in np.flatnonzero(totals).tolist() if not chr(code).isspace()]
    most = min(ALPHABET, max(0, (shape.size - len(special_of(shape))) // 2))
    return [chr(code) for code in sorted(sorted(seen, key=lambda code: (-totals[code], code))[:most])]


def content(model: Model, shape: Shape) -> dict[str, Any]:
    """The content of a tokenizer.json; where there are [CLS] and [SEP], `tokenizers` sets them around text, as BERT needs it."""
    special = special_of(shape)
    added = [added_token(token, number) for number, token in enumerate(special)]
    made = wordpiece(model.vocabulary, added, shape.lowercase)
    return {**made, "post_processor": _around(special)} if {"[CLS]", "[SEP]"} <= set(special) else made


def _around(special: tuple[str, ...]) -> dict[str, Any]:
    def token(name: str, kind: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": kind}}

    def text(name: str, kind: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": kind}}

    single = [token("[CLS]", 0), text("A", 0), token("[SEP]", 0)]
    named = {n: {"id": n, "ids": [special.index(n)], "tokens": [n]} for n in ("[CLS]", "[SEP]")}
    pair = [*single, text("B", 1), token("[SEP]", 1)]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": named}


def by_tokenizers(texts: Iterable[str], shape: Shape, characters: list[str]) -> Model:
    """What the trainer of `tokenizers` finds, given the characters, whose order would else change from run to run."""
    model = tokenizers.Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    model.normalizer, model.pre_tokenizer = _library(shape.lowercase)
    fixed = list(dict.fromkeys([*special_of(shape), *characters, *(INNER + char for char in characters)]))
    trainer = trainers.WordPieceTrainer(
        vocab_size=max(shape.size, len(fixed)),
        special_tokens=fixed,
        initial_alphabet=characters,
        limit_alphabet=len(characters),
        continuing_subword_prefix=INNER,
        show_progress=False,
    )
    model.train_from_iterator(texts, trainer)
    return Model(orjson.loads(model.to_str())["model"]["vocab"], [])
