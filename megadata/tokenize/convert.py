"""Tokenizer files of other makes as the content of a ``tokenizer.json``: rank files, vocabulary and merges, WordPiece lists."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from megadata.errors import TokenizerError
from megadata.tokenize.patterns import byte_alphabet, pre_tokenizer
from megadata.tokenize.specials import added_token, known_special

_FIM = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
_LLAMA3 = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    *(f"<|reserved_special_token_{i}|>" for i in range(4)),
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|reserved_special_token_4|>",
    "<|eot_id|>",
    *(f"<|reserved_special_token_{i}|>" for i in range(5, 251)),
)
_QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(205)))

RANK_FILES: dict[int, tuple[str, dict[str, int]]] = {
    50256: ("gpt2", {"<|endoftext|>": 50256}),
    100256: (
        "cl100k",
        {"<|endoftext|>": 100257, **{t: 100258 + i for i, t in enumerate(_FIM)}, "<|endofprompt|>": 100276},
    ),
    199998: ("o200k", {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}),
    128000: ("cl100k", {t: 128000 + i for i, t in enumerate(_LLAMA3)}),
    151643: ("qwen", {t: 151643 + i for i, t in enumerate(_QWEN)}),
}
"""Number of ranks -> pattern and special tokens of the published encodings (r50k, cl100k, o200k, Llama 3, Qwen)."""


def document(model: dict[str, Any], added: list[dict[str, Any]], **sections: Any) -> dict[str, Any]:
    """The content of a tokenizer.json; sections that are not given are empty."""
    empty = {"normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None}
    return {"version": "1.0", "added_tokens": added, **empty, **sections, "model": model}


def byte_level(
    vocabulary: dict[str, int],
    merges: Iterable[Iterable[str]],
    added: list[dict[str, Any]],
    pattern: str,
    ignore_merges: bool = False,
) -> dict[str, Any]:
    """A byte-level BPE with the split pattern of that name."""
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": ignore_merges,
        "vocab": vocabulary,
        "merges": [list(pair) for pair in merges],
    }
    around = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    return document(model, added, pre_tokenizer=pre_tokenizer(pattern), decoder=around)


def is_rank_file(head: bytes) -> bool:
    """Whether a file with these first bytes is a list of base64 tokens with their ranks."""
    token, _, rank = head.split(b"\n", 1)[0].strip().partition(b" ")
    try:
        return rank.isdigit() and len(base64.b64decode(token, validate=True)) > 0
    except binascii.Error:
        return False


def from_ranks(path: Path) -> dict[str, Any]:
    """A tiktoken rank file.

    A rank file tells neither split pattern nor special tokens; they are those of the published encoding with as many ranks.
    """
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        token, _, rank = line.strip().partition(b" ")
        if not token:
            continue
        try:
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (binascii.Error, ValueError) as error:
            raise TokenizerError(
                f"{path}: line {number}: expected a base64 token and its rank, found {line[:40]!r}; fetch the file again"
            ) from error
    known = RANK_FILES.get(len(ranks))
    if known is None:
        counts = ", ".join(str(count) for count in sorted(RANK_FILES))
        raise TokenizerError(
            f"{path}: a rank file does not tell its split pattern, and one with {len(ranks)} ranks is not a published encoding "
            f"(those have {counts}); use the tokenizer.json of this tokenizer instead"
        )
    pattern, specials = known
    table = byte_alphabet()
    names = {token: "".join(table[byte] for byte in token) for token in ranks}
    merges: list[tuple[str, str]] = []
    for token, _ in sorted(ranks.items(), key=lambda item: item[1]):
        halves = ((token[:i], token[i:]) for i in range(1, len(token)))
        pairs = sorted((p for p in halves if p[0] in ranks and p[1] in ranks), key=lambda p: (ranks[p[0]], ranks[p[1]]))
        merges += [(names[left], names[right]) for left, right in pairs]
    vocabulary = {names[token]: rank for token, rank in ranks.items()}
    added = [added_token(token, number) for token, number in specials.items()]
    return byte_level(vocabulary, merges, added, pattern, ignore_merges=True)


def from_vocabulary_and_merges(vocabulary: dict[str, int], merges: Path, where: Path) -> dict[str, Any]:
    """GPT-2's pair of files: a JSON vocabulary and a list of merges, with GPT-2's split pattern."""
    pairs = []
    for number, line in enumerate(merges.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or (number == 1 and line.startswith("#version")):
            continue
        pair = line.split(" ")
        if len(pair) != 2 or any(part not in vocabulary for part in (*pair, "".join(pair))):
            raise TokenizerError(
                f"{merges}: line {number}: expected two tokens of {where.name} whose sum is in it too, found {line[:60]!r}; "
                "use the two files of one tokenizer"
            )
        pairs.append(pair)
    merged = {"".join(pair) for pair in pairs}  # what merges can make is an ordinary entry, even if it reads "<s>"
    added = [added_token(t, number) for t, number in vocabulary.items() if known_special(t) and t not in merged]
    return byte_level(vocabulary, pairs, sorted(added, key=lambda a: int(a["id"])), "gpt2")


def wordpiece(vocabulary: dict[str, int], added: list[dict[str, Any]], lowercase: bool) -> dict[str, Any]:
    """BERT's WordPiece with BERT's normalizer."""
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": vocabulary,
    }
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": lowercase,
    }
    decoder = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    split = {"type": "BertPreTokenizer"}
    return document(model, added, normalizer=normalizer, pre_tokenizer=split, decoder=decoder)


def from_word_list(path: Path, lowercase: bool | None = None) -> dict[str, Any]:
    """BERT's ``vocab.txt``: a token a line. Unless told, it is lower-case when no ordinary entry has a capital letter."""
    tokens = path.read_text(encoding="utf-8").splitlines()
    if "[UNK]" not in tokens:
        raise TokenizerError(
            f"{path}: expected a WordPiece vocabulary with an [UNK] entry, found none; is this the file?"
        )
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if lowercase is None:
        lowercase = not any(token != token.lower() for token in tokens if not token.startswith("["))
    added = [added_token(token, number) for token, number in vocabulary.items() if known_special(token)]
    return wordpiece(vocabulary, added, lowercase)
