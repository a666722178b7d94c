"""Files that can only be decoded from their start, made into copies that several workers can enter.

A single gzip, xz or bzip2 stream, or one zstd frame, has to be decoded by one process. Where its records could be read by many
(`Source.ranges`), that is done once, before units are planned: the copy is zstd frames with a seek table in the step's work
folder, and goes when the step is finished. Names, ids and positions are those of the original.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import zstandard

from megadata import formats
from megadata.documents.registry import source
from megadata.documents.source import ReadOptions
from megadata.errors import CorpusError, OutputError
from megadata.runtime.damage import DamagedStream
from megadata.runtime.executor import Executor
from megadata.runtime.files import atomic_write, digest_of, read_json, remove_temporaries, write_json
from megadata.runtime.progress import Reporter, human
from megadata.runtime.receipts import FRAME_BYTES
from megadata.runtime.seekable import seek_table_bytes
from megadata.runtime.streams import can_be_entered, compression_of, decode, open_raw
from megadata.runtime.units import UNIT_BYTES, InputFile, Span, Unpacked

_LEVEL = 1
_THREADS = 2
"""Threads that compress frames while the next are decoded; they hold a few frames each."""
_GROWTH = {None: 0.5, "gzip": 1.3, "zstd": 1.2, "bzip2": 2.0, "xz": 2.2}
"""Stored bytes of a copy for each stored byte of the original, about, by the original's compression."""
_FREE_EXPANSION = 1 << 30
"""Decoded bytes that any file may have, however small it is."""


def unpack(
    executor: Executor,
    files: Sequence[InputFile],
    folder: Path,
    progress: Reporter,
    options: ReadOptions,
    unit_bytes: int = UNIT_BYTES,
) -> list[InputFile]:
    """The files, those that need it with a copy in `folder`, which an earlier run may have made.

    Raises
    ------
    OutputError
        When the copies would not fit on the disk.
    """
    chosen = [file for file in files if _needs_copy(file, unit_bytes)]
    if not chosen:
        return list(files)
    folder.mkdir(parents=True, exist_ok=True)
    remove_temporaries(folder)  # half a copy of a killed run can be most of the room there is
    task = _Copy(folder, options.max_expansion)
    known = {file.name: task.known(file) for file in chosen}
    pending = [file for file in chosen if known[file.name] is None]
    _check_room(pending, folder)
    with progress.stage("decode files that cannot be split", sum(file.size for file in pending)) as stage:
        for file, made in executor.run(task, pending):
            known[file.name] = made
            stage.advance(file.size)
    return [replace(file, unpacked=known.get(file.name)) for file in files]


def _needs_copy(file: InputFile, unit_bytes: int) -> bool:
    """Whether the file's records could be read by several workers, if only it could be entered."""
    if compression_of(file.path) is None and can_be_entered(file.path):
        return False
    reader = source(file.kind)
    whole = [Span(file, 0, -1)]
    return getattr(reader, "ranges", False) and file.size > unit_bytes // 2 and reader.spans(file, unit_bytes) == whole


def _check_room(files: Sequence[InputFile], folder: Path) -> None:
    need = int(sum(file.size * _GROWTH[compression_of(file.path)] for file in files))
    free = shutil.disk_usage(folder).free
    if need > free:
        raise OutputError(
            f"{folder}: decoded copies of {len(files)} files that cannot be split need about {human(need)}, found "
            f"{human(free)} free; free some space, write elsewhere, or compress the input as zstd with a seek table"
        )


class _Hashing:
    """Stored bytes on their way to the decoder."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._raw.read(size)
        self.digest.update(block)
        return block

    def seek(self, offset: int, whence: int = 0) -> int:
        raise OSError("a stream that is hashed is read once")

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        return self._raw.tell()

    def close(self) -> None:
        self._raw.close()


@dataclass(frozen=True, slots=True)
class _Copy:
    """Task: decode one file into its copy."""

    folder: Path
    max_expansion: int

    def _paths(self, file: InputFile) -> tuple[Path, Path]:
        stem = hashlib.sha256(file.name.encode()).hexdigest()[:16]
        return self.folder / f"{stem}.zst", self.folder / f"{stem}.json"

    def known(self, file: InputFile) -> Unpacked | None:
        """What an earlier run left for these very bytes."""
        copy, note = self._paths(file)
        try:
            content = formats.check("unpacked", read_json(note), note)
            made = Unpacked(**content["copy"])
        except (CorpusError, KeyError, TypeError):
            return None
        same = (content["size"], content["mtime_ns"]) == (file.size, file.mtime_ns)
        if not copy.exists() or copy.stat().st_size != made.size:
            return None
        return made if same or made.digest == _digest(file) else None

    def __call__(self, file: InputFile) -> Unpacked:
        copy, note = self._paths(file)
        note.unlink(missing_ok=True)
        frames: list[tuple[int, int]] = []
        sizes: list[int] = []
        damage = ""
        limit = max(file.size * self.max_expansion, _FREE_EXPANSION)
        length = 0
        hashing = _Hashing(open_raw(file.path))
        with atomic_write(copy, sync=False) as out, ThreadPoolExecutor(_THREADS) as threads:
            stream = decode(hashing, file.path)  # type: ignore[arg-type]
            waiting: deque[Future[bytes]] = deque()

            def write(most: int) -> None:
                while len(waiting) > most:
                    stored = waiting.popleft().result()
                    out.write(stored)
                    frames.append((len(stored), sizes[len(frames)]))

            while not damage:
                block, damage = _read(stream, FRAME_BYTES)
                if length + len(block) > limit:
                    damage = (
                        f"{file.path}: expected at most {self.max_expansion} decoded bytes for each stored one, found "
                        f"more after {length} bytes; raise read.max_expansion if that is right"
                    )
                elif block:
                    waiting.append(threads.submit(_compress, block))
                    sizes.append(len(block))
                    length += len(block)
                    write(2 * _THREADS)
                elif not damage:
                    break
            while hashing.read(1 << 20):  # what lies behind the damage belongs to the digest
                pass
            stream.close()
            write(0)
            out.write(seek_table_bytes(frames))
        made = Unpacked(
            str(copy),
            copy.stat().st_size,
            length,
            hashing.digest.hexdigest(),
            damage.replace(file.path, file.name),
        )
        content = {"size": file.size, "mtime_ns": file.mtime_ns, "copy": asdict(made)}
        write_json(note, formats.stamp("unpacked", content), sync=False)
        return made


def _compress(block: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=_LEVEL).compress(block)


def _read(stream: BinaryIO, size: int) -> tuple[bytes, str]:
    """The next `size` bytes, fewer at the end; and what damage ended the stream."""
    blocks: list[bytes] = []
    left = size
    read1 = getattr(stream, "read1", stream.read)  # `read` would lose good bytes where damage follows them
    try:
        while left and (block := read1(left)):
            blocks.append(block)
            left -= len(block)
    except DamagedStream as error:
        return b"".join(blocks), str(error)
    return b"".join(blocks), ""


def _digest(file: InputFile) -> str:
    with open_raw(file.path) as raw:
        return digest_of(raw)
