"""Shards: parts of consecutive units, put together.

A shard takes units, in order, while their total stays within the shard size, and at least one. Its borders follow from the
receipts alone, so every machine and every number of workers makes the same shards; any free worker may assemble one as soon as
the next unit would not fit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from megadata.errors import OutputError
from megadata.runtime.files import atomic_write, digest_file, read_json, write_json
from megadata.runtime.receipts import Receipt, part_path, receipt_path, size_of
from megadata.runtime.seekable import seek_table_bytes

SHARD_BYTES = 512 << 20
"""Decoded bytes a shard holds, by default."""
_COPY = 8 << 20


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """One shard to assemble: which units' parts, and the sizes of their frames."""

    stream: str
    ordinal: int
    units: tuple[int, ...]
    frames: tuple[tuple[int, int], ...]
    stored: tuple[int, ...]
    """Bytes of each unit's part."""
    documents: int
    bytes: int

    @property
    def label(self) -> str:
        """How messages name the shard."""
        return f"shard {self.stream}/{self.ordinal:05d}"


@dataclass(frozen=True, slots=True)
class Shard:
    """A finished shard."""

    stream: str
    name: str
    documents: int
    bytes: int
    """Decoded bytes."""
    size: int
    """Stored bytes."""
    sha256: str


class ShardPlanner:
    """Turns receipts, given in unit order, into the plans of shards as each becomes final."""

    def __init__(self, shard_bytes: int = SHARD_BYTES) -> None:
        self._limit = shard_bytes
        self._open: dict[str, list[Receipt]] = {}
        self._bytes: dict[str, int] = {}
        self._count: dict[str, int] = {}

    def add(self, receipt: Receipt) -> list[ShardPlan]:
        """Take the next unit's receipt; the shards that became final because of it."""
        final = []
        for stream, part in receipt.parts.items():
            held = self._open.setdefault(stream, [])
            if held and self._bytes[stream] + part.bytes > self._limit:
                final.append(self._close(stream))
            self._open[stream].append(receipt)
            self._bytes[stream] = self._bytes.get(stream, 0) + part.bytes
        return final

    def finish(self) -> list[ShardPlan]:
        """All units are in: the shards still open."""
        return [self._close(stream) for stream in sorted(self._open) if self._open[stream]]

    def _close(self, stream: str) -> ShardPlan:
        held = self._open[stream]
        self._open[stream] = []
        self._bytes[stream] = 0
        ordinal = self._count.get(stream, 0)
        self._count[stream] = ordinal + 1
        parts = [r.parts[stream] for r in held]
        return ShardPlan(
            stream,
            ordinal,
            tuple(r.unit for r in held),
            tuple((f[0], f[1]) for part in parts for f in part.frames),
            tuple(part.stored for part in parts),
            sum(p.documents for p in parts),
            sum(p.bytes for p in parts),
        )


@dataclass(frozen=True, slots=True)
class Assembler:
    """Task that writes one shard from the parts in `folder` and then deletes them.

    ``jsonl.zst`` shards are the parts' frames one after another with a seek table; ``parquet`` shards have a row group per unit.
    """

    folder: Path
    form: str = "jsonl.zst"

    def __call__(self, plan: ShardPlan) -> Shard:
        """Write the shard (or find it written by an earlier run) and return its record."""
        note = self.folder / "shards" / plan.stream / f"docs-{plan.ordinal:05d}.json"
        if note.exists():
            return Shard(**read_json(note))
        target = note.with_name(f"docs-{plan.ordinal:05d}.{self.form}")
        parts = [part_path(self.folder, plan.stream, unit) for unit in plan.units]
        for unit, path, stored in zip(plan.units, parts, plan.stored, strict=True):
            if size_of(path) != stored:
                receipt_path(self.folder, unit).unlink(missing_ok=True)
                raise OutputError(
                    f"{path}: expected {stored} bytes, found {size_of(path)}; run the same command again, which makes it anew"
                )
        if self.form == "parquet":
            _write_parquet(target, parts)
            digest = digest_file(target)
        else:
            digest = _write_frames(target, parts, plan)
        shard = Shard(plan.stream, target.name, plan.documents, plan.bytes, target.stat().st_size, digest)
        write_json(note, asdict(shard))  # on disk before the parts go
        for path in parts:
            path.unlink(missing_ok=True)
        return shard


def _write_frames(target: Path, parts: Iterable[Path], plan: ShardPlan) -> str:
    """The parts' frames one after another, and a seek table; the SHA-256 of it all, taken while it is copied."""
    digest = hashlib.sha256()
    with atomic_write(target) as file:
        for path in parts:
            with path.open("rb") as part:
                while block := part.read(_COPY):
                    digest.update(block)
                    file.write(block)
        table = seek_table_bytes(list(plan.frames))
        digest.update(table)
        file.write(table)
    return digest.hexdigest()


def _write_parquet(target: Path, parts: Iterable[Path]) -> None:
    """A Parquet file of string columns, one row group a part."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from megadata.runtime.streams import ZstdFrames

    names = ("id", "text", "source", "url", "metadata", "reason", "value", "threshold")
    removed = target.parent.name.startswith("removed")
    chosen = names if removed else names[:5]
    schema = pa.schema([(n, pa.float64() if n == "value" else pa.string()) for n in chosen])
    with atomic_write(target) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for path in parts:
            with path.open("rb") as raw:
                data = ZstdFrames(raw).readall()
            rows = [orjson.loads(line) for line in (data or b"").splitlines()]
            for row in rows:
                if isinstance(row.get("metadata"), dict):
                    row["metadata"] = orjson.dumps(row["metadata"]).decode()
            writer.write_table(pa.Table.from_pylist(rows, schema))
