"""Other ways from JSON lines to Megatron's token files, for ``bench_tokenize.py``; runs in an environment that has the libraries.

``python tokenize_peers.py METHOD FILE TOKENIZER OUT WORKERS`` prints one line of JSON: bytes of text, tokens, seconds.

``pool`` is what Megatron-LM's ``preprocess_data.py`` does: processes that parse lines and call the tokenizer for a document
at a time, while the main process adds documents to the builder. ``whole`` is what its newer ``preprocess_data_fast.py`` does:
gigatoken encodes the whole file into one array, which then goes through the builder. ``rate`` is gigatoken alone: bytes of
all documents, read and parsed before, on all cores; no file is written.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

EOD = "<|endoftext|>"
_tokenizer: Any = None


def load(path: str) -> Any:
    """The tokenizer as `tokenizers` loads it, special tokens in text read as text."""
    import tokenizers

    loaded = tokenizers.Tokenizer.from_file(path)
    loaded.encode_special_tokens = True
    return loaded


def start(path: str) -> None:
    """Load the tokenizer in a process of the pool."""
    global _tokenizer
    _tokenizer = load(path)


def encode(line: str) -> tuple[list[int], int]:
    """Ids of one document, and its bytes."""
    text = json.loads(line)["text"]
    ids = _tokenizer.encode(text, add_special_tokens=False).ids
    if ids:
        ids.append(_tokenizer.token_to_id(EOD))
    return ids, len(line)


def builder_of(out: Path) -> Any:
    """Megatron's own writer."""
    from megatron.core.datasets.indexed_dataset import IndexedDatasetBuilder

    return IndexedDatasetBuilder(f"{out}.bin", dtype=np.uint16)


def pool(file: Path, tokenizer: str, out: Path, workers: int) -> int:
    """Tokens written by a pool."""
    builder, tokens = builder_of(out), 0
    with multiprocessing.Pool(workers, initializer=start, initargs=(tokenizer,)) as processes, file.open() as lines:
        for ids, _ in processes.imap(encode, lines, 32):
            builder.add_document(np.array(ids, np.uint16), [len(ids)] if ids else [])
            tokens += len(ids)
    builder.finalize(f"{out}.idx")
    return tokens


def gigatoken_of(tokenizer: str) -> Any:
    """gigatoken's tokenizer without special tokens, so that they are text."""
    import gigatoken

    content = json.loads(Path(tokenizer).read_bytes())
    content["added_tokens"] = [token for token in content["added_tokens"] if not token["special"]]
    return gigatoken.Tokenizer.from_json(json.dumps(content))


def whole(file: Path, tokenizer: str, out: Path, workers: int) -> int:
    """Tokens written from one array of the whole file."""
    import gigatoken

    del workers  # as many threads as there are cores
    eod = load(tokenizer).token_to_id(EOD)
    layout = gigatoken_of(tokenizer).encode_files(gigatoken.JsonlFileSource([str(file)], "text")).layout
    bounds, ids = np.asarray(layout.offsets.data), np.asarray(layout.content.data)
    ids = np.insert(ids, bounds[1:], eod).astype(np.uint16)
    bounds = bounds + np.arange(bounds.size)
    builder = builder_of(out)
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        builder.add_document(ids[start:stop], [stop - start])
    builder.finalize(f"{out}.idx")
    return int(ids.size)


def rate(file: Path, tokenizer: str) -> tuple[int, int, float]:
    """Bytes, tokens and seconds of encoding alone."""
    with file.open("rb") as lines:
        texts = [json.loads(line)["text"].encode() for line in lines]
    encoder = gigatoken_of(tokenizer)
    began = time.perf_counter()
    layout = encoder.encode_batch(texts, parallel=True).layout
    seconds = time.perf_counter() - began
    return sum(map(len, texts)), len(layout.content.data), seconds


def warm() -> None:
    """Import what the methods use: only their work is on the clock."""
    import gigatoken
    import megatron.core.datasets.indexed_dataset
    import tokenizers

    del gigatoken, megatron, tokenizers


def main() -> None:
    """Run one method."""
    method, file, tokenizer, out, workers = sys.argv[1:]
    if method == "rate":
        size, tokens, seconds = rate(Path(file), tokenizer)
    else:
        warm()
        began = time.perf_counter()
        tokens = {"pool": pool, "whole": whole}[method](Path(file), tokenizer, Path(out), int(workers))
        size, seconds = 0, time.perf_counter() - began
    print(json.dumps({"bytes": size, "tokens": tokens, "seconds": seconds}))


if __name__ == "__main__":
    main()
