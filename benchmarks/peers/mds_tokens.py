"""Tokens through mosaicml-streaming, run by the tests in an environment of its own.

``read FOLDER`` prints the column ``tokens`` of each sample; ``write FOLDER TYPE [COMPRESSION]`` writes the documents given as
JSON on standard input. The library imports torchvision for datasets of images alone; stand-ins take its place.
"""

import importlib.machinery
import json
import sys
import types

for name in ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional"):
    stand_in = types.ModuleType(name)
    stand_in.__spec__ = importlib.machinery.ModuleSpec(name, None)
    stand_in.__path__ = []
    stand_in.__version__ = "0"
    stand_in.VisionDataset, stand_in.to_tensor = object, None
    sys.modules[name] = stand_in

import numpy as np  # noqa: E402
from streaming import LocalDataset, MDSWriter  # noqa: E402


def read(folder: str) -> list[list[int]]:
    dataset = LocalDataset(folder)
    return [dataset[number]["tokens"].tolist() for number in range(len(dataset))]


def write(folder: str, kind: str, compression: str | None) -> None:
    columns = {"length": "int", "tokens": f"ndarray:{kind}", "z": "str"}
    with MDSWriter(out=folder, columns=columns, size_limit=900, compression=compression) as writer:
        for document in json.load(sys.stdin):
            writer.write({"length": len(document), "tokens": np.array(document, kind), "z": "x" * len(document)})


if __name__ == "__main__":
    if sys.argv[1] == "read":
        json.dump(read(sys.argv[2]), sys.stdout)
    else:
        write(sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else None)
