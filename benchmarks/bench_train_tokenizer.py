"""Training a tokenizer: the whole command `megadata train-tokenizer` beside the trainers of `tokenizers` and gigatoken.

Run from the repository::

    python benchmarks/bench_train_tokenizer.py [BOOKS] [--megabytes 140] [--pattern gpt2] [--kind bpe] [--repeats 1]

The text is real: the books and articles of MEGADATA_REAL_DATA, and more from plain text files in the folder BOOKS, cut into
documents of some 6,000 characters, as JSON lines. Each side is a process of its own, from its start to its tokenizer.json. The
vocabularies and merges must be equal. Seconds are of the clock and of the processor; memory is of all processes together.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson
from harness import machine
from processes import Watched, watch

CHARACTERS = 6_000
SPECIAL = ("<|endoftext|>", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
REAL = (
    "books/100_polish_novels/**/*.txt",
    "books/68_german_novels/**/*.txt",
    "books/100_english_novels/**/*.txt",
    "wikipedia/extracted-*/*",
)
HERE = Path(__file__).parent


def texts(books: Path | None) -> Iterator[str]:
    """Texts of files, those of MEGADATA_REAL_DATA first."""
    place = os.environ.get("MEGADATA_REAL_DATA")
    found = [path for pattern in REAL for path in sorted(Path(place).glob(pattern))] if place else []
    for path in [*found, *(sorted(books.rglob("*.txt")) if books else [])]:
        if path.is_file():
            yield path.read_bytes().decode("utf-8", "replace")


def documents(books: Path | None) -> Iterator[str]:
    """The same cut at blank lines."""
    for text in texts(books):
        held: list[str] = []
        size = 0
        for paragraph in text.split("\n\n"):
            held.append(paragraph)
            size += len(paragraph)
            if size >= CHARACTERS:
                yield "\n\n".join(held)
                held, size = [], 0
        if held:
            yield "\n\n".join(held)


def write(path: Path, books: Path | None, megabytes: int) -> tuple[int, int]:
    """JSON lines of about so much text; documents and bytes of text."""
    count = size = 0
    with path.open("wb") as file:
        for text in documents(books):
            file.write(orjson.dumps({"text": text}, option=orjson.OPT_APPEND_NEWLINE))
            count, size = count + 1, size + len(text.encode())
            if size >= megabytes * 1_000_000:
                break
    return count, size


def by_tokenizers(source: Path, target: Path, size: int, pattern: str, kind: str) -> None:
    """Train as a user of `tokenizers` does: a trainer fed by an iterator over the lines."""
    import tokenizers
    from tokenizers import models, normalizers, pre_tokenizers, trainers

    lines = (orjson.loads(line)["text"] for line in source.open("rb"))
    if kind == "wordpiece":
        model = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        model.normalizer, model.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        wordpiece = trainers.WordPieceTrainer(vocab_size=size, special_tokens=[*SPECIAL], show_progress=False)
        model.train_from_iterator(lines, wordpiece)
    else:
        from megadata.tokenize.patterns import PATTERNS

        split = pre_tokenizers.Split(tokenizers.Regex(PATTERNS[pattern]), "isolated")
        plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern == "gpt2")
        model = tokenizers.Tokenizer(models.BPE())
        model.pre_tokenizer = plain if pattern == "gpt2" else pre_tokenizers.Sequence([split, plain])
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        bpe = trainers.BpeTrainer(
            vocab_size=size, special_tokens=[*SPECIAL], initial_alphabet=alphabet, show_progress=False
        )
        model.train_from_iterator(lines, bpe)
    model.save(str(target))


def digest(path: Path) -> str:
    """Of the vocabulary and the merges."""
    model = orjson.loads(path.read_bytes())["model"]
    held = [
        sorted(model["vocab"].items()),
        [m if isinstance(m, list) else m.split(" ") for m in model.get("merges", [])],
    ]
    return hashlib.sha256(orjson.dumps(held)).hexdigest()[:16]


def main() -> None:
    """A line for ours, and one for each peer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("books", type=Path, nargs="?")
    parser.add_argument("--megabytes", type=int, default=140)
    parser.add_argument("--pattern", default="gpt2")
    parser.add_argument("--kind", default="bpe", choices=["bpe", "wordpiece"])
    parser.add_argument("--vocab-size", type=int, default=50_257)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=["tokenizers", "gigatoken"], help="peers to run")
    parser.add_argument("--peer", nargs=2, type=Path, metavar=("SOURCE", "TARGET"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peer:
        by_tokenizers(*given.peer, given.vocab_size, given.pattern, given.kind)
        return
    with tempfile.TemporaryDirectory(prefix="megadata-train-tokenizer-") as base:
        source = Path(base) / "corpus.jsonl"
        count, size = write(source, given.books, given.megabytes)
        shape = ["--vocab-size", str(given.vocab_size), "--pattern", given.pattern, "--kind", given.kind]
        start = [
            sys.executable,
            "-m",
            "megadata",
            "train-tokenizer",
            str(source),
            "--workers",
            str(given.workers),
            *shape,
        ]
        again = [sys.executable, __file__, *shape, "--peer", str(source)]
        commands = {"ours": [*start, "-o"]}
        if "tokenizers" in given.only:
            commands["tokenizers"] = again
        if "gigatoken" in given.only and (given.pattern, given.kind) == ("gpt2", "bpe"):
            commands["gigatoken"] = [*start, "--set", "trainer=gigatoken", "-o"]
        runs: dict[str, list[Watched]] = {name: [] for name in commands}
        for _ in range(given.repeats):
            for name, command in commands.items():
                runs[name].append(watch([*command, str(Path(base) / f"{name}.json")]))
        ours = statistics.median(run.seconds for run in runs["ours"])
        answer = digest(Path(base) / "ours.json")
        for name, watched in runs.items():
            seconds = statistics.median(run.seconds for run in watched)
            found = digest(Path(base) / f"{name}.json")
            if (
                found != answer and given.kind == "bpe"
            ):  # WordPiece: ids of characters differ from run to run in `tokenizers`
                sys.exit(f"{name}: expected the vocabulary and merges of ours, {answer}, found {found}")
            line = {
                "bench": f"train-tokenizer/{name}", "unit": "MB/s", "megabytes": round(size / 1e6, 1), "documents": count,
                "kind": given.kind, "pattern": given.pattern, "vocabulary": given.vocab_size, "workers": given.workers,
                "rate": round(size / 1e6 / seconds, 1), "seconds": [round(run.seconds, 2) for run in watched],
                "processor_seconds": [round(run.cpu_seconds, 2) for run in watched],
                "peak_MB": round(max(run.together for run in watched) / 1e6),
                **({"times": round(seconds / ours, 2), "equal": found == answer} if name != "ours" else {}),
                "result_sha": found, "machine": machine(),
            }  # fmt: skip
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
