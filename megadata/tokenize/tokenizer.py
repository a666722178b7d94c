"""`Tokenizer`: the content of a ``tokenizer.json``, what its special tokens mean, and encoding and decoding with it."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import tokenizers
from numpy.typing import NDArray
from tokenizers import pre_tokenizers

from megadata.errors import TokenizerError
from megadata.runtime.files import atomic_write
from megadata.tokenize.patterns import byte_alphabet

_SECTIONS = ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model")
_NOT_BYTES = dict.fromkeys(range(256), "\uffff")  # what is no letter of the byte alphabet
_TO_BYTES = {**_NOT_BYTES, **{ord(char): chr(byte) for byte, char in enumerate(byte_alphabet())}}
_SPACE = "\u2581"
NO_SPACES = (  # scripts whose words are not set apart: every character may begin a word
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # kana
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)


def canonical(content: Mapping[str, Any]) -> dict[str, Any]:
    """What of a tokenizer.json decides ids: without truncation, padding and version; merges as pairs, added tokens by id."""
    kept = {name: content.get(name) for name in _SECTIONS}
    model = dict(kept["model"] or {})
    if isinstance(model.get("merges"), list):
        model["merges"] = [m.split(" ", 1) if isinstance(m, str) else list(m) for m in model["merges"]]
    kept["model"] = model
    kept["added_tokens"] = sorted(kept["added_tokens"] or [], key=lambda token: int(token["id"]))
    return {"version": "1.0", "truncation": None, "padding": None, **kept}


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """Text to token ids and back. Cheap to pickle: libraries load it where it is used.

    Special tokens written out in a document's text (``<|endoftext|>``) are text: encoding never gives their ids, unless
    `parses_special`.
    """

    content: bytes
    """JSON of what decides ids, keys sorted, as `tokenizers` reads it: the same for every file that holds this tokenizer."""
    special: Mapping[str, int]
    """Role (bos, eod, cls, sep, mask, pad, unk) -> id, for the roles this tokenizer has."""
    parses_special: bool = False
    """Whether special tokens written out in text are given their ids."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash(self.content)

    def __reduce__(self) -> tuple[Any, ...]:
        return Tokenizer, self._parts

    @property
    def _parts(self) -> tuple[bytes, dict[str, int], bool]:
        return self.content, dict(self.special), self.parses_special

    @cached_property
    def document(self) -> dict[str, Any]:
        """The content, parsed; do not change it."""
        parsed: dict[str, Any] = orjson.loads(self.content)
        return parsed

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the content, and of the file that `save` writes."""
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def library(self) -> tokenizers.Tokenizer:
        """The tokenizer as `tokenizers` loads it."""
        try:
            loaded = tokenizers.Tokenizer.from_buffer(self.content)
        except Exception as error:  # tokenizers raises plain Exception
            raise TokenizerError(f"the tokenizer cannot be loaded by `tokenizers`: {error}; check the file") from error
        loaded.encode_special_tokens = not self.parses_special
        if self.kind == "Unigram" and not self.parses_special:
            self._hide_special(loaded)
        return loaded

    def _hide_special(self, loaded: tokenizers.Tokenizer) -> None:
        """Cut special tokens written out in text after their first character: a Unigram model knows them as pieces."""
        written = [str(t["content"]) for t in self.document["added_tokens"] if t["special"] and len(t["content"]) > 1]
        if written:
            pattern = "|".join(f"{re.escape(token[0])}(?={re.escape(token[1:])})" for token in written)
            cut = pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
            before = loaded.pre_tokenizer
            loaded.pre_tokenizer = cut if before is None else pre_tokenizers.Sequence([before, cut])

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Every entry, special tokens among them, and its id."""
        model = self.document["model"]
        entries = model.get("vocab", {})
        known = (
            {piece: number for number, (piece, _) in enumerate(entries)} if isinstance(entries, list) else dict(entries)
        )
        known.update({token["content"]: int(token["id"]) for token in self.document["added_tokens"]})
        return known

    @cached_property
    def vocabulary_size(self) -> int:
        """One more than the largest id."""
        return max(self.vocabulary.values(), default=-1) + 1

    @property
    def kind(self) -> str:
        """Type of the model: BPE, WordPiece, Unigram or WordLevel."""
        return str(self.document["model"].get("type", "BPE"))

    @property
    def eod(self) -> int | None:
        """Id of the token that ends a document, or None."""
        return self.special.get("eod")

    @property
    def byte_level(self) -> bool:
        """Whether vocabulary entries are written in GPT-2's byte alphabet."""
        return '"type":"ByteLevel"' in orjson.dumps([self.document["decoder"], self.document["pre_tokenizer"]]).decode()

    @cached_property
    def pieces(self) -> list[bytes]:
        """For each id the bytes it stands for; special tokens as they are written, gaps empty.

        Of a WordPiece entry inside a word the ``##`` is left out; SentencePiece's space mark is a space.
        """
        added = {int(token["id"]) for token in self.document["added_tokens"]}
        found = [b""] * self.vocabulary_size
        byte_level, prefix = self.byte_level, self.document["model"].get("continuing_subword_prefix") or ""
        for entry, number in self.vocabulary.items():
            if number in added:
                found[number] = entry.encode()
            elif byte_level and (raw := _from_alphabet(entry)) is not None:
                found[number] = raw
            elif len(entry) == 6 and entry.startswith("<0x") and entry.endswith(">"):
                found[number] = bytes([int(entry[3:5], 16)])
            else:
                found[number] = entry.removeprefix(prefix).replace(_SPACE, " ").encode()
        return found

    @cached_property
    def word_start(self) -> NDArray[np.bool_]:
        """bool[vocabulary_size]: whether a token begins a word, for masking whole words.

        It does when it is special, begins with white space or a sign, or with a character of a script without spaces; in
        WordPiece, when it is not marked as the inside of a word.
        """
        starts = np.zeros(self.vocabulary_size, np.bool_)
        special = {int(token["id"]) for token in self.document["added_tokens"]}
        prefix = self.document["model"].get("continuing_subword_prefix")
        pieces = self.pieces
        for entry, number in self.vocabulary.items():
            if number in special:
                starts[number] = True
            elif prefix:
                starts[number] = not entry.startswith(prefix)
            else:
                starts[number] = _begins_word(pieces[number])
        return starts

    def save(self, path: Path | str) -> None:
        """Write a ``tokenizer.json``."""
        with atomic_write(Path(path)) as file:
            file.write(self.content)

    def encode(self, text: str) -> NDArray[np.uint32]:
        """Ids of one text, without special tokens."""
        return np.array(self.library.encode(text, add_special_tokens=False).ids, np.uint32)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids, special tokens written out."""
        return self.library.decode([int(i) for i in ids], skip_special_tokens=False)

    def encode_batch(
        self, text: NDArray[np.uint8], offsets: NDArray[np.int64], encoder: str = "tokenizers"
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Ids of many documents.

        Parameters
        ----------
        text : uint8 array, shape (N,)
            UTF-8 bytes of all documents.
        offsets : int64 array, shape (D + 1,)
            Document d is text[offsets[d]:offsets[d + 1]].
        encoder
            ``tokenizers`` or ``gigatoken``; `megadata.tokenize.encode.choose_encoder` tells which.

        Returns
        -------
        ids : uint32 array, all documents one after another
        lengths : int64 array, shape (D,), ids of each document
        """
        from megadata.tokenize.encode import backend

        return backend(self, encoder).encode(text, offsets)


def _from_alphabet(entry: str) -> bytes | None:
    """The bytes of an entry written in the byte alphabet; None where it is not."""
    try:
        return entry.translate(_TO_BYTES).encode("latin-1")
    except UnicodeEncodeError:
        return None


def _begins_word(piece: bytes) -> bool:
    first = piece[:4].decode("utf-8", "ignore")[:1]
    if not first:  # the inside of a character, or nothing
        return False
    if first.isspace():
        return True
    if first == "'":  # a contraction belongs to the word before it
        return len(piece) == 1
    if first.isalpha():
        return any(low <= ord(first) <= high for low, high in NO_SPACES)
    return not unicodedata.category(first).startswith(("N", "M"))
