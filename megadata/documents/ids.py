"""Document ids: unique over an output, and an index of them that finds any document without a scan.

While units are written, each notes for every document the hash of its id and where its line begins. From these notes, sorted by
the exchange, repeated ids are found (`repeats`), and then the key index is written: ``keys.idx``, sorted records of `KEY`.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from megadata.documents.batch import DocBatch
from megadata.errors import CorpusError
from megadata.runtime.entering import open_at
from megadata.runtime.exchange import Exchange
from megadata.runtime.files import atomic_write
from megadata.runtime.receipts import Lines, Part
from megadata.runtime.shards import ShardPlan
from megadata.runtime.units import InputFile

NOTE = np.dtype(
    [("key", "<u8"), ("check", "<u8"), ("path", "<u8"), ("unit", "<u4"), ("stream", "<u4"), ("offset", "<u8")]
)
"""What a unit notes of a document: 128 bits of its id's hash, its file, and where its line begins in the unit's part."""

KEY = np.dtype([("key", "<u8"), ("check", "<u8"), ("offset", "<u8"), ("shard", "<u4"), ("stream", "<u4")])
"""Record of ``keys.idx``: 128 bits of the id's hash, decoded offset of the line in its shard, and which shard."""

STREAMS = ("kept", "removed")


def file_paths(docs: DocBatch) -> list[str]:
    """Path of the file that each document came from, as its metadata says; each different text of it is read once."""
    values, which = docs.different("metadata")
    paths = [str(orjson.loads(value or "{}").get("path", "")) for value in values]
    return [paths[at] for at in which.tolist()]


def hash_id(text: str) -> tuple[int, int]:
    """128 bits of BLAKE2b, as two numbers."""
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


class IdNotes:
    """The notes of one unit, collected as its lines are written."""

    def __init__(self, unit: int) -> None:
        self._unit = unit
        self._rows = array("Q")  # one note after another: tuples would take several times the memory
        self._offsets = [0, 0]

    def take(self, stream: str, ids: Iterable[str], paths: Iterable[str], lines: Iterable[bytes]) -> Iterator[bytes]:
        """Pass lines on to be written, noting each."""
        which = STREAMS.index(stream)
        last, hashed = None, 0
        for own, path, line in zip(ids, paths, lines, strict=True):
            if path != last:
                last, hashed = path, hash_id(path)[0]
            key, check = hash_id(own)
            self._rows.extend((key, check, hashed, self._unit, which, self._offsets[which]))
            self._offsets[which] += len(line)
            yield line

    def take_all(self, stream: str, ids: Sequence[str], paths: Iterable[str], lines: Lines) -> Lines:
        """Note lines that are about to be written; the lines."""
        which = STREAMS.index(stream)
        last, hashed = None, 0
        path_hashes = []
        for path in paths:
            if path != last:
                last, hashed = path, hash_id(path)[0]
            path_hashes.append(hashed)
        digests = b"".join([hashlib.blake2b(own.encode(), digest_size=16).digest() for own in ids])
        rows = np.empty((len(ids), len(NOTE.names or ())), np.uint64)
        rows[:, :2] = np.frombuffer(digests, "<u8").reshape(-1, 2)
        rows[:, 2] = path_hashes
        rows[:, 3], rows[:, 4] = self._unit, which
        rows[:, 5] = lines.offsets[:-1] + self._offsets[which]
        self._rows.frombytes(rows.tobytes())
        self._offsets[which] += int(lines.offsets[-1])
        return lines

    def skip(self, stream: str, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Pass lines on that are no documents of their own."""
        which = STREAMS.index(stream)
        for line in lines:
            self._offsets[which] += len(line)
            yield line

    def records(self) -> NDArray[np.void]:
        """The notes as an array of `NOTE`."""
        columns = np.frombuffer(self._rows, np.uint64).reshape(-1, len(NOTE.names or ()))
        rows = np.empty(len(columns), NOTE)
        for at, name in enumerate(NOTE.names or ()):
            rows[name] = columns[:, at]
        return rows


def qualified(own: str, path: str, occurrence: int | None) -> str:
    """The id a document has in the output: with its path (and a number from the second on) where others have the same.

    `occurrence` is its number among documents of the same id and path; None where no other document has the id.
    """
    if occurrence is None:
        return own
    return f"{path}:{own}" + (f"#{occurrence}" if occurrence else "")


def qualify(line: bytes, occurrence: int) -> tuple[bytes, str, str]:
    """The line with its id qualified by the document's path (and a number from the second on); also (new id, path)."""
    record: dict[str, Any] = orjson.loads(line)
    path = str((record.get("metadata") or {}).get("path", ""))
    name = qualified(record["id"], path, occurrence)
    record["id"] = name
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE), name, path


def write_key_index(
    exchange: Exchange,
    target: Path,
    plans: list[ShardPlan],
    parts: dict[tuple[str, int], Part],
    memory: int,
    workers: int,
) -> None:
    """Write ``keys.idx``: every note, sorted, with the place of its line in the finished shards."""
    units = 1 + max((unit for _, unit in parts), default=-1)
    shard = np.zeros((len(STREAMS), units), np.uint32)
    base = np.zeros((len(STREAMS), units), np.uint64)
    for plan in plans:
        if plan.stream in STREAMS:
            which, at = STREAMS.index(plan.stream), 0
            for unit in plan.units:
                shard[which, unit], base[which, unit] = plan.ordinal, at
                at += parts[plan.stream, unit].bytes
    with atomic_write(target) as file:
        for key_range in exchange.ranges(memory, workers):
            rows = exchange.read(key_range).records
            keys = np.empty(rows.size, KEY)
            for name in ("key", "check", "stream"):
                keys[name] = rows[name]
            keys["shard"] = shard[rows["stream"], rows["unit"]]
            keys["offset"] = base[rows["stream"], rows["unit"]] + rows["offset"]
            file.write(keys.tobytes())


def find(folder: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents of an output folder with this id, as (stream, record), by a binary search in ``keys.idx``."""
    path = folder / "keys.idx"
    if not path.exists() or path.stat().st_size == 0:
        return
    keys = np.memmap(path, KEY, "r")
    key, check = hash_id(name)
    low, high = 0, keys.size
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if int(keys[middle]["key"]) < key else (low, middle)
    while low < keys.size and int(keys[low]["key"]) == key:
        row = keys[low]
        low += 1
        if int(row["check"]) == check:
            stream = STREAMS[row["stream"]]
            below = folder / "removed" if stream == "removed" else folder
            yield stream, _line_at(below, int(row["shard"]), int(row["offset"]))


def _line_at(folder: Path, shard: int, offset: int) -> dict[str, Any]:
    path = folder / f"docs-{shard:05d}.jsonl.zst"
    if not path.exists():
        raise CorpusError(f"{path}: the key index names this shard, and it is not there; run the step again")
    status = path.stat()
    with open_at(
        InputFile(path.name, str(path), status.st_size, status.st_mtime_ns, "jsonl", "", ""), offset
    ) as stream:
        record: dict[str, Any] = orjson.loads(stream.readline())
    return record
