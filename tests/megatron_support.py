"""Blends for which Megatron-core's arrays are known: how they are made, and what Megatron's own classes say of them.

``python tests/megatron_support.py tests/golden/megatron.json`` writes the golden file, where megatron-core is installed.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import tempfile
import warnings
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from megadata.indexed.blend import Blend, MegatronOrder
from megadata.indexed.megatronsamples import MegatronSamples
from megadata.indexed.writer import IndexedWriter

LENGTH = 16
SIZES = {"a": [40, 90], "b": [3, 12], "c": [1, 200], "d": [0, 5]}
"""Least and most tokens of a document of each dataset, of which there are 8, 20, 6 and 30."""
COUNTS = {"a": 8, "b": 20, "c": 6, "d": 30}

# weights (None: as many as there are), samples, seed, split
CASES: dict[str, tuple[dict[str, float | None], int | None, int, str | None]] = {
    "one epoch": ({"a": None}, None, 1234, None),
    "many epochs": ({"b": None}, 60, 1, None),
    "the last epoch apart": ({"b": None}, 41, 7, None),
    "a lone weight": ({"a": 1.0}, 100, 5, "80,20,0"),
    "weights": ({"a": 0.3, "b": 0.3, "d": 0.4}, 150, 1234, None),
    "uneven weights": ({"c": 17.0, "a": 3.0, "b": 1.5}, 200, 42, "75,25,0"),
    "lengths": ({"a": None, "b": None, "c": None}, 50, 3, None),
    "exhaustive": ({"a": None, "b": None, "d": None}, None, 3, None),
}


def write(folder: Path) -> dict[str, str]:
    """The datasets, some documents of them empty; prefixes by name."""
    out = {}
    for seed, (name, (low, high)) in enumerate(SIZES.items()):
        rng = np.random.default_rng(seed)
        lengths = rng.integers(low, high + 1, COUNTS[name])
        with IndexedWriter(folder / name, np.uint16) as writer:
            writer.add_documents(rng.integers(0, 1000, int(lengths.sum())).astype(np.uint16), lengths)
        out[name] = str(folder / name)
    return out


def ours(prefixes: dict[str, str], weights: dict[str, float | None], samples: int | None, seed: int, split: str | None):
    """The samples of a case, by megadata."""
    given = {name: weight for name, weight in weights.items() if weight is not None}
    found = Blend.of(
        {name: prefixes[name] for name in weights},
        given or None,
        seed=seed,
        split=None if split is None else [int(part) for part in split.split(",")],
        megatron=MegatronOrder(samples=samples),
    ).samples(LENGTH)
    assert isinstance(found, MegatronSamples)
    return found


def theirs(
    prefixes: dict[str, str], weights: dict[str, float | None], samples: int | None, seed: int, split: str | None
):
    """The training dataset of a case, by Megatron's own builder."""
    from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

    paths = [prefixes[name] for name in weights]
    given = [weight for weight in weights.values() if weight is not None]
    for path in paths:  # Megatron keeps its arrays beside the data
        shutil.rmtree(path, ignore_errors=True)
    entry = (paths, given or None)
    config = GPTDatasetConfig(
        random_seed=seed,
        sequence_length=LENGTH,
        tokenizer=SimpleNamespace(
            vocab_size=1000, eod=0, pad=-1, eos=0, unique_identifiers={"class": "none"}, special_tokens_dict={}
        ),
        reset_position_ids=False,
        reset_attention_mask=False,
        eod_mask_loss=False,
        create_attention_mask=False,
        **({"blend_per_split": [entry, None, None]} if split is None else {"blend": entry, "split": split}),
    )
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sizes = [samples, None if samples is None else 1, None if samples is None else 1]
            return BlendedMegatronDatasetBuilder(GPTDataset, sizes, lambda: True, config).build()[0]
    finally:
        logging.disable(logging.NOTSET)


def parts(theirs: Any) -> tuple[list[Any], Any | None]:
    """The datasets of what Megatron built, and the blend around them where there is one."""
    return (theirs.datasets, theirs) if hasattr(theirs, "datasets") else ([theirs], None)


def tokens_of(theirs: Any) -> np.ndarray:
    """All samples as Megatron gives them, shape (N, L + 1)."""
    rows = [theirs[k] for k in range(len(theirs))]
    return np.array([[*row["tokens"].tolist(), int(row["labels"][-1])] for row in rows])


def plain(array: np.ndarray) -> dict[str, Any]:
    """An array as JSON."""
    return {"dtype": array.dtype.name, "shape": list(array.shape), "values": np.asarray(array).ravel().tolist()}


def digest(tokens: np.ndarray) -> str:
    """SHA-256 of samples."""
    return sha256(np.ascontiguousarray(tokens, "<i8").tobytes()).hexdigest()


def golden(prefixes: dict[str, str], case: str) -> dict[str, Any]:
    """What Megatron says of a case."""
    made = theirs(prefixes, *CASES[case])
    datasets, blend = parts(made)
    out: dict[str, Any] = {
        "datasets": [
            {name: plain(getattr(one, f"{name}_index")) for name in ("document", "sample", "shuffle")}
            for one in datasets
        ],
        "tokens": digest(tokens_of(made)),
    }
    if blend is not None:
        out["dataset_index"], out["dataset_sample_index"] = (
            plain(blend.dataset_index),
            plain(blend.dataset_sample_index),
        )
    return out


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        files = write(Path(name))
        text = json.dumps({case: golden(files, case) for case in CASES}, separators=(",", ":"))
    Path(sys.argv[1]).write_text(text.replace('},"', '},\n"') + "\n", encoding="utf-8")
