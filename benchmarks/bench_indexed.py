"""Indexed datasets: opening a blend, finding where samples lie, reading them, and writing, one thread each.

Run from the repository: ``python benchmarks/bench_indexed.py``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from harness import measure

from megadata.indexed.blend import Blend
from megadata.indexed.masking import MaskedSamples
from megadata.indexed.meta import Meta, pack_bits
from megadata.indexed.writer import IndexedWriter

SOURCES = 10
TOKENS = 4_000_000
LENGTH = 1024
BATCH = 512
VOCABULARY = 50_000
SPECIAL = {"cls": 0, "sep": 1, "mask": 2, "pad": 3}


def write(prefix: Path, seed: int) -> Path:
    """A dataset of random tokens in documents of a thousand tokens on average."""
    rng = np.random.default_rng(seed)
    cuts = np.unique(np.append(rng.integers(1, TOKENS, TOKENS // 1000), [0, TOKENS]))
    tokens = rng.integers(4, VOCABULARY, TOKENS, dtype=np.uint16)
    words = pack_bits(rng.random(VOCABULARY) < 0.6)
    meta = Meta(vocabulary_size=VOCABULARY, special_tokens=SPECIAL, word_start=words)
    with IndexedWriter(prefix, np.uint16, meta) as writer:
        writer.add_documents(tokens, np.diff(cuts))
    return prefix


def main() -> None:
    """Measure each part."""
    with tempfile.TemporaryDirectory() as folder:
        prefixes = {f"s{i}": write(Path(folder) / f"s{i}", i) for i in range(SOURCES)}
        blend = Blend.of(prefixes, {name: i + 1 for i, name in enumerate(prefixes)})
        samples = blend.samples(LENGTH)
        masked = MaskedSamples.of(blend, 128)
        numbers = np.arange(BATCH)
        tokens = BATCH * LENGTH
        measure("indexed/open-blend-10", lambda: blend.samples(LENGTH).epoch, items=1, unit="blends")
        measure("indexed/places", lambda: samples.places(numbers), items=BATCH, unit="samples")
        measure("indexed/batch-512x1024", lambda: samples.batch(0, BATCH), items=tokens, unit="tokens")
        measure("indexed/one-by-one", lambda: np.stack([samples[k] for k in range(BATCH)]), items=tokens, unit="tokens")
        measure("indexed/masked-512x128", lambda: masked.batch(0, BATCH).input_ids, items=BATCH * 128, unit="tokens")
        target = Path(folder) / "written"
        measure("indexed/write", lambda: write(target, 0).with_suffix(".idx"), items=TOKENS, unit="tokens")


if __name__ == "__main__":
    main()
