"""Parts and receipts: what a task leaves behind when its unit is done.

A task writes *parts*, one file a stream (``kept``, ``removed``), each a run of whole zstd frames made of 4 MiB of lines. Last it
writes its *receipt*: what it read, with a digest of those bytes, what it wrote, and its counters. A kill leaves a receipt or
nothing. A receipt is valid as long as the bytes its unit read are the same: by size and time of the file, else by digest.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import zstandard
from numpy.typing import NDArray

from megadata import formats
from megadata.errors import CorpusError
from megadata.runtime.entering import seek_table
from megadata.runtime.files import digest_of, read_json, temporary_name, write_json
from megadata.runtime.streams import is_url, local_size, open_raw
from megadata.runtime.units import Span, Unit

FRAME_BYTES = 4 << 20
"""Lines a frame holds, in decoded bytes."""
ZSTD_LEVEL = 3
CHANGED = "changed while it was read"
"""In place of a digest: nobody knows any more which bytes were read, and no run takes them for those of now."""


@dataclass(frozen=True, slots=True)
class Read:
    """Bytes a unit read, and what they were."""

    name: str
    start: int
    stop: int
    size: int
    mtime_ns: int
    digest: str
    whole: bool = False
    """Whether the digest is that of the whole file, which was unpacked to be read in spans."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a unit wrote to one stream."""

    documents: int
    bytes: int
    """Decoded bytes of the lines."""
    frames: list[list[int]]
    """(stored, decoded) bytes of each zstd frame."""

    @property
    def stored(self) -> int:
        """Bytes of the file."""
        return sum(frame[0] for frame in self.frames)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a unit is done."""

    unit: int
    read: list[Read]
    parts: dict[str, Part]
    counts: dict[str, float]

    @classmethod
    def load(cls, path: Path) -> Receipt | None:
        """The receipt at `path`; None where there is none or it is damaged."""
        if not path.exists():
            return None
        try:
            content = formats.check("receipt", read_json(path), path)
            return cls(
                content["unit"],
                [Read(**r) for r in content["read"]],
                {name: Part(**p) for name, p in content["parts"].items()},
                content["counts"],
            )
        except (CorpusError, KeyError, TypeError, AttributeError):
            return None

    def save(self, path: Path) -> None:
        """Write the receipt; the task's last act."""
        write_json(path, formats.stamp("receipt", asdict(self)), sync=False)

    def fits(self, unit: Unit) -> bool:
        """Whether the unit still reads the bytes this receipt is for."""
        if len(self.read) != len(unit.spans):
            return False
        for read, span in zip(self.read, unit.spans, strict=True):
            if (read.name, read.start, read.stop) != (span.file.name, span.start, span.stop):
                return False
            if not _same_bytes(read, span):
                return False
        return True


def _same_bytes(read: Read, span: Span) -> bool:
    same = (read.size, read.mtime_ns) == (span.file.size, span.file.mtime_ns) and read.mtime_ns != 0
    return same or read.digest == digest_span(span)


def still_read(reads: list[Read], units: list[Unit]) -> bool:
    """Whether units would read the same bytes again; a file that was unpacked is one span of `units` and many reads."""
    at = 0
    for span in (span for unit in units for span in unit.spans):
        if at == len(reads):
            return False
        read = reads[at]
        if read.whole:
            if read.name != span.file.name or (span.start, span.stop) != (0, -1) or not _same_bytes(read, span):
                return False
            while at < len(reads) and reads[at].name == read.name:
                at += 1
            continue
        if (read.name, read.start, read.stop) != (span.file.name, span.start, span.stop) or not _same_bytes(read, span):
            return False
        at += 1
    return at == len(reads)


def digest_span(span: Span) -> str:
    """SHA-256 of the stored bytes behind a span: of whole frames where there is a seek table, of all where it was unpacked."""
    if span.file.unpacked is not None:
        return span.file.unpacked.digest
    table = seek_table(span.file)
    start, stop = span.start, span.stop
    if table is not None and stop != -1:
        first = int(table.decoded.searchsorted(start, side="right")) - 1
        last = int(table.decoded.searchsorted(stop))
        start, stop = int(table.stored[max(first, 0)]), int(table.stored[min(last, len(table.stored) - 1)])
    with open_raw(span.file.path) as file:
        file.seek(start)
        return digest_of(file, -1 if stop == -1 else stop - start)


def reads_of(unit: Unit, known: Receipt | None = None) -> list[Read]:
    """What a unit reads, digested; `known` is of an earlier phase, and right about files that lie there as they did."""
    if known is not None and known.unit == unit.ordinal and _untouched(known.read, unit):
        return known.read
    return [_read(span) for span in unit.spans]


def _read(span: Span) -> Read:
    """What was read of a span; the bytes that lie there now, unless the file has changed since it was listed."""
    file = span.file
    digest, mtime_ns = digest_span(span), file.mtime_ns
    seen = file.unpacked is not None or is_url(file.path)  # digested while it was decoded; compared when it was opened
    if not seen and local_size(file.path) != (file.size, mtime_ns):
        digest, mtime_ns = CHANGED, 0
    return Read(file.name, span.start, span.stop, file.size, mtime_ns, digest, file.unpacked is not None)


def _untouched(reads: list[Read], unit: Unit) -> bool:
    """Whether what was read is what the unit reads, by names, sizes and times, and whether the files have these still."""
    if len(reads) != len(unit.spans):
        return False
    for read, span in zip(reads, unit.spans, strict=True):
        file = span.file
        if (read.name, read.start, read.stop) != (file.name, span.start, span.stop) or read.mtime_ns == 0:
            return False
        if not (read.size, read.mtime_ns) == (file.size, file.mtime_ns) == local_size(file.path):
            return False
    return True


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines, each with its line end, one after another: line l is data[offsets[l]:offsets[l + 1]]."""

    data: memoryview
    offsets: NDArray[np.int64]

    def __iter__(self) -> Iterator[bytes]:
        bounds = self.offsets.tolist()
        for start, stop in itertools.pairwise(bounds):
            yield bytes(self.data[start:stop])


@dataclass(slots=True)
class _OpenPart:
    """A part being written."""

    temporary: Path
    target: Path
    file: IO[bytes]
    compressor: zstandard.ZstdCompressor
    frames: list[list[int]] = field(default_factory=list)
    held: list[bytes | memoryview] = field(default_factory=list)
    held_bytes: int = 0
    documents: int = 0

    def add(self, line: bytes) -> None:
        self.held.append(line)
        self.held_bytes += len(line)
        self.documents += 1
        if self.held_bytes >= FRAME_BYTES:
            self.flush()

    def add_all(self, lines: Lines) -> None:
        """Add lines; frames end where they would if each line were added alone."""
        offsets, at, count = lines.offsets, 0, lines.offsets.size - 1
        while at < count:
            full = int(np.searchsorted(offsets, offsets[at] + FRAME_BYTES - self.held_bytes))
            until = min(full, count)
            self.held.append(lines.data[int(offsets[at]) : int(offsets[until])])
            self.held_bytes += int(offsets[until] - offsets[at])
            if full <= count:
                self.flush()
            at = until
        self.documents += count

    def flush(self) -> None:
        if self.held:
            block = self.held[0] if len(self.held) == 1 else b"".join(self.held)
            stored = self.compressor.compress(block)
            self.file.write(stored)
            self.frames.append([len(stored), len(block)])
            self.held, self.held_bytes = [], 0

    def finish(self) -> Part:
        self.flush()
        self.file.close()
        self.temporary.replace(self.target)
        return Part(self.documents, sum(f[1] for f in self.frames), self.frames)


class UnitWriter:
    """Writes the parts of one unit and, at the end, its receipt.

    Used as a context manager: leaving it with an exception leaves nothing behind. `levels` are the levels of compression of
    streams that have another one than `ZSTD_LEVEL`; `known` is the receipt of an earlier phase that read the same unit.
    """

    def __init__(
        self, folder: Path, unit: Unit, levels: Mapping[str, int] | None = None, known: Receipt | None = None
    ) -> None:
        self._folder = folder
        self._known = known
        self._unit = unit
        self._levels = levels or {}
        self._parts: dict[str, _OpenPart] = {}
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> UnitWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for part in self._parts.values():
            part.file.close()
            part.temporary.unlink(missing_ok=True)

    def write(self, stream: str, lines: Iterable[bytes] | Lines) -> None:
        """Add lines, each with its line end, to a stream."""
        part = self._parts.get(stream)
        if part is None:
            target = part_path(self._folder, stream, self._unit.ordinal)
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = temporary_name(target)
            compressor = zstandard.ZstdCompressor(level=self._levels.get(stream, ZSTD_LEVEL))
            part = self._parts[stream] = _OpenPart(temporary, target, temporary.open("wb"), compressor)
        if isinstance(lines, Lines):
            part.add_all(lines)
            return
        for line in lines:
            part.add(line)

    def finish(self, counts: dict[str, float] | None = None) -> Receipt:
        """Put the parts in place, then write the receipt."""
        parts = {name: part.finish() for name, part in sorted(self._parts.items())}
        total = {**self.counts, **(counts or {})}
        receipt = Receipt(self._unit.ordinal, reads_of(self._unit, self._known), parts, dict(sorted(total.items())))
        receipt.save(receipt_path(self._folder, self._unit.ordinal))
        return receipt


def part_path(folder: Path, stream: str, ordinal: int) -> Path:
    """Where a unit's part of a stream lies."""
    return folder / "parts" / stream / f"{ordinal:06d}.part"


def size_of(path: Path) -> int:
    """Bytes of a file; -1 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def receipt_path(folder: Path, ordinal: int) -> Path:
    """Where a unit's receipt lies."""
    return folder / "receipts" / f"{ordinal:06d}.json"


def content_name(receipts: list[Receipt]) -> str:
    """Name of what was read: a hash over the digests of all spans."""
    digest = hashlib.sha256()
    for receipt in receipts:
        for read in receipt.read:
            digest.update(f"{read.name} {read.start} {read.stop} {read.digest}\n".encode())
    return digest.hexdigest()[:16]
