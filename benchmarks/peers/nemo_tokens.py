"""Datasets through NeMo's indexed_dataset.py, run by the tests in an environment of its own (the wheel without its dependencies).

``read PREFIX`` prints sequences and document bounds; ``write PREFIX TYPE`` writes the documents of sequences given as JSON on
standard input; ``merge PREFIX TYPE PREFIX...`` merges, which loses the bounds. What the file imports for other kinds of data
is left out.
"""

import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np
import torch

PACKAGE = "nemo.collections.nlp.data.language_modeling"
NAMES = (
    "KNNIndex",
    "MMapRetrievalIndexedDataset",
    "MMapRetrievalIndexedDatasetBuilder",
    "CSVMemMapDataset",
    "TextMemMapDataset",
)
for name in ("nemo.utils", f"{PACKAGE}.megatron.indexed_retrieval_dataset", f"{PACKAGE}.text_memmap_dataset"):
    parts = name.split(".")
    for size in range(1, len(parts) + 1):
        module = sys.modules.setdefault(".".join(parts[:size]), types.ModuleType(".".join(parts[:size])))
        module.__path__ = []
    for one in NAMES:
        setattr(module, one, object)
    module.logging = types.SimpleNamespace(info=lambda *_: None)

FILE = next(Path(sys.prefix).glob(f"lib/*/site-packages/{PACKAGE.replace('.', '/')}/megatron/indexed_dataset.py"))
spec = importlib.util.spec_from_file_location("nemo_indexed_dataset", FILE)
nemo = importlib.util.module_from_spec(spec)
spec.loader.exec_module(nemo)


def main(what: str, prefix: str, kind: str, others: list[str]) -> None:
    if what == "read":
        data = nemo.MMapIndexedDataset(prefix, skip_warmup=True)
        found = {"sequences": [data[i].tolist() for i in range(len(data))], "bounds": data.doc_idx.tolist()}
        json.dump(found, sys.stdout)
        return
    builder = nemo.MMapIndexedDatasetBuilder(f"{prefix}.bin", dtype=getattr(np, kind))
    for other in others:
        builder.merge_file_(other)
    for document in json.load(sys.stdin) if what == "write" else []:
        for sequence in document:
            builder.add_item(torch.tensor(sequence))
        builder.end_document()
    builder.finalize(f"{prefix}.idx")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "", sys.argv[4:])
