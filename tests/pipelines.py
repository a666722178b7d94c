"""What the pipeline tests share: a small recipe over real kinds of input, and the content of its results."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import orjson

RECIPE = """\
recipe: 1
output: out
sources:
  web: {input: [pages.jsonl], kind: web, rules: text}
  books: {input: [books], kind: text}
dedup: {prefer: [books, web]}
tokenizer: {vocab_size: 400}
tokenize: {split: {train: 0.8, validation: 0.2}}
blend: {weights: {web: 1, books: 2}}
train:
  gpt:
    config: gpt-tiny
    set:
      model.num_layers: 1
      model.hidden_size: 32
      model.num_attention_heads: 2
      data.sequence_length: 32
      data.batch_size: 4
      trainer.steps: 12
      trainer.validate_every: 6
      trainer.threads: 1
      trainer.precision: fp32
      checkpoint.every: 4
"""
WORDS = (  # noqa: SIM905
    "the of and to in is that it was for on are as with his they at be this have from or one had by word but not what all "
    "were we when your can said there use an each which she do how their if will up other about out many then them these so "
    "some her would make like him into time has look two more write go see number no way could people my than first water been"
).split()
VOLATILE = ("seconds", "tokens_per_s", "validation_seconds", "time")


def text(rng: random.Random, words: int) -> str:
    """Prose of a sort: sentences of common words."""
    sentences = []
    while words > 0:
        length = rng.randint(5, 14)
        words -= length
        sentences.append(" ".join(rng.choice(WORDS) for _ in range(length)).capitalize() + ".")
    return " ".join(sentences)


def write_project(folder: Path, documents: int = 120) -> Path:
    """Raw input of two sources with duplicates, repeated ids and broken lines, and the recipe; the recipe's path."""
    rng = random.Random(7)
    pages = [
        {"id": f"page-{i}", "text": text(rng, rng.randint(60, 300)), "url": f"http://a/{i}"} for i in range(documents)
    ]
    pages += [{"id": f"copy-{i}", "text": pages[i]["text"]} for i in range(5)]
    pages += [{"id": f"near-{i}", "text": pages[i]["text"] + " One more sentence."} for i in range(10, 15)]
    pages += [{"id": "page-0", "text": text(rng, 90)}]
    lines = [orjson.dumps(page) + b"\n" for page in pages]
    lines.insert(7, b'{"id": "half", "text": "never en\n')
    (folder / "pages.jsonl").write_bytes(b"".join(lines))
    (folder / "books").mkdir()
    for i in range(4):
        rows = [{"id": f"page-{j}", "text": text(rng, 200)} for j in range(i, i + 12)]
        (folder / "books" / f"volume{i}.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE)
    return recipe


def contents(output: Path) -> dict[str, Any]:
    """What a finished pipeline wrote, comparable: digests of files, tensors of checkpoints, metrics without times."""
    found: dict[str, Any] = {}
    for path in sorted(output.rglob("*")):
        name = path.relative_to(output).as_posix()
        if path.is_dir() or any(part.startswith(".") for part in path.relative_to(output).parts):
            continue
        if "/checkpoints/" in name:
            if path.name == "state.json":
                found[name] = orjson.loads(path.read_bytes())["tensors"]
        elif path.name == "metrics.jsonl":
            lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
            found[name] = [{k: v for k, v in line.items() if k not in VOLATILE} for line in lines]
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
