"""Tokens through litdata, run by the tests in an environment of its own.

``read FOLDER BLOCK`` prints the blocks of `TokensLoader`; ``write FOLDER TYPE`` writes the documents given as JSON on standard
input.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from litdata import StreamingDataset
from litdata.streaming.item_loader import TokensLoader
from litdata.streaming.writer import BinaryWriter


def read(folder: str, block: int) -> list[list[int]]:
    dataset = StreamingDataset(folder, item_loader=TokensLoader(block_size=block))
    return [dataset[number].tolist() for number in range(len(dataset))]


def write(folder: str, kind: str) -> None:
    Path(folder).mkdir(parents=True)
    writer = BinaryWriter(folder, chunk_size=40, item_loader=TokensLoader(block_size=4))
    for number, document in enumerate(json.load(sys.stdin)):
        made = np.array(document, kind)
        writer[number] = torch.from_numpy(made.astype(np.int32)) if kind == "int32" else made
    writer.done()
    writer.merge()


if __name__ == "__main__":
    if sys.argv[1] == "read":
        json.dump(read(sys.argv[2], int(sys.argv[3])), sys.stdout)
    else:
        write(sys.argv[2], sys.argv[3])
