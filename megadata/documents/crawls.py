"""Pages that were crawled more than once: which crawl is the newest, across files, units and workers.

While units are written, each notes for every kept document the hash of its canonical address, its date, and where its line
begins. The exchange brings the notes of one address together; all but the newest become *older crawls*, each with the id of the
one kept.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from megadata.documents.batch import DocBatch
from megadata.documents.ids import STREAMS, hash_id, qualified
from megadata.documents.urls import canonical
from megadata.runtime.exchange import Exchange, KeyRange
from megadata.runtime.executor import Executor
from megadata.runtime.files import read_json, write_json
from megadata.runtime.settings import RunSettings
from megadata.runtime.step import map_ranges

OLDER_CRAWL = "url.older_crawl"
"""Reason of a document that a newer crawl of its address replaces."""

CRAWL = np.dtype([("key", "<u8"), ("check", "<u8"), ("date", "<i8"), ("offset", "<u8"), ("unit", "<u4")])
"""A kept document: 128 bits of its address's hash, microseconds since 1970, and where its line begins; the payload is
its id and its path, with a NUL between them."""

OLDER = np.dtype([("key", "<u8"), ("offset", "<u8")])
"""An older crawl: its unit, and where its line begins; the payload is the id of the document that is kept."""

UNDATED = -(1 << 62)
"""Date of a document without one: older than all others."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(date: object) -> int:
    """Microseconds since 1970 of a date as ISO 8601 or fourteen digits write it, UTC unless it says otherwise; else `UNDATED`."""
    if not isinstance(date, str):
        return UNDATED
    try:
        found = datetime.strptime(date, "%Y%m%d%H%M%S") if len(date) == 14 else datetime.fromisoformat(date.strip())
        past = (found if found.tzinfo else found.replace(tzinfo=UTC)) - _EPOCH
    except (ValueError, OverflowError):
        return UNDATED
    return (past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds


class CrawlNotes:
    """The notes of one unit, collected as its kept lines are written."""

    def __init__(self, unit: int) -> None:
        self._unit = unit
        self._rows: list[tuple[int, int, int, int, int]] = []
        self._names: list[bytes] = []
        self._offset = 0

    def take(self, docs: DocBatch, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Pass the lines of kept documents on to be written, noting those with an address."""
        columns = (docs.ids, docs.column("url"), docs.column("metadata"))
        for own, url, metadata, line in zip(*columns, lines, strict=True):
            address = canonical(url) if url else None
            if address is not None:
                known = orjson.loads(metadata) if metadata else {}
                key, check = hash_id(address)
                self._rows.append((key, check, moment(known.get("date")), self._offset, self._unit))
                self._names.append(f"{own}\0{known.get('path', '')}".encode())
            self._offset += len(line)
            yield line

    def write(self, folder: Path) -> None:
        """Store the notes for `find_older`."""
        payload = np.frombuffer(b"".join(self._names), np.uint8)
        lengths = np.array([len(name) for name in self._names], np.int64)
        Exchange(folder / "crawls", CRAWL).write(self._unit, np.array(self._rows, CRAWL), payload, lengths)


@dataclass(frozen=True, slots=True)
class FindOlder:
    """Task that notes the older crawls among the addresses of one key range, and tells how many there are."""

    folder: Path

    def __call__(self, key_range: KeyRange) -> int:
        """Find them."""
        part = Exchange(self.folder / "crawls", CRAWL).read(key_range)
        rows = part.records
        same = (rows["key"][1:] == rows["key"][:-1]) & (rows["check"][1:] == rows["check"][:-1])
        starts = np.flatnonzero(np.concatenate([[True], ~same]))
        stops = np.append(starts[1:], rows.size)
        repeats = np.load(self.folder / "repeats.npy", mmap_mode="r")
        found: list[tuple[int, int]] = []
        names: list[bytes] = []
        for start, stop in zip(starts[stops - starts > 1].tolist(), stops[stops - starts > 1].tolist(), strict=True):
            group = [
                (-int(rows["date"][row]), part.payload[part.offsets[row] : part.offsets[row + 1]].tobytes(), row)
                for row in range(start, stop)
            ]
            *_, newest = first = min(
                group, key=lambda one: (*one[:2], int(rows["unit"][one[2]]), int(rows["offset"][one[2]]))
            )
            own, _, path = first[1].decode().partition("\0")
            kept = _final_id(repeats, int(rows["unit"][newest]), int(rows["offset"][newest]), own, path).encode()
            older = [row for row in range(start, stop) if row != newest]
            found += [(int(rows["unit"][row]), int(rows["offset"][row])) for row in older]
            names += [kept] * len(older)
        if found:
            lengths = np.array([len(name) for name in names], np.int64)
            payload = np.frombuffer(b"".join(names), np.uint8)
            Exchange(self.folder / "older", OLDER).write(key_range.ordinal, np.array(found, OLDER), payload, lengths)
        return len(found)


def _final_id(repeats: NDArray[np.void], unit: int, offset: int, own: str, path: str) -> str:
    """The id of a kept document in the output: qualified where others have it as well."""
    low, high = np.searchsorted(repeats["unit"], [unit, unit + 1])
    mine = repeats[low:high]
    hits = mine[(mine["stream"] == STREAMS.index("kept")) & (mine["offset"] == offset)]
    return qualified(own, path, int(hits["occurrence"][0])) if hits.size else own


def find_older(executor: Executor, folder: Path, settings: RunSettings) -> int:
    """Note all older crawls of the documents noted in `folder`; how many there are."""
    done = folder / "older.json"
    if not done.exists():
        shutil.rmtree(folder / "older", ignore_errors=True)
        ranges = Exchange(folder / "crawls", CRAWL).ranges(settings.memory, settings.workers)
        write_json(done, sum(map_ranges(executor, FindOlder(folder), ranges, settings.progress, "newest crawls")))
    return int(read_json(done))


def older_of(folder: Path, unit: int) -> dict[int, str]:
    """Older crawls of one unit: where their lines begin, and the id of the document kept instead."""
    exchange = Exchange(folder / "older", OLDER)
    part = exchange.read(exchange.key(unit))
    offsets = part.records["offset"].tolist()
    bounds = part.offsets.tolist()
    data = part.payload.tobytes()
    return {offset: data[bounds[row] : bounds[row + 1]].decode() for row, offset in enumerate(offsets)}
