"""Small tokenizers and corpora for the tests of `megadata.tokenize`, and what they are compared with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from pydoc_data import topics
from typing import Any

import numpy as np
import orjson
import tokenizers
from hypothesis import strategies as st
from tokenizers import pre_tokenizers, trainers

from megadata.runtime.units import InputFile
from megadata.tokenize.convert import byte_level
from megadata.tokenize.load import from_content
from megadata.tokenize.patterns import pre_tokenizer
from megadata.tokenize.specials import DEFAULT_SPECIALS
from megadata.tokenize.tokenizer import Tokenizer

PATTERN_NAMES = ("gpt2", "cl100k", "o200k", "qwen")
PROSE = [topics.topics[name] for name in sorted(topics.topics)]
"""Some 80 chapters of the Python language reference."""
UNICODE = [
    "naïve café, Größe, Ærø",
    "日本語の文章です。",
    "Привет, мир! 123",
    "שלום עולם",
    "👩‍👩‍👧 ½ ² Ⅷ",
    "e\u0301\u0323 x\u2028y",
]

CHARACTERS = st.one_of(
    st.sampled_from(" \n\r\t'sStTrRedDmMlL3ſ½٣Ⅷǅé\u0301日本ไ🙂/.<|>_-\u00a0\u0085\u2028\u3000\u200b\ufeff\x00\x1c"),
    st.characters(codec="utf-8"),
)
TEXTS = st.text(CHARACTERS, max_size=60)


def reference_training(texts: Iterable[str], size: int, pattern: str, special: Sequence[str]) -> dict[str, Any]:
    """The tokenizer.json that `tokenizers` itself trains."""
    empty = {**byte_level({}, [], [], "gpt2"), "pre_tokenizer": pre_tokenizer(pattern)}
    model = tokenizers.Tokenizer.from_buffer(orjson.dumps(empty))
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(texts, trainer)
    content: dict[str, Any] = orjson.loads(model.to_str())
    return content


@cache
def small_tokenizer(pattern: str = "gpt2", size: int = 1500) -> Tokenizer:
    """A byte-level BPE trained on `PROSE` and some text of other scripts."""
    return from_content(reference_training(PROSE + UNICODE * 20, size, pattern, DEFAULT_SPECIALS), "small")


@cache
def sized_tokenizer(size: int) -> Tokenizer:
    """A tokenizer whose vocabulary has exactly `size` entries, most of them never used."""
    content = dict(small_tokenizer().document)
    have = small_tokenizer().vocabulary_size
    extra = [
        {
            "id": n,
            "content": f"<|x{n}|>",
            "special": True,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
        }
        for n in range(have, size)
    ]
    return from_content({**content, "added_tokens": [*content["added_tokens"], *extra]}, "sized")


@cache
def library_of(tokenizer: Tokenizer) -> tokenizers.Tokenizer:
    """The tokenizer as `tokenizers` loads it."""
    library = tokenizers.Tokenizer.from_buffer(tokenizer.content)
    library.encode_special_tokens = True
    return library


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids by `tokenizers`, one text at a time, special tokens read as text."""
    return list(library_of(tokenizer).encode(text, add_special_tokens=False).ids)


def flat(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Texts as flat UTF-8 bytes and offsets."""
    pieces = [text.encode() for text in texts]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(p) for p in pieces], dtype=np.int64)])
    return np.frombuffer(b"".join(pieces), np.uint8), offsets


def write_jsonl(path: Path, records: Iterable[dict[str, Any]]) -> InputFile:
    """A JSONL file as an input."""
    path.write_bytes(b"".join(orjson.dumps(r, option=orjson.OPT_APPEND_NEWLINE) for r in records))
    status = path.stat()
    return InputFile(path.name, str(path), status.st_size, status.st_mtime_ns, "jsonl", "text", "text")


def corpus(count: int) -> list[dict[str, Any]]:
    """Records with ids, text of many lengths (some empty), and metadata."""
    records = []
    for n in range(count):
        text = (PROSE + UNICODE)[n % (len(PROSE) + len(UNICODE))]
        start = (n * 97) % max(len(text) - 200, 1)
        body = "" if n % 17 == 5 else text[start : start + 20 + (n * 31) % 900]
        metadata = {"language": ("en", "de", "fr")[n % 3], "cluster_size": 1 + n % 4}
        records.append({"id": f"doc-{n:05d}", "text": body, "url": f"https://example.org/{n}", "metadata": metadata})
    return records


def shuffle_order(ids: Iterable[str], seed: int) -> list[str]:
    """Ids sorted by the first 64 bits of their keyed hash, and then by the next 64."""

    def key(own: str) -> tuple[int, int]:
        digest = hashlib.blake2b(own.encode(), digest_size=16, key=seed.to_bytes(16, "little", signed=True)).digest()
        return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")

    return sorted(ids, key=key)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every visible file in a folder."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir()) if p.is_file()}
