"""SentencePiece models as the content of a ``tokenizer.json``: Unigram, and BPE with byte fallback.

The model file is a protocol buffer; the few fields that matter are read here, so that neither `sentencepiece` nor `protobuf` is
needed. Field numbers: sentencepiece_model.proto.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from megadata.errors import TokenizerError
from megadata.tokenize.convert import document
from megadata.tokenize.specials import added_token

_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_UNIGRAM, _BPE = 1, 2
_NORMAL, _UNKNOWN, _CONTROL, _USER = 1, 2, 3, 4
_SPACE = "\u2581"

Field = int | bytes


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, Field]]:
    """(number, value) of each field of a message; a fixed-width field as its bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(data, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + length > len(data):
            raise IndexError("message ends early")
        yield key >> 3, data[at : at + length]
        at += length


def _message(value: Field) -> dict[int, Field]:
    if not isinstance(value, bytes):
        raise ValueError("expected a message")
    return dict(_fields(value))


def _piece(value: Field) -> tuple[str, float, int]:
    fields = _message(value)
    text, score, kind = fields.get(1, b""), fields.get(2, bytes(4)), fields.get(3, _NORMAL)
    if not isinstance(text, bytes) or not isinstance(score, bytes) or not isinstance(kind, int):
        raise ValueError("expected a piece")
    return text.decode(), float(struct.unpack("<f", score)[0]), kind


def _normalizers(spec: dict[int, Field]) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    charsmap = spec.get(2, b"")
    if isinstance(charsmap, bytes) and charsmap:
        steps.append({"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()})
    if spec.get(4, 1):  # remove_extra_whitespaces
        steps.append({"type": "Strip", "strip_left": True, "strip_right": True})
        steps.append({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
    return steps


def _merges(scores: dict[str, float], numbers: dict[str, int]) -> list[list[str]]:
    """Every way to put a piece together from two others, best score first."""
    found: list[tuple[float, int, int, str, str]] = []
    for piece, score in scores.items():
        halves = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        local = [pair for pair in halves if pair[0] in numbers and pair[1] in numbers]
        local.sort(key=lambda pair: (numbers[pair[0]], numbers[pair[1]]))
        found += [(score, len(left), len(right), left, right) for left, right in local]
    found.sort(key=lambda m: m[:3], reverse=True)
    return [[left, right] for *_, left, right in found]


def from_sentencepiece(path: Path) -> dict[str, Any]:
    """Read a ``.model`` file; `TokenizerError` when it is damaged or of a kind that cannot be expressed."""
    pieces: list[tuple[str, float, int]] = []
    trainer: dict[int, Field] = {}
    spec: dict[int, Field] = {}
    try:
        for number, value in _fields(path.read_bytes()):
            if number == _PIECES:
                pieces.append(_piece(value))
            elif number == _TRAINER:
                trainer = _message(value)
            elif number == _NORMALIZER:
                spec = _message(value)
    except (IndexError, ValueError, struct.error) as error:
        raise TokenizerError(
            f"{path}: expected a SentencePiece model, found something else ({error}); check the file"
        ) from error
    kind, fallback = trainer.get(3, _UNIGRAM), bool(trainer.get(35, 0))
    if not pieces or kind not in (_UNIGRAM, _BPE) or (kind == _BPE and not fallback):
        raise TokenizerError(
            f"{path}: expected a SentencePiece model of type unigram, or BPE with byte fallback, found type {kind!r} with "
            f"{len(pieces)} pieces; export it as tokenizer.json and use that"
        )
    if not spec.get(5, 1) or trainer.get(24, 0):
        raise TokenizerError(
            f"{path}: SentencePiece models that keep spaces or put them behind words cannot be read; "
            "export it as tokenizer.json and use that"
        )
    vocabulary = {piece: number for number, (piece, _, _) in enumerate(pieces)}
    unknown = next((n for n, (_, _, k) in enumerate(pieces) if k == _UNKNOWN), 0)
    added = [
        {**added_token(piece, number), "special": k != _USER}
        for number, (piece, _, k) in enumerate(pieces)
        if k in (_UNKNOWN, _CONTROL, _USER)
    ]
    steps = _normalizers(spec)
    prefix = bool(spec.get(3, 1))
    decoder: dict[str, Any] = {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            *([{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefix else []),
        ],
    }
    scored = [[piece, score] for piece, score, _ in pieces]
    unigram: dict[str, Any] = {"type": "Unigram", "unk_id": unknown, "vocab": scored, "byte_fallback": fallback}
    if kind == _UNIGRAM and spec.get(4, 1):
        inner = any(_SPACE in piece[1:] for piece, _, k in pieces if k == _NORMAL)
        split = {
            "type": "Metaspace",
            "replacement": _SPACE,
            "prepend_scheme": "always" if prefix else "never",
            "split": not inner,
        }
        normalizer = {"type": "Sequence", "normalizers": steps}
        return document(unigram, added, normalizer=normalizer, pre_tokenizer=split, decoder=decoder)
    if prefix:
        steps.append({"type": "Prepend", "prepend": _SPACE})
    steps.append({"type": "Replace", "pattern": {"String": " "}, "content": _SPACE})
    if kind == _UNIGRAM:
        return document(unigram, added, normalizer={"type": "Sequence", "normalizers": steps}, decoder=decoder)
    ordinary = {piece: score for piece, score, k in pieces if k == _NORMAL}
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": pieces[unknown][0],
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": True,
        "ignore_merges": False,
        "vocab": vocabulary,
        "merges": _merges(ordinary, vocabulary),
    }
    return document(model, added, normalizer={"type": "Sequence", "normalizers": steps}, decoder=decoder)
