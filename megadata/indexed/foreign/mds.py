"""MDS, the shards of MosaicML's streaming; the library is not needed.

A shard is ``uint32 n``, ``uint32 offsets[n + 1]`` from the start of the file, the columns as JSON, and n samples; a sample is
the uint32 size of each column of varying size, then the columns. A column ``ndarray:TYPE`` is one byte (number of axes << 2 |
width of a size), the size of each axis, and the values. Source: streaming/base/format/mds of mosaicml-streaming.
"""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from megadata.errors import ConfigError, CorpusError
from megadata.indexed.foreign.files import (
    SHARD_BYTES,
    Advance,
    Batch,
    Folder,
    cut,
    documents,
    mapped,
    quiet,
    raw,
)
from megadata.indexed.foreign.litdata import read_index
from megadata.indexed.format import Tokens
from megadata.indexed.reader import IndexedDataset

COLUMN = "tokens"
VALUE_TYPES = {8: "u1", 9: "i1", 16: "<u2", 17: "<i2", 32: "<u4", 33: "<i4", 64: "<u8", 65: "<i8"}
"""Numbers of types in ``ndarray`` columns that do not fix one."""
NAMES = {np.dtype(kind).name: np.dtype(kind) for kind in VALUE_TYPES.values()}


def write_mds(data: IndexedDataset, folder: Path, advance: Advance = quiet) -> list[Path]:
    """Write FOLDER/shard.NNNNN.mds of about `SHARD_BYTES`, a document a sample in column ``tokens``, and index.json."""
    if data.dtype.name not in NAMES:
        raise ConfigError(f"{data.prefix}: holds {data.dtype.name}; MDS is written from integers")
    parts = list(cut(data, SHARD_BYTES // data.dtype.itemsize))
    names = [f"shard.{number:05d}.mds" for number in range(len(parts))]
    target = Folder(folder, "shard.*", [*names, "index.json"])
    columns = {
        **{"column_encodings": [f"ndarray:{data.dtype.name}"], "column_names": [COLUMN], "column_sizes": [None]},
        **{"compression": None, "format": "mds", "hashes": [], "size_limit": SHARD_BYTES, "version": 2},
    }
    config = json.dumps(columns, sort_keys=True).encode()
    shards: list[dict[str, Any]] = []
    for name, (first, last) in zip(names, parts, strict=True):
        tokens, lengths = documents(data, first, last)
        samples = _samples(tokens, lengths.tolist())
        sizes = np.fromiter((len(sample) for sample in samples), np.int64, len(samples))
        offsets = 4 * (sizes.size + 2) + len(config) + np.concatenate(([0], np.cumsum(sizes)))
        if int(offsets[-1]) >= 1 << 32:
            raise ConfigError(
                f"{data.prefix}: document {first} has {tokens.size} tokens, shards of MDS hold at most 4 GiB; cut it first"
            )
        count = raw(np.array([sizes.size], "<u4"))
        size = target.write(name, (count, raw(offsets.astype("<u4")), config, *samples))
        shards.append(
            {
                **columns,
                "raw_data": {"basename": name, "bytes": size, "hashes": {}},
                "samples": sizes.size,
                "zip_data": None,
            }
        )
        advance(tokens.nbytes)
    index = json.dumps({"shards": shards, "version": 2}, sort_keys=True)
    target.write("index.json", (index.encode(),))
    return target.written


def _samples(tokens: Tokens, lengths: list[int]) -> list[bytes]:
    """Each document as a sample of one column."""
    view, width = raw(tokens), tokens.dtype.itemsize
    samples = []
    at = 0
    for length in lengths:
        code, letter = (0, "B") if length < 1 << 8 else (1, "H") if length < 1 << 16 else (2, "I")
        shape = struct.pack(f"<B{letter}", 1 << 2 | code, length)
        body = view[at : at + length * width]
        samples.append(b"".join((struct.pack("<I", len(shape) + len(body)), shape, body)))
        at += len(body)
    return samples


def read_mds(path: Path, column: str | None, dtype: np.dtype[Any] | None) -> Iterator[Batch]:
    """The documents (samples) of all shards.

    Parameters
    ----------
    path : Path
        The folder, or its index.json.
    column : str, optional
        The column of tokens; ``tokens``, ``input_ids`` or the only one by default.
    dtype : dtype, optional
        Type of the tokens of a column of plain ``bytes``.
    """
    folder = path if path.is_dir() else path.parent
    for shard in read_index(folder / "index.json", "shards")["shards"]:
        try:
            names, encodings, sizes = shard["column_names"], shard["column_encodings"], shard["column_sizes"]
            number = names.index(_column(names, column, folder))
            head = _Column(str(encodings[number]), dtype, folder)
            data = _load(folder, shard)
            expected = int(shard["samples"])
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise CorpusError(f"{folder}/index.json: a shard is not described as it should be ({error!r})") from error
        where = f"{folder / shard['raw_data']['basename']}"
        tokens = [head.decode(sample, where) for sample in _split(data, expected, sizes, number, where)]
        lengths = np.fromiter((one.size for one in tokens), np.int64, len(tokens))
        yield Batch(np.concatenate([np.empty(0, tokens[0].dtype if tokens else np.int32), *tokens]), lengths)


def _column(names: list[str], wanted: str | None, folder: Path) -> str:
    likely = [name for name in ([wanted] if wanted else [COLUMN, "input_ids"]) if name in names]
    if not likely and (wanted or len(names) != 1):
        raise ConfigError(
            f"{folder}: expected a column {wanted or 'tokens or input_ids'}, found {', '.join(names)}; name it with --column"
        )
    return likely[0] if likely else names[0]


def _load(folder: Path, shard: dict[str, Any]) -> Tokens:
    """The bytes of a shard, decompressed where only the compressed file is there."""
    plain = folder / shard["raw_data"]["basename"]
    if plain.exists() or not shard.get("zip_data"):
        data = mapped(plain)
    else:
        packed = folder / shard["zip_data"]["basename"]
        method = str(shard["compression"]).partition(":")[0]
        try:
            if method == "zstd":
                import zstandard

                unpacked = zstandard.ZstdDecompressor().decompressobj().decompress(packed.read_bytes())
            elif method == "gz":
                unpacked = gzip.decompress(packed.read_bytes())
            else:
                raise ConfigError(f"{packed}: compression {method} is not read; keep the raw shards (keep_zip=False)")
        except (OSError, EOFError, RuntimeError) as error:
            raise CorpusError(f"{packed}: cannot be decompressed: {error}; copy the file again") from error
        data = np.frombuffer(unpacked, np.uint8)
    if data.size != shard["raw_data"]["bytes"]:
        raise CorpusError(
            f"{plain}: index.json promises {shard['raw_data']['bytes']} bytes, found {data.size}; copy it again"
        )
    return data


def _split(data: Tokens, expected: int, sizes: list[Any], number: int, where: str) -> Iterator[bytes]:
    """The bytes of one column of each sample."""
    count = int(data[:4].view("<u4")[0]) if data.size >= 4 else -1
    if count != expected or data.size < 4 * (count + 2):
        raise CorpusError(f"{where}: index.json promises {expected} samples, found {count}; copy the file again")
    offsets = data[4 : 4 * (count + 2)].view("<u4").astype(np.int64).tolist()
    varying = [place for place, size in enumerate(sizes) if not size]
    for first, last in pairwise(offsets):
        sample = data[first:last].tobytes()
        heads = 4 * len(varying)
        if last < first or len(sample) != last - first or len(sample) < heads:
            raise CorpusError(
                f"{where}: a sample covers the bytes {first} to {last} of {data.size}; copy the file again"
            )
        found = dict(zip(varying, struct.unpack_from(f"<{len(varying)}I", sample), strict=True))
        widths = [found.get(place, size) for place, size in enumerate(sizes)]
        start = heads + sum(widths[:number])
        if heads + sum(widths) != len(sample):
            raise CorpusError(f"{where}: the columns of a sample take {sum(widths)} of {len(sample) - heads} bytes")
        yield sample[start : start + widths[number]]


class _Column:
    """How the tokens of one column are written."""

    def __init__(self, encoding: str, dtype: np.dtype[Any] | None, folder: Path) -> None:
        kind, *details = encoding.split(":")
        self.shaped = kind == "ndarray" and len(details) < 2
        self.dtype: np.dtype[Any] | None = None
        if kind == "ndarray" and details:
            self.dtype = NAMES.get(details[0])
        elif kind == "bytes":
            self.dtype = dtype
            if dtype is None:
                raise ConfigError(f"{folder}: a column of bytes does not say its type; add --dtype, often int64")
        if kind not in ("ndarray", "bytes") or (details and self.dtype is None):
            raise ConfigError(f"{folder}: expected a column of integers (ndarray or bytes), found {encoding}")

    def decode(self, raw_bytes: bytes, where: str) -> Tokens:
        """The tokens of one sample."""
        at, kind = 0, self.dtype
        try:
            if kind is None:
                kind, at = np.dtype(VALUE_TYPES[raw_bytes[0]]), 1
            if self.shaped:
                at += 1 + (raw_bytes[at] >> 2) * (1 << (raw_bytes[at] & 3))
            return np.frombuffer(raw_bytes, kind, offset=min(at, len(raw_bytes)))
        except (IndexError, KeyError, ValueError) as error:
            raise CorpusError(f"{where}: a sample is no array of tokens ({error!r}); copy the file again") from error
