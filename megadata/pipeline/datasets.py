"""What `megadata inspect` shows of an indexed dataset: its sidecar in rows, and a document with the borders of its tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megadata.errors import CorpusError
from megadata.indexed.files import is_url, local_copy, open_sidecar
from megadata.indexed.foreign.run import recognise
from megadata.indexed.provenance import document_rows
from megadata.indexed.reader import IndexedDataset
from megadata.runtime.progress import human
from megadata.tokenize.load import load_tokenizer

ENTROPY_TOKENS = 10_000_000
"""Tokens on which the unigram entropy is measured."""
SHOWN_TOKENS = 400
LENGTHS = 1_000_000
"""Sequences whose lengths are looked at."""


def describe(data: IndexedDataset) -> dict[str, Any]:
    """What is known of a dataset, by name."""
    rows: dict[str, Any] = {
        "tokens": f"{data.tokens:,}",
        "documents": f"{data.documents:,}",
        "sequences": f"{len(data):,}",
        "dtype": f"{data.dtype}, {human(data.tokens * data.dtype.itemsize)}",
    }
    lengths = np.asarray(data.lengths[:LENGTHS])
    if lengths.size:
        rows["lengths"] = f"{lengths.min():,} to {lengths.max():,} tokens, {np.median(lengths):,.0f} in the median"
    meta = data.meta
    if meta is None:
        rows["sidecar"] = "none; `megadata verify --tokenizer T --write-meta` checks the files and writes one"
    else:
        rows |= {
            "vocabulary": meta.vocabulary_size,
            "end of document": meta.eod if meta.appended_eod or meta.eod is None else f"{meta.eod}, not appended",
            "level": meta.level,
            "shuffled": f"yes, seed {meta.seed}" if meta.shuffled else "no",
        }
    if data.tokens and data.dtype.kind in "iu":
        rows["unigram entropy"] = (
            f"{unigram_entropy(data.window(0, min(data.tokens, ENTROPY_TOKENS))):.3f} nats a token"
        )
    return rows


def show(data: IndexedDataset, number: int) -> tuple[dict[str, Any], list[str]]:
    """What is known of one document, and its first tokens as text; as ids where no tokenizer lies beside the dataset.

    Raises
    ------
    CorpusError
        If there is no such document.
    """
    if not -data.documents <= number < data.documents:
        raise CorpusError(f"{data.prefix}: expected a document from 0 to {data.documents - 1}, got {number}")
    number %= data.documents
    first, last = data.document_bounds(number)
    ids = data.document(number)
    rows: dict[str, Any] = {"document shown": f"{number}, {ids.size:,} tokens"}
    if last - first != 1:
        rows["document shown"] += f" in {last - first:,} sequences"
    known = document_rows(data.prefix, [number])[0]
    rows |= {f"its {name}": known[name] for name in ("id", "source", "url") if known.get(name) is not None}
    tokenizer = local_copy(f"{data.prefix}.tokenizer.json")
    if tokenizer is None:
        return rows, [str(token) for token in ids[:SHOWN_TOKENS].tolist()]
    pieces = load_tokenizer(tokenizer).pieces
    return rows, [_text(pieces[token] if 0 <= token < len(pieces) else b"?") for token in ids[:SHOWN_TOKENS].tolist()]


def _text(piece: bytes) -> str:
    """The text of a token; bytes that are no characters by themselves as ``\\xe2``."""
    return piece.decode("utf-8", "backslashreplace")


def unigram_entropy(tokens: NDArray[Any]) -> float:
    """Entropy of the tokens' frequencies, in nats: the loss of a model that knows the frequencies and nothing else."""
    _, counts = np.unique(tokens, return_counts=True)
    shares = counts / tokens.size
    return float(-(shares * np.log(shares)).sum())


def is_dataset(path: str) -> bool:
    """Whether a path or URL names an indexed dataset: its prefix, or one of its two files."""
    prefix = path[:-4] if path.endswith((".idx", ".bin")) else path
    return open_sidecar(f"{prefix}.idx") is not None if is_url(path) else Path(f"{prefix}.idx").exists()


def foreign_kind(path: Path) -> str | None:
    """Whose token files lie at a local path; None where they are no token files for sure."""
    if path.suffix in (".bin", ".npy", ".ds") or (path / "index.json").exists() or path.name == "index.json":
        return recognise(path)
    return None
