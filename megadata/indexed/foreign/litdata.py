"""litdata's chunks, as its `TokensLoader` reads them; the library is not needed.

``index.json`` names the chunks and the type; a chunk is ``uint32 n``, ``uint32 offsets[n + 1]`` from the start of the file, and
the tokens of n documents. Source: litdata/streaming/writer.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from megadata.errors import ConfigError, CorpusError
from megadata.indexed.foreign.files import SHARD_BYTES, Advance, Batch, Folder, cut, documents, mapped, quiet, raw
from megadata.indexed.reader import IndexedDataset

TORCH_TYPES = {
    **{11: "u1", 12: "i1", 13: "<i2", 14: "<i2", 15: "<i4", 16: "<i4"},
    **{17: "<i8", 18: "<i8", 20: "<u2"},
}
"""litdata's numbers of torch types."""
NUMPY_TYPES = dict(enumerate(("i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8")))
"""litdata's numbers of numpy types."""
CODES = {"uint16": 20, "int32": 16}
LEAF = '[1, {"type": null, "context": null, "children_spec": []}]'
"""torch's description of a sample that is one tensor."""


def write_litdata(data: IndexedDataset, folder: Path, advance: Advance = quiet) -> list[Path]:
    """Write FOLDER/chunk-0-N.bin of about `SHARD_BYTES` in whole documents, and index.json.

    `TokensLoader` cuts each chunk into blocks and passes over what is left at its end.
    """
    if data.dtype.name not in CODES:
        raise ConfigError(f"{data.prefix}: holds {data.dtype.name}; litdata is written from uint16 and int32")
    parts = list(cut(data, SHARD_BYTES // data.dtype.itemsize))
    names = [f"chunk-0-{number}.bin" for number in range(len(parts))]
    target = Folder(folder, "chunk-*", [*names, "index.json"])
    chunks: list[dict[str, Any]] = []
    for name, (first, last) in zip(names, parts, strict=True):
        tokens, lengths = documents(data, first, last)
        offsets = 4 * (lengths.size + 2) + np.concatenate(([0], np.cumsum(lengths))) * data.dtype.itemsize
        if int(offsets[-1]) >= 1 << 32:
            raise ConfigError(
                f"{data.prefix}: document {first} has {tokens.size} tokens, chunks of litdata hold at most 4 GiB; cut it first"
            )
        size = target.write(name, (raw(np.array([lengths.size], "<u4")), raw(offsets.astype("<u4")), raw(tokens)))
        chunks.append({"chunk_bytes": size, "chunk_size": lengths.size, "dim": tokens.size, "filename": name})
        advance(tokens.nbytes)
    config = {
        **dict.fromkeys(("compression", "compression_level", "compression_batch_size", "ipc_compression")),
        **{"chunk_bytes": SHARD_BYTES, "chunk_size": None, "encryption": None, "types": "tensor"},
        "data_format": [f"no_header_tensor:{CODES[data.dtype.name]}"],
        "data_spec": LEAF,
        "item_loader": "TokensLoader",
    }
    index = json.dumps({"chunks": chunks, "config": config, "updated_at": "0"}, sort_keys=True)
    target.write("index.json", (index.encode(),))
    return target.written


def read_litdata(path: Path) -> Iterator[Batch]:
    """The documents (items) of all chunks.

    Raises
    ------
    ConfigError
        If the chunks are compressed or encrypted, or hold something else than one row of tokens an item.
    CorpusError
        If a file is damaged.
    """
    folder = path if path.is_dir() else path.parent
    index = read_index(folder / "index.json", "chunks", "config")
    config = index["config"]
    for name in ("compression", "compression_level", "encryption", "ipc_compression"):
        if config.get(name):
            raise ConfigError(
                f"{folder}: chunks with {name} {config[name]} are not read; write them again without (litdata.optimize)"
            )
    kind = _dtype(config.get("data_format"), folder)
    for chunk in index["chunks"]:
        try:
            file, header = folder / chunk["filename"], 0 if chunk["dim"] is not None else 4
        except (KeyError, TypeError) as error:
            raise CorpusError(f"{folder}/index.json: a chunk lacks {error}; copy the folder again") from error
        yield from _read_chunk(file, kind, header)


def read_index(path: Path, *fields: str) -> dict[str, Any]:
    """The content of an index.json with these fields."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path}: cannot be read as JSON: {error}; copy the folder again") from error
    if not isinstance(content, dict) or any(not isinstance(content.get(name), (list, dict)) for name in fields):
        raise CorpusError(f"{path}: expected an object with {' and '.join(fields)}, found something else")
    return content


def _dtype(formats: Any, folder: Path) -> np.dtype[Any]:
    name, _, number = (
        str(formats[0]).partition(":") if isinstance(formats, list) and len(formats) == 1 else ("", "", "")
    )
    types = {"no_header_tensor": TORCH_TYPES, "no_header_numpy": NUMPY_TYPES}.get(name, {})
    if not number.isdigit() or int(number) not in types:
        raise ConfigError(
            f"{folder}: expected items of one row of integer tokens (no_header_tensor or no_header_numpy), found {formats}"
        )
    return np.dtype(types[int(number)])


def _read_chunk(file: Path, kind: np.dtype[Any], header: int) -> Iterator[Batch]:
    """Documents of one chunk; items of other loaders than `TokensLoader` begin with their size, `header` bytes."""
    data = mapped(file)
    count = int(data[:4].view("<u4")[0]) if data.size >= 4 else 0
    offsets = data[4 : 4 * (count + 2)].view("<u4").astype(np.int64) if data.size >= 4 * (count + 2) else np.zeros(1)
    sizes = np.diff(offsets) - header
    fits = (
        offsets.size == count + 1
        and int(offsets[0]) == 4 * (count + 2)
        and int(offsets[-1]) <= data.size
        and not (sizes < 0).any()
        and not (sizes % kind.itemsize).any()
    )
    if not fits:
        raise CorpusError(
            f"{file}: the offsets do not fit {data.size} bytes of {kind.name} tokens; copy the file again"
        )
    if header == 0:
        tokens = np.array(data[offsets[0] : offsets[-1]]).view(kind)
    else:
        parts = [data[first + header : last] for first, last in pairwise(offsets.tolist())]
        tokens = np.concatenate([np.empty(0, np.uint8), *parts]).view(kind)
    yield Batch(tokens, sizes // kind.itemsize)
