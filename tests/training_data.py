"""A small language, a tokenizer for it, and blends of it: what the trainer's tests train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from megadata.config import build
from megadata.indexed.blend import Blend
from megadata.indexed.meta import Meta
from megadata.indexed.writer import IndexedWriter
from megadata.trainer.config import TrainConfig

SPECIALS = ["<|endoftext|>", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SUBJECTS = ["cat", "dog", "bird", "fish", "horse"]
PLACES = ["mat", "roof", "tree", "pond", "field"]


def sentences(count: int, seed: int) -> list[str]:
    """Each animal has its place, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(SUBJECTS), count)
    return [f"the {SUBJECTS[i]} sat on the {PLACES[i]} today. " for i in chosen]


def make_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(sentences(200, 0), trainer)
    return tokenizer


def write_dataset(prefix: Path, tokenizer: Tokenizer, documents: int, seed: int) -> None:
    ids = {name: tokenizer.token_to_id(name) for name in SPECIALS}
    roles = {"eod": SPECIALS[0], "pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    meta = Meta(
        vocabulary_size=tokenizer.get_vocab_size(),
        eod=ids[SPECIALS[0]],
        appended_eod=True,
        special_tokens={role: ids[name] for role, name in roles.items()},
        shuffled=True,
    )
    rng = np.random.default_rng(seed)
    with IndexedWriter(prefix, np.uint16, meta) as writer:
        for number in range(documents):
            text = "".join(sentences(int(rng.integers(2, 9)), seed * 1000 + number))
            writer.add_document(np.array([*tokenizer.encode(text).ids, ids[SPECIALS[0]]]))
    tokenizer.save(f"{prefix}.tokenizer.json")


def make_blend(folder: Path) -> Path:
    """Two sources with validation; returns blend.yaml."""
    tokenizer = make_tokenizer()
    for seed, name in enumerate(("web", "books")):
        write_dataset(folder / name, tokenizer, 120, seed + 1)
        write_dataset(folder / f"{name}-validation", tokenizer, 12, seed + 11)
    names = ("web", "books")
    blend = Blend.of(
        {name: folder / name for name in names},
        validation={name: folder / f"{name}-validation" for name in names},
        seed=5,
    )
    return blend.save(folder / "blend.yaml")


def tiny_config(kind: str = "gpt", **sections: dict[str, object]) -> TrainConfig:
    """A model of a few thousand parameters; each section may be changed."""
    values: dict[str, dict[str, object]] = {
        "model": {
            "kind": kind,
            "num_layers": 2,
            "hidden_size": 32,
            "num_attention_heads": 2,
            "max_position_embeddings": 32,
            "dropout": 0.1,
            "attention_dropout": 0.1,
        },
        "data": {"sequence_length": 32, "batch_size": 8, "validation_batches": 2},
        "trainer": {"steps": 6, "precision": "fp32", "device": "cpu", "validate_every": 3, "threads": 1},
        "optimizer": {"lr": 3e-3},
        "checkpoint": {"every": 2},
    }
    if kind == "bert":
        values["model"] |= {"type_vocab_size": 2, "activation": "gelu"}
    for name, changes in sections.items():
        values.setdefault(name, {}).update(changes)
    return build(TrainConfig, values, "test")
